"""Covers of the lower face: masks, respirators, scarves, balaclavas."""

from __future__ import annotations

import numpy as np

from ostiary.export.covered.drawing import (
    JAW,
    Sheet,
    Values,
    cloth,
    colour,
    filled,
    flat,
    line,
    oval,
    paint,
    smooth,
)

SURGICAL = ("blue", "white", "black", "green", "pink", "grey")


def surgical(on: Sheet) -> Sheet:
    """A mask with pleats and straps, from the bridge or the tip of the nose to the chin."""
    shape = _from_jaw(on) if on.chance(0.6) else _trapezoid(on)
    known = SURGICAL if on.chance(0.7) else ()
    stuff = cloth(on, colour(on, known), pattern=0.15, folds=0.15)
    stuff = _pleated(on, stuff)
    on = _straps(on, shape)
    on = paint(on, filled(on, on.place(shape), on.between(0, 1.5)), stuff)
    if on.chance(0.4):
        edge = np.r_[shape, shape[:1]]
        pale = flat(on, colour(on, ("white", "grey")))
        on = paint(on, line(on, edge, 0.03) * on.between(0.2, 0.9), pale)
    return on


def respirator(on: Sheet) -> Sheet:
    """A stiff cup with a ridge, often with a valve and with straps around the head."""
    top, low = on.between(0.0, 0.45), on.between(1.5, 2.0)
    wide = on.between(0.55, 0.95)
    shape = oval(0, (top + low) / 2, wide, (low - top) / 2, on.between(1.8, 2.8))
    narrow = np.interp(shape[:, 1], [top, (top + low) / 2], [on.between(0.5, 0.9), 1.0])
    shape[:, 0] *= narrow.astype(np.float32)
    base = colour(on, ("white", "grey", "black", "blue") if on.chance(0.8) else ())
    stuff = cloth(on, base, pattern=0.05, folds=0.1)
    bulge = np.clip(np.abs(along_x(on)) / wide, 0, 1) ** 2
    stuff = stuff * (1 - on.between(0.1, 0.4) * bulge)[..., None]
    on = _straps(on, shape)
    on = paint(on, filled(on, on.place(shape), on.between(0, 1.2)), stuff)
    if on.chance(0.6):
        ridge = line(on, [(0, top), (0, low)], on.between(0.02, 0.06))
        on = paint(on, ridge * on.between(0.2, 0.6), flat(on, base * on.between(0.5, 1.3)))
    if on.chance(0.4):
        spot = oval(on.between(-0.35, 0.35), on.between(0.8, 1.3), 0.18, 0.18)
        on = paint(on, filled(on, on.place(spot)), flat(on, colour(on)))
    return on


def cloth_mask(on: Sheet) -> Sheet:
    """A mask of any cloth, plain or patterned, close to the face."""
    shape = _from_jaw(on)
    stuff = cloth(on, colour(on), pattern=0.65, folds=0.4)
    on = _straps(on, shape)
    return paint(on, filled(on, on.place(shape), on.between(0, 1.5)), stuff)


def scarf(on: Sheet) -> Sheet:
    """Cloth over mouth and nose that reaches beyond the face and down."""
    top, side = on.between(0.15, 0.75), on.between(0.3, 1.2)
    reach = on.between(1.0, 2.4)
    shape = np.array(
        [(-reach, side), (-0.5, top + on.between(-0.1, 0.15)), (0, top - on.between(0, 0.15)),
         (0.5, top + on.between(-0.1, 0.15)), (reach, side), (reach + 0.4, 5), (-reach - 0.4, 5)],
        np.float32,
    )  # fmt: skip
    shape[:5, 1] += on.rng.normal(0, 0.06, 5)
    stuff = cloth(on, colour(on), pattern=0.45, folds=0.8)
    outline = on.place(smooth(shape, int(on.rng.integers(1, 4))))
    return paint(on, filled(on, outline, on.between(0, 2.0)), stuff)


def balaclava(on: Sheet) -> Sheet:
    """Cloth over the whole head with a slit, or holes, for the eyes."""
    stuff = cloth(on, colour(on, ("black", "navy", "grey") if on.chance(0.5) else ()), 0.25, 0.5)
    outline = oval(0, on.between(0.5, 0.8), on.between(1.15, 1.7), on.between(1.7, 2.4), 2.3)
    if on.chance(0.5):
        outline = np.r_[outline[outline[:, 1] < 1.2], [[-1.6, 5], [1.6, 5]]].astype(np.float32)
        order = np.argsort(np.arctan2(outline[:, 1] - 0.6, outline[:, 0]))
        outline = outline[order]
    alpha = filled(on, on.place(outline), on.between(0, 1.5))
    if on.chance(0.75):
        hole = filled(
            on,
            on.place(oval(0, on.between(-0.05, 0.1), on.between(0.75, 1.0),
                          on.between(0.25, 0.5), on.between(2, 5))),
        )  # fmt: skip
    else:
        across, down = on.between(0.25, 0.4), on.between(0.15, 0.28)
        hole = np.maximum(*[filled(on, on.place(oval(x, 0, across, down))) for x in (-0.5, 0.5)])
    return paint(on, alpha * (1 - hole), stuff)


def along_x(on: Sheet) -> Values:
    """Each pixel's place (h, w) along the eyes, in eye distances."""
    height, width = on.photo.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    right, left = on.eyes_px
    axis = (left - right) / on.unit_px**2
    middle = (right + left) / 2
    return np.asarray((columns - middle[0]) * axis[0] + (rows - middle[1]) * axis[1], np.float32)


def _from_jaw(on: Sheet) -> Values:
    """An outline along the jaw of the face, from a side to the other, and over the nose."""
    jaw = on.spots(on.points_px[JAW]) * [on.between(0.9, 1.08), on.between(0.95, 1.08)]
    first = int(on.rng.integers(1, 5))
    jaw = jaw[first : 17 - first]
    top = on.between(0.12, 0.62) if on.chance(0.85) else on.between(0.66, 0.8)
    side = on.between(-0.05, 0.35)
    over = np.array([(0.45, top + side), (0.15, top), (-0.15, top), (-0.45, top + side)])
    shape = np.r_[jaw, over] + on.rng.normal(0, 0.025, (len(jaw) + 4, 2))
    return smooth(shape.astype(np.float32), int(on.rng.integers(0, 3)))


def _trapezoid(on: Sheet) -> Values:
    """An outline that does not follow the jaw: as wide as the face, narrower at the chin."""
    top, low = on.between(0.1, 0.6), on.between(1.45, 2.1)
    wide, narrow = on.between(0.6, 1.15), on.between(0.4, 0.85)
    ears = on.between(0.2, 0.7)
    shape = np.array(
        [(-wide, ears), (-0.2, top), (0.2, top), (wide, ears), (narrow, low), (-narrow, low)]
    )
    shape = shape + on.rng.normal(0, 0.05, shape.shape)
    return smooth(shape.astype(np.float32), int(on.rng.integers(0, 3)))


def _pleated(on: Sheet, stuff: Values) -> Values:
    for y in np.linspace(0.6, 1.4, int(on.rng.integers(0, 5))):
        bend = on.between(-0.1, 0.15)
        path = [(-1.0, y), (-0.4, y + bend), (0.4, y + bend), (1.0, y)]
        alpha = line(on, path, on.between(0.015, 0.04))[..., None] * on.between(0.1, 0.4)
        stuff = stuff * (1 - alpha)
    return stuff


def _straps(on: Sheet, shape: Values) -> Sheet:
    """Two straps from each side to the ear, or none."""
    if on.chance(0.4):
        return on
    pale = flat(on, colour(on, ("white", "black", "grey")))
    for side in (-1, 1):
        at = shape[np.argmax(shape[:, 0] * side)]
        for y in (on.between(-0.3, 0.2), on.between(0.3, 0.7)):
            thick = on.between(0.015, 0.05)
            on = paint(on, line(on, [(at[0], at[1]), (side * 1.25, y)], thick), pale)
    return on
