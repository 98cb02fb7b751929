"""The documentation: complete, true (every example is sent), and loaded from this service alone."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.testclient import TestClient

from service.activations.catalogue import ACTIVATIONS
from service.routes import activations, apply, claims, control, infer, models, ops, schemas, v2
from service.routes.document import ERROR_ANSWERS
from service.settings import Settings
from tests.routes.conftest import ADMIN, KEY, application
from tests.routes.sending import answered

PAGES = {"/", "/web/{name}", "/web/samples/{name}.jpg", "/docs", "/docs/{name}", "/openapi.json"}
TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    return dict(answered(client.get("/openapi.json")))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything documented."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def routes(app: FastAPI) -> list[APIRoute]:
    """The routes of the application; FastAPI keeps an included router as one entry."""
    routers = (getattr(entry, "original_router", None) for entry in app.routes)
    return [route for router in routers if router for route in router.routes if isinstance(route, APIRoute)]


def nested(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON document."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nested(part)


def test_the_documentations_page_runs_its_own_scripts_only(client: TestClient) -> None:
    policy = client.get("/docs").headers["content-security-policy"]
    (scripts,) = re.findall("script-src ([^;]*);", policy)
    assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", scripts)
    assert "frame-ancestors 'none'" in policy


def test_every_route_is_documented(client: TestClient, document: dict[str, Any]) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    found = {route.path for route in routes(app)}
    parts = (activations, apply, claims, control, infer, models, ops, v2)
    assert found >= {route.path for part in parts for route in part.router.routes}  # none overlooked
    documented = {route.path for route in routes(app) if route.include_in_schema}
    assert documented == set(document["paths"])
    assert {path for path in found - documented if "sharedmemory" not in path} == PAGES  # and that is not served


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert operation["tags"], (method, path)
        missing = {"200", *map(str, ERROR_ANSWERS)} - set(operation["responses"])
        assert not missing, (method, path)
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])


def test_422_is_documented_nowhere(document: dict[str, Any]) -> None:
    assert not [path for _, path, operation in operations(document) if "422" in operation["responses"]]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = {found["$ref"] for found in nested(document) if isinstance(found.get("$ref"), str)}
    assert "#/components/schemas/Apply" in references
    for reference in references:
        target: Any = document
        assert reference.startswith("#/")
        for step in reference[2:].split("/"):
            assert step in target, reference
            target = target[step]


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    """What the specification requires of the objects that are there."""
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert set(document["info"]) >= {"title", "version"}
    assert {method for method, _, _ in operations(document)} == {"get", "post"}  # HEAD goes without saying
    identifiers = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(identifiers) == len(set(identifiers))
    for _, path, operation in operations(document):
        parameters = operation.get("parameters", [])
        keys = [(parameter["name"], parameter["in"]) for parameter in parameters]
        assert len(keys) == len(set(keys)), path
        assert {name for name, place in keys if place == "path"} == set(re.findall(r"{(\w+)}", path))
        assert all(parameter["required"] for parameter in parameters if parameter["in"] == "path")
        assert all(response["description"] for response in operation["responses"].values())


# --- examples ---------------------------------------------------------------------------------------------------------


def values(parameter: dict[str, Any]) -> list[Any]:
    """A parameter's examples; else what it may be, else its default."""
    schema = parameter["schema"]
    if "examples" in parameter:
        return [example["value"] for example in parameter["examples"].values()]
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "boolean":
        return [False, True]
    return [schema["default"]] if "default" in schema else []  # a function's own parameter fits that function only


def paths(path: str, operation: dict[str, Any]) -> Iterator[str]:
    """The path with each combination of its parameters' examples."""
    named = [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "path"]
    for chosen in itertools.product(*map(values, named)):
        yield path.format(**{parameter["name"]: value for parameter, value in zip(named, chosen, strict=True)})


def bodies(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Keyword arguments of each JSON example; one without a body where there is none."""
    if "requestBody" not in operation:
        return [{}]
    examples = operation["requestBody"]["content"]["application/json"]["examples"].values()
    return [{"json": example["value"]} for example in examples]


def declared(document: dict[str, Any], operation: dict[str, Any]) -> type[BaseModel] | None:
    """The schema class of the answer, if one is declared."""
    schema = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
    model = getattr(schemas, schema["$ref"].rpartition("/")[2]) if "$ref" in schema else None
    assert model is None or issubclass(model, BaseModel)
    return model


@pytest.fixture(scope="module")
def admin_client(settings: Settings) -> Iterator[TestClient]:
    """A client of an application of its own, since the examples change it."""
    with application(admin_key=KEY, evidence=settings.evidence) as client:
        yield client


def test_every_example_is_answered_as_documented(admin_client: TestClient, document: dict[str, Any]) -> None:
    """Unloading comes last: no other example would find its model."""
    checked: set[str] = set()
    for method, template, operation in sorted(operations(document), key=lambda each: each[1].endswith("/unload")):
        model = declared(document, operation)
        for path, body in itertools.product(paths(template, operation), bodies(operation)):
            response = admin_client.request(method, path, headers=ADMIN if "security" in operation else {}, **body)
            assert response.status_code == 200, (method, path, body, response.text)
            if model is not None:
                model.model_validate(response.json())
                assert set(response.json()) <= set(model.model_fields), (path, "has members that are not documented")
                checked.add(model.__name__)
    assert checked == {
        "Activations", "ActivationWithAccuracy", "Applied", "Curve", "Guide", "Models", "ModelShown", "Predicted",
        "DeviceShown", "Claims", "Claim", "Inspected", "ComparedModels", "ComparedActivations", "Swaps",
    }  # fmt: skip


def test_every_value_of_a_query_parameter_is_accepted(
    client: TestClient, document: dict[str, Any], horse: bytes
) -> None:
    """For routes with a body, with a picture: JSON takes its options in the body."""
    for method, template, operation in operations(document):
        path = next(paths(template, operation))
        picture: dict[str, Any] = {"content": horse, "headers": {"content-type": "image/jpeg"}}
        body = picture if method == "post" else {}
        for parameter in operation.get("parameters", []):
            for value in values(parameter) if parameter["in"] == "query" else []:
                response = client.request(method, path, params={parameter["name"]: value}, **body)
                assert response.status_code == 200, (path, parameter["name"], value, response.text)


# --- pages ------------------------------------------------------------------------------------------------------------


def test_the_documentation_loads_from_this_service_alone(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"https?:|[\"']//", page.text)
    loaded = re.findall(r'(?:src|href)="/docs/([^"]+)"', page.text)
    assert sorted(loaded) == sorted(TYPES)
    assert len(re.findall(r"\b(?:src|href)=", page.text)) == len(loaded)


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_what_the_page_loads_is_there(client: TestClient, name: str, kind: str) -> None:
    response = client.get(f"/docs/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    assert response.content


@pytest.mark.parametrize("name", ["x.js", "../app.py", "..%2f..%2fapp.py", "%2e%2e", "swagger-ui.css%00", ""])
def test_nothing_else_is_there(client: TestClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_every_parameter_of_every_function_is_offered_in_the_query(document: dict[str, Any]) -> None:
    """With JSON bodies they go into the body; a picture has no other place for them."""
    names = {parameter.name for row in ACTIVATIONS.values() for parameter in row.parameters}
    for path, method in (("/v1/activations/{name}", "post"), ("/v1/activations/{name}/curve", "get")):
        offered = {p["name"] for p in document["paths"][path][method]["parameters"] if p["in"] == "query"}
        assert names <= offered


def test_a_documented_default_of_a_parameter_is_accepted(client: TestClient) -> None:
    """As it stands in the documentation's text, sent in the query."""
    for row in ACTIVATIONS.values():
        for parameter in row.parameters:
            path = f"/v1/activations/{row.name}/curve"
            response = client.get(path, params={parameter.name: str(parameter.default), "points": 3})
            assert response.status_code == 200, (path, response.text)
