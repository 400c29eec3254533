"""Every form of an encoder from PyTorch: the same embeddings, and code in files never runs."""

import io
import pickle
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from ostiary.edge.errors import BundleError
from ostiary.export.sources import proof
from ostiary.export.sources.load import load_source
from ostiary.export.sources.spec import EncoderSource
from tests.support.places import DATA

torch = pytest.importorskip("torch")
siamese = pytest.importorskip("tests.support.export.siamese")

FORMS = (
    "{}.onnx",
    "{}_one.onnx",
    "{}.pt2",
    "{}_one.pt2",
    "{}.pt",
    "{}.ts",
    "tests.support.export.siamese:{}",
)
IMAGES = np.random.default_rng(3).uniform(-1, 1, (5, 1, 28, 28)).astype(np.float32)
RAN: list[str] = []
"""Filled by code in a pickle, if it ever runs."""
spec_of = partial(EncoderSource, size_px=(28, 28), channels="gray", mean=127.5, scale=127.5)


def embed(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return proof.runner(model)(images)[0]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: nets this small are slower on many, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained nets in every form."""
    made = tmp_path_factory.mktemp("forms")
    siamese.write_all(siamese.seeded(siamese.Branch), "Branch", 1, made)
    siamese.write_all(siamese.seeded(siamese.Pair), "Pair", 2, made)
    return made


def load(form: str, name: str, folder: Path) -> onnx.ModelProto:
    state = f"{name}_state.pt" if ":" in form else None
    return load_source(spec_of(form.format(name), pair=name != "Branch", state=state), folder)


@pytest.mark.parametrize("name", ["Branch", "Pair"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_embeddings_of_the_net(form: str, name: str, folder: Path) -> None:
    net = siamese.seeded(getattr(siamese, name))
    with torch.no_grad():
        expected = (net if name == "Branch" else net.branch)(torch.from_numpy(IMAGES)).numpy()
    model = load(form, name, folder)
    assert [o.version for o in model.opset_import] == [17]
    assert embed(model, IMAGES) == pytest.approx(expected, abs=1e-5)
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("form", ["{}.pt2", "{}.ts", "tests.support.export.siamese:{}"])
def test_exporting_twice_gives_the_same_bytes(form: str, folder: Path) -> None:
    one, other = (load(form, "Branch", folder).SerializeToString(deterministic=True) for _ in "ab")
    assert one == other


@pytest.mark.parametrize("name", ["TwoOutputs", "Cosine"])
def test_a_pair_may_compare_its_embeddings_in_any_way(name: str, tmp_path: Path) -> None:
    net = siamese.seeded(getattr(siamese, name))
    with siamese.old_torch():
        torch.jit.script(net).save(tmp_path / "net.ts")
    with torch.no_grad():
        expected = net.branch(torch.from_numpy(IMAGES)).numpy()
    model = load_source(spec_of("net.ts", pair=True), tmp_path)
    assert embed(model, IMAGES) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("form", ["net.ts", "tests.support.export.siamese:Unshared"])
def test_a_pair_of_two_nets_is_refused(form: str, tmp_path: Path) -> None:
    net = siamese.seeded(siamese.Unshared)
    with siamese.old_torch():
        torch.jit.script(net).save(tmp_path / "net.ts")
    with pytest.raises(BundleError, match=r"share their weights: 'branch\.\S+ is not 'other\.\S+"):
        load_source(spec_of(form, pair=True), tmp_path)


@pytest.mark.parametrize("form", ["{}.pt", "{}_one.pt2", "tests.support.export.siamese:{}"])
def test_a_model_that_does_not_fit_its_description_is_refused(form: str, folder: Path) -> None:
    with pytest.raises(BundleError, match=r"2 inputs \(first, second\).*pair = true"):
        load_source(spec_of(form.format("Pair")), folder)
    with pytest.raises(BundleError, match=r"1 inputs \(image\), expected 2"):
        load_source(spec_of(form.format("Branch"), pair=True), folder)
    larger = EncoderSource(form.format("Branch"), (32, 28), "gray", 127.5, 127.5)
    with pytest.raises(BundleError, match=r"1, 32, 28\)"):
        load_source(larger, folder)


# Modules.

NETS = """
import torch
class Odd(torch.nn.Module):
    def forward(self, x): return torch.special.bessel_j0(x).flatten(1)
def number(): return 3
def fails(): raise KeyError("width")
def misspelt(): return Weighs()
def drops(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Tanh())
"""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("no_such_module_at_all:f", "'no_such_module_at_all' cannot be imported"),
        ("broken_nets:f", "'broken_nets' cannot be imported: ZeroDivisionError"),
        ("some_nets:f", r"some_nets.*some_nets\.py.* has no function 'f'"),
        ("some_nets:number", "gives int, expected a torch.nn.Module"),
        ("some_nets:fails", r"some_nets:fails\(\) fails: KeyError: 'width'"),
        ("some_nets:misspelt", "fails: NameError"),
        ("some_nets:Odd", "cannot be exported to ONNX.*bessel_j0"),
    ],
)
def test_a_factory_that_gives_no_module_is_refused(source: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "some_nets.py").write_text(NETS)
    (tmp_path / "broken_nets.py").write_text("1 / 0")
    before = list(sys.path)
    with pytest.raises(BundleError, match=says):
        load_source(spec_of(source), tmp_path)
    assert sys.path == before


def test_a_module_is_exported_in_evaluation_mode(tmp_path: Path) -> None:
    (tmp_path / "dropping_nets.py").write_text(NETS)
    model = load_source(spec_of("dropping_nets:drops"), tmp_path)
    assert embed(model, IMAGES) == pytest.approx(np.tanh(IMAGES.reshape(5, -1)), abs=1e-6)


def test_a_state_dict_of_another_net_names_the_weights(folder: Path, tmp_path: Path) -> None:
    state = siamese.seeded(siamese.Branch).state_dict()
    state["conv9.bias"] = state.pop("conv1.bias")
    state["fc.bias"] = torch.zeros(64)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(BundleError, match=r"other\.pt does not fit") as error:
        load_source(spec_of("tests.support.export.siamese:Branch", state="other.pt"), tmp_path)
    assert "missing: conv1.bias; unexpected: conv9.bias" in str(error.value)
    assert "fc.bias (64,), expected (128,)" in str(error.value)
    for content, says in (([1, 2], "not a state dict"), ({"model": {}}, "a dict of model")):
        torch.save(content, tmp_path / "other.pt")
        with pytest.raises(BundleError, match=says):
            load_source(spec_of("tests.support.export.siamese:Branch", state="other.pt"), tmp_path)
    (tmp_path / "other.pt").write_bytes((folder / "Branch_state.pt").read_bytes()[:5000])
    with pytest.raises(BundleError, match="cannot be read as tensors"):
        load_source(spec_of("tests.support.export.siamese:Branch", state="other.pt"), tmp_path)
    with pytest.raises(BundleError, match=r"no file .*none\.pt"):
        load_source(spec_of("tests.support.export.siamese:Branch", state="none.pt"), tmp_path)


# Files that would run code.


def leave_a_mark() -> dict[str, object]:
    RAN.append("ran")
    return {}


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return leave_a_mark, ()


def saved(thing: object) -> bytes:
    file = io.BytesIO()
    torch.save(thing, file)
    return file.getvalue()


@pytest.mark.parametrize("raw", [saved(Evil()), saved({"fc.bias": Evil()}), pickle.dumps(Evil())])
def test_a_state_dict_that_runs_code_is_not_loaded(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(raw)
    with pytest.raises(BundleError, match=r"(would|might) run code.*not loaded"):
        load_source(spec_of("tests.support.export.siamese:Branch", state="evil.pt"), tmp_path)
    assert RAN == []


def test_a_whole_module_in_a_pickle_is_loaded_only_if_trusted(tmp_path: Path) -> None:
    net = siamese.seeded(siamese.Branch)
    torch.save(net, tmp_path / "whole.pt")
    with pytest.raises(BundleError, match=r"siamese\.Branch"):
        load_source(spec_of("tests.support.export.siamese:Branch", state="whole.pt"), tmp_path)
    trusting = spec_of("tests.support.export.siamese:Branch", state="whole.pt", trust_pickle=True)
    with torch.no_grad():
        expected = net(torch.from_numpy(IMAGES)).numpy()
    assert embed(load_source(trusting, tmp_path), IMAGES) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("trust", [False, True])
def test_a_pickle_is_refused_as_torchscript(trust: bool, tmp_path: Path) -> None:
    for raw in (saved(Evil()), pickle.dumps(Evil())):
        (tmp_path / "evil.pt").write_bytes(raw)
        with pytest.raises(BundleError, match=r"runs code when loaded; not loaded.*:factory"):
            load_source(spec_of("evil.pt", trust_pickle=trust), tmp_path)
    assert RAN == []


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> None:
    """An archive with the content of its files changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


EVIL = "__import__('test_sources').leave_a_mark()"
CHANGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a pickle that would run code": ("sample_inputs/model.pt", lambda raw: saved(({}, Evil()))),
    "the expression": (
        "models/model.json",
        lambda raw: re.sub(rb"Symbol\('s\d+', positive=True, integer=True\)", EVIL.encode(), raw),
    ),
    "a call of 'torch.os.system'": (
        "models/model.json",
        lambda raw: raw.replace(b"torch.ops.aten.linear.default", b"torch.os.system"),
    ),
    "a pickle listed in": (
        "model_weights_config.json",
        lambda raw: raw.replace(b'"use_pickle": false', b'"use_pickle": true', 1),
    ),
}


@pytest.mark.parametrize("says", CHANGES)
def test_a_program_with_code_is_not_loaded(says: str, folder: Path, tmp_path: Path) -> None:
    file, change = CHANGES[says]
    same = (folder / "Branch.pt2").read_bytes()
    rewritten(
        folder / "Branch.pt2",
        tmp_path / "evil.pt2",
        lambda name, raw: change(raw) if name.endswith(file) else raw,
    )
    assert (tmp_path / "evil.pt2").read_bytes() != same
    with pytest.raises(BundleError, match=f"{says}.*not loaded"):
        load_source(spec_of("evil.pt2"), tmp_path)
    assert RAN == []


def test_files_that_are_not_from_pytorch_are_refused(folder: Path, tmp_path: Path) -> None:
    for form, says in (("pt", "not a TorchScript file"), ("pt2", "not a torch.export program")):
        whole = (folder / f"Branch.{form}").read_bytes()
        for raw in (b"", b"garbage", whole[: len(whole) // 2]):
            (tmp_path / f"net.{form}").write_bytes(raw)
            with pytest.raises(BundleError, match=says):
                load_source(spec_of(f"net.{form}"), tmp_path)
    with pytest.raises(BundleError, match="this torch cannot load the program"):
        load_source(spec_of("net.pt2", trust_pickle=True), tmp_path)
    (tmp_path / "net.pt").write_bytes((folder / "Branch.pt2").read_bytes())
    with pytest.raises(BundleError, match=r"ending \.pt2"):
        load_source(spec_of("net.pt"), tmp_path)


# Training.


@pytest.mark.data
def test_a_trained_pair_gives_the_encoder_it_learned(tmp_path: Path) -> None:
    """On 10 held-out people of ORL, moved, tilted and relit, training lifts AUC .76 to .93."""
    if not (DATA / "orl").is_dir():
        pytest.skip(f"no faces of ORL in {DATA}")
    photos = siamese.faces(DATA / "orl")[siamese.PEOPLE :]
    net = siamese.train(DATA / "orl")
    disturbed = siamese.disturb(photos.flatten(0, 1)).unflatten(0, photos.shape[:2])
    assert siamese.auc(siamese.seeded(siamese.Branch), disturbed) < 0.82
    assert siamese.auc(net.branch, disturbed) > 0.9
    siamese.write_all(net, "Pair", 2, tmp_path)
    with torch.no_grad():
        expected = net.branch(photos.flatten(0, 1)).numpy()
    for form in FORMS:
        got = embed(load(form, "Pair", tmp_path), photos.flatten(0, 1).numpy())
        lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(expected, axis=1)
        assert ((got * expected).sum(1) / lengths).min() > 0.9999, form
