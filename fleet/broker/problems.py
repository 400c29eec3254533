"""Why the broker can not be used, and what the operator does about it."""

from __future__ import annotations

import socket
import ssl

from ostiary.edge.config import MqttSection
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.authority import has_ended


class BrokerError(FleetError):
    """The broker can not be reached, is gone, or refuses."""


def unreachable(settings: MqttSection, error: OSError | ValueError) -> BrokerError:
    """There is no connection."""
    where = f"{settings.host}:{settings.port}"
    if isinstance(error, socket.gaierror):
        return BrokerError(f"no host is called {settings.host}", "fleet.toml names the broker")
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerError(
            f"the certificate of {where} is not accepted: {error.verify_message}",
            "is ca in fleet.toml the broker's authority, and host the name in its certificate?",
        )
    if isinstance(error, ssl.SSLError):
        reason = error.reason or error
        return BrokerError(f"no TLS with {where}: {reason}", "is it the port for TLS?")
    said = getattr(error, "strerror", None) or error
    why = "no answer" if isinstance(error, TimeoutError) else said
    return BrokerError(f"can not reach the broker at {where}: {why}", "does it run?")


def explained(settings: MqttSection, problem: BrokerError) -> BrokerError:
    """The same, or what the broker does not say: our own certificate ran out."""
    out = has_ended(settings.cert) if settings.cert is not None else ""
    if not out:
        return problem
    return BrokerError(
        f"our certificate for {settings.host}:{settings.port} ran out on {out}",
        "have a new one signed for the operator; cert in fleet.toml names it",
    )


def ended(where: str, reason: str) -> BrokerError:
    """The broker closed the connection before it answered."""
    return BrokerError(
        f"{where} ended the connection before it began: {reason}",
        "it may not accept our certificate, or want one, or want TLS: see fleet.toml",
    )


def refused(where: str, reason: str) -> BrokerError:
    """The broker answered with no."""
    return BrokerError(
        f"{where} refused us: {reason}",
        "are username and password_file, or cert and key, in fleet.toml those of the operator?",
    )
