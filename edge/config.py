"""The device's profile: one TOML file into one frozen Config; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from ostiary.edge.core.faces.pad import PadRules
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.rules.policy import Rules
from ostiary.edge.errors import ConfigError

Name = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z")]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9:._-]{0,251}[A-Za-z0-9])?\Z")]
Rate = Annotated[float, Meta(gt=0, le=0.5)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Positive = Annotated[float, Meta(gt=0)]
_LIMITS = Limits()


LIVE = ("v4l2:", "rtsp:", "rtsps:", "gst:")


class ProfileSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the profile."""


Part = TypeVar("Part", bound=ProfileSection)


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
    (0: never), is opened again.
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


class RecognitionSection(ProfileSection, frozen=True):
    """How sure the door must be.

    `fpir` is the wanted rate of strangers let in by an identification, for any size of the gallery;
    `fmr` is the wanted rate of false claims accepted by a verification. With `verifier` the
    bundle's logistic head must accept a claim too. For the other fields see
    `ostiary.edge.core.rules.policy.Rules`.
    """

    mode: Mode = Mode.IDENTIFY
    fpir: Rate = 0.01
    fmr: Rate = 0.001
    verifier: bool = False
    margin: Annotated[float, Meta(ge=0, le=1)] = 0.05
    votes: Annotated[int, Meta(ge=1, le=100)] = 2
    denials: Annotated[int, Meta(ge=1, le=1000)] = 6
    cooldown_s: Seconds = 5.0
    patience_s: Seconds = 3.0
    claim_s: Seconds = 10.0


class PadSection(ProfileSection, frozen=True):
    """Presentation attack detection (PAD), which runs only if `required`."""

    required: bool = False
    frames: Annotated[int, Meta(ge=1, le=8)] = 5
    min_live: Annotated[float, Meta(ge=0, le=1)] = 0.5


class QualitySection(ProfileSection, frozen=True):
    """Limits that a face must meet to be used: `ostiary.edge.core.faces.quality.Limits`."""

    min_eye_distance_px: Positive = _LIMITS.min_eye_distance_px
    max_turn: Positive = _LIMITS.max_turn
    max_tilt_deg: Positive = _LIMITS.max_tilt_deg
    min_sharpness: Annotated[float, Meta(ge=0)] = _LIMITS.min_sharpness
    min_brightness: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.min_brightness
    max_brightness: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.max_brightness
    min_contrast: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.min_contrast


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


class DoorSection(ProfileSection, frozen=True):
    """What opens the door: `log:`, or `exec:PROGRAM ARG...`, which may run for `timeout_s`."""

    action: str = "log:"
    timeout_s: Seconds = 5.0


class Config(ProfileSection, frozen=True):
    """The whole profile."""

    device: DeviceSection
    bundle: BundleSection
    camera: CameraSection
    state: StateSection
    recognition: RecognitionSection = RecognitionSection()
    pad: PadSection = PadSection()
    quality: QualitySection = QualitySection()
    door: DoorSection = DoorSection()
    claims: ClaimsSection | None = None
    mqtt: MqttSection | None = None
    roster: RosterSection | None = None
    access: AccessSection = AccessSection()

    def rules(self) -> Rules:
        """The profile's settings for `policy`."""
        chosen = msgspec.structs.asdict(self.recognition)
        del chosen["fpir"], chosen["fmr"], chosen["verifier"]
        return Rules(**chosen, require_pad=self.pad.required)

    def pad_rules(self) -> PadRules:
        return PadRules(self.pad.frames, self.pad.min_live)

    def limits(self) -> Limits:
        return Limits(**msgspec.structs.asdict(self.quality))


def load_config(path: Path) -> Config:
    """Read and check a profile; relative paths in it start at the profile's folder.

    Raises ConfigError with the file, the key's path and what is allowed there.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    try:
        config = msgspec.toml.decode(raw, type=Config, dec_hook=_path_of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "docs/profile.md describes every key") from error
    _check(path, config)
    return _anchored(config, path.resolve().parent)


def _path_of(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind} in a profile")


def _check(path: Path, config: Config) -> None:
    """Check settings that depend on each other. Raises ConfigError."""
    if config.recognition.mode is Mode.VERIFY and config.claims is None:
        raise ConfigError(
            f'{path}: mode "verify" needs [claims]', 'such as source = "line:/dev/ttyUSB0"'
        )
    if config.recognition.verifier and config.recognition.mode is not Mode.VERIFY:
        problem = f"{path}: the verifier is for claims only - at `$.recognition.verifier`"
        raise ConfigError(problem, 'set mode = "verify"')
    if not config.camera.drop and config.camera.url.startswith(LIVE):
        raise ConfigError(f"{path}: drop = false is for files and folders - at `$.camera.drop`")
    if config.roster is not None and config.mqtt is None:
        raise ConfigError(f"{path}: [roster] needs [mqtt]", "the roster comes from the broker")
    if config.access.groups and config.roster is None:
        # Otherwise the door would open to everybody enrolled, and nobody would notice.
        hint = "people enrolled at this door are in no group"
        raise ConfigError(f"{path}: groups need [roster] - at `$.access.groups`", hint)
    _check_timezone(path, config.access.timezone)
    if config.mqtt is not None and ".." in config.mqtt.host:
        raise ConfigError(f"{path}: {config.mqtt.host!r} is not a host - at `$.mqtt.host`")
    if config.mqtt is not None and (config.mqtt.cert is None) != (config.mqtt.key is None):
        raise ConfigError(f"{path}: cert and key go together - at `$.mqtt`")


def _check_timezone(path: Path, name: str) -> None:
    try:
        if name:
            ZoneInfo(name)
    # ZoneInfo raises ValueError or OSError if the name is a folder, too long or not a timezone
    # file.
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = 'such as "Europe/Berlin" (from the package tzdata); "" is the system\'s timezone'
        problem = f"{path}: {name!r} is not a timezone known here - at `$.access.timezone`"
        raise ConfigError(problem, hint) from error


def _anchored(section: Part, folder: Path) -> Part:
    """The section with every relative path in it, at any depth, joined to a folder."""
    changed: dict[str, object] = {}
    for name, value in msgspec.structs.asdict(section).items():
        if isinstance(value, ProfileSection):
            changed[name] = _anchored(value, folder)
        elif isinstance(value, Path):
            changed[name] = folder / value
        elif name in ("url", "source"):
            changed[name] = _anchored_url(value, folder)
    return msgspec.structs.replace(section, **changed)


def _anchored_url(url: str, folder: Path) -> str:
    """A URL with a relative path in it joined to the profile's folder; other URLs unchanged."""
    kind, colon, rest = url.partition(":")
    if kind in ("folder", "file", "line", "evdev", "v4l2") and rest:
        return f"{kind}:{folder / rest}"
    return url if colon or not url else str(folder / url)
