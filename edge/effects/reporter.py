"""What the device reports about itself: state, events and telemetry, to the broker and the log."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from ostiary.edge import wire
from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.core.scores.calibration import Threshold
from ostiary.edge.core.scores.cost import BEARABLE_FNIR, unsupported
from ostiary.edge.core.scores.verifier import probability
from ostiary.edge.wire import EventMessage, StateMessage, TelemetryMessage, Topics

log = logging.getLogger(__name__)

EVENTS_KEPT, EVENTS_AT_ONCE = 100, 5


class Reporter:
    """State is sent on each new connection and on each change; events wait for a connection."""

    def __init__(self, topics: Topics, state: StateMessage, wall: Callable[[], float]) -> None:
        self._topics, self._wall = topics, wall
        self._state = state
        self._sent: StateMessage | None = None
        self._head_supported = True
        self._events: deque[EventMessage] = deque(maxlen=EVENTS_KEPT)
        self._frame_ms: deque[float] = deque(maxlen=300)
        self._link: Link | None = None
        self.frames = 0

    def connect(self, link: Link) -> None:
        """Publish over this link from now on; until this call, everything goes to the log only."""
        self._link = link

    def change(self, **fields: object) -> None:
        """Set fields of the state message."""
        self._state = msgspec.structs.replace(self._state, **fields)

    def threshold(self, tau: Threshold) -> None:
        """Report the threshold in use; also an event if the curve no longer reaches its rate, and
        one if tau begins to refuse too many of the enrolled."""
        if not tau.supported and (self._state.tau_supported or self._state.tau is None):
            self.event("tau-unsupported", unsupported(tau))
        if tau.k and tau.fnir > BEARABLE_FNIR >= (self._state.expected_fnir or 0.0):
            hint = "`ostiary check-config` names what would refuse fewer"
            self.event("tau-costly", f"{tau.fnir:.1%} expected FNIR for K = {tau.k}: {hint}")
        supported = tau.supported and self._head_supported
        fnir = round(tau.fnir, 4)
        self.change(k=tau.k, tau=tau.tau, tau_supported=supported, expected_fnir=fnir)

    def group(self, wanted: str, group: str) -> None:
        """Report whose curve sets tau; also an event if the profile wants a worst group that the
        bundle did not measure."""
        self.change(tau_group=group)
        if wanted == "worst-group" and not group:
            self.event("tau-mean", "the bundle has no curve of a worst group: tau is the mean's")

    def head(self, least_logit: Threshold | None) -> None:
        """Report the least probability of the logistic head, and if its curve reaches that rate."""
        if least_logit is None:
            return
        least = probability(least_logit.tau)
        if not least_logit.supported:
            rates = f"{least_logit.wanted}: expected {least_logit.expected:.2g}"
            self.event("tau-unsupported", f"the verifier at {rates} at probability {least:.4f}")
        self._head_supported = least_logit.supported
        supported = self._state.tau_supported and least_logit.supported
        self.change(least_probability=least, tau_supported=supported)

    def event(self, name: str, detail: str = "") -> None:
        """Report an event to the operator."""
        line = f"{name}: {detail}" if detail else name
        log.warning("%s", line, extra={"OSTIARY_EVENT": name})
        self._events.append(EventMessage(event=name, at=wire.utc(self._wall()), detail=detail))

    def spent(self, frame_ms: float) -> None:
        """Count a frame, and the milliseconds it took."""
        self.frames += 1
        self._frame_ms.append(frame_ms)

    def summary(self) -> str:
        """The state in one line, which `systemctl status` shows."""
        state = self._state
        broker = "none" if self._link is None else "connected" if self._link.connected else "away"
        return (
            f"{state.mode} on {state.backend} ({state.precision}), K {state.k},"
            f" camera {state.camera}, journal {state.journal}, broker {broker}"
        )

    def flush(self, fresh: bool) -> None:
        """Send what is new; on a fresh connection the whole state again."""
        link = self._link
        if link is None or not link.connected:
            return
        if fresh:
            self._sent = None
        if self._state != self._sent:
            now = wire.utc(self._wall())
            message = msgspec.structs.replace(self._state, session=link.session, at=now)
            link.publish(self._topics.state, wire.encode(message), retain=True)
            self._sent = self._state
        for event in list(self._events)[:EVENTS_AT_ONCE]:
            if not link.publish(self._topics.event, wire.encode(event)):
                return
            self._events.popleft()

    def telemetry(self, uptime_s: float, fps: float, pending: int) -> None:
        """Publish uptime, frame rate, latencies, memory, and `pending` entries of the journal."""
        if self._link is None:
            return
        spent = np.array(self._frame_ms or [0.0])
        message = TelemetryMessage(
            at=wire.utc(self._wall()),
            uptime_s=round(uptime_s, 1),
            frames=self.frames,
            fps=round(fps, 2),
            frame_ms_p50=round(float(np.quantile(spent, 0.5)), 2),
            frame_ms_p95=round(float(np.quantile(spent, 0.95)), 2),
            frame_ms_p99=round(float(np.quantile(spent, 0.99)), 2),
            memory_mb=memory_mb(),
            pending=pending,
            k=self._state.k,
        )
        self._link.publish(self._topics.telemetry, wire.encode(message), qos=0, retain=True)

    def goodbye(self) -> bytes:
        """The state message of a clean stop."""
        session = self._link.session if self._link is not None else 0
        return wire.encode(
            msgspec.structs.replace(
                self._state, status="offline", session=session, at=wire.utc(self._wall())
            )
        )


def lost(session: int) -> bytes:
    """The will: the state message that the broker publishes if this device vanishes."""
    return wire.encode(StateMessage(status="lost", session=session))


def memory_mb() -> float:
    """This process's resident memory, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * 4096 / 1e6, 1)
