"""Every snippet of docs/clients.md runs as it is written, and prints what is shown below it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page

from tests.browser import browsing, needs_chromium
from tests.clients import snippets
from tests.clients.snippets import Snippet
from tests.conftest import SAMPLES
from tests.serving import DEADLINE_S, ROOT, get, serving

TEXT = snippets.PAGE.read_text()
SNIPPETS = snippets.read(TEXT)
AUTHORITY = "127.0.0.1:8000"
ADMIN_KEY = "my-admin-key"


def of(language: str) -> pytest.MarkDecorator:
    chosen = [snippet for snippet in SNIPPETS if snippet.language == language]
    return pytest.mark.parametrize("snippet", chosen, ids=lambda snippet: snippet.name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a service that was started as the page says."""
    with serving(tmp_path_factory.mktemp("log") / "server.log", admin_key=ADMIN_KEY) as (_, url):
        yield url.removeprefix("http://")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(authority: str, browser: Browser) -> Iterator[Page]:
    """A page of the service, loaded; when a script asks for a file, it gets the one that the text names."""
    with browser.new_page() as page:
        page.goto(f"http://{authority}/docs")
        page.wait_for_load_state("networkidle")  # so that no message of the page itself comes later
        page.on("filechooser", lambda chooser: chooser.set_files(SAMPLES / "horse.jpg"))
        yield page


def run(command: list[str], directory: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def check(snippet: Snippet, printed: str) -> None:
    assert snippet.shown is not None
    assert snippets.same(printed, snippet.shown), f"printed:\n{printed}\nshown:\n{snippet.shown}"


@of("bash")
def test_what_is_shown_below_a_command_is_what_it_prints(snippet: Snippet, authority: str) -> None:
    check(snippet, run(["bash", "-euo", "pipefail", "-c", snippet.code.replace(AUTHORITY, authority)]))


@of("python")
def test_what_is_shown_below_a_program_is_what_it_prints(snippet: Snippet, authority: str) -> None:
    check(snippet, run([sys.executable, "-W", "error", "-c", snippet.code.replace(AUTHORITY, authority)]))


@needs_chromium
@of("js")
def test_what_is_shown_below_a_script_is_what_a_page_prints(snippet: Snippet, authority: str, page: Page) -> None:
    lines: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "log":
            lines.append(f"{message.text}\n")

    page.on("console", note)
    with page.expect_console_message(lambda message: message.type == "debug"):  # by then all before it are here
        page.evaluate(f"async () => {{ {snippet.code.replace(AUTHORITY, authority)}; console.debug('end') }}")
    page.remove_listener("console", note)
    check(snippet, "".join(lines))


@needs_chromium
def test_a_page_of_another_origin_gets_no_answer(authority: str, browser: Browser) -> None:
    with browser.new_page() as elsewhere, pytest.raises(Error, match="Failed to fetch"):
        elsewhere.evaluate(f"fetch('http://{authority}/v1/models')")


def test_the_preprocessing_written_out_is_that_of_every_cnn(authority: str) -> None:
    """Once as the answer to curl, and in the snippets for tritonclient and JavaScript."""
    answer: Any = get(f"http://{authority}/v1/models")
    first, *others = [model["preprocessing"] for model in answer["models"] if model["name"].startswith("cnn-")]
    spaced = TEXT.replace(",", ", ").replace(",  ", ", ")

    assert others == [first] * 9
    assert (first["size"], first["color"], first["layout"], first["scale"]) == ([32, 32], "RGB", "NCHW", 1 / 255)
    assert [spaced.count(str(first[key]).strip("[]")) for key in ("mean", "std")] == [3, 3]


def test_every_code_block_is_run() -> None:
    assert {snippet.language for snippet in SNIPPETS} == {"bash", "python", "js"}


def test_every_code_block_has_its_output_below_it() -> None:
    assert [snippet.name for snippet in SNIPPETS if not snippet.shown] == []
    assert snippets.outputs(TEXT) == len(SNIPPETS)


def test_every_block_is_found() -> None:
    assert TEXT.count("```") == 2 * (len(SNIPPETS) + snippets.outputs(TEXT))


def test_all_snippets_ask_the_same_address() -> None:
    assert set(re.findall(r"[\w.]+:\d{4}", "".join(snippet.code for snippet in SNIPPETS))) == {AUTHORITY}
    assert all(AUTHORITY in snippet.code for snippet in SNIPPETS)


def test_links_within_the_page_lead_to_headings() -> None:
    there = [*anchors(level=2), *anchors(level=3)]

    assert len(set(there)) == len(there)
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= set(there)


def anchors(level: int) -> list[str]:
    """What a heading is called in links, by GitHub's rule."""
    headings = re.findall(rf"^{'#' * level} (.*)$", TEXT, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_snippet_of_a_client_is_in_the_table() -> None:
    """So that a reader finds it: all but variations of one beside it."""
    table = TEXT[: TEXT.index("\n## ")]
    missing = [anchor for anchor in anchors(level=3) if f"(#{anchor})" not in table]

    assert missing == ["tritonclient-parameters", "tritonclient-many-requests-at-once"]
