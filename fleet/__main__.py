"""The `ostiary-fleet` command."""

from __future__ import annotations

from ostiary.edge.cli.console import new_app, run
from ostiary.fleet.cli import (
    archive,
    broker,
    listing,
    live,
    people,
    provision,
    reembed,
    rights,
    setup,
)

app = new_app(
    "Enroll and revoke people once, for all doors of a site.\n\n"
    "Example: `ostiary-fleet enroll alice alice.jpg --groups staff`, then `ostiary-fleet status`"
)
for group in (setup, people, rights, listing, archive, broker, live, provision, reembed):
    group.register(app)


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
