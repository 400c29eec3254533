"""A bundle replaces another only if all of it is right; otherwise nothing changes."""

import fcntl
import io
import os
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.errors import BackendError, BundleError
from ostiary.edge.models import install as module
from ostiary.edge.models.install import install
from ostiary.edge.runtime.bundle import GOLDEN, MANIFEST, Bundle
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.export.bundle.pack import pack
from tests.support import tiny_bundle
from tests.support.tiny_bundle import KEYS, Place, state, trusting


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("source", ["new.zip", "new"])
def test_a_bundle_takes_the_place_of_another(place: Place, source: str) -> None:
    (place.new / "signing.key").write_text("left there by mistake")
    seen: list[Path] = []
    made = install(place.folder / source, place.target, KEYS, prove=lambda b: seen.append(b.path))
    assert made.path == place.target
    assert made.signer in KEYS.trusted
    assert seen[0].parent == place.target.parent, "proven before it was put there"
    (place.new / "signing.key").unlink()
    assert state(place.target) == state(place.new)
    assert [p.name for p in place.target.parent.iterdir()] == ["bundle"]
    assert install(place.new, place.folder / "first", KEYS, prove=trusting).encoder_id


def test_leftovers_of_a_power_cut_are_removed(place: Place) -> None:
    staged = place.target.with_name(".bundle.new")
    staged.mkdir()
    (staged / "encoder.onnx").write_bytes(b"half")
    install(place.archive, place.target, KEYS, prove=trusting)
    assert state(place.target) == state(place.new)
    assert not staged.exists()


def test_the_golden_vectors_are_proven_first(place: Place) -> None:
    files = {p.name: p.read_bytes() for p in place.new.iterdir()}
    with np.load(io.BytesIO(files[GOLDEN])) as arrays:
        wrong = dict(arrays) | {"pad.outputs": arrays["pad.outputs"] + 1}
    files = {n: d for n, d in files.items() if n not in (MANIFEST, SIGNATURE)}
    files[GOLDEN] = tiny_bundle.golden(wrong)
    (place.new / GOLDEN).write_bytes(files[GOLDEN])
    tiny_bundle.write_manifest(place.new, files)
    right = place.archive.read_bytes()
    pack(place.new, place.archive)
    place.refused("the pad is 1 off its golden vectors", prove=None, backend="onnxruntime")
    place.archive.write_bytes(right)
    place.refused("unknown backend 'abacus'", prove=None, backend="abacus")
    install(place.archive, place.target, KEYS, "onnxruntime")
    assert state(place.target) != place.before


def test_a_failed_proof_and_a_full_disk_change_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bundle: Bundle) -> None:
        raise BackendError(f"cannot load {bundle.path / 'pad.onnx'}")

    place.refused(r"cannot load .*new\.zip/pad\.onnx", prove=fails)

    def full(_staged: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "replace_dir", full)
    place.refused("No space left")


def test_a_bundle_not_signed_by_a_trusted_key_is_refused(place: Place) -> None:
    place.refused("none of the 1 keys", keys=tiny_bundle.keys(bytes(32)))
    entries = [(e, d) for e, d in place.entries() if e.filename != SIGNATURE]
    place.rewrite(entries)
    place.refused(r"new\.zip is not signed")


def test_a_changed_or_missing_file_is_named(place: Place) -> None:
    whole = place.entries()
    place.rewrite([(e, b"x" if e.filename == "pad.onnx" else d) for e, d in whole])
    place.refused(r"new\.zip/pad\.onnx is not the file")
    place.rewrite([(e, d) for e, d in whole if e.filename != "pad.onnx"])
    place.refused(r"cannot read pad\.onnx in the bundle .*new\.zip")
    place.rewrite([*whole, (zipfile.ZipInfo("extra.so"), b"nobody signed this")])
    place.refused(r"holds extra\.so, which its manifest does not name")


NAMES = ["../evil", "/tmp/evil", "a/b", "a/", "..", ".", ".hidden", "a\\b", "..\\evil", "C:evil"]
NAMES += ["", "a b", "a\nb", "\u202eevil", "x" * 129]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_plain_is_refused(place: Place, name: str) -> None:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    place.rewrite([*place.entries(), (entry, b"evil")])
    place.refused("is not a plain file name")


def test_a_name_with_a_nul_is_refused(place: Place) -> None:
    place.rewrite([*place.entries(), (zipfile.ZipInfo("padXonnx"), b"evil")])
    place.archive.write_bytes(place.archive.read_bytes().replace(b"padXonnx", b"pad\0onnx"))
    place.refused("is not a plain file name")


@pytest.mark.parametrize("name", ["pad.onnx", "PAD.onnx"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(place: Place, name: str) -> None:
    place.rewrite([*place.entries(), (zipfile.ZipInfo(name), b"evil")])
    place.refused(r"names (pad|PAD)\.onnx twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_is_refused(place: Place, kind: int) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    place.rewrite([*place.entries(), (entry, b"/etc/passwd")])
    place.refused("link in .* is not a regular file")


def directory(place: Place) -> int:
    """Where the archive's list of its files begins."""
    with zipfile.ZipFile(place.archive) as zipped:
        return zipped.start_dir


def patched(place: Place, local: int, central: int, value: int) -> None:
    """Set a 16-bit field of the first entry's two headers."""
    data = bytearray(place.archive.read_bytes())
    struct.pack_into("<H", data, local, value)
    struct.pack_into("<H", data, directory(place) + central, value)
    place.archive.write_bytes(data)


@pytest.mark.parametrize("flag", [0x1, 0x41])
def test_an_encrypted_file_is_refused(place: Place, flag: int) -> None:
    patched(place, 6, 8, flag)
    place.refused("is encrypted")


@pytest.mark.parametrize("method", [12, 14, 93, 99])
def test_a_method_that_is_not_deflate_is_refused(place: Place, method: int) -> None:
    patched(place, 8, 10, method)
    place.refused(f"compressed by method {method}")


def test_an_archive_deflated_by_another_tool_is_accepted(place: Place) -> None:
    place.rewrite(place.entries(), zipfile.ZIP_DEFLATED)
    install(place.archive, place.target, KEYS, prove=trusting)
    assert state(place.target) == state(place.new)


def test_a_bomb_is_stopped_while_it_unpacks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 3 << 20)
    bombs = [(zipfile.ZipInfo(f"bomb{n}"), bytes(2 << 20)) for n in range(2)]
    place.rewrite(bombs, zipfile.ZIP_DEFLATED)
    assert place.archive.stat().st_size < 10_000
    place.refused("with bomb1 the bundle has more than")
    # A header that claims a smaller size does not get more bytes past the limit.
    data = place.archive.read_bytes().replace(struct.pack("<L", 2 << 20), struct.pack("<L", 10))
    place.archive.write_bytes(data)
    place.refused(r"bomb0 in .*new\.zip is damaged")


def test_a_large_directory_bundle_is_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    place.archive = place.new
    place.refused("more than the 1000 bytes")


def test_too_many_files_are_refused(place: Place) -> None:
    place.rewrite([(zipfile.ZipInfo(f"f{n}"), b"") for n in range(65)])
    place.refused("has 65 files, a bundle at most 64")
    place.rewrite([(zipfile.ZipInfo(f"{n:040d}"), b"") for n in range(2000)])
    place.refused("list of files of .* too long")


def test_an_archive_cut_anywhere_is_refused(place: Place) -> None:
    whole = place.archive.read_bytes()
    for end in range(0, len(whole), 97):
        place.archive.write_bytes(whole[:end])
        place.refused("cut short, or not the zip file")


@pytest.mark.parametrize("data", [b"garbage" * 100, b"PK\5\6" + bytes(18), b"", b"PK\3\4" * 20])
def test_garbage_is_refused(place: Place, data: bytes) -> None:
    place.archive.write_bytes(data)
    place.refused("new.zip")


def test_another_list_of_files_cannot_be_slipped_in(place: Place) -> None:
    """Neither by a comment nor by the 64-bit form: zipfile would trust the second record."""
    whole = place.archive.read_bytes()
    for comment in (b"\1\0c", b"\1\0"):
        place.archive.write_bytes(whole[:-2] + comment)
        place.refused("cut short, or not the zip file")
    place.archive.write_bytes(whole[:-22] + b"PK\6\7" + bytes(16) + whole[-22:])
    place.refused("cut short, or not the zip file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_anywhere_is_an_error_of_ours_or_harmless(place: Place, method: int) -> None:
    """Bytes set at random, most of them in the headers: never another exception, never a change."""
    place.rewrite(place.entries(), method)
    whole = place.archive.read_bytes()
    rng = np.random.default_rng(method)
    headers = directory(place)
    installed = 0
    for turn in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(headers, len(data)) if turn % 2 else rng.integers(len(data))
            data[at] = rng.integers(256)
        place.archive.write_bytes(data)
        target = place.folder / "device" / "bundle"
        try:
            install(place.archive, target, KEYS, prove=trusting)
        except BundleError:
            assert state(place.folder / "device") == place.before
        else:  # a date, a version or a mode: the content is what was signed
            assert state(target) == state(place.new)
            shutil.rmtree(target)
            tiny_bundle.make(target)
            installed += 1
    assert 0 < installed < 150


def test_a_folder_that_is_no_bundle_is_not_replaced(place: Place) -> None:
    home = place.folder / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    (home / MANIFEST).write_text("of a web page")
    for target in (home, home / "thesis.tex", Path("/")):
        with pytest.raises(BundleError, match="is not a bundle"):
            install(place.archive, target, KEYS, prove=trusting)
    assert (home / "thesis.tex").read_text() == "years of work"


def test_an_archive_that_would_be_deleted_is_refused(place: Place) -> None:
    inside = place.target / "new.zip"
    shutil.copyfile(place.archive, inside)
    with pytest.raises(BundleError, match="which it would replace"):
        install(inside, place.target, KEYS, prove=trusting)
    assert inside.exists()


def test_paths_that_are_not_there_are_named(place: Place) -> None:
    with pytest.raises(BundleError, match=r"no file .*none\.zip"):
        install(place.folder / "none.zip", place.target, KEYS, prove=trusting)
    with pytest.raises(BundleError, match=r"cannot install .*: No such file"):
        install(place.archive, place.folder / "none" / "bundle", KEYS, prove=trusting)


def test_a_second_install_at_once_is_refused(place: Place) -> None:
    descriptor = os.open(place.target.parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    place.refused("another bundle is being installed")
    os.close(descriptor)
    install(place.archive, place.target, KEYS, prove=trusting)
