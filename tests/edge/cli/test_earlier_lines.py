"""Command lines of earlier versions, which scripts still hold."""

from __future__ import annotations

import pytest

from ostiary.edge.__main__ import subject_in_place


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("enroll --config d --subject alice a.jpg", "enroll alice --config d a.jpg"),
        ("forget --subject=alice --config d", "forget alice --config d"),
        ("enroll --config d alice a.jpg", "enroll --config d alice a.jpg"),
        ("enroll --subject", "enroll --subject"),
        ("watch --subject alice", "watch --subject alice"),
    ],
)
def test_a_command_line_of_an_earlier_version_is_understood(words: str, wanted: str) -> None:
    assert subject_in_place(words.split()) == wanted.split()
