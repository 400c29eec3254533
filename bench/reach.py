"""Seconds from an operator's change until twenty doors follow it, with TLS and access lists."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.roster.device import RosterDoor
from bench.roster.operator import DIM, ENCODER, HERE, ROOT, name_of, probe, template
from bench.roster.table import Figure, shown
from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.syncer import Syncer
from ostiary.edge.roster.sealing import Opener
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import RosterTopics, Topics
from ostiary.fleet.publishing.publish import publish, publish_changes
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site import authority
from ostiary.fleet.site.fleet import CERTS, SETTINGS, Fleet
from ostiary.fleet.site.keys import OPERATOR_KEY, SITE_KEY, make_operator_key, make_site_key
from scripts import trial

SITE = "hq"
"""The site that the shipped access list names."""
ENROLLED_S, REVOKED_S = 2.0, 1.0
PATIENCE_S = 60.0


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.reach",
        description=__doc__,
        epilog="example: python -m bench.reach --rounds 50",
    )
    options.add_argument("--doors", type=int, default=20, help="number of doors")
    options.add_argument("--rounds", type=int, default=50, help="enrollments, each revoked again")
    options.add_argument(
        "--subjects", type=int, default=1000, help="subjects enrolled before the first round"
    )
    options.add_argument(
        "--turn-s", type=float, default=1 / 15, help="seconds between two turns of a door's loop"
    )
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; exit code 1 if one is worse than promised."""
    given = parser().parse_args(arguments)
    # paho logs its own disconnect as an error.
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        rows = _measure(given, Path(name))
    if given.json:
        sys.stdout.write(json.dumps([row.as_json() for row in rows]) + "\n")
    else:
        Console(width=None if sys.stdout.isatty() else 110).print(shown(rows))
    return 1 if any(row.verdict == "missed" for row in rows) else 0


class ConnectedDoor:
    """One door with its own certificate, connection, store and gallery."""

    def __init__(self, folder: Path, fleet: Fleet, name: str) -> None:
        folder.mkdir()
        cert, key = folder / "device.crt", folder / "device.key"
        authority.client(fleet.folder, name, cert, key)
        mqtt = fleet.mqtt()
        settings = MqttSection(host=mqtt.host, port=mqtt.port, ca=mqtt.ca, cert=cert, key=key)
        topics, roster = Topics(SITE, name), RosterTopics(SITE)
        mailbox = Mailbox(roster, Opener(fleet.site(), [fleet.sealer().public]))
        self.door, self.said = RosterDoor(DIM), list[tuple[str, ...]]()
        self.syncer = Syncer(
            roster,
            topics.roster,
            mailbox,
            RosterStore(folder / "roster.db"),
            Members(self.door, ENCODER, DIM),
            lambda *said: self.said.append(said),
            time.time,
        )
        self.link = Link(settings, name, topics.state, lambda _: b"{}", inbox=mailbox.put)
        self.link.start(1)

    def turn(self) -> None:
        self.syncer.turn(self.link, time.monotonic())


class Doors(threading.Thread):
    """Runs the loops of all doors in turn, and notes when each door first met a condition."""

    def __init__(self, folder: Path, fleet: Fleet, count: int, turn_s: float) -> None:
        super().__init__(daemon=True)
        self._folder, self._fleet, self._pause_s = folder, fleet, turn_s / count
        self._names = [f"door-{number}" for number in range(count)]
        self._met: Callable[[ConnectedDoor], bool] = lambda _: False
        self._when: dict[int, float] = {}
        self.stopping, self.said = False, list[tuple[str, ...]]()

    def run(self) -> None:
        doors = [ConnectedDoor(self._folder / name, self._fleet, name) for name in self._names]
        while not self.stopping:
            for number, at in enumerate(doors):
                at.turn()
                if number not in self._when and self._met(at):
                    self._when[number] = time.monotonic()
                time.sleep(self._pause_s)
        for at in doors:
            self.said += at.said
            at.link.stop(b"{}", 1.0)

    def until_all(
        self, met: Callable[[ConnectedDoor], bool], act: Callable[[], object]
    ) -> list[float]:
        """Act, and wait until every door meets the condition: the seconds that each door took."""
        self._met, self._when, began = met, {}, time.monotonic()
        act()
        while len(self._when) < len(self._names):
            if time.monotonic() - began > PATIENCE_S:
                raise SystemExit(f"only {len(self._when)} doors followed in {PATIENCE_S:.0f} s")
            time.sleep(0.001)
        return [when - began for when in self._when.values()]


def _measure(given: argparse.Namespace, folder: Path) -> list[Figure]:
    fleet = _found(folder / "fleet", trial.free_port())
    with _Secured(folder / "broker", fleet), fleet:
        registry = fleet.registry()
        people = [_person(number) for number in range(given.subjects)]
        registry.put_many(people, time.time())
        publish(fleet)
        doors = Doors(folder, fleet, given.doors, given.turn_s)
        doors.start()
        sequence = registry.roster.sequence
        doors.until_all(lambda at: _holds(at, sequence), lambda: None)
        enrolled: list[float] = []
        revoked: list[float] = []
        for number in range(given.subjects, given.subjects + given.rounds):
            _told(f"round {number - given.subjects + 1}")
            enrolled += doors.until_all(*_enrollment(fleet, number))
            revoked += doors.until_all(*_revocation(fleet, number))
        sequence = registry.roster.sequence
        doors.until_all(lambda at: _holds(at, sequence), lambda: None)
        doors.stopping = True
        doors.join()
    return _rows(given, enrolled, revoked, doors.said)


def _enrollment(
    fleet: Fleet, number: int
) -> tuple[Callable[[ConnectedDoor], bool], Callable[[], object]]:
    def act() -> None:
        fleet.registry().put(*_person(number), time.time())
        publish_changes(fleet)

    return lambda at: at.door.granted(probe(number)) == name_of(number), act


def _revocation(
    fleet: Fleet, number: int
) -> tuple[Callable[[ConnectedDoor], bool], Callable[[], object]]:
    def act() -> None:
        fleet.registry().revoke(name_of(number), time.time())
        publish_changes(fleet)

    return lambda at: at.door.granted(probe(number)) is None, act


def _person(number: int) -> tuple[Person, dict[str, Fused]]:
    return Person(subject=name_of(number)), {ENCODER: Fused(template(number))}


def _holds(at: ConnectedDoor, sequence: int) -> bool:
    head = at.syncer.state.head
    return at.syncer.complete and head is not None and head.sequence == sequence


def _rows(
    given: argparse.Namespace,
    enrolled: list[float],
    revoked: list[float],
    said: list[tuple[str, ...]],
) -> list[Figure]:
    part = f"{given.doors} doors, {given.rounds} rounds"
    rows = []
    for what, taken, most_s in (
        ("enrolled to granted", enrolled, ENROLLED_S),
        ("revoked to denied", revoked, REVOKED_S),
    ):
        rows += [
            Figure(part, f"{what}, p50", float(np.percentile(taken, 50)), "s"),
            Figure(part, f"{what}, p99", float(np.percentile(taken, 99)), "s", most_s),
            Figure(part, f"{what}, slowest", max(taken), "s"),
        ]
    return [*rows, Figure(part, "nothing was refused", float(not said), "", good=not said)]


def _found(folder: Path, port: int) -> Fleet:
    """A fleet's folder with keys and certificates."""
    folder.mkdir()
    certs = "".join(
        f'{name} = "{CERTS}/{file}"\n'
        for name, file in (("ca", "ca.crt"), ("cert", "operator.crt"), ("key", "operator.key"))
    )
    (folder / SETTINGS).write_text(
        f'site = "{SITE}"\nbundle = "bundle"\nhost = "{HERE}"\nport = {port}\n{certs}'
    )
    make_site_key(folder / SITE_KEY)
    make_operator_key(folder / OPERATOR_KEY)
    authority.create(folder)
    return Fleet.open(folder)


class _Secured(trial.Mosquitto):
    """A broker with the shipped settings and access list, and a fleet's certificates."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        shipped = ROOT / "firmware_configs" / "mosquitto"
        text = (shipped / "mosquitto.conf").read_text()
        text = re.sub(r"(?m)^(#.*|listener .*|user .*|log_dest .*)\n", "", text)
        text = text.replace("/etc/mosquitto/certs/", f"{fleet.folder / CERTS}/")
        text = text.replace("/etc/mosquitto/acl", str(shipped / "acl"))
        text = text.replace("/var/lib/mosquitto/", f"{folder}/")
        super().__init__(folder, text, lasting=False)
        self.port = fleet.settings.port


def _told(text: str) -> None:
    sys.stderr.write(f"{text} ...\n")


if __name__ == "__main__":
    sys.exit(main())
