"""The requests of the load test: the service answers each as its check expects, and a check sees what is wrong."""

import json
import struct
from collections.abc import Mapping

import pytest
from starlette.testclient import TestClient

from loadtests import answers, bodies
from loadtests.answers import Answer, Check, fault
from loadtests.bodies import Sent

KINDS = bodies.kinds()
SERVED = {kind: sent for kind, sent in KINDS.items() if kind != "compare"}


def ask(client: TestClient, sent: Sent) -> Answer:
    response = client.request(sent.method, sent.path, content=sent.body, headers=dict(sent.headers))
    return Answer(response.status_code, response.headers, response.content)


@pytest.mark.parametrize("sent", [pytest.param(each, id=each.name) for kind in SERVED.values() for each in kind])
def test_the_service_answers_every_request_as_expected(client: TestClient, sent: Sent) -> None:
    assert fault(sent.check, ask(client, sent)) is None


@pytest.mark.parametrize("kind", SERVED)
def test_an_answer_to_another_request_is_noticed(client: TestClient, kind: str) -> None:
    """As when rows of a merged batch go to the wrong requests. Pictures of no known class cannot be told apart."""
    told = [
        sent for sent in SERVED[kind] if "predict png" not in sent.name and "activations/{name} png" not in sent.name
    ]
    one, other = told[0], next(sent for sent in told if (sent.path, sent.body) != (told[0].path, told[0].body))
    assert fault(one.check, ask(client, other)) is not None


def test_the_requests_are_the_same_in_every_process() -> None:
    def content(kinds: Mapping[str, list[Sent]]) -> list[tuple[str, str, bytes | None, Mapping[str, str]]]:
        return [(sent.name, sent.path, sent.body, sent.headers) for kind in kinds.values() for sent in kind]

    assert content(bodies.kinds()) == content(KINDS)


def test_each_row_of_the_report_tells_its_kind() -> None:
    assert all(sent.name.split(" ")[0] == kind for kind, requests in KINDS.items() for sent in requests)


def test_requests_without_a_body_are_gets() -> None:
    assert {sent.method for sent in KINDS["browse"]} == {"GET"}
    assert {sent.method for kind in KINDS if kind != "browse" for sent in KINDS[kind]} == {"POST"}


ROWS = [[1.0, 2.0], [3.0, 4.0]]


def output(**changes: object) -> dict[str, object]:
    return {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]} | changes


def binary(values: list[float], **changes: object) -> Answer:
    content = struct.pack(f"<{len(values)}f", *values)
    described = output(parameters={"binary_data_size": len(content)}) | changes
    head = json.dumps({"outputs": [described]}).encode()
    return Answer(200, {"Inference-Header-Content-Length": str(len(head))}, head + content)


def said(value: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(value).encode())


def result(**changes: object) -> dict[str, object]:
    return {"activation": "relu", "shape": [2, 2], "data": ROWS} | changes


def prediction(probabilities: list[float], label: str = "cat") -> dict[str, object]:
    return {"label": label, "probabilities": probabilities}


APPLIED, INFERRED, BINARY = answers.applied("relu", ROWS), answers.inferred(ROWS), answers.inferred_binary(ROWS)
CLASSES = answers.classified_binary(1, {0: 7})
PREDICTED, TWO = answers.predicted("cat"), answers.predicted("cat", None)
COMPARED = answers.compared_activations({"relu": ROWS})
ARRAY = answers.array(ROWS)
HORSE = [0.0] * 7 + [1.0, 0.0, 0.0]
RIGHT: list[tuple[Check, Answer]] = [
    (APPLIED, said(result())),
    (INFERRED, said({"outputs": [output()]})),
    (BINARY, binary([1, 2, 3, 4])),
    (CLASSES, binary(HORSE, name="probabilities", shape=[1, 10])),
    (PREDICTED, said({"predictions": [prediction([0.4, 0.6])]})),
    (TWO, said({"predictions": [prediction([0.4, 0.6]), prediction([1.0], "dog")]})),
    (ARRAY, Answer(200, {}, bodies.npy(ROWS))),
    (COMPARED, said({"results": [result()]})),
    (answers.compared_models, said({"results": [prediction([1.0]), {"predictions": [prediction([0.5, 0.5])]}]})),
]
WRONG: list[tuple[Check, Answer, str]] = [
    (APPLIED, said({"error": "busy"}, 503), 'status 503, expected 200: {"error": "busy"}'),
    (APPLIED, Answer(200, {}, b"{"), "answer in another form than expected: JSONDecodeError"),
    (APPLIED, said({}), "answer in another form than expected: KeyError"),
    (APPLIED, said([]), "answer in another form than expected: TypeError"),
    (APPLIED, said(result(activation="elu")), "another activation"),
    (APPLIED, said(result(shape=[4])), "another shape"),
    (APPLIED, said(result(data=ROWS[:1])), "another number of rows"),
    (APPLIED, said(result(data=[[1.0], [3.0, 4.0]])), "another number of values"),
    (APPLIED, said(result(data=[[1.0, 2.0], [3.0, 4.1]])), "other values"),
    (APPLIED, said(result(data=[[1.0, 2.0], [3.0, float("nan")]])), "other values"),
    (INFERRED, said({"outputs": []}), "answer in another form than expected: ValueError"),
    (INFERRED, said({"outputs": [output(name="z")]}), "another output"),
    (INFERRED, said({"outputs": [output(shape=[4, 1])]}), "another shape"),
    (INFERRED, said({"outputs": [output(data=[1.0, 2.0, 3.0, -4.0])]}), "other values"),
    (BINARY, said({"outputs": []}), "answer in another form than expected: KeyError"),
    (BINARY, binary([1, 2, 3, 4], name="z"), "another output"),
    (BINARY, binary([1, 2, 3, 4], shape=[1, 4]), "another shape"),
    (BINARY, binary([1, 2, 3, 4], datatype="FP16"), "another datatype"),
    (BINARY, binary([1, 2, 3]), "another number of values"),
    (BINARY, binary([1, 2, 3, 5]), "other values"),
    (CLASSES, binary(HORSE, name="logits", shape=[1, 10]), "another output"),
    (CLASSES, binary(HORSE, name="probabilities", shape=[10]), "another shape"),
    (CLASSES, binary([0.0] * 10, name="probabilities", shape=[1, 10]), "probabilities do not add up to 1"),
    (CLASSES, binary(HORSE[::-1], name="probabilities", shape=[1, 10]), "another class"),
    (PREDICTED, said({"predictions": []}), "another number of predictions"),
    (PREDICTED, said({"predictions": [prediction([1.0], "dog")]}), "another label"),
    (PREDICTED, said({"predictions": [prediction([0.4, 0.602])]}), "probabilities do not add up to 1"),
    (PREDICTED, said({"predictions": [prediction([-0.5, 1.5])]}), "a probability outside 0…1"),
    (TWO, said({"predictions": [prediction([1.0], "dog"), prediction([1.0])]}), "another label"),
    (ARRAY, said(ROWS), "no .npy"),
    (ARRAY, Answer(200, {}, bodies.npy(ROWS).replace(b"<f4", b"<f2")), "another dtype or order"),
    (ARRAY, Answer(200, {}, bodies.npy(ROWS).replace(b"(2, 2)", b"(4, 1)")), "another shape"),
    (
        ARRAY,
        Answer(200, {}, bodies.npy(ROWS).replace(b"{'descr'", b"['descr'")),
        "answer in another form than expected: SyntaxError",
    ),
    (ARRAY, Answer(200, {}, bodies.npy(ROWS)[:-1]), "answer in another form than expected: error"),
    (answers.picture(2, 2), said(None), "no PNG"),
    (answers.picture(2, 2), Answer(200, {}, answers.PNG + bytes(20)), "another size"),
    (answers.listing("models"), said({"models": []}), "too few models"),
    (answers.saying(ready=True), said({"ready": False}), "another ready"),
    (answers.curve(2), said({"x": [0, 1], "y": [0, 1], "derivative": [1]}), "another number of points"),
    (answers.page, said({}), "no HTML"),
    (COMPARED, said({"results": []}), "another set of activations"),
    (COMPARED, said({"results": [result(data=[])]}), "another number of rows"),
    (COMPARED, said({"results": [result(data=[[0.0, 0.0], [0.0, 0.0]])]}), "other values"),
    (answers.compared_models, said({"results": [prediction([1.0])]}), "too few results"),
    (answers.compared_models, said({"results": [{}, {}]}), "no probabilities"),
    (
        answers.compared_models,
        said({"results": [prediction([1.0]), prediction([0.9])]}),
        "probabilities do not add up to 1",
    ),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_a_right_answer_has_no_fault(check: Check, answer: Answer) -> None:
    assert fault(check, answer) is None


@pytest.mark.parametrize(("check", "answer", "reason"), WRONG, ids=[f"{i} {row[2]}" for i, row in enumerate(WRONG)])
def test_a_wrong_answer_is_told_by_its_reason(check: Check, answer: Answer, reason: str) -> None:
    assert fault(check, answer) == reason
