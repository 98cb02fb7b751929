"""V2's shared memory, which is not served: no client's name of a region is ever opened.

tritonclient's examples and perf_analyzer ask for the status and unregister everything when they start. So it is said
that no region is there, and only registering one fails. Triton's extension stays out of the server's list.
"""

from fastapi import APIRouter
from starlette.responses import Response

from service.errors import Unsupported
from service.routes.http import json_response

router = APIRouter(include_in_schema=False)


async def status() -> Response:
    """No region is registered."""
    return json_response([])


async def unregister() -> Response:
    """Done: there is none."""
    return Response()


async def register() -> Response:
    """Refuse.

    Raises:
        Unsupported.
    """
    raise Unsupported("shared memory is not supported; send tensors as JSON or as binary data")


for memory in ("/v2/systemsharedmemory", "/v2/cudasharedmemory"):
    for place in (memory, memory + "/region/{region}"):
        router.add_api_route(f"{place}/status", status)
        router.add_api_route(f"{place}/unregister", unregister, methods=["POST"])
    router.add_api_route(memory + "/region/{region}/register", register, methods=["POST"])
