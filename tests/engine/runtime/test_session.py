"""Sessions say where they run, and never run elsewhere than was asked for without saying so."""

import os
import queue
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from service.engine.runs import RUNS, Stoppable
from service.engine.runtime import device, session
from service.engine.runtime.device import CPU, CUDA, Device, DeviceUnavailable, detect
from service.engine.runtime.session import NO_GRAPH, Place, Session, check_placement, who_runs
from service.errors import BadRequest, DeviceFailed, ModelUnavailable, RunStopped
from tests.engine.making import counting, in_threads, node, serialised
from tests.serving import DEADLINE_S, eventually

SERVICE = Path(session.__file__).parents[2]

HAS_GPU = device.why_not_cuda() is None
without_gpu = pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")


def model(op_type: str = "Relu", shape: list[int | str | None] | None = None) -> bytes:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape or ["N", 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op_type, ["x"], ["y"])], "g", ports[:1], ports[1:])
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return made


def test_a_session_runs_and_describes_itself() -> None:
    loaded = Session.load(model(), Device.cpu())

    np.testing.assert_array_equal(loaded.run({"x": np.array([[-1, 0, 1, 2]], np.float32)})["y"], [[0, 0, 1, 2]])
    assert [(p.name, p.type, p.shape) for p in loaded.inputs] == [("x", "tensor(float)", (None, 4))]
    assert loaded.provider == CPU
    assert loaded.placement == {CPU: 1}


def test_metadata_of_the_file_is_read() -> None:
    proto = onnx.load_from_string(model())
    helper.set_model_props(proto, {"activation": "relu"})

    assert Session.load(proto.SerializeToString(), Device.cpu()).metadata == {"activation": "relu"}


BROKEN = {
    "empty": b"",
    "text": b"<html>404 not found</html>",
    "truncated": model()[:-20],
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "unknown operator": model("Nonsense"),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_model_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(ModelUnavailable) as refusal:
        Session.load(content, Device.cpu())
    assert refusal.value.text
    assert "/" not in refusal.value.text.replace("INVALID_GRAPH", "")


def test_an_input_that_does_not_fit_is_a_bad_request_in_the_runtimes_words() -> None:
    loaded = Session.load(model(), Device.cpu())
    with pytest.raises(BadRequest, match="Got: 5 Expected: 4"):
        loaded.run({"x": np.zeros((1, 5), np.float32)})


def bfloat16(op: str, output: int = TensorProto.BFLOAT16, **attributes: int) -> bytes:
    """A model from a bfloat16 input x to an output y of another type."""
    proto = onnx.load_from_string(serialised(node(op, **attributes), element=TensorProto.BFLOAT16))
    proto.graph.output[0].type.tensor_type.elem_type = output
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_bfloat16_goes_through_bit_for_bit(rows: int) -> None:
    """The runtime has no NumPy dtype for it, so its bits are handed over."""
    x = np.array([[1.0, -0.0, np.inf], [np.nan, 3.140625, 1e-40]], ml_dtypes.bfloat16)[:rows]
    y = Session.load(bfloat16("Identity"), Device.cpu()).run({"x": x})["y"]

    assert (y.dtype, y.shape, y.tobytes()) == (x.dtype, x.shape, x.tobytes())


def test_bfloat16_may_become_another_type() -> None:
    loaded = Session.load(bfloat16("Cast", TensorProto.FLOAT, to=TensorProto.FLOAT), Device.cpu())
    y = loaded.run({"x": np.array([[1, 2, 3]], ml_dtypes.bfloat16)})["y"]
    assert (y.dtype, y.tolist()) == (np.float32, [[1.0, 2.0, 3.0]])


def test_a_runtime_error_with_bfloat16_is_a_bad_request_too() -> None:
    with pytest.raises(BadRequest, match="the model fails on this input: Invalid rank for input: x"):
        Session.load(bfloat16("Identity"), Device.cpu()).run({"x": np.zeros(3, ml_dtypes.bfloat16)})


@pytest.mark.parametrize(("side", "reason"), [(2**20, "Failed to allocate memory"), (2**62, "Integer overflow")])
def test_a_runtime_error_tells_nothing_of_the_runtimes_source(side: int, reason: str) -> None:
    """It names the file and the function with its arguments where it failed."""
    grow = serialised(node("ConstantOfShape"), inputs=[2], outputs=None, element=TensorProto.INT64)
    proto = onnx.load_from_string(grow)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(BadRequest, match=rf"ConstantOfShape node\. Name:'' Status Message: {reason}") as failed:
        Session.load(proto.SerializeToString(), Device.cpu()).run({"x": np.array([side, side])})
    assert "::" not in failed.value.text


def test_floats_where_bfloat16_is_wanted_are_refused() -> None:
    with pytest.raises(BadRequest, match="the model fails on this input"):
        Session.load(bfloat16("Identity"), Device.cpu()).run({"x": np.zeros((1, 3), np.float32)})


def test_strings_beside_bfloat16_are_refused_at_loading() -> None:
    """No call of the runtime takes both."""
    content = bfloat16("Cast", TensorProto.STRING, to=TensorProto.STRING)
    with pytest.raises(ModelUnavailable, match="strings together with bfloat16 are not supported"):
        Session.load(content, Device.cpu())


def test_auto_takes_the_cpu_and_says_why() -> None:
    """The list of available providers names CUDA wherever onnxruntime-gpu is installed; that is not believed."""
    found = detect("auto")

    assert (found.kind, found.wanted, found.provider) == ("cpu", "auto", CPU)
    assert found.reason is not None
    assert "libcuda" in found.reason or "no CUDA provider" in found.reason


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_a_gpu_that_works_is_used(wanted: Literal["auto", "cuda"]) -> None:
    found = detect(wanted, lambda: None)

    assert found == Device("cuda", wanted, None)
    assert found.provider == CUDA
    assert [name for name, _ in found.providers()[:1]] == [CUDA]


@without_gpu
def test_cuda_asked_for_by_name_is_refused_where_it_does_not_work() -> None:
    with pytest.raises(DeviceUnavailable, match="cuda was asked for, but"):
        detect("cuda")


@without_gpu
def test_a_session_that_fell_back_to_the_cpu_is_not_served() -> None:
    """ONNX Runtime makes it without an exception; so what really got loaded is checked."""
    with pytest.raises(ModelUnavailable, match=CUDA):
        Session.load(model(), Device("cuda", "cuda", None))


def test_cpu_asked_for_is_cpu() -> None:
    assert detect("cpu") == Device.cpu()


def test_an_installation_without_the_library_for_cuda_says_so(tmp_path: Path) -> None:
    """As in the image for a CPU, where the driver is not what is missing; the provider is in the wheel's list still."""
    reason = device.why_not_cuda(tmp_path)

    assert reason == "this is an installation for CPUs only (ONNX Runtime's library for CUDA was left out)"


@without_gpu
def test_cuda_is_tried_and_not_believed() -> None:
    """The provider is in the wheel's list all the same; with fallback forbidden it must fail, and with a reason."""
    reason = device.why_cuda_does_not_start()

    assert reason is not None
    assert reason.startswith("the CUDA provider does not start: ")


def test_the_probe_is_a_sound_model() -> None:
    """Else CUDA would be found not to work for a fault of ours."""
    probe = Session.load(device.probe_model(), Device.cpu())
    assert probe.run({"x": np.ones(1, np.float32)})["y"] == 2


NODES = [(CUDA, "Conv"), (CUDA, "Relu"), (CPU, "Shape"), (CPU, "Gather"), (CPU, "Gather")]


def test_where_every_node_must_run_on_the_gpu_one_that_does_not_is_told() -> None:
    check_placement(CUDA, NODES[:2])
    with pytest.raises(ModelUnavailable) as refused:
        check_placement(CUDA, NODES)
    assert refused.value.text == (
        "all nodes must run on the CUDAExecutionProvider (ACTSERVE_STRICT_PLACEMENT), but: "
        "1 × Shape on the CPUExecutionProvider, 2 × Gather on the CPUExecutionProvider"
    )


def test_a_strict_device_lets_models_through_whose_nodes_all_run_on_it() -> None:
    assert Session.load(model(), replace(Device.cpu(), strict=True)).placement == {CPU: 1}


@pytest.mark.parametrize(
    ("placement", "expected"),
    [({CUDA: 3}, CUDA), ({CPU: 3}, CPU), ({CPU: 1, CUDA: 3}, f"{CUDA}, {CPU}"), ({}, CUDA)],
)
def test_who_runs_a_model_is_never_only_what_was_asked_for(placement: dict[str, int], expected: str) -> None:
    assert who_runs(CUDA, placement) == expected


def places(session: Session, *arrays: np.ndarray) -> tuple[dict[str, Place], dict[str, Place]]:
    """The arrays' own memory, for the session's input and output."""
    found = [Place(array.dtype, array.shape, array.ctypes.data) for array in arrays]
    return {session.inputs[0].name: found[0]}, {session.outputs[0].name: found[1]}


def test_a_bound_run_reads_and_writes_where_it_was_told_to() -> None:
    loaded = Session.load(model(), Device.cpu())
    given, made = np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32)
    run = loaded.bind("cpu", *places(loaded, given, made))
    for value, expected in ((2.0, 2.0), (-1.0, 0.0)):
        given[:] = value
        run()
        assert (made == expected).all()


def test_a_bound_run_that_hangs_stops_when_told_to() -> None:
    loaded = Session.load(counting(), Device.cpu())
    given, made = np.full((1, 3), 1e15, np.float32), np.zeros((1, 3), np.float32)
    run = loaded.bind("cpu", *places(loaded, given, made))

    def end() -> None:
        try:
            run()
        except RunStopped as error:
            ended.put(error.text)

    threading.Thread(target=end).start()
    eventually(lambda: len(RUNS.under_way()) == 1)
    for options in RUNS.under_way():
        options.terminate = True
    assert ended.get(timeout=DEADLINE_S) == "the run of the model took too long and was stopped"
    assert not RUNS.under_way()


@pytest.mark.parametrize(("graph", "number"), [(NO_GRAPH, "-1"), (3, "3")])
def test_a_session_that_captures_tells_each_run_its_graph(graph: int, number: str) -> None:
    """Without a number ONNX Runtime would capture any run, and play it again whatever is sent."""
    loaded = Session.load(model(), Device.cpu())
    assert replace(loaded, captures=True)._numbered(graph).get_run_config_entry("gpu_graph_id") == number
    with pytest.raises(RuntimeError):
        loaded._numbered(graph).get_run_config_entry("gpu_graph_id")


@without_gpu
def test_graphs_are_tried_first_and_then_a_session_without() -> None:
    """Here neither is on the GPU, and so neither is served."""
    with pytest.raises(ModelUnavailable, match=CUDA):
        Session.load(model(), Device("cuda", "cuda", None), captures=True)


def test_one_session_serves_many_threads() -> None:
    loaded = Session.load(model(), Device.cpu())
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(8, 4)).astype(np.float32)
        if not all(np.array_equal(loaded.run({"x": x})["y"], np.maximum(x, 0)) for _ in range(50)):
            wrong.append(seed)

    in_threads(work)
    assert not wrong


def filled(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full((1, 3), value, np.float32)}


def hanging(loaded: Session) -> Stoppable:
    """Begin a run that does not end, in another thread; what came of it is told by `ended`."""
    threading.Thread(target=lambda: ended.put(outcome(loaded))).start()
    eventually(lambda: len(RUNS.under_way()) == 1)
    (options,) = RUNS.under_way()
    return options


ended: "queue.Queue[str]" = queue.Queue()


def outcome(loaded: Session) -> str:
    try:
        loaded.run(filled(1e15))
    except RunStopped as error:
        return error.text
    return "it has ended by itself"


def test_a_run_that_hangs_stops_when_told_to_and_the_next_is_right() -> None:
    """F15. Others that run at the time go on."""
    loaded = Session.load(counting(), Device.cpu())
    for _ in range(3):
        options = hanging(loaded)
        assert loaded.run(filled(2))["y"].tolist() == [[4, 4, 4]]
        options.terminate = True
        assert ended.get(timeout=DEADLINE_S) == "the run of the model took too long and was stopped"
        assert loaded.run(filled(3))["y"].tolist() == [[6, 6, 6]]
        assert not RUNS.under_way()


class Broken:
    """A session of the runtime on a GPU that has failed once."""

    def __init__(self, text: str) -> None:
        self.text = text

    def run(self, *_: object) -> list[np.ndarray]:
        raise ort_errors.Fail(self.text)


def test_a_broken_device_is_counted_until_a_run_works() -> None:
    """F14."""
    loaded = Session.load(model(), Device.cpu())
    broken = replace(loaded, _session=Broken("CUDA failure 700: an illegal memory access was encountered ; GPU=0"))
    for count in (1, 2):
        with pytest.raises(DeviceFailed, match="the device that the model runs on does not work"):
            broken.run({"x": np.zeros((1, 4), np.float32)})
        assert RUNS.device_failures == count
    loaded.run({"x": np.zeros((1, 4), np.float32)})
    assert RUNS.device_failures == 0


def test_nothing_else_imports_onnxruntime() -> None:
    """One folder knows the engine; the rest would work with another."""
    importers = {p for p in SERVICE.rglob("*.py") if "onnxruntime" in imports(p.read_text())}
    assert {p.parent for p in importers} == {SERVICE / "engine" / "runtime"}


def imports(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if line.lstrip().startswith(("import ", "from ")))


def test_loading_prints_nothing() -> None:
    """The runtime's own log would show the server's paths, and repeat what is raised."""
    code = (
        "from service.engine.runtime.device import Device\nfrom service.engine.runtime.session import Session\n"
        "from service.errors import ModelUnavailable\n"
        "try: Session.load(b'junk', Device.cpu())\nexcept ModelUnavailable: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(("chosen", "kept"), [({}, []), ({"ORT_DISABLE_TELEMETRY": "0"}, [".cache"])])
def test_the_runtime_tells_nobody_of_us_unless_that_is_chosen(
    tmp_path: Path, chosen: dict[str, str], kept: list[str]
) -> None:
    """Where it does, it keeps an identifier in the home folder; that it would is what the second case shows."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    code = "from service.engine.runtime.words import runtime_version"
    environment = inherited | {"HOME": str(tmp_path)} | chosen
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=SERVICE.parent, check=True)

    assert [path.name for path in tmp_path.iterdir()] == kept
