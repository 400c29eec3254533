"""What is drawn on a face without covering it: clear glasses, beards, hands beside it, scarves."""

from __future__ import annotations

import numpy as np

from ostiary.export.covered.drawing import (
    JAW,
    MOUTH,
    Sheet,
    cloth,
    colour,
    filled,
    flat,
    line,
    oval,
    paint,
    smooth,
    waves,
)
from ostiary.export.covered.held import hand


def clear_glasses(on: Sheet) -> Sheet:
    """Glasses of any rim with clear or faintly tinted panes and a reflection."""
    across, down = on.between(0.3, 0.5), on.between(0.18, 0.4)
    shift, bent = on.between(-0.03, 0.12), on.between(1.8, 5.0)
    thick = on.between(0.015, 0.09)
    rim = flat(on, colour(on, ("black", "black", "brown", "grey", "red", "navy")))
    tint, dense = flat(on, colour(on)), on.between(0, 0.15)
    for side in (-1, 1):
        lens = oval(side * 0.5, shift, across, down, bent)
        inside = filled(on, on.place(lens))
        on = paint(on, inside * dense, tint)
        shine = np.clip(waves(on, 0.25) - 0.6, 0, 1) * on.between(0, 0.5)
        on = paint(on, inside * shine, flat(on, np.full(3, 235.0)))
        on = paint(on, line(on, np.r_[lens, lens[:1]], thick), rim)
        ear = (side * on.between(1.1, 1.3), on.between(-0.1, 0.1))
        on = paint(on, line(on, [(side * (0.5 + across), shift - 0.1), ear], thick), rim)
    return paint(on, line(on, [(-0.15, shift - 0.05), (0.15, shift - 0.05)], thick), rim)


def beard(on: Sheet) -> Sheet:
    """Hair on jaw, chin and lip around a mouth that can be seen."""
    jaw = on.spots(on.points_px[JAW]) * [1.0, on.between(1.0, 1.25)]
    top = on.between(0.55, 0.95)
    inner = [(0.75, top + 0.1), (0.35, 0.82), (0, 0.76), (-0.35, 0.82), (-0.75, top + 0.1)]
    if on.chance(0.4):
        jaw = jaw[4:13]
        inner = [(0.5, 1.1), (0.35, 0.82), (0, 0.76), (-0.35, 0.82), (-0.5, 1.1)]
    alpha = filled(on, on.place(smooth(np.r_[jaw, inner].astype(np.float32), 1)), 0)
    lips = on.points_px[MOUTH]
    middle = lips.mean(0)
    open_ = filled(on, (middle + (lips - middle) * [1.05, on.between(1.0, 1.5)]), 0.5)
    hair = flat(on, colour(on, ("black", "brown", "grey", "white", "beige")))
    rough = 1 + 0.25 * waves(on, 0.05) + on.rng.normal(0, 0.12, alpha.shape)
    thin = on.between(0.35, 0.95) * np.clip(1 + 0.5 * waves(on, 0.2), 0, 1)
    soft = np.asarray(np.clip(alpha * (1 - open_), 0, 1) * thin, np.float32)
    return paint(on, soft, hair * rough[..., None].astype(np.float32))


def hand_beside(on: Sheet) -> Sheet:
    """A hand on the cheek, the chin, the temple or the forehead that leaves the parts free."""
    side = -1 if on.chance(0.5) else 1
    kind = on.rng.integers(3)
    if kind == 0:
        # The palm is outside the face, the fingers reach along its side.
        return hand(on, (side * on.between(1.15, 1.4), on.between(0.3, 1.3)),
                    -90 + side * on.between(-25, 10), on.between(0.6, 0.9))  # fmt: skip
    if kind == 1:
        return hand(on, (side * on.between(0.2, 0.7), on.between(2.05, 2.4)),
                    -90 - side * on.between(20, 60), on.between(0.5, 0.75))  # fmt: skip
    return hand(on, (side * on.between(0.3, 0.9), on.between(-1.4, -1.15)),
                90 + side * on.between(60, 120), on.between(0.5, 0.8))  # fmt: skip


def neck(on: Sheet) -> Sheet:
    """A scarf, a collar or a mask pulled down: below the mouth."""
    top = on.between(1.45, 1.9)
    wide = on.between(0.9, 2)
    shape = np.array(
        [(-wide, top - on.between(-0.2, 0.5)), (-0.5, top), (0.5, top),
         (wide, top - on.between(-0.2, 0.5)), (wide, 4), (-wide, 4)], np.float32
    )  # fmt: skip
    shape[4:, 1] = on.between(2.2, 4)
    stuff = cloth(on, colour(on), 0.4, 0.6)
    return paint(on, filled(on, on.place(smooth(shape, 2)), on.between(0, 1.5)), stuff)


def headwear(on: Sheet) -> Sheet:
    """A cap, hat, hood, headscarf or fringe down to the eyebrows at most."""
    brows = on.spots(on.points_px[17:27])[:, 1]
    low = min(float(brows.min()) - on.between(0.02, 0.3), -0.3)
    wide = on.between(1.0, 1.7)
    shape = np.array(
        [(-wide, low + on.between(-0.2, 0.3)), (-0.6, low), (0.6, low),
         (wide, low + on.between(-0.2, 0.3)), (wide, -3), (-wide, -3)], np.float32
    )  # fmt: skip
    on = paint(on, filled(on, on.place(smooth(shape, 2)), on.between(0, 2)),
               cloth(on, colour(on), 0.3, 0.4))  # fmt: skip
    if on.chance(0.3):
        around = filled(on, on.place(oval(0, 0.5, 1.9, 2.6)))
        face = filled(on, on.place(oval(0, 0.5, 1.05, 1.65)), 1)
        on = paint(on, around * (1 - face), cloth(on, colour(on), 0.3, 0.5))
    return on


def beside(on: Sheet) -> Sheet:
    """A thing before the chin, the neck or beside the face: a microphone, a phone at the ear."""
    side = -1 if on.chance(0.5) else 1
    spot = (side * on.between(1.2, 1.6), on.between(0, 1.5))
    if on.chance(0.5):
        spot = (side * on.between(0, 0.8), on.between(2.0, 2.4))
    shape = oval(*spot, on.between(0.2, 0.45), on.between(0.2, 0.45), on.between(2, 6))
    on = paint(on, filled(on, on.place(shape), on.between(0, 1)), cloth(on, colour(on), 0.3, 0.1))
    if on.chance(0.5):
        stick = [spot, (spot[0] + on.between(-0.5, 0.5), 4)]
        on = paint(on, line(on, stick, on.between(0.1, 0.25)), flat(on, colour(on)))
    return on
