"""The normal form of an encoder: the same form for every source, with the same results."""

import numpy as np
import onnx
import pytest

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import normal_form, run
from tests.support.export.made_up import SPEC, encoder

NOISE = np.random.default_rng(2).uniform(-1, 1, (5, 3, 16, 16)).astype(np.float32)


def test_it_computes_the_unit_embedding_for_any_batch() -> None:
    source = encoder()
    made = normal_form.normalise(source, SPEC)
    raw = np.concatenate([run.run(source, row[None]) for row in NOISE])
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(run.run(made, NOISE) - expected).max() < 1e-5
    assert [i.name for i in made.graph.input] == ["input"]
    assert [o.name for o in made.graph.output] == ["embedding"]
    assert [(o.domain, o.version) for o in made.opset_import] == [("", 17)]


def test_an_encoder_of_unit_length_gets_no_second_division() -> None:
    once = normal_form.normalise(encoder(), SPEC)
    twice = normal_form.normalise(once, SPEC)
    assert sum(node.op_type == "Div" for node in twice.graph.node) == 1


def test_the_bytes_are_the_same_whoever_wrote_the_file() -> None:
    source, other = encoder(), encoder()
    other.producer_name, other.doc_string = "somebody", "on a Tuesday"
    other.graph.name = "another"
    other.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    other.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, "f4"), "unused"))
    assert normal_form.to_bytes(normal_form.normalise(source, SPEC)) == normal_form.to_bytes(
        normal_form.normalise(other, SPEC)
    )


def test_a_zero_image_is_not_divided_by_zero() -> None:
    made = normal_form.normalise(encoder(), SPEC)
    held = normal_form.weights(made)
    silent = {name: values * 0 for name, values in held.items() if values.ndim in (1, 4)}
    silent = {name: values for name, values in silent.items() if values.dtype == np.float32}
    normal_form.put_weights(made, silent)
    assert not run.run(made, NOISE[:1]).any()


def test_sorting_puts_nodes_in_order_and_moves_no_other() -> None:
    made = normal_form.normalise(encoder(), SPEC)
    names = [node.name for node in made.graph.node]
    shuffled = normal_form.copy(made)
    nodes = list(shuffled.graph.node)
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(reversed(nodes))
    normal_form.sort(shuffled)
    onnx.checker.check_model(shuffled, full_check=True)
    assert {node.name for node in shuffled.graph.node} == set(names)
    normal_form.sort(made)
    assert [node.name for node in made.graph.node] == names


def test_an_encoder_that_gives_nan_is_refused() -> None:
    source = encoder()
    held = normal_form.weights(source)
    normal_form.put_weights(source, {"stem.b": held["stem.b"] * np.nan})
    with pytest.raises(BundleError, match="zero or not finite"):
        normal_form.normalise(source, SPEC)
