"""The pages of docs/ are true: every key of a profile, every field and event on the wire."""

import json
import re
from pathlib import Path

import cv2
import msgspec
import numpy as np

from ostiary.edge.config import Config
from ostiary.edge.remote import commands
from ostiary.edge.wire import (
    DecisionMessage,
    EventMessage,
    Response,
    RosterMessage,
    StateMessage,
    TelemetryMessage,
)
from scripts import contact_sheet
from tests.support.places import ROOT

PROFILE = (ROOT / "docs" / "profile.md").read_text()
MQTT = (ROOT / "docs" / "mqtt.md").read_text()


def test_the_index_leads_to_every_page() -> None:
    """Every document of docs/, decision records included, and those at the top."""
    index = (ROOT / "docs" / "index.md").read_text()
    linked = set(re.findall(r"\]\(([^)]+)\)", index))
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert pages - {"index.md"} <= linked
    assert {f"../{page.name}" for page in ROOT.glob("*.md")} <= linked


def test_the_diagrams_hold_no_semicolon() -> None:
    """Mermaid takes one for the end of the line, and then draws nothing at all."""
    for page in (ROOT / "docs").rglob("*.md"):
        for diagram in re.findall(r"```mermaid\n(.*?)```", page.read_text(), re.S):
            assert ";" not in diagram, page


def test_the_contact_sheet_can_be_drawn_again(tmp_path: Path) -> None:
    contact_sheet.main(tmp_path / "sheet.png")
    drawn, shown = (
        cv2.imread(str(path)) for path in (tmp_path / "sheet.png", contact_sheet.TARGET)
    )
    assert drawn is not None
    assert shown is not None
    assert drawn.shape == shown.shape
    # Versions of OpenCV differ by a little along edges.
    assert np.abs(drawn.astype(int) - shown.astype(int)).mean() < 2


def test_every_key_of_the_profile_is_explained() -> None:
    for table in msgspec.structs.fields(Config):
        rows = PROFILE.split(f"| `[{table.name}]` |")[1].split("| `[")[0]
        kind = table.type if isinstance(table.type, type) else table.type.__args__[0]
        named = set(re.findall(r"`([a-z_]+)`", rows))
        for key in msgspec.structs.fields(kind):
            assert key.name in named, f"{table.name}.{key.name}"


def test_the_examples_are_the_messages() -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", MQTT, re.S)]
    kinds: tuple[type[msgspec.Struct], ...] = (
        DecisionMessage,
        StateMessage,
        EventMessage,
        TelemetryMessage,
        RosterMessage,
        Response,
    )
    for example, kind in zip(examples, kinds, strict=True):
        assert set(example) == {field.name for field in msgspec.structs.fields(kind)}
        msgspec.convert(example, kind)


def test_every_event_is_named() -> None:
    code = "\n".join(p.read_text() for p in (ROOT / "edge").rglob("*.py"))
    raised = set(re.findall(r'(?:\.event\(|CameraEvent\(|says\()\s*"([a-z-]+)"', code))
    raised |= {"claims-lost", "claims-back", commands.REFUSED}
    assert raised == set(
        re.findall(r"`([a-z]+-[a-z]+)`", MQTT.split("Events: ")[1].split("```")[0])
    )
