"""The documentation page in a real browser: "Try it out" of every route that needs no key answers 200."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import browsing, needs_chromium
from tests.claiming import CLAIMS, write
from tests.serving import DEADLINE_S, serving

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Page, list[str]]]:
    """The address, the page, and what it complained of or asked for elsewhere."""
    folder: Path = tmp_path_factory.mktemp("docs")
    evidence = str(write(folder / "evidence", *CLAIMS))
    with serving(folder / "log", evidence=evidence) as (_, address), browsing() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(DEADLINE_S * 1000)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
        page.goto(f"{address}/docs")
        yield address, page, wrong


def routes(address: str) -> list[tuple[str, str]]:
    """Tag and id of each operation that anybody may try, as Swagger UI names its blocks."""
    with urllib.request.urlopen(f"{address}/openapi.json", timeout=DEADLINE_S) as response:
        document = json.load(response)
    return [
        (operation["tags"][0].replace(" ", "_"), operation["operationId"])
        for path in document["paths"].values()
        for operation in path.values()
        if "security" not in operation
    ]


def test_every_route_can_be_tried(visit: tuple[str, Page, list[str]]) -> None:
    address, page, wrong = visit
    tried = routes(address)
    assert len(tried) > 25
    for tag, name in tried:
        block = page.locator(f"[id='operations-{tag}-{name}']")
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        block.get_by_role("button", name="Execute").click()
        status = block.locator(".live-responses-table .response-col_status").last
        expect(status, name).to_contain_text("200", timeout=DEADLINE_S * 1000)
        block.locator(".opblock-summary-control").click()  # closed again: the page stays short
    assert [text for text in wrong if not text.startswith("data:")] == []
