"""The image's health check: exit code 0 if the service of this container is live (standard library only).

Live and not ready: an engine may end a container that is not healthy, and one that loads a model or is told to end is
well. It is reached by its own settings, and always directly: a proxy that the container is told of is not for this.
"""

import http.client
import os
import ssl
import sys
from collections.abc import Mapping
from contextlib import closing

LIVE, READY = "/v2/health/live", "/v2/health/ready"
TIMEOUT_S = 3
"""Less than the health check's own, so that the reason is told."""

EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to listen on that nobody can call, and what reaches them from here."""


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    host = environment.get("ACTSERVE_HOST", "")
    return EVERYWHERE.get(host, host), int(environment.get("ACTSERVE_PORT") or 8000)


def fault(environment: Mapping[str, str], path: str = LIVE) -> str | None:
    """Why the service is not well, or None."""
    host, port = address(environment)
    tls = bool(environment.get("ACTSERVE_TLS_CERTIFICATE_FILE"))
    try:
        with closing(_connection(host, port, tls=tls)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{host}:{port} does not answer: {error!r}"
    return None if answer.status == 200 else f"{path} is {answer.status}: {said[:500]!r}"


def _connection(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    # The certificate names the service as clients call it, not this address; nothing secret is sent.
    trust = ssl._create_unverified_context()
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trust)


if __name__ == "__main__":
    sys.exit(fault(os.environ))
