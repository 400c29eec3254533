"""Makes a new fleet's folder: commented settings, keys, an empty registry; adds groups later."""

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
from ostiary.fleet.registry.registry import Registry
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
    """A new fleet: its folder, the operator's public key, and the key files that existed before."""

    folder: Path
    operator: str
    kept: tuple[str, ...]


def found(
    folder: Path, settings: SiteSettings, authority: Callable[[Path], object] | None = None
) -> Founded:
    """Make a fleet's folder; `authority` makes the certificates in it.

    Existing keys are kept: they came from a backup, or from an init that was interrupted. Raises
    FleetError if the folder holds a fleet or other files, or if a setting is wrong.
    """
    path = folder / SETTINGS
    if path.exists():
        raise FleetError(
            f"there is a fleet in {folder} already",
            f"edit its {SETTINGS}, or choose another folder",
            option="fleet",
        )
    raw = _encoded(settings_text(settings), path)
    parse_settings(raw, path)
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    # The mode is set even if the folder existed: its contents are for its owner only.
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
    # The settings are written last: a folder that has them counts as a complete fleet.
    write_atomically(path, raw)
    return Founded(folder, (folder / OPERATOR_PUB).read_text("ascii").strip(), kept)


def _check_folder(folder: Path) -> None:
    """Refuse a folder with other files: made private, it would lock other users out of them."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FleetError(f"{folder} is not a folder", "choose a new one", option="fleet")
    there = {path.name for path in folder.iterdir()}
    if there - {CERTS} and not there & {SITE_KEY, OPERATOR_KEY}:
        raise FleetError(
            f"{folder} is not empty and holds no fleet",
            "choose a new or an empty folder",
            option="fleet",
        )


@contextlib.contextmanager
def _staged(folder: Path, raw: bytes) -> Iterator[Path]:
    """A temporary folder with the settings and a link to the real folder's certificates."""
    with tempfile.TemporaryDirectory() as work:
        stage = Path(work)
        (stage / SETTINGS).write_bytes(raw)
        (stage / CERTS).symlink_to((folder / CERTS).resolve(), target_is_directory=True)
        yield stage


def _encoded(text: str, path: Path) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FleetError(f"{path} cannot hold a name that is not UTF-8", "rename it") from error


def settings_text(settings: SiteSettings) -> str:
    """The text of fleet.toml, with a comment on each setting."""
    s = settings
    return f"""\
# The fleet of one site, read by `ostiary-fleet`. Relative paths start at this folder.
site = {_text(s.site)}

# The bundle that people are enrolled with: the one that the devices run.
bundle = {_text(str(s.bundle))}

# The broker. With ca, the connection uses TLS. The operator logs in with cert and key, or with
# username and password_file.
host = {_text(s.host)}
port = {s.port}
{_line("username", s.username)}
{_line("password_file", s.password_file)}
{_line("ca", s.ca)}
{_line("cert", s.cert)}
{_line("key", s.key)}

# The look-alike guard refuses a new person whose score against somebody enrolled exceeds tau. A
# stranger exceeds that tau at this rate. `publish` tells what K costs at the same rate.
fpir = {s.fpir}

# Keep the photos that people were enrolled from, encrypted, to make templates for another encoder
# (`ostiary-fleet reembed`). Without photos everybody must be photographed again.
keep_photos = {"true" if s.keep_photos else "false"}

# The groups that people can be in; `ostiary-fleet group add NAME` adds one.
groups = {_list(s.groups)}
"""


def add_group(fleet: Fleet, name: str) -> bool:
    """Add a group to fleet.toml; False if it exists already. Only the line of groups changes."""
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
            raise FleetError(f"cannot add a group to {path}", f"add it by hand: {line}")
        write_atomically(path, raw)
    return True


def _line(name: str, value: str | Path | None) -> str:
    return f"# {name} = " if value is None else f"{name} = {_text(str(value))}"


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    # A JSON string is a TOML string, provided that characters beyond 16 bits are not escaped.
    return json.dumps(value, ensure_ascii=False)
