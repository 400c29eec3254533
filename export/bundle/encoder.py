"""The float encoder of a plan: loaded, converted to the normal form, checked by hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.bundle import sha256
from ostiary.edge.runtime.manifest import ModelEntry, WeightsSource
from ostiary.export.graphs import normal_form
from ostiary.export.plan import fetch
from ostiary.export.plan.recipe import BuildPlan
from ostiary.export.sources import dequantize, tflite
from ostiary.export.sources.load import load_source

Say = Callable[[str], None]


def float_encoder(plan: BuildPlan, at_hand: Path | None, say: Say) -> onnx.ModelProto:
    """The encoder in normal form. Raises BundleError, also if its hash is not the recipe's."""
    if plan.own is not None:
        say(f"encoder: {plan.own.source}")
        return normal_form.normalise(load_source(plan.own, plan.folder), plan.spec)
    weights = plan.recipe.models["encoder"].weights
    say(f"encoder: {weights.name}")
    source = fetch.of_plan(plan, "encoder", at_hand)
    raw = tflite.convert(source) if weights.format == "tflite" else source.read_bytes()
    plain = dequantize.in_float(onnx.load_from_string(raw), weights.name)
    made = normal_form.normalise(plain, plan.spec)
    found = sha256(normal_form.to_bytes(made))
    if found != plan.recipe.encoder_sha256:
        raise BundleError(
            f"the converted encoder has sha256 {found[:16]}...,"
            f" the recipe expects {plan.recipe.encoder_sha256[:16]}...",
            "install the package versions of constraints.txt",
        )
    return made


def entry(plan: BuildPlan, file: str) -> ModelEntry:
    """The manifest's entry for an encoder of this plan."""
    spec = plan.spec
    return ModelEntry(
        file=file,
        input=normal_form.INPUT,
        outputs=[normal_form.OUTPUT],
        size_px=spec.size_px,
        channels=spec.channels,  # type: ignore[arg-type]
        mean=spec.mean,
        scale=spec.scale,
    )


def sources(plan: BuildPlan) -> list[WeightsSource]:
    """The packages and files that the models come from."""
    found = [
        WeightsSource(
            package=f"{p.registry}:{p.name}", version=p.version, sha256=p.sha256, licence=p.licence
        )
        for p in plan.packages.values()
    ]
    found += [
        WeightsSource(f"file:{w.name}", "", w.sha256, w.licence or "")
        for w in plan.weights
        if w.file is not None
    ]
    if plan.own is not None:
        path = plan.folder / (plan.own.state or plan.own.source)
        digest = sha256(path.read_bytes()) if path.is_file() else sha256(plan.own.source.encode())
        found.append(
            WeightsSource(
                package=f"file:{path.name}", version="", sha256=digest, licence=plan.own.licence
            )
        )
    return found


def dim(model: onnx.ModelProto) -> int:
    """The number of values in an encoder's embeddings."""
    return int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
