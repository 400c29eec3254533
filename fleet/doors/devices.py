"""The devices' retained messages at the broker: state, roster and telemetry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from ostiary.edge.core.types import SUBJECT
from ostiary.edge.wire import (
    PREFIX,
    Message,
    RosterMessage,
    StateMessage,
    TelemetryMessage,
    decode,
)
from ostiary.fleet.broker.readback import FIRST_WINDOW, Readback, Reads, exact

M = TypeVar("M", bound=Message)

MOST_AHEAD = 1_000_000
"""How far a device's sequence may be ahead of the registry's. Devices do not sign their messages; a
sequence further ahead is a lie or a defect, and numbering above it could use up all sequence
numbers."""


ONLINE = "online"


@dataclass(slots=True)
class Said:
    """One device's retained messages."""

    state: StateMessage | None = None
    roster: RosterMessage | None = None
    telemetry: TelemetryMessage | None = None

    @property
    def online(self) -> bool:
        """Whether the device is connected, as far as the broker knows."""
        return self.state is not None and self.state.status == ONLINE

    def hear(self, kind: str, payload: bytes) -> None:
        """Keep a message if it is newer. A will is ignored if it belongs to an older session."""
        if kind == "state":
            new = _decoded(payload, StateMessage)
            if new is not None and (self.state is None or new.session >= self.state.session):
                self.state = new
        elif kind == "roster":
            self.roster = _decoded(payload, RosterMessage) or self.roster
        elif kind == "telemetry":
            self.telemetry = _decoded(payload, TelemetryMessage) or self.telemetry


KINDS = ("state", "roster", "telemetry")


def every(site: str, kind: str) -> str:
    """A filter for one kind of message from all devices."""
    return f"{PREFIX}/{site}/device/+/{kind}"


def sender(topic: str, site: str) -> tuple[str, str] | None:
    """The device and the kind of message in a device's topic; None for any other topic."""
    base = f"{PREFIX}/{site}/device/"
    device, _, kind = topic.removeprefix(base).partition("/")
    if not topic.startswith(base) or not SUBJECT.fullmatch(device):
        return None
    return device, kind


def read_devices(
    broker: Reads, site: str, known: Collection[str], kinds: Collection[str] = KINDS
) -> dict[str, Said]:
    """The retained messages of every device, and an empty entry for each `known` device without
    any.

    A filter brings only as much as fits the broker's queue. In a larger fleet, the missing messages
    of known devices are then asked for by topic.
    """
    names = _names(site, known, kinds)
    came = broker.read([every(site, kind) for kind in kinds], names)
    missing = names - came.keys()
    if missing and len(names) > FIRST_WINDOW:
        came.update(_by_name(broker, missing))
    return _sorted_out(site, known, came)


def read_known(
    broker: Reads, site: str, known: Collection[str], kinds: Collection[str]
) -> dict[str, Said]:
    """The retained messages of these devices, asked for by topic. A filter for all devices may be
    in use by `listen`; reading with that filter would end its subscription."""
    return _sorted_out(site, known, _by_name(broker, _names(site, known, kinds)))


def _names(site: str, known: Collection[str], kinds: Collection[str]) -> frozenset[str]:
    return frozenset(every(site, kind).replace("+", d) for kind in kinds for d in known)


def _by_name(broker: Reads, topics: Collection[str]) -> dict[str, bytes]:
    came: dict[str, bytes] = {}
    for window in Readback(broker).read(exact(topics)):
        came.update(window)
    return came


def _sorted_out(site: str, known: Collection[str], came: Mapping[str, bytes]) -> dict[str, Said]:
    said = {device: Said() for device in known}
    for topic, payload in came.items():
        found = sender(topic, site)
        if found is not None:
            said.setdefault(found[0], Said()).hear(found[1], payload)
    return said


def claimed(broker: Reads, site: str, sequence: int) -> int:
    """The highest roster sequence that a device reports; implausible ones are left out."""
    return highest(read_devices(broker, site, (), ["roster"]), sequence)


def highest(said: Mapping[str, Said], sequence: int) -> int:
    """The highest roster sequence in these messages; implausible ones are left out."""
    numbers = [one.roster.sequence for one in said.values() if one.roster is not None]
    return max((n for n in numbers if n <= sequence + MOST_AHEAD), default=0)


def _decoded(payload: bytes, kind: type[M]) -> M | None:
    try:
        return decode(payload, kind)
    except msgspec.DecodeError:
        return None
