"""/v1/claims: what the article claims, and what was measured of it."""

from typing import Annotated, get_args

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from service.activations.catalogue import ALIASES
from service.activations.evidence import ABOUT, Claim, Verdict
from service.errors import BadRequest, did_you_mean, quoted
from service.routes import examples, schemas
from service.routes.http import SVG, json_response, query
from service.routes.state import Shared

router = APIRouter(prefix="/v1/claims", tags=["claims"])

INERT = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
}
"""An SVG opened by itself is a document of this origin: nothing in it is run, and it loads nothing."""

Id = Annotated[str, Path(alias="id", description="A claim's id.", openapi_examples=examples.path_examples("relu-dies"))]


@router.get("", response_model=schemas.Claims, summary="The article's claims")
async def claims(
    request: Request,
    services: Shared,
    about: Annotated[
        str | None,
        Query(
            description="Only those about a function, or `cnn`, `choosing` or `article`.",
            openapi_examples=examples.path_examples("relu", "cnn", "choosing", "article"),
        ),
    ] = None,
    verdict: Annotated[
        Verdict | None,
        Query(description="Only those of this verdict.", openapi_examples=examples.path_examples(*get_args(Verdict))),
    ] = None,
) -> Response:
    """Each claim with how it was measured, the numbers with their confidence intervals, the rule and the verdict."""
    query(request, ["about", "verdict"])
    subject = None if about is None else _subject(about)
    chosen = [
        claim.model_dump()
        for claim in services.evidence.claims.values()
        if subject in (None, claim.about) and verdict in (None, claim.verdict)
    ]
    return json_response({"claims": chosen})


def _subject(about: str) -> str:
    """What is asked for, an alias by its function's name.

    Raises:
        BadRequest: a claim cannot be about it; says what one can be about.
    """
    name = ALIASES.get(about, about)
    if name not in ABOUT:
        raise BadRequest(
            f"no claim is about {quoted(about)}.{did_you_mean(about, [*ABOUT, *ALIASES])} "
            f"A claim can be about: {', '.join(ABOUT)}"
        )
    return name


@router.get("/{id}", response_model=Claim, summary="One claim")
async def claim(name: Id, request: Request, services: Shared) -> Response:
    """One claim, as in the list."""
    query(request, [])
    return json_response(services.evidence.find(name).model_dump())


@router.get(
    "/{id}/figure",
    summary="A claim's figure",
    response_class=Response,
    responses={200: {"content": {SVG: {"schema": {"type": "string"}}}, "description": "The figure."}},
)
async def figure(name: Id, request: Request, services: Shared) -> Response:
    """The figure that shows what was measured, as SVG; 404 for a claim without one."""
    query(request, [])
    return Response(services.evidence.figure(name), media_type=SVG, headers=INERT)
