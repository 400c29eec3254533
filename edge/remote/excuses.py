"""Which refused roster messages hint at an attack, and which are merely late."""

from __future__ import annotations

from ostiary.edge.remote.mailbox import Mail

NOTHING = frozenset[str]()
LATE = frozenset({"old-record", "not-in-index"})
"""Reasons that are harmless while the device is behind: messages were queued for long, or lost."""
AGAIN = LATE | {"old-head"}
"""Reasons that are harmless for a repeated message: later messages may have come before it."""


class Suspicion:
    """Judges messages in the order in which they came."""

    def __init__(self) -> None:
        self._connection, self._caught_up = 0, False

    def excused(self, mail: Mail) -> frozenset[str]:
        """The reasons for which refusing this message is no sign of an attack.

        On a new connection the broker first repeats unacknowledged messages and then sends the
        queued ones; the head that this device requests comes after those.
        """
        if mail.connection != self._connection:
            self._connection, self._caught_up = mail.connection, False
        kind = mail.topic[0]
        self._caught_up |= kind == "head" and mail.kept and not mail.again
        if not self._caught_up:
            return AGAIN if mail.again else LATE
        # The operator may have published a newer head while this retained record was on its way.
        return LATE if kind == "subject" and mail.kept else NOTHING
