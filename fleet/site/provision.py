"""Makes a folder to copy to a device as /etc/ostiary: profile, keys and certificate."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ostiary.edge.config import load_config
from ostiary.edge.errors import BundleError
from ostiary.edge.files import sync_dir
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site import authority
from ostiary.fleet.site.fleet import Fleet
from ostiary.fleet.site.keys import OPERATOR_PUB, SITE_KEY, read_secret
from ostiary.fleet.site.profile import PROFILES, Value, filled

ETC, RUN = "/etc/ostiary", "/run/credentials/ostiary.service"
SHIPPED_SITE = "hq"
SECRET, PUBLIC = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A device's folder; `to_do` lists the steps to do by hand."""

    folder: Path
    certificate: bool
    to_do: list[str] = field(default_factory=list)


def provision(
    fleet: Fleet, device: str, text: str, folder: Path, groups: Sequence[str] = ()
) -> Provisioned:
    """Make a device's folder from a profile's `text`, and add the device to the registry.

    Raises FleetError if the folder exists or a group is unknown, ConfigError for a wrong profile.
    """
    unknown = [group for group in groups if group not in fleet.settings.groups]
    if unknown:
        known = ", ".join(sorted(fleet.settings.groups)) or "none"
        raise FleetError(f"unknown group {unknown[0]!r}; known: {known}")
    if folder.exists() or folder.is_symlink():
        raise FleetError(
            f"{folder} exists and is not overwritten",
            "remove it, or choose another folder",
            option="out",
        )
    if not folder.parent.is_dir():
        raise FleetError(f"there is no folder {folder.parent}")
    # Make it under another name and rename it when complete: half a folder could be copied to a
    # door.
    staged = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    staged.mkdir(mode=0o700)
    try:
        done = _fill(fleet, device, text, staged, folder, groups)
        # Register the device before its keys can be installed: erasures wait only for registered
        # devices.
        fleet.registry().add_device(device, time.time())
        if done.certificate:
            authority.keep(fleet.folder, device, staged / "certs" / "device.crt")
        staged.rename(folder)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    sync_dir(folder.parent)
    return done


def _fill(
    fleet: Fleet, device: str, text: str, staged: Path, folder: Path, groups: Sequence[str]
) -> Provisioned:
    settings = fleet.settings
    for name, mode in (("operators", 0o755), ("certs", 0o755), ("credentials", 0o700)):
        (staged / name).mkdir()
        (staged / name).chmod(mode)
    _write(staged / "operators" / OPERATOR_PUB, (fleet.folder / OPERATOR_PUB).read_bytes(), PUBLIC)
    site_key = read_secret(fleet.folder / SITE_KEY).hex() + "\n"
    _write(staged / "credentials" / "site-key", site_key.encode("ascii"), SECRET)
    to_do: list[str] = []
    mqtt: dict[str, Value] = {"host": settings.host, "port": settings.port}
    mqtt |= _credentials(fleet, device, staged, to_do)
    wanted: dict[str, dict[str, Value]] = {
        "device": {"site": settings.site, "id": device},
        "mqtt": mqtt,
        "roster": {"operators": f"{ETC}/operators", "site_key": f"{RUN}/site-key"},
    }
    if groups:
        wanted["access"] = {"groups": tuple(groups)}
    profile = staged / "door.toml"
    _write(profile, filled(text, wanted).encode(), 0o640)
    config = load_config(profile)
    if (config.device.site, config.device.id) != (settings.site, device) or config.roster is None:
        raise FleetError(
            "the profile ignores the site, device or roster filled in", "choose another"
        )
    _bundle_key(fleet, staged, to_do)
    if settings.site != SHIPPED_SITE:
        (staged / "broker").mkdir()
        rights = (PROFILES / "mosquitto" / "acl").read_text("utf-8")
        rights = rights.replace(f"/{SHIPPED_SITE}/", f"/{settings.site}/")
        _write(staged / "broker" / "acl", rights.encode(), PUBLIC)
    _write(staged / "README.md", _readme(device, staged, to_do).encode(), PUBLIC)
    certificate = (staged / "certs" / "device.crt").exists()
    return Provisioned(folder, certificate, to_do)


def _credentials(fleet: Fleet, device: str, staged: Path, to_do: list[str]) -> dict[str, Value]:
    """The profile's settings to log in at the broker: by certificate or password, as the operator
    does."""
    settings = fleet.settings
    certs, key = staged / "certs", staged / "credentials" / "mqtt-key"
    found: dict[str, Value] = {
        "ca": None, "cert": None, "key": None, "username": None, "password_file": None,
    }  # fmt: skip
    if settings.ca is not None:
        found["ca"] = f"{ETC}/certs/ca.crt"
        try:
            _write(certs / "ca.crt", settings.ca.read_bytes(), PUBLIC)
        except OSError as error:
            raise FleetError(f"cannot read {settings.ca}: {error.strerror}") from error
    if settings.ca is not None and settings.username is None:
        found["cert"], found["key"] = f"{ETC}/certs/device.crt", f"{RUN}/mqtt-key"
        if authority.exists(fleet.folder):
            authority.client(fleet.folder, device, certs / "device.crt", key)
        else:
            authority.request(device, certs / "device.csr", key)
            to_do.append("have the broker's authority sign certs/device.csr, as certs/device.crt")
    elif settings.username is not None:
        found["username"], found["password_file"] = device, f"{RUN}/mqtt-password"
        to_do.append(
            f"put the password of the broker's user {device} into credentials/mqtt-password"
        )
    return found


def _bundle_key(fleet: Fleet, staged: Path, to_do: list[str]) -> None:
    """Add the public key that signed the fleet's bundle, so that the device accepts it."""
    try:
        text = (fleet.settings.bundle / SIGNATURE).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    signer = re.match(r"key ([0-9a-f]{64})\n", text)
    if signer is None:
        to_do.append("put the public key that signs your bundles into keys/, as a .pub file")
        return
    try:
        fleet.bundle()
    except BundleError as error:
        to_do.append(
            "put the public key that signs your bundles into keys/, as a .pub file: the fleet's"
            f" bundle cannot be used ({error.message})"
        )
        return
    (staged / "keys").mkdir()
    (staged / "keys").chmod(0o755)
    _write(staged / "keys" / "bundle.pub", f"{signer[1]}\n".encode("ascii"), PUBLIC)


def _write(path: Path, data: bytes, mode: int) -> None:
    # The mode is set on creation: until a later chmod, others could read the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _readme(device: str, staged: Path, to_do: Sequence[str]) -> str:
    parts = " ".join(
        name for name in ("door.toml", "operators", "certs", "credentials", "keys")
        if (staged / name).exists()
    )  # fmt: skip
    steps = "".join(f"- {step}\n" for step in to_do)
    first = f"\nBefore you copy it:\n{steps}" if steps else ""
    acl = (
        "\n`broker/acl` is the broker's access list for this site, the same for every device. Copy"
        "\nit to /etc/mosquitto/acl at the broker, then run `systemctl reload mosquitto` there.\n"
        if (staged / "broker").exists()
        else ""
    )
    return f"""\
# {device}
Secret, and for this one device: `credentials/` holds its key and the site's key. Delete this
folder when the device runs.
{first}{acl}
On the device, in this folder and as root:
```sh
mkdir -p /etc/ostiary
cp -r {parts} /etc/ostiary/
```
Also on the device, in a checkout of Ostiary; `models.zip` is the bundle that the fleet enrolls
with:
```sh
sudo scripts/install-device --bundle models.zip
sudo -u ostiary /opt/ostiary/venv/bin/ostiary check-config /etc/ostiary/door.toml
```
Check the camera's line in door.toml: it holds the board's default. Then, at your desk,
`ostiary-fleet status` must show {device} online and holding the roster.
"""
