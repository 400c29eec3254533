"""MQTT topics and messages, without IO. Times are UTC, ids `[a-z0-9-]{1,64}`."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypeVar

import msgspec

from ostiary.edge.core.types import Outcome, Reason

PREFIX = "ostiary/1"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON message. A reader ignores fields that it does not know, so an older reader works."""


class DecisionMessage(Message, frozen=True):
    """One decision, published at QoS 1 from the journal; drop duplicates by `id`.

    `seq` grows by one with each decision of this device. `score` and `tau` are cosines, None if
    nothing was compared. `latency_ms` counts from the frame's arrival, by stage and in total.
    `probability` and `least_probability`, the least that passes, are set if a logistic head was
    used.
    """

    id: str
    seq: int
    at: str
    outcome: Outcome
    reason: Reason
    mode: str
    subject: str | None
    score: float | None
    tau: float | None
    k: int
    encoder: str
    track: int | None
    latency_ms: dict[str, float]
    probability: float | None = None
    least_probability: float | None = None


class StateMessage(Message, frozen=True):
    """Retained: `online`, `offline` after a clean stop, `lost` if the broker sent the will.

    `session` grows with each connection: a will of an older session is stale. `warnings` are the
    faults that the bundle in use was signed with. `learned` counts the templates that have learned.
    `camera_turn` is not 0 while the camera hangs turned: the degrees clockwise by which its picture
    would have to be turned. `camera_faults` are what its pictures show to be wrong: `covered`,
    `looped`, `moved`. `least_face_px` is the least distance between the eyes, in pixels, of a face
    that is found in this camera's pictures; 0 before the first one.
    """

    status: str
    session: int
    at: str | None = None
    version: str = ""
    mode: str = ""
    backend: str = ""
    precision: str = ""
    refused_backends: tuple[str, ...] = ()
    encoder: str = ""
    k: int = 0
    tau: float | None = None
    tau_supported: bool = False
    tau_group: str = ""
    expected_fnir: float | None = None
    least_probability: float | None = None
    camera: str = ""
    camera_turn: int = 0
    camera_faults: tuple[str, ...] = ()
    least_face_px: float = 0.0
    journal: str = ""
    warnings: tuple[str, ...] = ()
    learned: int = 0


class EventMessage(Message, frozen=True):
    """An event for the operator, not retained: `camera-lost`, `journal-failed`, ..."""

    event: str
    at: str
    detail: str = ""


class TelemetryMessage(Message, frozen=True):
    """Retained at QoS 0: how the device is doing; frame times are over the last 300 frames.

    Older devices do not send `frame_ms_p99`.
    """

    at: str
    uptime_s: float
    frames: int
    fps: float
    frame_ms_p50: float
    frame_ms_p95: float
    memory_mb: float
    pending: int
    k: int
    frame_ms_p99: float | None = None


class RosterMessage(Message, frozen=True):
    """Retained: what the device holds of the roster, which tells the operator what has arrived.

    `sequence` and `digest` describe the stored records; they equal the head's if `complete`.
    `subjects` counts subjects who are not revoked, `usable` those with a template of `encoder`, the
    encoder in use. `coverage` counts templates by encoder id, also those for the next bundle. `at`
    is when all this was last true; `issued_at` is when the operator signed the head in use.
    """

    sequence: int
    digest: str
    complete: bool
    subjects: int
    usable: int
    encoder: str
    coverage: dict[str, int]
    at: str
    issued_at: str | None = None
    missing: int = 0


class Response(Message, frozen=True):
    """The answer to a command, encrypted with the site's key; `nonce` is the command's, as hex.

    `reason` says why the command failed, or is empty; `template` is the one that `capture` made,
    and `photos` the number of frames behind it. Older devices do not send `photos`.
    """

    nonce: str
    ok: bool
    reason: str = ""
    encoder: str = ""
    template: bytes = b""
    photos: int = 0


class RosterTopics:
    """The roster's topics of one site; see `ostiary.edge.roster.record` for shards."""

    def __init__(self, site: str) -> None:
        self.base = f"{PREFIX}/{site}/roster"
        self.head = f"{self.base}/head"
        self.every_subject = f"{self.base}/subject/+/+"

    def index(self, shard: str) -> str:
        return f"{self.base}/index/{shard}"

    def subject(self, shard: str, subject: str) -> str:
        return f"{self.base}/subject/{shard}/{subject}"

    def parse(self, topic: str) -> tuple[str, ...] | None:
        """("head",), ("index", shard) or ("subject", shard, subject); None for any other topic."""
        # Compare the whole prefix: a site may itself be called `roster`.
        base = f"{self.base}/"
        parts = tuple(topic.removeprefix(base).split("/"))
        lengths = {"head": 1, "index": 2, "subject": 3}
        if not topic.startswith(base) or lengths.get(parts[0]) != len(parts):
            return None
        return parts

    def whole_shard(self, shard: str) -> str:
        """A filter for every subject of a shard."""
        return f"{self.base}/subject/{shard}/+"


class Topics:
    """The topics of one device on one site."""

    def __init__(self, site: str, device: str) -> None:
        self._devices = f"{PREFIX}/{site}/device/"
        base = f"{self._devices}{device}"
        self.roster = f"{base}/roster"
        self.every_command = f"{base}/command/+"
        self.every_response = f"{base}/response/+"
        self._base = base
        self.state = f"{base}/state"
        self.decision = f"{base}/decision"
        self.event = f"{base}/event"
        self.telemetry = f"{base}/telemetry"

    def command(self, name: str) -> str:
        """The topic of a command from the operator to the device; never retained."""
        return f"{self._base}/command/{name}"

    def is_command(self, topic: str) -> bool:
        """Whether a topic is that of a command to any device of this site; a command for another
        device must be refused and reported, not ignored."""
        # Compare the whole prefix: a site may itself be called `command`.
        _device, _, rest = topic.removeprefix(self._devices).partition("/")
        return topic.startswith(self._devices) and rest.startswith("command/")

    def response(self, name: str) -> str:
        """The topic of the answer to a command; the device sends answers to no other topic."""
        return f"{self._base}/response/{name}"


M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """A message as JSON."""
    return msgspec.json.encode(message)


def decode(payload: bytes, kind: type[M]) -> M:
    """A message from JSON. Raises msgspec.DecodeError, naming the field at fault."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        # msgspec raises these errors too, and anybody who may publish can cause them.
        raise msgspec.DecodeError(str(error)) from error


def utc(seconds: float) -> str:
    """Seconds since 1970 as `2026-11-21T08:15:30.123Z`."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
