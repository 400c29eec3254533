"""Made-up contents of a report, with different numbers in every part."""

import msgspec
import numpy as np

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.models.timing import Speed
from ostiary.edge.runtime.det import COMPARISONS, Counts, DetFile
from ostiary.edge.runtime.manifest import Manifest, ModelEntry, Models, WeightsSource
from ostiary.export.records.calibration_table import Range, Table
from ostiary.export.records.results import (
    Compared,
    Cosines,
    Gate,
    GateLimits,
    LayerCost,
    LayerCosts,
    MovedPair,
    OpenSetRow,
    Reading,
    TarLoss,
    TarRow,
)

FLOAT, INT8 = "a1" * 32, "b2" * 32
NASTY = "<script>alert('x')</script> & \"MIT\""
GRID = np.round(np.arange(-0.2, 1.0001, 0.002), 3)


def entry(file: str) -> ModelEntry:
    return ModelEntry(file, "input", ["out"], (112, 112), "rgb", 127.5, 128.0)


def manifest(int8: bool = True) -> Manifest:
    names = ("detector", "landmarks", "pad", "encoder")
    models = Models(**{name: entry(f"{name}.onnx") for name in names}, further_pad={})
    files = {f"{name}.onnx": "d4" * 32 for name in names} | {"encoder.onnx": FLOAT}
    if int8:
        models = msgspec.structs.replace(models, encoder_int8=entry("encoder.int8.onnx"))
        files["encoder.int8.onnx"] = INT8
    source = WeightsSource("some-package", "1.2.3", "c3" * 32, NASTY)
    return Manifest(2, "mobile-1", FLOAT, 512, models, files, [source], ["a note of <b>mine</b>"])


def compared() -> list[Compared]:
    return [
        Compared(
            name,
            [TarRow(1e-4, 0.51111 + i / 100, Rate(0.91111 + i / 100, 0.9, 0.92 + i / 100))],
            [OpenSetRow(100, 0.53, Rate(0.0091, 0.0042, 0.0176), Rate(0.0345, 0.02, 0.07), 0.0797)],
        )
        for i, name in enumerate(COMPARISONS)
    ]


def gate(**changes: object) -> Gate:
    made = Gate(
        encoder_id=FLOAT,
        int8_sha256=INT8,
        passed=True,
        failures=[],
        data_set="my <faces>",
        images=3096,
        people=1111,
        calibration_left_out=257,
        genuines=6836,
        impostors=4784224,
        backend="openvino",
        limits=GateLimits(),
        cosine=Cosines(0.9984, 0.9971, 0.9959, 0.9835),
        agreement=Cosines(0.9987, 0.9978, 0.9972, 0.9958),
        proven_on=["onnxruntime", "openvino"],
        compared=compared(),
        losses=[
            TarLoss("int8_int8", 1e-2, Rate(0.00029, -0.00031, 0.00089), None),
            TarLoss("int8_int8", 1e-3, Rate(-0.00033, -0.00166, 0.00096), 0.002),
            TarLoss("float_int8", 1e-4, Rate(0.00022, -0.00145, 0.00169), 0.001),
        ],
        worst=[
            MovedPair("genuine", 2181, 2182, 0.6169, 0.5634),
            MovedPair("impostor", 7, 2884, 0.1, 0.3),
        ],
        readings=[Reading("rgb as declared", 5.123), Reading("bgr", 4.012)],
    )
    return msgspec.structs.replace(made, **changes)


def counted(seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    genuine, impostor = rng.normal(0.65, 0.12, 2000), rng.normal(0.05, 0.1, 200_000)
    return Counts(
        len(impostor),
        len(genuine),
        [int((impostor >= score).sum()) for score in GRID],
        [int((genuine < score).sum()) for score in GRID],
    )


def curves() -> DetFile:
    counts = [counted(seed) for seed in range(3)]
    return DetFile(
        FLOAT, "my faces", 1111, 3096, GRID.tolist(), counts[0], INT8, counts[1], counts[2]
    )


def layers() -> LayerCosts:
    costs = [
        LayerCost("conv & <one>", "Conv", False, 2e-4, 0.0011),
        LayerCost("a/very/long/name/of/a/node/depthwise", "Conv", True, 6.5e-3, 0.0123),
        LayerCost("none", "Gemm", False, 0.0, 0.0),
        LayerCost("below zero\x00", "Gemm", False, -1e-9, 0.0),
    ]
    return LayerCosts(FLOAT, 400, 1e-3, costs, {costs[1].node: "it is the worst"})


def table(insisted: str = "") -> Table:
    ranges = {f"t{i}": Range(1.0, -1.0, 1.0, 0.99 + i / 1000) for i in range(5)}
    return Table(
        encoder_id=FLOAT,
        method="mse",
        data_set="my faces",
        images=256,
        photos=[],
        insisted=insisted,
        ranges=ranges,
        floats={"conv_9": "costs <too> much"},
    )


SPEEDS = [Speed("float on openvino", 6.9, 5_200_000), Speed("int8 on openvino", 2.3, 1_300_000)]
