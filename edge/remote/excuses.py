"""Which refusal of a roster's message is the sign of an attack, and which is only late."""

from __future__ import annotations

from ostiary.edge.remote.mailbox import Mail

NOTHING = frozenset[str]()
LATE = frozenset({"old-record", "not-in-index"})
"""What may rightly come while we are behind: queued long ago, or followed by what was lost."""
AGAIN = LATE | {"old-head"}
"""And of what is sent again: what came behind it may be here already."""


class Suspicion:
    """Looks at messages in the order in which they came."""

    def __init__(self) -> None:
        self._connection, self._caught_up = 0, False

    def excused(self, mail: Mail) -> frozenset[str]:
        """For which reasons this one may be refused and be no attack.

        On a new connection the broker sends again what it does not know to have arrived, then what
        it had queued for us; the head that we ask for comes behind these.
        """
        if mail.connection != self._connection:
            self._connection, self._caught_up = mail.connection, False
        kind = mail.topic[0]
        self._caught_up |= kind == "head" and mail.kept and not mail.again
        if not self._caught_up:
            return AGAIN if mail.again else LATE
        # A newer head may have been on its way when we asked for a record that the broker keeps.
        return LATE if kind == "subject" and mail.kept else NOTHING
