"""Makes templates for a new encoder from kept photos, and removes those of an old encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.errors import EnrollmentRefused, PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import Done, each_photo
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.errors import ChangedMeanwhile, FleetError
from ostiary.fleet.registry.person import Blob, Fused
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.terminal import plain

CHUNK = 500
"""People whose templates are written and published together: as many as a device takes at once."""
MOST_TRIES = 3
SHOWN = 5
CHANGED = "changed while the photos were read; run reembed again"

Clock = Callable[[], float]
Publish = Callable[[], object]


@dataclass(frozen=True, slots=True)
class ReembedReport:
    """The result for everybody not revoked; `covered` counts those with a template of `encoder`."""

    encoder: str
    people: int
    covered: int
    added: int
    without_photos: tuple[str, ...]
    refused: dict[str, str]

    @property
    def complete(self) -> bool:
        return self.covered == self.people


@dataclass(frozen=True, slots=True)
class _Made:
    """One person's template, or why there is none; both are None if no photos are kept."""

    subject: str
    template: Fused | None = None
    problem: str = ""


class Reembedding:
    """One run. It handles only people without a template, so an interrupted run can continue."""

    def __init__(
        self, registry: Registry, album: Album, bundle: Bundle, wall: Clock, publish: Publish
    ) -> None:
        """`publish` sends the registry's changes to the broker; it is called after each chunk."""
        self._registry, self._album, self._bundle = registry, album, bundle
        self._wall, self._publish = wall, publish
        self._added = 0
        self._refused: dict[str, str] = {}
        self._without: list[str] = []

    def run(self, done: Done, backend: str = "auto") -> ReembedReport:
        """Make the missing templates. `done(n, total)` is called as people are finished."""
        encoder = self._bundle.encoder_id
        lacking = self._registry.people.lacking(encoder)
        for start in range(0, len(lacking), CHUNK):
            chunk = lacking[start : start + CHUNK]
            self._do(chunk, backend, _after(done, start, len(lacking)))
        # Publish also what an earlier run wrote but could not publish.
        if self._registry.roster.published < self._registry.roster.sequence:
            self._publish()
        people = sum(1 for person in self._registry.people.all() if not person.gone)
        covered = people - len(self._registry.people.lacking(encoder))
        return ReembedReport(
            encoder, people, covered, self._added, tuple(self._without), dict(self._refused)
        )

    def _do(self, chunk: Sequence[str], backend: str, done: Done) -> None:
        seen = self._registry.roster.sequence
        made = each_photo(self._bundle.in_float(), chunk, self._make, backend, done)
        self._without += [m.subject for m in made if m.template is None and not m.problem]
        self._refused.update((m.subject, m.problem) for m in made if m.problem)
        ready = {m.subject: m.template for m in made if m.template is not None}
        if ready:
            self._write(ready, seen)
            self._publish()

    def _make(self, pipeline: Pipeline, subject: str) -> _Made:
        """One person's template. Runs in a worker thread, so it must not use the registry."""
        try:
            photos = self._album.open(subject)
            if not photos:
                return _Made(subject)
            template = enroll(pipeline, subject, photos, Limits())
            return _Made(subject, Fused(template.embedding, template.photos))
        except (EnrollmentRefused, PhotoError, FleetError) as error:
            return _Made(subject, problem=error.message)

    def _write(self, ready: Mapping[str, Fused], seen: int) -> None:
        """Add templates, except for people whom somebody changed since the photos were read.

        A person may have been re-enrolled because the old photos showed somebody else; a template
        from the old photos would then let in the wrong person.
        """
        registry, encoder = self._registry, self._bundle.encoder_id
        for tries in range(1, MOST_TRIES + 1):
            with registry.snapshot():
                now = registry.roster.sequence
                changed = set(registry.roster.changed_since(seen))
                lacking = set(registry.people.lacking(encoder))
            chosen = [s for s in ready if s in lacking and s not in changed]
            items = [(subject, {encoder: ready[subject]}) for subject in chosen]
            try:
                registry.add_many(items, self._wall(), now)
            except ChangedMeanwhile:
                # Somebody else wrote first; the next round sees whom they changed.
                if tries == MOST_TRIES:
                    raise
                continue
            self._added += len(items)
            self._refused.update((s, CHANGED) for s in ready if s in lacking and s in changed)
            return


def _after(done: Done, before: int, total: int) -> Done:
    """Turn a chunk's progress into progress of the whole run."""
    return lambda number, _: done(before + number, total)


def retire(
    registry: Registry,
    old: str,
    new: str,
    devices: Mapping[str, str | None],
    wall: Clock,
    publish: Publish,
    done: Done,
) -> int:
    """Remove the templates of an encoder that no device uses any more; returns how many.

    `devices` holds each device's encoder, None if the device never reported one. Raises FleetError,
    and changes nothing, if a device still needs the old templates or a person has no new one.
    """
    _check_nobody_loses(registry, old, new, devices)
    having = [person for person in registry.people.all() if old in person.encoders]
    for start in range(0, len(having), CHUNK):
        chunk = having[start : start + CHUNK]
        with registry.snapshot():
            now = registry.roster.sequence
            subjects = [person.subject for person in chunk]
            blobs, people = registry.people.blobs_among(subjects), registry.people.among(subjects)
        items = [
            (people[s], {e: _fused(blob) for e, blob in blobs[s].items() if e != old})
            for s in subjects
            if {old, new} <= blobs.get(s, {}).keys()
        ]
        registry.put_many(items, wall(), now)
        publish()
        done(start + len(chunk), len(having))
    return len(having)


def _check_nobody_loses(
    registry: Registry, old: str, new: str, devices: Mapping[str, str | None]
) -> None:
    if old == new:
        raise FleetError(
            "the encoder to retire is the encoder of the bundle given",
            "name the encoder that the bundle replaces",
            option="retire_old",
        )
    behind = {d: e for d, e in devices.items() if e != new}
    if behind:
        said = [
            f"{d} uses {plain(e[:12])}" if e else f"{d} has reported none"
            for d, e in behind.items()
        ]
        raise FleetError(
            f"{len(behind)} devices have not changed over to the new encoder: {_some(said)}",
            "`ostiary-fleet status` shows them",
        )
    lacking = set(registry.people.lacking(new))
    losing = [
        p.subject for p in registry.people.all() if old in p.encoders and p.subject in lacking
    ]
    if losing:
        raise FleetError(
            f"{len(losing)} people have no template of the new encoder: {_some(losing)}",
            "enroll these people again, or revoke them",
        )


def chosen_encoder(registry: Registry, given: str) -> str:
    """The only encoder with templates whose id begins as given. Raises FleetError."""
    found = [
        encoder for encoder in registry.people.coverage() if given and encoder.startswith(given)
    ]
    if len(found) != 1:
        known = ", ".join(encoder[:12] for encoder in sorted(registry.people.coverage())) or "none"
        raise FleetError(
            f"{given!r} names {len(found) or 'no'} encoders", f"known encoders: {known}"
        )
    return found[0]


def _fused(blob: Blob) -> Fused:
    return Fused(np.frombuffer(blob.raw, "<f4").astype(np.float32), blob.photos)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
