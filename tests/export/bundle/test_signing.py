"""Secret keys are their owner's alone, are never overwritten, and sign whole bundles only."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.signature import SIGNATURE, Keys, read_keys
from ostiary.export.bundle import signing
from tests.support import tiny_bundle

QUIET = lambda *a: None  # noqa: E731


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o077], ids=["umask-000", "umask-077"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    old = os.umask(request.param)
    yield
    os.umask(old)


@pytest.mark.usefixtures("_umask")
def test_a_pair_signs_and_is_trusted(tmp_path: Path) -> None:
    key = signing.keygen(tmp_path / "hq.key")
    assert (mode(tmp_path / "hq.key"), mode(tmp_path / "hq.pub")) == (0o600, 0o644)
    assert (tmp_path / "hq.pub").read_text() == f"{key}\n"
    assert (tmp_path / "hq.key").read_text() == f"{signing.read_seed(tmp_path / 'hq.key').hex()}\n"
    folder = tiny_bundle.make(tmp_path / "bundle", sign=False)
    assert signing.sign_bundle(folder, signing.read_seed(tmp_path / "hq.key")) == key
    assert bundles.load(folder, read_keys(tmp_path)).signer == key


def test_the_secret_is_never_open_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even between its creation and a later chmod: the modes that open() is given."""
    real, modes = os.open, dict[str, tuple[int, bool]]()

    def spied(path: str, flags: int, mode: int = 0o777, **more: Any) -> int:
        modes[Path(path).name] = (mode, bool(flags & os.O_EXCL))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", spied)
    signing.keygen(tmp_path / "a.key")
    assert modes["a.key"] == (0o600, True)


def test_two_pairs_differ(tmp_path: Path) -> None:
    assert signing.keygen(tmp_path / "a.key") != signing.keygen(tmp_path / "b.key")


@pytest.mark.parametrize("there", ["hq.key", "hq.pub"])
def test_a_key_is_not_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("old")
    with pytest.raises(BundleError, match=rf"{there} is already there"):
        signing.keygen(tmp_path / "hq.key")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {there: "old"}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "hq.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="already there"):
        signing.keygen(tmp_path / "hq.key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_failed_keygen_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="No space left"):
        signing.keygen(tmp_path / "hq.key")
    assert list(tmp_path.iterdir()) == []


def test_names_that_cannot_be_a_keys_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="public key's name"):
        signing.keygen(tmp_path / "hq.pub")
    with pytest.raises(BundleError, match="No such file"):
        signing.keygen(tmp_path / "none" / "hq.key")
    with pytest.raises(BundleError, match="not a file name"):
        signing.keygen(Path())


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o620, 0o644, 0o610])
def test_a_secret_that_others_may_touch_is_refused(tmp_path: Path, open_to: int) -> None:
    signing.keygen(tmp_path / "hq.key")
    (tmp_path / "hq.key").chmod(open_to)
    with pytest.raises(BundleError, match=f"{open_to:04o}") as caught:
        signing.read_seed(tmp_path / "hq.key")
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"0" * 63, b"0" * 65, b"g" * 64, b"\xff" * 64])
def test_a_file_that_is_no_secret_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hq.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(BundleError, match=r"hq\.key holds no secret key") as caught:
        signing.read_seed(path)
    assert not content or content.decode("latin1") not in str(caught.value)


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no key .*hq\.key"):
        signing.read_seed(tmp_path / "hq.key")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OSTIARY_KEYS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "ostiary"


def test_the_default_key_is_made_once_and_trusted(home: Path, tmp_path: Path) -> None:
    said: list[str] = []
    path = signing.ensure_default_key(said.append)
    assert path == home / "signing.key" == signing.default_key()
    (key,) = read_keys().trusted
    assert read_keys().folder == home / "keys"
    assert len(said) == 1
    assert key[:16] in said[0]
    assert key not in said[0]
    assert "\n" not in said[0]
    folder = tiny_bundle.make(tmp_path / "bundle", sign=False)
    assert signing.sign_bundle(folder, signing.read_seed(path)) == key
    assert bundles.load(folder).signer == key
    assert signing.ensure_default_key(said.append) == path
    assert len(said) == 1
    assert read_keys().trusted == {key}


def test_a_trusted_key_without_its_secret_is_not_replaced(home: Path) -> None:
    signing.ensure_default_key(QUIET)
    before = read_keys().trusted
    (home / "signing.key").unlink()
    with pytest.raises(BundleError, match=r"signing\.key is gone"):
        signing.ensure_default_key(QUIET)
    assert read_keys().trusted == before
    assert not (home / "signing.key").exists()


def test_a_default_key_that_cannot_be_trusted_is_not_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(signing, "write_atomically", full)
    with pytest.raises(BundleError, match="No space left"):
        signing.ensure_default_key(QUIET)
    assert [p.name for p in home.rglob("*") if p.is_file()] == []


def test_a_changed_bundle_is_not_signed(tmp_path: Path) -> None:
    folder = tiny_bundle.make(tmp_path / "bundle", sign=False)
    (folder / "pad.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"pad\.onnx"):
        signing.sign_bundle(folder, tiny_bundle.SEED)
    assert not (folder / SIGNATURE).exists()


def test_a_bundle_can_be_signed_again_by_another(tmp_path: Path) -> None:
    folder = tiny_bundle.make(tmp_path / "bundle")
    key = signing.sign_bundle(folder, bytes(32))
    assert bundles.load(folder, Keys(frozenset({key}), tmp_path)).signer == key
    with pytest.raises(BundleError, match="none of the"):
        bundles.load(folder, tiny_bundle.keys())
    assert signature.SIGNATURE in {p.name for p in folder.iterdir()}
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
