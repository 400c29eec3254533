"""Signed by the operator together with its topic, then encrypted to the site (libsodium)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey

from ostiary.edge.errors import SealError

VERSION = b"\x01"
PURPOSE = b"ostiary sealed message 1\n"
"""Signed in front, so that no signature made for another purpose fits here."""
KEY_BYTES = 32
HINT = 8
"""Bytes of the signer's public key that a message begins with, to find the key by."""
SIGNATURE = 64
MAX_BYTES = 1 << 20
"""Nothing of ours is larger; more is refused before it is looked at."""
BOUND = 16
"""Bytes of the topic's hash that a message is bound by."""
OVERHEAD = len(VERSION) + SecretBox.NONCE_SIZE + SecretBox.MACBYTES + BOUND


class Site:
    """The site's symmetric key: what any member of the site can close and open, unsigned.

    A closed message is bound to its topic, so that it says nothing when moved.
    """

    def __init__(self, key: bytes) -> None:
        """`key` is 32 bytes; ValueError for any other length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected {KEY_BYTES} bytes, got {len(key)}")
        self._box = SecretBox(key)

    def close(self, topic: str, body: bytes) -> bytes:
        """Encrypt with a fresh random nonce. Raises SealError `too-large` where nobody would open
        it."""
        if len(body) > MAX_BYTES - OVERHEAD:
            raise SealError("too-large", f"{len(body)} bytes for {topic}: {MAX_BYTES} is the most")
        return VERSION + bytes(self._box.encrypt(_bound(topic) + body))

    def open(self, topic: str, payload: bytes) -> bytes:
        """The body. Raises SealError: `not-sealed`, `other-site` or `moved`."""
        if not 0 < len(payload) <= MAX_BYTES or payload[:1] != VERSION:
            raise SealError("not-sealed", f"{len(payload)} bytes that are no sealed message")
        try:
            plain = self._box.decrypt(payload[1:])
        except (CryptoError, ValueError, TypeError) as error:
            raise SealError("other-site", "not closed with this site's key, or changed") from error
        bound = _bound(topic)
        if not plain.startswith(bound):
            raise SealError("moved", "made for another topic than the one it came on")
        return plain[len(bound) :]


class Sealer:
    """The operator's side: signs, then closes."""

    def __init__(self, site: Site, seed: bytes) -> None:
        """`seed` is the operator's 32 secret bytes."""
        self._site, self._key = site, SigningKey(seed)
        self.public = bytes(self._key.verify_key)

    def seal(self, topic: str, body: bytes) -> bytes:
        """The payload for a topic."""
        signature = self._key.sign(_signed(topic, body)).signature
        return self._site.close(topic, self.public[:HINT] + signature + body)


class Opener:
    """The device's side: opens what the site's key closed and a trusted operator signed."""

    def __init__(self, site: Site, operators: Iterable[bytes]) -> None:
        """`operators` are 32-byte public keys; ValueError for one that is none."""
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
            raise SealError("unknown-operator", "signed by nobody that this device trusts")
        signature, body = plain[HINT : HINT + SIGNATURE], plain[HINT + SIGNATURE :]
        try:
            key.verify(_signed(topic, body), signature)
        except (BadSignatureError, ValueError) as error:
            raise SealError("bad-signature", "the operator's signature does not fit") from error
        return body


def _bound(topic: str) -> bytes:
    return hashlib.sha256(topic.encode()).digest()[:BOUND]


def _signed(topic: str, body: bytes) -> bytes:
    # The topic's hash and not the topic: of fixed length, so that no line of a body passes for the
    # end of a topic.
    return PURPOSE + hashlib.sha256(topic.encode()).digest() + body
