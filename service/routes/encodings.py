"""Compressed request bodies, decompressed before any route sees them; a pure ASGI middleware."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import UnsupportedEncoding, quoted
from service.routes.state import Services
from service.wire.compression import Encoding, decompress

ENCODINGS: Mapping[str, Encoding] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
"""By their names in `Content-Encoding` (RFC 9110 §8.4.1)."""


class Decompressed:
    """Hands routes the body as it was before `Content-Encoding`; its size is limited while it is decompressed."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = _encoding(scope) if scope["type"] == "http" else ""
        await self._app(scope, self._decoded(scope, receive, encoding) if encoding else receive, send)

    def _decoded(self, scope: Scope, receive: Receive, encoding: str) -> Receive:
        """Read the whole body at the route's first call; what is wrong with it is raised there, and answered."""
        done = False

        async def decoded() -> Message:
            nonlocal done
            if done:
                return await receive()
            done = True
            if encoding not in ENCODINGS:
                raise UnsupportedEncoding(f"content encoding {quoted(encoding)}; expected gzip or deflate")
            request = Request(scope, receive)
            compressed = await request.body()
            services: Services = request.state.services
            # In the pool, so that no more bodies than it has threads are unpacked, and held, at a time.
            content = await services.pool.run(
                lambda: decompress(compressed, ENCODINGS[encoding], max_bytes=self._max_bytes)
            )
            return {"type": "http.request", "body": content, "more_body": False}

        return decoded


def _encoding(scope: Scope) -> str:
    """What was done to the body, in lower case; empty if nothing. Several encodings stay a list, which none reads."""
    listed = ",".join(Request(scope).headers.getlist("content-encoding")).lower().split(",")
    return ", ".join(name for name in map(str.strip, listed) if name not in ("", "identity"))
