"""The `ostiary` command."""

from __future__ import annotations

import sys

from ostiary.edge.cli import (
    bench,
    bundles,
    door,
    learned,
    lockouts,
    pad,
    people,
    photos,
    profiles,
    selftest,
    subjects,
)
from ostiary.edge.cli.console import new_app, run

app = new_app(
    "Face recognition for door controllers: from the camera to a decision to the door, offline.\n\n"
    "Example: `ostiary check-config door.toml`, then `ostiary run --config door.toml`"
)
COMMANDS = (
    photos,
    people,
    subjects,
    learned,
    lockouts,
    door,
    profiles,
    bench,
    bundles,
    selftest,
    pad,
)
for group in COMMANDS:
    group.register(app)


def main() -> None:
    """The entry point of the installed script."""
    sys.argv[1:] = subject_in_place(sys.argv[1:])
    run(app)


def subject_in_place(words: list[str]) -> list[str]:
    """A command line of an earlier version, `enroll --subject alice ...`, as it is written now."""
    if words[:1] not in (["enroll"], ["forget"]):
        return words
    for at, word in enumerate(words):
        if word.startswith("--subject="):
            return [words[0], word.partition("=")[2], *words[1:at], *words[at + 1 :]]
        if word == "--subject" and at + 1 < len(words):
            return [words[0], words[at + 1], *words[1:at], *words[at + 2 :]]
    return words


if __name__ == "__main__":
    main()
