"""Messages signed by an operator with their topic, then encrypted for the site (libsodium)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey

from ostiary.edge.errors import SealError

VERSION = b"\x01"
PURPOSE = b"ostiary sealed message 1\n"
"""Prefix of everything signed, so that a signature for another purpose is not valid here."""
KEY_BYTES = 32
HINT = 8
"""The number of first bytes of a message that name the signer's key, by its own first bytes."""
SIGNATURE = 64
MAX_BYTES = 1 << 20
"""Largest message; a larger one is refused before it is decrypted."""
BOUND = 16
"""Bytes of the topic's hash in a message, which bind it to the topic."""
OVERHEAD = len(VERSION) + SecretBox.NONCE_SIZE + SecretBox.MACBYTES + BOUND


class Site:
    """The site's symmetric key; each member can encrypt (`close`) and decrypt (`open`) with it.

    A closed message is not signed, but bound to its topic: on another topic it does not open.
    """

    def __init__(self, key: bytes) -> None:
        """`key` has 32 bytes. Raises ValueError for another length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected {KEY_BYTES} bytes, got {len(key)}")
        self._box = SecretBox(key)

    def close(self, topic: str, body: bytes) -> bytes:
        """Encrypt with a new random nonce. Raises SealError `too-large` for more than MAX_BYTES,
        which nobody would open."""
        if len(body) > MAX_BYTES - OVERHEAD:
            raise SealError(
                "too-large", f"{len(body)} bytes for {topic}, at most {MAX_BYTES} are allowed"
            )
        return VERSION + bytes(self._box.encrypt(_bound(topic) + body))

    def open(self, topic: str, payload: bytes) -> bytes:
        """The body. Raises SealError: `not-sealed`, `other-site` or `moved`."""
        if not 0 < len(payload) <= MAX_BYTES or payload[:1] != VERSION:
            raise SealError("not-sealed", f"{len(payload)} bytes that are not a sealed message")
        try:
            plain = self._box.decrypt(payload[1:])
        except (CryptoError, ValueError, TypeError) as error:
            raise SealError(
                "other-site", "not encrypted with this site's key, or changed"
            ) from error
        bound = _bound(topic)
        if not plain.startswith(bound):
            raise SealError("moved", "made for another topic than it came on")
        return plain[len(bound) :]


class Sealer:
    """The operator's side: signs a message, then encrypts it."""

    def __init__(self, site: Site, seed: bytes) -> None:
        """`seed` is the operator's 32 secret bytes."""
        self._site, self._key = site, SigningKey(seed)
        self.public = bytes(self._key.verify_key)

    def seal(self, topic: str, body: bytes) -> bytes:
        """The payload for a topic."""
        signature = self._key.sign(_signed(topic, body)).signature
        return self._site.close(topic, self.public[:HINT] + signature + body)


class Opener:
    """The device's side: decrypts with the site's key and checks a trusted operator's signature."""

    def __init__(self, site: Site, operators: Iterable[bytes]) -> None:
        """`operators` are 32-byte public keys. Raises ValueError for one that is not."""
        self._site = site
        self._keys = {key[:HINT]: VerifyKey(key) for key in operators}

    def open(self, topic: str, payload: bytes) -> bytes:
        """The body. Raises SealError: `not-sealed`, `other-site`, `moved`, `unknown-operator` or
        `bad-signature`."""
        plain = self._site.open(topic, payload)
        if len(plain) < HINT + SIGNATURE:
            raise SealError("not-sealed", "too short to be signed")
        key = self._keys.get(plain[:HINT])
        if key is None:
            raise SealError(
                "unknown-operator", "signed by an operator whom this device does not trust"
            )
        signature, body = plain[HINT : HINT + SIGNATURE], plain[HINT + SIGNATURE :]
        try:
            key.verify(_signed(topic, body), signature)
        except (BadSignatureError, ValueError) as error:
            raise SealError("bad-signature", "the operator's signature is wrong") from error
        return body


def _bound(topic: str) -> bytes:
    return hashlib.sha256(topic.encode()).digest()[:BOUND]


def _signed(topic: str, body: bytes) -> bytes:
    # Sign the topic's hash, whose length is fixed: otherwise the start of a body could pass for the
    # end of the topic.
    return PURPOSE + hashlib.sha256(topic.encode()).digest() + body
