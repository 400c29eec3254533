"""The operator's folder: settings, keys and the registry of one site."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec
from msgspec import Meta

from ostiary.edge.roster.sealing import Sealer, Site
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.sections import Host, MqttSection, Name, Rate
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.keys import OPERATOR_KEY, SITE_KEY, read_secret

SETTINGS, REGISTRY, CERTS, PHOTOS = "fleet.toml", "registry.db", "certs", "photos"
ENVIRONMENT = "OSTIARY_FLEET"


class SiteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """fleet.toml: the site, its broker, the bundle used to enroll, and the operator's choices.

    Relative paths start at the fleet's folder. `fpir` sets the look-alike guard's tau: the rate of
    false alarms when one person is enrolled and compared with everybody else. `publish` tells what
    K costs at the same rate. `groups` are the groups that people can be in.
    """

    site: Name
    bundle: Path
    host: Host
    port: Annotated[int, Meta(ge=1, le=65535)] = 8883
    username: str | None = None
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    fpir: Rate = 0.01
    keep_photos: bool = False
    groups: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()


PATHS = ("bundle", "password_file", "ca", "cert", "key")


class Fleet:
    """An operator's folder. The registry is opened at first use, and only for that thread."""

    def __init__(self, folder: Path, settings: SiteSettings) -> None:
        self.folder = folder
        self.settings = settings
        self._registry: Registry | None = None

    @staticmethod
    def open(folder: Path) -> Fleet:
        """The fleet in a folder. Raises FleetError if there is none or fleet.toml is wrong."""
        if not (folder / SETTINGS).is_file():
            raise FleetError(
                f"there is no fleet in {folder}",
                "make one with `ostiary-fleet init`, or name its folder",
                option="fleet",
            )
        return Fleet(folder, read_settings(folder))

    def registry(self) -> Registry:
        """The registry of who is enrolled, opened at first use."""
        if self._registry is None:
            self._registry = Registry(self.folder / REGISTRY)
        return self._registry

    def site(self) -> Site:
        return Site(read_secret(self.folder / SITE_KEY))

    def sealer(self) -> Sealer:
        return Sealer(self.site(), read_secret(self.folder / OPERATOR_KEY))

    def mqtt(self) -> MqttSection:
        """The settings for the operator's connection to the broker."""
        s = self.settings
        return MqttSection(
            host=s.host,
            port=s.port,
            username=s.username,
            password_file=s.password_file,
            ca=s.ca,
            cert=s.cert,
            key=s.key,
        )

    def bundle(self) -> Bundle:
        """The bundle used to enroll. Raises BundleError, also if none of the trusted keys signed
        it."""
        return bundles.load(self.settings.bundle)

    def close(self) -> None:
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def chosen_folder(given: Path | None) -> Path:
    """The folder given, else $OSTIARY_FLEET, else the default folder among this user's data."""
    if given is not None:
        return given
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "ostiary" / "fleet"


def read_settings(folder: Path) -> SiteSettings:
    """Read fleet.toml and make its paths absolute. Raises FleetError, naming the wrong key."""
    path = folder / SETTINGS
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error
    return parse_settings(raw, path)


def parse_settings(raw: bytes, path: Path) -> SiteSettings:
    """Decode the bytes of a fleet.toml; `path` is where the file is or will be.

    Raises FleetError.
    """
    try:
        found = msgspec.toml.decode(raw, type=SiteSettings, dec_hook=_path_of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FleetError(
            f"{path}: {error}", "the comments in fleet.toml describe each setting"
        ) from error
    if (found.cert is None) != (found.key is None):
        raise FleetError(f"{path}: cert and key go together", "set both or neither")
    if ".." in found.host:
        raise FleetError(f"{path}: {found.host!r} is not a host name - at `$.host`")
    given = {name: getattr(found, name) for name in PATHS}
    folder = path.resolve().parent
    anchored = {name: folder / value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(found, **anchored)


def _path_of(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind} in fleet.toml")
