"""The people of a door without a fleet, as somebody types it: names, last days, suspension, and the
look-alike guard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from ostiary.edge.__main__ import app
from ostiary.edge.adapters.storage.state_dir import STORE
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.types import Template
from ostiary.edge.errors import RequestError
from tests.support.fakes import unit
from tests.support.places import ostiary, refused

PROFILE = """
[device]
site = "test"
id = "door"
[bundle]
path = "{bundle}"
[camera]
url = "v4l2:"
[state]
path = "state"
[access]
timezone = "Asia/Tokyo"
"""
ROSTER = '[mqtt]\nhost = "h"\n[roster]\noperators = "keys"\nsite_key = "site.key"\n'


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A door at which alice is enrolled; it needs no models for what changes no template."""
    path = tmp_path / "door.toml"
    path.write_text(PROFILE.format(bundle="bundle"))
    store = Store(tmp_path / "state" / STORE)
    store.put(Template("alice", "e" * 64, unit([1.0, 2.0, 3.0]), 2), 1000.0)
    store.close()
    return path


def run(command: str, profile: Path, *arguments: str) -> typer.testing.Result:
    given = [command, "--config", str(profile), *arguments]
    return typer.testing.CliRunner().invoke(app, given, env={"COLUMNS": "200"})


def told(command: str, profile: Path, *arguments: str) -> str:
    done = run(command, profile, *arguments)
    assert done.exit_code == 0, done.exception
    return " ".join(done.output.split())


def listed(profile: Path) -> dict[str, Any]:
    (row,) = json.loads(run("subjects", profile, "--json").output)
    return dict(row)


def test_a_name_and_a_last_day_are_set_listed_and_taken_away(profile: Path) -> None:
    wish = ("alice", "--name", "Alice Smith", "--until", "2996-12-31")
    assert told("change", profile, *wish) == "changed alice"
    assert told("change", profile, *wish) == "alice has these rights already"
    assert listed(profile) == {
        "subject": "alice",
        "name": "Alice Smith",
        "state": "active",
        "suspended": False,
        # The whole day, in the door's time zone.
        "valid_until": "2996-12-31T15:00:00.000Z",
        "enrolled_at": 1000.0,
        "encoders": ["e" * 64],
        "photos": {"e" * 64: 2},
    }
    table = told("subjects", profile)
    assert "Alice Smith" in table
    assert "2997-01-01 00:00" in table
    told("change", profile, "alice", "--name", "", "--until", "")
    found = listed(profile)
    assert (found["name"], found["valid_until"]) == ("", None)


def test_suspend_and_resume_say_what_they_did(profile: Path) -> None:
    assert told("suspend", profile, "alice") == "suspended alice"
    assert told("suspend", profile, "alice") == "alice is already suspended"
    assert (listed(profile)["state"], listed(profile)["suspended"]) == ("suspended", True)
    assert "suspended" in told("subjects", profile)
    told("change", profile, "alice", "--name", "Alice")
    assert listed(profile)["suspended"] is True
    done = run("resume", profile, "alice", "--json")
    assert json.loads(done.output) == {"subject": "alice", "changed": True}
    assert told("resume", profile, "alice") == "alice is already resumed"
    assert listed(profile)["state"] == "active"


def test_an_end_that_came_is_listed_as_expired(profile: Path, tmp_path: Path) -> None:
    told("change", profile, "alice", "--until", "2996-12-31")
    store = Store(tmp_path / "state" / STORE)
    # The store knows of a later time than this machine's clock: as on a board without a battery.
    store.put(Template("alice", "e" * 64, unit([1.0, 2.0, 3.0]), 2), 4e10)
    store.close()
    assert listed(profile)["state"] == "expired"


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("suspend", ("bob",), "bob is not enrolled here"),
        ("resume", ("bob",), "bob is not enrolled here"),
        ("forget", ("bob",), "bob is not enrolled here"),
        ("change", ("bob", "--name", "Bob"), "bob is not enrolled here"),
        ("suspend", ("A b",), "'A b' is not a subject id"),
        ("change", ("alice",), "nothing to change is named"),
        ("change", ("alice", "--name", "x" * 201), "a name has at most 200 printable characters"),
        ("change", ("alice", "--name", "a\nb"), "a name has at most 200 printable characters"),
        ("change", ("alice", "--until", "soon"), "'soon' is not a date"),
        ("change", ("alice", "--until", "2001-01-01"), "2001-01-01: that is in the past"),
        ("enroll", ("alice", "none.jpg", "--until", "soon"), "'soon' is not a date"),
    ],
)
def test_slips_are_named_and_change_nothing(
    profile: Path, command: str, arguments: tuple[str, ...], message: str
) -> None:
    before = listed(profile)
    done = run(command, profile, *arguments)
    assert isinstance(done.exception, RequestError)
    assert message in str(done.exception)
    assert listed(profile) == before


@pytest.mark.parametrize("command", ["change", "suspend", "resume"])
def test_a_door_that_follows_the_roster_leaves_people_to_the_operator(
    profile: Path, command: str
) -> None:
    profile.write_text(profile.read_text() + ROSTER)
    more = ("--name", "Alice") if command == "change" else ()
    text = refused(command, "--config", profile, "alice", *more)
    assert "follows the fleet's roster" in text
    assert "ostiary-fleet" in text


def test_a_store_that_cannot_be_read_suspends_nobody_in_silence(
    profile: Path, tmp_path: Path
) -> None:
    for path in (tmp_path / "state").iterdir():
        path.unlink()
    (tmp_path / "state" / STORE).write_bytes(b"not a database at all" * 100)
    assert "not a database" in refused("suspend", "--config", profile, "alice")


def test_a_look_alike_is_refused_by_name_unless_it_is_forced(
    bundle_dir: Path, portrait_file: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "real.toml"
    profile.write_text(PROFILE.format(bundle=bundle_dir))
    asked = ("enroll", "--config", profile)
    assert ostiary(*asked, "eileen", portrait_file, "--name", "Eileen").returncode == 0
    text = refused(*asked, "twin", portrait_file)
    assert "twin: this looks like the same person who is enrolled as eileen" in text
    assert "to enroll twin anyway: --force-look-alike" in text
    assert [row["name"] for row in (listed(profile),)] == ["Eileen"]
    forced = (*asked, "twin", portrait_file, "--until", "2996-12-31", "--force-look-alike")
    done = ostiary(*forced, "--json")
    assert json.loads(done.stdout)["look_alike"]["subject"] == "eileen"
    assert "enrolled as eileen" in done.stderr
    told("suspend", profile, "twin")
    told("suspend", profile, "eileen")
    # Enrolled again, without a word on rights: these stay.
    assert ostiary(*asked, "eileen", portrait_file, "--force-look-alike").returncode == 0
    rows = json.loads(run("subjects", profile, "--json").output)
    assert [(r["subject"], r["name"], r["state"]) for r in rows] == [
        ("eileen", "Eileen", "suspended"),
        ("twin", "", "suspended"),
    ]
    told("forget", profile, "twin")
    denied = ostiary("identify", "--config", profile, portrait_file, "--json")
    decision = json.loads(denied.stdout)["decision"]
    assert denied.returncode == 1
    assert (decision["reason"], decision["subject"]) == ("suspended", "eileen")
    told("resume", profile, "eileen")
    assert ostiary("identify", "--config", profile, portrait_file).returncode == 0
