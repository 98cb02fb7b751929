"""What becomes of an error: the answers to those of ours, of the framework's, and to faults."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.errors import ServiceError, in_words
from service.routes.account import LEFT
from service.routes.http import error_response, internal_error, other_error
from service.routes.methods import allowed


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return error_response(error)


async def _invalid(_: Request, error: Exception) -> Response:
    """FastAPI's own answer, 422, would echo the whole input."""
    assert isinstance(error, RequestValidationError)
    return other_error(error, in_words(error.errors()), HTTPStatus.BAD_REQUEST)


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths, wrong methods, broken multipart bodies."""
    assert isinstance(error, HTTPException)
    response = other_error(error, str(error.detail), error.status_code)
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = allowed(request.app, request.scope["path"])
    return response


async def _gone(_: Request, error: Exception) -> Response:
    """The client left before its body was here: nobody reads this answer, and it is no fault of ours to log."""
    assert isinstance(error, ClientDisconnect)
    return Response(status_code=LEFT)


async def _internal(request: Request, error: Exception) -> Response:
    """Starlette raises it on to the server."""
    return internal_error(request.scope, error)


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ServiceError: _service_error,
    RequestValidationError: _invalid,
    HTTPException: _http_error,
    ClientDisconnect: _gone,
    Exception: _internal,
}
"""By the error's class, as Starlette looks them up."""
