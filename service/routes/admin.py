"""Who may change the running service: holders of the admin key, and nobody while none is set."""

import hashlib
import hmac

from fastapi import Request

from service.errors import Forbidden, Unauthorized
from service.settings import Settings


def require_admin(request: Request, settings: Settings) -> None:
    """Let the request pass if it carries the admin key, as `Authorization: Bearer` or `X-API-Key`.

    Raises:
        Forbidden: no admin key is set, or the request has another.
        Unauthorized: the request has none.
    """
    if settings.admin_key is None:
        raise Forbidden("this changes the running service and is off: no admin key is set (ACTSERVE_ADMIN_KEY)")
    given = _given(request)
    if given is None:
        raise Unauthorized("this changes the running service: send the admin key as 'Authorization: Bearer …'")
    if not hmac.compare_digest(_digest(given), _digest(settings.admin_key.get_secret_value())):
        raise Forbidden("the key sent is not the admin key")


def _given(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("x-api-key")


def _digest(key: str) -> bytes:
    """Of equal length for keys of any length, so that comparing tells nothing of either."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
