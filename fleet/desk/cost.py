"""Says what the number of enrolled people costs them at the doors."""

from __future__ import annotations

from ostiary.edge.core.scores.cost import Cost, cost
from ostiary.edge.sections import RecognitionSection
from ostiary.fleet.site.fleet import Fleet


def expected_cost(fleet: Fleet) -> Cost | None:
    """The cost of everybody's templates of the enrolling bundle at a door with the fleet's `fpir`.

    The curves are those that a door uses by default: of the worst group, and of int8 probes if the
    bundle has an int8 encoder. A card's FMR is a profile's default. None if there are no templates.
    Raises BundleError if the bundle cannot be read or has no curves.
    """
    bundle = fleet.bundle()
    by_photos = fleet.registry().people.by_photos(bundle.encoder_id)
    if not by_photos:
        return None
    curves = bundle.det().curves_for(bundle.comparison, worst=True)
    return cost(curves, fleet.settings.fpir, RecognitionSection().fmr, by_photos)
