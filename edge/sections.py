"""The sections of a device's profile, one frozen struct each; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.rules.evidence import Mode

Name = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z")]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9:._-]{0,251}[A-Za-z0-9])?\Z")]
ControlName = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,32}\Z")]
Rate = Annotated[float, Meta(gt=0, le=0.5)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Positive = Annotated[float, Meta(gt=0)]
_LIMITS = Limits()


LIVE = ("v4l2:", "rtsp:", "rtsps:", "http:", "gst:")


class ProfileSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the profile."""


class DeviceSection(ProfileSection, frozen=True):
    """The site and this device's id, which are part of its MQTT topics."""

    site: Name
    id: Name


class BundleSection(ProfileSection, frozen=True):
    """The bundle's directory, the folder of keys that may sign it, and what runs its models.

    `precision` is that of the probes: "float" leaves the bundle's int8 encoder unused. `next` is
    the directory of the next bundle, which need not exist yet: the door changes over from `path` to
    `next` once everybody has a template of the next encoder.
    """

    path: Path
    next: Path | None = None
    keys: Path | None = None
    precision: Literal["int8", "float"] = "int8"
    backend: Literal["auto", "tensorrt", "openvino", "onnxruntime"] = "auto"
    threads: Annotated[int, Meta(ge=1, le=64)] = 1


class CameraSection(ProfileSection, frozen=True):
    """Where frames come from.

    `width` and `height` are requested from a camera, and forced on a `gst:` pipeline. Each image of
    a folder is repeated for `hold_frames` frames; `loop` restarts files and folders at their end.
    Without `drop` every frame of a file or folder is read, however long that takes. A source that
    gives no frame for `stall_s`, or a live source that repeats the same frame for `frozen_s`
    (0: never), is opened again. Every frame is turned by `rotate` degrees clockwise, then mirrored
    left to right if `flip`, before anything looks at it. A large picture is searched tile by tile
    for faces with `least_face_px` pixels between the eyes. `controls` are set on a V4L2 camera in
    the given order, by the names that `v4l2-ctl --list-ctrls` prints. While a live source has a
    fault of `shut_on`, nobody is let in.
    """

    url: str
    width: Annotated[int, Meta(ge=32, le=7680)] = 640
    height: Annotated[int, Meta(ge=32, le=4320)] = 480
    fps: Annotated[float, Meta(gt=0, le=240)] = 15.0
    hold_frames: Annotated[int, Meta(ge=1)] = 15
    loop: bool = False
    drop: bool = True
    stall_s: Seconds = 3.0
    frozen_s: Annotated[float, Meta(ge=0, le=3600)] = 4.0
    rotate: Literal[0, 90, 180, 270] = 0
    flip: bool = False
    least_face_px: Annotated[float, Meta(ge=7, le=1000)] = 16.0
    controls: dict[ControlName, Annotated[int, Meta(ge=-(2**31), lt=2**31)]] = {}
    shut_on: tuple[Literal["looped", "covered", "moved"], ...] = ("looped",)


class RecognitionSection(ProfileSection, frozen=True):
    """How sure the door must be.

    `fpir` is the wanted rate of strangers let in by an identification, for any size of the gallery;
    `fmr` is the wanted rate of false claims accepted by a verification. tau keeps the rate for the
    group of people with the most false matches ("worst-group"), if the bundle has its curve, or on
    average ("mean"). With `verifier` the bundle's logistic head must accept a claim too. For the
    other fields see `ostiary.edge.core.rules.reading.Rules`.
    """

    mode: Mode = Mode.IDENTIFY
    fpir: Rate = 0.01
    fmr: Rate = 0.001
    tau: Literal["worst-group", "mean"] = "worst-group"
    verifier: bool = False
    margin: Annotated[float, Meta(ge=0, le=1)] = 0.05
    votes: Annotated[int, Meta(ge=1, le=100)] = 2
    denials: Annotated[int, Meta(ge=1, le=1000)] = 6
    cooldown_s: Seconds = 5.0
    reopen_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    patience_s: Seconds = 3.0
    claim_s: Seconds = 10.0


class LockoutSection(ProfileSection, frozen=True):
    """When too many denials lock a face or a card out; see
    `ostiary.edge.core.rules.lockout.LockoutRules`. Unless `failures` is given it is 5, and 10 where
    PAD is required: there a living person is denied more often."""

    failures: Annotated[int, Meta(ge=0, le=1000)] | None = None
    window_s: Seconds = 60.0
    for_s: Seconds = 30.0
    most_s: Seconds = 900.0


class PadSection(ProfileSection, frozen=True):
    """Presentation attack detection (PAD), which runs only if `required`.

    The `file` that `ostiary pad fit` wrote, or else the bundle's `pad.json`, says how its cues are
    judged; `motion` is a veto by what moves with the face. Without either file, the passive model's
    mean log-odds over `frames` frames must reach those of the probability `min_live`.
    """

    required: bool = False
    file: Path | None = None
    frames: Annotated[int, Meta(ge=1, le=8)] = 5
    min_live: Annotated[float, Meta(ge=0, le=1)] = 0.5
    motion: bool = True


class QualitySection(ProfileSection, frozen=True):
    """Limits that a face must meet to be used: `ostiary.edge.core.faces.quality.Limits`."""

    min_eye_distance_px: Positive = _LIMITS.min_eye_distance_px
    max_turn: Positive = _LIMITS.max_turn
    max_tilt_deg: Positive = _LIMITS.max_tilt_deg
    min_sharpness: Annotated[float, Meta(ge=0)] = _LIMITS.min_sharpness
    min_brightness: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.min_brightness
    max_brightness: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.max_brightness
    min_contrast: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.min_contrast
    max_noise: Positive = _LIMITS.max_noise


class ClaimsSection(ProfileSection, frozen=True):
    """Where a claimed subject's id comes from; `cards` maps card numbers to subjects."""

    source: str
    cards: dict[str, Name] = {}


class StateSection(ProfileSection, frozen=True):
    """The directory of the store, the journal and the backend's cache.

    Acknowledged decisions are kept for `keep_days`, at most `keep_rows` of them. If the journal
    cannot be written, the door stays shut, unless `without_journal` says otherwise.
    """

    path: Path
    keep_days: Positive = 30.0
    keep_rows: Annotated[int, Meta(ge=1)] = 100_000
    without_journal: Literal["stay-shut", "open-unrecorded"] = "stay-shut"


class MqttSection(ProfileSection, frozen=True):
    """The MQTT broker. With `ca` the connection uses TLS; the password is read from a file."""

    host: Host
    port: Annotated[int, Meta(ge=1, le=65535)] = 1883
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    username: str | None = None
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    telemetry_s: Seconds = 30.0


class RosterSection(ProfileSection, frozen=True):
    """The fleet's roster over MQTT, in place of people enrolled at this door.

    `operators` is a folder with the public keys of the operators, who may enroll and command.
    `site_key` is the file of the key that decrypts their messages (64 hex digits). If the newest
    head was signed more than `stale_after_s` ago, the door opens to nobody; 0 allows any age.
    """

    operators: Path
    site_key: Path
    stale_after_s: Annotated[float, Meta(ge=0)] = 0.0


class AccessSection(ProfileSection, frozen=True):
    """Who may pass here: members of `groups`, or everybody enrolled if `groups` is empty.

    Schedules are in `timezone`, an IANA name; empty means the system's timezone.
    """

    groups: tuple[Name, ...] = ()
    timezone: str = ""


class LearningSection(ProfileSection, frozen=True):
    """Templates that learn from sure grants of people who consented, if `enabled`. For the other
    fields see `ostiary.edge.core.rules.learning.LearningRules`."""

    enabled: bool = False
    stricter: Annotated[float, Meta(gt=0, le=0.1)] = 0.01
    apart_h: Annotated[float, Meta(ge=1, le=8760)] = 20.0
    samples: Annotated[int, Meta(ge=1, le=20)] = 5


class DoorSection(ProfileSection, frozen=True):
    """What opens the door: `log:`, or `exec:PROGRAM ARG...`, which may run for `timeout_s`."""

    action: str = "log:"
    timeout_s: Seconds = 5.0
