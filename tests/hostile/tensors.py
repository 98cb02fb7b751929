"""T: tensors that are none, or not the model's."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.hostile.cases import Answer, Case, post, short
from tests.hostile.documents import GOOD_INFER
from tests.hostile.heads import APPLY, INFER

GOOD = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
OUTPUT = {"name": "y"}


def infer(name: str, *inputs: Any, **members: Any) -> Any:
    return post(f"/v2/models/{name}/infer", json.dumps({"inputs": list(inputs)} | members).encode())


def tensor(datatype: str, data: Any, shape: Any = None) -> dict[str, Any]:
    shape = [1, len(data)] if shape is None else shape
    return {"name": "x", "datatype": datatype, "shape": shape, "data": data}


def _applied(name: str, /, *statuses: int, **members: Any) -> Case:
    return Case(f"{name} {APPLY}", post(APPLY, json.dumps({"data": [1]} | members).encode()), statuses or (400,))


def _input(title: str, /, status: int = 400, text: str = "", **change: Any) -> Case:
    """An input of `relu` with a member that is another; None leaves it out."""
    changed = {key: value for key, value in (GOOD | change).items() if value is not ...}
    return Case(title, infer("relu", changed), (status,), text)


def _request(title: str, /, text: str = "", **members: Any) -> Case:
    """A request to `relu` with further members, or others."""
    inputs = members.pop("inputs", [GOOD])
    return Case(title, post(INFER, json.dumps({"inputs": inputs} | members).encode()), (400,), text)


def _echo(name: str, datatype: str, data: Any, status: int = 400, shape: Any = None, **more: Any) -> Case:
    """A tensor for the model that gives it back."""
    return Case(name, infer(f"echo_{datatype.lower()}", tensor(datatype, data, shape)), (status,), **more)


def outputs_are(*data: Any) -> Callable[[Answer], bool]:
    return lambda answer: [output["data"] for output in json.loads(answer.body)["outputs"]] == list(data)


def _is_2_to_53(answer: Answer) -> bool:
    """As float32 writes it in its shortest way."""
    (output,) = json.loads(answer.body)["outputs"]
    return bool(np.float32(output["data"][0]) == 2.0**53)


APPLIED = [
    _applied("T10 ragged", data=[[1], [1, 2]]),
    _applied("T10 mixed depth", data=[1, [2]]),
    *(_applied(f"T15 {short(item)}", data=[item]) for item in ("1.5", None, True, {}, "nan")),
    _applied("T17 1e39", data=[1e39]),
    _applied("T17 70000", data=[70_000], dtype="float16"),
    _applied("T13 f4", dtype="f4"),
    _applied("T13 null", dtype=None),
    *(_applied(f"T04 {short(shape)}", shape=shape) for shape in ("x", [1.0], [True], [[1]], {})),
    _applied("T05 negative", data=[1, 2], shape=[-1, -2]),
    _applied("T07 30 digits", shape=[10**30]),
    _applied("T08 70 dimensions", shape=[1] * 70),
    _applied("T09 another count", data=[1, 2, 3], shape=[2, 2]),
    _applied("T23 kernel", kernel="fast"),
    _applied("T23 derivative", derivative=1),
    _applied("T23 list", parameters=[]),
    _applied("T23 NUL in a name", parameters={"\0": 1}),
    *(
        Case(f"T10 slope {number}",
             post("/v1/activations/prelu", b'{"data": [1], "parameters": {"slope": %s}}' % slope), (400,))
        for number, slope in enumerate((
            b"[" * 900 + b"1" + b"]" * 900, b"[" + b"[" * 900 + b"]" * 900 + b",1" * 100_000 + b"]", b'["a"]',
        ))
    ),
]  # fmt: skip

INPUTS = [
    *(_request(f"T01 {short(inputs)}", inputs=inputs) for inputs in ([], {}, [1], "x", None, [None])),
    Case("T01 missing", post(INFER, b'{"id": "1"}'), (400,), "inputs is empty or missing"),
    Case("T01 nothing for two inputs", infer("total"), (400,)),
    Case("T02 one of two", infer("total", GOOD | {"name": "a"}), (400,), "'b'"),
    _request("T02 twice", inputs=[GOOD, GOOD], text="already exists in request"),
    _request("T02 one more", inputs=[GOOD, GOOD | {"name": "z"}]),
    _input("T02 another name", name="z"),
    _input("T02 long name", name="😀" * 100_000),
    _input("T02 no name", name=""),
    _request("J20 100000 inputs", inputs=[GOOD | {"name": str(i)} for i in range(30_000)]),
    _request("T03 unknown", outputs=[{"name": "q"}], text="unexpected inference output 'q'"),
    _request("T03 twice", outputs=[OUTPUT, OUTPUT], text="already exists in request"),
    Case("T03 none listed", infer("relu", GOOD, outputs=[]), (200,), holds=outputs_are([1.0, 2.0])),
    _request("J20 100000 outputs", outputs=[{"name": str(i)} for i in range(100_000)]),
    *(_input(f"T04 {short(shape)}", shape=shape) for shape in (None, "x", [1.0, 2], [True, 2], [[1], 2], {})),
    _input("T04 empty", shape=[]),
    *(_input(f"T04 without {name}", text=f"{name} is missing", **{name: ...})
      for name in ("name", "datatype", "shape", "data")),
    _input("T05 negative", shape=[2, -5]),
    _input("T05 -1", shape=[-1, -2]),
    Case("T06 no rows", infer("relu", tensor("FP32", [], [0, 4])), (200,), holds=outputs_are([])),
    _input("T07 wraps to 32", 413, shape=[2**4, 2**60 + 2]),
    _input("T07 wraps to 8", 413, shape=[2**2, 2**60 + 2]),
    _input("T07 2**63", 413, shape=[2**63]),
    _input("T07 30 digits", shape=[10**30]),
    _input("T08 70 dimensions", shape=[1] * 70),
    _input("T09 too few", shape=[1, 3]),
    _input("T09 too many", shape=[1, 1]),
    Case("T09 nested as its shape", infer("relu", tensor("FP32", [[1], [2]], [2, 1])), (200,),
         holds=outputs_are([1.0, 2.0])),
    *(
        Case(name, infer("relu", tensor("FP32", data, [1, 4])), (200,), holds=outputs_are([1.0, 2.0, 3.0, 4.0]))
        for name, data in (("T09 nested otherwise", [[1, 2], [3, 4]]), ("T10 ragged", [[1], [2, 3, 4]]))
    ),
    _input("T11 rank", shape=[2]),
    Case("T11 fixed dimension", infer("wide", tensor("INT32", [1, 2])), (400,), "16"),
    Case("T12 more rows than a run", infer("echo_fp32", tensor("FP32", [0] * 3000, [3000, 1])), (200,)),
    Case("T12 more rows than a request", infer("echo_fp32", tensor("FP32", [0] * 65_537, [65_537, 1])), (400,)),
    *(_input(f"T13 {datatype}", datatype=datatype) for datatype in ("fp32", "FLOAT", "FP128", "BF16", 32, None, "")),
    _input("T14 another", datatype="FP64"),
]  # fmt: skip

ELEMENTS = [
    *(_input(f"T15 {short(item)}", data=[item, 1]) for item in ("1.5", None, True, {})),
    _echo("T16 fraction", "INT64", [1.9]),
    _echo("T16 300", "UINT8", [300]),
    _echo("T16 -1", "UINT8", [-1]),
    _echo("T16 2**70", "INT64", [2**70]),
    _echo("T16 2", "BOOL", [2]),
    _echo("T16 false as text", "BOOL", ["false"]),
    _input("T17 1e39", data=[1e39, 1]),
    _echo("T17 70000", "FP16", [70_000]),
    _echo("T18 2**53 + 1", "FP32", [2**53 + 1], 200, holds=_is_2_to_53),
    _echo("T19 too few", "BYTES", ["a"], shape=[1, 2]),
    _echo("T19 number", "BYTES", [1]),
    Case("T19 lone surrogate", post("/v2/models/echo_bytes/infer", json.dumps(
        {"inputs": [tensor("BYTES", ["\ud800"])]}).encode()), (400,)),
    _echo("T19 NUL", "BYTES", ["a\0b"], 200, holds=outputs_are(["a\0b"])),
    _echo("T19 3 MB", "BYTES", ["x" * 3 * 2**20], 200, holds=outputs_are(["x" * 3 * 2**20])),
    _echo("T20 not finite", "FP32", ["NaN", "Infinity", "-Infinity", 1], 200, holds=outputs_are([None, None, None, 1])),
    Case("T21 index out of range", infer("pick", tensor("INT64", [7], [1, 1])), (400, 500)),
    Case("T22 2**40 numbers", infer("grow", tensor("INT64", [2**20, 2**20], [2])), (400, 503)),
    Case("T22 more than there can be", infer("grow", tensor("INT64", [2**62, 2**62], [2])), (400, 503)),
]  # fmt: skip

PARAMETERS = [
    *(_request(f"T23 {short(value)}", parameters=value) for value in (1, [], "x", True)),
    *(
        _request(f"T23 {name} {short(value)}", parameters={name: value})
        for name, value in (
            ("binary_data_output", "yes"), ("timeout", "5"), ("timeout", -1), ("priority", True), ("priority", -1),
            ("sequence_id", 1.5), ("sequence_start", 1), ("kernel", "fast"), ("alpha", 1), ("triton_x", 1), ("x", None),
        )
    ),
    Case("T23 timeout 1e18", infer("echo_fp32", tensor("FP32", [1]), parameters={"timeout": 10**18}), (200,)),
    _input("T24 of an input", parameters={"shared_memory_region": "a"}, text="shared memory is not supported"),
    _request("T24 of an output", outputs=[OUTPUT | {"parameters": {"shared_memory_region": "a"}}]),
    *(
        Case(f"T24 {path}", post(path, b'{"key": "/x", "byte_size": 8}'), (501,), "shared memory is not supported")
        for path in ("/v2/systemsharedmemory/region/a/register", "/v2/cudasharedmemory/region/a/register")
    ),
    *(
        _request(f"T25 {short(count)}", outputs=[OUTPUT | {"parameters": {"classification": count}}])
        for count in (-1, "2", 1.5, True, 2**64)
    ),
    Case("T25 0", infer("relu", GOOD, outputs=[OUTPUT | {"parameters": {"classification": 0}}]), (200,),
         holds=outputs_are([1.0, 2.0])),
    Case("T25 10**9", infer("relu", GOOD, outputs=[OUTPUT | {"parameters": {"classification": 10**9}}]), (200,)),
    _request("T25 binary_data", outputs=[OUTPUT | {"parameters": {"binary_data": 1}}]),
    *(
        Case(f"T26 {short(version)} of {name}", post(f"/v2/models/{name}/versions/{version}/infer", GOOD_INFER), (404,))
        for version in ("0", "01", "latest", "-1", "1e3", "9999", "%D9%A1", "1" * 300, "%00", "%20")
        for name in ("relu", "cnn-relu")
    ),
]  # fmt: skip

CASES = [*APPLIED, *INPUTS, *ELEMENTS, *PARAMETERS]
