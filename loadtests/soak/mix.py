"""What is sent: requests of every kind, wrong ones, and some whose client does not wait for the answer."""

import random
from dataclasses import replace

from loadtests import answers, bodies
from loadtests.bodies import JSON, MODELS, SAMPLES, SEED, Sent, dumped
from loadtests.ledger import golden
from loadtests.ledger.golden import HOST, Golden
from loadtests.local.http import Request, as_http

SHARES = {"functions": 600, "pictures": 200, "visits": 60, "bad": 100, "comparisons": 25, "left": 12, "inspections": 3}
"""Of a thousand. A choice: mostly what is quick, and enough of everything that a leak of it would show."""


def mixed() -> list[Golden]:
    """A thousand requests, of each kind as many as its share; those of a kind in turn."""
    kinds = {
        "functions": golden.functions(),
        "pictures": golden.pictures(),
        "visits": [golden.of(visit) for visit in bodies.visits()],
        "bad": bad(),
        "comparisons": [golden.of(request) for request in bodies.comparisons(random.Random(SEED))],
        "left": left(),
        "inspections": [golden.of(inspection())],
    }
    return [requests[turn % len(requests)] for kind, requests in kinds.items() for turn in range(SHARES[kind])]


def bad() -> list[Golden]:
    """Each with the status that it must be answered with."""
    json_of = [
        ("no JSON", b"{not json", 400),
        ("no inputs", b"{}", 400),
        ("too few numbers", dumped({"inputs": [_port(data=[1.0])]}), 400),
        ("another datatype", dumped({"inputs": [_port(datatype="FP99")]}), 400),
        ("a string for a number", dumped({"inputs": [_port(data=["1.5"] * 3)]}), 400),
        ("a negative shape", dumped({"inputs": [_port(shape=[-1, 3])]}), 400),
        ("another input", dumped({"inputs": [_port(name="z")]}), 400),
    ]
    photo = sorted(SAMPLES.glob("*.jpg"))[0].read_bytes()
    predict = f"/v1/models/{MODELS[0]}/predict"
    return [
        *[_bad(what, "/v2/models/relu/infer", JSON, body, status) for what, body, status in json_of],
        _bad("an unknown model", "/v2/models/nobody/infer", JSON, dumped({"inputs": [_port()]}), 404),
        _bad("an unknown function", "/v1/activations/nothing", JSON, dumped({"data": [1.0]}), 404),
        _bad("an unknown route", "/v1/nowhere", JSON, b"{}", 404),
        _bad("half a photo", predict, {"Content-Type": "image/jpeg"}, photo[: len(photo) // 2], 400),
        _bad("another type", predict, {"Content-Type": "text/plain"}, photo, 415),
        _bad("no gzip", "/v2/models/relu/infer", JSON | {"Content-Encoding": "gzip"}, b"none", 400),
    ]


def left() -> list[Golden]:
    """Requests of eight rows to a CNN, whose client goes away as soon as they are sent."""
    return [replace(request, leaves=True) for request in golden.pictures()[3:4]]


def inspection() -> Sent:
    """A look into every layer."""
    photo = sorted(SAMPLES.glob("*.jpg"))[0].read_bytes()
    path = f"/v1/models/{MODELS[0]}/inspect"
    return Sent("inspect", path, answers.listing("layers"), photo, {"Content-Type": "image/jpeg"})


def _bad(what: str, path: str, headers: dict[str, str], body: bytes, status: int) -> Golden:
    message = as_http(HOST, Request(path, headers, body))
    return Golden(f"bad: {what}", message, answers.refused, status=status)


def _port(**changed: object) -> dict[str, object]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]} | changed
