"""The policy as lists of timed events: people walk up, hold cards, wear masks and lose patience."""

from dataclasses import replace
from typing import Any

import pytest

from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.rules.evidence import Claim, Evidence, Tick
from ostiary.edge.core.rules.policy import State, step
from ostiary.edge.core.rules.reading import judge
from ostiary.edge.core.types import Candidate, Decision, Outcome, Reason
from tests.support.policy_run import CARD, IDENTIFY, TAU, VERIFY, K, outcomes, run


def seen(*candidates: tuple[str, float], track: int = 1, **fields: Any) -> Evidence:
    found = tuple(Candidate(subject, score) for subject, score in candidates)
    return Evidence(track, TAU, K, candidates=found, **fields)


ALICE = seen(("alice", 0.8), ("bob", 0.2))
BOB = seen(("bob", 0.7), ("alice", 0.1))
STRANGER = seen(("alice", 0.3), ("bob", 0.2))
SUSPENDED = replace(ALICE, barred=Reason.SUSPENDED)
BARRING = ["not-here", "outside-schedule", "expired", "suspended", "roster-stale"]
TWINS = seen(("alice", 0.80), ("bob", 0.78))
BLURRED = Evidence(1, TAU, K, failures=("blurred",))
MASKED = Evidence(1, TAU, K, failures=("covered", "turned"))


def test_an_enrolled_person_is_granted_after_the_votes_and_no_sooner() -> None:
    assert outcomes(IDENTIFY, [ALICE]) == []
    assert run(IDENTIFY, [ALICE, ALICE]) == [
        (0.1, Decision(Outcome.GRANTED, Reason.MATCHED, "alice", 0.8, TAU, K, 1))
    ]


def test_a_stranger_is_denied_after_the_denials_and_is_not_named() -> None:
    assert outcomes(IDENTIFY, [STRANGER] * 3) == []
    assert outcomes(IDENTIFY, [STRANGER] * 4) == [("denied", "unknown", None)]


def test_a_score_at_tau_passes_and_just_below_does_not() -> None:
    assert outcomes(IDENTIFY, [seen(("alice", TAU))] * 2) == [("granted", "matched", "alice")]
    assert outcomes(IDENTIFY, [seen(("alice", TAU - 1e-9))] * 4) == [("denied", "unknown", None)]


def test_look_alikes_are_refused_not_guessed() -> None:
    assert outcomes(IDENTIFY, [TWINS] * 4) == [("denied", "ambiguous", "alice")]


def test_votes_must_be_in_a_row_and_for_one_subject() -> None:
    assert outcomes(IDENTIFY, [ALICE, BOB, ALICE, BOB]) == []
    assert outcomes(IDENTIFY, [ALICE, STRANGER, ALICE, STRANGER]) == []


def test_votes_of_two_tracks_do_not_add_up() -> None:
    assert outcomes(IDENTIFY, [ALICE, replace(ALICE, track=2)]) == []


def test_an_empty_gallery_knows_nobody() -> None:
    assert outcomes(IDENTIFY, [seen()] * 4) == [("denied", "unknown", None)]


@pytest.mark.parametrize("reason", BARRING)
def test_who_is_recognised_and_barred_is_denied_by_name_after_the_votes(reason: str) -> None:
    event = replace(ALICE, barred=Reason(reason))
    assert run(IDENTIFY, [event]) == []
    assert run(IDENTIFY, [event, event]) == [
        (0.1, Decision(Outcome.DENIED, Reason(reason), "alice", 0.8, TAU, K, 1))
    ]


@pytest.mark.parametrize("reason", BARRING)
def test_a_card_of_somebody_barred_is_denied_once_and_needs_their_face(reason: str) -> None:
    mine = replace(seen(("alice", 0.9)), barred=Reason(reason))
    assert outcomes(VERIFY, [CARD] + [mine] * 20) == [("denied", reason, "alice")]
    assert run(VERIFY, [CARD] + [mine] * 20)[0][0] == 0.2
    other = replace(seen(("alice", 0.2)), barred=Reason(reason))
    assert outcomes(VERIFY, [CARD] + [other] * 20) == [("denied", "mismatch", "alice")]
    again = [CARD] + [mine] * 2
    assert outcomes(VERIFY, again * 2) == [("denied", reason, "alice")] * 2


def test_whoever_is_not_recognised_is_not_told_that_somebody_is_barred() -> None:
    for event, expected in (
        (STRANGER, ("denied", "unknown", None)),
        (TWINS, ("denied", "ambiguous", "alice")),
        (seen(("alice", float("nan"))), ("denied", "unknown", None)),
        (seen(("alice", 0.8), ("bob", float("nan"))), ("denied", "ambiguous", "alice")),
        (seen(), ("denied", "unknown", None)),
    ):
        barred = replace(event, barred=Reason.SUSPENDED)
        assert outcomes(IDENTIFY, [barred] * 3) == []
        assert outcomes(IDENTIFY, [barred] * 4) == [expected]
    rules = replace(IDENTIFY, require_pad=True)
    attack = replace(SUSPENDED, presentation=Presentation.ATTACK)
    assert outcomes(rules, [attack] * 4) == [("denied", "attack", None)]
    assert outcomes(rules, [SUSPENDED] * 9) == [], "nobody knows yet whether it is a face"


def test_somebody_barred_who_stays_is_denied_once_a_visit() -> None:
    assert [t for t, _ in run(IDENTIFY, [SUSPENDED] * 60)] == [0.1]
    assert len(run(IDENTIFY, [SUSPENDED] * 3 + [replace(SUSPENDED, track=2)] * 3)) == 2


def test_a_bar_that_falls_opens_and_one_that_rises_closes_by_votes_of_its_own() -> None:
    early = replace(ALICE, barred=Reason.OUTSIDE_SCHEDULE)
    assert run(IDENTIFY, [early] * 3 + [ALICE] * 2)[1] == (
        0.4, Decision(Outcome.GRANTED, Reason.MATCHED, "alice", 0.8, TAU, K, 1)
    )  # fmt: skip
    assert outcomes(IDENTIFY, [early, ALICE, SUSPENDED, ALICE, early]) == []
    assert outcomes(IDENTIFY, [ALICE, SUSPENDED, SUSPENDED]) == [("denied", "suspended", "alice")]


def test_a_denied_face_may_still_be_granted_once_it_turns_to_the_camera() -> None:
    assert outcomes(IDENTIFY, [STRANGER] * 4 + [ALICE] * 2) == [
        ("denied", "unknown", None),
        ("granted", "matched", "alice"),
    ]


def test_a_face_that_is_never_usable_is_denied_when_patience_ends() -> None:
    decisions = run(IDENTIFY, [BLURRED] * 25)
    assert [(t, d.reason) for t, d in decisions] == [(2.0, Reason.LOW_QUALITY)]
    assert decisions[0][1].score is None


def test_one_usable_frame_starts_patience_over() -> None:
    assert outcomes(IDENTIFY, [BLURRED] * 15 + [STRANGER] + [BLURRED] * 15) == []


def test_a_face_that_is_covered_in_most_frames_is_told_so() -> None:
    for frames, reason in (
        ([MASKED] * 25, Reason.COVERED),
        ([MASKED, MASKED, BLURRED] * 8, Reason.COVERED),
        ([BLURRED, BLURRED, MASKED] * 8, Reason.LOW_QUALITY),
        # What a usable frame ended counts no more.
        ([BLURRED] * 15 + [STRANGER] + [MASKED] * 25, Reason.COVERED),
    ):
        assert [d.reason for _, d in run(IDENTIFY, frames)] == [reason]
    assert [t for t, _ in run(IDENTIFY, [MASKED] * 25)] == [2.0]


def test_a_blurred_face_is_not_called_covered() -> None:
    unsure = replace(MASKED, failures=("covered", "blurred"))
    assert outcomes(IDENTIFY, [unsure] * 25) == [("denied", "low-quality", None)]


def test_who_puts_on_a_mask_after_the_grant_is_not_denied() -> None:
    assert outcomes(IDENTIFY, [ALICE] * 2 + [MASKED] * 30) == [("granted", "matched", "alice")]


def test_bad_frames_never_open() -> None:
    for failed in ("blurred", "covered"):
        assert outcomes(IDENTIFY, [replace(ALICE, failures=(failed,))] * 10) == []


@pytest.mark.parametrize(
    ("presentation", "expected"),
    [
        (Presentation.BONA_FIDE, [("granted", "matched", "alice")]),
        (Presentation.ATTACK, [("denied", "attack", None)]),
        (Presentation.UNDECIDED, []),
    ],
)
def test_pad_is_a_gate_where_it_is_required(
    presentation: Presentation, expected: list[tuple[str, str, str | None]]
) -> None:
    rules = replace(IDENTIFY, require_pad=True)
    events = [replace(ALICE, presentation=presentation)] * 4
    assert outcomes(rules, events) == expected


def test_pad_is_no_gate_where_it_is_not_required() -> None:
    events = [replace(ALICE, presentation=Presentation.ATTACK)] * 2
    assert outcomes(IDENTIFY, events) == [("granted", "matched", "alice")]


def test_verify_without_a_claim_decides_nothing() -> None:
    assert outcomes(VERIFY, [seen(("alice", 0.9))] * 20) == []


def test_the_claimed_person_is_granted_once() -> None:
    mine = seen(("alice", 0.9))
    assert outcomes(VERIFY, [CARD] + [mine] * 20) == [("granted", "matched", "alice")]


def test_anothers_card_is_a_mismatch_in_the_claimed_name() -> None:
    other = seen(("alice", 0.2))
    assert outcomes(VERIFY, [CARD] + [other] * 20) == [("denied", "mismatch", "alice")]


def test_votes_of_one_claim_do_not_count_for_the_next() -> None:
    mine = seen(("alice", 0.9))
    assert outcomes(VERIFY, [CARD, mine, CARD, mine]) == []
    second = [CARD, mine, Claim("bob", True), seen(("bob", 0.9))]
    assert outcomes(VERIFY, second) == [("denied", "low-quality", "alice")]


def test_a_card_in_place_of_another_answers_the_first() -> None:
    mine = seen(("bob", 0.9))
    events = [CARD, Claim("bob", True), mine, mine]
    assert outcomes(VERIFY, events) == [
        ("denied", "low-quality", "alice"),
        ("granted", "matched", "bob"),
    ]


def test_a_line_that_can_be_nobody_is_denied_without_a_name() -> None:
    assert outcomes(VERIFY, [Claim(None, False)]) == [("denied", "unknown", None)]


def test_a_frame_that_says_nothing_ends_the_row_of_votes() -> None:
    rules = replace(IDENTIFY, require_pad=True)
    live = replace(ALICE, presentation=Presentation.BONA_FIDE)
    assert outcomes(rules, [live, ALICE, live, ALICE]) == []
    assert outcomes(rules, [live, live]) == [("granted", "matched", "alice")]


@pytest.mark.parametrize("score", [float("nan"), 0.8])
def test_what_is_no_number_opens_nothing(score: float) -> None:
    event = seen(("alice", score), ("bob", float("nan")))
    assert not judge(IDENTIFY, event).granted
    assert not judge(IDENTIFY, replace(ALICE, tau=float("nan"))).granted


def test_an_unknown_card_is_denied_at_once() -> None:
    assert outcomes(VERIFY, [Claim("mallory", False)]) == [("denied", "unknown", "mallory")]


def test_an_unknown_card_ends_the_claim_before_it() -> None:
    mine = seen(("alice", 0.9))
    events = [CARD, mine, Claim("mallory", False), mine, mine]
    assert outcomes(VERIFY, events) == [("denied", "unknown", "mallory")]


def test_a_claim_that_nobody_answers_is_an_attempt_and_said() -> None:
    decisions = run(VERIFY, [CARD] + [Tick()] * 40)
    assert [(t, d.reason, d.subject) for t, d in decisions] == [(3.0, Reason.LOW_QUALITY, "alice")]


def test_an_expired_claim_opens_nothing() -> None:
    mine = seen(("alice", 0.9))
    assert [d.outcome for _, d in run(VERIFY, [CARD] + [Tick()] * 31 + [mine] * 5)] == [
        Outcome.DENIED
    ]


def test_claims_mean_nothing_in_identify_mode() -> None:
    assert outcomes(IDENTIFY, [Claim("mallory", False), CARD]) == []


def test_the_state_forgets_tracks_that_left() -> None:
    state = State()
    for track in range(50):
        state, _ = step(IDENTIFY, state, replace(STRANGER, track=track), 100.0 + track)
    assert len(state.visits) <= 7


def test_a_step_changes_no_state_it_was_given() -> None:
    before = State()
    step(IDENTIFY, before, ALICE, 1.0)
    assert before == State()


def test_the_same_events_always_give_the_same_decisions() -> None:
    events = [STRANGER] * 5 + [ALICE] * 5 + [BLURRED] * 30 + [BOB] * 3
    assert run(IDENTIFY, events) == run(IDENTIFY, events)


def test_a_photo_at_a_desk_is_judged_by_one_frame() -> None:
    assert judge(IDENTIFY, ALICE).granted
    assert judge(IDENTIFY, STRANGER).reason is Reason.UNKNOWN
    assert judge(IDENTIFY, TWINS).reason is Reason.AMBIGUOUS
    assert judge(IDENTIFY, SUSPENDED) == Decision(
        Outcome.DENIED, Reason.SUSPENDED, "alice", 0.8, TAU, K, 1
    )
    assert judge(IDENTIFY, BLURRED).reason is Reason.LOW_QUALITY
    assert judge(IDENTIFY, MASKED).reason is Reason.COVERED
