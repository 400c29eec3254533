"""Cards and keypads: lines from files, FIFOs and pseudo terminals, keys from a wedge."""

import os
import pty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.adapters.claims import EVENT, KEYS, ClaimSource, KeyEvents, TextLines
from ostiary.edge.errors import ConfigError
from tests.support.doors.real_daemon import eventually

CODES = {key: code for code, key in KEYS.items()}
ENTER = 28


def keys(text: str) -> bytes:
    """What a wedge sends for a text: each key down and up, then Enter."""
    codes = [CODES[key] for key in text] + [ENTER]
    presses = [(1, code, value) for code in codes for value in (1, 0)]
    return b"".join(EVENT.pack(0, 0, kind, code, value) for kind, code, value in presses)


@given(
    st.lists(st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)),
    st.integers(1, 40),
)
def test_keys_typed_in_any_pieces_are_lines(texts: list[str], piece: int) -> None:
    data = b"".join(keys(text) for text in texts)
    parser = KeyEvents()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    assert [line for part in pieces for line in parser.feed(part)] == texts


@given(
    st.lists(st.text("abc0123-", min_size=1, max_size=20)),
    st.integers(1, 9),
    st.sampled_from(["\n", "\r", "\r\n"]),
)
def test_text_in_any_pieces_is_lines(texts: list[str], piece: int, end: str) -> None:
    data = "".join(text + end for text in texts).encode()
    parser = TextLines()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    assert [line for part in pieces for line in parser.feed(part)] == texts


@given(st.binary(max_size=2000))
def test_noise_never_raises_and_never_grows(noise: bytes) -> None:
    for parser in (TextLines(), KeyEvents()):
        for line in parser.feed(noise) + parser.feed(b"x" * 10_000):
            assert len(line) <= 128


def test_a_fifo_gives_lines_from_one_writer_after_another(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cards")
    source = ClaimSource(f"line:{tmp_path / 'cards'}")
    assert source.poll() == []
    for card in ("alice", "bob"):
        with (tmp_path / "cards").open("w") as writer:
            writer.write(f"{card}\n")
        assert source.poll() == [card]
    assert source.problem == ""
    source.close()


def test_a_file_is_followed_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "cards"
    path.write_text("old\n")
    source = ClaimSource(f"line:{path}")
    assert source.poll() == []
    with path.open("a") as file:
        file.write("new\nhalf")
        file.flush()
        assert source.poll() == ["new"]
        file.write("-a-card\n")
    assert source.poll() == ["half-a-card"]
    source.close()


def test_a_serial_port_is_read_raw() -> None:
    outer, inner = pty.openpty()
    source = ClaimSource(f"line:{os.ttyname(inner)}")
    assert source.poll() == []
    os.write(outer, b"0042\r")
    found: list[str] = []

    def read() -> bool:
        found.extend(source.poll())
        return bool(found)

    # The kernel hands it over in its own time.
    assert eventually(read)
    assert found == ["0042"]
    source.close()
    os.close(outer)
    os.close(inner)


def test_a_reader_that_is_unplugged_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "cards"
    source = ClaimSource(f"line:{path}")
    assert source.poll() == []
    assert "No such file" in source.problem
    path.touch()
    assert source.poll() == []
    assert source.problem == ""
    with path.open("a") as file:
        file.write("alice\n")
    assert source.poll() == ["alice"]
    source.close()


@pytest.mark.parametrize("url", ["usb:/dev/x", "line:", "/dev/ttyUSB0"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is not a claim source"):
        ClaimSource(url)


def test_modifier_keys_are_not_typed() -> None:
    shift = b"".join(EVENT.pack(0, 0, 1, 42, value) for value in (1, 0))
    assert KeyEvents().feed(shift + keys("04a")) == ["04a"]


def test_a_port_that_hung_up_is_noticed_and_opened_again() -> None:
    outer, inner = pty.openpty()
    source = ClaimSource(f"line:{os.ttyname(inner)}")
    assert source.poll() == []
    os.close(inner)
    os.close(outer)
    assert source.poll() == []
    assert source.problem
    source.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_device_that_cannot_be_set_up_leaks_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "event0"
    os.mkfifo(path)
    source = ClaimSource(f"evdev:{path}")
    before = descriptors()
    for _ in range(20):
        assert source.poll() == []
    assert descriptors() == before
    assert source.problem
