"""The store and the journal: whether they are undamaged and readable, without writing a byte."""

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
RESTORE = "copy the file away, then enroll everybody again; a lost journal cannot be restored"


def check(door: DoorUnderTest, root: Path = Path("/")) -> Check:
    """Check store and journal, unless a running daemon uses them."""
    if door.profile is None:
        return skipped(NAME, "no profile was given")
    folder = door.profile.state.path
    if daemon_runs(folder, root):
        return ok(NAME, "not checked: a running daemon uses it", daemon=True)
    details: dict[str, Any] = {"daemon": False}
    try:
        details["store"] = _looked_at(folder / STORE, _store_of(door))
        details["journal"] = _looked_at(folder / JOURNAL, _journal)
    except sqlite3.Error as error:
        return fail(NAME, f"cannot be read: {error}", RESTORE, **details)
    damaged = {name: details[name] for name in ("store", "journal") if _problem(details[name])}
    if damaged:
        said = "; ".join(f"{name}: {_problem(found)}" for name, found in damaged.items())
        return fail(NAME, said, RESTORE, **details)
    return _judged(details)


def _judged(details: dict[str, Any]) -> Check:
    store, journal = details["store"], details["journal"]
    if store is None and journal is None:
        return ok(NAME, "no state yet: the daemon never ran and nobody is enrolled", **details)
    problems = []
    if store is not None and store["usable"] is not None and store["usable"] < store["subjects"]:
        left = store["subjects"] - store["usable"]
        problems.append((f"{left} have no template of this encoder", "enroll them again"))
    if journal is not None and journal["pending"] > MANY_PENDING:
        problems.append((f"{journal['pending']} decisions are not sent yet", "check the broker"))
    enrolled = f"{store['subjects']} subjects" if store else "no store"
    written = f"{journal['decisions']} decisions, none altered" if journal else "no journal"
    return judged(NAME, f"{enrolled}, {written}", problems, details)


def daemon_runs(folder: Path, root: Path = Path("/")) -> bool:
    """Whether a process holds the state directory's lock, by the kernel's list of locks.

    The lock itself is not tried: a daemon that starts at that moment would be refused.
    """
    try:
        inode = (folder / LOCK).stat().st_ino
    except OSError:
        return False
    # Only the inode is compared: on overlay and btrfs the listed device differs from stat's.
    for line in (text(root / "proc/locks") or "").splitlines():
        fields = line.split()
        if "FLOCK" in fields and any(field.endswith(f":{inode}") for field in fields):
            return True
    return False


def _looked_at(path: Path, look: Any) -> dict[str, Any] | None:
    """A database's schema, its integrity, and `look`'s findings; None if the file is absent."""
    if not path.is_file():
        return None
    # With mode=ro SQLite may still create -wal and -shm files, which would belong to root and lock
    # the daemon out. Without a -wal the file is complete, so immutable=1 avoids that.
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
        return f"altered: decision {found['broken_at']} does not follow from the one before"
    return ""


def _store_of(door: DoorUnderTest) -> Any:
    """A function that counts subjects in the store; their ids do not belong in a report."""
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
    """The first decision with a wrong hash; read without the journal's code, which would write."""
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
