"""/v1/device, and the documentation pages, which load nothing from elsewhere."""

import importlib.resources
import re
from base64 import b64encode
from dataclasses import asdict
from hashlib import sha256

import fastapi_offline
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import Response

from service.engine.gpu.driver import gpu
from service.engine.model import Model
from service.engine.runtime.words import runtime_version
from service.routes import schemas
from service.routes.http import json_response, query
from service.routes.pages import guarded
from service.routes.state import Shared

router = APIRouter()

ASSETS = importlib.resources.files(fastapi_offline) / "static"
"""Swagger UI, as the package `fastapi-offline` carries it; nothing else of that package is used."""

SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)

ASSET_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


@router.get("/v1/device", response_model=schemas.DeviceShown, tags=["operations"], summary="Where models run")
async def device(request: Request, services: Shared) -> Response:
    """The device that was asked for and the one in use, why, and by which provider each model's nodes run."""
    query(request, [])
    on_gpu = services.device.kind == "cuda"
    found = await services.pool.run(gpu) if on_gpu else None
    return json_response(
        {
            "device": services.device.kind,
            "wanted": services.device.wanted,
            "in_use": [services.device.provider],
            "reason": services.device.reason,
            "gpu": asdict(found) if found else None,
            "options": asdict(services.device.cuda) | {"strict": services.device.strict} if on_gpu else None,
            "precision": services.settings.precision,
            "threads": services.functions.threads,
            "onnxruntime": runtime_version(),
            "models": [_placed(model) for model in services.repository.models()],
        }
    )


def _placed(model: Model) -> dict[str, object]:
    return {
        "model": model.name,
        "version": str(model.version),
        "nodes": model.session.placement,
        "precision": model.precision,
        "runs": {str(rows): way for rows, way in model.sized.ways.items()} if model.sized else None,
    }


@router.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """The OpenAPI document; to draw it up takes a good part of a second, once."""
    return json_response(await to_thread.run_sync(request.app.openapi))


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """Swagger UI over /openapi.json. It may run the one script that stands in it, and what this service serves."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="actserve",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )
    hashes = [f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in SCRIPT.findall(bytes(page.body))]
    # Swagger UI sets styles of single elements, and draws its icons from data.
    page.headers.update(guarded(script=" ".join(["'self'", *hashes]), style="'self' 'unsafe-inline'"))
    return page


@router.get("/docs/{name}", include_in_schema=False)
async def asset(name: str) -> Response:
    """A file that the documentation page loads."""
    if name not in ASSET_TYPES:
        return json_response({"error": "Not Found"}, 404)
    return Response(
        (ASSETS / name).read_bytes(), media_type=ASSET_TYPES[name], headers={"Cache-Control": "max-age=3600"}
    )
