"""The device's profile: one TOML file into one frozen Config; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from ostiary.edge.core.faces.pad import PadRules
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.rules.policy import Mode, Rules
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
    """Who this door is on the wire."""

    site: Name
    id: Name


class BundleSection(ProfileSection, frozen=True):
    """The bundle's directory, the folder of keys that may sign it, and what runs its models.

    `precision` is what probes are embedded in: "float" leaves a bundle's int8 encoder alone. `next`
    is the directory of a bundle to come: used in place of `path` once everybody has a template of
    its encoder; nothing need be there yet.
    """

    path: Path
    next: Path | None = None
    keys: Path | None = None
    precision: Literal["int8", "float"] = "int8"
    backend: Literal["auto", "tensorrt", "openvino", "onnxruntime"] = "auto"
    threads: Annotated[int, Meta(ge=1, le=64)] = 1


class CameraSection(ProfileSection, frozen=True):
    """Where frames come from.

    `width` and `height` are asked of a camera, and required of a `gst:` pipeline. A folder's
    images are each held for `hold_frames`; `loop` starts files and folders over. Without `drop`
    every frame of a file or folder is read, however long that takes. A source without a frame
    for `stall_s`, or a live one that repeats the same frame for `frozen_s` (0: never), is
    opened again.
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

    `fpir` is the wanted rate of strangers let in by one identification, whatever the gallery's
    size; `fmr` that of one verification against a claim, in which the bundle's `verifier` is asked
    too where that is true. The rest: `ostiary.edge.core.rules.policy.Rules`.
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
    """Presentation attack detection; where it is not `required` it is not run."""

    required: bool = False
    frames: Annotated[int, Meta(ge=1, le=8)] = 5
    min_live: Annotated[float, Meta(ge=0, le=1)] = 0.5


class QualitySection(ProfileSection, frozen=True):
    """What is still usable; see `ostiary.edge.core.faces.quality.Limits`."""

    min_eye_distance_px: Positive = _LIMITS.min_eye_distance_px
    max_turn: Positive = _LIMITS.max_turn
    max_tilt_deg: Positive = _LIMITS.max_tilt_deg
    min_sharpness: Annotated[float, Meta(ge=0)] = _LIMITS.min_sharpness
    min_brightness: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.min_brightness
    max_brightness: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.max_brightness
    min_contrast: Annotated[float, Meta(ge=0, le=255)] = _LIMITS.min_contrast


class ClaimsSection(ProfileSection, frozen=True):
    """Where a claimed subject's id comes from; `cards` turns card numbers into subjects."""

    source: str
    cards: dict[str, Name] = {}


class StateSection(ProfileSection, frozen=True):
    """The directory of the store, the journal and the backend's cache.

    Acknowledged decisions are kept for `keep_days`, at most `keep_rows` of them. With a journal
    that can not be written the door stays shut, unless `without_journal` says otherwise.
    """

    path: Path
    keep_days: Positive = 30.0
    keep_rows: Annotated[int, Meta(ge=1)] = 100_000
    without_journal: Literal["stay-shut", "open-unrecorded"] = "stay-shut"


class MqttSection(ProfileSection, frozen=True):
    """The broker. With `ca` the connection is TLS; a password is read from a file."""

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

    `operators` is a folder of the public keys that may enroll and command, `site_key` the file of
    the key that opens what they say (64 hex digits). A head that was signed longer than
    `stale_after_s` ago opens nothing; 0: however old it is.
    """

    operators: Path
    site_key: Path
    stale_after_s: Annotated[float, Meta(ge=0)] = 0.0


class AccessSection(ProfileSection, frozen=True):
    """Who may pass here: members of `groups`, or everybody enrolled where none is named.

    Schedules are in `timezone`, an IANA name; the system's own where it is empty.
    """

    groups: tuple[Name, ...] = ()
    timezone: str = ""


class DoorSection(ProfileSection, frozen=True):
    """What opens the door: `log:`, or `exec:PROGRAM ARG...` that is given `timeout_s`."""

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
        """What policy needs."""
        chosen = msgspec.structs.asdict(self.recognition)
        del chosen["fpir"], chosen["fmr"], chosen["verifier"]
        return Rules(**chosen, require_pad=self.pad.required)

    def pad_rules(self) -> PadRules:
        return PadRules(self.pad.frames, self.pad.min_live)

    def limits(self) -> Limits:
        return Limits(**msgspec.structs.asdict(self.quality))


def load_config(path: Path) -> Config:
    """Read and check a profile; relative paths in it start at its own folder.

    Raises ConfigError with the file, the key's path and what is legal there.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"can not read {path}: {error.strerror}") from error
    try:
        config = msgspec.toml.decode(raw, type=Config, dec_hook=_path_of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "`ostiary run --help` shows a profile") from error
    _check(path, config)
    return _anchored(config, path.resolve().parent)


def _path_of(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind} in a profile")


def _check(path: Path, config: Config) -> None:
    """What no single field can say."""
    if config.recognition.mode is Mode.VERIFY and config.claims is None:
        raise ConfigError(
            f'{path}: mode "verify" needs [claims]', 'source = "line:/dev/ttyUSB0", say'
        )
    if config.recognition.verifier and config.recognition.mode is not Mode.VERIFY:
        problem = f"{path}: the verifier judges claims only - at `$.recognition.verifier`"
        raise ConfigError(problem, 'mode = "verify"')
    if not config.camera.drop and config.camera.url.startswith(LIVE):
        raise ConfigError(f"{path}: drop = false is for files and folders - at `$.camera.drop`")
    if config.roster is not None and config.mqtt is None:
        raise ConfigError(f"{path}: [roster] needs [mqtt]", "it comes from the broker")
    if config.access.groups and config.roster is None:
        # It would open to everybody, and nobody would see it.
        hint = "who is enrolled at this door is in no group"
        raise ConfigError(f"{path}: groups need [roster] - at `$.access.groups`", hint)
    _check_timezone(path, config.access.timezone)
    if config.mqtt is not None and ".." in config.mqtt.host:
        raise ConfigError(f"{path}: {config.mqtt.host!r} is no host - at `$.mqtt.host`")
    if config.mqtt is not None and (config.mqtt.cert is None) != (config.mqtt.key is None):
        raise ConfigError(f"{path}: cert and key go together - at `$.mqtt`")


def _check_timezone(path: Path, name: str) -> None:
    try:
        if name:
            ZoneInfo(name)
    # A name that is a folder, too long or no text file is none either, and says so differently.
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = 'as "Europe/Berlin", from the system\'s package tzdata; "" is the system\'s own'
        problem = f"{path}: {name!r} is no timezone that is known here - at `$.access.timezone`"
        raise ConfigError(problem, hint) from error


def _anchored(section: Part, folder: Path) -> Part:
    """The same with every path in it, at any depth, starting at a folder."""
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
    """A URL whose path, where it has one, starts at the profile's folder."""
    kind, colon, rest = url.partition(":")
    if kind in ("folder", "file", "line", "evdev", "v4l2") and rest:
        return f"{kind}:{folder / rest}"
    return url if colon or not url else str(folder / url)
