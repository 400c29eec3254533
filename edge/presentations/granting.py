"""Presentations before a whole door: its observer and policy, with the people shown enrolled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.photos import is_photo
from ostiary.edge.config import Config
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.evidence import Event, Tick
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import EnrollmentRefused, RecordingError
from ostiary.edge.presentations import rates
from ostiary.edge.presentations.frames import frames
from ostiary.edge.presentations.rates import ALL, WORST, PadRate, counted
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.replay import JITTER_S
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.sections import (
    BundleSection,
    CameraSection,
    DeviceSection,
    PadSection,
    StateSection,
)
from ostiary.edge.vision.batch import Done, each_photo, embed_photos
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.observer import FORGET_S, Observer, open_enrolled
from ostiary.edge.vision.pipeline import Pipeline

FORGET = 1.5
"""A face may be out of view for so many frames of a recording, if that is longer than at a door:
otherwise a recording of one frame a second would show another face in each."""
WITH, WITHOUT = "with PAD", "without PAD"
IAPAR, GRANTED = "IAPAR", "living granted within 3 s"
Templates = dict[str, Floats]
"""The template (1, dim) of each subject."""


@dataclass(frozen=True, slots=True)
class Grant:
    """When a door opened during a presentation, in seconds since the first face; None if it did
    not. `subject` is whom it opened for."""

    at_s: float | None = None
    subject: str | None = None


def door_config(pad: Path | None, required: bool) -> Config:
    """The profile of a door as Ostiary ships it, with PAD by a file or by the bundle's rules."""
    nowhere = Path()
    return Config(
        device=DeviceSection(site="recordings", id="door"),
        bundle=BundleSection(path=nowhere),
        camera=CameraSection(url="folder:."),
        state=StateSection(path=nowhere),
        pad=PadSection(required=required, file=pad),
    )


def shown_people(bundle: Bundle, recordings: Sequence[Recording], backend: str) -> Templates:
    """A template of each person, from the first frame of their first bona fide presentation that
    they can be enrolled by. Raises RecordingError if nobody can."""
    people = _first_of_each(recordings)
    made = each_photo(bundle, people, _template, backend)
    pairs = zip(people, made, strict=True)
    found = {one.person: template for one, template in pairs if template is not None}
    if not found:
        raise RecordingError("nobody can be enrolled: no bona fide presentation shows a good face")
    return found


def enrolling(recordings: Sequence[Recording]) -> set[str]:
    """The names of the presentations that people are enrolled from."""
    return {one.name for one in _first_of_each(recordings)}


def _first_of_each(recordings: Sequence[Recording]) -> list[Recording]:
    """The first bona fide presentation of each person."""
    first: dict[str, Recording] = {}
    for one in recordings:
        if not one.is_attack:
            first.setdefault(one.person, one)
    return list(first.values())


def _template(pipeline: Pipeline, recording: Recording) -> Floats | None:
    limits = door_config(None, required=False).limits()
    for frame in frames(recording):
        try:
            made = enroll(pipeline, "somebody", [(recording.name, frame.image)], limits)
        except EnrollmentRefused:
            continue
        return made.embedding[None]
    return None


def filled(templates: Templates, bundle: Bundle, folder: Path, k: int, backend: str) -> Templates:
    """The templates and as many of other people as make up `k`, each from the first photo in a
    subfolder of `folder` that shows a face. Raises RecordingError without a subfolder."""
    others = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not others:
        raise RecordingError(f"{folder} has no subfolders", "give one subfolder per person")
    made = dict(templates)
    while others and len(made) < k:
        tried, others = others[: k - len(made)], others[k - len(made) :]
        photos = [min(filter(is_photo, path.iterdir()), default=None) for path in tried]
        known = [photo for photo in photos if photo is not None]
        results = embed_photos(bundle, known, backend)
        for photo, result in zip(known, results, strict=True):
            if result.embedding is not None:
                made[f"other-{photo.parent.name}"] = result.embedding[None]
    return made


def grants(
    bundle: Bundle,
    recordings: Sequence[Recording],
    templates: Templates,
    config: Config,
    backend: str = "auto",
    done: Done = lambda done, total: None,
) -> list[Grant]:
    """The grant of each presentation, in order. Raises RecordingError and BundleError."""

    def work(pipeline: Pipeline, one: Recording) -> Grant:
        enrolled = open_enrolled(pipeline, config)
        enrolled.load([(subject, template, 1) for subject, template in templates.items()])
        return granted(pipeline, enrolled, config, one)

    return each_photo(bundle, recordings, work, backend, done)


def granted(pipeline: Pipeline, enrolled: Enrolled, config: Config, recording: Recording) -> Grant:
    """The first grant of a door that has seen nobody before this presentation."""
    shown = list(frames(recording))
    gap_s = shown[-1].at_s / (len(shown) - 1)
    forget_s = max(FORGET_S, FORGET * gap_s)
    observer = Observer(pipeline, config, enrolled, forget_s=forget_s)
    rules, state = config.rules(), policy.State()
    began_s: float | None = None
    for frame in shown:
        sightings = observer.observe(frame, None)
        if sightings and began_s is None:
            began_s = frame.at_s
        events: list[Event] = [sighting.evidence for sighting in sightings] or [Tick()]
        for event in events:
            state, decision = policy.step(rules, state, event, frame.at_s)
            if decision is not None and decision.granted and began_s is not None:
                return Grant(frame.at_s - began_s, decision.subject)
    return Grant()


def rated(
    recordings: Sequence[Recording], found: Mapping[str, Sequence[Grant]], templates: Templates
) -> list[PadRate]:
    """The rates of doors by name: IAPAR, the share of attack presentations of enrolled people in
    which the door opens for anybody, all, by type and of the worst type; and the share of living
    people for whom it opens in time. Nobody is judged by the presentation that enrolled them."""
    enrolled_by = enrolling(recordings)
    rows: list[PadRate] = []
    for door, some in found.items():
        pairs = [
            (one, grant)
            for one, grant in zip(recordings, some, strict=True)
            if one.person in templates and one.name not in enrolled_by
        ]
        attacks = [(one, grant.at_s is not None) for one, grant in pairs if one.is_attack]
        living = [(one, _in_time(one, grant)) for one, grant in pairs if not one.is_attack]
        types = [
            _row(f"{IAPAR}, {door}", name, [pair for pair in attacks if pair[0].type == name])
            for name in sorted({one.type for one, _ in attacks})
        ]
        if types:
            worst = max(types, key=lambda row: row.rate.value)
            rows += [_row(f"{IAPAR}, {door}", ALL, attacks)]
            rows += [msgspec.structs.replace(worst, of=f"{WORST}: {worst.of}"), *types]
        rows += [_row(f"{GRANTED}, {door}", ALL, living)] if living else []
    return rows


def _in_time(one: Recording, grant: Grant) -> bool:
    at_s = np.inf if grant.at_s is None else grant.at_s
    return grant.subject == one.person and at_s <= rates.GRANT_S + JITTER_S


def _row(measure: str, of: str, pairs: Sequence[tuple[Recording, bool]]) -> PadRate:
    return counted(measure, of, [one for one, _ in pairs], [[hit] for _, hit in pairs], None)
