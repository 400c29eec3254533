"""What an operator wants changed about a person: groups, rights, and that each slip is named."""

from __future__ import annotations

import pytest

from ostiary.edge.roster.record import Hours
from ostiary.fleet.enrollment.patch import PersonWish, read_groups, read_wish
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import Person

DAY_S = 86400.0
NOW_S = 1_795_341_600.0
"""22 November 2026, 10:00 UTC."""


def test_groups_are_known_ones_and_each_counts_once() -> None:
    known = ("staff", "cleaners")
    assert read_groups("staff, cleaners;staff", known) == ("staff", "cleaners")
    assert read_groups("", known) == ()
    with pytest.raises(FleetError, match="unknown group 'stfaf'; known: cleaners, staff"):
        read_groups("stfaf", known)
    with pytest.raises(FleetError, match="known: none"):
        read_groups("staff", ())


def test_a_wish_changes_what_it_names_and_takes_away_what_is_empty() -> None:
    alice = Person(
        subject="alice", name="Alice", groups=("staff",), valid_from_s=1.0, valid_until_s=2.0,
        schedule=(Hours(1, 0, 60),), suspended=True, revision=7,
    )  # fmt: skip
    assert PersonWish().of(alice) == alice
    emptied = read_wish(("staff",), NOW_S, "", "", "", "", "").of(alice)
    assert emptied == Person(subject="alice", suspended=True, revision=7)
    assert PersonWish(groups=("cleaners",)).of(alice).schedule == alice.schedule


def test_until_before_from_is_refused_also_across_two_commands() -> None:
    alice = Person(subject="alice", valid_from_s=NOW_S + 10 * DAY_S)
    with pytest.raises(FleetError, match=r"valid from .*, but only until"):
        read_wish((), NOW_S, valid_until="2026-11-25").of(alice)
