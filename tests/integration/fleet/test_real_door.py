"""A fleet and a door: the real daemon with real models lets in whom the operator enrolls."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ostiary.edge import wire
from ostiary.edge.core.types import Template
from ostiary.edge.wire import DecisionMessage
from ostiary.fleet.doors.command import capture, open_door
from ostiary.fleet.publishing.publish import publish_changes
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site.create import found
from ostiary.fleet.site.fleet import Fleet, SiteSettings
from scripts import trial
from tests.support.doors.real_daemon import TOPICS, Door, Listener, eventually


class Site:
    """An operator with one door, that sees one person for ever."""

    def __init__(self, fleet: Fleet, door: Door, listener: Listener) -> None:
        self.fleet, self.door, self.listener = fleet, door, listener
        self.registry = fleet.registry()

    def enroll(self, template: Template, **rights: object) -> None:
        person = Person(subject=template.subject, **rights)  # type: ignore[arg-type]
        self.registry.put(
            person, {template.encoder: Fused(template.embedding, template.photos)}, time.time()
        )
        publish_changes(self.fleet)

    def decides(self, reason: str, subject: str | None, seen: int | None = None) -> DecisionMessage:
        """The first decision with this reason and subject from now on, or behind `seen` of them."""
        seen = len(self.listener.decisions) if seen is None else seen

        def wanted(listener: Listener) -> bool:
            return any(map(fits, listener.decisions[seen:]))

        def fits(decision: DecisionMessage) -> bool:
            return (decision.reason.value, decision.subject) == (reason, subject)

        assert self.listener.until(wanted), (self.listener.decisions[-1:], self.door.log())
        return next(filter(fits, self.listener.decisions[seen:]))


def profile(fleet: Fleet, more: str = "") -> str:
    return f'[roster]\noperators = "{fleet.folder}"\nsite_key = "{fleet.folder}/site.key"\n{more}'


@pytest.fixture
def site(
    tmp_path: Path,
    bundle_dir: Path,
    camera: str,
    broker: trial.Mosquitto,
    request: pytest.FixtureRequest,
) -> Iterator[Site]:
    """A site; its parameter is added to the door's profile."""
    folder = tmp_path / "fleet"
    found(
        folder,
        SiteSettings(
            site="test",
            bundle=bundle_dir,
            host="127.0.0.1",
            port=broker.port,
            groups=("staff", "cleaners"),
        ),
    )
    added = getattr(request, "param", "")
    more = profile(Fleet.open(folder), f'[access]\ngroups = ["staff"]\n{added}')
    listener = Listener(broker.port)
    with (
        Fleet.open(folder) as fleet,
        Door(tmp_path / "door", bundle_dir, camera, broker.port, more=more) as door,
    ):
        yield Site(fleet, door, listener)
    listener.close()


def test_enroll_suspend_resume_revoke_with_real_faces(
    site: Site, eileen: Template, broker: trial.Mosquitto
) -> None:
    site.decides("unknown", None)
    site.enroll(eileen, groups=("staff",))
    granted = site.decides("matched", "eileen")
    assert granted.outcome.value == "granted"
    assert granted.k == 1

    site.registry.suspend("eileen", time.time())
    publish_changes(site.fleet)
    assert site.decides("suspended", "eileen").outcome.value == "denied"

    site.registry.resume("eileen", time.time())
    publish_changes(site.fleet)
    site.decides("matched", "eileen")

    site.enroll(eileen, groups=("cleaners",))
    site.decides("not-here", "eileen")

    site.enroll(eileen, groups=("staff",), valid_until_s=time.time() - 1)
    site.decides("expired", "eileen")

    site.registry.revoke("eileen", time.time())
    publish_changes(site.fleet)
    assert site.decides("unknown", None).k == 0


def test_without_a_broker_the_door_goes_on_with_what_it_stored(
    site: Site, eileen: Template, broker: trial.Mosquitto
) -> None:
    site.enroll(eileen, groups=("staff",))
    site.decides("matched", "eileen")
    broker.kill()
    site.door.end(signal.SIGKILL)
    before = len(site.door.journal().entries())
    site.door.start()
    assert eventually(lambda: len(site.door.journal().entries()) > before)
    last = wire.decode(site.door.journal().entries()[-1].payload, DecisionMessage)
    assert (last.reason.value, last.subject) == ("matched", "eileen")
    # And a revocation that it missed is the first thing that it learns.
    broker.start()
    site.registry.revoke("eileen", time.time())
    publish_changes(site.fleet)
    site.decides("unknown", None)


def test_a_door_says_what_it_holds(site: Site, eileen: Template, broker: trial.Mosquitto) -> None:
    held: list[wire.RosterMessage] = []
    client = trial.subscribe(broker.port, TOPICS.roster, "acknowledgements")
    client.on_message = lambda _c, _d, m: held.append(
        wire.decode(bytes(m.payload), wire.RosterMessage)
    )
    client.loop_start()
    site.enroll(eileen, groups=("staff",))
    assert eventually(lambda: bool(held) and held[-1].complete and held[-1].sequence == 1)
    trial.leave(client)
    ours = msgspec.structs.replace(held[-1], at="", issued_at=None)
    assert (ours.subjects, ours.usable, ours.coverage) == (1, 1, {eileen.encoder: 1})
    assert ours.encoder == eileen.encoder


def test_the_operator_opens_the_door_and_enrolls_who_stands_there(
    site: Site, eileen: Template, broker: trial.Mosquitto
) -> None:
    site.decides("unknown", None)
    seen = len(site.listener.decisions)
    open_door(site.fleet, "door")
    opened = site.decides("commanded", None, seen)
    assert (opened.outcome.value, opened.mode) == ("granted", "command")
    template = capture(site.fleet, "door", "eileen", eileen.encoder, len(eileen.embedding))
    # Frames of one picture: what the door made of them is what a photo gives.
    assert float(template.embedding @ eileen.embedding) > 0.99
    assert template.photos >= 3
    both = {"capture-started", "capture-ended"}
    assert site.listener.until(lambda listener: both <= set(listener.event_names()))
    site.enroll(template, groups=("staff",))
    site.decides("matched", "eileen")


@pytest.mark.parametrize(
    "site",
    # The clip shows one portrait for ever, which need not look live.
    ["[pad]\nrequired = true\nmin_live = 0.0\n[learning]\nenabled = true\n"],
    indirect=True,
)
def test_a_template_learns_at_a_real_door_until_the_consent_is_withdrawn(
    site: Site, eileen: Template, broker: trial.Mosquitto
) -> None:
    site.enroll(eileen, groups=("staff",))
    site.decides("matched", "eileen")
    assert "template-learned" not in site.door.log(), "without consent"
    site.enroll(eileen, groups=("staff",), learns=True)
    listener = site.listener
    assert listener.until(lambda heard: any(e.event == "template-learned" for e in heard.events))
    assert listener.until(lambda heard: heard.states[-1].learned == 1), site.door.log()
    (event,) = (e for e in listener.events if e.event == "template-learned")
    assert event.detail.startswith("eileen: 1 sample, "), event.detail
    site.enroll(eileen, groups=("staff",), learns=False)
    assert listener.until(lambda heard: heard.states[-1].learned == 0), site.door.log()
    site.decides("matched", "eileen")
