"""Traces that nobody recorded: cues as a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ostiary.edge.core.pad.motion import CUES
from ostiary.edge.core.pad.rules import CueRules, PadRules, Presentation, Scale
from ostiary.edge.presentations.fitting import fit
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.tracing import Trace, TracedLook
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.heads import pad_file

LIVE, WEAK, DEAD = 4.0, -0.5, -9.0
MOVES, STIFF = 0.5, -3.0
RULES = PadRules(
    CueRules({"pad": Scale(4.0, 2.0)}, live=-1.0, attack=-3.0),
    CueRules({name: Scale(0.0, 1.0) for name in CUES}, live=-0.5, attack=-2.0),
    frame=-1.0,
    restart=-4.0,
    frames=3,
    pairs=2,
    apart_s=0.5,
    span_s=1.5,
)


def made(
    passive: Sequence[float | None], moved: float | Sequence[float] = MOVES, every_s: float = 0.5
) -> Trace:
    """A trace of frames `every_s` apart, of which the next is what each is compared with; None is a
    frame that shows no face."""
    motions = [moved] * len(passive) if isinstance(moved, float) else list(moved)
    looks = [
        TracedLook(round(at * every_s, 6), {"pad": value}, dict.fromkeys(CUES, motions[at]))
        for at, value in enumerate(passive)
        if value is not None
    ]
    if looks:
        looks[-1].moved = None
    end_s = round((len(passive) - 1) * every_s, 6)
    return Trace(len(passive), end_s, [look.at_s for look in looks], looks)


def recording(
    name: str, person: str, attack_type: str = "", light: str = "", group: str = ""
) -> Recording:
    """A presentation that lies nowhere."""
    kind = Presentation.ATTACK if attack_type else Presentation.BONA_FIDE
    return Recording(Path(name), name, kind, attack_type, light, person, group)


def people(count: int, seed: int = 0, frames: int = 20) -> dict[str, list[Trace]]:
    """Two traces of each of some living people, who differ from each other."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(count):
        lively, restless = rng.normal(4.0, 1.5), rng.normal(0.0, 0.4)
        found[f"p{number:02}"] = [
            made(
                [float(v) for v in rng.normal(lively, 1.0, frames)],
                [float(v) for v in rng.normal(restless, 0.3, frames)],
            )
            for _ in range(2)
        ]
    return found


def pad_for(bundle: Path, path: Path) -> Path:
    """Write rules that were fitted with the models of a bundle."""
    hashes = bundles.read(bundle).manifest.model_hashes()
    models = {name: hashes[name] for name in ("pad", "encoder")}
    path.write_bytes(pad_file.to_text(fit(people(5), 0.2, models, "made up")))
    return path
