"""Under a lamp that pulses, somebody enrolled is let in within a second, by the real models."""

import itertools

import msgspec
import numpy as np
import pytest

from bench.common import profile
from bench.stays import changed
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.evidence import Claim, Mode
from ostiary.edge.core.types import Frame, Image
from ostiary.edge.vision.observer import Observer, open_enrolled
from ostiary.edge.vision.pipeline import Pipeline

FPS = 15.0


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("each", "light"), list(itertools.product((2, 3), (0.02, 0.1, 0.2, 0.3))))
def test_a_pulsed_lamp_keeps_nobody_out(
    pipeline: Pipeline, portrait: Image, mode: Mode, each: int, light: float
) -> None:
    given = profile(recognition={"fpir": 0.01, "tau": "mean"})
    asked = msgspec.structs.replace(given.recognition, mode=mode)
    config = msgspec.structs.replace(given, recognition=asked)
    enrolled = open_enrolled(pipeline, config)
    (face,) = pipeline.find(portrait)
    template = pipeline.embed(pipeline.align(portrait, face))
    enrolled.load([("eileen", template[None], 1)])
    observer = Observer(pipeline, config, enrolled)
    claim = "eileen" if mode is Mode.VERIFY else None
    rules, state, rng = config.rules(), policy.State(), np.random.default_rng(0)
    if claim is not None:
        state, _ = policy.step(rules, state, Claim(claim, enrolled=True), 0.0)
    for number in range(int(FPS)):
        lit = 1.0 if number % each == 0 else light
        shown = (changed(portrait, rng) * lit).astype(np.uint8)
        for seen in observer.observe(Frame(shown, number / FPS, number), claim):
            state, decision = policy.step(rules, state, seen.evidence, number / FPS)
            if decision is not None:
                assert (decision.granted, decision.subject) == (True, "eileen")
                return
    pytest.fail("nobody was let in within a second")
