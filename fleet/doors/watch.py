"""The doors' decisions and events, as they happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.wire import DecisionMessage, EventMessage, Message, StateMessage, decode
from ostiary.fleet.doors.devices import every, sender
from ostiary.fleet.terminal import plain

REMEMBERED = 10_000
"""The number of decisions whose ids are remembered: after a crash a door may send one again."""
KINDS: dict[str, type[Message]] = {
    "decision": DecisionMessage,
    "event": EventMessage,
    "state": StateMessage,
}


@dataclass(frozen=True, slots=True)
class DoorMessage:
    """One message of a door."""

    device: str
    kind: str
    message: Message


class Watch:
    """Takes messages as they come, and selects those to show."""

    def __init__(self, site: str, device: str | None = None) -> None:
        self._site, self._device = site, device
        self._ids: dict[str, None] = {}
        self._sessions: dict[str, int] = {}
        self._status: dict[str, str] = {}

    def filters(self) -> list[str]:
        return [every(self._site, kind).replace("+", self._device or "+") for kind in KINDS]

    def take(self, message: Received) -> DoorMessage | None:
        """The message to show; None if it is a repetition, stale, or not from a door's topic."""
        found = sender(message.topic, self._site)
        if found is None or found[1] not in KINDS:
            return None
        device, kind = found
        if message.retained and kind != "state":
            return None
        try:
            said = decode(message.payload, KINDS[kind])
        except msgspec.DecodeError:
            return None
        if isinstance(said, DecisionMessage) and not self._first(f"{device} {said.id}"):
            return None
        if isinstance(said, StateMessage) and not self._news(device, said):
            return None
        return DoorMessage(device, kind, said)

    def _first(self, name: str) -> bool:
        if name in self._ids:
            return False
        self._ids[name] = None
        if len(self._ids) > REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return True

    def _news(self, device: str, state: StateMessage) -> bool:
        """Whether a door's status changed; its state is also sent when only its gallery changed."""
        if state.session < self._sessions.get(device, 0):
            return False  # an earlier connection's will
        self._sessions[device] = state.session
        before, self._status[device] = self._status.get(device), state.status
        return before != state.status


def line(seen: DoorMessage, name_of: Callable[[str], str]) -> tuple[str, str]:
    """A message as a line of text, and its colour; `name_of` names a subject."""
    text, colour = _line(seen, name_of)
    return plain(text), colour


def _line(seen: DoorMessage, name_of: Callable[[str], str]) -> tuple[str, str]:
    said = seen.message
    if isinstance(said, DecisionMessage):
        who = f" {name_of(said.subject)}" if said.subject else ""
        score = f" score {said.score:.3f}" if said.score is not None else ""
        colour = "green" if said.outcome.value == "granted" else "red"
        return (
            f"{said.at} {seen.device} {said.outcome.value} ({said.reason.value}){who}{score}",
            colour,
        )
    if isinstance(said, EventMessage):
        detail = f": {said.detail}" if said.detail else ""
        return f"{said.at} {seen.device} {said.event}{detail}", "yellow"
    assert isinstance(said, StateMessage)
    return f"{said.at or '-':<24} {seen.device} is {said.status}", "cyan"
