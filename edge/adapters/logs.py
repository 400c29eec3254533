"""The log: with its fields to systemd's journal where stderr is connected to it, else as text."""

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
"""What a log call passes by `extra` under this prefix becomes a field of the journal."""
SAY_S = 1.0
SHORT = 16_000
"""Characters that are left of a message too long for one datagram."""
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
DEBUG_PRIORITY = 7


def set_up(level: int, path: str = SOCKET) -> None:
    """Log from now on, by the way that suits what stderr is."""
    plain = logging.StreamHandler()
    plain.setFormatter(logging.Formatter(FORMAT))
    handler: logging.Handler = plain
    if is_journal(os.environ.get("JOURNAL_STREAM", ""), sys.stderr.fileno()):
        handler = JournalHandler(path, plain)
    logging.basicConfig(level=level, handlers=[handler])


def is_journal(stream: str, descriptor: int) -> bool:
    """Whether a descriptor is the one that systemd connected: JOURNAL_STREAM is inherited too."""
    status = os.fstat(descriptor)
    return stream == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """One datagram a record; what the journal does not take goes to the other handler."""

    def __init__(self, path: str, plain: logging.Handler) -> None:
        super().__init__()
        # Time and level are fields of their own.
        self.setFormatter(logging.Formatter("%(message)s"))
        self._path, self._plain = path, plain
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SAY_S)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(record, self.format(record))
        except (OSError, LookupError, TypeError, ValueError):
            # Also a message that does not fit its arguments: a log line never stops the door.
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
    # Its length in front: a line feed in a value would otherwise begin the next field.
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)
