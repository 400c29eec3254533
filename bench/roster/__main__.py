"""Measure the roster over a default Mosquitto: a new device, a reconnect, a whole fleet."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from bench.roster import daemon, fleet, retained, sync
from bench.roster.table import Figure, shown

PARTS = ("sync", "reconnect", "fleet", "retained", "daemon")
FLEET = (10, 100, 300)
"""Smaller fleets, measured too, which show what one more device costs."""


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.roster",
        description=__doc__,
        epilog="example: python -m bench.roster --subjects 10000 100000",
    )
    options.add_argument(
        "--subjects", type=int, nargs="+", default=[10_000], help="sizes of the roster to measure"
    )
    options.add_argument("--devices", type=int, default=1_000, help="devices in the largest fleet")
    options.add_argument("--changes", type=int, default=5, help="revocations measured per fleet")
    options.add_argument(
        "--fleet-subjects", type=int, default=100, help="subjects in the fleet's roster"
    )
    options.add_argument(
        "--part", choices=[*PARTS, "all"], nargs="+", default=["all"], help="parts to measure"
    )
    options.add_argument(
        "--bundle", type=Path, help="bundle of the whole daemon; without it that part is left out"
    )
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; exit code 1 if one is worse than promised."""
    given = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        rows = list(_measure(given, Path(name)))
    if given.json:
        sys.stdout.write(json.dumps([row.as_json() for row in rows]) + "\n")
    else:
        Console(width=None if sys.stdout.isatty() else 110).print(shown(rows))
    return 1 if any(row.verdict == "missed" for row in rows) else 0


def _measure(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
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
