"""Which users a service can serve: those whose routes it has."""

import json
import urllib.request
from collections.abc import Iterable
from typing import Any

DEADLINE_S = 10


def fetched(host: str) -> dict[str, Any]:
    """The OpenAPI document of the service; asked directly, as Locust's users ask, whatever proxy the environment names.

    Raises:
        OSError: it does not answer.
        ValueError: it answers something else.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{host.rstrip('/')}/openapi.json", timeout=DEADLINE_S) as response:
        document = json.load(response)
    if not isinstance(document, dict):
        raise ValueError("it is no object")
    return document


def missing(document: dict[str, Any], needed: Iterable[str]) -> list[str]:
    """The routes that are not there for POST."""
    paths = document.get("paths", {})
    return [route for route in needed if "post" not in paths.get(route, {})]
