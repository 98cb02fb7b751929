"""What the runtime says of a broken device is told from what a model, or a full memory, is to blame for."""

import pytest

from service.engine.runs import Runs


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        (
            "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; expr=cudaStreamSynchronize(stream)",
            True,
        ),
        ("CUDNN failure 5003: CUDNN_STATUS_EXECUTION_FAILED_CUDART ; GPU=0", True),
        ("Non-zero status code. Status Message: CUBLAS failure 13: the GPU program failed to execute", True),
        ("CUDA failure 2: out of memory ; GPU=0 ;", False),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ;", False),
        ("Got invalid dimensions for input: x Got: 5 Expected: 4", False),
        ("Exiting due to terminate flag being set to true.", False),
    ],
)
def test_the_devices_fault_is_known_by_its_text(text: str, broken: bool) -> None:
    runs = Runs()
    assert runs.is_device_failure(text) == broken
    assert runs.device_failures == broken
