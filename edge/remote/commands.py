"""What an operator asks of this door: genuine, in time and for the first time, or refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from ostiary.edge import wire
from ostiary.edge.adapters.mqtt.link import Filter, Received
from ostiary.edge.adapters.storage.nonces import Nonces
from ostiary.edge.core.types import Template
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.effects.throttle import Refusals
from ostiary.edge.errors import SealError, StoreError
from ostiary.edge.roster.record import Command, decode
from ostiary.edge.roster.sealing import Opener, Site
from ostiary.edge.vision.capture import Capture, Captured
from ostiary.edge.wire import Response, Topics

REFUSED = "command-refused"
MAX_BYTES = 1024
"""Four times what a sealed command takes."""
MOST_AHEAD_S = 3600.0
"""A command that is kept back, as by the broker, must be worthless soon."""
MOST_WAITING, AT_ONCE = 64, 8
"""Commands between the client's thread and the loop, and those taken in one turn of it."""


@dataclass(frozen=True, slots=True)
class GenuineCommand:
    """A genuine command, and how to answer it."""

    name: str
    command: Command
    correlation: bytes | None


class Commander:
    """`put` is for the client's thread; the rest for the loop's, which calls `work` each turn."""

    def __init__(
        self,
        topics: Topics,
        site: Site,
        opener: Opener,
        nonces: Nonces,
        recorder: Recorder,
        capture: Capture,
        reporter: Reporter,
        refusals: Refusals,
        wall: Callable[[], float],
    ) -> None:
        self._topics, self._site, self._opener, self._nonces = topics, site, opener, nonces
        self._recorder, self._capture, self._reporter = recorder, capture, reporter
        self._refusals, self._wall = refusals, wall
        self._waiting: deque[Received] = deque()
        self._lost = self._told_lost = 0
        self._capturing: GenuineCommand | None = None
        self._does = {"open": self._open, "capture": self._start_capture}

    def filters(self) -> list[Filter]:
        """What to subscribe to on each connection. A retained command shows that it is one."""
        return [Filter(self._topics.every_command, replay=False, as_published=True)]

    def put(self, message: Received) -> None:
        """Keep a command for the loop; what is no command is for somebody else."""
        if not self._topics.is_command(message.topic):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        # One byte too many still shows that it is too long.
        self._waiting.append(replace(message, payload=message.payload[: MAX_BYTES + 1]))

    def work(self) -> None:
        """Do what has come, and answer what is done."""
        for _ in range(min(AT_ONCE, len(self._waiting))):
            # One act a turn: two doors' programs that hang would outlast the watchdog.
            if self._take(self._waiting.popleft()):
                break
        if self._lost != self._told_lost:
            self._told_lost = self._lost
            self._refusals.say(REFUSED, "too-many", f"{self._lost} since the start")
        captured = self._capture.result()
        if captured is not None:
            self._end_capture(captured)

    def _take(self, message: Received) -> bool:
        """Whether anything was done."""
        try:
            asked = self._genuine(message)
            self._remember(asked.command)
        except SealError as error:
            name = message.topic.rpartition("/")[2]
            self._refusals.say(REFUSED, error.reason, f"{name}: {error.message}")
        except StoreError as error:
            # Undone rather than done twice: nobody could tell that it was.
            self._refusals.say(REFUSED, "not-recorded", error.message)
        else:
            self._does[asked.name](asked)
            return True
        return False

    def _genuine(self, message: Received) -> GenuineCommand:
        """What an operator asks of this door now. Raises SealError, with the reason."""
        name = message.topic.rpartition("/")[2]
        if message.topic != self._topics.command(name):
            raise SealError("other-device", "no topic of this device")
        if name not in self._does:
            raise SealError("unknown-command", f"not one of {', '.join(self._does)}")
        if message.retained:
            raise SealError("retained", "a command is never kept by the broker")
        if len(message.payload) > MAX_BYTES:
            raise SealError("oversized", f"more than {MAX_BYTES} bytes")
        if message.response_topic != self._topics.response(name):
            raise SealError("response-topic", "wants its answer elsewhere, or none")
        body = self._opener.open(message.topic, message.payload)
        return GenuineCommand(name, decode(body, Command), message.correlation)

    def _remember(self, command: Command) -> None:
        """Take the nonce of a command that is in time. Raises SealError or StoreError."""
        now, expires = self._wall(), command.expires_at_s
        if now >= expires:
            raise SealError("expired", f"{now - expires:.0f} s ago by this device's clock")
        if expires > now + MOST_AHEAD_S:
            raise SealError("too-far-ahead", f"expires in {expires - now:.0f} s by this clock")
        if not self._nonces.take(command.nonce, expires, now):
            raise SealError("replayed", "was taken before")

    def _open(self, asked: GenuineCommand) -> None:
        self._answer(asked, self._recorder.command(self._capture.encoder))

    def _start_capture(self, asked: GenuineCommand) -> None:
        timeout_s = asked.command.timeout_s
        if not self._capture.begin(asked.command.subject or "", timeout_s):
            self._answer(asked, "busy")
            return
        self._capturing = asked
        self._reporter.event("capture-started", f"for {timeout_s:.0f} s; the door decides nothing")

    def _end_capture(self, captured: Captured) -> None:
        seen = captured.seen or "nothing was seen"
        self._reporter.event("capture-ended", f"{captured.reason or 'a template'}: {seen}")
        asked, self._capturing = self._capturing, None
        if asked is not None:
            self._answer(asked, captured.reason, captured.template)

    def _answer(
        self, asked: GenuineCommand, why_not: str, template: Template | None = None
    ) -> None:
        """Answer where answers belong; a connection that is gone takes it along."""
        said = Response(nonce=asked.command.nonce.hex(), ok=not why_not, reason=why_not)
        if template is not None:
            raw = np.asarray(template.embedding, "<f4").tobytes()
            said = msgspec.structs.replace(said, encoder=template.encoder, template=raw)
        topic = self._topics.response(asked.name)
        payload = self._site.close(topic, wire.encode(said))
        if self._reporter.link is not None:
            self._reporter.link.publish(topic, payload, correlation=asked.correlation)
