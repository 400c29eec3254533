"""People of a made-up registry, their templates for two encoders, and sums computed slowly."""

from __future__ import annotations

import numpy as np

from ostiary.edge.core.types import Floats
from ostiary.edge.roster.record import shard_names, shard_of, sum_of
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from tests.support.fakes import unit

OLD, NEW = "a" * 64, "b" * 64


def template(number: int, dim: int = 8) -> Floats:
    return unit(np.random.default_rng(number).standard_normal(dim))


def fill(registry: Registry, *subjects: str) -> None:
    registry.put_many(
        [(Person(subject=s), {OLD: Fused(template(n))}) for n, s in enumerate(subjects)], 10.0
    )


def naive_sums(registry: Registry) -> list[object]:
    """The head's sums from all entries, the slow way."""
    shards: dict[str, dict[str, int]] = {name: {} for name in shard_names()}
    for subject, revision in registry.roster.entries().items():
        shards[shard_of(subject)][subject] = revision
    return [sum_of(shards[name]) for name in shard_names()]
