"""What ONNX Runtime is told of a GPU, option by option."""

from mmap import ACCESS_READ, mmap
from pathlib import Path

import onnxruntime as ort
import pytest

from service.engine.runtime.device import CPU, CUDA, CudaOptions, Device, detect

DEFAULT = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",
    "arena_extend_strategy": "kSameAsRequested",
    "enable_cuda_graph": "0",
}


@pytest.mark.parametrize(
    ("options", "graphs", "changed"),
    [
        (CudaOptions(), False, {}),
        (CudaOptions(), True, {"enable_cuda_graph": "1"}),
        (CudaOptions(tf32=True), False, {"use_tf32": "1"}),
        (CudaOptions(memory_bytes=2**30), False, {"gpu_mem_limit": "1073741824"}),
    ],
)
def test_the_options_of_the_provider(options: CudaOptions, graphs: bool, changed: dict[str, str]) -> None:
    assert options.of_provider(graphs=graphs) == DEFAULT | changed
    device = Device("cuda", "auto", None, options)
    assert device.providers(graphs=graphs) == [(CUDA, DEFAULT | changed), CPU]


def test_onnx_runtime_knows_every_option() -> None:
    """The names are in its library; a misspelt one would be found on a machine with a GPU only."""
    library = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not library.exists():
        pytest.skip("this build of ONNX Runtime has no CUDA provider")
    with library.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        unknown = [name for name in (*DEFAULT, "gpu_mem_limit", "no_such_option") if content.find(name.encode()) < 0]
    assert unknown == ["no_such_option"]


def test_what_was_set_is_what_the_device_has() -> None:
    found = detect("auto", lambda: None, cuda=CudaOptions(tf32=True), strict=True)
    assert (found.kind, found.cuda.tf32, found.strict) == ("cuda", True, True)


def test_a_cpu_needs_none_of_it() -> None:
    assert Device.cpu().providers(graphs=True) == [CPU]
