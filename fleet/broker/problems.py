"""The errors of the connection to the broker, with what the operator can do about each."""

from __future__ import annotations

import socket
import ssl

from ostiary.edge.sections import MqttSection
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.authority import has_ended


class BrokerError(FleetError):
    """The broker cannot be reached, closed the connection, or refused a request."""


def unreachable(settings: MqttSection, error: OSError | ValueError) -> BrokerError:
    """The error for a connection that could not be made."""
    where = f"{settings.host}:{settings.port}"
    if isinstance(error, socket.gaierror):
        return BrokerError(f"no host is called {settings.host}", "check host in fleet.toml")
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerError(
            f"the certificate of {where} is not accepted: {error.verify_message}",
            "check in fleet.toml that ca is the broker's authority and host the certificate's name",
        )
    if isinstance(error, ssl.SSLError):
        reason = error.reason or error
        return BrokerError(f"TLS with {where} failed: {reason}", "check that it is the TLS port")
    said = getattr(error, "strerror", None) or error
    why = "no answer" if isinstance(error, TimeoutError) else said
    return BrokerError(f"cannot reach the broker at {where}: {why}", "check that it runs")


def explained(settings: MqttSection, problem: BrokerError) -> BrokerError:
    """The same error, or a cause that the broker does not name: an expired certificate of ours."""
    out = has_ended(settings.cert) if settings.cert is not None else ""
    if not out:
        return problem
    return BrokerError(
        f"the operator's certificate for {settings.host}:{settings.port} expired on {out}",
        "have a new certificate signed, and name it as cert in fleet.toml",
    )


def ended(where: str, reason: str) -> BrokerError:
    """The error for a broker that closed the connection before it answered."""
    return BrokerError(
        f"{where} closed the connection before it answered: {reason}",
        "it may require TLS, or another certificate: check ca, cert and key in fleet.toml",
    )


def refused(where: str, reason: str) -> BrokerError:
    """The error for a login that the broker refused."""
    return BrokerError(
        f"{where} refused the operator: {reason}",
        "check username and password_file, or cert and key, in fleet.toml",
    )
