"""An encoder's curves for what is compared: by photos per template, for photos and for visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ostiary.edge.core.scores.calibration import DetCurve, Threshold, threshold, threshold_over

SEVERAL = 3
"""Templates of three or more photos share one curve: a further photo changes little."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The curves by photos per template: `single` for one photo, `visit` for a whole visit.

    Each mapping has the key 1, and 2 and 3 (three or more) if these were measured; `visit` may be
    empty. `group` names the group of people that the curves were counted on; empty for everybody.
    """

    single: Mapping[int, DetCurve]
    visit: Mapping[int, DetCurve]
    group: str = ""

    def identify(self, fpir: float, by_photos: Mapping[int, int], visit: bool) -> Threshold:
        """tau for an FPIR against all enrolled templates.

        `by_photos` counts them by photos per template, 0 for an unknown number: such a template
        counts as the kind that demands the highest tau.
        """
        curves = self._of(visit)
        k = sum(by_photos.values())

        def strictest() -> DetCurve:
            return max(curves.values(), key=lambda curve: threshold(curve, fpir, k).tau)

        parts = [
            (strictest() if photos < 1 else self._curve(curves, photos), number)
            for photos, number in sorted(by_photos.items())
            if number > 0
        ]
        return threshold_over(parts or [(curves[1], 0)], fpir)

    def claim(self, fmr: float, by_photos: Mapping[int, int], visit: bool) -> Threshold:
        """tau for an FMR of a claim: that of the enrolled kind that demands the highest tau."""
        curves = self._of(visit)
        kinds = {photos for photos, number in by_photos.items() if number > 0}
        if not kinds or min(kinds) < 1:
            kinds = set(curves)
        found = [threshold(self._curve(curves, photos), fmr, 1) for photos in sorted(kinds)]
        return max(found, key=lambda one: one.tau)

    def _of(self, visit: bool) -> Mapping[int, DetCurve]:
        return self.visit if visit and self.visit else self.single

    def _curve(self, curves: Mapping[int, DetCurve], photos: int) -> DetCurve:
        """The curve for some photos per template, else that of the most photos measured."""
        return curves.get(min(photos, SEVERAL)) or curves[max(curves)]
