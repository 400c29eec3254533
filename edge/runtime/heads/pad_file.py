"""`pad.json`: how the cues of presentation attack detection are scaled and weighed, and how well
that does."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from ostiary.edge.core.pad import motion
from ostiary.edge.core.pad.rules import CueRules, PadRules, Scale
from ostiary.edge.errors import BundleError
from ostiary.edge.files import to_json
from ostiary.edge.runtime.heads import stored

PAD_FILE = "pad.json"
SCHEMA = 1
AGAIN = "`ostiary pad fit` makes one"
PASSIVE_MODEL = "pad"
"""The name of the passive model that every bundle has."""
LEAST_ODDS = 1e-4
"""The least probability, and the least distance from certainty, that a limit stands for."""
STARTS_OVER = 0.2
"""A frame of a lower probability starts a face's evidence over; that cost no living person of
Replay-Attack a grant, while .5 cost .037 of them theirs."""
WIDE = 4.0
"""The log-odds that count as one standard deviation where nothing was measured."""
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]


class ScaleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cue's mean and standard deviation over living faces."""

    mean: float
    std: Positive


class CuesEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of cues: see `ostiary.edge.core.pad.rules.CueRules`."""

    scales: Annotated[dict[str, ScaleEntry], Meta(min_length=1)]
    live: float
    attack: float

    def rules(self) -> CueRules:
        scales = {name: Scale(one.mean, one.std) for name, one in self.scales.items()}
        return CueRules(scales, self.live, self.attack)


class MeasuredShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of presentations and its 95 % interval over people: the APCER of an attack type, or
    the BPCER in one light."""

    what: str
    share: Share
    low: Share
    high: Share
    presentations: Count


class MeasuredPad(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was measured on people that nothing was fitted on."""

    data_set: str
    people: Count
    apcer: list[MeasuredShare]
    bpcer: list[MeasuredShare]


class PadFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules of presentation attack detection: see `ostiary.edge.core.pad.rules.PadRules`.

    Scales and thresholds are means and quantiles over living faces of `people` people in
    `data_set`, for a BPCER of `asked_bpcer`; no attack was used. They belong to the `models` with
    these SHA-256, and with motion cues to the encoder. `measured` is empty if nothing was measured.
    """

    schema: int
    models: dict[str, str]
    passive: CuesEntry
    motion: CuesEntry | None
    frame: float
    restart: float
    frames: Count
    pairs: Count
    apart_s: Positive
    span_s: Annotated[float, Meta(ge=0)]
    patience_s: Positive
    asked_bpcer: Share
    data_set: str
    people: Count
    measured: list[MeasuredPad] = []

    def rules(self, with_motion: bool = True) -> PadRules:
        """The rules; without motion, passive cues alone decide. Call `check` first."""
        veto = self.motion.rules() if self.motion is not None and with_motion else None
        return PadRules(
            self.passive.rules(),
            veto,
            self.frame,
            self.restart,
            self.frames,
            self.pairs,
            self.apart_s,
            self.span_s,
            self.patience_s,
        )

    def check(self, models: dict[str, str]) -> None:
        """Raise BundleError if the file cannot be used with these passive models, by SHA-256."""
        if self.schema != SCHEMA:
            raise BundleError(f"{PAD_FILE} has schema {self.schema}, this version reads {SCHEMA}")
        for name in {*self.passive.scales, *self.models}:
            if models.get(name) != self.models.get(name, ""):
                raise BundleError(f"{PAD_FILE} was fitted with another model {name!r}", AGAIN)
        unknown = set(self.motion.scales if self.motion else ()) - set(motion.CUES)
        if unknown:
            raise BundleError(f"{PAD_FILE} names an unknown cue {min(unknown)!r}", AGAIN)
        kinds = [self.passive, *([self.motion] if self.motion else [])]
        limits = [self.frame, self.restart]
        limits += [limit for kind in kinds for limit in (kind.live, kind.attack)]
        if not all(math.isfinite(limit) for limit in limits):
            raise BundleError(f"{PAD_FILE} has a threshold that is not a number", AGAIN)


def parse(raw: bytes, where: str) -> PadFile:
    """A PadFile from its JSON. Raises BundleError, naming the file and the field at fault."""
    return stored.decoded(raw, PadFile, where, AGAIN)


def to_text(file: PadFile) -> bytes:
    """The file as JSON; equal files give equal bytes."""
    return to_json(file)


def unmeasured(min_live: float, frames: int) -> PadRules:
    """The rules for a bundle without `pad.json`: the mean log-odds of the passive model over some
    frames must reach those of `min_live`. Nothing says how often they err."""
    least = _log_odds(min(max(min_live, LEAST_ODDS), 1 - LEAST_ODDS))
    passive = CueRules({PASSIVE_MODEL: Scale(least, WIDE)}, 0.0, 0.0)
    restart = min(_log_odds(STARTS_OVER) - least, 0.0) / WIDE
    return PadRules(passive, frame=0.0, restart=restart, frames=frames, patience_s=math.inf)


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
