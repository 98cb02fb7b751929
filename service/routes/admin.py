"""Who may change the running service: holders of the admin key, and nobody while none is set."""

from typing import Any

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from service.errors import Forbidden, Unauthorized
from service.routes.keys import ADMIN, given
from service.routes.state import Shared

# They are here for the documentation's Authorize button; what is asked for is `given`.
_BEARER = HTTPBearer(auto_error=False, description="A key.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key.")

SECURITY: list[dict[str, list[str]]] = [{scheme.scheme_name: []} for scheme in (_BEARER, _HEADER)]
"""In the OpenAPI document's words: one of them is enough."""


async def _require_admin(request: Request, services: Shared) -> None:
    """Let the request pass if it carries the admin key.

    Raises:
        Forbidden: no admin key is set, or the request has another.
        Unauthorized: the request has none.
    """
    if services.keys.admin is None:
        raise Forbidden("this changes the running service and is off: no admin key is set (ACTSERVE_ADMIN_KEY)")
    key = given(request.scope)
    if key is None:
        raise Unauthorized("this changes the running service: send the admin key as 'Authorization: Bearer …'")
    if services.keys.holder(key) != ADMIN:
        raise Forbidden("the key sent is not the admin key")


ADMIN_ONLY: dict[str, Any] = {"dependencies": [Depends(_BEARER), Depends(_HEADER), Depends(_require_admin)]}
"""For a route's decorator: the key is asked for before anything else of the request is looked at."""
