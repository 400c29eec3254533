"""The broker: connect as the profile says, measure round trips, and leave no trace there."""

from __future__ import annotations

import queue
import secrets
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ostiary.edge.adapters.mqtt.link import secure, without_delay
from ostiary.edge.config import Config
from ostiary.edge.sections import MqttSection
from ostiary.edge.selftest.door import LOOPBACK, DoorUnderTest
from ostiary.edge.selftest.models import quantiles
from ostiary.edge.selftest.report import Check, fail, judged, skipped
from ostiary.edge.wire import Topics

NAME = "broker"
ANSWER_S = 5.0
KEEPALIVE_S = 10
"""The MQTT keepalive; paho also uses it as the time limit of a TLS handshake."""
ROUNDS = 20
LATE_MS = 500.0
EXPIRES_DAYS = 14.0
UNIT_CREDENTIALS = Path("/run/credentials")
KEPT_CREDENTIALS = Path("/etc/ostiary/credentials")
SECURE = "set ca, cert and key under [mqtt]: without TLS others can read and forge messages"
AS_ROOT = "run the self-test as root, or while the service runs: others cannot read its credentials"
NET = "check network, port and broker; meanwhile the door decides alone and sends later"


@dataclass(frozen=True, slots=True)
class BrokerTiming:
    """Times of one connection and of the round trips on it; `tls` is None without TLS."""

    connect_ms: float
    trips_ms: list[float]
    tls: dict[str, Any] | None


class _Refused(Exception):
    """The broker refused the connection, ended it, or did not answer."""


def check(door: DoorUnderTest) -> Check:
    """Connect, measure, disconnect.

    The round trip is an UNSUBSCRIBE from a topic without a subscription: the broker answers each
    one, no rights are needed, and no other client notices. No will is set and no session is kept.
    The client id differs from the daemon's, which the broker would otherwise disconnect.
    """
    if door.profile is None or door.profile.mqtt is None:
        return skipped(
            NAME, "the profile has no broker" if door.profile else "no profile was given"
        )
    mqtt = door.profile.mqtt
    details: dict[str, Any] = {
        "port": mqtt.port,
        "tls": None,
        "password": mqtt.password_file is not None,
        "own_certificate": mqtt.cert is not None,
        "publishing": "not tried: subscribers would receive it",
    }
    try:
        client = _client(door.profile, mqtt)
    except (OSError, ValueError) as error:
        # The error's text is left out: if it is about the bytes of a password, it contains them.
        said = (error.filename, error.strerror) if isinstance(error, OSError) else ("not text",)
        where = ": ".join(str(part) for part in said if part)
        return fail(NAME, f"the credentials cannot be used: {where}", AS_ROOT, **details)
    try:
        measured = _measure(client, mqtt, Topics(door.profile.device.site, door.profile.device.id))
    except ssl.SSLCertVerificationError as error:
        hint = "check the clock, the file `ca`, and the name in the broker's certificate"
        return fail(
            NAME, f"the broker's certificate is refused: {error.verify_message}", hint, **details
        )
    except ssl.SSLError as error:
        return fail(
            NAME,
            f"no TLS: {error.reason}",
            "check that the port is the broker's TLS port",
            **details,
        )
    except OSError as error:
        return fail(NAME, f"not reached: {error.strerror or error}", NET, **details)
    except _Refused as error:
        return fail(NAME, str(error), "check the password, the certificate and the ACL", **details)
    return _judged(mqtt, measured, details)


def _judged(mqtt: MqttSection, measured: BrokerTiming, details: dict[str, Any]) -> Check:
    trips = quantiles(measured.trips_ms)
    details |= {
        "tls": measured.tls,
        "connect_ms": round(measured.connect_ms, 2),
        "round_trip_ms": trips,
    }
    problems = []
    if measured.tls is None and mqtt.host not in LOOPBACK:
        problems.append(("without TLS", SECURE))
    if trips["p95"] > LATE_MS:
        problems.append(("slow", "check the network between this device and the broker"))
    left = (measured.tls or {}).get("broker_certificate_days")
    if left is not None and left < EXPIRES_DAYS:
        problems.append(
            (f"the broker's certificate ends in {left:.0f} days", "renew the certificate")
        )
    secured = measured.tls["version"] if measured.tls else "no TLS"
    finding = (
        f"connected in {measured.connect_ms:.0f} ms ({secured}),"
        f" round trip p50 {trips['p50']:.1f}, p99 {trips['p99']:.1f} ms"
    )
    return judged(NAME, finding, problems, details)


def _client(profile: Config, mqtt: MqttSection) -> paho.Client:
    """A client with the device's credentials. Raises OSError or ValueError if they are unusable."""
    device = profile.device
    name = f"ostiary-{device.site}-{device.id}-selftest-{secrets.token_hex(4)}"
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
    client.connect_timeout = ANSWER_S
    kept = {name: _readable(getattr(mqtt, name)) for name in ("cert", "key", "password_file")}
    secure(client, msgspec.structs.replace(mqtt, **kept))
    return client


def _readable(path: Path | None) -> Path | None:
    """The path of a credential: systemd's copy while the unit runs, else the original."""
    if path is None or path.exists() or UNIT_CREDENTIALS not in path.parents:
        return path
    return KEPT_CREDENTIALS / path.name


def _measure(client: paho.Client, mqtt: MqttSection, topics: Topics) -> BrokerTiming:
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    client.on_connect = lambda c, d, flags, reason, props: answers.put(_refusal(reason))
    client.on_unsubscribe = lambda c, d, mid, reasons, props: answers.put("")
    client.on_disconnect = lambda c, d, flags, reason, props: answers.put(f"disconnected: {reason}")
    client.on_socket_open = without_delay
    nothing_kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    nothing_kept.SessionExpiryInterval = 0
    began = time.perf_counter()
    client.connect(mqtt.host, mqtt.port, KEEPALIVE_S, clean_start=True, properties=nothing_kept)
    client.loop_start()
    try:
        _wait(answers)
        connect_ms = (time.perf_counter() - began) * 1e3
        trips = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            client.unsubscribe(topics.event)
            _wait(answers)
            trips.append((time.perf_counter() - began) * 1e3)
        return BrokerTiming(connect_ms, trips, _tls(client.socket()))
    finally:
        client.on_disconnect = None
        client.disconnect()
        client.loop_stop()


def _refusal(reason: Any) -> str:
    return f"the broker refused: {reason}" if reason.is_failure else ""


def _wait(answers: queue.SimpleQueue[str]) -> None:
    try:
        problem = answers.get(timeout=ANSWER_S)
    except queue.Empty:
        raise _Refused(f"no answer within {ANSWER_S:.0f} s") from None
    if problem:
        raise _Refused(problem)


def _tls(connection: Any) -> dict[str, Any] | None:
    if not isinstance(connection, ssl.SSLSocket):
        return None
    cipher, shown = connection.cipher(), connection.getpeercert() or {}
    ends = shown.get("notAfter")
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400 if isinstance(ends, str) else None
    return {
        "version": connection.version(),
        "cipher": cipher[0] if cipher else None,
        "broker_certificate_days": round(days, 1) if days is not None else None,
    }
