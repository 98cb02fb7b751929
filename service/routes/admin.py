"""Who may change the running service: holders of the admin key, and nobody while none is set."""

import hashlib
import hmac
from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.errors import Forbidden, Unauthorized
from service.routes import schemas
from service.routes.state import Shared

# Both return None where there is no key; as dependencies they also give the documentation its Authorize button.
_BEARER = HTTPBearer(auto_error=False, description="The admin key.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The admin key.")


async def _require_admin(
    services: Shared,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    header: Annotated[str | None, Depends(_HEADER)],
) -> None:
    """Let the request pass if it carries the admin key.

    Raises:
        Forbidden: no admin key is set, or the request has another.
        Unauthorized: the request has none.
    """
    wanted = services.settings.admin_key
    if wanted is None:
        raise Forbidden("this changes the running service and is off: no admin key is set (ACTSERVE_ADMIN_KEY)")
    given = bearer.credentials if bearer else header
    if not given:
        raise Unauthorized("this changes the running service: send the admin key as 'Authorization: Bearer …'")
    sent = given.encode("latin-1")  # as the header's bytes were read
    if not hmac.compare_digest(_digest(sent), _digest(wanted.get_secret_value().encode())):
        raise Forbidden("the key sent is not the admin key")


def _digest(key: bytes) -> bytes:
    """Of equal length for keys of any length, so that comparing tells nothing of either."""
    return hashlib.sha256(key).digest()


ADMIN_ONLY: dict[str, Any] = {
    "dependencies": [Depends(_require_admin)],
    "responses": {code: {"model": schemas.Error} for code in (401, 403)},
}
"""For a route's decorator: the key is asked for before anything else of the request is looked at."""
