"""The OpenAPI document: what all routes share, and what FastAPI does not know of them."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from service.routes import schemas
from service.routes.admin import SECURITY
from service.routes.traffic import HEALTH

DESCRIPTION = """Activation functions, and the small CNNs trained with each of them, through ONNX Runtime.

`/v1` is for people, scripts and browsers; `/v2` is the Open Inference Protocol. Every error is `{"error": "…"}`.
"""

ERROR_ANSWERS: Mapping[int | str, Any] = {
    "4XX": {
        "model": schemas.Error,
        "description": "It cannot be answered as it was sent: what was wrong, and what was expected.",
    },
    "5XX": {
        "model": schemas.Error,
        "description": "It cannot be answered now. 503 comes with `Retry-After` where it helps to try again.",
    },
}
"""Of every route; docs/operations.md has the statuses. A list of them for each would hide what routes answer."""


def complete(app: FastAPI, *, with_keys: bool) -> None:
    """Have FastAPI's document completed whenever it is made.

    Args:
        with_keys: all but the health routes needs a key.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _add_bodies(document)
        if with_keys:
            _add_keys(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _add_bodies(document: dict[str, Any]) -> None:
    """The schemas of the bodies that routes read themselves."""
    for body in (schemas.Apply, schemas.Compare, schemas.Predict):
        document["components"]["schemas"][body.__name__] = body.model_json_schema()
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # bad input is 400 here


def _add_keys(document: dict[str, Any]) -> None:
    document["security"] = SECURITY
    for path in HEALTH:
        for operation in document["paths"][path].values():
            operation["security"] = []
