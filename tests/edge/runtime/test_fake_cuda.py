"""The fake GPU refuses what a real driver refuses; the fake bindings have the real names."""

import ctypes
import inspect
import re
import threading
from typing import Any

import numpy as np
import pytest

from tests.support.tensorrt import fake_cuda, fake_pycuda
from tests.support.tensorrt.fake_gpu import Gpu
from tests.support.tensorrt.fake_memory import WouldAbortError
from tests.support.tensorrt.fake_trt import TABLE

real = pytest.importorskip("cuda.bindings.driver")
OK = real.CUresult.CUDA_SUCCESS


class Place:
    """A GPU with cuda-python, initialised, and its primary context current."""

    def __init__(self) -> None:
        self.gpu = Gpu()
        self.cu: Any = fake_cuda.cuda_python_module(self.gpu)
        assert self.cu.cuInit(0) == (OK,)
        self.context = self.ok(self.cu.cuDevicePrimaryCtxRetain(0))
        self.ok(self.cu.cuCtxSetCurrent(self.context))

    @staticmethod
    def ok(answer: tuple[Any, ...]) -> Any:
        assert answer[0] == OK
        return answer[1] if len(answer) > 1 else None

    def host(self, values: list[float]) -> tuple[int, np.ndarray]:
        address = self.ok(self.cu.cuMemHostAlloc(4 * len(values), 0))
        array = np.ctypeslib.as_array((ctypes.c_float * len(values)).from_address(address))
        array[:] = values
        return address, array


@pytest.fixture
def place() -> Place:
    return Place()


def code(answer: tuple[Any, ...]) -> str:
    return str(answer[0].name).removeprefix("CUDA_ERROR_")


def test_each_name_is_a_real_one_with_the_real_parameters() -> None:
    module = fake_cuda.cuda_python_module(Gpu())
    names = [name for name in vars(module) if name.startswith("cu")]
    assert len(names) > 25
    for name in names:
        stated = re.match(r"\w+\((.*)\)", getattr(real, name).__doc__.splitlines()[0])
        assert stated is not None
        wanted = [part.split(":")[0].split()[-1] for part in stated[1].split(", ") if part]
        assert list(inspect.signature(getattr(module, name)).parameters) == wanted, name


def test_each_pycuda_name_is_a_real_one() -> None:
    module = fake_pycuda.pycuda_module(Gpu())
    known = TABLE["pycuda"]["names"]
    ours = {n for n, value in vars(module).items() if not n.startswith("_") and n != "state_"}
    assert ours - {"mem_alloc"} <= set(known[""])
    for kind in ("Device", "Context", "Stream", "Event", "DeviceAllocation"):
        written = {name for name in dir(getattr(module, kind)) if not name.startswith("_")}
        assert written <= set(known[kind])


def test_a_call_before_cu_init_is_refused() -> None:
    cu: Any = fake_cuda.cuda_python_module(Gpu())
    assert cu.cuDeviceGet(0) == (real.CUresult.CUDA_ERROR_NOT_INITIALIZED, None)


def test_without_a_driver_cuda_python_raises() -> None:
    cu: Any = fake_cuda.cuda_python_module(Gpu(libcuda=False))
    with pytest.raises(RuntimeError, match="NVIDIA driver"):
        cu.cuInit(0)


def test_a_driver_without_a_gpu_says_so() -> None:
    cu: Any = fake_cuda.cuda_python_module(Gpu(devices=0))
    assert code(cu.cuInit(0)) == "NO_DEVICE"


def test_a_context_is_a_thread_s_own(place: Place) -> None:
    place.ok(place.cu.cuMemAlloc(16))
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(code(place.cu.cuMemAlloc(16))))
    thread.start()
    thread.join()
    assert found == ["INVALID_CONTEXT"]


def test_a_copy_is_done_only_after_a_wait(place: Place) -> None:
    cu, (source, given), (target, taken) = place.cu, place.host([1, 2]), place.host([0, 0])
    stream, memory = place.ok(cu.cuStreamCreate(1)), place.ok(cu.cuMemAlloc(8))
    place.ok(cu.cuMemcpyHtoDAsync(memory, source, 8, stream))
    place.ok(cu.cuMemcpyDtoHAsync(target, memory, 8, stream))
    assert taken.tolist() == [0, 0]
    given[0] = 7  # A copy reads when it is carried out, not when it is queued.
    place.ok(cu.cuStreamSynchronize(stream))
    assert taken.tolist() == [7, 2]


def test_unknown_or_unlocked_memory_is_refused(place: Place) -> None:
    cu, (source, _) = place.cu, place.host([1])
    stream, memory = place.ok(cu.cuStreamCreate(0)), place.ok(cu.cuMemAlloc(4))
    loose = np.zeros(1, "f4")
    assert code(cu.cuMemcpyHtoDAsync(memory, loose.ctypes.data, 4, stream)) == "INVALID_VALUE"
    assert code(cu.cuMemcpyHtoDAsync(int(memory) + 1, source, 4, stream)) == "INVALID_VALUE"
    place.ok(cu.cuMemFree(memory))
    assert code(cu.cuMemcpyHtoDAsync(memory, source, 4, stream)) == "INVALID_VALUE"
    assert code(cu.cuMemFree(memory)) == "INVALID_VALUE"
    place.ok(cu.cuMemFreeHost(source))
    assert code(cu.cuMemFreeHost(source)) == "INVALID_VALUE"


def test_freed_host_memory_does_not_keep_its_values(place: Place) -> None:
    address, array = place.host([3.0])
    place.ok(place.cu.cuMemFreeHost(address))
    assert np.isnan(array[0])


def test_allocating_more_memory_than_the_gpu_has_is_refused(place: Place) -> None:
    assert code(place.cu.cuMemAlloc(9 << 30)) == "OUT_OF_MEMORY"


def captured(place: Place, mode: str = "RELAXED") -> tuple[Any, Any]:
    cu = place.cu
    stream = place.ok(cu.cuStreamCreate(1))
    kind = getattr(cu.CUstreamCaptureMode, f"CU_STREAM_CAPTURE_MODE_{mode}")
    place.ok(cu.cuStreamBeginCapture(stream, kind))
    return stream, cu


def test_a_capture_records_and_a_launch_replays(place: Place) -> None:
    (source, given), (target, taken) = place.host([1]), place.host([0])
    memory = place.ok(place.cu.cuMemAlloc(4))
    stream, cu = captured(place)
    place.ok(cu.cuMemcpyHtoDAsync(memory, source, 4, stream))
    place.ok(cu.cuMemcpyDtoHAsync(target, memory, 4, stream))
    graph = place.ok(cu.cuStreamEndCapture(stream))
    place.ok(cu.cuStreamSynchronize(stream))
    assert taken[0] == 0
    ready = place.ok(cu.cuGraphInstantiate(graph, 0))
    place.ok(cu.cuGraphDestroy(graph))
    for value in (5, 6):
        given[0] = value
        place.ok(cu.cuGraphLaunch(ready, stream))
        place.ok(cu.cuStreamSynchronize(stream))
        assert taken[0] == value
    place.ok(cu.cuGraphExecDestroy(ready))
    assert code(cu.cuGraphLaunch(ready, stream)) == "INVALID_VALUE"
    assert place.gpu.made["launch"] == 2


def test_waiting_spoils_a_capture(place: Place) -> None:
    stream, cu = captured(place)
    assert code(cu.cuStreamSynchronize(stream)) == "STREAM_CAPTURE_UNSUPPORTED"
    assert code(cu.cuStreamEndCapture(stream)) == "STREAM_CAPTURE_INVALIDATED"


def test_allocating_spoils_a_capture_that_is_not_relaxed(place: Place) -> None:
    stream, cu = captured(place, "THREAD_LOCAL")
    assert code(cu.cuMemAlloc(4)) == "STREAM_CAPTURE_UNSUPPORTED"
    assert code(cu.cuStreamEndCapture(stream)) == "STREAM_CAPTURE_INVALIDATED"
    relaxed, _ = captured(place)
    place.ok(cu.cuMemAlloc(4))
    place.ok(cu.cuStreamEndCapture(relaxed))


def test_the_default_stream_cannot_be_captured(place: Place) -> None:
    mode = place.cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    assert code(place.cu.cuStreamBeginCapture(0, mode)) == "STREAM_CAPTURE_UNSUPPORTED"


def test_unfreed_objects_are_counted(place: Place) -> None:
    stream, memory = place.ok(place.cu.cuStreamCreate(0)), place.ok(place.cu.cuMemAlloc(4))
    assert place.gpu.live() == {"device": 1, "streams": 1}
    place.ok(place.cu.cuMemFree(memory))
    place.ok(place.cu.cuStreamDestroy(stream))
    assert place.gpu.live() == {}
    assert place.gpu.made["device"] == 1


def test_events_are_stamped_in_order(place: Place) -> None:
    cu, stream = place.cu, place.ok(place.cu.cuStreamCreate(0))
    start, end = place.ok(cu.cuEventCreate(0)), place.ok(cu.cuEventCreate(0))
    place.ok(cu.cuEventRecord(start, stream))
    place.ok(cu.cuEventRecord(end, stream))
    assert code(cu.cuEventElapsedTime(start, end)) == "NOT_READY"
    place.ok(cu.cuEventSynchronize(end))
    assert place.ok(cu.cuEventElapsedTime(start, end)) > 0


def test_pycuda_copies_and_counts_as_cuda_python_does() -> None:
    gpu = Gpu()
    cu: Any = fake_pycuda.pycuda_module(gpu)
    with pytest.raises(cu.LogicError, match="NOT_INITIALIZED"):
        cu.Device(0)
    cu.init()
    context = cu.Device(0).retain_primary_context()
    with pytest.raises(cu.LogicError, match="no currently active context"):
        cu.Stream()
    context.push()
    host, back = cu.pagelocked_empty((2,), "f4"), cu.pagelocked_empty(2, "f4")
    host[:], back[:] = (3, 4), 0
    stream, memory = cu.Stream(), cu.mem_alloc(8)
    cu.memcpy_htod_async(int(memory), host, stream)
    cu.memcpy_dtoh_async(back, memory, stream)
    assert back.tolist() == [0, 0]
    stream.synchronize()
    assert back.tolist() == [3, 4]
    memory.free()
    with pytest.raises(cu.LogicError):
        memory.free()
    with pytest.raises(cu.LogicError, match="INVALID_VALUE"):
        cu.memcpy_htod_async(int(memory) or 1, host, stream)
    del host, back, stream
    assert gpu.live() == {}
    cu.Context.pop()
    cu.state_.leave()


def test_pycuda_aborts_where_a_context_is_left() -> None:
    cu: Any = fake_pycuda.pycuda_module(Gpu())
    cu.init()
    context = cu.Device(0).retain_primary_context()
    thread = threading.Thread(target=context.push, name="helper")
    thread.start()
    thread.join()
    with pytest.raises(WouldAbortError, match="helper"):
        cu.state_.leave()


def test_pycuda_cannot_be_imported_without_a_driver() -> None:
    gone = fake_cuda.modules(Gpu(libcuda=False), fake_cuda.PYCUDA)
    assert gone == {fake_cuda.CUDA_PYTHON: None, fake_cuda.PYCUDA: None}
