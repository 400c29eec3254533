"""The table of TensorRT's names agrees with other sources, such as type stubs."""

import re
from pathlib import Path

import pytest

from scripts import tensorrt_api
from tests.support.places import ROOT
from tests.support.tensorrt.fake_trt import TABLE, VERSIONS, members

STUBS = ROOT / ".venv" / "typings" / "tensorrt_bindings" / "tensorrt.pyi"
GONE_IN_11 = [
    ("BuilderFlag", "INT8"),
    ("BuilderFlag", "FP16"),
    ("BuilderFlag", "BF16"),
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"),
    ("Builder", "platform_has_fast_int8"),
    ("IBuilderConfig", "int8_calibrator"),
    ("ILayer", "precision"),
    ("ITensor", "set_dynamic_range"),
    ("", "IInt8EntropyCalibrator2"),
]
COMMON = {
    "ICudaEngine": [
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_mode",
        "get_tensor_shape",
        "get_tensor_dtype",
        "create_engine_inspector",
    ],
    "IExecutionContext": ["set_input_shape", "set_tensor_address", "execute_async_v3"],
    "Builder": ["build_serialized_network", "create_network"],
    "IBuilderConfig": ["create_timing_cache", "set_timing_cache", "set_memory_pool_limit"],
}
NOT_IN_RTX = {
    "Builder.build_engine_with_config",
    "IBuilderConfig.remote_auto_tuning_config",
    "INetworkDefinition.has_implicit_batch_dimension",
    "ITensor.broadcast_across_batch",
    "ITensor.location",
    "NetworkDefinitionCreationFlag.PREFER_AOT_PYTHON_PLUGINS",
    "NetworkDefinitionCreationFlag.PREFER_JIT_PYTHON_PLUGINS",
}
WRITE_ONLY = {"Builder.gpu_allocator", "Runtime.gpu_allocator", "IExecutionContext.device_memory"}
"""Properties that cannot be read, which the stubs leave out."""


def test_the_table_names_its_sources() -> None:
    assert tuple(TABLE["versions"]) == VERSIONS
    assert all(about["source"] and about["built"] for about in TABLE["versions"].values())
    assert sum(len(names) for names in TABLE["names"].values()) > 400


@pytest.mark.parametrize(("kind", "name"), GONE_IN_11)
def test_names_that_11_removed_are_in_10_only(kind: str, name: str) -> None:
    assert name in members("10.16", kind)
    assert name not in members("11.4", kind)


def test_the_binding_api_went_with_10() -> None:
    for name in ("execute_async_v2", "get_binding_shape"):
        assert name in members("8.6", "IExecutionContext")
        assert name not in members("10.3", "IExecutionContext")


def test_progress_came_with_10() -> None:
    assert "IProgressMonitor" not in members("8.6", "")
    assert "progress_monitor" not in members("8.6", "IBuilderConfig")
    assert "IProgressMonitor" in members("10.3", "")


@pytest.mark.parametrize("version", VERSIONS)
def test_names_that_all_versions_share(version: str) -> None:
    for kind, names in COMMON.items():
        assert set(names) <= set(members(version, kind))


def test_numbers_of_flags_differ_so_that_only_names_may_be_kept() -> None:
    assert members("8.6", "BuilderFlag")["TF32"] != members("10.3", "BuilderFlag")["TF32"]
    explicit = members("10.3", "NetworkDefinitionCreationFlag")["EXPLICIT_BATCH"]
    assert explicit == members("11.4", "NetworkDefinitionCreationFlag")["STRONGLY_TYPED"] == "= 0"


def test_tensorrt_for_rtx_agrees_with_11() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    if not rtx.__version__.startswith("1.7."):
        pytest.skip(f"the table was compared with TensorRT for RTX 1.7, this is {rtx.__version__}")
    found = tensorrt_api.read_api(rtx)
    compared = 0
    for kind in (k for k in TABLE["names"] if k):
        ours = members("11.4", kind)
        theirs = found.get(kind, {})
        missing = {f"{kind}.{name}" for name in ours if name not in theirs}
        assert missing <= NOT_IN_RTX
        shared = [name for name in ours if name in theirs and name != "build_serialized_network"]
        assert {n: ours[n] for n in shared} == {n: theirs[n] for n in shared}
        compared += len(shared)
    assert compared > 250


def test_the_type_stubs_agree_with_10_13() -> None:
    if not STUBS.is_file():
        pytest.skip("scripts/typings puts tensorrt-stubs there")
    stubs = names_of(STUBS)
    for kind in (k for k in TABLE["names"] if k not in ("", "Severity")):
        ours = {f"{kind}.{name}" for name in members("10.13", kind)} - WRITE_ONLY
        theirs = {f"{kind}.{name}" for name in stubs[kind]}
        nested = {f"{kind}.Severity", f"{kind}.Members"}
        added = {name for name in theirs if ".add_" in name}
        assert ours - nested <= theirs
        assert theirs - nested - added <= ours


def names_of(stubs: Path) -> dict[str, set[str]]:
    """Classes and their names, read by lines: some versions of the stubs are not valid Python."""
    found: dict[str, set[str]] = {}
    kind = ""
    for line in stubs.read_text().splitlines():
        if opened := re.match(r"class (\w+)", line):
            kind = opened[1]
            found[kind] = set()
        if member := re.match(r"    (?:def (\w+)\(|(\w+):)", line):
            name = member[1] or member[2]
            if kind and not name.startswith("_"):
                found[kind].add(name)
    return found


def test_arguments_are_read_as_pybind11_writes_them() -> None:
    def limit() -> None: ...

    limit.__doc__ = "limit(self: t.IConfig, pool: t.Pool, size: typing.SupportsInt = 0) -> None"
    assert tensorrt_api.arguments(limit) == "(pool, size=...)"
    limit.__doc__ = "limit(*args, **kwargs)\nOverloaded function.\n\n"
    limit.__doc__ += "1. limit(self: t.C, a: List[t.A]) -> bool\n\nOne.\n\n"
    limit.__doc__ += "2. limit(self: t.C, a: str, b: t.S = <S.STATIC: 0>) -> bool\n"
    assert tensorrt_api.arguments(limit) == "(a) or (a, b=...)"


def test_pycuda_has_no_graphs() -> None:
    assert not TABLE["pycuda"]["captures_graphs"]
    assert not [n for names in TABLE["pycuda"]["names"].values() for n in names if "capture" in n]
