"""A new fleet's folder: settings with comments, keys, an empty registry; and groups added later."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ostiary.edge.files import alone, write_atomically
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.writer import Registry
from ostiary.fleet.site.fleet import (
    CERTS,
    REGISTRY,
    SETTINGS,
    Fleet,
    SiteSettings,
    parse_settings,
    read_settings,
)
from ostiary.fleet.site.keys import (
    OPERATOR_KEY,
    OPERATOR_PUB,
    SITE_KEY,
    make_operator_key,
    make_site_key,
    read_secret,
)

PRIVATE = 0o700
_GROUPS = re.compile(r"^groups[ \t]*=[ \t]*\[[^\]]*\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Founded:
    """What was made; `kept` names keys that were there already."""

    folder: Path
    operator: str
    kept: tuple[str, ...]


def found(
    folder: Path, settings: SiteSettings, authority: Callable[[Path], object] | None = None
) -> Founded:
    """Make a fleet's folder; `authority` makes the certificates in it. Raises FleetError where
    there is a fleet or what is none, or a field is wrong.

    Keys that are there are kept: they came from a backup, or an init that was ended in its middle.
    """
    path = folder / SETTINGS
    if path.exists():
        raise FleetError(f"there is a fleet in {folder} already", "--help names its settings")
    raw = _encoded(settings_text(settings), path)
    parse_settings(raw, path)
    _check_folder(folder)
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
    if authority is not None:
        with _staged(folder, raw) as stage:
            authority(stage)
    # Last: only a folder that is whole counts as a fleet.
    write_atomically(path, raw)
    return Founded(folder, (folder / OPERATOR_PUB).read_text("ascii").strip(), kept)


def _check_folder(folder: Path) -> None:
    """Refuse a folder of somebody else's things: it would be closed to everybody but us."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FleetError(f"{folder} is no folder", "name a new one")
    there = {path.name for path in folder.iterdir()}
    if there - {CERTS} and not there & {SITE_KEY, OPERATOR_KEY}:
        raise FleetError(f"{folder} is not empty and no fleet's", "name a new or an empty folder")


@contextlib.contextmanager
def _staged(folder: Path, raw: bytes) -> Iterator[Path]:
    """The settings beside the folder's own certificates, before the folder has any."""
    with tempfile.TemporaryDirectory() as work:
        stage = Path(work)
        (stage / SETTINGS).write_bytes(raw)
        (stage / CERTS).symlink_to((folder / CERTS).resolve(), target_is_directory=True)
        yield stage


def _encoded(text: str, path: Path) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FleetError(f"{path} can not hold a name that is not UTF-8", "rename it") from error


def settings_text(settings: SiteSettings) -> str:
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
        raw = _encoded(changed, path)
        if parse_settings(raw, path) != msgspec.structs.replace(old, groups=wanted):
            raise FleetError(f"can not add a group to {path}", f"add it by hand: {line}")
        write_atomically(path, raw)
    return True


def _line(name: str, value: str | Path | None) -> str:
    return f"# {name} = " if value is None else f"{name} = {_text(str(value))}"


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    # A JSON string is a TOML string, but for characters beyond 16 bits where they are escaped.
    return json.dumps(value, ensure_ascii=False)
