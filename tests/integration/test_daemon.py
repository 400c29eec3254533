"""The daemon in its own process, against a real broker, real models and a real journal."""

import contextlib
import os
import shutil
import signal
from pathlib import Path

import cv2
import pytest

from ostiary.edge.core.types import Image, Template
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import INT8
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import VERIFIER
from ostiary.export.bundle import release, signing
from scripts import trial
from tests.support import made_verifier
from tests.support.doors.real_daemon import (
    PATIENCE_S,
    Door,
    Listener,
    assert_in_order,
    decided,
    wait_for_entries,
)
from tests.support.fakes import unit


def test_an_enrolled_person_is_granted_and_the_decision_says_all(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port, recognition="votes = 2")
    door.enroll(eileen)
    with door:
        assert listener.until(lambda heard: bool(heard.decisions)), door.log()
        assert door.end() == 0
    (first, *_) = listener.decisions
    assert (first.outcome.value, first.reason.value) == ("granted", "matched")
    assert (first.subject, first.seq, first.k) == ("eileen", 1, 1)
    assert first.score == pytest.approx(1.0, abs=0.01)
    assert first.encoder == eileen.encoder
    assert {"detect", "embed", "search", "total"} <= set(first.latency_ms)
    assert "door: open" in door.log()
    listener.close()


def test_the_state_is_online_offline_or_lost(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str
) -> None:
    listener = Listener(broker.port)
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port)
    with door:
        assert listener.until(lambda h: any(s.camera == "ok" for s in h.states)), door.log()
        assert listener.status == "online"
        assert listener.states[-1].backend == "openvino"
        door.end()
        assert listener.until(lambda h: h.status == "offline")
        clean = listener.states[-1].session
        door.start()
        assert listener.until(lambda h: h.status == "online")
        assert listener.states[-1].session > clean
        door.end(signal.SIGKILL)
        assert listener.until(lambda h: h.status == "lost")
        assert listener.states[-1].session > clean
    listener.close()


def test_enrolling_and_forgetting_reach_a_running_daemon(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    with Door(tmp_path / "door", bundle_dir, camera, broker.port) as door:
        assert listener.until(lambda h: bool(h.decisions)), door.log()
        assert listener.decisions[-1].reason.value == "unknown"
        door.enroll(eileen)
        assert listener.until(lambda h: h.decisions[-1].subject == "eileen")
        assert listener.until(lambda h: h.states[-1].k == 1)
    listener.close()


def test_a_card_is_verified_against_its_owner_only(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    cards = tmp_path / "cards"
    os.mkfifo(cards)
    listener = Listener(broker.port)
    door = Door(
        tmp_path / "door", bundle_dir, camera, broker.port,
        recognition='mode = "verify"\nvotes = 1\ndenials = 2',
        more=f'[claims]\nsource = "line:{cards}"\ncards = {{0042 = "eileen", 0043 = "bob"}}',
    )  # fmt: skip
    door.enroll(eileen)
    door.enroll(Template("bob", eileen.encoder, unit(range(1, 193))))
    expected = [("0042", "matched", "eileen"), ("0043", "mismatch", "bob"),
                ("eileen", "unknown", None)]  # fmt: skip
    with door:
        assert listener.until(lambda h: any(s.camera == "ok" for s in h.states)), door.log()
        assert listener.decisions == []
        for number, (card, _, _) in enumerate(expected, 1):
            with cards.open("w") as reader:
                reader.write(f"{card}\n")
            assert listener.until(decided(number)), door.log()
    found = [(d.reason.value, d.subject) for d in listener.decisions]
    assert found == [(reason, subject) for _, reason, subject in expected]
    listener.close()


@pytest.mark.parametrize(("bias", "reason"), [(20.0, "matched"), (-20.0, "mismatch")])
def test_a_claim_that_tau_lets_in_is_decided_by_the_bundles_head(
    tmp_path: Path,
    bundle_dir: Path,
    broker: trial.Mosquitto,
    camera: str,
    eileen: Template,
    bias: float,
    reason: str,
) -> None:
    """The same face, card and score; only the signed head's bias differs."""
    bundle = with_head(bundle_dir, tmp_path, bias)
    cards = tmp_path / "cards"
    os.mkfifo(cards)
    listener = Listener(broker.port)
    door = Door(
        tmp_path / "door", bundle, camera, broker.port,
        recognition='mode = "verify"\nverifier = true\nvotes = 1\ndenials = 2',
        more=f'[claims]\nsource = "line:{cards}"',
    )  # fmt: skip
    door.enroll(eileen)
    with door:
        assert listener.until(lambda h: any(s.camera == "ok" for s in h.states)), door.log()
        with cards.open("w") as reader:
            reader.write("eileen\n")
        assert listener.until(lambda h: bool(h.decisions)), door.log()
    (decision,) = listener.decisions
    assert (decision.reason.value, decision.subject) == (reason, "eileen")
    assert decision.score is not None
    assert decision.tau is not None
    assert decision.score > decision.tau
    assert decision.probability is not None
    assert decision.least_probability is not None
    assert (decision.probability >= decision.least_probability) == (reason == "matched")
    online = [state for state in listener.states if state.status == "online"]
    assert online[-1].least_probability == decision.least_probability
    assert f"probability {decision.probability:.4f}" in door.log()
    listener.close()


def with_head(bundle_dir: Path, folder: Path, bias: float) -> Path:
    """The bundle with a logistic head that rests on its bias, signed anew."""
    shutil.copytree(bundle_dir, folder / "bundle")
    loaded = bundles.read(folder / "bundle")
    int8 = loaded.manifest.files[loaded.model(INT8).file]
    head = made_verifier.made(loaded.encoder_id, loaded.dim, -0.1, bias, int8)
    held = {VERIFIER: verifier_file.to_text(head)}
    release.write_manifest(loaded.path, loaded.manifest, held)
    signing.sign_bundle(loaded.path, signing.read_seed(signing.default_key()))
    return loaded.path


def test_a_head_that_the_bundle_lacks_keeps_the_daemon_from_starting(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str
) -> None:
    door = Door(
        tmp_path / "door", bundle_dir, camera, broker.port,
        recognition='mode = "verify"\nverifier = true',
        more='[claims]\nsource = "line:cards"',
    )  # fmt: skip
    with door:
        assert door._process is not None
        assert door._process.wait(PATIENCE_S) == 2
    assert "has no verifier.json" in door.log()
    assert "ostiary-export attach" in door.log()


def test_pad_refuses_what_is_no_bona_fide_where_it_is_required(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    more = "[pad]\nrequired = true\nmin_live = 1.0\nframes = 3"
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port, more=more)
    door.enroll(eileen)
    with door:
        assert listener.until(lambda h: bool(h.decisions)), door.log()
    assert {d.reason.value for d in listener.decisions} == {"attack"}
    listener.close()


def test_templates_of_another_encoder_are_reported_and_open_nothing(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port)
    door.enroll(Template("eileen", "f" * 64, eileen.embedding))
    with door:
        assert listener.until(lambda h: "templates-unusable" in h.event_names()), door.log()
        assert listener.until(lambda h: bool(h.decisions))
    assert {d.reason.value for d in listener.decisions} == {"unknown"}
    listener.close()


def test_the_broker_may_come_later_and_nothing_is_lost(
    tmp_path: Path, bundle_dir: Path, camera: str
) -> None:
    broker = trial.Mosquitto(tmp_path / "broker")
    with Door(tmp_path / "door", bundle_dir, camera, broker.port) as door:
        journal = wait_for_entries(door, 20)
        assert journal.pending_count() >= 20
        with contextlib.ExitStack() as running:
            # The door stands still until somebody listens, or its first decisions reach nobody.
            with door.stopped():
                running.enter_context(broker)
                listener = Listener(broker.port)
            assert listener.until(lambda h: len(h.decisions) >= 40), door.log()
            listener.close()
        journal.close()
    assert_in_order(listener.decisions, first=1)


def test_the_broker_is_killed_in_mid_stream_and_every_decision_arrives(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str
) -> None:
    listener = Listener(broker.port, "lasting")
    with Door(tmp_path / "door", bundle_dir, camera, broker.port) as door:
        for number in (1, 2, 3):
            assert listener.until(decided(30 * number)), door.log()
            # Mosquitto acknowledges before it saves, so that a kill may lose what it said it took.
            # The door stands still until all is saved: what is under test here is the door.
            with door.stopped():
                listener.settle()
                broker.kill()
            broker.start()
        target = len(listener.decisions) + 40
        assert listener.until(lambda h: len(h.decisions) >= target), door.log()
        assert door.end() == 0
    journal = door.journal()
    assert journal.broken_at() is None
    written = journal.entries()[-1].seq
    assert journal.pending_count() == 0
    journal.close()
    assert listener.until(lambda h: h.decisions[-1].seq == written)
    assert_in_order(listener.decisions, first=1)
    listener.close()


def test_a_second_daemon_on_the_same_state_is_refused(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str
) -> None:
    with Door(tmp_path / "door", bundle_dir, camera, broker.port) as first:
        journal = wait_for_entries(first, 1)
        journal.close()
        second = Door(tmp_path / "two", bundle_dir, camera, broker.port, state=first.state).start()
        assert second._process is not None
        assert second._process.wait(PATIENCE_S) == 2
    assert "another ostiary runs" in second.log()


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_ends_it_also_while_the_broker_is_away(
    tmp_path: Path, bundle_dir: Path, camera: str, signals: int
) -> None:
    port = trial.free_port()
    with Door(tmp_path / "door", bundle_dir, camera, port) as door:
        wait_for_entries(door, 1).close()
        for _ in range(signals - 1):
            os.kill(door.pid, signal.SIGTERM)
        assert door.end() in ((0,) if signals == 1 else (0, 128 + signal.SIGTERM))


@pytest.mark.parametrize("attempt", range(3))
def test_a_video_that_is_stopped_in_mid_read_ends_cleanly(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, portrait: Image, attempt: int
) -> None:
    """The interpreter aborted where the camera's thread was in OpenCV at its end."""
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (640, 480))
    for _ in range(20):
        writer.write(portrait)
    writer.release()
    more = "drop = false"
    with Door(tmp_path / "door", bundle_dir, str(path), broker.port, camera_more=more) as door:
        wait_for_entries(door, 2 + 3 * attempt).close()
        assert door.end() == 0
