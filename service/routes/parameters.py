"""A function's name in the path and its parameters in the query: documented, read, and shown in answers."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import Path

from service.activations.activation import Values
from service.activations.catalogue import ACTIVATIONS
from service.routes import examples
from service.routes.http import literal
from service.wire import arrays

Name = Annotated[
    str,
    Path(
        description="A function's name, or an alias such as `silu`.",
        openapi_examples=examples.path_examples("leaky_relu", *(name for name in ACTIVATIONS if name != "leaky_relu")),
    ),
]


def read(given: Mapping[str, str]) -> dict[str, object]:
    """The query's strings as values, for `Activation.bind`."""
    return {name: literal(text) for name, text in given.items()}


def plain(values: Values) -> dict[str, object]:
    """Parameters as JSON writes them."""
    return {name: arrays.to_json(v) if isinstance(v, np.ndarray) else v for name, v in values.items()}


def documented() -> list[dict[str, Any]]:
    """OpenAPI's description of every parameter that any function has, all optional."""
    names = dict.fromkeys(parameter.name for row in ACTIVATIONS.values() for parameter in row.parameters)
    return [query(name, {"type": "string"}, "; ".join(_meanings(name))) for name in names]


def query(name: str, schema: Mapping[str, object], description: str) -> dict[str, Any]:
    """OpenAPI's description of one optional query parameter."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _meanings(name: str) -> Iterator[str]:
    for row in ACTIVATIONS.values():
        for parameter in row.parameters:
            if parameter.name == name:
                yield f"`{row.name}`: {parameter.accepts()}, default {parameter.default}"
