"""Measure the memory that a default broker needs for a roster: bytes per subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.roster.operator import Counted, Operator, publish
from bench.roster.table import Figure
from ostiary.fleet.broker.session import Retained

DIMS = (128, 192, 512)
ENCODERS = ("ab" * 32, "cd" * 32)

Told = Callable[[str], None]


def measure(folder: Path, subjects: int, told: Told) -> list[Figure]:
    """Two figures for each size of template, with one encoder and with two."""
    return [
        row
        for dim in DIMS
        for count in (1, 2)
        for row in _kept(folder / f"{dim}-{count}", subjects, dim, count, told)
    ]


def _kept(folder: Path, subjects: int, dim: int, count: int, told: Told) -> list[Figure]:
    name = f"retained, {dim} values, {count} encoder{'s' if count > 1 else ''}"
    told(f"{name}, {subjects:,} subjects")
    operator = Operator(ENCODERS[:count], dim)
    sizes: list[int] = []
    with Counted(folder) as broker:
        before_mb = broker.memory_mb

        def counted() -> Iterator[Retained]:
            for message in operator.enroll(range(subjects)):
                if "/subject/" in message.topic:
                    sizes.append(len(message.topic) + len(message.payload))
                yield message

        publish(broker.port, counted())
        held = (broker.memory_mb - before_mb) * (1 << 20) / subjects
    return [
        Figure(name, "a record with its topic", sum(sizes) / len(sizes), "B"),
        Figure(name, "broker's memory a subject", held, "B"),
    ]
