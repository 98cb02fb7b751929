"""GET /, the page, with the files that it loads: it works without a connection to anywhere."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.routes.http import json_response

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"

PAGE = "index.html"

SCRIPT = "text/javascript; charset=utf-8"
TYPES = {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{
        f"{name}.js": SCRIPT
        for name in (
            "app", "api", "claims", "compare", "dom", "functions", "guide", "inside", "key", "pictures", "plot",
            "saturation", "state", "story", "swaps", "words",
        )
    },
}  # fmt: skip
"""What the page loads. A fixed list: no name that a client sends reaches the disk."""

SAMPLES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CACHED = {"Cache-Control": "no-cache"}
"""A browser asks each time whether its copy is still right, so that a page never meets another version's script."""


def guarded(*, script: str = "'self'", style: str = "'self'") -> dict[str, str]:
    """Headers: a page runs its own scripts, speaks to this service only, and stands in no other page's frame."""
    policy = {
        "default-src": "'none'",
        "script-src": script,
        "style-src": style,
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    allowed = "; ".join(f"{what} {sources}" for what, sources in policy.items())
    return {"Content-Security-Policy": allowed, "Referrer-Policy": "no-referrer"}


@router.get("/")
async def page(request: Request) -> Response:
    """The page to begin with: four rooms over /v1."""
    return _file(request, PAGE, "text/html; charset=utf-8", guarded())


@router.get("/web/{name}")
async def asset(name: str, request: Request) -> Response:
    """A file that the page loads."""
    if name not in TYPES:
        return json_response({"error": "Not Found"}, 404)
    return _file(request, name, TYPES[name], {})


@router.get("/web/samples/{name}.jpg")
async def sample(name: str, request: Request) -> Response:
    """A picture to try the CNNs with."""
    if name not in SAMPLES:
        return json_response({"error": f"no such sample; there are: {', '.join(SAMPLES)}"}, 404)
    return _file(request, f"samples/{name}.jpg", "image/jpeg", {})


def _file(request: Request, name: str, kind: str, headers: dict[str, str]) -> Response:
    content = (WEB / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    headers = {"ETag": tag} | CACHED | headers
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
