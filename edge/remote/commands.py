"""The operator's commands to this door; late, repeated or forged ones are refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import numpy as np

from ostiary.edge import wire
from ostiary.edge.adapters.mqtt.link import Filter, Received
from ostiary.edge.adapters.storage.nonces import Nonces
from ostiary.edge.core.types import Template
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.effects.throttle import EventThrottle
from ostiary.edge.errors import SealError, StoreError
from ostiary.edge.roster.record import Command, decode
from ostiary.edge.roster.sealing import Opener, Site
from ostiary.edge.vision.capture import Capture, Captured
from ostiary.edge.wire import Response, Topics

REFUSED = "command-refused"
MAX_BYTES = 1024
"""Largest command: four times the size of a sealed one."""
MOST_AHEAD_S = 3600.0
"""The most seconds until a command's expiry: a command that somebody holds back must soon be
worthless."""
MOST_WAITING, AT_ONCE = 64, 8
"""The most commands that wait for the loop, and the most that one turn takes."""


@dataclass(frozen=True, slots=True)
class GenuineCommand:
    """A command that was opened, with its name and the correlation data of the answer."""

    name: str
    command: Command
    correlation: bytes | None


class Answering(Protocol):
    """The part of the link that answers go over."""

    def publish(self, topic: str, payload: bytes, *, correlation: bytes | None) -> bool: ...


class Commander:
    """Carries out commands. `put` is called in the client's thread, `work` in each turn of the
    loop."""

    def __init__(
        self,
        topics: Topics,
        site: Site,
        opener: Opener,
        nonces: Nonces,
        recorder: Recorder,
        capture: Capture,
        reporter: Reporter,
        refusals: EventThrottle,
        wall: Callable[[], float],
    ) -> None:
        self._topics, self._site, self._opener, self._nonces = topics, site, opener, nonces
        self._recorder, self._capture, self._reporter = recorder, capture, reporter
        self._refusals, self._wall = refusals, wall
        self._link: Answering | None = None
        self._waiting: deque[Received] = deque()
        self._lost = self._told_lost = 0
        self._capturing: GenuineCommand | None = None
        self._does = {
            "open": self._open,
            "capture": self._start_capture,
            "clear-lockout": self._clear_lockouts,
        }
        self.clears: Callable[[], None] | None = None
        """Ends every lockout at this door."""

    def filters(self) -> list[Filter]:
        """The subscriptions of a connection; `as_published` shows which commands are retained."""
        return [Filter(self._topics.every_command, replay=False, as_published=True)]

    def put(self, message: Received) -> None:
        """Keep a command for the loop; other messages are ignored."""
        if not self._topics.is_command(message.topic):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        # Keep one byte more than allowed, so that `_genuine` sees that the payload is too long.
        self._waiting.append(replace(message, payload=message.payload[: MAX_BYTES + 1]))

    def work(self, link: Answering | None) -> None:
        """Carry out waiting commands, and answer a capture that has ended.

        Answers go over `link`; without one they are lost.
        """
        self._link = link
        for _ in range(min(AT_ONCE, len(self._waiting))):
            # Carry out one command per turn: two door programs that hang would exceed the
            # watchdog's time.
            if self._take(self._waiting.popleft()):
                break
        if self._lost != self._told_lost:
            self._told_lost = self._lost
            self._refusals.say(REFUSED, "too-many", f"{self._lost} since the start")
        captured = self._capture.result()
        if captured is not None:
            self._end_capture(captured)

    def _take(self, message: Received) -> bool:
        """Carry out a command, or report its refusal; True if it was carried out."""
        try:
            asked = self._genuine(message)
            self._remember(asked.command)
        except SealError as error:
            name = message.topic.rpartition("/")[2]
            self._refusals.say(REFUSED, error.reason, f"{name}: {error.message}")
        except StoreError as error:
            # A command whose nonce cannot be stored is not carried out: it could be replayed.
            self._refusals.say(REFUSED, "not-recorded", error.message)
        else:
            self._does[asked.name](asked)
            return True
        return False

    def _genuine(self, message: Received) -> GenuineCommand:
        """The command in a message to this door. Raises SealError with the reason of a refusal."""
        name = message.topic.rpartition("/")[2]
        if message.topic != self._topics.command(name):
            raise SealError("other-device", "not a topic of this device")
        if name not in self._does:
            raise SealError("unknown-command", f"not one of {', '.join(self._does)}")
        if message.retained:
            raise SealError("retained", "commands must not be retained by the broker")
        if len(message.payload) > MAX_BYTES:
            raise SealError("oversized", f"more than {MAX_BYTES} bytes")
        if message.response_topic != self._topics.response(name):
            raise SealError("response-topic", "the response topic is missing or another one")
        body = self._opener.open(message.topic, message.payload)
        return GenuineCommand(name, decode(body, Command), message.correlation)

    def _remember(self, command: Command) -> None:
        """Check the time of a command and store its nonce. Raises SealError or StoreError."""
        now, expires = self._wall(), command.expires_at_s
        if now >= expires:
            raise SealError("expired", f"{now - expires:.0f} s ago by this device's clock")
        if expires > now + MOST_AHEAD_S:
            raise SealError("too-far-ahead", f"expires in {expires - now:.0f} s by this clock")
        if not self._nonces.take(command.nonce, expires, now):
            raise SealError("replayed", "its nonce was used before")

    def _open(self, asked: GenuineCommand) -> None:
        self._answer(asked, self._recorder.command(self._capture.encoder))

    def _clear_lockouts(self, asked: GenuineCommand) -> None:
        if self.clears is None:
            return self._answer(asked, "not-here")
        self.clears()
        self._answer(asked, "")

    def _start_capture(self, asked: GenuineCommand) -> None:
        timeout_s = asked.command.timeout_s
        if not self._capture.begin(asked.command.subject or "", timeout_s):
            self._answer(asked, "busy")
            return
        self._capturing = asked
        self._reporter.event(
            "capture-started", f"for {timeout_s:.0f} s; meanwhile the door makes no decisions"
        )

    def _end_capture(self, captured: Captured) -> None:
        seen = captured.seen or "no frame was seen"
        self._reporter.event("capture-ended", f"{captured.reason or 'a template'}: {seen}")
        asked, self._capturing = self._capturing, None
        if asked is not None:
            self._answer(asked, captured.reason, captured.template)

    def _answer(
        self, asked: GenuineCommand, why_not: str, template: Template | None = None
    ) -> None:
        """Publish the answer on the response topic; without a connection it is lost."""
        said = Response(nonce=asked.command.nonce.hex(), ok=not why_not, reason=why_not)
        if template is not None:
            raw = np.asarray(template.embedding, "<f4").tobytes()
            said = msgspec.structs.replace(
                said, encoder=template.encoder, template=raw, photos=template.photos
            )
        topic = self._topics.response(asked.name)
        payload = self._site.close(topic, wire.encode(said))
        if self._link is not None:
            self._link.publish(topic, payload, correlation=asked.correlation)
