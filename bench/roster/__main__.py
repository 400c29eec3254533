"""The roster over a default Mosquitto: a new device, a reconnect, a fleet that follows."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from bench.roster import daemon, fleet, retained, sync
from bench.roster.table import Row, shown

PARTS = ("sync", "reconnect", "fleet", "retained", "daemon")
FLEET = (10, 100, 300)
"""Smaller fleets beside the one that was asked for, to see what a device more costs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; exit code 1 where one is worse than promised."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m bench.roster --subjects 10000 100000",
    )
    parser.add_argument("--subjects", type=int, nargs="+", default=[10_000])
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--changes", type=int, default=5, help="revocations a fleet")
    parser.add_argument("--fleet-subjects", type=int, default=100, help="what the fleet holds")
    parser.add_argument("--part", choices=[*PARTS, "all"], nargs="+", default=["all"])
    parser.add_argument("--bundle", type=Path, help="also measure a whole daemon with its models")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        rows = list(_measure(given, Path(name)))
    if given.json:
        sys.stdout.write(json.dumps([row.as_json() for row in rows]) + "\n")
    else:
        Console(width=None if sys.stdout.isatty() else 110).print(shown(rows))
    return 1 if any(row.verdict == "missed" for row in rows) else 0


def _measure(given: argparse.Namespace, folder: Path) -> Iterator[Row]:
    parts = PARTS if "all" in given.part else tuple(given.part)
    for subjects in given.subjects:
        if {"sync", "reconnect"} & set(parts):
            yield from sync.measure(folder / f"sync-{subjects}", subjects, parts, _told)
        if "daemon" in parts and given.bundle is not None:
            where = folder / f"daemon-{subjects}"
            yield from daemon.measure(where, given.bundle.resolve(), subjects, _told)
    if "fleet" in parts:
        sizes = [*(size for size in FLEET if size < given.devices), given.devices]
        where = folder / "fleet"
        subjects = given.fleet_subjects
        yield from fleet.measure(where, sizes, subjects, given.changes, _told)
    if "retained" in parts:
        yield from retained.measure(folder / "retained", min(given.subjects), _told)


def _told(text: str) -> None:
    sys.stderr.write(f"{text} ...\n")


if __name__ == "__main__":
    sys.exit(main())
