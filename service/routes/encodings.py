"""Compressed request bodies, decompressed before any route sees them; a pure ASGI middleware."""

from typing import cast

from anyio import to_thread
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import UnsupportedEncoding, quoted
from service.wire.compression import Encoding, decompress

ENCODINGS = ("gzip", "deflate")


class Decompressed:
    """Hands routes the body as it was before `Content-Encoding`; its size is limited while it is decompressed."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = "identity"
        if scope["type"] == "http":
            encoding = Request(scope).headers.get("content-encoding", "identity").strip().lower()
        await self._app(scope, receive if encoding == "identity" else self._decoded(scope, receive, encoding), send)

    def _decoded(self, scope: Scope, receive: Receive, encoding: str) -> Receive:
        """Read the whole body at the route's first call; what is wrong with it is raised there, and answered."""
        done = False

        async def decoded() -> Message:
            nonlocal done
            if done:
                return await receive()
            done = True
            if encoding not in ENCODINGS:
                raise UnsupportedEncoding(f"content encoding {quoted(encoding)}; expected {' or '.join(ENCODINGS)}")
            compressed = await Request(scope, receive).body()
            chosen = cast(Encoding, encoding)
            body = await to_thread.run_sync(lambda: decompress(compressed, chosen, max_bytes=self._max_bytes))
            return {"type": "http.request", "body": body, "more_body": False}

        return decoded
