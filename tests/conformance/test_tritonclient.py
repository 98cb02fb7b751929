"""`tritonclient.http`, unmodified, can do everything that the served parts of the protocol offer."""

import contextlib
import http.client
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from service.activations.catalogue import ACTIVATIONS
from tests.conformance import models

Client = triton.InferenceServerClient


def extremes(dtype: np.dtype[Any]) -> np.ndarray:
    return np.array([[np.iinfo(dtype).min, 1, np.iinfo(dtype).max]], dtype)


VALUES: dict[str, np.ndarray] = {
    "BOOL": np.array([[True, False, True]]),
    "FP16": np.array([[1.5, -np.inf, 65504]], np.float16),
    "FP32": np.array([[1e-45, np.nan, -0.0]], np.float32),
    "FP64": np.array([[np.pi, 5e-324, np.inf]], np.float64),
    "BF16": np.array([[1.0, -2.5, np.nan]], ml_dtypes.bfloat16),
    "BYTES": np.array([[b"", b"caf\xc3\xa9", b"\x00\x01"]], np.object_),
} | {
    f"{kind.upper()}{bits}": extremes(np.dtype(f"{kind}{bits}")) for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}


def tensor(name: str, datatype: str, value: np.ndarray, *, binary: bool = True) -> triton.InferInput:
    made = triton.InferInput(name, list(value.shape), datatype)
    made.set_data_from_numpy(value, binary_data=binary)
    return made


def test_the_server_is_live_and_ready(triton_client: Client) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("add_sub")
    assert triton_client.is_model_ready("versions", "1")
    assert not triton_client.is_model_ready("nothing")


def test_server_metadata_names_what_is_served(triton_client: Client) -> None:
    metadata = triton_client.get_server_metadata()

    assert metadata["name"] == "actserve"
    assert {"binary_tensor_data", "classification", "statistics", "model_repository"} <= set(metadata["extensions"])
    assert "system_shared_memory" not in metadata["extensions"]


def test_model_metadata(triton_client: Client) -> None:
    assert triton_client.get_model_metadata("add_sub") == {
        "name": "add_sub",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("a", "b")],
        "outputs": [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("total", "difference")],
    }
    assert triton_client.get_model_metadata("versions")["versions"] == ["1", "2"]
    assert triton_client.get_model_metadata("versions", "1")["versions"] == ["1"]


def test_model_config_has_what_perf_analyzer_reads(triton_client: Client) -> None:
    config = triton_client.get_model_config("add_sub")

    assert config["max_batch_size"] > 0
    assert [(i["name"], i["data_type"], i["dims"]) for i in config["input"]] == [
        ("a", "TYPE_INT32", [16]),
        ("b", "TYPE_INT32", [16]),
    ]
    assert not any(port["is_shape_tensor"] for port in config["input"] + config["output"])
    assert config["model_transaction_policy"] == {"decoupled": False}
    assert config["response_cache"] == {"enable": False}


@pytest.mark.parametrize("datatype", models.ELEMENTS)
def test_every_datatype_comes_back_bit_for_bit(triton_client: Client, datatype: str) -> None:
    value = VALUES[datatype]
    answer = triton_client.infer(f"echo_{datatype.lower()}", [tensor("x", datatype, value)])

    got = answer.as_numpy("y")
    if datatype == "BYTES":
        assert got.tolist() == value.tolist()
    else:
        assert (got.dtype, got.tobytes()) == (value.dtype, value.tobytes())
    assert answer.get_output("y")["datatype"] == datatype


@pytest.mark.parametrize("datatype", sorted(set(models.ELEMENTS) - {"BF16", "FP16", "BYTES", "FP32", "FP64"}))
@pytest.mark.parametrize(("binary_in", "binary_out"), [(False, False), (True, False), (False, True)])
def test_json_and_binary_mix(triton_client: Client, datatype: str, binary_in: bool, binary_out: bool) -> None:
    value = VALUES[datatype]
    wanted = [triton.InferRequestedOutput("y", binary_data=binary_out)]
    given = [tensor("x", datatype, value, binary=binary_in)]
    answer = triton_client.infer(f"echo_{datatype.lower()}", given, outputs=wanted)

    np.testing.assert_array_equal(answer.as_numpy("y"), value)
    assert ("data" in answer.get_output("y")) is not binary_out


@pytest.mark.parametrize("binary", [True, False])
def test_an_empty_tensor_comes_back_empty(triton_client: Client, binary: bool) -> None:
    given = tensor("x", "FP32", np.zeros((1, 0), np.float32), binary=binary)
    answer = triton_client.infer("echo_fp32", [given], outputs=[triton.InferRequestedOutput("y", binary_data=binary)])

    assert answer.get_output("y")["shape"] == [1, 0]
    assert answer.as_numpy("y").size == 0


def test_two_inputs_one_as_json_one_binary(triton_client: Client) -> None:
    a, b = np.arange(32, dtype=np.int32).reshape(2, 16), np.ones((2, 16), np.int32)
    answer = triton_client.infer("add_sub", [tensor("a", "INT32", a, binary=False), tensor("b", "INT32", b)])

    np.testing.assert_array_equal(answer.as_numpy("total"), a + b)
    np.testing.assert_array_equal(answer.as_numpy("difference"), a - b)


def test_only_the_outputs_asked_for_come_back(triton_client: Client) -> None:
    value = np.ones((1, 16), np.int32)
    inputs = [tensor("a", "INT32", value), tensor("b", "INT32", value)]
    answer = triton_client.infer(
        "add_sub", inputs, outputs=[triton.InferRequestedOutput("difference")], request_id="seven"
    )

    assert [output["name"] for output in answer.get_response()["outputs"]] == ["difference"]
    assert answer.get_response()["id"] == "seven"
    assert answer.as_numpy("total") is None


def test_versions_are_asked_by_number(triton_client: Client) -> None:
    value = np.array([[2.0]], np.float32)
    answers = [triton_client.infer("versions", [tensor("x", "FP32", value)], model_version=v) for v in ("", "1", "2")]

    assert [answer.as_numpy("y").item() for answer in answers] == [-2.0, 2.0, -2.0]
    assert [answer.get_response()["model_version"] for answer in answers] == ["2", "1", "2"]


@pytest.mark.parametrize("binary", [True, False])
def test_classification(triton_client: Client, binary: bool) -> None:
    value = np.array([[0.1, 3.5, -1, 2], [9, 9, 0, 0]], np.float32)
    wanted = triton.InferRequestedOutput("y", binary_data=binary, class_count=2)
    answer = triton_client.infer("labelled", [tensor("x", "FP32", value)], outputs=[wanted])

    assert [[_text(item) for item in row] for row in answer.as_numpy("y")] == [
        ["3.500000:1:one", "2.000000:3:three"],
        ["9.000000:0:zero", "9.000000:1:one"],
    ]


def _text(item: object) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)


@pytest.mark.parametrize("request_encoding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_encoding", [None, "gzip", "deflate"])
def test_compression_both_ways(
    triton_client: Client, request_encoding: str | None, response_encoding: str | None
) -> None:
    value = np.zeros((64, 16), np.int32)
    answer = triton_client.infer(
        "add_sub",
        [tensor("a", "INT32", value), tensor("b", "INT32", value, binary=False)],
        request_compression_algorithm=request_encoding,
        response_compression_algorithm=response_encoding,
    )
    np.testing.assert_array_equal(answer.as_numpy("total"), value)


def test_concurrent_requests_are_told_apart(triton_client: Client) -> None:
    values = [np.full((1, 3), i, np.float32) for i in range(20)]
    pending = [triton_client.async_infer("echo_fp32", [tensor("x", "FP32", value)]) for value in values]

    for value, waiting in zip(values, pending, strict=True):
        np.testing.assert_array_equal(waiting.get_result().as_numpy("y"), value)


@pytest.mark.parametrize("name", ["relu", "swish", "softmax", "gelu"])
def test_an_activation_is_a_model(triton_client: Client, name: str) -> None:
    value = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    answer = triton_client.infer(name, [tensor("x", "FP32", value)], parameters={"kernel": "exact"})
    row = ACTIVATIONS[name]

    np.testing.assert_allclose(answer.as_numpy("y"), row.reference(value.astype(np.float64), row.bind({})), rtol=1e-7)


def test_priority_and_timeout_are_taken(triton_client: Client) -> None:
    given = [tensor("x", "FP32", np.ones((1, 2), np.float32))]
    answer = triton_client.infer("echo_fp32", given, priority=1, timeout=60_000_000)
    np.testing.assert_array_equal(answer.as_numpy("y"), np.ones((1, 2)))


def test_statistics_count_rows_and_runs(triton_client: Client) -> None:
    before = _stats(triton_client, "echo_int64")
    value = np.zeros((5, 2), np.int64)
    for _ in range(3):
        triton_client.infer("echo_int64", [tensor("x", "INT64", value)])
    after = _stats(triton_client, "echo_int64")

    assert after["inference_count"] - before["inference_count"] == 15
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 3
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert {"batch_size": 5}.items() <= after["batch_stats"][-1].items()


def _stats(client: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get_inference_statistics(name)["model_stats"][0]
    return found


def test_statistics_of_all_models_name_each(triton_client: Client) -> None:
    names = {entry["name"] for entry in triton_client.get_inference_statistics()["model_stats"]}
    assert {"add_sub", "echo_fp32", "relu"} <= names


def test_the_index_lists_versions_and_states(triton_client: Client) -> None:
    index = triton_client.get_model_repository_index()
    found = {(entry["name"], entry.get("version")): entry.get("state") for entry in index}

    assert found["versions", "1"] == found["versions", "2"] == found["relu", "1"] == "READY"


def test_a_model_is_unloaded_and_loaded_again(triton_client: Client, admin: dict[str, str]) -> None:
    triton_client.unload_model("echo_uint8", headers=admin)
    assert not triton_client.is_model_ready("echo_uint8")
    with pytest.raises(InferenceServerException):
        triton_client.infer("echo_uint8", [tensor("x", "UINT8", VALUES["UINT8"])])

    triton_client.load_model("echo_uint8", headers=admin)
    assert triton_client.is_model_ready("echo_uint8")
    triton_client.infer("echo_uint8", [tensor("x", "UINT8", VALUES["UINT8"])])


def test_loading_finds_a_new_version(triton_client: Client, admin: dict[str, str], repository: Path) -> None:
    new = repository / "echo_int8" / "2"
    new.mkdir()
    (new / "model.onnx").write_bytes(models.echo("INT8"))
    triton_client.load_model("echo_int8", headers=admin)

    assert triton_client.get_model_metadata("echo_int8")["versions"] == ["1", "2"]


def test_a_model_is_sent_along_with_a_load(triton_client: Client, admin: dict[str, str]) -> None:
    """And then a version of it; one that is broken, or there already, changes nothing."""
    files = {"file:1/model.onnx": models.echo("FP32")}
    triton_client.load_model("sent", headers=admin, config='{"max_batch_size": 4}', files=files)
    assert triton_client.get_model_config("sent")["max_batch_size"] == 4
    x = tensor("x", "FP32", VALUES["FP32"])
    assert np.array_equal(triton_client.infer("sent", [x]).as_numpy("y"), VALUES["FP32"], equal_nan=True)

    triton_client.load_model("sent", headers=admin, config="{}", files={"file:2/model.onnx": models.echo("FP32")})
    for path, text in (("file:2/model.onnx", r"\[409\]"), ("file:3/model.onnx", r"\[500\] failed to load 'sent', ver")):
        with pytest.raises(InferenceServerException, match=text):
            triton_client.load_model("sent", headers=admin, config="{}", files={path: b"not a model"})
    assert triton_client.get_model_metadata("sent")["versions"] == ["1", "2"]


def test_a_failed_load_says_why(triton_client: Client, admin: dict[str, str]) -> None:
    with pytest.raises(InferenceServerException, match=r"\[500\] failed to load 'nothing'"):
        triton_client.load_model("nothing", headers=admin)


@pytest.mark.parametrize(("headers", "status"), [({}, "401"), ({"X-API-Key": "wrong"}, "403")])
def test_control_needs_the_admin_key(triton_client: Client, headers: dict[str, str], status: str) -> None:
    for call in (
        lambda: triton_client.load_model("add_sub", headers=headers),
        lambda: triton_client.unload_model("add_sub", headers=headers),
        lambda: triton_client.update_log_settings({"log_info": True}, headers=headers),
        lambda: triton_client.update_trace_settings(settings={"trace_rate": "1"}, headers=headers),
    ):
        with pytest.raises(InferenceServerException, match=rf"\[{status}\]"):
            call()


def test_trace_settings_are_read_changed_and_cleared(triton_client: Client, admin: dict[str, str]) -> None:
    before = triton_client.get_trace_settings()
    changed = triton_client.update_trace_settings("add_sub", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}, admin)

    assert (changed["trace_level"], changed["trace_rate"]) == (["TIMESTAMPS"], "1")
    assert triton_client.get_trace_settings("add_sub") == changed
    assert triton_client.get_trace_settings() == before
    cleared = triton_client.update_trace_settings("add_sub", {"trace_level": None, "trace_rate": None}, admin)
    assert cleared == before


def test_logging_settings_are_read_and_changed(triton_client: Client, admin: dict[str, str]) -> None:
    before = triton_client.get_log_settings()
    assert triton_client.update_log_settings({"log_verbose_level": 1}, admin) == before | {"log_verbose_level": 1}
    assert triton_client.update_log_settings({"log_verbose_level": 0}, admin) == before


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("nothing", [("x", "FP32", [1, 2])], r"\[404\] Request for unknown model: 'nothing' is not found"),
        ("echo_fp32", [("z", "FP32", [1, 2])], r"\[400\].*'z'.*'echo_fp32'"),
        ("echo_fp32", [("x", "FP64", [1, 2])], r"\[400\].*'x'.*FP64.*FP32"),
        ("echo_fp32", [("x", "FP32", [1, 2, 3])], r"\[400\].*'x'.*\[-1,\s?-1\].*\[1,\s?2,\s?3\]"),
        ("add_sub", [("a", "INT32", [1, 16])], r"\[400\].*'b'"),
    ],
)
def test_errors_are_the_clients_own_exceptions(
    triton_client: Client, name: str, given: list[tuple[str, str, list[int]]], text: str
) -> None:
    dtypes = {"FP32": np.float32, "FP64": np.float64, "INT32": np.int32}
    inputs = [tensor(n, datatype, np.zeros(shape, dtypes[datatype])) for n, datatype, shape in given]
    with pytest.raises(InferenceServerException, match=text):
        triton_client.infer(name, inputs)


def test_a_body_made_by_hand_is_answered(address: str) -> None:
    """generate_request_body and parse_response_body, for users with a transport of their own."""
    value = np.array([[1.0, 2.0]], np.float32)
    body, header_length = Client.generate_request_body([tensor("x", "FP32", value)])
    connection = http.client.HTTPConnection(address, timeout=60)
    with contextlib.closing(connection):
        length = {"Inference-Header-Content-Length": str(header_length)}
        connection.request("POST", "/v2/models/echo_fp32/infer", bytes(body), length)
        response = connection.getresponse()
        answered_length = int(response.headers["Inference-Header-Content-Length"])
        answer = Client.parse_response_body(response.read(), header_length=answered_length)

    np.testing.assert_array_equal(answer.as_numpy("y"), value)


def test_shared_memory_has_no_regions_and_takes_none(triton_client: Client) -> None:
    """Programs clear it when they start, whether they use it or not."""
    triton_client.unregister_system_shared_memory()
    triton_client.unregister_cuda_shared_memory("nothing")
    assert triton_client.get_system_shared_memory_status() == []
    assert triton_client.get_cuda_shared_memory_status("nothing") == []
    with pytest.raises(InferenceServerException, match=r"\[501\] shared memory is not supported"):
        triton_client.register_system_shared_memory("region", "/key", 64)
