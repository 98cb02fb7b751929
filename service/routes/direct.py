"""The short way for inference; a pure ASGI middleware.

FastAPI resolves dependencies, matches routes and enters an exit stack for every request, which takes longer than the
decoding and encoding of a small tensor. So an ordinary request for inference is handed from here to the very function
that its route would call. What is not ordinary goes the long way and gets the same answer: a body that is compressed,
comes without a length or is longer than allowed, a query, another method. The OpenAPI document comes from the routes.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError
from service.routes import infer, models
from service.routes.http import error_response
from service.routes.state import Services
from service.wire import images

PATHS = re.compile("/v2/models/([^/]+)(?:/versions/([^/]+))?/infer|/v1/models/([^/]+)/predict")

Answer: TypeAlias = Callable[[bytes, Services], Awaitable[Response]]


class Direct:
    """Answers inference that is nothing special, and leaves the rest to the application.

    Args:
        max_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await answer(await read(receive), scope["state"]["services"])
        except ServiceError as error:
            response = error_response(error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _answer(self, scope: Scope) -> Answer | None:
        """What answers this request; None if that is not for here to say."""
        match = PATHS.fullmatch(scope["path"])
        if match is None or scope["query_string"]:
            return None
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if not (length.isdigit() and len(length) < 19 and int(length) <= self._max_bytes):
            return None
        if "content-encoding" in headers:
            return None
        name, version, predicted = match.groups()
        return _predict(predicted, headers) if predicted else lambda b, s: infer.answer(name, version, headers, b, s)


def _predict(name: str, headers: Mapping[str, str]) -> Answer | None:
    kind = headers.get("content-type", "")
    if kind not in images.CONTENT_TYPES:
        return None

    async def answer(body: bytes, services: Services) -> Response:
        return await models.classified(services.repository.find(name), kind, [body], models.TOP_K, services)

    return answer


async def read(receive: Receive) -> bytes:
    """The whole body.

    Raises:
        ClientDisconnect: the client left before it was here.
    """
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message["body"])
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
