"""Any history of edits: numbers that only rise, sums that fit, an archive that is the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.edge.roster.record import Record, shard_of
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.archive import read_archive, write_archive
from ostiary.fleet.registry.contents import restore
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from tests.support.fleet.people import NEW, OLD, naive_sums, template

SUBJECTS = [f"p-{n}" for n in range(6)]
GROUPS = st.sampled_from([(), ("staff",), ("staff", "cleaners")])
Step = Callable[[Registry, float], object]

subjects = st.sampled_from(SUBJECTS)
numbers = st.integers(0, 3)
puts = st.builds(
    lambda s, groups, learns, t: (
        lambda r, at: r.put(Person(subject=s, groups=groups, learns=learns), t, at)
    ),
    subjects,
    GROUPS,
    st.booleans(),
    st.dictionaries(
        st.sampled_from([OLD, NEW]), st.builds(Fused, numbers.map(template), st.integers(0, 300))
    ),
)
many = st.builds(
    lambda all_of_them: (
        lambda r, at: r.put_many(
            [(Person(subject=s), {OLD: Fused(template(n))}) for s, n in all_of_them], at
        )
    ),
    st.lists(st.tuples(subjects, numbers), max_size=4),
)
adds = st.builds(
    lambda s, n: lambda r, at: r.add_templates(s, {NEW: Fused(template(n))}, at), subjects, numbers
)
plain = st.builds(
    lambda what, s: lambda r, at: getattr(r, what)(s, at),
    st.sampled_from(["revoke", "suspend", "resume", "erase"]),
    subjects,
)
raised = st.builds(lambda n: lambda r, at: r.raise_sequence(n, at), st.integers(0, 60))
histories = st.lists(st.one_of(puts, many, adds, plain, raised), max_size=25)


def edit(registry: Registry, step: Step, at: float) -> None:
    """One edit, and what must hold around any."""
    before, sequence = registry.roster.entries(), registry.roster.sequence
    try:
        step(registry, at)
    except FleetError:
        assert (registry.roster.entries(), registry.roster.sequence) == (before, sequence)
    after = registry.roster.entries()
    changed = [r for s, r in after.items() if before.get(s) != r]
    gone = before.keys() - after.keys()
    assert registry.roster.sequence >= sequence
    assert all(sequence < revision <= registry.roster.sequence for revision in changed)
    if registry.roster.sequence == sequence:
        assert after == before
    else:
        # Nothing but an edit that left nobody, or an erasure, may take a number for itself.
        assert registry.roster.sequence in after.values() or gone or not after


@settings(deadline=None, max_examples=200)
@given(histories)
def test_any_history_is_consistent_and_survives_an_archive(history: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder) / "r.db")
        for at, step in enumerate(history):
            edit(registry, step, float(at))
            if registry.roster.sequence:
                head = registry.roster.head(float(at))
                assert list(head.sums) == naive_sums(registry)
                assert head.sequence == registry.roster.sequence
        entries = registry.roster.entries()
        assert len(set(entries.values())) == len(entries)
        assert registry.roster.changed_since(0) == sorted(entries, key=entries.__getitem__)
        for subject, revision in entries.items():
            assert registry.roster.record(subject).revision == revision
            assert (subject, revision) in registry.roster.index(shard_of(subject)).entries
        compare_after_an_archive(registry, Path(folder))
        registry.close()


def compare_after_an_archive(registry: Registry, folder: Path) -> None:
    write_archive(registry, "hq", folder / "a.jsonl", lambda done, total: None)
    other = Registry(folder / "other.db")
    restore(other, read_archive(folder / "a.jsonl", "hq", lambda done, total: None), 99.0)
    assert other.people.all() == registry.people.all()
    assert records(other) == records(registry)
    assert (other.roster.sequence, other.devices.erasures()) == (
        registry.roster.sequence,
        registry.devices.erasures(),
    )
    assert other.trail.all()[:-1] == registry.trail.all()
    if registry.roster.sequence:
        assert other.roster.head(1.0) == registry.roster.head(1.0)
    other.close()


def records(registry: Registry) -> list[Record]:
    return list(registry.roster.records(sorted(registry.roster.entries())))
