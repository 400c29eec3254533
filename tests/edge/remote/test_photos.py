"""From the operator's record to the gallery's counts: how many photos a template was made from."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer.testing

from ostiary.edge.__main__ import app
from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.remote.stored import load
from tests.support.doors.remote_door import Door
from tests.support.fakes import curves
from tests.support.roster.operator import DIM, ENCODER, Operator

PROFILE = """
[device]
site = "hq"
id = "door"
[bundle]
path = "bundle"
[camera]
url = "v4l2:"
[state]
path = "state"
[mqtt]
host = "none"
[roster]
operators = "operators"
site_key = "site-key"
"""


@pytest.fixture
def stored_roster(door: Door, operator: Operator, tmp_path: Path) -> Path:
    """The profile of a door that stored a roster: alice with two photos and consent, bob with an
    unknown number, carol with nine, dave revoked."""
    operator.enroll("alice", 1, photos={ENCODER: 2}, learns=True)
    operator.enroll("bob", 2)
    operator.enroll("carol", 3, photos={ENCODER: 9})
    operator.enroll("dave", 4, photos={ENCODER: 1})
    operator.revoke("dave")
    door.broker.keep(operator.everything())
    door.turns()
    profile = tmp_path / "door.toml"
    profile.write_text(PROFILE)
    return profile


@pytest.mark.usefixtures("stored_roster")
def test_the_stored_roster_tells_the_gallery(door: Door) -> None:
    enrolled = Enrolled(DIM, curves(), door.config)
    load(door.config, enrolled, cast(Any, SimpleNamespace(encoder_id=ENCODER, dim=DIM)))
    assert enrolled.by_photos == {0: 1, 1: 0, 2: 1, 3: 1}


def test_the_door_lists_what_the_roster_says_of_photos_and_consent(stored_roster: Path) -> None:
    asked = ["subjects", "--config", str(stored_roster)]
    said = typer.testing.CliRunner().invoke(app, [*asked, "--json"])
    assert said.exit_code == 0, said.output
    assert [(row["subject"], row["photos"], row["learns"]) for row in json.loads(said.output)] == [
        ("alice", {ENCODER: 2}, True),
        ("bob", {}, False),
        ("carol", {ENCODER: 9}, False),
    ]
