"""What benchmarks of faces share: their options and errors, a door's profile, rates over people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ostiary.edge.cli.console import advice
from ostiary.edge.config import Config
from ostiary.edge.core.scores.metrics import Rate, rate_over
from ostiary.edge.errors import OstiaryError

PEOPLE = "a folder for each person"


def options(
    name: str, about: str | None, example: str, faces: str = PEOPLE
) -> argparse.ArgumentParser:
    """The options that these benchmarks share: the bundle, `--json`, and a folder of faces, which
    holds what `faces` says, or is not asked for if that is empty. `name` is the module's, `example`
    its further arguments."""
    given = f"--bundle bundle --faces DIR {example}" if faces else f"--bundle bundle {example}"
    made = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=about,
        epilog=f"example: python -m {name} {given}".rstrip(),
    )
    made.add_argument("--bundle", type=Path, required=True, help="bundle directory")
    if faces:
        made.add_argument("--faces", type=Path, required=True, help=faces)
    made.add_argument("--json", action="store_true", help="print one JSON document")
    return made


def run(measure: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """The exit code of a benchmark; 2 for bad input, which is told."""
    try:
        return measure(args)
    except OstiaryError as error:
        sys.stderr.write(f"error: {error.message} {advice(error)}\n")
        return 2


def profile(**sections: dict[str, object]) -> Config:
    """The profile of a door with these sections beside the required ones."""
    raw = {
        "device": {"site": "bench", "id": "door"}, "bundle": {"path": "b"},
        "camera": {"url": "v4l2:"}, "state": {"path": "s"}, **sections,
    }  # fmt: skip
    return msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))


def share(hits: Sequence[bool]) -> Rate:
    """The share of people with a hit, where each had one trial."""
    return rate_over(np.array(hits, np.float64), np.ones(len(hits)))


def shown(rate: Rate) -> str:
    """A rate and its interval as a table shows them."""
    return f"{rate.value:.4f} ({rate.low:.4f} to {rate.high:.4f})"
