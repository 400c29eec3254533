"""Fills in a board's profile with the fleet's values; all other lines stay unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ostiary.fleet.errors import FleetError

PROFILES = Path(__file__).parent.parent / "profiles"
"""The folder firmware_configs; the wheel holds a copy of it."""
_TABLE = re.compile(r"#?\[([a-z]+)\]\s*(#.*)?")
_KEY = re.compile(r"#?([a-z_]+) = .*")

Value = str | int | tuple[str, ...] | None


def boards() -> list[str]:
    """The names of the boards that have a profile."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def board_profile(board: str) -> str:
    """The text of a board's profile. Raises FleetError, naming the known boards."""
    if board not in boards():
        known = ", ".join(boards())
        raise FleetError(
            f"there is no profile for {board!r}",
            f"known boards: {known}; or give a profile of your own",
            option="profile",
        )
    return (PROFILES / f"{board}.toml").read_text("utf-8")


def filled(text: str, wanted: Mapping[str, Mapping[str, Value]]) -> str:
    """A profile with the `wanted` keys set, by table; None comments a key out.

    A commented line is uncommented if its key is wanted; a key without a line is added.
    """
    lines: list[str] = []
    left = {table: dict(keys) for table, keys in wanted.items()}
    table = ""
    for line in text.splitlines():
        head = _TABLE.fullmatch(line)
        if head is not None:
            lines += _added(left, table)
            table = head[1]
            lines.append(line.removeprefix("#") if table in left else line)
            continue
        key = _KEY.fullmatch(line)
        if key is None or key[1] not in left.get(table, {}):
            # If a key is set already, its alternative lines stay comments.
            lines.append(line)
            continue
        value = left[table].pop(key[1])
        if value is not None:
            lines.append(f"{key[1]} = {_text(value)}")
        else:
            lines.append(f"#{line.removeprefix('#')}")
    lines += _added(left, table)
    for name, keys in left.items():
        if any(value is not None for value in keys.values()):
            lines += ["", f"[{name}]"]
            lines += [f"{k} = {_text(v)}" for k, v in keys.items() if v is not None]
    return "\n".join(lines) + "\n"


def _added(left: dict[str, dict[str, Value]], table: str) -> list[str]:
    """Lines to add at the end of a table, for the wanted keys that had no line in it."""
    keys = left.pop(table, {})
    return [f"{key} = {_text(value)}" for key, value in keys.items() if value is not None]


def _text(value: str | int | tuple[str, ...]) -> str:
    # The JSON text of these types is TOML as well.
    return json.dumps(list(value) if isinstance(value, tuple) else value)
