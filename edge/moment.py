"""What time it is at the door: seconds since 1970, and the clock on its wall."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from edge.core.access import Moment


class WallClock:
    """The current moment, in the profile's timezone or the system's own.

    A board without a battery starts in 1970 and would find nobody expired, so it is never earlier
    than a moment that is known to have been: the floor. Below it the hours of a schedule are those
    of the floor too, until the board has found a time server.
    """

    def __init__(self, timezone: str = "", now: Callable[[], float] = time.time) -> None:
        """`timezone` is an IANA name that the profile's check has found, or empty."""
        self._zone = ZoneInfo(timezone) if timezone else None
        self._now, self._floor_s = now, 0.0

    def raise_floor(self, at_s: float) -> None:
        """It was `at_s` already: the newest head was signed then. The floor never falls."""
        self._floor_s = max(self._floor_s, at_s)

    def __call__(self) -> Moment:
        at_s = max(self._now(), self._floor_s)
        wall = datetime.fromtimestamp(at_s, self._zone)
        return Moment(at_s, wall.weekday(), wall.hour * 60 + wall.minute)
