"""Covers of the eyes: sunglasses, goggles, brims, bands."""

from __future__ import annotations

import numpy as np

from ostiary.export.covered.drawing import (
    LEFT_EYE,
    RIGHT_EYE,
    Sheet,
    Values,
    along,
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


def sunglasses(on: Sheet) -> Sheet:
    """Two dark or mirrored lenses, with a bridge and often with temples."""
    across, down = on.between(0.34, 0.52), on.between(0.2, 0.42)
    shift, bent = on.between(-0.06, 0.14), on.between(1.8, 5.0)
    droop = on.between(0, 0.25)
    thick = on.between(0.02, 0.09)
    rim = flat(on, colour(on, ("black", "black", "brown", "grey", "navy", "red", "white")))
    lenses = []
    for side in (-1, 1):
        lens = oval(side * on.between(0.48, 0.54), shift, across, down, bent)
        # Pilots' glasses are deeper at the outside, others at the nose.
        lens[:, 1] += (droop * (lens[:, 0] * side - 0.5)).astype(np.float32)
        lenses.append(on.place(lens))
    on = paint(on, line(on, [(-0.2, shift - 0.08), (0.2, shift - 0.08)], thick), rim)
    if on.chance(0.8):
        for side in (-1, 1):
            ear = (side * on.between(1.15, 1.4), on.between(-0.15, 0.15))
            on = paint(on, line(on, [(side * 0.9, shift - 0.1), ear], thick), rim)
    glass, lit = _glass(on)
    dense = on.between(0.8, 1.0)
    for lens in lenses:
        on = paint(on, filled(on, lens, on.between(0, 0.8)) * dense, glass, lit)
    if on.chance(0.7):
        for lens in lenses:
            on = paint(on, line(on, on.spots(np.r_[lens, lens[:1]]), thick), rim)
    return on


def goggles(on: Sheet) -> Sheet:
    """One wide pane over both eyes with a frame and a strap, as for skiing or welding."""
    across, down = on.between(0.85, 1.2), on.between(0.35, 0.65)
    y, bent = on.between(-0.12, 0.12), on.between(2.2, 5)
    shape = oval(0, y, across, down, bent, 48)
    notch = on.between(0, 0.3) * np.exp(-((shape[:, 0] / 0.25) ** 2)) * (shape[:, 1] > y)
    shape[:, 1] -= notch.astype(np.float32)
    if on.chance(0.8):
        strap = cloth(on, colour(on), 0.3, 0.2)
        on = paint(on, line(on, [(-1.5, y), (1.5, y)], on.between(0.15, 0.4)), strap)
    frame = shape * [on.between(1.05, 1.2), 1] + (shape - [0, y]) * [0, on.between(0.05, 0.3)]
    on = paint(on, filled(on, on.place(frame), 0.5), cloth(on, colour(on), 0.15, 0.1))
    glass, lit = _glass(on)
    return paint(on, filled(on, on.place(shape), on.between(0, 0.8)), glass, lit)


def brim(on: Sheet) -> Sheet:
    """A cap, hood or hat that is pulled down over the eyes."""
    low = on.between(0.15, 0.45)
    bend, wide = on.between(-0.35, 0.1), on.between(1.0, 1.6)
    edge = [(-wide, low + bend), (-0.5, low + bend / 4), (0, low), (0.5, low + bend / 4),
            (wide, low + bend)]  # fmt: skip
    shape = smooth(np.array([*edge, (wide, -3), (-wide, -3)], np.float32), 2)
    stuff = cloth(on, colour(on), 0.25, 0.3)
    shadow = np.clip(1 - (along(on, 90) - low) / 0.5, 0, 1) * on.between(0, 0.5)
    dark = on.photo * (1 - shadow[..., None])
    on = paint(on, (along(on, 90) < low + 0.6).astype(np.float32), dark, lit=False)
    on = paint(on, filled(on, on.place(shape), on.between(0, 2)), stuff)
    if on.chance(0.5):
        crease = [(-wide, low + bend - 0.3), (0, low - on.between(0.2, 0.5)),
                  (wide, low + bend - 0.3)]  # fmt: skip
        on = paint(on, line(on, crease, 0.04) * 0.6, stuff * on.between(0.3, 0.8))
    return on


def band(on: Sheet) -> Sheet:
    """A blindfold, a headset or a bar over both eyes."""
    shape = oval(on.between(-0.1, 0.1), on.between(-0.12, 0.15), on.between(0.9, 1.5),
                 on.between(0.25, 0.6), on.between(2.5, 12))  # fmt: skip
    turn = np.radians(on.rng.normal(0, 5))
    spun = shape @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    stuff = cloth(on, colour(on), 0.35, 0.4)
    return paint(on, filled(on, on.place(spun), on.between(0, 1.5)), stuff)


def patch(on: Sheet) -> Sheet:
    """One eye behind a patch of any form."""
    eye = (RIGHT_EYE, LEFT_EYE)[on.rng.integers(2)]
    x, y = on.spots(on.points_px[eye]).mean(0)
    shape = oval(x, y, on.between(0.32, 0.5), on.between(0.28, 0.5), on.between(1.5, 8))
    on = paint(on, filled(on, on.place(shape), on.between(0, 1)), cloth(on, colour(on), 0.2, 0.3))
    if on.chance(0.5):
        cord = [(-1.2, y - 0.5 * x), (x, y), (1.2, y + 0.3)]
        on = paint(on, line(on, cord, on.between(0.02, 0.06)), flat(on, colour(on, ("black",))))
    return on


def _glass(on: Sheet) -> tuple[Values, bool]:
    """A pane (h, w, 3), shaded and with reflections; and whether the face's light falls on it."""
    dark = on.chance(0.75)
    base = colour(on, ("black", "black", "black", "brown", "navy")) if dark else colour(on)
    pane = flat(on, base)
    fade = 1 + on.between(-0.9, 0.9) * (along(on, 90) + on.between(-0.2, 0.2))
    pane = pane * np.clip(fade, 0.2, 2.2)[..., None]
    if on.chance(0.6):
        sky = flat(on, colour(on, ("white", "grey", "blue")))
        size = on.between(0.15, 0.6)
        shine = np.clip(waves(on, size) - on.between(0.1, 0.6), 0, 1) * on.between(0.2, 0.9)
        if on.chance(0.5):
            strip = along(on, on.between(20, 160)) * 2 * np.pi / on.between(0.4, 1.2)
            shine = np.clip(np.sin(strip) - on.between(0.3, 0.9), 0, 1) * on.between(0.2, 0.9)
        pane = pane * (1 - shine[..., None]) + sky * shine[..., None]
    return np.asarray(pane, np.float32), on.chance(0.6)
