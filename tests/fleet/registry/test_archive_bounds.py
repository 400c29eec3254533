"""What an archive may hold: nothing that a later command could not live with."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.archive import read_archive, write_archive
from ostiary.fleet.registry.registry import Registry
from tests.support.fleet.archives import resigned, silent
from tests.support.fleet.people import fill

Line = dict[str, Any]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two people, and an erasure."""
    registry = Registry(tmp_path / "old.db", who="operator")
    fill(registry, "alice", "bob", "carol")
    registry.erase("carol", 3.0)
    write_archive(registry, "hq", tmp_path / "a.jsonl", silent)
    registry.close()
    return tmp_path / "a.jsonl"


def shorter(line: Line) -> None:
    """A unit vector, but of another encoder's length."""
    ((encoder, _),) = line["templates"].items()
    line["templates"][encoder] = b64encode(np.eye(4, dtype="<f4")[0].tobytes()).decode()


def huge(line: Line) -> None:
    """Numbers whose squares are more than a float32 holds."""
    ((encoder, _),) = line["templates"].items()
    line["templates"][encoder] = b64encode(np.full(8, 3e38, "<f4").tobytes()).decode()


def setting(*path: str, to: object) -> Callable[[Line], None]:
    def change(line: Line) -> None:
        for name in path[:-1]:
            line = line[name]
        line[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("person", shorter, "another length"),
        ("person", huge, "not a unit vector"),
        ("person", setting("person", "enrolled_at_s", to=1e300), "is not a time"),
        ("person", setting("person", "enrolled_at_s", to=-1.0), "is not a time"),
        ("person", setting("person", "valid_until_s", to=1e18), "valid_until_s|< 1|no record"),
        ("trail", setting("entry", "at_s", to=1e18), "is not a time"),
        ("trail", setting("entry", "sequence", to=2**70), "is not within|too big|range"),
        ("trail", setting("entry", "sequence", to=-1), "is not within"),
        ("trail", setting("entry", "who", to="\x1b[2J"), "cannot be printed"),
        ("trail", setting("entry", "subject", to="Not One"), "not a subject id"),
        ("erasure", setting("erasure", "shard", to="zz"), "is not a shard"),
    ],
)
def test_what_would_stop_a_later_command_is_refused(
    archive: Path, kind: str, change: Callable[[Line], None], said: str
) -> None:
    lines: list[Line] = [json.loads(text) for text in archive.read_text().splitlines()]
    change([line for line in lines if line["is"] == kind][-1])
    archive.write_text(resigned("".join(json.dumps(line) + "\n" for line in lines)))
    with pytest.raises(FleetError, match=said):
        read_archive(archive, "hq", silent)


def test_written_anew_without_a_change_it_is_read(archive: Path) -> None:
    lines = [json.dumps(json.loads(text)) + "\n" for text in archive.read_text().splitlines()]
    archive.write_text(resigned("".join(lines)))
    assert len(list(read_archive(archive, "hq", silent).people)) == 2
