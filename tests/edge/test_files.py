"""Atomic writes of files and directories."""

import os
from pathlib import Path

import pytest

from ostiary.edge.files import list_text, replace_dir, trimmed, write_atomically


def test_a_list_is_text_without_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for data in (b"\xef\xbb\xbfa\r\n", b"a\r\n"):
        path.write_bytes(data)
        assert list_text(path) == "a\r\n"
    path.write_bytes("a".encode("utf-16"))
    with pytest.raises(UnicodeDecodeError):
        list_text(path)


def test_a_row_loses_blanks_and_the_empty_cells_at_its_end() -> None:
    assert trimmed([" a ", "", "b\t", "", " "]) == ["a", "", "b"]
    assert trimmed(["a", "", ""], least=2) == ["a", ""]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_directory_takes_the_place_of_another(tmp_path: Path) -> None:
    for name, content in (("new", "2"), ("target", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(content)
    replace_dir(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target" / "f").read_text() == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]
