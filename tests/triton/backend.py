"""The models of the comparison for Triton's Python backend: `echo_*` and `labelled` give back x.

Triton runs this file by itself, without this project around it.
"""

import json

import triton_python_backend_utils as backend


class TritonPythonModel:
    """One class for all of them: what it computes follows from its inputs' names."""

    def initialize(self, args: dict[str, str]) -> None:
        self.outputs = [output["name"] for output in json.loads(args["model_config"])["output"]]

    def execute(self, requests: list) -> list:
        return [backend.InferenceResponse(self._answer(request)) for request in requests]

    def _answer(self, request: object) -> list:
        if self.outputs == ["y"]:
            return [backend.Tensor("y", backend.get_input_tensor_by_name(request, "x").as_numpy())]
        a, b = (backend.get_input_tensor_by_name(request, name).as_numpy() for name in "ab")
        return [backend.Tensor("total", a + b), backend.Tensor("difference", a - b)]
