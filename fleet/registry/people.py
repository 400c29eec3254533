"""Reads the people in the registry, and their templates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostiary.edge.core.types import Floats
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.database import AMONG, RegistryDatabase, Row, as_list
from ostiary.fleet.registry.person import PEOPLE, Blob, Person, person_from

TEMPLATES = "SELECT subject, encoder, embedding, photos FROM template"
PHOTOS = "SELECT subject, encoder, photos FROM template"
ORDERED = " ORDER BY subject, encoder"


class PeopleReader:
    """Finds people. Revoked people are found as well (`gone`); erased people are not."""

    def __init__(self, database: RegistryDatabase) -> None:
        self._database = database

    def get(self, subject: str) -> Person | None:
        """A person; None if the id was never enrolled, or was erased."""
        return self.among([subject]).get(subject)

    def known(self, subject: str) -> Person:
        """A person, revoked or not. Raises FleetError for an unknown subject."""
        person = self.get(subject)
        if person is None:
            raise unknown(subject)
        return person

    def present(self, subject: str) -> Person:
        """A person who is not revoked. Raises FleetError for an unknown or revoked subject."""
        person = self.known(subject)
        if person.gone:
            raise FleetError(f"{subject!r} is revoked", "enroll them again", option="again")
        return person

    def among(self, subjects: Sequence[str]) -> dict[str, Person]:
        """Those of these subjects whom the registry knows, by subject."""
        with self._database.snapshot():
            query = PHOTOS + AMONG + ORDERED
            photos = _by_subject(self._database.query(query, as_list(subjects)))
            rows = self._database.query(PEOPLE + AMONG, as_list(subjects))
        return {row[0]: person_from(row, photos.get(row[0], {})) for row in rows}

    def all(self) -> list[Person]:
        """Everybody, sorted by subject."""
        with self._database.snapshot():
            photos = _by_subject(self._database.query(PHOTOS + ORDERED))
            rows = self._database.query(PEOPLE + " ORDER BY subject")
        return [person_from(row, photos.get(row[0], {})) for row in rows]

    def templates(self, encoder: str) -> list[tuple[str, Floats]]:
        """(subject, (1, dim) float32) of everybody with a template of an encoder, by subject."""
        rows = self._database.query(
            "SELECT subject, embedding FROM template WHERE encoder = ? ORDER BY subject", encoder
        )
        return [(s, np.frombuffer(blob, "<f4").astype(np.float32)[None]) for s, blob in rows]

    def blobs_among(self, subjects: Sequence[str]) -> dict[str, dict[str, Blob]]:
        """The stored templates of some subjects by encoder id, by subject.

        A subject without a template is left out.
        """
        found: dict[str, dict[str, Blob]] = {}
        for subject, encoder, *stored in self._database.query(TEMPLATES + AMONG, as_list(subjects)):
            found.setdefault(subject, {})[encoder] = Blob(*stored)
        return found

    def coverage(self) -> dict[str, int]:
        """The number of people with a template, by encoder id."""
        query = "SELECT encoder, count(*) FROM template GROUP BY encoder"
        return dict(self._database.query(query))

    def by_photos(self, encoder: str) -> dict[int, int]:
        """The number of templates of an encoder by photos per template, 0 for an unknown number."""
        query = "SELECT photos, count(*) FROM template WHERE encoder = ? GROUP BY photos"
        return dict(self._database.query(query, encoder))

    def lacking(self, encoder: str) -> list[str]:
        """The subjects, sorted, who are not revoked and have no template of an encoder."""
        rows = self._database.query(
            "SELECT subject FROM person WHERE gone = 0 AND subject NOT IN"
            " (SELECT subject FROM template WHERE encoder = ?) ORDER BY subject",
            encoder,
        )
        return [row[0] for row in rows]


def unknown(subject: str) -> FleetError:
    """The error for a subject that the registry does not have."""
    return FleetError(f"{subject!r} is not enrolled", "`ostiary-fleet list` shows who is")


def _by_subject(rows: list[Row]) -> dict[str, dict[str, int]]:
    """The rows of `PHOTOS`: photos by encoder, by subject."""
    found: dict[str, dict[str, int]] = {}
    for subject, encoder, photos in rows:
        found.setdefault(subject, {})[encoder] = photos
    return found
