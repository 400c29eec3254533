"""A new directory beside its target, which replaces the target only when it is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ostiary.edge.errors import BundleError
from ostiary.edge.files import replace_dir


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty directory that replaces `target` if the block succeeds, and is removed if not.

    Directories that killed builds left behind are removed first. Raises BundleError.
    """
    place = target.resolve()
    folder = place.with_name(f".{place.name}.building-{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for old in place.parent.glob(f".{place.name}.building-*"):
            if not _alive(old.name.rpartition("-")[2]):
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir()
    except OSError as error:
        raise BundleError(f"cannot write to {place.parent}: {error.strerror}") from error
    try:
        yield folder
        replace_dir(folder, place)
    except OSError as error:
        raise BundleError(
            f"cannot write {target}: {error.strerror or error}", "free some space"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def copied(bundle: Path) -> Iterator[Path]:
    """A copy of a bundle that replaces the bundle if the block succeeds. Raises BundleError."""
    with staged(bundle) as folder:
        shutil.copytree(bundle, folder, dirs_exist_ok=True)
        yield folder


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
