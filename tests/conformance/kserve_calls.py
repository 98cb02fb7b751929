"""Calls of a running service with KServe's client: `python kserve_calls.py host:port`, by .venv-kserve's interpreter.

Prints one JSON object, the name of each call and what came of it; tests/conformance/test_kserve.py says what should.
Bytes are shown in hexadecimal, with the array's dtype before them.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, InferResponse
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

TENSORS = {
    "BOOL": np.array([[True, False, True]]),
    "INT8": np.array([[-128, 0, 127]], np.int8),
    "INT16": np.array([[-(2**15), 0, 2**15 - 1]], np.int16),
    "INT32": np.array([[-(2**31), 0, 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 0, 2**63 - 1]], np.int64),
    "UINT8": np.array([[0, 1, 255]], np.uint8),
    "UINT16": np.array([[0, 1, 2**16 - 1]], np.uint16),
    "UINT32": np.array([[0, 1, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 1, 2**64 - 1]], np.uint64),
    "FP16": np.array([[1.5, -2.0, 65504]], np.float16),
    "FP32": np.array([[1.5, -2.0, 1e-45]], np.float32),
    "FP64": np.array([[1.5, np.pi, 5e-324]], np.float64),
    "BYTES": np.array([[b"", b"caf\xc3\xa9", b"x"]], np.object_),
}
BINARY_ONLY = {"FP16"}  # the client's rule


def tensor(name: str, datatype: str, value: np.ndarray, *, binary: bool) -> InferInput:
    made = InferInput(name, list(value.shape), datatype)
    made.set_data_from_numpy(value, binary_data=binary)
    return made


def shown(array: np.ndarray) -> Any:
    if array.dtype == np.object_:
        return [item.decode() if isinstance(item, bytes) else item for item in array.ravel()]
    return f"{array.dtype} {array.tobytes().hex()}"


def outputs(answer: InferResponse) -> dict[str, Any]:
    return {output.name: shown(output.as_numpy()) for output in answer.outputs}


class Calls:
    def __init__(self, client: InferenceRESTClient, url: str) -> None:
        self._client = client
        self._url = url
        self.results: dict[str, Any] = {}

    async def note(self, name: str, call: Awaitable[Any]) -> None:
        try:
            self.results[name] = await call
        except httpx.HTTPStatusError as error:
            self.results[name] = {"status": error.response.status_code, "text": str(error)}

    async def infer(self, model: str, inputs: list[InferInput], **options: Any) -> dict[str, Any]:
        request = InferRequest(model, inputs, **options)
        headers: dict[str, str] = {}
        answer = await self._client.infer(self._url, request, model_name=model, response_headers=headers)
        binary = "inference-header-content-length" in headers
        return {"id": answer.id, "model": answer.model_name, "outputs": outputs(answer), "binary": binary}

    async def all(self) -> None:
        client, url, x = self._client, self._url, np.array([[-1, 0, 2]], np.float32)
        await self.note("live", client.is_server_live(url))
        await self.note("ready", client.is_server_ready(url))
        await self.note("model ready", client.is_model_ready(url, "echo_fp32"))
        await self.note("unknown model ready", client.is_model_ready(url, "nothing"))
        for datatype, value in TENSORS.items():
            name = f"echo_{datatype.lower()}"
            self.results[f"sent {datatype}"] = shown(value)
            everything_binary = {"binary_data_output": True}
            given = [tensor("x", datatype, value, binary=True)]
            await self.note(f"{datatype} binary", self.infer(name, given, parameters=everything_binary))
            if datatype not in BINARY_ONLY:
                given = [tensor("x", datatype, value, binary=False)]
                await self.note(f"{datatype} json", self.infer(name, given))
        a, b = np.arange(16, dtype=np.int32)[None], np.ones((1, 16), np.int32)
        pair = [tensor("a", "INT32", a, binary=True), tensor("b", "INT32", b, binary=False)]
        wanted = [RequestedOutput("difference", {"binary_data": True})]
        await self.note("one output", self.infer("add_sub", pair, request_outputs=wanted, request_id="seven"))
        parameters = {"kernel": "exact", "alpha": 0.5}
        given = [tensor("x", "FP32", x, binary=True)]
        await self.note("parameters", self.infer("leaky_relu", given, parameters=parameters))
        await self.note("unknown model", self.infer("nothing", given))
        await self.note("wrong datatype", self.infer("echo_fp64", given))


async def main(address: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        calls = Calls(client, f"http://{address}")
        await calls.all()
    json.dump(calls.results, sys.stdout)


asyncio.run(main(sys.argv[1]))
