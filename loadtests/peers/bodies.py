"""The bytes that are sent, and what comes back: requests and answers of the Open Inference Protocol V2.

Every server gets the same bytes for the same work, so this is written once and by itself: it shares no code with the
server that it measures.
"""

import json
from collections.abc import Mapping

import numpy as np
import orjson
from numpy.typing import NDArray

from loadtests.local.http import Request

HEADER_LENGTH = "Inference-Header-Content-Length"
TYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}


def binary(model: str, name: str, array: NDArray[np.float32]) -> Request:
    """A tensor as bytes behind the JSON; every output is asked for as bytes too."""
    tensor = _tensor(name, array) | {"parameters": {"binary_data_size": array.nbytes}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return Request(_path(model), headers, head + array.tobytes())


def as_json(model: str, name: str, array: NDArray[np.float32]) -> Request:
    """A tensor as JSON: a flat list, each number with as many digits as float32 needs, as a browser would write it."""
    tensor = _tensor(name, array) | {"data": array.ravel()}
    body = orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Request(_path(model), {"Content-Type": "application/json"}, body)


def jpeg(model: str, picture: bytes) -> Request:
    """A picture for the service's own route; no peer has one like it."""
    return Request(f"/v1/models/{model}/predict", {"Content-Type": "image/jpeg"}, picture)


def outputs(headers: Mapping[str, str], body: bytes) -> dict[str, NDArray[np.generic]]:
    """The tensors of an answer by name, from JSON or from the bytes behind it.

    Args:
        headers: with their names in lower case.
    """
    length = headers.get(HEADER_LENGTH.lower())
    head, tail = (body, b"") if length is None else (body[: int(length)], body[int(length) :])
    arrays = {}
    for tensor in orjson.loads(head)["outputs"]:
        dtype = np.dtype(TYPES[tensor["datatype"]])
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(tensor["data"], dtype)
        else:
            array, tail = np.frombuffer(tail[:size], dtype), tail[size:]
        arrays[tensor["name"]] = array.reshape(tensor["shape"])
    return arrays


def probabilities(body: bytes) -> NDArray[np.generic]:
    """[1, classes], of an answer to `jpeg`."""
    (prediction,) = orjson.loads(body)["predictions"]
    listed = prediction["probabilities"]
    return np.array([list(listed.values()) if isinstance(listed, dict) else listed], np.float64)


def _tensor(name: str, array: NDArray[np.float32]) -> dict[str, object]:
    return {"name": name, "datatype": "FP32", "shape": list(array.shape)}


def _path(model: str) -> str:
    return f"/v2/models/{model}/infer"
