"""The fake TensorRT has a version's names and no others, and builds what TensorRT builds."""

from enum import EnumMeta

import pytest

from tests.support.tensorrt import fake_trt
from tests.support.tensorrt.fake_device import PLAIN, Place, quantized
from tests.support.tensorrt.fake_gpu import Gpu
from tests.support.tensorrt.fake_memory import WouldSegfaultError


@pytest.mark.parametrize("version", fake_trt.VERSIONS)
def test_each_version_has_its_names_only(version: str) -> None:
    trt = fake_trt.module(version, Gpu())
    for kind, names in fake_trt.TABLE["names"].items():
        if kind not in fake_trt.members(version, "") and kind != "":
            continue
        holder = getattr(trt, kind) if kind else trt
        for name in names:
            there = name in fake_trt.members(version, kind)
            # The members of an enum have attributes that the class itself need not have.
            in_member = isinstance(holder, EnumMeta) and name in ("name", "value", "itemsize")
            seen = next(iter(holder)) if in_member else holder
            assert hasattr(seen, name) is there, f"{kind}.{name}"


def test_names_that_a_version_lacks_cannot_be_used() -> None:
    new, old = fake_trt.module("11.4", Gpu()), fake_trt.module("8.6", Gpu())
    with pytest.raises(AttributeError, match="INT8"):
        new.BuilderFlag.INT8  # noqa: B018
    with pytest.raises(AttributeError, match="IProgressMonitor"):
        old.IProgressMonitor  # noqa: B018
    config = Place("8.6").trt.IBuilderConfig()
    with pytest.raises(AttributeError, match="progress_monitor"):
        config.progress_monitor = None


@pytest.mark.parametrize("version", fake_trt.VERSIONS)
def test_arguments_are_called_as_the_table_says(version: str) -> None:
    """The fake's methods take TensorRT's arguments, by name and in order."""
    checked = 0
    for written in fake_trt.WRITTEN:
        for name, what in fake_trt.members(version, written.__name__).items():
            code = getattr(vars(written).get(name), "__code__", None)
            if code is not None and what.startswith("("):
                ours = list(code.co_varnames[1 : code.co_argcount])
                stated = [part.strip("()").replace("=...", "") for part in what.split(" or ")]
                forms = [[a for a in form.split(", ") if a] for form in stated]
                fits = any(ours[: len(form)] == form for form in forms)
                assert fits, f"{written.__name__}.{name}{ours} is {what}"
                checked += 1
    assert checked > 30


def test_a_runtime_before_the_driver_would_end_the_process() -> None:
    place = Place()
    place.gpu.initialised = False
    with pytest.raises(WouldSegfaultError):
        place.trt.Runtime(place.logger)
    with pytest.raises(TypeError, match="nullptr"):
        place.trt.Builder(place.logger)


def test_8_6_parses_into_networks_of_explicit_batch_only() -> None:
    place = Place("8.6")
    assert place.plan(PLAIN, network=0) is None
    assert "EXPLICIT_BATCH" in place.said[0]
    assert place.plan(PLAIN) is not None


@pytest.mark.parametrize("version", ["8.6", "10.3", "10.13", "10.16"])
def test_pairs_need_the_flag_before_11(version: str) -> None:
    place = Place(version)
    assert place.plan(quantized()) is None
    assert "int8 is not configured" in place.said[-1]
    assert place.plan(quantized(), "INT8") is not None


def test_11_takes_pairs_as_they_are() -> None:
    assert Place("11.4").plan(quantized()) is not None


def test_a_strongly_typed_network_takes_no_precision_flags() -> None:
    place = Place("10.3")
    strong = 1 << int(place.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert place.plan(quantized(), network=strong) is not None
    assert place.plan(quantized(), "INT8", network=strong) is None


def test_the_parser_reports_each_refused_node() -> None:
    place = Place("10.3")
    network = place.trt.Builder(place.logger).create_network(1)
    parser = place.trt.OnnxParser(network, place.logger)
    assert not parser.parse(quantized(zero=3))
    assert parser.num_errors == 2
    assert parser.get_error(0).node_operator() == "QuantizeLinear"
    parser.clear_errors()
    assert not parser.parse(b"no model")
    assert not hasattr(Place("8.6").trt.ParserError, "node_operator")


def test_an_open_batch_needs_a_profile() -> None:
    place = Place()
    assert place.plan(quantized(batch="n"), "INT8") is None
    assert "no optimization profile" in place.said[-1]


def test_progress_is_reported_and_can_cancel() -> None:
    place, heard, base = Place(), [], fake_trt.module("10.3", Gpu()).IProgressMonitor
    base = place.trt.IProgressMonitor

    class Monitor(base):  # type: ignore[misc, valid-type]
        going_on = True

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            heard.append(("start", num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            heard.append(("step", step))
            return self.going_on

        def phase_finish(self, phase_name: str) -> None:
            heard.append(("finish", 0))

    monitor = Monitor()
    assert place.plan(PLAIN, monitor=monitor) is not None
    assert heard == [("start", 3), ("step", 0), ("step", 1), ("step", 2), ("finish", 0)]
    monitor.going_on = False
    assert place.plan(PLAIN, monitor=monitor) is None
    assert "cancelled" in place.said[-1]


def test_a_timing_cache_spares_the_timing() -> None:
    place = Place()
    builder = place.trt.Builder(place.logger)

    def built(cache: bytes) -> tuple[bytes, int]:
        network, config = builder.create_network(1), builder.create_builder_config()
        place.trt.OnnxParser(network, place.logger).parse(PLAIN)
        assert config.set_timing_cache(config.create_timing_cache(cache), ignore_mismatch=False)
        before = place.trt.world_.timed
        assert builder.build_serialized_network(network, config) is not None
        return bytes(config.get_timing_cache().serialize()), place.trt.world_.timed - before

    cache, timed = built(b"")
    assert timed == 3
    assert built(cache)[1] == 0
    config = Place(sm=(8, 6)).trt.IBuilderConfig()
    assert not config.set_timing_cache(config.create_timing_cache(cache), ignore_mismatch=False)
