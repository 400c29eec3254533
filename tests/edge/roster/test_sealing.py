"""Sealed messages: who can open them, and each reason why one is refused."""

from __future__ import annotations

import hashlib

import pytest
from nacl.secret import SecretBox
from nacl.signing import SigningKey

from ostiary.edge.errors import SealError
from ostiary.edge.roster import sealing
from ostiary.edge.roster.sealing import (
    HINT,
    MAX_BYTES,
    OVERHEAD,
    PURPOSE,
    SIGNATURE,
    Opener,
    Sealer,
    Site,
)

KEY, SEED, OTHER_SEED = b"k" * 32, b"s" * 32, b"o" * 32
TOPIC = "ostiary/1/hq/roster/subject/fd/ada"
SITE = Site(KEY)
SEALER = Sealer(SITE, SEED)
OPENER = Opener(SITE, [SEALER.public])


def reason(payload: bytes, topic: str = TOPIC, opener: Opener = OPENER) -> str:
    with pytest.raises(SealError) as refused:
        opener.open(topic, payload)
    return refused.value.reason


def forged(plain: bytes, topic: str = TOPIC) -> bytes:
    """A message as a member of the site without an operator's key can make it."""
    return SITE.close(topic, plain)


@pytest.mark.parametrize("body", [b"", b"a", b"\0" * 100, bytes(range(256)) * 300])
def test_what_is_sealed_opens_on_its_topic(body: bytes) -> None:
    assert OPENER.open(TOPIC, SEALER.seal(TOPIC, body)) == body
    assert SITE.open(TOPIC, SITE.close(TOPIC, body)) == body


def test_the_same_body_never_looks_the_same_and_shows_nothing() -> None:
    body = b"ada's template, and her name"
    payloads = {SEALER.seal(TOPIC, body) for _ in range(20)}
    assert len(payloads) == 20
    for payload in payloads:
        assert SEALER.public[:HINT] not in payload
        assert b"ada" not in payload


def test_every_trusted_operator_is_heard_and_nobody_else() -> None:
    second = Sealer(SITE, OTHER_SEED)
    payload = second.seal(TOPIC, b"x")
    assert reason(payload) == "unknown-operator"
    assert Opener(SITE, [SEALER.public, second.public]).open(TOPIC, payload) == b"x"
    assert reason(payload, opener=Opener(SITE, [])) == "unknown-operator"


@pytest.mark.parametrize(
    "topic",
    [
        "ostiary/1/hq/roster/subject/fd/bob",
        "ostiary/1/branch/roster/subject/fd/ada",
        "ostiary/1/hq/roster/head",
        TOPIC + "\n",
        TOPIC[:-1],
        "",
        "é",
    ],
)
def test_a_message_is_bound_to_its_topic(topic: str) -> None:
    assert reason(SEALER.seal(TOPIC, b"x"), topic) == "moved"
    with pytest.raises(SealError, match="another topic"):
        SITE.open(topic, SITE.close(TOPIC, b"x"))


def test_a_member_of_the_site_cannot_move_a_signed_message() -> None:
    """Closed again for the other topic, it is refused: the signature covers the topic too."""
    signed = SITE.open(TOPIC, SEALER.seal(TOPIC, b"x"))
    elsewhere = TOPIC[:-3] + "bob"
    assert reason(SITE.close(elsewhere, signed), elsewhere) == "bad-signature"


def test_no_line_of_a_body_passes_for_the_end_of_a_topic() -> None:
    plain = SITE.open(TOPIC, SEALER.seal(TOPIC, b"line\nrest"))
    front = plain[: HINT + SIGNATURE]
    for topic, body in ((TOPIC + "\nline", b"rest"), (TOPIC + "line", b"\nrest")):
        assert reason(SITE.close(topic, front + body), topic) == "bad-signature"


def test_another_sites_key_opens_nothing() -> None:
    other = Site(b"K" * 32)
    assert reason(Sealer(other, SEED).seal(TOPIC, b"x")) == "other-site"
    with pytest.raises(SealError):
        other.open(TOPIC, SITE.close(TOPIC, b"x"))


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"\2" + b"x" * 100, b"{}", b"\1" * (MAX_BYTES + 1)]
)
def test_what_is_no_sealed_message_is_not_looked_at(payload: bytes) -> None:
    assert reason(payload) == "not-sealed"


def test_a_truncated_extended_or_flipped_message_is_refused_at_every_byte() -> None:
    payload = SEALER.seal(TOPIC, b"body")
    for at in range(len(payload)):
        assert reason(payload[:at]) in {"not-sealed", "other-site"}
        flipped = payload[:at] + bytes([payload[at] ^ 1 << at % 8]) + payload[at + 1 :]
        assert reason(flipped) == ("other-site" if at else "not-sealed")
    assert reason(payload + b"\0") == "other-site"


def test_a_forged_or_missing_signature_is_refused() -> None:
    hint = SEALER.public[:HINT]
    genuine = SITE.open(TOPIC, SEALER.seal(TOPIC, b"body"))
    assert OPENER.open(TOPIC, forged(genuine)) == b"body"
    assert reason(forged(b"body")) == "not-sealed"
    assert reason(forged(genuine[: HINT + SIGNATURE - 1])) == "not-sealed"
    assert reason(forged(hint + b"\0" * SIGNATURE + b"body")) == "bad-signature"
    assert reason(forged(genuine + b"!")) == "bad-signature"
    assert reason(forged(genuine[:-1])) == "bad-signature"
    for at in range(HINT, len(genuine)):
        flipped = genuine[:at] + bytes([genuine[at] ^ 1]) + genuine[at + 1 :]
        assert reason(forged(flipped)) == "bad-signature"


def test_a_signature_is_over_purpose_topic_and_body() -> None:
    """Written out, so that both ends cannot change together unnoticed."""
    key, hint = SigningKey(SEED), SEALER.public[:HINT]
    bound = hashlib.sha256(TOPIC.encode()).digest()
    for purpose, fits in ((PURPOSE, True), (b"", False), (b"ostiary bundle 1\n", False)):
        plain = hint + key.sign(purpose + bound + b"body").signature + b"body"
        payload = b"\1" + bytes(SecretBox(KEY).encrypt(bound[:16] + plain))
        if fits:
            assert OPENER.open(TOPIC, payload) == b"body"
        else:
            assert reason(payload) == "bad-signature"


def test_a_key_of_small_order_signs_nothing() -> None:
    for key in (b"\0" * 32, b"\1" + b"\0" * 31):
        opener = Opener(SITE, [key])
        for signature in (b"\0" * 64, b"\1" + b"\0" * 63):
            payload = forged(key[:HINT] + signature + b"body")
            assert reason(payload, opener=opener) == "bad-signature"


def test_the_largest_message_that_is_made_is_one_that_opens() -> None:
    body = b"x" * (MAX_BYTES - OVERHEAD)
    payload = SITE.close(TOPIC, body)
    assert len(payload) == MAX_BYTES
    assert SITE.open(TOPIC, payload) == body
    for close in (SITE.close, SEALER.seal):
        with pytest.raises(SealError, match=TOPIC) as refused:
            close(TOPIC, body + b"x")
        assert refused.value.reason == "too-large"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_an_error(length: int) -> None:
    key = b"x" * length
    for make in (lambda: Site(key), lambda: Sealer(SITE, key), lambda: Opener(SITE, [key])):
        with pytest.raises(ValueError, match="32"):
            make()


def test_the_version_stands_in_front() -> None:
    assert SITE.close(TOPIC, b"")[:1] == sealing.VERSION == b"\x01"
