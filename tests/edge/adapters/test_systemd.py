"""Messages to systemd about the service, and records for its journal."""

import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.edge.adapters import logs, systemd
from ostiary.edge.adapters.logs import JournalHandler, datagram
from ostiary.edge.adapters.systemd import Notifier, from_environment
from tests.support.fakes import FakeClock
from tests.support.places import ROOT

WAIT_S = 5.0


class Ear:
    """A datagram socket in place of systemd's."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(WAIT_S)

    def next(self) -> bytes:
        return self._socket.recv(1_000_000)

    def silent(self) -> bool:
        """Whether no datagram is left to read."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1_000_000)
        except BlockingIOError:
            self._socket.settimeout(WAIT_S)
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(str(tmp_path / "notify"))
    yield made
    made.close()


def test_messages_to_a_path(ear: Ear, tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "notify"))
    notifier.ready("identify on openvino, K 3")
    assert ear.next() == b"READY=1\nSTATUS=identify on openvino, K 3"
    notifier.stopping()
    assert ear.next() == b"STOPPING=1"


def test_messages_to_an_abstract_address() -> None:
    name = f"ostiary-test-{os.getpid()}"
    ear = Ear(f"\0{name}")
    Notifier(f"@{name}").stopping()
    assert ear.next() == b"STOPPING=1"
    ear.close()


def test_a_status_is_sent_on_one_line_when_it_changes(ear: Ear, tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "notify"))
    notifier.ready("camera opening")
    ear.next()
    notifier.status("camera opening")
    assert ear.silent()
    notifier.status("camera lost:\nREADY=1")
    assert ear.next() == b"STATUS=camera lost: READY=1"
    notifier.status("camera lost:\nREADY=1")
    assert ear.silent()


def test_the_watchdog_is_fed_at_half_of_its_time_by_turns(ear: Ear, tmp_path: Path) -> None:
    clock = FakeClock()
    notifier = Notifier(str(tmp_path / "notify"), 10.0, clock)
    fed = []
    for turn in range(201):
        notifier.turned()
        if not ear.silent():
            fed.append(turn)
        clock.now += 0.125
    assert fed == [0, 40, 80, 120, 160, 200]


@pytest.mark.parametrize("address", ["", "/no/such/socket", "@ostiary-nobody-listens"])
def test_a_missing_manager_is_no_error(address: str) -> None:
    notifier = Notifier(address, 1.0)
    notifier.ready("x")
    notifier.status("y")
    notifier.turned()
    notifier.stopping()


def test_a_manager_that_does_not_listen_holds_nothing_up(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "SAY_S", 0.01)
    notifier = Notifier(str(tmp_path / "notify"))
    fits = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for number in range(fits + 3):
        notifier.status(str(number))
    heard = [ear.next()]
    while not ear.silent():
        heard.append(b"more")
    assert heard[0] == b"STATUS=0"
    assert fits <= len(heard) < fits + 3


@pytest.mark.parametrize(("pid", "fed"), [("", True), ("ours", True), ("1", False), ("one", False)])
def test_the_variables_are_removed_and_the_watchdog_is_for_this_process(
    ear: Ear, tmp_path: Path, pid: str, fed: bool
) -> None:
    variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000", "A": "b"}
    if pid:
        variables["WATCHDOG_PID"] = str(os.getpid()) if pid == "ours" else pid
    notifier = from_environment(variables, FakeClock())
    assert variables == {"A": "b"}
    notifier.turned()
    assert ear.silent() != fed


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
def test_nothing_is_sent_to_an_unknown_kind_of_address(address: str) -> None:
    notifier = from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "soon"})
    assert notifier._address == ""
    notifier.turned()


# The journal


@pytest.fixture
def journal(ear: Ear, tmp_path: Path) -> Iterator[logging.Logger]:
    plain = logging.StreamHandler((tmp_path / "plain").open("w"))
    handler = JournalHandler(str(tmp_path / "notify"), plain)
    logger = logging.Logger("ostiary.edge.effects.recorder")
    logger.addHandler(handler)
    yield logger
    handler.close()
    plain.stream.close()


def fields(data: bytes) -> dict[str, str]:
    """The native protocol read as systemd-journald reads it."""
    found: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            data = rest
        else:
            name, (length,) = line, struct.unpack("<Q", rest[:8])
            value = rest[8 : 8 + length]
            assert rest[8 + length : 9 + length] == b"\n"
            data = rest[9 + length :]
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


def test_a_record_has_its_fields(ear: Ear, journal: logging.Logger) -> None:
    journal.warning("%s was lost", "camera", extra={"OSTIARY_EVENT": "camera-lost", "other": 1})
    found = fields(ear.next())
    assert found["MESSAGE"] == "camera was lost"
    assert found["PRIORITY"] == "4"
    assert found["SYSLOG_IDENTIFIER"] == "ostiary"
    assert found["LOGGER"] == "ostiary.edge.effects.recorder"
    assert found["CODE_FUNC"] == "test_a_record_has_its_fields"
    assert found["CODE_FILE"] == __file__
    assert found["OSTIARY_EVENT"] == "camera-lost"
    assert "other" not in found


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, "7"), (logging.INFO, "6"), (logging.ERROR, "3"), (logging.CRITICAL, "2")],
)
def test_a_level_is_a_priority(
    ear: Ear, journal: logging.Logger, level: int, priority: str
) -> None:
    journal.log(level, "x")
    assert fields(ear.next())["PRIORITY"] == priority


def test_a_value_with_line_feeds_begins_no_field_of_its_own(
    ear: Ear, journal: logging.Logger
) -> None:
    try:
        raise ValueError("first\nMESSAGE=forged")
    except ValueError:
        journal.exception("a frame failed\nPRIORITY=0", extra={"OSTIARY_EVENT": "a\nb=\udcff"})
    found = fields(ear.next())
    assert found["MESSAGE"].startswith("a frame failed\nPRIORITY=0\nTraceback")
    assert "ValueError: first\nMESSAGE=forged" in found["MESSAGE"]
    assert found["PRIORITY"] == "3"
    assert found["OSTIARY_EVENT"] == "a\nb=?"


def test_a_message_too_long_is_cut_and_still_arrives(ear: Ear, journal: logging.Logger) -> None:
    journal.error("x" * 5_000_000)
    message = fields(ear.next())["MESSAGE"]
    assert message == "x" * logs.SHORT + " ..."


def test_without_the_journal_the_line_goes_to_stderr(
    ear: Ear, journal: logging.Logger, tmp_path: Path
) -> None:
    (tmp_path / "notify").unlink()
    journal.info("the journal is away")
    assert "the journal is away" in (tmp_path / "plain").read_text()
    ear.close()


def test_a_record_that_cannot_be_formatted_stops_nothing(
    ear: Ear, journal: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.info("%d of %s", "one")
    journal.info("next")
    assert fields(ear.next())["MESSAGE"] == "next"


def test_stderr_is_the_journal_only_where_systemd_connected_it(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as file:
        status = os.fstat(file.fileno())
        assert logs.is_journal(f"{status.st_dev}:{status.st_ino}", file.fileno())
        for other in ("", f"{status.st_dev}:{status.st_ino + 1}", "x"):
            assert not logs.is_journal(other, file.fileno())


SET_UP = """
import logging, os, sys
sys.path.insert(0, {root!r})
from ostiary.edge.adapters import logs
status = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{{status.st_dev}}:{{status.st_ino + {off}}}"
logs.set_up(logging.INFO, {path!r})
logging.getLogger("ostiary.edge").info("ready", extra={{"OSTIARY_EVENT": "x"}})
"""


@pytest.mark.parametrize("connected", [True, False])
def test_the_log_goes_where_stderr_goes(ear: Ear, tmp_path: Path, connected: bool) -> None:
    script = SET_UP.format(root=str(ROOT), off=0 if connected else 1, path=str(tmp_path / "notify"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if connected:
        assert done.stderr == ""
        assert fields(ear.next())["MESSAGE"] == "ready"
    else:
        assert done.stderr.endswith(" INFO ready\n")
        assert ear.silent()


def test_a_datagram_follows_the_protocol() -> None:
    record = logging.LogRecord("n", logging.INFO, "/f.py", 3, "m", (), None, "g")
    assert datagram(record, "a\nb").startswith(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=6\n")
