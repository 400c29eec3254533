"""The log: with its fields to systemd's journal if stderr is connected to it, else as text."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import sys

FORMAT = "%(asctime)s %(levelname)s %(message)s"
SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "ostiary"
OWN = "OSTIARY_"
"""An `extra` of a log call whose name starts with this becomes a field of the journal."""
SAY_S = 1.0
SHORT = 16_000
"""A message too long for one datagram is cut to this many characters."""
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
DEBUG_PRIORITY = 7


def set_up(level: int, path: str = SOCKET) -> None:
    """Log to systemd's journal if stderr is connected to it, else as text to stderr."""
    plain = logging.StreamHandler()
    plain.setFormatter(logging.Formatter(FORMAT))
    handler: logging.Handler = plain
    if is_journal(os.environ.get("JOURNAL_STREAM", ""), sys.stderr.fileno()):
        handler = JournalHandler(path, plain)
    logging.basicConfig(level=level, handlers=[handler])


def is_journal(stream: str, descriptor: int) -> bool:
    """Whether a descriptor is the one that JOURNAL_STREAM (`stream`) names.

    It is not enough that the variable is set: a child process inherits it even if its stderr goes
    elsewhere.
    """
    status = os.fstat(descriptor)
    return stream == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """Sends one datagram per record; a record that the journal refuses goes to `plain`."""

    def __init__(self, path: str, plain: logging.Handler) -> None:
        super().__init__()
        # The journal has its own fields for time and level.
        self.setFormatter(logging.Formatter("%(message)s"))
        self._path, self._plain = path, plain
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SAY_S)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(record, self.format(record))
        except (OSError, LookupError, TypeError, ValueError):
            # This also catches a message that does not fit its arguments: no log line may stop the
            # door.
            self._plain.handle(record)

    def _send(self, record: logging.LogRecord, message: str) -> None:
        try:
            self._socket.sendto(datagram(record, message), self._path)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self._socket.sendto(datagram(record, f"{message[:SHORT]} ..."), self._path)

    def close(self) -> None:
        self._socket.close()
        super().close()


def datagram(record: logging.LogRecord, message: str) -> bytes:
    """A record in the journal's native protocol."""
    fields: dict[str, object] = {
        "MESSAGE": message,
        "PRIORITY": PRIORITIES.get(record.levelno, DEBUG_PRIORITY),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "LOGGER": record.name,
        "THREAD_NAME": record.threadName,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
    }
    fields |= {name: value for name, value in vars(record).items() if name.startswith(OWN)}
    return b"".join(_field(name, str(value)) for name, value in fields.items())


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    # The value's length precedes it: otherwise a line feed in the value would begin the next field.
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)
