"""An ONNX model behind the servers that leave everything but HTTP to their user: runs in the peers' environments.

Needs NumPy and ONNX Runtime only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class Model:
    """One thread a run: each of these servers has a process a core."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (self._input,) = (port.name for port in self._session.get_inputs())
        self._outputs = [port.name for port in self._session.get_outputs()]

    def run(self, array: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """The outputs by name."""
        return dict(zip(self._outputs, self._session.run(None, {self._input: array}), strict=True))


def tensor(request: Mapping[str, Any]) -> NDArray[np.float32]:
    """The only input of a request in the JSON of the Open Inference Protocol V2."""
    (first,) = request["inputs"]
    return np.array(first["data"], np.float32).reshape(first["shape"])


def answer(outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """The answer, as the same protocol has it; what a framework turns into JSON."""
    return {"model_name": "cnn", "outputs": [_output(name, array) for name, array in outputs.items()]}


def each(outputs: Mapping[str, NDArray[np.float32]], rows: Sequence[int]) -> list[dict[str, NDArray[np.float32]]]:
    """Take a merged run apart again.

    Args:
        rows: of each request, in their order.
    """
    ends = np.cumsum(rows)
    return [
        {name: array[end - count : end] for name, array in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def _output(name: str, array: NDArray[np.float32]) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
