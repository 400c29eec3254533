"""Covers that are held before the face: hands, phones, cups, papers."""

from __future__ import annotations

import numpy as np

from ostiary.export.covered.drawing import (
    Sheet,
    Spot,
    Values,
    cloth,
    colour,
    filled,
    flat,
    line,
    oval,
    paint,
    patterned,
    skin_colour,
    waves,
)


def hand_on_mouth(on: Sheet) -> Sheet:
    """A hand, or two, over mouth and nose or over the mouth alone."""
    at = (on.rng.normal(0, 0.1), on.between(0.75, 1.1))
    return hand(on, at, on.between(-180, 180), on.between(0.85, 1.3))


def hand_on_eye(on: Sheet) -> Sheet:
    """A hand over one eye."""
    at = (on.between(0.4, 0.6) * (-1 if on.chance(0.5) else 1), on.between(-0.1, 0.1))
    return hand(on, at, on.between(-180, 180), on.between(0.7, 1.1))


def hand_on_eyes(on: Sheet) -> Sheet:
    """A hand across both eyes."""
    turn = on.rng.normal(0, 25) + (180 if on.chance(0.5) else 0)
    return hand(on, (on.rng.normal(0, 0.1), on.between(-0.1, 0.15)), turn, on.between(1.0, 1.4))


def phone(on: Sheet) -> Sheet:
    """A phone, tablet or paper with straight edges before a part of the face, with fingers."""
    at = _mouth_or_eye(on)
    across, down = on.between(0.55, 0.9), on.between(0.6, 1.2)
    turn = on.rng.normal(0, 15) + (90 if on.chance(0.3) else 0)
    shape = turned(oval(0, 0, across, down, on.between(5, 14), 48), turn) + at
    stuff = cloth(on, colour(on, ("black", "white", "grey") if on.chance(0.6) else ()), 0.1, 0.0)
    on = paint(on, filled(on, on.place(shape), on.between(0, 0.8)), stuff)
    if on.chance(0.6):
        lens = turned(oval(-across * 0.6, -down * 0.75, 0.12, 0.12), turn) + at
        on = paint(on, filled(on, on.place(lens)), flat(on, colour(on, ("black", "grey"))))
    if on.chance(0.6):
        skin = skin_colour(on)
        for step in np.linspace(-0.4, 0.6, 4):
            start = turned(np.array([[across * 1.3, step * down]]), turn) + at
            end = turned(np.array([[across * on.between(0.3, 0.8), step * down]]), turn) + at
            on = _finger(on, (start[0, 0], start[0, 1]), (end[0, 0], end[0, 1]), 0.12, skin)
    return on


def thing(on: Sheet) -> Sheet:
    """A cup, a ball, a microphone's head, a bouquet: anything round before mouth or eye."""
    at = _mouth_or_eye(on)
    shape = oval(0, 0, on.between(0.5, 0.9), on.between(0.45, 0.9), on.between(1.6, 5))
    shape = turned(shape, on.between(0, 180)) + at
    alpha = filled(on, on.place(shape), on.between(0, 1.5))
    if on.chance(0.25):
        # A fist, or a hand seen from its side.
        return paint(on, alpha, _skin(on, skin_colour(on)), lit=False)
    stuff = cloth(on, colour(on), 0.5, 0.3)
    if on.chance(0.3):
        stuff = patterned(on, stuff)
    return paint(on, alpha, stuff)


def hand(on: Sheet, at: Spot, degrees: float, size: float) -> Sheet:
    """A hand whose palm or fingers are at a spot, reaching in a direction."""
    skin = skin_colour(on)
    thick = 0.15 * size
    spread = on.between(-4, 10)
    fist = on.chance(0.2)
    reach = (0.35 if fist else on.between(0.7, 1.15)) * size
    middle = on.between(-0.15, 0.25) * size
    palm = oval(-middle - 0.15 * size, 0, 0.5 * size, 0.45 * size, 2.6)
    palm_at = turned(palm, degrees) + at
    edge = on.between(0.0, 0.6)
    stuff = _skin(on, skin)
    if not on.chance(0.25):
        # The forearm leaves the face on the side from which the fingers come.
        arm = [(at[0], at[1]), tuple(turned(np.array([[-3.0, 0]]), degrees)[0] + at)]
        on = paint(on, line(on, arm, 0.6 * size) * float(on.chance(0.6)), stuff)
    on = paint(on, filled(on, on.place(palm_at), on.between(0.4, 1.2)), stuff)
    for number in range(4):
        across = (number - 1.5) * 2 * thick * on.between(0.92, 1.02)
        tip = reach * (1.0, 1.12, 1.08, 0.85)[number] - middle
        lean = np.radians((number - 1.5) * spread)
        path = np.array([[-middle, across], [tip * np.cos(lean), across + tip * np.sin(lean)]])
        start, end = turned(path, degrees) + at
        on = _finger(on, (start[0], start[1]), (end[0], end[1]), thick, skin, edge)
    if on.chance(0.5):
        side = -1 if on.chance(0.5) else 1
        path = np.array([[-0.4 * size, side * 0.35 * size], [0.1 * size, side * 0.75 * size]])
        start, end = turned(path, degrees) + at
        on = _finger(on, (start[0], start[1]), (end[0], end[1]), thick * 1.1, skin, edge)
    return on


def turned(spots: Values, degrees: float) -> Values:
    """Spots (n, 2) turned about (0, 0)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray(spots @ np.array([[c, s], [-s, c]]), np.float32)


def _finger(
    on: Sheet, start: Spot, end: Spot, thick: float, skin: Values, edge: float = 0.4
) -> Sheet:
    """A finger from a spot to another, round: darker along its sides, perhaps with a nail."""
    a, b = on.place([start, end])
    height, width = on.photo.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    axis = b - a
    length = max(float(axis @ axis), 1e-6)
    share = np.clip(((columns - a[0]) * axis[0] + (rows - a[1]) * axis[1]) / length, 0, 1)
    away = np.hypot(columns - a[0] - share * axis[0], rows - a[1] - share * axis[1])
    radius = max(thick * on.unit_px, 1.0)
    alpha = np.clip(radius - away + 0.5, 0, 1)
    shade = 1 - edge * np.clip(away / radius, 0, 1) ** on.between(2, 4)
    bones = 1 - 0.12 * np.exp(-(((share - on.between(0.35, 0.6)) / 0.05) ** 2))
    on = paint(on, alpha, _skin(on, skin) * (shade * bones)[..., None], lit=False)
    if on.chance(0.2):
        nail = oval(0, 0, thick * 0.6, thick * 0.5) + np.array(end, np.float32)
        pale = flat(on, np.clip(skin * 1.15 + 8, 0, 255))
        on = paint(on, filled(on, on.place(nail)) * 0.7, pale, lit=False)
    return on


def _skin(on: Sheet, skin: Values) -> Values:
    """Skin (h, w, 3) of a colour that has the light in it already."""
    rough = on.rng.normal(0, on.between(0, 3), on.photo.shape[:2]).astype(np.float32)
    return flat(on, skin) * (1 + 0.08 * waves(on, 0.5))[..., None] + rough[..., None]


def _mouth_or_eye(on: Sheet) -> Values:
    if on.chance(0.65):
        return np.array([on.rng.normal(0, 0.12), on.between(0.8, 1.15)], np.float32)
    side = -1 if on.chance(0.5) else 1
    return np.array([side * on.between(0.4, 0.6), on.between(-0.1, 0.2)], np.float32)
