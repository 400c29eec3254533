"""The fit is what its text says: means, deviations and bounds over living people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ostiary.edge.core.pad.motion import CUES
from ostiary.edge.core.pad.rules import MOST_Z, PadRules, Presentation
from ostiary.edge.errors import RecordingError
from ostiary.edge.presentations import fitting
from ostiary.edge.presentations.fitting import ByPerson, bound, fit, leave_one_out
from ostiary.edge.presentations.rates import over_people
from ostiary.edge.presentations.replay import courses
from ostiary.edge.presentations.tracing import Trace
from ostiary.edge.runtime.heads import pad_file
from ostiary.edge.runtime.heads.pad_file import PadFile
from tests.edge.presentations.made_up import LIVE, made, people

SHARE = 0.2


def fitted(some: ByPerson, bpcer: float = SHARE) -> PadFile:
    return fit(some, bpcer, {"pad": "a" * 64, "encoder": "b" * 64}, "made up")


def failures(traces: Sequence[Trace], rules: PadRules) -> list[bool]:
    """Which windows of somebody's traces do not end as bona fide."""
    verdicts = [one.verdict(1.6) for trace in traces for one in courses(trace, rules, 3.2, 1.6)]
    return [said is not Presentation.BONA_FIDE for said in verdicts]


def test_scales_are_of_every_look_and_every_pair() -> None:
    some = people(6)
    file = fitted(some)
    looks = [look for traces in some.values() for trace in traces for look in trace.looks]
    passive = [look.passive["pad"] for look in looks]
    moved = [look.moved["change"] for look in looks if look.moved]
    assert len(moved) == len(looks) - 12
    assert file.passive.scales["pad"].mean == pytest.approx(np.mean(passive), abs=1e-6)
    assert file.passive.scales["pad"].std == pytest.approx(np.std(passive), abs=1e-6)
    assert file.motion is not None
    assert list(file.motion.scales) == list(CUES)
    assert file.motion.scales["change"].mean == pytest.approx(np.mean(moved), abs=1e-6)


def test_thresholds_are_bounds_of_the_means_of_windows() -> None:
    """A direct computation: frames are .5 s apart, so that a window has four, and the fresh starts
    are every seventh or sixth frame."""
    some = people(6)
    file = fitted(some)
    scale = file.passive.scales["pad"]
    means = []
    for traces in some.values():
        z = [
            [min((one.passive["pad"] - scale.mean) / scale.std, MOST_Z) for one in trace.looks]
            for trace in traces
        ]
        means.append(np.array([np.mean(row[at : at + 4]) for row in z for at in (0, 7, 13)]))
    assert file.passive.live == pytest.approx(bound(means, SHARE / 20), abs=1e-5)
    assert file.passive.attack == pytest.approx(min(map(np.min, means)) - 0.5, abs=1e-5)
    singles = [
        min((look.passive["pad"] - scale.mean) / scale.std, MOST_Z)
        for traces in some.values()
        for trace in traces
        for look in trace.looks
    ]
    assert file.restart == file.frame == pytest.approx(min(singles), abs=1e-5)
    assert file.motion is not None
    motion = []
    for traces in some.values():
        rows = [
            [
                np.mean(
                    [
                        min(
                            (value - file.motion.scales[name].mean) / file.motion.scales[name].std,
                            1,
                        )
                        for name, value in (look.moved or {}).items()
                    ]
                )
                for look in trace.looks[:-1]
            ]
            for trace in traces
        ]
        motion.append(np.array([np.mean(row[at : at + 3]) for row in rows for at in (0, 7, 13)]))
    assert file.motion.live == pytest.approx(bound(motion, SHARE * 19 / 20), abs=1e-5)


def test_a_bound_is_kept_by_nine_of_ten_draws_of_people() -> None:
    rng = np.random.default_rng(5)
    scores = [rng.normal(rng.normal(), 0.3, 8) for _ in range(12)]
    at = bound(scores, 0.1)
    assert at < np.quantile(np.concatenate(scores), 0.1)
    drawn = (rng.integers(0, 12, 12) for _ in range(2000))
    kept = [
        np.mean(np.concatenate([scores[row] for row in rows]) < at) <= 0.1 + 1e-9 for rows in drawn
    ]
    assert 0.87 < np.mean(kept) < 0.93


def test_the_file_says_what_it_was_fitted_for() -> None:
    file = fitted(people(7))
    assert (file.people, file.data_set, file.asked_bpcer) == (7, "made up", SHARE)
    assert (file.frames, file.pairs, file.apart_s) == (3, 2, 0.5)
    assert (file.span_s, file.patience_s) == (1.5, 3.0)
    file.check({"pad": "a" * 64, "encoder": "b" * 64, "detector": "c" * 64})
    assert pad_file.parse(pad_file.to_text(file), "here") == file


def test_the_living_that_it_was_fitted_on_keep_the_bpcer() -> None:
    some = people(20)
    failed = {}
    for asked in (0.05, 0.2, 0.5):
        rules = fitted(some, asked).rules()
        failed[asked] = np.mean(np.concatenate([failures(one, rules) for one in some.values()]))
        # Each kind keeps its share; newest frames that do not look live come on top.
        assert failed[asked] < 1.3 * asked
    assert failed[0.05] < failed[0.2] < failed[0.5]


def test_equal_recordings_give_equal_bytes() -> None:
    some = people(6)
    backwards = dict(reversed(list(some.items())))
    assert pad_file.to_text(fitted(some)) == pad_file.to_text(fitted(backwards))


def test_few_people_are_refused() -> None:
    with pytest.raises(RecordingError, match=r"4 people are too few .* expected 5") as caught:
        fitted(people(4))
    assert "15 people" in caught.value.hint


def test_faces_that_are_never_seen_for_long_enough_are_refused() -> None:
    brief = {name: [made([LIVE] * 2)] for name in "abcde"}
    with pytest.raises(RecordingError, match="only 0 people show a usable face often enough"):
        fitted(brief)
    still = {name: [made([LIVE, None, None, None, None])] for name in "abcde"}
    with pytest.raises(RecordingError, match="no two frames"):
        fitted(still)


def test_each_person_left_out_is_judged_by_a_fit_on_the_others() -> None:
    some = people(8)
    some["p00"] = [made([LIVE, None] * 10)]
    left_out = leave_one_out(some, SHARE)
    errors = [
        failures(some[name], fitted({n: some[n] for n in some if n != name}).rules())
        for name in some
    ]
    assert left_out.bpcer == over_people(list(some), errors)
    assert (left_out.people, left_out.verdicts) == (8, 45)
    assert left_out.undecided >= 3, "nobody looks at p00 often enough"
    assert 3 / 45 <= left_out.bpcer.value < 1
    steps: list[tuple[int, int]] = []
    leave_one_out(people(5), SHARE, lambda done, total: steps.append((done, total)))
    assert steps == [(n, 5) for n in range(1, 6)], "five may be fitted, so four are enough here"
    assert fitting.FEWEST == 5
