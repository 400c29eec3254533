"""Aligned crops as other lights and cameras would show them: dark, back-lit, blurred, noisy."""

from __future__ import annotations

import cv2
import numpy as np

from ostiary.edge.core.types import Image
from ostiary.export.covered.drawing import Values

DARKEST_STOPS, BRIGHTEST_STOPS = 3.5, 0.7
"""How far the light is varied; a stop is half of the light."""
SHIFT, TURN_DEG, SCALE = 0.03, 5.0, 0.05
"""The spread of what landmarks miss: in sides of the crop, degrees, and parts of the size."""


def varied(crop: Image, rng: np.random.Generator) -> Image:
    """A crop in another light and sharpness, perhaps mirrored; always drawn from `rng` alone."""
    shown = crop[:, ::-1] if rng.random() < 0.5 else crop
    shown = _moved(np.ascontiguousarray(shown), rng)
    light: Values = np.asarray(shown, np.float32) / 255
    if rng.random() < 0.5:
        light = light * np.float32(2 ** rng.uniform(-DARKEST_STOPS, BRIGHTEST_STOPS))
    if rng.random() < 0.3:
        light = _backlit(light, rng)
    if rng.random() < 0.15:
        light = _washed(light, rng)
    if rng.random() < 0.4:
        light = np.clip(light, 0, None) ** np.float32(rng.uniform(0.6, 1.6))
    if rng.random() < 0.5:
        light = light * rng.uniform(0.75, 1.25, 3).astype(np.float32)
    if rng.random() < 0.35:
        grey = light.mean(2, keepdims=True)
        light = grey + (light - grey) * np.float32(rng.choice([0.0, rng.uniform(0, 2.2)]))
    light = _soft(light, rng)
    if rng.random() < 0.25:
        light = light * _inside(light.shape[0], rng)
    if rng.random() < 0.4:
        light = light + rng.normal(0, rng.uniform(0.002, 0.03), light.shape).astype(np.float32)
    picture = np.clip(np.round(light * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        how = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        packed = cv2.imencode(".jpg", picture, how)[1]
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(picture, np.uint8)


def darkened(crop: Image, stops: float) -> Image:
    """A crop with `stops` less light."""
    return np.asarray(np.round(crop * 2.0**-stops), np.uint8)


def backlit(crop: Image) -> Image:
    """A crop of a face before a bright background: dark in the middle, bright around."""
    side = crop.shape[0]
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    away = np.clip(np.hypot(rows, columns * 1.2) * 2.2 - 0.5, 0, 1)[..., None]
    return np.asarray(np.clip(crop * 0.25 * (1 - away) + away * 250, 0, 255), np.uint8)


def _moved(crop: Image, rng: np.random.Generator) -> Image:
    if rng.random() < 0.4:
        return crop
    side = crop.shape[0]
    turn, size = rng.normal(0, TURN_DEG), 1 + rng.normal(0, SCALE)
    matrix = np.array(cv2.getRotationMatrix2D((side / 2, side / 2), turn, size))
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, SHIFT * side, 2)
    moved = cv2.warpAffine(crop, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _backlit(light: Values, rng: np.random.Generator) -> Values:
    """Light that falls off in a direction: half of the face in the shade."""
    side = light.shape[0]
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    turn = rng.uniform(0, 2 * np.pi)
    slope = columns * np.float32(np.cos(turn)) + rows * np.float32(np.sin(turn))
    stops = rng.uniform(0.5, 4.0)
    sharp = 1 / (1 + np.exp(-slope * rng.uniform(2, 16)))
    return np.asarray(light * np.exp2(-stops * sharp)[..., None], np.float32)


def _washed(light: Values, rng: np.random.Generator) -> Values:
    """Too much light: the brightest parts lose what they show, or the whole lies in a haze."""
    if rng.random() < 0.5:
        return np.asarray(np.clip(light * rng.uniform(1.3, 2.2), 0, 1), np.float32)
    haze = np.float32(rng.uniform(0.1, 0.5))
    return np.asarray(light * (1 - haze) + haze, np.float32)


def _inside(side: int, rng: np.random.Generator) -> Values:
    """1 inside the picture (side, side, 1) and 0 beyond its edges, which cut the crop off."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    turn = rng.normal(0, 0.2) + np.pi / 2 * rng.integers(4)
    inside = np.ones((side, side), np.float32)
    for quarter in range(int(rng.integers(1, 4))):
        at = turn + quarter * np.pi / 2
        away = columns * np.float32(np.cos(at)) + rows * np.float32(np.sin(at))
        inside = inside * (away < rng.uniform(0.32, 0.55))
    return np.asarray(inside[..., None], np.float32)


def _soft(light: Values, rng: np.random.Generator) -> Values:
    kind, side = rng.random(), light.shape[0]
    if kind < 0.3:
        return np.asarray(cv2.GaussianBlur(light, (0, 0), rng.uniform(0.4, 2.2)), np.float32)
    if kind < 0.5:
        few = int(rng.integers(28, 90))
        small = cv2.resize(light, (few, few), interpolation=cv2.INTER_AREA)
        big = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
        return np.asarray(big, np.float32)
    return light
