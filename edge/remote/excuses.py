"""Which refused roster messages are a sign of an attack, and which are only late."""

from __future__ import annotations

from ostiary.edge.remote.mailbox import Mail

NOTHING = frozenset[str]()
LATE = frozenset({"old-record", "not-in-index"})
"""Reasons that are harmless while the device is behind: old queued messages, or lost ones."""
AGAIN = LATE | {"old-head"}
"""Reasons that are harmless for a repeated message: later messages may be here already."""


class Suspicion:
    """Decides about messages in the order in which they came."""

    def __init__(self) -> None:
        self._connection, self._caught_up = 0, False

    def excused(self, mail: Mail) -> frozenset[str]:
        """The reasons for which this message may be refused without a sign of an attack.

        On a new connection the broker first repeats unacknowledged messages, then sends those that
        it had queued; the head that this device requests comes after them.
        """
        if mail.connection != self._connection:
            self._connection, self._caught_up = mail.connection, False
        kind = mail.topic[0]
        self._caught_up |= kind == "head" and mail.kept and not mail.again
        if not self._caught_up:
            return AGAIN if mail.again else LATE
        # A newer head may have been on its way when this device requested a retained record.
        return LATE if kind == "subject" and mail.kept else NOTHING
