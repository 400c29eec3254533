"""Enrolling without a bundle: templates whose scores are known, and who is to be admitted."""

from __future__ import annotations

from typing import cast

import numpy as np

from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.core.types import Floats, Template
from ostiary.edge.runtime.bundle import Bundle
from ostiary.fleet.enrollment.admit import Enrolling, EnrollmentRules, Ready
from ostiary.fleet.enrollment.csv_table import Request
from ostiary.fleet.enrollment.patch import NOTHING, PersonWish
from ostiary.fleet.site.fleet import Fleet
from tests.support.fakes import curve, unit

DIM = 16
ENCODER = "e" * 64
PLAIN = EnrollmentRules()


class FakeBundle:
    """The part of a bundle that enrolling needs once the templates are made."""

    encoder_id, dim = ENCODER, DIM

    def curve(self, comparison: str) -> DetCurve:
        assert comparison == "float_float"
        return curve()


def axis(number: int) -> Floats:
    """Templates of different numbers are orthogonal: their score is 0."""
    return unit(np.eye(DIM)[number])


def near(number: int, score: float, other: int = 15) -> Floats:
    """A template with this score against `axis(number)`."""
    return unit(score * np.eye(DIM)[number] + (1 - score**2) ** 0.5 * np.eye(DIM)[other])


def ready(
    subject: str, template: Floats, wish: PersonWish = NOTHING, line: int = 0, photos: int = 1
) -> Ready:
    request = Request(subject, (), wish, line)
    return Ready(request, Template(subject, ENCODER, template, photos))


def enrolling(fleet: Fleet, rules: EnrollmentRules = PLAIN) -> Enrolling:
    return Enrolling(fleet, cast(Bundle, FakeBundle()), rules, lambda: 100.0)
