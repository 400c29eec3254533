"""A new fleet's folder: settings with comments, keys, an empty registry; and groups added later."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.files import alone, write_atomically
from fleet.errors import FleetError
from fleet.home import CERTS, REGISTRY, SETTINGS, Fleet, Settings, parse_settings, read_settings
from fleet.keys import (
    OPERATOR_KEY,
    OPERATOR_PUB,
    SITE_KEY,
    make_operator_key,
    make_site_key,
    read_secret,
)
from fleet.registry import Registry

PRIVATE = 0o700
_GROUPS = re.compile(r"^groups[ \t]*=[ \t]*\[[^\]]*\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Founded:
    """What was made; `kept` names keys that were there already."""

    folder: Path
    operator: str
    kept: tuple[str, ...]


def found(folder: Path, settings: Settings) -> Founded:
    """Make a fleet's folder. Raises FleetError where there is a fleet, or a field is wrong.

    Keys that are there are kept: they came from a backup, or an init that was ended in its middle.
    """
    path = folder / SETTINGS
    if path.exists():
        raise FleetError(f"there is a fleet in {folder} already", "--help names its settings")
    text = settings_text(settings)
    parse_settings(text.encode(), path)
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    # Also where the folder was there: what is in it is for its owner only.
    folder.chmod(PRIVATE)
    (folder / CERTS).mkdir(exist_ok=True, mode=PRIVATE)
    kept = tuple(name for name in (SITE_KEY, OPERATOR_KEY) if (folder / name).exists())
    for name in kept:
        read_secret(folder / name)
    if SITE_KEY not in kept:
        make_site_key(folder / SITE_KEY)
    if OPERATOR_KEY not in kept:
        make_operator_key(folder / OPERATOR_KEY)
    Registry(folder / REGISTRY).close()
    # Last: only a folder that is whole counts as a fleet.
    write_atomically(path, text.encode())
    return Founded(folder, (folder / OPERATOR_PUB).read_text("ascii").strip(), kept)


def settings_text(settings: Settings) -> str:
    """fleet.toml, each line with what it is for."""
    s = settings
    return f"""\
# The fleet of one site; `ostiary-fleet` reads this. Paths start at this folder.
site = {_text(s.site)}

# What people are embedded with: the bundle that the devices run.
bundle = {_text(str(s.bundle))}

# The broker. With a ca the connection is TLS; a certificate, or a name and a password file, says
# who the operator is.
host = {_text(s.host)}
port = {s.port}
{_line("username", s.username)}
{_line("password_file", s.password_file)}
{_line("ca", s.ca)}
{_line("cert", s.cert)}
{_line("key", s.key)}

# Somebody new may look like anybody enrolled no more than a stranger does at this rate.
fpir = {s.fpir}

# Keep the photos people were enrolled from, encrypted, so that another encoder can be filled from
# them (`ostiary-fleet reembed`). Without them everybody is photographed again.
keep_photos = {"true" if s.keep_photos else "false"}

# The groups that people can be in; `ostiary-fleet group add NAME` adds one.
groups = {_list(s.groups)}
"""


def add_group(fleet: Fleet, name: str) -> bool:
    """Make a group known; False where it is. Only its line of fleet.toml is touched."""
    path = fleet.folder / SETTINGS
    busy = FleetError("another ostiary-fleet is writing fleet.toml", "try again")
    with alone(fleet.folder, busy):
        old = read_settings(fleet.folder)
        if name in old.groups:
            return False
        wanted = (*old.groups, name)
        text = path.read_text("utf-8")
        line = f"groups = {_list(wanted)}"
        changed = _GROUPS.sub(lambda _: line, text, 1) if _GROUPS.search(text) else ""
        changed = changed or f"{line}\n{text}"
        if parse_settings(changed.encode(), path) != msgspec.structs.replace(old, groups=wanted):
            raise FleetError(f"can not add a group to {path}", f"add it by hand: {line}")
        write_atomically(path, changed.encode())
    return True


def _line(name: str, value: str | Path | None) -> str:
    return f"# {name} = " if value is None else f"{name} = {_text(str(value))}"


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    # A JSON string is a TOML string, but for characters beyond 16 bits where they are escaped.
    return json.dumps(value, ensure_ascii=False)
