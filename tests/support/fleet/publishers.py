"""Publish to a broker in memory, and what must hold afterwards."""

from __future__ import annotations

from typing import Any

from ostiary.edge.roster.record import Index
from ostiary.fleet.publishing import publish as publishing
from ostiary.fleet.publishing.publish import Published
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.memory_broker import Door, Kept


def publish(fleet: Fleet, kept: Kept, now: float = 5000.0, **more: Any) -> Published:
    return publishing.publish(fleet, wall=lambda: now, connect=kept.connect, **more)


def publish_changes(fleet: Fleet, kept: Kept, now: float = 5000.0) -> Published:
    return publishing.publish_changes(fleet, wall=lambda: now, connect=kept.connect)


def pulled(fleet: Fleet, kept: Kept) -> Door:
    door = Door(fleet)
    door.pull(kept.kept)
    door.check()
    return door


def assert_equal(fleet: Fleet, kept: Kept) -> None:
    """A device that only reads what is retained ends with what the registry says, and nothing
    else is retained."""
    door, registry = pulled(fleet, kept), fleet.registry()
    assert door.complete
    assert {s: r.revision for s, r in door.records.items()} == registry.roster.entries()
    for subject, record in door.records.items():
        assert record == registry.roster.record(subject)
    voice = Voice(fleet)
    known = {voice.topic_of(s) for s in registry.roster.entries()} | {voice.topics.head}
    known |= {voice.topics.index(name) for name in registry.roster.changed_shards(0)}
    assert kept.kept.keys() == known
    for name in registry.roster.changed_shards(0):
        topic = voice.topics.index(name)
        assert voice.opened(topic, kept.kept[topic], Index) == registry.roster.index(name)
