"""Memory is NVIDIA's runtime's: asked for, copied and given back by its functions; errors are told in its words."""

import ctypes
import gc
from collections.abc import Callable

import numpy as np
import pytest

from service.engine.gpu import memory as memory_module
from service.engine.gpu.memory import TO_DEVICE, TO_HOST, WITHIN_DEVICE, CudaMemory
from service.engine.runtime.lane import GPU
from service.errors import DeviceFailed


class Library:
    """NVIDIA's runtime on a machine whose GPU is its own memory."""

    def __init__(self, *, fails: str = "") -> None:
        self.calls: list[str] = []
        self.directions: list[int] = []
        self.blocks: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.fails = fails

    def _made(self, name: str, pointer: object, size: ctypes.c_size_t) -> int:
        self.calls.append(name)
        if self.fails == name:
            return 2
        block = ctypes.create_string_buffer(size.value)
        self.blocks[ctypes.addressof(block)] = block
        pointer._obj.value = ctypes.addressof(block)  # type: ignore[attr-defined]
        return 0

    def _freed(self, name: str, pointer: ctypes.c_void_p) -> int:
        assert pointer.value is not None
        del self.blocks[pointer.value]
        self.calls.append(name)
        return 0

    def cudaMalloc(self, pointer: object, size: ctypes.c_size_t) -> int:
        return self._made("cudaMalloc", pointer, size)

    def cudaMallocHost(self, pointer: object, size: ctypes.c_size_t) -> int:
        return self._made("cudaMallocHost", pointer, size)

    def cudaFree(self, pointer: ctypes.c_void_p) -> int:
        return self._freed("cudaFree", pointer)

    def cudaFreeHost(self, pointer: ctypes.c_void_p) -> int:
        return self._freed("cudaFreeHost", pointer)

    def cudaMemcpy(
        self, to: ctypes.c_void_p, origin: ctypes.c_void_p, size: ctypes.c_size_t, direction: ctypes.c_int
    ) -> int:
        if self.fails == "cudaMemcpy":
            return 700
        self.directions.append(direction.value)
        ctypes.memmove(to, origin, size.value)
        return 0

    def cudaStreamSynchronize(self, stream: None) -> int:
        self.calls.append("cudaStreamSynchronize")
        return 0

    def cudaGetErrorString(self, code: int) -> bytes:
        return {2: b"out of memory", 700: b"an illegal memory access was encountered"}[code]


def test_what_is_copied_to_the_device_within_it_and_back_is_the_same() -> None:
    library = Library()
    memory = CudaMemory(library)
    sent = np.arange(6, dtype=np.float32).reshape(2, 3)
    first, second = memory.allocate(sent.nbytes), memory.allocate(100)
    memory.to_device(first, sent)
    memory.within(second, first)
    got = np.zeros_like(sent)
    memory.to_host(got, second)

    np.testing.assert_array_equal(got, sent)
    assert library.directions == [TO_DEVICE, WITHIN_DEVICE, TO_HOST]
    assert library.calls[-1] == "cudaStreamSynchronize"


def test_a_block_is_freed_when_it_goes() -> None:
    library = Library()
    block = CudaMemory(library).allocate(8)
    assert list(library.blocks) == [block.address]
    del block
    gc.collect()
    GPU.call(lambda: None)  # it is freed there
    assert (library.blocks, library.calls[-1]) == ({}, "cudaFree")


def test_pinned_memory_is_freed_with_the_last_view_of_it() -> None:
    library = Library()
    pinned = CudaMemory(library).pinned(8)
    view = pinned[:4].view(np.float32)
    view[0] = 1.5
    del pinned
    gc.collect()
    assert (len(library.blocks), view.tolist()) == (1, [1.5])
    del view
    gc.collect()
    GPU.call(lambda: None)
    assert (library.blocks, library.calls[-1]) == ({}, "cudaFreeHost")


@pytest.mark.parametrize(
    ("fails", "use", "text"),
    [
        ("cudaMalloc", lambda memory: memory.allocate(8), "cudaMalloc: out of memory"),
        ("cudaMallocHost", lambda memory: memory.pinned(8), "cudaMallocHost: out of memory"),
        (
            "cudaMemcpy",
            lambda memory: memory.to_device(memory.allocate(8), np.zeros(1)),
            "cudaMemcpy: an illegal memory access was encountered",
        ),
    ],
)
def test_an_error_is_told_in_the_runtimes_words(fails: str, use: Callable[[CudaMemory], object], text: str) -> None:
    with pytest.raises(DeviceFailed) as failed:
        use(CudaMemory(Library(fails=fails)))
    assert failed.value.text == text


def test_without_the_library_there_is_no_such_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "LIBRARY", "libnothing.so.13")
    assert CudaMemory.load() is None
