"""Where sessions run, and how: found out by trying.

What the runtime says of itself is not trusted. `get_available_providers()` lists CUDA wherever the wheel was built with
it, and a session that asks for CUDA falls back to the CPU without an exception. So CUDA counts as there only once a
session has run on it with fallback forbidden.
"""

import contextlib
import ctypes
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from service.engine.runtime.words import ENGINE_ERRORS, in_words, session_options

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

LIBRARIES = Path(ort.__file__).parent / "capi"
"""Where the wheel has its libraries: one for each provider that is not built in."""

Kind: TypeAlias = Literal["cpu", "cuda"]
Wanted: TypeAlias = Literal["auto", "cpu", "cuda"]


class DeviceUnavailable(Exception):
    """The device that was asked for by name does not work."""


@dataclass(frozen=True, slots=True)
class CudaOptions:
    """How sessions use a GPU.

    Attributes:
        tf32: round float32 inputs of convolutions and products to 10 bits: faster, and not what a CPU gives.
        memory_bytes: that one model may take for weights and runs; 0 for no limit.
        runs: how models are run (`service.engine.gpu.sized`): in the fastest way, or in one of them alone.
    """

    tf32: bool = False
    memory_bytes: int = 0
    runs: Literal["auto", "bound", "plain"] = "auto"

    def of_provider(self, *, graphs: bool = False) -> dict[str, str]:
        """ONNX Runtime's options of its CUDA provider.

        HEURISTIC: the default search costs over half a second for every new shape. The arena, of which every model has
        one, grows by what is asked for; by default it doubles.

        Args:
            graphs: whether the session is to capture runs as CUDA graphs.
        """
        options = {
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": str(int(self.tf32)),
            "arena_extend_strategy": "kSameAsRequested",
            "enable_cuda_graph": str(int(graphs)),
        }
        return options | ({"gpu_mem_limit": str(self.memory_bytes)} if self.memory_bytes else {})


@dataclass(frozen=True, slots=True)
class Device:
    """Where sessions run.

    Attributes:
        kind: what is in use.
        wanted: what was asked for.
        reason: why `kind` and not the GPU; None on the GPU.
        strict: on a GPU, no model is served of which some node runs elsewhere.
    """

    kind: Kind
    wanted: Wanted
    reason: str | None
    cuda: CudaOptions = CudaOptions()
    strict: bool = False

    @classmethod
    def cpu(cls) -> "Device":
        return cls("cpu", "cpu", "the CPU was asked for")

    @property
    def provider(self) -> str:
        return CUDA if self.kind == "cuda" else CPU

    def providers(self, *, graphs: bool = False) -> list[str | tuple[str, dict[str, str]]]:
        """As ONNX Runtime takes them; what the GPU has no kernel for goes to the CPU, and `Session.placement` tells."""
        return [(CUDA, self.cuda.of_provider(graphs=graphs)), CPU] if self.kind == "cuda" else [CPU]


def detect(
    wanted: Wanted,
    why_not: Callable[[], str | None] | None = None,
    *,
    cuda: CudaOptions = CudaOptions(),  # frozen
    strict: bool = False,
) -> Device:
    """Find out whether CUDA works, by using it.

    Args:
        wanted: the setting.
        why_not: tells what keeps CUDA from working, None if nothing does; `why_not_cuda` if not given.

    Raises:
        DeviceUnavailable: `cuda` was asked for and does not work; says why.
    """
    if wanted == "cpu":
        return Device.cpu()
    reason = (why_not or why_not_cuda)()
    if reason is None:
        return Device("cuda", wanted, None, cuda, strict)
    if wanted == "cuda":
        raise DeviceUnavailable(f"device cuda was asked for, but {reason}")
    return Device("cpu", wanted, reason)


def why_not_cuda(libraries: Path = LIBRARIES) -> str | None:
    """Return why CUDA cannot be used, or None if it can."""
    if CUDA not in ort.get_available_providers():
        return "this build of ONNX Runtime has no CUDA provider"  # pragma: no cover  # the other wheel
    if not any(libraries.glob("*onnxruntime_providers_cuda*")):
        return "this is an installation for CPUs only (ONNX Runtime's library for CUDA was left out)"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver on this machine (libcuda.so.1 is missing)"
    return why_cuda_does_not_start()  # pragma: no cover  # needs a driver


def why_cuda_does_not_start() -> str | None:
    """Run one node on CUDA with fallback forbidden; return what went wrong, or None."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # preload_dlls prints what it could not load, and raises nothing
        ort.preload_dlls()
    try:
        options = session_options(threads=1)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        on_cuda = [(CUDA, CudaOptions().of_provider())]
        probe = ort.InferenceSession(probe_model(), options, providers=on_cuda, enable_fallback=0)
        probe.run(None, {"x": np.ones(1, dtype=np.float32)})  # pragma: no cover  # needs a GPU
    except ENGINE_ERRORS as error:
        details = " ".join(printed.getvalue().split())[:500]
        return f"the CUDA provider does not start: {in_words(error)} {details}".strip()
    return None if CUDA in probe.get_providers() else "it fell back"  # pragma: no cover  # needs a GPU


def probe_model() -> bytes:
    """The least model there is: y = x + x."""
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "probe", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialised: bytes = model.SerializeToString()
    return serialised
