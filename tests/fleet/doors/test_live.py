"""Status, receipts, commands and watching, with devices on a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ostiary.edge.wire import Response, StateMessage
from ostiary.fleet.doors import command as commands
from ostiary.fleet.doors.command import CommandError, capture, open_door
from ostiary.fleet.doors.status import status
from ostiary.fleet.publishing.publish import publish
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site.fleet import SETTINGS, Fleet
from tests.support.fleet.fake_door import FakeDoor, decision, event, template_bytes
from tests.support.fleet.memory_broker import ENCODER, enroll, template
from tests.support.places import ROOT

NO = Response(nonce="", ok=False, reason="two-faces")
YES = Response(nonce="", ok=True)


def cli(live: Fleet, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostiary.fleet", *words, "--fleet", str(live.folder)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_status_says_who_holds_what(live: Fleet, door: Callable[..., FakeDoor]) -> None:
    enroll(live, "alice", "bob")
    publish(live)
    for name in ("north", "south", "away"):
        live.registry().add_device(name, 0.0)
    north, south, guest = door("north"), door("south"), door("guest")
    north.is_online()
    north.holds()
    south.is_online(status="lost")
    south.holds(1, digest="0" * 32, missing=1)
    guest.say("state", b"not a message")
    guest.is_online()
    guest.holds(complete=False)
    found = {device.device: device for device in status(live).devices}
    assert found.keys() == {"north", "south", "away", "guest"}
    assert (found["north"].status, found["north"].current, found["north"].lag) == (
        "online", True, 0,
    )  # fmt: skip
    assert found["north"].seen_at == "2026-11-22T08:00:01Z"
    assert found["north"].coverage == {ENCODER: 2}
    assert (found["south"].status, found["south"].lag, found["south"].missing) == ("lost", 1, 1)
    assert not found["south"].digest_equal
    assert (found["away"].status, found["away"].current) == ("unseen", False)
    assert (found["guest"].provisioned, found["guest"].current) == (False, False)
    assert status(live).behind == ["away", "guest", "south"]


def test_the_same_number_with_another_digest_is_not_current(
    live: Fleet, door: Callable[..., FakeDoor]
) -> None:
    enroll(live, "alice")
    live.registry().add_device("north", 0.0)
    door("north").holds(digest="f" * 32)
    assert status(live).behind == ["north"]


def test_the_command_line_says_status_and_its_exit_code_says_who_lags(
    live: Fleet, door: Callable[..., FakeDoor]
) -> None:
    enroll(live, "alice")
    assert cli(live, "status").returncode == 1
    done = cli(live, "publish", "--json")
    assert json.loads(done.stdout)["missing"] == 1
    assert "nothing was missing" in cli(live, "publish").stdout
    north = door("north")
    weak = StateMessage(
        status="online", session=1, expected_fnir=0.031, tau_group="women",
        warnings=("the encoder is weak",), camera_turn=90, camera_faults=("looped",), learned=3,
        least_face_px=22.0,
    )  # fmt: skip
    north.say("state", weak)
    north.holds()
    told = cli(live, "status", "--json")
    assert told.returncode == 0, told.stderr
    document = json.loads(told.stdout)
    assert (document["behind"], document["sequence"], document["published"]) == ([], 1, 1)
    assert document["devices"][0]["digest_equal"] is True
    assert (document["one_photo"], document["photos_unknown"]) == (0, 1)
    weakness, turned, looped = document["devices"][0]["warnings"]
    assert weakness == "the encoder is weak"
    assert turned.startswith("the camera hangs turned by 270 degrees")
    assert looped == "the camera is looped: see its event camera-looped"
    assert (document["devices"][0]["learned"], document["devices"][0]["least_face_px"]) == (3, 22.0)
    assert document["devices"][0]["expected_fnir"] == 0.031
    assert document["devices"][0]["tau_group"] == "women"
    live.registry().suspend("alice", 2000.0)
    lagging = cli(live, "status")
    assert lagging.returncode == 1
    assert "north" in lagging.stdout
    assert "3.1%" in lagging.stdout
    assert "(women)" in lagging.stdout
    assert "not published" in lagging.stderr
    assert "warning: the encoder is weak (north)" in lagging.stderr


def test_status_counts_who_has_one_photo(live: Fleet) -> None:
    for subject, number in (("alice", 1), ("bob", 2), ("carol", 0), ("dave", 1), ("erin", 1)):
        fused = Fused(template(len(subject)), number)
        live.registry().put(Person(subject=subject), {ENCODER: fused}, 1000.0)
    live.registry().revoke("erin", 1001.0)
    found = status(live)
    assert (found.subjects, found.one_photo, found.photos_unknown) == (4, 2, 1)
    said = cli(live, "status").stdout
    assert "2 have a template of one photo only" in said
    assert "ostiary-fleet list --one-photo" in said
    assert "1 have a template of an unknown number of photos" in said
    for subject in ("alice", "carol", "dave"):
        fused = Fused(template(len(subject)), 2)
        live.registry().put(Person(subject=subject), {ENCODER: fused}, 1002.0)
    assert "photo" not in cli(live, "status").stdout


def test_a_broker_that_is_away_is_one_line(live: Fleet, tmp_path: Path) -> None:
    path = live.folder / SETTINGS
    path.write_text(path.read_text().replace("port = ", "port = 1 #"))
    for words in (["status"], ["publish"], ["watch"], ["open", "north"]):
        done = cli(live, *words)
        assert done.returncode == 2
        assert done.stderr.startswith("error: cannot reach the broker"), done.stderr
        assert done.stderr.count("\n") == 1


def test_a_door_is_opened_by_a_fresh_sealed_command(
    live: Fleet, door: Callable[..., FakeDoor]
) -> None:
    north = door("north", YES).listen()
    open_door(live, "north")
    open_door(live, "north")
    (first, retained, expiry), (second, _, _) = north.heard
    assert first.nonce != second.nonce
    assert not retained
    assert 0 < expiry <= 10
    assert 0 < first.expires_at_s - second.expires_at_s + 60 < 61


def test_a_door_that_refuses_says_why(live: Fleet, door: Callable[..., FakeDoor]) -> None:
    door("north", NO).listen()
    with pytest.raises(CommandError, match="north did not open: two-faces") as refused:
        open_door(live, "north")
    assert refused.value.reason == "two-faces"


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, "no device north ever reported"), ("lost", "north is lost since 2026"),
     ("offline", "north is offline"), ("online", "online, but takes no commands")],
)  # fmt: skip
def test_a_device_that_does_not_listen_is_told_apart(
    live: Fleet, door: Callable[..., FakeDoor], said: str | None, expected: str
) -> None:
    if said is not None:
        door("north").is_online(status=said)
    with pytest.raises(CommandError, match=expected):
        open_door(live, "north")


def test_a_device_that_listens_and_does_not_answer_is_given_up(
    live: Fleet, door: Callable[..., FakeDoor], monkeypatch: pytest.MonkeyPatch
) -> None:
    north = door("north").listen()
    north.is_online()
    with pytest.raises(CommandError, match="did not answer within 0 s"):
        open_door(live, "north", timeout_s=0.1)
    assert len(north.heard) == 1


def test_a_template_comes_back_and_is_checked(live: Fleet, door: Callable[..., FakeDoor]) -> None:
    made = template(3)
    good = msgspec.structs.replace(YES, encoder=ENCODER, template=template_bytes(made), photos=5)
    north = door("north", good).listen()
    got = capture(live, "north", "alice", ENCODER, 8)
    assert (got.subject, got.encoder, got.photos) == ("alice", ENCODER, 5)
    assert np.allclose(got.embedding, made, atol=1e-6)
    (command, _, expiry), *_ = north.heard
    assert (command.subject, command.timeout_s) == ("alice", 60.0)
    assert expiry <= 60
    for field, value, expected in (
        ("encoder", "f" * 64, "embeds with ffffffffffff"),
        ("photos", -1, "a template of -1 frames"),
        ("photos", 256, "a template of 256 frames"),
        ("template", template_bytes(made[:7]), "a template of 28 bytes in place of"),
        ("template", template_bytes(made * 2), "length 2.000 in place of 1"),
        ("template", template_bytes(made * np.float32(np.nan)), "length nan"),
    ):
        north.answer = msgspec.structs.replace(good, **{field: value})
        with pytest.raises(CommandError, match=expected):
            capture(live, "north", "alice", ENCODER, 8)
    assert "template" not in str(commands.HINTS)


@pytest.mark.parametrize("as_json", [False, True])
def test_watch_shows_live_decisions_with_names_and_ends_on_ctrl_c(
    live: Fleet, door: Callable[..., FakeDoor], as_json: bool
) -> None:
    enroll(live, "alice")
    north, south = door("north"), door("south")
    north.is_online()
    command = [sys.executable, "-u", "-m", "ostiary.fleet", "watch", "--device", "north"]
    command += ["--fleet", str(live.folder)] + ["--json"] * as_json
    environment = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    ) as watching:
        try:
            assert watching.stdout is not None
            first = watching.stdout.readline()
            assert "online" in first
            south.say("decision", decision(7), retain=False)
            for message in (decision(1), decision(1), decision(2, None, granted=False)):
                north.say("decision", message, retain=False)
            north.say("event", event("camera-lost"), retain=False)
            lines = [watching.stdout.readline() for _ in range(3)]
            watching.send_signal(signal.SIGINT)
            assert watching.wait(20) == 130
        finally:
            # If started with SIGINT ignored, as in a shell's background, it would never end.
            watching.kill()
    if as_json:
        documents = [json.loads(one) for one in lines]
        assert [d["kind"] for d in documents] == ["decision", "decision", "event"]
        assert documents[0]["subject"] == "alice"
        assert "Alice" not in "".join(lines)
    else:
        assert "granted (matched) Alice (alice)" in lines[0]
        assert "denied (unknown)" in lines[1]
        assert "camera-lost: why" in lines[2]
