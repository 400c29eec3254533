"""The device's profile: one TOML file into one frozen Config; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.rules.learning import LearningRules
from ostiary.edge.core.rules.lockout import LockoutRules
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.errors import ConfigError
from ostiary.edge.files import anchored
from ostiary.edge.sections import (
    LIVE,
    AccessSection,
    BundleSection,
    CameraSection,
    ClaimsSection,
    DeviceSection,
    DoorSection,
    LearningSection,
    LockoutSection,
    MqttSection,
    PadSection,
    ProfileSection,
    QualitySection,
    RecognitionSection,
    RosterSection,
    StateSection,
)


class Config(ProfileSection, frozen=True):
    """The whole profile."""

    device: DeviceSection
    bundle: BundleSection
    camera: CameraSection
    state: StateSection
    recognition: RecognitionSection = RecognitionSection()
    lockout: LockoutSection = LockoutSection()
    pad: PadSection = PadSection()
    quality: QualitySection = QualitySection()
    door: DoorSection = DoorSection()
    claims: ClaimsSection | None = None
    mqtt: MqttSection | None = None
    roster: RosterSection | None = None
    access: AccessSection = AccessSection()
    learning: LearningSection = LearningSection()

    def rules(self) -> Rules:
        """The profile's settings for `policy`."""
        chosen = msgspec.structs.asdict(self.recognition)
        for name in ("fpir", "fmr", "tau", "verifier"):
            del chosen[name]
        given = self.lockout
        failures = (10 if self.pad.required else 5) if given.failures is None else given.failures
        lockout = LockoutRules(failures, given.window_s, given.for_s, given.most_s)
        return Rules(**chosen, require_pad=self.pad.required, lockout=lockout)

    def learning_rules(self) -> LearningRules:
        chosen = self.learning
        return LearningRules(chosen.stricter, chosen.apart_h, chosen.samples)

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
    return anchored(config, path.resolve().parent)


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
    if config.camera.controls and not config.camera.url.startswith("v4l2:"):
        raise ConfigError(
            f"{path}: only a v4l2: camera has controls - at `$.camera.controls`",
            "in a gst: pipeline set the properties of its source element",
        )
    if config.roster is not None and config.mqtt is None:
        raise ConfigError(f"{path}: [roster] needs [mqtt]", "the roster comes from the broker")
    if config.access.groups and config.roster is None:
        # Otherwise the door would open to everybody enrolled, and nobody would notice.
        hint = "people enrolled at this door are in no group"
        raise ConfigError(f"{path}: groups need [roster] - at `$.access.groups`", hint)
    if config.learning.enabled:
        _check_learning(path, config)
    _check_timezone(path, config.access.timezone)
    if config.mqtt is not None and ".." in config.mqtt.host:
        raise ConfigError(f"{path}: {config.mqtt.host!r} is not a host - at `$.mqtt.host`")
    if config.mqtt is not None and (config.mqtt.cert is None) != (config.mqtt.key is None):
        raise ConfigError(f"{path}: cert and key go together - at `$.mqtt`")


def _check_learning(path: Path, config: Config) -> None:
    where = "at `$.learning.enabled`"
    if not config.pad.required:
        hint = "[pad] required = true: otherwise a photo held up could teach a template"
        raise ConfigError(f"{path}: learning needs liveness - {where}", hint)
    if config.roster is None:
        hint = "a person's consent to learning is recorded there"
        raise ConfigError(f"{path}: learning needs [roster] - {where}", hint)


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
