"""ONNX Runtime in Triton's Python backend; Triton copies this file beside the model and runs it by itself.

With the dynamic batcher several requests come in one call, and are one run of the model.
"""

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as backend

from loadtests.peers.served import Model, each


class TritonPythonModel:
    """One of these a model instance, each in a process of its own."""

    def initialize(self, args: dict[str, str]) -> None:
        self.model = Model(str(Path(args["model_repository"]) / args["model_version"] / "model.onnx"))
        self.name = Path(args["model_repository"], "input").read_text()

    def execute(self, requests: list[Any]) -> list[Any]:
        arrays = [backend.get_input_tensor_by_name(request, self.name).as_numpy() for request in requests]
        if len(arrays) == 1:
            return [self._response(self.model.run(arrays[0]))]
        outputs = self.model.run(np.concatenate(arrays))
        return [self._response(own) for own in each(outputs, [len(array) for array in arrays])]

    def _response(self, outputs: Any) -> Any:
        return backend.InferenceResponse([backend.Tensor(name, array) for name, array in outputs.items()])
