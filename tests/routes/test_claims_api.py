"""/v1/claims: what was measured of the article, filtered, one by one, and as figures that run nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.activations.evidence import ABOUT, InvalidEvidence
from tests.claiming import CLAIMS, FIGURE, claim, write
from tests.routes.conftest import application
from tests.routes.sending import answered, refused


@pytest.fixture(scope="module")
def without_claims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of an application whose folder of evidence is empty."""
    folder: Path = tmp_path_factory.mktemp("empty")
    with application(repository=folder, evidence=folder) as client:
        yield client


def ids(client: TestClient, **query: str) -> list[str]:
    answer = answered(client.get("/v1/claims", params=query))
    assert list(answer) == ["claims"]
    return [each["id"] for each in answer["claims"]]


def test_the_claims_are_those_of_the_file(client: TestClient) -> None:
    """Every member, in its order; a number without a p has null."""
    expected = [each | {"numbers": [{"p": None} | number for number in each["numbers"]]} for each in CLAIMS]
    assert answered(client.get("/v1/claims")) == {"claims": expected}


@pytest.mark.parametrize("each", CLAIMS, ids=lambda each: str(each["id"]))
def test_a_claim_is_the_same_alone_as_in_the_list(client: TestClient, each: dict[str, Any]) -> None:
    alone = answered(client.get(f"/v1/claims/{each['id']}"))
    assert alone in answered(client.get("/v1/claims"))["claims"]
    assert alone["sentence_zh"] == each["sentence_zh"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"about": "relu"}, ["relu-dies", "relu-converges-faster"]),
        ({"about": "swish"}, ["swish-is-slower"]),
        ({"about": "silu"}, ["swish-is-slower"]),
        ({"about": "cnn"}, ["without-activation-affine"]),
        ({"about": "tanh"}, []),
        ({"verdict": "holds in part"}, ["relu-converges-faster"]),
        ({"verdict": "does not hold here"}, ["swish-is-slower"]),
        ({"about": "relu", "verdict": "holds"}, ["relu-dies"]),
        ({"about": "swish", "verdict": "holds"}, []),
    ],
)
def test_claims_are_chosen_by_subject_and_verdict(client: TestClient, query: dict[str, str], found: list[str]) -> None:
    assert ids(client, **query) == found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v1/claims?about=relu7", "no claim is about 'relu7'. Did you mean 'relu'? A claim can be about: " + ABOUT[0]),
        ("/v1/claims?about=", "no claim is about ''. A claim can be about: " + ABOUT[0]),
        (
            "/v1/claims?verdict=true",
            "'query.verdict': input should be 'holds', 'holds in part' or 'does not hold here'",
        ),
        ("/v1/claims?topic=relu", "unknown query parameter 'topic'; this route has ['about', 'verdict']"),
        ("/v1/claims?about=relu&about=elu", "query parameter 'about' is given twice"),
        ("/v1/claims/relu-dies?about=relu", "unknown query parameter 'about'; this route has none"),
        ("/v1/claims/relu-dies/figure?size=9", "unknown query parameter 'size'; this route has none"),
    ],
)
def test_a_query_that_does_not_fit_is_refused_with_what_does(client: TestClient, path: str, text: str) -> None:
    assert refused(client.get(path), 400).startswith(text)


@pytest.mark.parametrize("path", ["/v1/claims/relu-dys", "/v1/claims/relu-dys/figure"])
def test_an_unknown_claim_is_404_with_the_nearest(client: TestClient, path: str) -> None:
    text = refused(client.get(path), 404)
    assert text == "no claim 'relu-dys'. Did you mean 'relu-dies'? /v1/claims lists them all"


@pytest.mark.parametrize("name", ["relu-dies", "without-activation-affine"])
def test_a_figure_is_an_svg_that_runs_and_loads_nothing(client: TestClient, name: str) -> None:
    response = client.get(f"/v1/claims/{name}/figure")
    assert (response.status_code, response.content) == (200, FIGURE)
    assert response.headers["content-type"] == "image/svg+xml"
    assert response.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_a_claim_without_a_figure_has_none(client: TestClient) -> None:
    assert refused(client.get("/v1/claims/swish-is-slower/figure"), 404) == "claim 'swish-is-slower' has no figure"


@pytest.mark.parametrize("name", ["dying.svg", "..%2fclaims.json", "%2e%2e", "relu-dies%00", "claims.json"])
def test_no_name_of_a_client_leads_to_a_file(client: TestClient, name: str) -> None:
    for path in (f"/v1/claims/{name}", f"/v1/claims/{name}/figure"):
        refused(client.get(path), 404)


def test_a_function_names_the_claims_about_it(client: TestClient) -> None:
    shown = {name: answered(client.get(f"/v1/activations/{name}"))["claims"] for name in ("relu", "silu", "tanh")}
    assert shown == {"relu": ["relu-dies", "relu-converges-faster"], "silu": ["swish-is-slower"], "tanh": []}


def test_the_guide_names_the_claims_about_choosing(client: TestClient) -> None:
    assert answered(client.get("/v1/guide?task=cnn"))["claims"] == ["sigmoid-for-two-classes"]


def test_without_a_file_there_are_no_claims(without_claims: TestClient) -> None:
    assert answered(without_claims.get("/v1/claims")) == {"claims": []}
    assert answered(without_claims.get("/v1/claims?about=relu")) == {"claims": []}
    assert answered(without_claims.get("/v1/activations/relu"))["claims"] == []
    assert refused(without_claims.get("/v1/claims/relu-dies"), 404).startswith("no claim 'relu-dies'.")


def test_the_application_does_not_start_with_a_file_that_does_not_fit(tmp_path: Path) -> None:
    write(tmp_path, claim("a", verdict="perhaps"))
    with pytest.raises(InvalidEvidence, match=r"claims\.0\.verdict"), application(evidence=tmp_path):
        pass
