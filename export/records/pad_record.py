"""The recorded rules of presentation attack detection, which go into bundles of their models."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from ostiary.edge.runtime.heads import pad_file
from ostiary.edge.runtime.heads.pad_file import PAD_FILE, PadFile


def recorded(models: Mapping[str, str]) -> PadFile | None:
    """The rules that come with Ostiary; None if they belong to other models. `models` are the
    SHA-256 of a bundle's models by name."""
    raw = (resources.files("ostiary.export") / "recipes" / PAD_FILE).read_bytes()
    file = pad_file.parse(raw, PAD_FILE)
    fits = all(models.get(name) == hashed for name, hashed in file.models.items())
    return file if fits else None
