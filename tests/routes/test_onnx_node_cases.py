"""ONNX's own test cases for these operators, sent through POST /v1/activations/{name}, with their own tolerances."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.loader import load_model_tests
from starlette.testclient import TestClient

from tests.routes.sending import answered, numbers, refused

Renamed = Mapping[str, str]

OPERATORS: Mapping[str, tuple[str, Renamed]] = {
    "Celu": ("celu", {}),
    "Elu": ("elu", {}),
    "Gelu": ("gelu", {}),
    "HardSigmoid": ("hard_sigmoid", {}),
    "HardSwish": ("hard_swish", {}),
    "Identity": ("identity", {}),
    "LeakyRelu": ("leaky_relu", {}),
    "LogSoftmax": ("log_softmax", {}),
    "Mish": ("mish", {}),
    "PRelu": ("prelu", {}),
    "Relu": ("relu", {}),
    "Selu": ("selu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Softmax": ("softmax", {}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "Swish": ("swish", {"alpha": "beta"}),
    "Tanh": ("tanh", {}),
    "ThresholdedRelu": ("thresholded_relu", {"alpha": "theta"}),
}
"""By operator: our name, and the attributes that have another name here."""

CANNOT_BE_SENT = {
    "test_celu_bfloat16": "NumPy, .npy and JSON have no bfloat16",
    "test_identity_opt": "an optional is no tensor",
    "test_identity_sequence": "a sequence is no tensor",
}
NO_NATIVE_KERNEL = {"test_celu_float16"}


@dataclass(frozen=True)
class Case:
    """One of ONNX's cases: a node, and inputs with their outputs."""

    op: str
    parameters: dict[str, Any]
    data: list[tuple[Any, Any]]
    rtol: float
    atol: float


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    """The cases of one node of a served operator; making all 1900 takes some seconds and overflows on purpose."""
    with warnings.catch_warnings(action="ignore"):
        loaded = load_model_tests(kind="node")
    found = {}
    for case in loaded:
        nodes = list(case.model.graph.node) if case.model else []
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS and not case.name.endswith("_expanded"):
            data = list(case.data_sets or ())
            found[case.name] = Case(nodes[0].op_type, parameters(nodes[0]), data, case.rtol, case.atol)
    return found


def parameters(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes under our names."""
    renamed = OPERATORS[node.op_type][1]
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {renamed.get(k, k): v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def is_tensor(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.name in ("float16", "float32", "float64")


def test_every_operator_has_cases(cases: dict[str, Case]) -> None:
    assert {case.op for case in cases.values()} == set(OPERATORS)
    assert len(cases) > 50


def test_what_cannot_be_sent_is_known(cases: dict[str, Case]) -> None:
    unsendable = {name for name, case in cases.items() if not all(map(is_tensor, case.data[0][0]))}
    assert unsendable == set(CANNOT_BE_SENT)


@pytest.mark.parametrize("kernel", ["exact", "native"])
@pytest.mark.parametrize("op", OPERATORS)
def test_the_cases_of_an_operator_pass(client: TestClient, cases: dict[str, Case], op: str, kernel: str) -> None:
    sendable = {name: case for name, case in cases.items() if case.op == op and name not in CANNOT_BE_SENT}
    for name, case in sendable.items():
        for (x, *more), (y,) in case.data:
            given = case.parameters | ({"slope": more[0].tolist()} if more else {})
            body = {"data": x.tolist(), "dtype": x.dtype.name, "kernel": kernel, "parameters": given}
            response = client.post(f"/v1/activations/{OPERATORS[op][0]}", json=body)
            if kernel == "native" and name in NO_NATIVE_KERNEL:
                assert "has no native kernel" in refused(response, 400)
                continue
            got = numbers(answered(response)["data"])
            np.testing.assert_allclose(got, y.astype(np.float64), case.rtol, case.atol, err_msg=name)
