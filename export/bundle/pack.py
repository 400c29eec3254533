"""Pack a signed bundle into one file for devices: the same bundle gives the same bytes."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from ostiary.edge.errors import BundleError
from ostiary.edge.files import write_atomically
from ostiary.edge.models.install import MAX_BYTES, check_names, contents
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.signature import SIGNATURE, Keys

EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3


def pack(folder: Path, target: Path) -> None:
    """Write a signed bundle as a zip file that depends only on its files' names and bytes.

    Raises BundleError if the bundle is not signed, was changed after signing, or is too large for
    any device; an old file at `target` is then untouched.
    """
    bundle = _signed(folder)
    names = sorted(contents(bundle))
    check_names(folder, names)
    if target.resolve() in {(folder / name).resolve() for name in names}:
        raise BundleError(f"{target} is a file of the bundle itself", "choose another name")
    packed = _zipped(bundle, names)
    try:
        write_atomically(target, packed)
    except OSError as error:
        raise BundleError(
            f"cannot write {target}: {error.strerror}", "give a file name in a writable folder"
        ) from error


def _signed(folder: Path) -> Bundle:
    """The bundle, checked with the key that its signature names, so that a stale one is refused."""
    path = folder / SIGNATURE
    claimed = path.read_text("ascii", "replace") if path.is_file() else ""
    signer = claimed.removeprefix("key ").partition("\n")[0]
    return bundles.load(folder, Keys(frozenset({signer}), folder))


def _zipped(bundle: Bundle, names: list[str]) -> bytes:
    size = sum((bundle.path / name).stat().st_size for name in names)
    if size > MAX_BYTES:
        raise BundleError(
            f"{bundle.path} has {size} bytes, and no device installs more than {MAX_BYTES}",
            "choose an encoder with fewer weights",
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name in names:
            zipped.writestr(_entry(name), (bundle.path / name).read_bytes())
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    # The file is not compressed: different zlib versions deflate the same bytes differently, and
    # weights hardly shrink.
    entry.compress_type = zipfile.ZIP_STORED
    entry.create_system = UNIX
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry
