"""A simulated device: a fake TensorRT and GPU, and orders carried out in this process."""

import sys
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.engine import child
from ostiary.export.engine.make import EngineOptions, Made, make
from ostiary.export.engine.order import (
    TENSORRT,
    Answer,
    Build,
    Built,
    Here,
    Order,
    PlaceQuery,
    Prove,
    ProvenPlan,
)
from ostiary.export.engine.workshop import Heard
from tests.support.tensorrt import fake_trt
from tests.support.tensorrt.fake_cuda import CUDA_PYTHON
from tests.support.tensorrt.fake_gpu import Gpu

A = TypeVar("A", bound=Answer)


class Bench:
    """A workshop that works in this process; `steps` holds the reported progress."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.steps: list[Answer] = []

    def probe(self, order: PlaceQuery) -> Here:
        return self._carry_out(order, Here)

    def build(self, order: Build, heard: Heard) -> Built:
        return self._carry_out(order, Built)

    def prove(self, order: Prove) -> ProvenPlan:
        return self._carry_out(order, ProvenPlan)

    def _carry_out(self, order: Order, kind: type[A]) -> A:
        self.orders.append(order)
        answers: list[Answer] = []
        child.carry_out(order, answers.append)
        self.steps += answers[:-1]
        last = answers[-1]
        assert isinstance(last, kind)
        return last

    def count(self, kind: type) -> int:
        return sum(isinstance(order, kind) for order in self.orders)


class Device:
    """Puts a Jetson's modules (fakes) into this process's `sys.modules`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def become(
        self, version: str, binding: str = CUDA_PYTHON, full: str | None = None, **gpu: Any
    ) -> "Device":
        """Replace the TensorRT and the GPU by others."""
        self.gpu = Gpu(**gpu)
        modules = fake_trt.modules(version, self.gpu, binding)
        if full is not None:
            modules["tensorrt"] = fake_trt.module(version, self.gpu, full)
        for name, module in modules.items():
            self._monkeypatch.setitem(sys.modules, name, module)
        self.trt: Any = modules["tensorrt"]
        return self


def build(bundle: Bundle, folder: Path, again: bool = False, bench: Bench | None = None) -> Made:
    """All engines of a bundle, on the device there is."""
    options = EngineOptions(TENSORRT, again=again)
    return make(bundle, folder, bench or Bench(), options, lambda text, step: None)
