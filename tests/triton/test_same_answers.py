"""The same request bytes get the same answer from the service and from a real Triton.

`answers.json` is what Triton 2.51 answered on a CPU (`python -m tests.triton.record` writes it), so the service is held
to it everywhere; where Triton is installed, the record is held to Triton. What differs on purpose is in the table of
docs/protocol.md, which is read here: a difference that is not there, or is there and is none, fails.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.triton.cases import CASES
from tests.triton.server import Answer

RECORD: Mapping[str, Answer] = json.loads((Path(__file__).parent / "answers.json").read_text())
PAGE = Path(__file__).parent.parent.parent / "docs" / "protocol.md"

STRUCTURES = {"configuration", "statistics", "server"}
"""Cases whose values differ by nature: times, and what kind of server it is. Members and their types are compared."""

TRITONS_OWN = {
    "configuration": {
        "input[].is_non_linear_format_io",  # of TensorRT
        "output[].is_non_linear_format_io",
        "version_policy.latest.num_versions",  # every version is served here, by default
        "optimization.input_pinned_memory.enable",  # the rest is of Triton's own scheduler
        "optimization.output_pinned_memory.enable",
        "optimization.gather_kernel_buffer_threshold",
        "optimization.eager_batching",
        "instance_group[].secondary_devices",
        "instance_group[].profile",
        "instance_group[].passive",
        "instance_group[].host_policy",
    }
}

WORDS = {
    "unknown model": "Request for unknown model: 'nothing' is not found",
    "unknown model's metadata": "Request for unknown model: 'nothing' is not found",
    "unknown model's configuration": "Request for unknown model: 'nothing' is not found",
    "unknown model's statistics": "requested model 'nothing' is not available",
    "unknown version": "Request for unknown model: 'add_sub' version 7 is not found",
    "unknown version's inference": "Request for unknown model: 'echo_fp32' version 7 is not found",
    "unloaded model": "Request for unknown model: 'echo_int8' has no available versions",
    "load of an unknown model": "failed to load 'nothing', ",
    "unknown path": "Not Found",
    "wrong method": "Method Not Allowed",
    "unknown input": "unexpected inference input 'z' for model 'echo_fp32'",
    "missing input": "expected 2 inputs but got 1 inputs for model 'add_sub'. Got input(s) ['a'], but missing required "
    "input(s) ['b']",
    "input given twice": "input 'x' already exists in request",
    "unknown output": "unexpected inference output 'q' for model 'echo_fp32'",
    "wrong datatype": "inference input 'x' data-type is 'FP64', but model 'echo_fp32' expects 'FP32'",
    "wrong shape": "unexpected shape for input 'x' for model 'labelled'. Expected [-1,4], got [1,3]",
    "wrong rank": "unexpected shape for input 'x' for model 'labelled'. Expected [-1,4], got [4]",
    "different batches": "batch size does not match other inputs for 'add_sub'",
    "too few bytes": "unexpected size for input 'x', expecting 1 additional bytes",
    "too many bytes": "unexpected additional input data",
    "size and shape disagree": "input byte size mismatch for input 'x'",
    "raw with two inputs": "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'add_sub' "
    "model configuration",
    "raw string": "For BYTE datatype raw input 'x', the model must have input shape [1]",
    "log file": "log file location can not be updated through network protocol",
}
"""What scripts look for in an error, said by both."""


@dataclass(frozen=True)
class Difference:
    """A row of the page's table: the statuses of both, and the reason."""

    ours: int
    tritons: int
    reason: str


def differences() -> dict[str, Difference]:
    """| `case`, `case` … | ours | Triton's | reason |"""
    rows = re.findall(r"^\| (`.*`) \| (\d+) \| (\d+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {
        case: Difference(int(ours), int(tritons), reason)
        for names, ours, tritons, reason in rows
        for case in re.findall(r"`([^`]+)`", names)
    }


DIFFERENCES = differences()


def structure(value: object, at: str = "") -> set[tuple[str, str]]:
    """Members and their JSON types, the first item standing for a list."""
    if isinstance(value, dict):
        return {pair for key, member in value.items() for pair in structure(member, f"{at}.{key}".lstrip("."))}
    if isinstance(value, list) and value:
        return structure(value[0], f"{at}[]")
    return {(at, type(value).__name__)}


def comparable(case: str, answer: Answer) -> object:
    """What must be equal: of an error the status, of an answer everything."""
    head = str(answer["head"])
    if answer["status"] != 200:
        return answer["status"]
    if case in STRUCTURES:
        return {pair for pair in structure(json.loads(head)) if pair[0] not in TRITONS_OWN.get(case, set())}
    content = json.loads(head) if head else None
    for output in content.get("outputs", []) if isinstance(content, dict) else []:
        if output.get("datatype") == "FP32" and "data" in output:  # Triton writes 0.1 with the digits of a double
            output["data"] = [number if number is None else str(np.float32(number)) for number in output["data"]]
    return answer["status"], content, answer.get("tail"), answer.get("encoding")


@pytest.mark.parametrize("case", CASES)
def test_the_service_answers_as_triton_does(ours: Mapping[str, Answer], case: str) -> None:
    our, their = comparable(case, ours[case]), comparable(case, RECORD[case])
    if case in STRUCTURES:
        assert isinstance(our, set)
        assert our >= their
    elif case not in DIFFERENCES:
        assert our == their
    else:
        assert our != their, "docs/protocol.md has a difference that is none"
        assert (ours[case]["status"], RECORD[case]["status"]) == (DIFFERENCES[case].ours, DIFFERENCES[case].tritons)


@pytest.mark.parametrize("case", CASES)
def test_the_record_is_what_triton_answers(tritons: Mapping[str, Answer], case: str) -> None:
    assert comparable(case, tritons[case]) == comparable(case, RECORD[case])


def test_the_page_and_the_record_know_no_other_cases() -> None:
    assert set(DIFFERENCES) - set(CASES) == set()
    assert set(RECORD) == set(CASES)


@pytest.mark.parametrize("case", [case for case in CASES if RECORD[case]["status"] != 200])
def test_every_error_is_json_with_a_text(ours: Mapping[str, Answer], case: str) -> None:
    if ours[case]["status"] != 200:
        body = json.loads(str(ours[case]["head"]))
        assert list(body) == ["error"]
        assert body["error"]


@pytest.mark.parametrize(("case", "words"), WORDS.items(), ids=WORDS)
def test_an_error_has_tritons_words(ours: Mapping[str, Answer], case: str, words: str) -> None:
    assert words in str(ours[case]["head"])
    assert words in str(RECORD[case]["head"])
