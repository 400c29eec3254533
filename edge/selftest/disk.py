"""The disk of the state directory: free space, file system, and the time of a safe write."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.models import quantiles
from ostiary.edge.selftest.places import text
from ostiary.edge.selftest.report import Check, fail, judged, skipped

NAME = "disk"
WRITES, WRITE_BYTES, WRITES_S = 100, 4096, 3.0
LEAST_FREE_MB, SLOW_WRITE_MS = 200, 100.0
IN_MEMORY = ("tmpfs", "ramfs")
_OCTAL = re.compile(r"\\([0-7]{3})")


def check(door: DoorUnderTest, root: Path = Path("/")) -> Check:
    """Free space, file system, and the time of small writes with fsync."""
    if door.profile is None:
        return skipped(NAME, "no profile was given")
    folder = nearest(door.profile.state.path)
    kind, options = file_system(folder, text(root / "proc/mounts") or "")
    room = os.statvfs(folder)
    details: dict[str, Any] = {
        "state_directory": "there" if folder == door.profile.state.path else "not made yet",
        "file_system": kind,
        "read_only": bool(room.f_flag & os.ST_RDONLY) or "ro" in options,
        "free_mb": room.f_bavail * room.f_frsize // 10**6,
        "total_mb": room.f_blocks * room.f_frsize // 10**6,
        "free_files": room.f_favail,
    }
    try:
        times = safe_writes(folder)
    except OSError as error:
        hint = "free some space, mount the disk writable, or run as the service's user"
        return fail(NAME, f"cannot write: {error.strerror}", hint, **details)
    took = quantiles(times)
    details["fsync_ms"] = took
    problems = []
    if kind in IN_MEMORY:
        problems.append(
            (f"{kind} loses all data at a restart", "put the state directory on a disk")
        )
    if details["free_mb"] < LEAST_FREE_MB:
        problems.append(
            ("nearly full", "free some space; keep_days and keep_rows limit the journal")
        )
    if took["p99"] > SLOW_WRITE_MS:
        problems.append(
            ("slow", "use a better card or an SSD: each decision waits for one safe write")
        )
    finding = (
        f"{kind or 'unknown kind'}, {details['free_mb']} MB free,"
        f" a safe write p50 {took['p50']:.1f}, p99 {took['p99']:.1f} ms"
    )
    return judged(NAME, finding, problems, details)


def nearest(folder: Path) -> Path:
    """The folder, or its nearest parent that exists: the daemon creates the folders below."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def file_system(folder: Path, mounts: str) -> tuple[str | None, list[str]]:
    """The type and mount options of the file system of a folder, from the text of /proc/mounts."""
    found: tuple[str | None, list[str]] = (None, [])
    deepest = -1
    where = folder.resolve()
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        point = Path(_OCTAL.sub(lambda m: chr(int(m[1], 8)), fields[1]))
        # If two file systems are mounted on one point, the later one is visible.
        if (where == point or point in where.parents) and len(point.parts) >= deepest:
            deepest, found = len(point.parts), (fields[2], fields[3].split(","))
    return found


def safe_writes(folder: Path, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Milliseconds of each of some small writes to a temporary file."""
    path = folder / f".selftest.{secrets.token_hex(4)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    times: list[float] = []
    try:
        path.unlink()
        began = clock()
        while len(times) < WRITES and clock() - began < WRITES_S:
            start = clock()
            # Write always at offset 0: on a nearly full disk the daemon needs the remaining space.
            os.pwrite(descriptor, bytes(WRITE_BYTES), 0)
            os.fsync(descriptor)
            times.append((clock() - start) * 1e3)
    finally:
        os.close(descriptor)
    return times
