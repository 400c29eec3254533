"""The store and the journal: whole and readable, looked at without writing a byte."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from ostiary.edge.adapters.storage import journal as journals
from ostiary.edge.adapters.storage import store as stores
from ostiary.edge.adapters.storage.state_dir import JOURNAL, LOCK, STORE
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.places import text
from ostiary.edge.selftest.report import Check, fail, judged, ok, skipped

NAME = "state"
MANY_PENDING = 1000
RESTORE = "keep a copy of the file, then enroll again; a lost journal stays lost"


def check(door: DoorUnderTest, root: Path = Path("/")) -> Check:
    """What a daemon that runs has in use is left alone."""
    if door.profile is None:
        return skipped(NAME, "no profile names a state directory")
    folder = door.profile.state.path
    if daemon_runs(folder, root):
        return ok(NAME, "a daemon runs on this state; it was left alone", daemon=True)
    details: dict[str, Any] = {"daemon": False}
    try:
        details["store"] = _looked_at(folder / STORE, _store_of(door))
        details["journal"] = _looked_at(folder / JOURNAL, _journal)
    except sqlite3.Error as error:
        return fail(NAME, f"can not be read: {error}", RESTORE, **details)
    damaged = {name: details[name] for name in ("store", "journal") if _problem(details[name])}
    if damaged:
        said = "; ".join(f"{name}: {_problem(found)}" for name, found in damaged.items())
        return fail(NAME, said, RESTORE, **details)
    return _judged(details)


def _judged(details: dict[str, Any]) -> Check:
    store, journal = details["store"], details["journal"]
    if store is None and journal is None:
        return ok(NAME, "none yet: no daemon ran, nobody is enrolled", **details)
    problems = []
    if store is not None and store["usable"] is not None and store["usable"] < store["subjects"]:
        left = store["subjects"] - store["usable"]
        problems.append((f"{left} have no template of this encoder", "enroll them again"))
    if journal is not None and journal["pending"] > MANY_PENDING:
        problems.append((f"{journal['pending']} decisions wait", "the broker does not take them"))
    enrolled = f"{store['subjects']} subjects" if store else "no store"
    written = f"{journal['decisions']} decisions, none altered" if journal else "no journal"
    return judged(NAME, f"{enrolled}, {written}", problems, details)


def daemon_runs(folder: Path, root: Path = Path("/")) -> bool:
    """Whether somebody holds the state directory's lock, as the kernel lists it.

    The lock itself is not touched: a daemon that starts at that moment would be refused.
    """
    try:
        inode = (folder / LOCK).stat().st_ino
    except OSError:
        return False
    # Not the device as well: on overlay and btrfs the kernel lists another one than stat gives.
    for line in (text(root / "proc/locks") or "").splitlines():
        fields = line.split()
        if "FLOCK" in fields and any(field.endswith(f":{inode}") for field in fields):
            return True
    return False


def _looked_at(path: Path, look: Any) -> dict[str, Any] | None:
    """What `look` finds in a database; None where there is none."""
    if not path.is_file():
        return None
    # Opened for reading alone SQLite still leaves its -wal and -shm behind, which are root's then
    # and the daemon's no more; where there is no -wal the file is all there is.
    log = path.with_name(f"{path.name}-wal")
    plain = not log.exists() or log.stat().st_size == 0
    settings = "immutable=1" if plain else "mode=ro"
    with contextlib.closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?{settings}", uri=True)
    ) as database:
        whole = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
        found: dict[str, Any] = {"schema": _number(database, "PRAGMA user_version")}
        return found | {"whole": whole == "ok", **look(database)}


def _problem(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    if not found["whole"]:
        return "damaged"
    if found["schema"] > found["newest_schema"]:
        return "written by a newer version of Ostiary"
    if found.get("broken_at") is not None:
        return f"altered, decision {found['broken_at']} does not follow from the one before"
    return ""


def _store_of(door: DoorUnderTest) -> Any:
    """Counts alone: who is enrolled is not for a report."""
    try:
        encoder = bundles.read(door.choice.path).encoder_id
    except BundleError:
        encoder = None

    def look(database: sqlite3.Connection) -> dict[str, Any]:
        usable = "SELECT count(DISTINCT subject) FROM template WHERE encoder = ?"
        return {
            "newest_schema": len(stores.MIGRATIONS),
            "subjects": _number(database, "SELECT count(*) FROM subject"),
            "usable": None if encoder is None else _number(database, usable, encoder),
        }

    return look


def _journal(database: sqlite3.Connection) -> dict[str, Any]:
    waiting = "SELECT count(*) FROM decision WHERE acknowledged = 0"
    return {
        "newest_schema": len(journals.MIGRATIONS),
        "decisions": _number(database, "SELECT count(*) FROM decision"),
        "pending": _number(database, waiting),
        "broken_at": _broken_at(database),
    }


def _broken_at(database: sqlite3.Connection) -> int | None:
    """As the journal does it, which can not be opened without writing."""
    last, chain = database.execute("SELECT seq, hash FROM anchor").fetchone()
    for seq, payload, written in database.execute(
        "SELECT seq, payload, hash FROM decision ORDER BY seq"
    ):
        if seq != last + 1 or written != journals.link(chain, payload):
            return int(seq)
        last, chain = seq, written
    return None


def _number(database: sqlite3.Connection, query: str, *values: object) -> int:
    return int(database.execute(query, values).fetchone()[0])
