"""The `ostiary` command."""

from __future__ import annotations

from ostiary.edge.cli import bench, bundles, door, photos, selftest, subjects
from ostiary.edge.cli.console import new_app, run

app = new_app(
    "Face recognition for door controllers: from the camera to a decision to the door, offline.\n\n"
    "Example: `ostiary check-config door.toml`, then `ostiary run --config door.toml`"
)
for group in (photos, subjects, door, bench, bundles, selftest):
    group.register(app)


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
