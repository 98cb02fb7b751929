"""Judging answers: is this what the service must say to that request?

A check is given an answer and raises Wrong with the reason. The expected values are computed here, from the formulas,
so that an answer that went to the wrong request of a merged batch is noticed too, not only one that looks odd.
Reasons carry no measured values: Locust counts equal reasons together.
"""

import ast
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

TOLERANCE = 1e-5
"""Absolute, for outputs of functions whose inputs lie in -4…4: some units in the last place of float32."""
SUM_TOLERANCE = 1e-3
"""By how much the sum of probabilities may miss 1."""
PNG = b"\x89PNG\r\n\x1a\n"
NPY = b"\x93NUMPY\x01\x00"


class Wrong(Exception):
    """The answer is not what it must be."""


@dataclass(frozen=True)
class Answer:
    """What came back; `headers` find their names in any case, as HTTP has it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Check = Callable[[Answer], None]


def fault(check: Check, answer: Answer, status: int = 200) -> str | None:
    """Why the answer is wrong, or None; an answer in another form than expected is wrong too, and no error of ours."""
    if answer.status != status:
        return f"status {answer.status}, expected {status}: {answer.body[:100].decode(errors='replace')}"
    try:
        check(answer)
    except Wrong as reason:
        return str(reason)
    except (LookupError, TypeError, ValueError, SyntaxError, struct.error) as error:
        return f"answer in another form than expected: {type(error).__name__}"
    return None


def require(holds: bool, reason: str) -> None:
    if not holds:
        raise Wrong(reason)


def applied(activation: str, expected: Sequence[Sequence[float]]) -> Check:
    """JSON of `/v1/activations/{name}`: the function's name, the shape, and these rows."""

    def check(answer: Answer) -> None:
        said = json.loads(answer.body)
        require(said["activation"] == activation, "another activation")
        require(said["shape"] == [len(expected), len(expected[0])], "another shape")
        require(len(said["data"]) == len(expected), "another number of rows")
        for row, wanted in zip(said["data"], expected, strict=True):
            close(row, wanted)

    return check


def inferred(expected: Sequence[Sequence[float]]) -> Check:
    """JSON of V2: the one output `y` with these rows, flat."""

    def check(answer: Answer) -> None:
        (output,) = json.loads(answer.body)["outputs"]
        require((output["name"], output["datatype"]) == ("y", "FP32"), "another output")
        require(output["shape"] == [len(expected), len(expected[0])], "another shape")
        close(output["data"], [value for row in expected for value in row])

    return check


def inferred_binary(expected: Sequence[Sequence[float]]) -> Check:
    """V2 with a binary tensor: the one output `y` with these rows."""

    def check(answer: Answer) -> None:
        name, shape, values = next(binary_outputs(answer))
        require(name == "y", "another output")
        require(shape == [len(expected), len(expected[0])], "another shape")
        close(values, [value for row in expected for value in row])

    return check


def classified_binary(rows: int, known: Mapping[int, int]) -> Check:
    """V2 with binary probabilities of 10 classes; `known`: the class of some rows."""

    def check(answer: Answer) -> None:
        name, shape, values = next(binary_outputs(answer))
        require(name == "probabilities", "another output")
        require(shape == [rows, 10], "another shape")
        for row in range(rows):
            probabilities = values[10 * row : 10 * row + 10]
            distribution(probabilities)
            require(known.get(row, best := probabilities.index(max(probabilities))) == best, "another class")

    return check


def array(expected: Sequence[Sequence[float]]) -> Check:
    """A float32 `.npy` with these rows."""

    def check(answer: Answer) -> None:
        require(answer.body.startswith(NPY), "no .npy")
        start = 10 + struct.unpack_from("<H", answer.body, 8)[0]
        head = ast.literal_eval(answer.body[10:start].decode("ascii"))
        require(head["descr"] == "<f4" and not head["fortran_order"], "another dtype or order")
        require(head["shape"] == (len(expected), len(expected[0])), "another shape")
        close(floats(answer.body[start:]), [value for row in expected for value in row])

    return check


def predicted(*labels: str | None) -> Check:
    """JSON of `/v1/models/{name}/predict`: a prediction an image; None for an image that shows nothing known."""

    def check(answer: Answer) -> None:
        predictions = json.loads(answer.body)["predictions"]
        require(len(predictions) == len(labels), "another number of predictions")
        for prediction, label in zip(predictions, labels, strict=True):
            distribution(prediction["probabilities"])
            require(label in (None, prediction["label"]), "another label")

    return check


def picture(width: int, height: int) -> Check:
    """A PNG of this size, in pixels."""

    def check(answer: Answer) -> None:
        require(answer.body.startswith(PNG), "no PNG")
        require(struct.unpack_from(">II", answer.body, 16) == (width, height), "another size")

    return check


def listing(key: str, least: int = 1) -> Check:
    """JSON with a list of at least so many at `key`."""

    def check(answer: Answer) -> None:
        require(len(list(json.loads(answer.body)[key])) >= least, f"too few {key}")

    return check


def saying(**values: object) -> Check:
    """JSON with these members."""

    def check(answer: Answer) -> None:
        said = json.loads(answer.body)
        for name, value in values.items():
            require(said[name] == value, f"another {name}")

    return check


def curve(points: int) -> Check:
    def check(answer: Answer) -> None:
        said = json.loads(answer.body)
        require(all(len(said[name]) == points for name in ("x", "y", "derivative")), "another number of points")

    return check


def refused(answer: Answer) -> None:
    """The JSON of every error."""
    said = json.loads(answer.body)
    require(set(said) == {"error"} and isinstance(said["error"], str) and said["error"] != "", "no error in words")


def page(answer: Answer) -> None:
    require(b"<html" in answer.body.lower(), "no HTML")


def compared_activations(expected: Mapping[str, Sequence[Sequence[float]]]) -> Check:
    """JSON of `/v1/compare/activations`: a result a function, in any order."""

    def check(answer: Answer) -> None:
        results = {result["activation"]: result["data"] for result in json.loads(answer.body)["results"]}
        require(set(results) == set(expected), "another set of activations")
        for name, rows in expected.items():
            require(len(results[name]) == len(rows), "another number of rows")
            for row, wanted in zip(results[name], rows, strict=True):
                close(row, wanted)

    return check


def compared_models(answer: Answer) -> None:
    """JSON of `/v1/compare/models`: at least two results, each with probabilities somewhere within."""
    results = json.loads(answer.body)["results"]
    require(len(results) >= 2, "too few results")
    for result in results:
        found = list(members(result, "probabilities"))
        require(found != [], "no probabilities")
        for probabilities in found:
            distribution(probabilities)


def members(value: object, name: str) -> Iterator[list[float]]:
    """Every member of that name, at any depth."""
    children: list[object] = []
    if isinstance(value, dict):
        if isinstance(value.get(name), list):
            yield value[name]
        children = list(value.values())
    elif isinstance(value, list):
        children = value
    for child in children:
        yield from members(child, name)


def close(values: Sequence[float], expected: Sequence[float]) -> None:
    require(len(values) == len(expected), "another number of values")
    require(
        all(math.isclose(v, e, rel_tol=0, abs_tol=TOLERANCE) for v, e in zip(values, expected, strict=True)),
        "other values",
    )


def distribution(probabilities: Sequence[float]) -> None:
    require(all(0 <= p <= 1 for p in probabilities), "a probability outside 0…1")
    require(abs(sum(probabilities) - 1) <= SUM_TOLERANCE, "probabilities do not add up to 1")


def binary_outputs(answer: Answer) -> Iterator[tuple[str, list[int], tuple[float, ...]]]:
    """Name, shape and values of each FP32 output that follows the JSON as bytes."""
    place = int(answer.headers["Inference-Header-Content-Length"])
    for output in json.loads(answer.body[:place])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        require(output["datatype"] == "FP32", "another datatype")
        yield output["name"], output["shape"], floats(answer.body[place : place + size])
        place += size


def floats(content: bytes) -> tuple[float, ...]:
    """Little-endian float32."""
    return struct.unpack(f"<{len(content) // 4}f", content)
