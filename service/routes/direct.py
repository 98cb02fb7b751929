"""The short way for inference, around the FastAPI application.

FastAPI resolves dependencies, matches routes, enters an exit stack and goes through its layers of middleware for every
request, which takes longer than the decoding and encoding of a small tensor. So an ordinary request for inference is
handed from here to the very function that its route would call. What is not ordinary goes the long way and gets the
same answer: a body that is compressed, comes without a length or is longer than allowed, a query, another method. The
OpenAPI document comes from the routes.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import callers
from service.errors import ServiceError
from service.routes import infer, models
from service.routes.http import error_response, internal_error
from service.routes.pictures import Sent
from service.routes.state import Services
from service.routes.traffic import ROUTE
from service.wire import images

PATHS = re.compile("/v2/models/([^/]+)(?:/versions/([^/]+))?/infer|/v1/models/([^/~]+)/predict")

INFER = "/v2/models/{name}/infer"
INFER_VERSION = "/v2/models/{name}/versions/{version}/infer"
PREDICT = "/v1/models/{name}/predict"
"""The routes that are stood for."""

Answer: TypeAlias = Callable[[bytes | memoryview, Services], Awaitable[Response]]

ALIGNMENT = 64
"""Of a tensor's bytes: NumPy's own, and more than any of its numbers needs."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An ordinary request for inference: its route, its body's length, where tensors begin in that, what answers it."""

    route: str
    length: int
    tail: int
    answer: Answer


class Direct:
    """Answers inference that is nothing special, and leaves the rest to the application.

    Args:
        max_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._asked(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = asked.route
        try:
            body = await read(receive, asked.length, asked.tail)
            callers.arrived()
            response = await asked.answer(body, scope["state"]["services"])
        except ServiceError as error:
            response = error_response(error)
        except ClientDisconnect:
            return
        except Exception as error:
            response = internal_error(scope, error)
        await response(scope, receive, send)

    def _asked(self, scope: Scope) -> Asked | None:
        """What the request is; None if it is not ordinary."""
        match = PATHS.fullmatch(scope["path"])
        if match is None or scope["query_string"]:
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = _number(headers.get(b"content-length"))
        if length is None or length > self._max_bytes or b"content-encoding" in headers:
            return None
        if len(headers) != len(scope["headers"]):  # one is there twice
            return None
        name, version, predicted = match.groups()
        if predicted:
            answer = _predict(predicted, headers.get(b"content-type", b"").decode("latin-1"))
            return answer and Asked(PREDICT, length, 0, answer)
        jsons = headers.get(infer.RAW_LENGTH_HEADER)
        lengths = () if jsons is None else (jsons.decode("latin-1"),)
        accepted = headers.get(b"accept-encoding", b"").decode("latin-1")
        return Asked(
            INFER_VERSION if version else INFER,
            length,
            _number(jsons) or 0,
            lambda body, services: infer.answer(name, version, lengths, accepted, body, services),
        )


def _number(text: bytes | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 19 else None


def _predict(name: str, kind: str) -> Answer | None:
    if kind not in images.CONTENT_TYPES:
        return None

    async def answer(body: bytes | memoryview, services: Services) -> Response:
        sent = Sent(kind, [bytes(body)])
        return await models.classified(services.repository.find(name), sent, models.TOP_K, services)

    return answer


async def read(receive: Receive, length: int, tail: int = 0) -> bytes | memoryview:
    """The whole body.

    Args:
        length: of the body.
        tail: where tensors begin in it. A body that comes in pieces is put together so that this place in memory is
            aligned: NumPy would have to copy a tensor that is not.

    Raises:
        ClientDisconnect: the client left before it was here.
    """
    message = await _next(receive)
    if not message.get("more_body"):
        body: bytes = message["body"]
        return body
    gap = -tail % ALIGNMENT
    whole = np.empty(gap + length, np.uint8).data[gap:]
    end = 0
    while True:
        start, end = end, end + len(message["body"])
        whole[start:end] = message["body"]
        if not message.get("more_body"):
            return whole[:end]
        message = await _next(receive)


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message
