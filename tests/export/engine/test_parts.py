"""Parts of the engine command: the inspector's report, boards, and orders that cross a pipe."""

import msgspec
import pytest

from ostiary.edge.errors import BackendError
from ostiary.export.engine import inspect, target
from ostiary.export.engine.order import Answer, Build, BuildRefusal, BuildStep, Built, Order

LAYERS = """{"Layers": [
{"Name": "Reformatting CopyNode for Input Tensor 0", "LayerType": "Reformat",
 "Inputs": [{"Name": "input", "Format/Datatype": "Row major linear FP32"}], "Outputs": []},
{"Name": "conv1 + relu", "LayerType": "CaskConvolution",
 "Inputs": [{"Name": "a", "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}],
 "Outputs": [{"Name": "b", "Format/Datatype": "Row major linear FP16 format"}]},
{"Name": "prelu", "LayerType": "PointWiseV2",
 "Inputs": [{"Name": "b", "Format/Datatype": "Row major linear FP16 format"}], "Outputs": []},
{"Name": "depthwise", "LayerType": "CaskConvolution",
 "Inputs": [{"Name": "c", "Format/Datatype": "N/A due to dynamic shapes"}], "Outputs": []},
{"Name": "norm", "LayerType": "kgen",
 "Inputs": [{"Name": "c", "Format/Datatype": "Float"}], "Outputs": []},
{"Name": "weights", "LayerType": "Constant", "Inputs": [], "Outputs": []}
], "Bindings": ["input", "embedding"]}"""  # noqa: E501


def test_the_inspectors_report_tells_which_layers_compute_in_int8() -> None:
    found = inspect.parse(LAYERS)
    assert found.counts == {"int8": 1, "fp16": 1, "unknown": 1, "fp32": 1}
    assert found.names == {
        "conv1 + relu": "int8",
        "prelu": "fp16",
        "depthwise": "unknown",
        "norm": "fp32",
    }


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ('{"Layers": ["conv1 + relu", "prelu"]}', {"unknown": 2}),
        ('{"Layers": []}', {}),
        ("{}", {}),
        ("no JSON", {}),
    ],
)
def test_a_report_with_less_in_it_is_accepted(text: str, counts: dict[str, int]) -> None:
    assert inspect.parse(text).counts == counts


@pytest.mark.parametrize(
    ("board", "sm"),
    [("jetson-orin-nano", "sm_87"), ("jetson-agx-thor", "sm_101"), ("sm_86", "sm_86")],
)
def test_an_engine_for_this_very_gpu_is_built(board: str, sm: str) -> None:
    target.check(board, sm, "a GPU")


def test_an_engine_for_another_gpu_is_refused() -> None:
    with pytest.raises(BackendError, match=r"jetson-agx-thor \(sm_110\).*\(Orin, sm_87\)"):
        target.check("jetson-agx-thor", "sm_87", "Orin")
    with pytest.raises(BackendError, match="no GPU"):
        target.check("sm_87", "none", "none")
    with pytest.raises(BackendError, match="no board 'sm87'"):
        target.check("sm87", "sm_87", "Orin")


@pytest.mark.parametrize(
    "said", [BuildStep("Building", 3, 9), BuildRefusal("no", "so"), Built("10", 1, 2, 0.5, [])]
)
def test_answers_keep_their_kind_across_the_pipe(said: Answer) -> None:
    assert msgspec.json.decode(msgspec.json.encode(said), type=Answer) == said


def test_orders_keep_their_kind_across_the_pipe() -> None:
    order = Build("tensorrt", "a.onnx", "a.plan", ["INT8"], memory_mb=100)
    assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order
