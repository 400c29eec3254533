"""The people enrolled at this door: their templates, their rights, and the threshold tau."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.core.rules import access
from ostiary.edge.core.rules.access import Moment, Rights, SharedRights
from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.scores.calibration import DetCurve, Threshold, threshold
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.scores.verifier import Verifier, probability
from ostiary.edge.core.types import Candidate, Floats, Reason


class Enrolled:
    """Compares a probe with the enrolled people, and says if the best candidate may pass now.

    `rights` maps each subject to its rights in the roster; a door without a roster has none and
    bars nobody. While `stale` is set everybody is barred: the roster is too old.
    """

    def __init__(
        self,
        dim: int,
        curve: DetCurve,
        config: Config,
        moment: Callable[[], Moment] | None = None,
        head: tuple[Verifier, DetCurve] | None = None,
    ) -> None:
        """`dim` is the length of an embedding; tau comes from `curve`. `head` is the logistic head
        that must accept a claim too, with its own curve. `moment` gives the time at the door; the
        default is the system's clock in the profile's timezone."""
        self._config, self._curve, self._dim = config, curve, dim
        self._moment = moment or WallClock(config.access.timezone)
        self._kinds = SharedRights()
        self.rights: dict[str, Rights] = {}
        self.stale = False
        self.gallery = Gallery(dim)
        self.tau = self._tau()
        self._verifier: Verifier | None = None
        self.least_logit: Threshold | None = None
        if head is not None:
            self._verifier, judged = head
            self.least_logit = threshold(judged, config.recognition.fmr, 1)

    @property
    def least_probability(self) -> float | None:
        """The least probability that the logistic head must give a claim; None without a head."""
        return None if self.least_logit is None else probability(self.least_logit.tau)

    def load(self, templates: list[tuple[str, Floats]]) -> None:
        """Replace the whole gallery by these templates, without rights, and derive tau anew."""
        gallery = Gallery(self._dim)
        gallery.put_many(templates)
        self.gallery, self.rights, self._kinds = gallery, {}, SharedRights()
        self.tau = self._tau()

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights]], removed: Sequence[str]
    ) -> None:
        """Apply changes of the roster.

        `put` replaces a subject's (n, dim) templates and rights; a subject whose templates are None
        is no longer searched. A subject in both `put` and `removed` is removed.
        """
        given = {subject: (templates, rights) for subject, templates, rights in put}
        without = [subject for subject, (templates, _) in given.items() if templates is None]
        # Removals come first: if a step below fails, a revoked subject must be gone already.
        for subject in (*removed, *without):
            given.pop(subject, None)
            self.rights.pop(subject, None)
            self.gallery.remove(subject)
        self.rights.update({s: self._kinds.one(rights) for s, (_, rights) in given.items()})
        self._kinds.tidy(self.rights.values())
        self.gallery.put_many((s, t) for s, (t, _) in given.items() if t is not None)
        self.tau = self._tau()

    def candidates(self, probe: Floats, claim: str | None) -> tuple[Candidate, ...]:
        """The subjects closest to a probe (dim,), best first; in verify mode the claimed one only.

        Empty if nobody is enrolled, or if verify mode has no claim or does not know its subject.
        """
        if self._config.recognition.mode is Mode.IDENTIFY:
            return self.gallery.identify(probe)
        if claim is None:
            return ()
        candidate = self.gallery.verify(probe, claim, self._verifier)
        return () if candidate is None else (candidate,)

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

    def _tau(self) -> Threshold:
        """The threshold of the mode: 1:1 for a claim, 1:K for K searched templates."""
        wanted = self._config.recognition
        if wanted.mode is Mode.VERIFY:
            return threshold(self._curve, wanted.fmr, 1)
        return threshold(self._curve, wanted.fpir, len(self.gallery))
