"""The service as an application of Ray Serve: `serve run deploy/ray/config.yaml`, from the folder above `deploy`.

Each replica is one process of the service with all of its application, whatever ACTSERVE_WORKERS says: Ray counts
replicas, and places them. What Ray's proxies do in place of our server is in docs/deployment.md.
"""

import os
from collections.abc import Awaitable
from typing import Any

import ray
from ray import serve
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.ray import metrics
from service.app import from_environment

REQUEST_ID = b"x-request-id"
NOSNIFF = (b"x-content-type-options", b"nosniff")


class Hosted:
    """The application as Ray calls it: what a server of ASGI would do, and Ray does not, is done here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        """What the application's start has made; every request is to have it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.state = scope["state"]
            await self._app(scope, receive, send)
            return

        def answer(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":  # Ray's proxy adds the id, which it has sent along to us
                fields = [field for field in message["headers"] if field[0] != REQUEST_ID]
                return send({**message, "headers": [*fields, NOSNIFF]})
            return send({**message, "body": bytes(message.get("body", b""))})  # it is pickled, and a view cannot be

        await self._app({**scope, "state": self.state.copy()}, receive, answer)


def build() -> ASGIApp:
    """Called in each replica: settings from `ACTSERVE_*`, one worker, threads for the processors that Ray gives it."""
    processors = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    os.environ.setdefault("ACTSERVE_THREADS", str(max(1, int(processors))))
    os.environ["ACTSERVE_WORKERS"] = "1"
    app = from_environment()
    metrics.replace(app)
    return Hosted(app)


app = serve.deployment(serve.ingress(build)(metrics.Told), name="actserve").bind()
