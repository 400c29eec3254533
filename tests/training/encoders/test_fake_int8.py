"""The encoder that rounds in training is the int8 file that comes out of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import quantize
from ostiary.export.records import calibration_table as tables
from ostiary.training.encoders import save
from ostiary.training.encoders.fake_int8 import FakeInt8, rounded
from ostiary.training.judge.embed import embed
from tests.support.training.int8_parts import SPEC, by_file, people, table, tiny

torch.set_num_threads(1)
FACES = people(60, seed=1)


def fake() -> FakeInt8:
    return FakeInt8(tiny(), table(), SPEC)


def moved() -> FakeInt8:
    """As if it had learned: every weight and bias somewhere else."""
    encoder, rng = fake(), np.random.default_rng(3)
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            step = rng.normal(0, 3, tuple(parameter.shape)).astype(np.float32)
            parameter.data += torch.from_numpy(step)
    return encoder


def test_rounding_is_that_of_a_plain_loop_half_to_even_and_clipped() -> None:
    values = [-40.0, -32.2, -0.75, -0.25, 0.1, 0.25, 0.375, 0.75, 31.75, 31.9, 40.0]
    wanted = [0.25 * min(max(round(v / 0.25), -128), 127) for v in values]
    assert rounded(torch.tensor(values), 0.25).tolist() == wanted
    halves = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert rounded(halves, 1.0).tolist() == [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0]


def test_its_gradient_is_that_of_clipping_alone() -> None:
    values = torch.tensor([-200.0, -128.0, -0.3, 0.0, 0.4, 127.0, 127.6], requires_grad=True)
    (rounded(values, 1.0) * torch.arange(1.0, 8.0)).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("make", [fake, moved])
def test_it_computes_what_its_file_does(make: object, backend: str) -> None:
    encoder = make()  # type: ignore[operator]
    made = embed(encoder, FACES.images)
    there = by_file(encoder.to_onnx(), FACES, backend)
    assert (made * there).sum(1).min() > 0.999
    # Rounding that is left out in one place of it moves every value by about 1e-3.
    assert np.median(np.abs(made - there)) < 1e-5
    in_float = by_file(tiny(), FACES)
    assert np.median(np.abs(in_float - there)) > 1e-4


def test_what_learned_nothing_is_the_plain_file() -> None:
    plain = normal_form.to_bytes(quantize.quantize(tiny(), table()))
    assert normal_form.to_bytes(fake().to_onnx()) == plain
    assert normal_form.to_bytes(moved().to_onnx()) != plain


def test_the_table_alone_makes_the_learned_file_again() -> None:
    encoder = moved()
    text = tables.to_text(encoder.taught())
    again = quantize.quantize(tiny(), tables.parse(text, "it"))
    assert normal_form.to_bytes(again) == normal_form.to_bytes(save.to_onnx(encoder))
    assert tables.to_text(encoder.taught()) == text


def test_what_was_learned_can_be_learned_on() -> None:
    first = moved()
    second = FakeInt8(tiny(), first.taught(), SPEC)
    assert normal_form.to_bytes(second.to_onnx()) == normal_form.to_bytes(first.to_onnx())
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(1.0 if parameter.requires_grad and parameter.ndim > 1 else 0.0)
    name, text = next(iter(second.taught().steps.items()))
    weights = normal_form.weights(quantize.quantize(tiny(), table()))
    most = quantize.most(table(), name)
    codes = weights[quantize.codes_of(quantize.quantize(tiny(), table()))[name]]
    steps = (tables.unpacked(t, codes.shape, name) for t in (text, first.taught().steps[name]))
    now, before = (np.clip(codes + s.astype(int), -most, most) for s in steps)
    assert (now == np.clip(before + 1, -most, most)).all()


def test_only_layers_in_int8_learn() -> None:
    name = next(n.name for n in tiny().graph.node if n.op_type == "Conv")
    kept = msgspec.structs.replace(table(), floats={name: "says a test"})
    encoder = FakeInt8(tiny(), kept, SPEC)
    assert name not in encoder.taught().steps
    learned = sum(p.requires_grad for p in encoder.parameters())
    assert learned == sum(p.requires_grad for p in fake().parameters()) - 2
    made, there = embed(encoder, FACES.images), by_file(encoder.to_onnx(), FACES)
    assert np.median(np.abs(made - there)) < 1e-5


def test_a_table_of_another_encoder_is_refused() -> None:
    other = msgspec.structs.replace(table(), ranges={})
    with pytest.raises(BundleError, match="has no range of"):
        FakeInt8(tiny(), other, SPEC)
