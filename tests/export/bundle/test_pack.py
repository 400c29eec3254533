"""A packed bundle depends on its files' names and bytes, and holds nothing that was not signed."""

import os
import shutil
import stat
import time
import zipfile
from pathlib import Path

import pytest

from ostiary.edge.errors import BundleError
from ostiary.edge.models import install
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.export.bundle.pack import pack
from tests.support import tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle.make(tmp_path / "bundle")


def test_the_same_bundle_gives_the_same_bytes(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order the files were made in, their times and modes, the umask and the zone."""
    pack(bundle, tmp_path / "a.zip")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    old = os.umask(0o077)
    try:
        (tmp_path / "copy").mkdir()
        for number, path in enumerate(sorted(bundle.iterdir(), reverse=True)):
            copied = Path(shutil.copyfile(path, tmp_path / "copy" / path.name))
            copied.chmod(0o700)
            os.utime(copied, (10**9 + number, 10**9 + number))
        pack(tmp_path / "copy", tmp_path / "b.zip")
    finally:
        os.umask(old)
        monkeypatch.undo()
        time.tzset()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_another_bundle_gives_other_bytes(bundle: Path, tmp_path: Path) -> None:
    pack(bundle, tmp_path / "a.zip")
    pack(tiny_bundle.make(tmp_path / "other", seed=1), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() != (tmp_path / "b.zip").read_bytes()


def test_it_holds_what_the_manifest_names_and_nothing_else(bundle: Path, tmp_path: Path) -> None:
    expected = {path.name: path.read_bytes() for path in bundle.iterdir()}
    (bundle / "signing.key").write_text("left here by mistake")
    (bundle / "__pycache__").mkdir()
    pack(bundle, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as zipped:
        assert zipped.testzip() is None
        assert {name: zipped.read(name) for name in zipped.namelist()} == expected
        assert zipped.namelist() == sorted(expected)
        for entry in zipped.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
            assert (entry.create_system, entry.compress_type) == (3, zipfile.ZIP_STORED)


def test_an_unsigned_bundle_is_refused(tmp_path: Path) -> None:
    folder = tiny_bundle.make(tmp_path / "bundle", sign=False)
    refused(folder, tmp_path / "a.zip", "is not signed")


def test_a_bundle_that_changed_after_it_was_signed_is_refused(bundle: Path, tmp_path: Path) -> None:
    raw = (bundle / MANIFEST).read_bytes()
    (bundle / MANIFEST).write_bytes(raw.replace(b"tiny", b"tony"))
    refused(bundle, tmp_path / "a.zip", r"does not fit manifest\.json")
    (bundle / MANIFEST).write_bytes(raw)
    (bundle / "pad.onnx").write_bytes(b"changed")
    refused(bundle, tmp_path / "a.zip", r"pad\.onnx")


@pytest.mark.parametrize("text", [b"", b"key \n", b"\xff\xff", b"key " + b"0" * 64])
def test_a_garbage_signature_is_refused(bundle: Path, tmp_path: Path, text: bytes) -> None:
    (bundle / SIGNATURE).write_bytes(text)
    refused(bundle, tmp_path / "a.zip", "holds no signature")


def refused(folder: Path, target: Path, message: str) -> None:
    target.write_bytes(b"old")
    with pytest.raises(BundleError, match=message):
        pack(folder, target)
    assert target.read_bytes() == b"old"
    assert not [p for p in target.parent.iterdir() if p.name.startswith(".")]


def test_what_no_device_would_install_is_not_packed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "MAX_FILES", 3)
    refused(bundle, tmp_path / "a.zip", "a bundle at most 3")
    monkeypatch.undo()
    monkeypatch.setattr("ostiary.export.bundle.pack.MAX_BYTES", 1000)
    refused(bundle, tmp_path / "a.zip", "more than 1000")
    files = {p.name: p.read_bytes() for p in bundle.iterdir() if p.suffix in (".onnx", ".npz")}
    (bundle / "my report").write_bytes(b"")
    tiny_bundle.write_manifest(bundle, files | {"my report": b""})
    monkeypatch.undo()
    refused(bundle, tmp_path / "a.zip", "'my report', which is not a plain file name")


def test_a_target_that_cannot_be_written_is_named(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot write .*a\.zip: No such file"):
        pack(bundle, tmp_path / "none" / "a.zip")
    with pytest.raises(BundleError, match=r"cannot write .*bundle: Is a directory"):
        pack(bundle, bundle)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    before = (bundle / "pad.onnx").read_bytes()
    with pytest.raises(BundleError, match="file of the bundle itself"):
        pack(bundle, bundle / "pad.onnx")
    assert (bundle / "pad.onnx").read_bytes() == before
