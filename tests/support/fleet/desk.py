"""A fleet that `init` made, and commands typed at it, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ostiary.fleet.__main__ import main
from ostiary.fleet.registry.registry import Registry


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def typed(*arguments: object) -> Said:
    """Run `ostiary-fleet` as a user would."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["ostiary-fleet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Said(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def refused(*arguments: object) -> str:
    """What a command says when it refuses its input."""
    said = typed(*arguments)
    assert said.code == 2, said
    assert said.err.startswith("error: ")
    return said.err


class Desk:
    """A fleet that `init` made, and commands typed at it; nothing is published unless asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, name: str, *arguments: object, code: int = 0) -> Any:
        """What a command says as JSON: of `list` a list, of the others an object."""
        done = typed(name, *arguments, "--fleet", self.folder, "--json")
        assert done.code == code, done
        return json.loads(done.out)

    def quiet(self, name: str, *arguments: object, code: int = 0) -> Any:
        return self.run(name, *arguments, "--no-publish", code=code)

    def refused(self, name: str, *arguments: object) -> str:
        """What is said in refusal; the registry is as it was."""
        before = self.state()
        said = refused(name, *arguments, "--fleet", self.folder)
        assert self.state() == before
        return said

    def state(self) -> object:
        registry = Registry(self.folder / "registry.db")
        found = registry.people.all(), registry.roster.sequence, registry.trail.all()
        registry.close()
        return found

    def subjects(self) -> set[str]:
        registry = Registry(self.folder / "registry.db")
        found = set(registry.roster.entries())
        registry.close()
        return found


def init(folder: Path, bundle_dir: Path, *options: object) -> Desk:
    made = typed(
        "init", folder, "--site", "hq", "--bundle", bundle_dir, "--broker", "127.0.0.1:1",
        "--group", "staff", "--group", "cleaners", *options,
    )  # fmt: skip
    assert made.code == 0, made
    return Desk(folder)
