"""Sessions of ONNX Runtime, which say where their nodes run.

A session that asks for CUDA falls back to the CPU without an exception; so every one is checked after it is made.
"""

import contextlib
import ctypes
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from service.engine.runs import RUNS
from service.engine.runtime.device import Device
from service.engine.runtime.lane import GPU, Lane
from service.engine.runtime.words import ENGINE_ERRORS, in_words, session_options
from service.errors import DeviceFailed, ModelFailed, ModelUnavailable, RunStopped, ServiceError

Tensor: TypeAlias = NDArray[Any]

BFLOAT16 = "tensor(bfloat16)"

NO_GRAPH = -1
"""The number of a run that is not captured; ONNX Runtime's."""


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
        provider: the device's; where it runs not all nodes, all that do.
        captures: whether runs with a number become CUDA graphs (`bind`).
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    placement: Mapping[str, int]
    provider: str
    captures: bool
    _lane: Lane | None = field(repr=False)
    """Where it is run; None for anywhere."""
    _session: ort.InferenceSession = field(repr=False)
    _has_bfloat16: bool = field(repr=False)

    @classmethod
    def load(
        cls, model: bytes, device: Device, *, threads: int = 1, keeps_memory: bool = True, captures: bool = False
    ) -> "Session":
        """Create a session from a serialised model.

        Args:
            keeps_memory: what a run has used on the CPU stays the session's, for the next.
            captures: on a GPU, whether runs are to become CUDA graphs, if the model allows it.

        Raises:
            ModelUnavailable: ONNX Runtime refuses the model, or put it elsewhere than on the device; says why.
        """
        if device.kind == "cuda":
            return GPU.call(lambda: cls._load(model, device, threads, keeps_memory, captures))
        return cls._load(model, device, threads, keeps_memory, captures)

    @classmethod
    def _load(cls, model: bytes, device: Device, threads: int, keeps_memory: bool, captures: bool) -> "Session":
        options = session_options(threads)
        options.enable_cpu_mem_arena = keeps_memory
        session, captures = _created(model, options, device, captures)
        if session.get_providers()[0] != device.provider:
            raise ModelUnavailable(f"{device.provider} was asked for, ONNX Runtime uses {session.get_providers()}")
        nodes = [
            (part.ep_name, node) for part in session.get_provider_graph_assignment_info() for node in part.get_nodes()
        ]
        if device.strict:
            check_placement(device.provider, [(name, node.op_type) for name, node in nodes])
        placement = dict(Counter(name for name, _ in nodes))
        inputs, outputs = (tuple(map(_spec, arguments)) for arguments in (session.get_inputs(), session.get_outputs()))
        types = {spec.type for spec in (*inputs, *outputs)}
        if {BFLOAT16, "tensor(string)"} <= types:
            raise ModelUnavailable("strings together with bfloat16 are not supported")  # no call takes both
        return cls(
            inputs=inputs,
            outputs=outputs,
            metadata=dict(session.get_modelmeta().custom_metadata_map),
            placement=placement,
            provider=who_runs(device.provider, placement),
            captures=captures,
            _lane=GPU if device.kind == "cuda" else None,
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
        if self._lane is not None:
            return self._lane.call(lambda: self._run_here(feeds, limit_s))
        return self._run_here(feeds, limit_s)

    def _run_here(self, feeds: Mapping[str, Tensor], limit_s: float | None) -> dict[str, Tensor]:
        if limit_s is None:
            options = self._numbered(NO_GRAPH)
            RUNS.begin(options)
            try:
                return self._run(feeds, options)
            finally:
                RUNS.end(options)
        with _deadline(self._numbered(NO_GRAPH), limit_s) as options:
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

    def bind(
        self, device: str, inputs: Mapping[str, "Place"], outputs: Mapping[str, "Place"], *, graph: int = NO_GRAPH
    ) -> Callable[[], None]:
        """A run that reads its inputs from fixed places in a device's memory, and writes its outputs to others.

        The places must stay; one such run at a time.

        Args:
            device: whose memory it is, `cuda` or `cpu`.
            graph: a number from 1 on, of this session's alone: its first runs are captured as a CUDA graph, if
                the session `captures`, and from then on the graph is run.

        Returns:
            What runs the model; it raises as `run` does.
        """
        binding = self._session.io_binding()
        for name, place in inputs.items():
            binding.bind_input(name, device, 0, place.dtype.type, place.shape, place.address)
        for name, place in outputs.items():
            binding.bind_output(name, device, 0, place.dtype.type, place.shape, place.address)

        def run() -> None:
            options = self._numbered(graph)
            RUNS.begin(options)
            try:
                self._session.run_with_iobinding(binding, options)
            except (*ENGINE_ERRORS, RuntimeError) as error:  # it has classes for the errors of other calls only
                raise _failure(error, stopped=options.terminate) from error
            finally:
                RUNS.end(options)
            RUNS.device_failures = 0

        lane = self._lane
        return run if lane is None else lambda: lane.call(run)

    def _numbered(self, graph: int) -> ort.RunOptions:
        """Options of one run: to stop one must not stop another."""
        options = ort.RunOptions()
        if self.captures:
            options.add_run_config_entry("gpu_graph_id", str(graph))
        return options


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in a device's memory."""

    dtype: np.dtype
    shape: tuple[int, ...]
    address: int


def _created(
    model: bytes, options: ort.SessionOptions, device: Device, captures: bool
) -> tuple[ort.InferenceSession, bool]:
    """A session, and whether it captures CUDA graphs; ONNX Runtime refuses to where some node is not on the GPU."""
    if captures and device.kind == "cuda":
        providers = device.providers(graphs=True)
        with contextlib.suppress(*ENGINE_ERRORS):
            return ort.InferenceSession(model, options, providers=providers, enable_fallback=0), True
    try:
        return ort.InferenceSession(model, options, providers=device.providers(), enable_fallback=0), False
    except ENGINE_ERRORS as error:
        raise ModelUnavailable(in_words(error)) from error


def who_runs(provider: str, placement: Mapping[str, int]) -> str:
    """The device's provider, and after it any other that runs some node; only the others if it runs none."""
    return ", ".join(sorted(placement, key=lambda name: (name != provider, name))) or provider


def check_placement(provider: str, nodes: Sequence[tuple[str, str]]) -> None:
    """Check that one provider runs all nodes.

    Args:
        nodes: the provider and the operator of each.

    Raises:
        ModelUnavailable: another one runs some of them; says which operators.
    """
    elsewhere = Counter(f"{op_type} on the {name}" for name, op_type in nodes if name != provider)
    if elsewhere:
        found = ", ".join(f"{count} × {what}" for what, count in elsewhere.items())
        raise ModelUnavailable(f"all nodes must run on the {provider} (ACTSERVE_STRICT_PLACEMENT), but: {found}")


def _failure(error: Exception, *, stopped: bool) -> ServiceError:
    """What an error of a run means to who asked for it."""
    if stopped:
        return RunStopped("the run of the model took too long and was stopped")
    if RUNS.is_device_failure(str(error)):
        return DeviceFailed("the device that the model runs on does not work")
    return ModelFailed(f"the model fails on this input: {in_words(error)}")


@contextlib.contextmanager
def _deadline(options: ort.RunOptions, limit_s: float) -> Iterator[ort.RunOptions]:
    """A run that ends with an error at the next node once the time is over."""
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


def _spec(argument: Any) -> TensorSpec:
    """Translate the runtime's description; a symbolic dimension becomes None, and so does a shape that is not given.

    The runtime shows a missing shape as an empty one, so a scalar's shape goes unchecked here; it checks that itself.
    """
    dimensions = tuple(d if isinstance(d, int) else None for d in argument.shape)
    symbol = argument.shape[0] if argument.shape and isinstance(argument.shape[0], str) else None
    return TensorSpec(argument.name, argument.type, dimensions or None, symbol)
