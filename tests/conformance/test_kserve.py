"""KServe's Python client, unmodified, can ask the service by the Open Inference Protocol.

It wants an older protobuf than ONNX, so it has an environment of its own: `make kserve` sets up `.venv-kserve`.
Without it these tests are skipped. The client has no call for metadata over REST, and no BF16.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serving import DEADLINE_S, ROOT, uncounted

PYTHON = ROOT / ".venv-kserve" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
CALLS = Path(__file__).parent / "kserve_calls.py"
DATATYPES = [
    "BOOL",
    *(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)),
    "FP32",
    "FP64",
    "BYTES",
]

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="KServe's client is not installed: make kserve")


@pytest.fixture(scope="module")
def results(address: str) -> dict[str, Any]:
    """What came of each call."""
    command = [str(PYTHON), str(CALLS), address]
    done = subprocess.run(command, capture_output=True, text=True, env=uncounted(), timeout=2 * DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_finds_the_server_live_and_ready(results: dict[str, Any]) -> None:
    assert (results["live"], results["ready"]) == (True, True)


def test_it_finds_which_models_are_ready(results: dict[str, Any]) -> None:
    assert (results["model ready"], results["unknown model ready"]) == (True, False)


@pytest.mark.parametrize("datatype", [*DATATYPES, "FP16"])
def test_a_binary_tensor_comes_back_bit_for_bit(results: dict[str, Any], datatype: str) -> None:
    answer = results[f"{datatype} binary"]

    assert answer["binary"]
    assert answer["outputs"] == {"y": results[f"sent {datatype}"]}


@pytest.mark.parametrize("datatype", DATATYPES)
def test_a_tensor_as_json_comes_back_bit_for_bit(results: dict[str, Any], datatype: str) -> None:
    answer = results[f"{datatype} json"]

    assert not answer["binary"]
    assert answer["outputs"] == {"y": results[f"sent {datatype}"]}


def test_it_gets_the_one_output_it_asked_for_and_its_id_back(results: dict[str, Any]) -> None:
    difference = b"".join((i - 1).to_bytes(4, "little", signed=True) for i in range(16))
    expected = {"difference": f"int32 {difference.hex()}"}

    assert results["one output"] == {"id": "seven", "model": "add_sub", "outputs": expected, "binary": True}


def test_an_activation_takes_its_parameters(results: dict[str, Any]) -> None:
    """Leaky ReLU with slope 0.5, of −1, 0 and 2."""
    assert results["parameters"]["outputs"] == {"y": "float32 000000bf0000000000000040"}


@pytest.mark.parametrize(
    ("call", "status", "text"),
    [
        ("unknown model", 404, "Request for unknown model: 'nothing' is not found"),
        ("wrong datatype", 400, "input 'x' data-type is 'FP32', but model 'echo_fp64' expects 'FP64'"),
    ],
)
def test_an_error_is_its_own_exception_with_our_text(
    results: dict[str, Any], call: str, status: int, text: str
) -> None:
    assert results[call]["status"] == status
    assert text in results[call]["text"]
