"""The body's size, checked while it arrives; a pure ASGI middleware."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import callers
from service.errors import BadRequest, PayloadTooLarge, ServiceError, quoted
from service.routes.http import closing, error_response


class BodyLimit:
    """Refuses bodies over the limit: at once where their length is announced, else when the limit is passed."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check_headers(Request(scope))
        except ServiceError as error:
            response = error_response(error)
            response.headers["connection"] = "close"  # the rest of the body is not read
            await response(scope, receive, send)
            return
        await self._app(scope, *self._counted(receive, send))

    def _check_headers(self, request: Request) -> None:
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadRequest(f"content-length is {quoted(length)}, expected a number")
        if int(length[:20]) > self._max_bytes:
            raise self._too_large(f"the body has {length[:20]} bytes")

    def _counted(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Count what is received; a client that sent too much is cut off after its answer."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self._max_bytes:
                raise self._too_large("the body is longer")
            if not message.get("more_body"):
                callers.arrived()
            return message

        async def cutting(message: Message) -> None:
            await send(closing(message) if total > self._max_bytes else message)

        return counted, cutting

    def _too_large(self, what: str) -> PayloadTooLarge:
        return PayloadTooLarge(f"{what}; at most {self._max_bytes} bytes are accepted")
