"""ONNX Runtime, and nowhere else: devices found out by trying, sessions that say where their nodes run.

What the runtime says of itself is not trusted. `get_available_providers()` lists CUDA wherever the wheel was built with
it, and a session that asks for CUDA falls back to the CPU without an exception. So CUDA counts as there only once a
session has run on it with fallback forbidden, and every session is checked after it is made.
"""

import contextlib
import ctypes
import io
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from service.engine.runs import RUNS
from service.errors import DeviceFailed, ModelFailed, ModelUnavailable, RunStopped, ServiceError

Tensor: TypeAlias = NDArray[Any]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
"""HEURISTIC: the default search costs over half a second for every new shape. TF32 rounds float32 inputs to 10 bits."""

ENGINE_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    ort_errors.EPFail,
)

BFLOAT16 = "tensor(bfloat16)"

LIBRARIES = Path(ort.__file__).parent / "capi"
"""Where the wheel has its libraries: one for each provider that is not built in."""

ort.set_default_logger_severity(4)  # errors reach us as exceptions; the log would repeat them, with paths


class DeviceUnavailable(Exception):
    """The device that was asked for by name does not work."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where sessions run.

    Attributes:
        kind: what is in use.
        wanted: what was asked for.
        reason: why `kind` and not the GPU; None on the GPU.
    """

    kind: Literal["cpu", "cuda"]
    wanted: Literal["auto", "cpu", "cuda"]
    reason: str | None

    @classmethod
    def cpu(cls) -> "Device":
        return cls("cpu", "cpu", "the CPU was asked for")

    @property
    def provider(self) -> str:
        return CUDA if self.kind == "cuda" else CPU

    def providers(self) -> list[str | tuple[str, dict[str, str]]]:
        return [(CUDA, CUDA_OPTIONS), CPU] if self.kind == "cuda" else [CPU]


def detect(wanted: Literal["auto", "cpu", "cuda"], why_not: Callable[[], str | None] | None = None) -> Device:
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
        return Device("cuda", wanted, None)
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
        options = _options(threads=1)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        probe = ort.InferenceSession(_probe(), options, providers=[(CUDA, CUDA_OPTIONS)], enable_fallback=0)
        probe.run(None, {"x": np.ones(1, dtype=np.float32)})  # pragma: no cover  # needs a GPU
    except ENGINE_ERRORS as error:
        details = " ".join(printed.getvalue().split())[:500]
        return f"the CUDA provider does not start: {_in_words(error)} {details}".strip()
    return None if CUDA in probe.get_providers() else "it fell back"  # pragma: no cover  # needs a GPU


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model: ONNX Runtime's type string, and its shape with None where any length goes.

    Attributes:
        symbol: the file's own name for the first dimension, where that is free and has one.
    """

    name: str
    type: str
    shape: tuple[int | None, ...] | None
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded model.

    Attributes:
        metadata: the file's own `metadata_props`.
        placement: number of graph nodes by the provider that runs them, before fusion.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    placement: Mapping[str, int]
    provider: str
    _session: ort.InferenceSession = field(repr=False)
    _has_bfloat16: bool = field(repr=False)

    @classmethod
    def load(cls, model: bytes, device: Device, *, threads: int = 1, keeps_memory: bool = True) -> "Session":
        """Create a session from a serialised model.

        Args:
            keeps_memory: what a run has used on the CPU stays the session's, for the next.

        Raises:
            ModelUnavailable: ONNX Runtime refuses the model, or put it elsewhere than on the device; says why.
        """
        options = _options(threads)
        options.enable_cpu_mem_arena = keeps_memory
        try:
            session = ort.InferenceSession(model, options, providers=device.providers(), enable_fallback=0)
        except ENGINE_ERRORS as error:
            raise ModelUnavailable(_in_words(error)) from error
        if session.get_providers()[0] != device.provider:
            raise ModelUnavailable(f"{device.provider} was asked for, ONNX Runtime uses {session.get_providers()}")
        inputs, outputs = (tuple(map(_spec, arguments)) for arguments in (session.get_inputs(), session.get_outputs()))
        types = {spec.type for spec in (*inputs, *outputs)}
        if {BFLOAT16, "tensor(string)"} <= types:
            raise ModelUnavailable("strings together with bfloat16 are not supported")  # no call takes both
        return cls(
            inputs=inputs,
            outputs=outputs,
            metadata=dict(session.get_modelmeta().custom_metadata_map),
            placement=_placement(session),
            provider=device.provider,
            _session=session,
            _has_bfloat16=BFLOAT16 in types,
        )

    def run(self, feeds: Mapping[str, Tensor], *, limit_s: float | None = None) -> dict[str, Tensor]:
        """Run the model; callable from several threads at once.

        Args:
            limit_s: stop a run that takes longer; a file may hold an endless loop.

        Raises:
            ModelFailed: the model fails on this input; the runtime's own words.
            ModelUnavailable: the run was stopped at the limit.
            RunStopped: the run was told to stop by whoever watches `RUNS`.
            DeviceFailed: the GPU no longer works.
        """
        if limit_s is None:
            options = ort.RunOptions()  # one for each run: to stop one must not stop another
            RUNS.begin(options)
            try:
                return self._run(feeds, options)
            finally:
                RUNS.end(options)
        with _deadline(limit_s) as options:
            try:
                return self._run(feeds, options)
            except RunStopped as error:
                raise ModelUnavailable(f"a run took more than {limit_s} s and was stopped") from error

    def _run(self, feeds: Mapping[str, Tensor], options: ort.RunOptions) -> dict[str, Tensor]:
        try:
            if self._has_bfloat16:
                values = {name: _to_value(array) for name, array in feeds.items()}
                found = [_to_array(value) for value in self._session.run_with_ort_values(None, values, options)]
            else:
                found = self._session.run(None, feeds, options)
        except ENGINE_ERRORS as error:
            raise _failure(error, stopped=options.terminate) from error
        RUNS.device_failures = 0
        return {output.name: result for output, result in zip(self.outputs, found, strict=True)}


def _failure(error: Exception, *, stopped: bool) -> ServiceError:
    """What an error of a run means to who asked for it."""
    if stopped:
        return RunStopped("the run of the model took too long and was stopped")
    if RUNS.is_device_failure(str(error)):
        return DeviceFailed("the device that the model runs on does not work")
    return ModelFailed(f"the model fails on this input: {_in_words(error)}")


@contextlib.contextmanager
def _deadline(limit_s: float) -> Iterator[ort.RunOptions]:
    """Options of a run that ends with an error at the next node once the time is over."""
    options = ort.RunOptions()
    timer = threading.Timer(limit_s, setattr, (options, "terminate", True))
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def _to_value(array: Tensor) -> ort.OrtValue:
    """The runtime's own tensor over the array's memory; it knows no NumPy dtype for bfloat16, only its bits."""
    array = np.asarray(array, order="C")
    if array.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), onnx.TensorProto.BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _to_array(value: ort.OrtValue) -> Tensor:
    if value.data_type() != BFLOAT16:
        array: Tensor = value.numpy()
        return array
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())  # a copy: the value goes away
    return np.frombuffer(bytearray(content), ml_dtypes.bfloat16).reshape(value.shape())


def runtime_version() -> str:
    return str(ort.__version__)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning burns a shared CPU while idle
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _spec(argument: Any) -> TensorSpec:
    """Translate the runtime's description; a symbolic dimension becomes None, and so does a shape that is not given.

    The runtime shows a missing shape as an empty one, so a scalar's shape goes unchecked here; it checks that itself.
    """
    dimensions = tuple(d if isinstance(d, int) else None for d in argument.shape)
    symbol = argument.shape[0] if argument.shape and isinstance(argument.shape[0], str) else None
    return TensorSpec(argument.name, argument.type, dimensions or None, symbol)


def _placement(session: ort.InferenceSession) -> dict[str, int]:
    counts: dict[str, int] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        counts[subgraph.ep_name] = counts.get(subgraph.ep_name, 0) + len(subgraph.get_nodes())
    return counts


# Where in the runtime's own source it failed: file and line, and the function with its arguments, as GCC writes it.
_PLACE = re.compile(r"(?<![\w.])/[\w./+-]+:\d+ (?:[^()]*::[^()]*\([^()]*\)(?: const)?(?: \[with [^\]]*\])? ?)?")


def _in_words(error: Exception) -> str:
    """The runtime's message in one line, without its code, its advice to the programmer, paths, and its own names."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = text.removesuffix(" Please fix either the inputs/outputs or the model.")
    return re.sub(r"(?<![\w.])/[\w./+-]+(:\d+)?", "…", _PLACE.sub("", text))


def is_about_memory(error: Exception) -> bool:
    """Whether it is the runtime's, of a block of memory that it did not get."""
    return re.search("[Ff]ailed to allocate memory|bad_?\\s?alloc", str(error)) is not None


def _probe() -> bytes:
    """The least model there is: y = x + x."""
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "probe", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialised: bytes = model.SerializeToString()
    return serialised
