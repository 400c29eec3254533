"""Which of the faces in view are looked at in this frame: a crowd is looked at in turn."""

from __future__ import annotations

from collections.abc import Sequence

from ostiary.edge.core.faces.tracking import Track
from ostiary.edge.vision.pipeline import MAX_FACES


def due(tracks: Sequence[Track], looks: int) -> list[Track]:
    """Of the faces in view, the most prominent first, MAX_FACES at most to look at now.

    The most prominent face is always among them: it is the likeliest to ask. Then come those that
    were recognised in fewer than `looks` looks in a row, so that they are answered soon; then those
    that were not looked at for longest, of equals the nearest.
    """
    hopeful = [track for track in tracks if 0 < track.promising < looks]
    waiting = sorted(tracks, key=lambda track: track.looked_s)
    chosen = list(dict.fromkeys([*tracks[:1], *hopeful, *waiting]))[:MAX_FACES]
    return [track for track in tracks if track in chosen]
