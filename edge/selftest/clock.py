"""The clock: whether it is synchronised, its possible error, and whether the year is plausible."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ostiary.edge.selftest.places import Ask, ask
from ostiary.edge.selftest.report import Check, fail, ok, skipped, warn

NAME = "clock"
EARLIEST_YEAR, LATEST_YEAR = 2025, 2100
_UNSYNCHRONISED, _NANOSECONDS, _TIME_ERROR = 0x40, 0x2000, 5
SYNC = "turn on systemd-timesyncd or chrony, and let the device reach a time server"


class _Timex(ctypes.Structure):
    """The kernel's `struct timex`: the fields that are read here, then padding to its full size."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class Discipline:
    """State of the clock; None means not known."""

    synchronised: bool | None
    offset_ms: float | None = None
    most_error_ms: float | None = None


def discipline(asked: Ask = ask) -> Discipline:
    """The state of the clock by the kernel, else by systemd; a container may forbid both."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state >= 0:
        a_ms = 1e6 if timex.status & _NANOSECONDS else 1e3
        synchronised = state != _TIME_ERROR and not timex.status & _UNSYNCHRONISED
        return Discipline(synchronised, timex.offset / a_ms, timex.maxerror / 1e3)
    said = asked(["timedatectl", "show", "-p", "NTPSynchronized", "--value"])
    return Discipline({"yes": True, "no": False}.get((said or "").strip()))


def check(
    read: Callable[[], Discipline] = discipline,
    now: Callable[[], float] = time.time,
) -> Check:
    """Whether the clock is right: a wrong one misdates decisions and refuses good certificates."""
    found, moment = read(), time.gmtime(now())
    details: dict[str, Any] = {
        "year": moment.tm_year,
        "synchronised": found.synchronised,
        "offset_ms": found.offset_ms,
        "most_error_ms": found.most_error_ms,
    }
    if not EARLIEST_YEAR <= moment.tm_year <= LATEST_YEAR:
        return fail(NAME, f"the year is {moment.tm_year} by this clock", SYNC, **details)
    if found.synchronised is None:
        return skipped(NAME, "not known whether it is synchronised", "", **details)
    if not found.synchronised:
        return warn(NAME, "not synchronised", SYNC, **details)
    bound = f", off by at most {found.most_error_ms:.0f} ms" if found.most_error_ms else ""
    return ok(NAME, f"synchronised{bound}", **details)
