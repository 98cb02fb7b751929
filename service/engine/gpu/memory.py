"""Memory of the GPU, and memory of the host that the GPU reads and writes by itself; by NVIDIA's runtime library.

ONNX Runtime copies from and to ordinary memory, which the driver first has to copy to pages that cannot move. Memory
that is such from the start (pinned) is spared that, and can be kept from one run to the next.

Source: CUDA Runtime API, https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__MEMORY.html
"""

import ctypes
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.runtime.lane import GPU, Lane
from service.errors import DeviceFailed

Bytes = NDArray[np.uint8]

LIBRARY = "libcudart.so.13"
"""That of the CUDA version which ONNX Runtime's package was built for; it is loaded by then."""

TO_DEVICE, TO_HOST, WITHIN_DEVICE = 1, 2, 3
"""cudaMemcpyHostToDevice, …DeviceToHost, …DeviceToDevice."""


class Memory(Protocol):
    """What runs with fixed memory need of a device.

    Attributes:
        device: ONNX Runtime's name of it.
    """

    device: str

    def allocate(self, size: int) -> "Block":
        """Bytes on the device; freed when the block goes."""

    def pinned(self, size: int) -> Bytes:
        """Bytes of the host that the device reads and writes by itself; freed when the last view goes."""

    def to_device(self, block: "Block", array: NDArray[Any]) -> None:
        """Copy an array, which is contiguous, to the beginning of a block; done when this returns."""

    def to_host(self, array: NDArray[Any], block: "Block") -> None:
        """Copy the beginning of a block to an array, which is contiguous; done when this returns."""

    def within(self, to: "Block", block: "Block") -> None:
        """Copy a block to the beginning of another, which is no shorter; done when this returns."""


class Block:
    """Bytes on a device."""

    __slots__ = ("__weakref__", "address", "size")

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size


class CudaMemory:
    """Of the first GPU.

    Args:
        library: NVIDIA's runtime, or something with the same functions; each returns 0 or an error's number.
        lane: where memory is given back, whenever and wherever it is let go of.
    """

    device = "cuda"

    def __init__(self, library: Any, lane: Lane = GPU) -> None:
        self._library = library
        self._lane = lane

    @classmethod
    def load(cls) -> "CudaMemory | None":
        """None where there is no such library."""
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError:
            return None
        library.cudaGetErrorString.restype = ctypes.c_char_p  # pragma: no cover  # needs the library
        return cls(library)  # pragma: no cover  # needs the library

    def allocate(self, size: int) -> Block:
        """As `Memory`.

        Raises:
            DeviceFailed: there is not so much left.
        """
        block = Block(self._address("cudaMalloc", size), size)
        self._free_with(block, self._library.cudaFree, block.address)
        return block

    def pinned(self, size: int) -> Bytes:
        """As `Memory`.

        Raises:
            DeviceFailed: there is not so much left.
        """
        address = self._address("cudaMallocHost", size)
        buffer = (ctypes.c_uint8 * size).from_address(address)
        self._free_with(buffer, self._library.cudaFreeHost, address)
        return np.frombuffer(memoryview(buffer), np.uint8)

    def to_device(self, block: Block, array: NDArray[Any]) -> None:
        self._copy(block.address, array.ctypes.data, array.nbytes, TO_DEVICE)

    def to_host(self, array: NDArray[Any], block: Block) -> None:
        self._copy(array.ctypes.data, block.address, array.nbytes, TO_HOST)

    def within(self, to: Block, block: Block) -> None:
        self._copy(to.address, block.address, block.size, WITHIN_DEVICE)
        self._check(self._library.cudaStreamSynchronize(None), "cudaStreamSynchronize")  # such a copy is not waited for

    def _free_with(self, owner: object, free: Callable[[ctypes.c_void_p], int], address: int) -> None:
        weakref.finalize(owner, self._lane.later, free, ctypes.c_void_p(address)).atexit = False

    def _address(self, function: str, size: int) -> int:
        pointer = ctypes.c_void_p()
        self._check(getattr(self._library, function)(ctypes.byref(pointer), ctypes.c_size_t(size)), function)
        assert pointer.value is not None
        return pointer.value

    def _copy(self, to: int, origin: int, size: int, direction: int) -> None:
        code = self._library.cudaMemcpy(
            ctypes.c_void_p(to), ctypes.c_void_p(origin), ctypes.c_size_t(size), ctypes.c_int(direction)
        )
        self._check(code, "cudaMemcpy")

    def _check(self, code: int, function: str) -> None:
        if code:
            raise DeviceFailed(f"{function}: {self._library.cudaGetErrorString(code).decode()}")


@dataclass(slots=True)
class _Kept:
    """An array, and where it lies on the device once somebody has read it there."""

    array: NDArray[Any]
    block: Block | None = None


class Resident:
    """Arrays that several models read: each is sent to the device once.

    Attributes:
        lane: the thread that the device is used in.
    """

    def __init__(self, memory: Memory, lane: Lane = GPU) -> None:
        self.memory = memory
        self.lane = lane
        self._kept: dict[int, _Kept] = {}

    @contextmanager
    def keep(self, arrays: Iterable[NDArray[Any]]) -> Iterator[None]:
        """Until the block ends have each of them on the device, from when it is first asked for."""
        kept = {id(array): _Kept(array) for array in arrays}
        self._kept |= kept
        try:
            yield
        finally:
            for key in kept:
                del self._kept[key]

    def of(self, array: NDArray[Any]) -> Block | None:
        """Where this array, and no copy of it, lies on the device; None if it is not kept. Called in the lane."""
        kept = self._kept.get(id(array))
        if kept is None:
            return None
        if kept.block is None:
            block = self.memory.allocate(array.nbytes)
            self.memory.to_device(block, np.ascontiguousarray(array))
            kept.block = block
        return kept.block
