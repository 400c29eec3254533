"""The help of every command of the four programs: a sentence, an example, words for each option."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from tests.support.documented import APPS


def subcommands(command: Any) -> dict[str, Any]:
    """The commands of a group; of a command none."""
    return dict(getattr(command, "commands", {}))


def commands() -> Iterator[tuple[str, Any]]:
    """Every command as it is typed, groups included."""
    waiting: list[tuple[str, Any]] = [
        (name, typer.main.get_command(importlib.import_module(module).app))
        for name, module in APPS.items()
    ]
    while waiting:
        name, command = waiting.pop()
        yield name, command
        waiting += [(f"{name} {sub}", found) for sub, found in subcommands(command).items()]


@pytest.mark.parametrize(("name", "command"), [pytest.param(n, c, id=n) for n, c in commands()])
def test_a_command_explains_itself(name: str, command: Any) -> None:
    said = command.help or ""
    assert "Example" in said
    assert subcommands(command) or re.search(rf"{name}[ `\n]", said)
    first = said.split("\n\n")[0].strip()
    assert first[0].isupper()
    assert first.endswith((".", ")"))
    if name.startswith("ostiary-fleet ") and not subcommands(command):
        assert f"Example: `{name}" in said
        assert any("--json" in parameter.opts for parameter in command.params)
    for parameter in command.params:
        words = getattr(parameter, "help", "") or ""
        assert len(words.split()) >= 2, f"{name}: {parameter.name}"
        assert words[0].isupper() or not words[0].isalpha(), f"{name}: {words}"
