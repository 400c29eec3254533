"""Weights and a table become ONNX: what PyTorch computes, from every tensor, or a reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import geometry
from ostiary.edge.core.faces.preprocess import averaged, log_odds, to_tensor
from ostiary.edge.errors import BundleError, ConfigError
from ostiary.edge.runtime.bundle import sha256
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.networks import to_onnx
from ostiary.export.networks.convert import convert, images
from ostiary.export.networks.minifasnet import NETWORKS
from ostiary.export.sources import proof
from tests.support.places import DATA

torch = pytest.importorskip("torch")
made_weights = pytest.importorskip("tests.support.export.made_weights")

F = torch.nn.functional
ENTRY = ModelEntry("pad_x.onnx", "input", ["logits"], (80, 80), "bgr", 0.0, 1.0, live=1)
SHAPES = {
    "minifasnet-v2": "295c3283e4dc57808a8c780409d77c5596c9d458ccc879806b4df51da4be7908",
    "minifasnet-v1se": "7bb45fa332607820f34bbedb40265b45d842f4340367cc6dfd1284c96b458f90",
}
"""Hashes of the published files' lines "name shape", sorted, without the counters."""
PUBLISHED = {
    "minifasnet-v2": (
        "2.7_80x80_MiniFASNetV2.pth",
        "a5eb02e1843f19b5386b953cc4c9f011c3f985d0ee2bb9819eea9a142099bec0",
        2.7,
    ),
    "minifasnet-v1se": (
        "4_0_0_80x80_MiniFASNetV1SE.pth",
        "84ee1d37d96894d5e82de5a57df044ef80a58be2b218b5ed7cdfd875ec2f5990",
        4.0,
    ),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unit(state: dict[str, Any], name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
    """Convolution, normalisation and PReLU; all but stride and padding is read off the tensors."""
    kernel = state[f"{name}.conv.weight"]
    x = F.conv2d(x, kernel, None, stride, padding, 1, x.shape[1] // kernel.shape[1])
    x = normalised(state, f"{name}.bn", x)
    slope = state.get(f"{name}.prelu.weight")
    return x if slope is None else F.prelu(x, slope)


def normalised(state: dict[str, Any], name: str, x: Any) -> Any:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"])


def bottleneck(state: dict[str, Any], name: str, x: Any, stride: int = 1) -> Any:
    x = unit(state, f"{name}.conv_dw", unit(state, f"{name}.conv", x), stride, 1)
    return unit(state, f"{name}.project", x)


def naive(state: dict[str, Any], image: np.ndarray) -> np.ndarray:
    """The logits by the names of the tensors alone, without the table."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    x = unit(state, "conv2_dw", unit(state, "conv1", torch.from_numpy(image), 2, 1), 1, 1)
    for halving, keeping in (("conv_23", "conv_3"), ("conv_34", "conv_4"), ("conv_45", "conv_5")):
        x = bottleneck(state, halving, x, 2)
        at = 0
        while f"{keeping}.model.{at}.project.conv.weight" in state:
            name = f"{keeping}.model.{at}"
            y = bottleneck(state, name, x)
            if f"{name}.se_module.fc1.weight" in state:
                gate = F.adaptive_avg_pool2d(y, 1)
                for number, bend in ((1, torch.relu), (2, torch.sigmoid)):
                    gate = F.conv2d(gate, state[f"{name}.se_module.fc{number}.weight"])
                    gate = bend(normalised(state, f"{name}.se_module.bn{number}", gate))
                y = y * gate
            x, at = x + y, at + 1
        assert at > 1
    x = unit(state, "conv_6_dw", unit(state, "conv_6_sep", x)).flatten(1)
    x = normalised(state, "bn", F.linear(x, state["linear.weight"]))
    return np.asarray(F.linear(x, state["prob.weight"]))


@pytest.mark.parametrize("graph", NETWORKS)
def test_it_computes_what_the_tensors_say_without_the_table(graph: str, tmp_path: Path) -> None:
    file = made_weights.write(tmp_path, graph, "w.pth")
    raw = convert(file, graph, ENTRY)
    run = proof.runner(onnx.load_from_string(raw))
    state = made_weights.state(graph)
    shown = images(ENTRY.spec)
    assert len(shown) == 6
    for image in shown:
        proof.same(run(image)[0], naive(state, image), graph)
    assert convert(file, graph, ENTRY) == raw, "the same bytes each time"


@pytest.mark.parametrize("graph", NETWORKS)
def test_the_table_has_the_names_and_shapes_of_the_published_file(graph: str) -> None:
    """By their hash: made-up weights have whatever the table says."""
    network = NETWORKS[graph]
    lines = [f"{name} {shape}" for name, shape in sorted(network.tensors().items())]
    assert sha256("\n".join(lines).encode()) == SHAPES[graph]
    whole = len(network.tensors()) + len(network.counters())
    assert whole == {"minifasnet-v2": 334, "minifasnet-v1se": 370}[graph]


def spoilt(folder: Path, change: Any, graph: str = "minifasnet-v2") -> Path:
    state = made_weights.state(graph)
    change(state)
    torch.save(state, folder / "w.pth")
    return folder / "w.pth"


def put(name: str, value: Any) -> Any:
    return lambda state: state.__setitem__(f"module.{name}", value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda state: state.pop("module.conv_4.model.3.project.bn.bias"),
            r"does not fit minifasnet-v2: missing: conv_4\.model\.3\.project\.bn\.bias \(give the",
        ),
        (put("linear.bias", torch.zeros(128)), r"unexpected: linear\.bias"),
        (put("fc.num_batches_tracked", torch.tensor(1)), r"unexpected: fc\.num_batches"),
        (
            put("prob.weight", torch.zeros(4, 128)),
            r"of another shape: prob\.weight \(4, 128\), expected \(3, 128\)",
        ),
        (
            put("conv1.prelu.weight", torch.zeros(32).half()),
            r"conv1\.prelu\.weight is torch\.float16, not float32",
        ),
        (put("conv1.bn.weight", torch.full((32,), float("nan"))), "not finite|differs"),
        (lambda state: state.clear(), r"missing: conv1\.conv\.weight.* and \d+ more"),
        (lambda state: state.__setitem__("module.epoch", 3), "not a state dict"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=says):
        convert(spoilt(tmp_path, change), "minifasnet-v2", ENTRY)


def test_the_weights_of_the_other_graph_are_refused_with_its_name(tmp_path: Path) -> None:
    file = made_weights.write(tmp_path, "minifasnet-v1se", "w.pth")
    with pytest.raises(BundleError, match=r"unexpected: .*se_module.* \(minifasnet-v1se\)"):
        convert(file, "minifasnet-v2", ENTRY)


def test_tensors_without_the_prefix_of_several_gpus_are_read_too(tmp_path: Path) -> None:
    state = made_weights.state("minifasnet-v2")
    torch.save({name.removeprefix("module."): of for name, of in state.items()}, tmp_path / "p")
    raw = convert(tmp_path / "p", "minifasnet-v2", ENTRY)
    whole = made_weights.write(tmp_path, "minifasnet-v2", "w.pth")
    assert raw == convert(whole, "minifasnet-v2", ENTRY)


def test_code_in_a_file_of_weights_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"module.conv1.conv.weight": Evil()}, tmp_path / "w.pth")
    with pytest.raises(BundleError, match="would run code"):
        convert(tmp_path / "w.pth", "minifasnet-v2", ENTRY)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size_px": (112, 112)}, r"size_px = \[80, 80\]"),
        ({"channels": "gray"}, "channels"),
        ({"outputs": ["a", "b"]}, "one output"),
        ({"live": 3}, "live from 0 to 2"),
    ],
)
def test_a_description_that_does_not_fit_the_graph_is_refused(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    entry = msgspec.structs.replace(ENTRY, **changes)
    with pytest.raises(ConfigError, match=rf"pad_x\.onnx does not fit minifasnet-v2.*{says}"):
        convert(tmp_path / "none.pth", "minifasnet-v2", entry)


def test_an_onnx_form_that_differs_from_pytorch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "EPSILON", 1e-2)
    file = made_weights.write(tmp_path, "minifasnet-v2", "w.pth")
    with pytest.raises(BundleError, match="differs from PyTorch"):
        convert(file, "minifasnet-v2", ENTRY)


def test_without_pytorch_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(BundleError, match="pip install torch"):
        convert(tmp_path / "w.pth", "minifasnet-v2", ENTRY)


@pytest.mark.data
@pytest.mark.parametrize("graph", NETWORKS)
def test_the_published_weights_tell_a_live_face_from_two_pictures(
    graph: str, pipeline: Pipeline
) -> None:
    """Three pictures: enough to see a swapped class or a wrong scale, not to claim a rate."""
    name, digest, box_factor = PUBLISHED[graph]
    file = DATA.parent / "weights" / "minifasnet" / name
    if not file.is_file():
        pytest.skip(f"no published weights in {file.parent}: docs/export.md says where they are")
    assert sha256(file.read_bytes()) == digest
    run = proof.runner(onnx.load_from_string(convert(file, graph, ENTRY)))
    live = {}
    for picture in ("image_T1", "image_F1", "image_F2"):
        image = read_photo(DATA / "pad" / f"{picture}.jpg")
        around = geometry.surroundings(image, pipeline.find(image)[0].box_px, box_factor)
        shown = to_tensor(averaged(around, ENTRY.spec), ENTRY.spec)
        live[picture] = log_odds(run(shown)[0][0], ENTRY.live)
    assert live["image_T1"] > 5
    assert max(live["image_F1"], live["image_F2"]) < -0.5
