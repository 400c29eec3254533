"""The time at the door: seconds since 1970, and the weekday and minute in its timezone."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from ostiary.edge.core.rules.access import Moment


class WallClock:
    """The current moment, in the profile's timezone or the system's own.

    A board without a battery starts in 1970, when no right has expired. So the time never falls
    below a floor: a moment known to be past, plus the time that has passed since. While the
    system's clock is behind the floor, schedules use the floor's hours too.
    """

    def __init__(
        self,
        timezone: str = "",
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timezone` is an IANA name, checked with the profile; empty means the system's."""
        self._zone = ZoneInfo(timezone) if timezone else None
        self._now, self._clock = now, clock
        self._known_s = self._since_s = 0.0

    def known(self, at_s: float) -> None:
        """Set the floor, below which the time never falls, to `at_s`, when the newest head was
        signed; a later head may lower it."""
        if at_s != self._known_s:
            self._known_s, self._since_s = at_s, self._clock()

    @property
    def behind_s(self) -> float:
        """Seconds that the system's clock is behind the floor; 0 or less if the clock is right."""
        return self._floor_s - self._now()

    @property
    def at_s(self) -> float:
        """Seconds since 1970."""
        return max(self._now(), self._floor_s)

    @property
    def _floor_s(self) -> float:
        return self._known_s + self._clock() - self._since_s if self._known_s else 0.0

    def __call__(self) -> Moment:
        at_s = self.at_s
        wall = datetime.fromtimestamp(at_s, self._zone)
        return Moment(at_s, wall.weekday(), wall.hour * 60 + wall.minute)
