"""The people enrolled at this door: their templates, their rights, and the threshold tau."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ostiary.edge.access.photo_counts import PhotoCounts
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.core.rules import access
from ostiary.edge.core.rules.access import Moment, Rights, SharedRights
from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.scores.calibration import DetCurve, Threshold, threshold
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.scores.verifier import Verifier, probability
from ostiary.edge.core.types import Candidate, Floats, Probe, Reason


class Enrolled:
    """Compares a probe with the enrolled people, and says if the best candidate may pass now.

    `rights` maps each subject to its rights, by the roster or by the door's own store; a subject
    without rights is not barred. While `stale` is set everybody is barred: the roster is too old.
    """

    def __init__(
        self,
        dim: int,
        curves: Curves,
        config: Config,
        moment: Callable[[], Moment] | None = None,
        head: tuple[Verifier, DetCurve] | None = None,
    ) -> None:
        """`dim` is the length of an embedding; tau comes from `curves`. `head` is the logistic head
        that must accept a claim too, with its own curve. `moment` gives the time at the door; the
        default is the system's clock in the profile's timezone."""
        self._config, self._dim = config, dim
        self.curves = curves
        self._moment = moment or WallClock(config.access.timezone)
        self._kinds = SharedRights()
        self.rights: dict[str, Rights] = {}
        self.stale = False
        self.gallery = Gallery(dim)
        self._photos = PhotoCounts()
        self._derive()
        self._verifier: Verifier | None = None
        self.least_logit: Threshold | None = None
        if head is not None:
            self._verifier, judged = head
            self.least_logit = threshold(judged, config.recognition.fmr, 1)

    @property
    def least_probability(self) -> float | None:
        """The least probability that the logistic head must give a claim; None without a head."""
        return None if self.least_logit is None else probability(self.least_logit.tau)

    @property
    def by_photos(self) -> Mapping[int, int]:
        """The number of searched templates by photos per template: 0 (unknown), 1, 2, and 3 (three
        or more). They sum up to `len(gallery)`."""
        return self._photos.by_photos

    def load(self, templates: list[tuple[str, Floats, int]]) -> None:
        """Replace the whole gallery by these subjects' (n, dim) templates, each template made from
        so many photos (0 if unknown), without rights, and derive tau anew."""
        gallery, photos = Gallery(self._dim), PhotoCounts()
        gallery.put_many((subject, embeddings) for subject, embeddings, _ in templates)
        for subject, embeddings, count in templates:
            photos.put(subject, len(embeddings), count)
        self.gallery, self._photos = gallery, photos
        self.rights, self._kinds = {}, SharedRights()
        self._derive()

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights, int]], removed: Sequence[str]
    ) -> None:
        """Apply changes of the roster.

        `put` replaces a subject's (n, dim) templates, rights, and photos per template (0 if
        unknown); a subject whose templates are None is no longer searched. A subject in both `put`
        and `removed` is removed.
        """
        given = {s: (templates, rights, photos) for s, templates, rights, photos in put}
        without = [subject for subject, (templates, *_) in given.items() if templates is None]
        # Removals come first: if a step below fails, a revoked subject must be gone already.
        for subject in (*removed, *without):
            given.pop(subject, None)
            self.rights.pop(subject, None)
            self.gallery.remove(subject)
            self._photos.remove(subject)
        self.rights.update({s: self._kinds.one(rights) for s, (_, rights, _) in given.items()})
        self._kinds.tidy(self.rights.values())
        self.gallery.put_many((s, t) for s, (t, *_) in given.items() if t is not None)
        # The photos come last: templates that the gallery refuses are not counted either.
        for subject, (templates, _, photos) in given.items():
            if templates is not None:
                self._photos.put(subject, len(templates), photos)
        self._derive()

    def candidates(
        self, probe: Probe, claim: str | None, newest: Floats | None = None
    ) -> tuple[Candidate, ...]:
        """The subjects closest to a probe, best first; in verify mode the claimed one only.

        A score is the mean over the probe's frames. The best subject's is at most that of `newest`,
        an embedding (dim,) of the newest frames: what a visit showed before may hold a face back,
        and is never lent to it. Empty if nobody is enrolled, or if verify mode has no claim or does
        not know its subject.
        """
        nearest = self._nearest(probe.embedding, claim)
        found = [replace(c, score=c.score * probe.agreement) for c in nearest]
        if found and newest is not None:
            own = self.gallery.verify(newest, found[0].subject, self._verifier)
            found[0] = found[0] if own is None else _lower(found[0], own)
        return tuple(found)

    def _nearest(self, embedding: Floats, claim: str | None) -> tuple[Candidate, ...]:
        if self._config.recognition.mode is Mode.IDENTIFY:
            return self.gallery.identify(embedding)
        found = None if claim is None else self.gallery.verify(embedding, claim, self._verifier)
        return () if found is None else (found,)

    def barred(self, candidates: tuple[Candidate, ...]) -> Reason | None:
        """Why the best candidate may not pass here and now; None if nothing bars them."""
        if not candidates:
            return None
        if self.stale:
            return Reason.ROSTER_STALE
        rights = self.rights.get(candidates[0].subject)
        if rights is None:
            return None
        return access.barred(rights, self._config.access.groups, self._moment())

    def tau_among(self, faces: int) -> float:
        """tau for one of several faces in view.

        Each face beside a claim's own is one more chance of a false match, as each template is in a
        search; so for n faces each has an n-th of the wanted rate (Bonferroni). A search has one
        tau: its rate holds for each face.
        """
        if self._config.recognition.mode is not Mode.VERIFY or faces < 2:
            return self.tau.tau
        if faces not in self._among:
            self._among[faces] = self.stricter_tau(1 / faces)
        return self._among[faces]

    def stricter_tau(self, share: float) -> float:
        """tau for a visit, at a share (0 to 1) of the wanted rate."""
        return self._tau(visit=True, share=share).tau

    def _derive(self) -> None:
        """Derive the thresholds anew: `tau` for visits, `photo_tau` for a photo at a desk."""
        self.photo_tau, self.tau = self._tau(visit=False), self._tau(visit=True)
        self._among = dict[int, float]()

    def _tau(self, visit: bool, share: float = 1.0) -> Threshold:
        """The threshold of the mode: 1:1 for a claim, 1:K for K searched templates; for a share of
        the wanted rate."""
        wanted = self._config.recognition
        if wanted.mode is Mode.VERIFY:
            return self.curves.claim(wanted.fmr * share, self.by_photos, visit)
        return self.curves.identify(wanted.fpir * share, self.by_photos, visit)


def _lower(one: Candidate, other: Candidate) -> Candidate:
    """A subject with the lower score and probability of two comparisons."""
    said = [c.probability for c in (one, other) if c.probability is not None]
    return Candidate(one.subject, min(one.score, other.score), min(said, default=None))
