"""The `ostiary-export` command."""

from __future__ import annotations

from edge.cli.console import new_app, run
from export.cli import files, judging, making

app = new_app("Turn a trained face encoder into a proven, signed int8 bundle for door devices.")
for room in (making, judging, files):
    room.register(app)


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
