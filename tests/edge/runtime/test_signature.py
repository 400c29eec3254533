"""A signature fits one manifest and one trusted key, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.signature import PURPOSE, SIGNATURE, Keys, check, read_keys, sign
from tests.support import tiny_bundle

SEED = bytes(range(32))
OTHER = bytes(range(1, 33))
RAW = b'{"schema": 2, "recipe": "a manifest"}'
SIGNED = sign(RAW, SEED).encode()
KEYS = tiny_bundle.keys(SEED)


def key_of(seed: bytes) -> str:
    return SigningKey(seed).verify_key.encode().hex()


def test_a_signed_manifest_is_accepted_and_the_signer_is_named() -> None:
    assert check(RAW, SIGNED, KEYS) == key_of(SEED)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(RAW) * 8 - 1))
def test_a_flipped_bit_of_the_manifest_is_refused(bit: int) -> None:
    with pytest.raises(BundleError, match=r"does not fit manifest\.json"):
        check(flipped(RAW, bit), SIGNED, KEYS)


def test_every_flipped_bit_of_the_signature_file_is_refused() -> None:
    for bit in range(len(SIGNED.rstrip()) * 8):
        with pytest.raises(BundleError):
            check(RAW, flipped(SIGNED, bit), KEYS)


def test_every_flipped_bit_of_the_trusted_key_is_refused() -> None:
    key = bytes.fromhex(key_of(SEED))
    for bit in range(256):
        changed = flipped(key, bit).hex()
        with pytest.raises(BundleError, match="none of the 1 keys"):
            check(RAW, SIGNED, Keys(frozenset({changed}), Path("keys")))
        # Trusting the changed key and naming it as the signer does not help either.
        named = SIGNED.replace(key.hex().encode(), changed.encode())
        with pytest.raises(BundleError, match="does not fit"):
            check(RAW, named, Keys(frozenset({changed}), Path("keys")))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_an_untrusted_signer_is_named_and_refused() -> None:
    with pytest.raises(BundleError, match=key_of(OTHER)[:16]) as caught:
        check(RAW, sign(RAW, OTHER).encode(), KEYS)
    assert ".pub" in caught.value.hint


def test_a_signature_under_a_trusted_name_by_another_key_is_refused() -> None:
    forged = sign(RAW, OTHER).replace(key_of(OTHER), key_of(SEED))
    with pytest.raises(BundleError, match="does not fit"):
        check(RAW, forged.encode(), KEYS)


@pytest.mark.parametrize("purpose", [b"", b"ostiary template 1\n", PURPOSE.upper()])
def test_a_signature_for_another_purpose_is_refused(purpose: bytes) -> None:
    made = SigningKey(SEED).sign(purpose + RAW).signature.hex()
    with pytest.raises(BundleError, match="does not fit"):
        check(RAW, f"key {key_of(SEED)}\nsignature {made}\n".encode(), KEYS)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"\xff\xfe\x00garbage",
        SIGNED[:-20],
        SIGNED.upper(),
        SIGNED + b"more",
        b" " + SIGNED,
        SIGNED * 2,
    ],
    ids=["empty", "newline", "bytes", "short", "upper", "more", "space", "twice"],
)
def test_a_text_that_is_no_signature_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match="holds no signature"):
        check(RAW, text, KEYS)


def test_a_device_loads_a_signed_bundle_only(tmp_path: Path) -> None:
    folder = tiny_bundle.make(tmp_path / "bundle")
    assert bundles.load(folder, KEYS).signer == key_of(SEED)
    with pytest.raises(BundleError, match="none of the 0 keys"):
        bundles.load(folder, read_keys(tmp_path / "no keys"))
    (folder / SIGNATURE).write_bytes(b"")
    with pytest.raises(BundleError, match="holds no signature"):
        bundles.load(folder, KEYS)
    (folder / SIGNATURE).unlink()
    with pytest.raises(BundleError, match="is not signed"):
        bundles.load(folder, KEYS)
    assert bundles.read(folder).signer is None


def test_keys_are_the_pub_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text(f"{key_of(SEED)}\n")
    (tmp_path / "b.pub").write_text(key_of(OTHER))
    (tmp_path / "README").write_text("not a key")
    assert read_keys(tmp_path) == Keys(frozenset({key_of(SEED), key_of(OTHER)}), tmp_path)
    assert read_keys(tmp_path / "none").trusted == frozenset()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64, b"0" * 63, b"0" * 65])
def test_a_pub_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "good.pub").write_text(key_of(SEED))
    (tmp_path / "bad.pub").write_bytes(content)
    with pytest.raises(BundleError, match=r"bad\.pub"):
        read_keys(tmp_path)


def test_the_folder_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSTIARY_KEYS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert signature.keys_folder() == signature.SYSTEM_KEYS
    (tmp_path / "ostiary" / "keys").mkdir(parents=True)
    assert signature.keys_folder() == tmp_path / "ostiary" / "keys"
    monkeypatch.setenv("OSTIARY_KEYS", str(tmp_path / "given"))
    assert read_keys().folder == tmp_path / "given"
