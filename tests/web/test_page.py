"""The page in a real browser: all rooms, in both languages, on a phone and on a wide screen, light and dark."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser import browsing, needs_chromium
from tests.conftest import SAMPLES
from tests.serving import DEADLINE_S, serving

pytestmark = needs_chromium

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
ROOMS = {
    "functions": "#functions?names=relu,elu&about=elu&elu.alpha=0.5&min=-4&max=4",
    "compare": "#compare?sample=horse",
    "inside": "#inside?model=cnn-relu&activation=elu&sample=horse",
    "claims": "#claims?about=relu&verdict=holds",
}
"""A link to a view of each."""

NARROW, WIDE = 360, 1600
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("log") / "server.log") as (_, url):
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


class Watched:
    """What a page asked for and complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self._address = address
        self.requested: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._message(message.type, message.text))

    def _request(self, request: Request) -> None:
        self.requested.append(request.url)

    def _message(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    @property
    def elsewhere(self) -> list[str]:
        return [url for url in self.requested if not url.startswith((f"{self._address}/", "data:", "blob:"))]


@contextmanager
def visiting(
    browser: Browser, address: str, width: int = WIDE, scheme: Scheme = "light", refused: bool = False, **options: Any
) -> Iterator[Page]:
    """A page of a new visitor, at the end of whose visit all was quiet.

    Args:
        refused: the visit asks for something that the service refuses, of which the console tells.
    """
    size = {"width": width, "height": 900}
    options = {"locale": "en-GB"} | options
    with (
        browser.new_context(viewport=size, color_scheme=scheme, **options) as context,  # type: ignore[arg-type]
        context.new_page() as page,
    ):
        page.set_default_timeout(DEADLINE_S * 1000)
        expect.set_options(timeout=DEADLINE_S * 1000)
        watched = Watched(page, address)
        yield page
        page.wait_for_load_state("networkidle")
        assert watched.requested
        assert watched.elsewhere == []
        assert refused or watched.complaints == []


def settled(page: Page) -> None:
    """Wait until the service has answered all that the page asked."""
    expect(page.locator("#status")).to_have_text("")
    page.wait_for_load_state("networkidle")


def go(page: Page, address: str, link: str) -> None:
    page.goto(f"{address}/{link}")
    settled(page)


def hash_of(page: Page) -> str:
    return str(page.evaluate("location.hash"))


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")
    return [
        f"{fault['id']}: {fault['nodes'][0]['html']} {fault['nodes'][0]['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


# --- each room --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), [(NARROW, "dark"), (WIDE, "light")])
@pytest.mark.parametrize("room", ROOMS)
def test_a_room_fits_and_keeps_nobody_out(
    browser: Browser, address: str, room: str, width: int, scheme: Scheme
) -> None:
    with visiting(browser, address, width, scheme) as page:
        go(page, address, ROOMS[room])

        expect(page.get_by_role("heading", level=2)).to_have_text(room.capitalize())
        expect(page.locator("nav [aria-current=page]")).to_have_text(room.capitalize())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious(page) == []
        assert page.locator("#alert").inner_text() == ""


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_functions_are_laid_over_each_other(browser: Browser, address: str, width: int) -> None:
    with visiting(browser, address, width) as page:
        go(page, address, "#functions?names=relu,leaky_relu")
        page.get_by_label("ELU", exact=True).check()
        expect(page.locator("#f-plot path")).to_have_count(3)
        expect(page.locator("#f-slope path")).to_have_count(3)

        page.get_by_label("Read about").select_option("elu")
        before = page.locator("#f-plot path[data-name=elu]").get_attribute("d")
        page.get_by_role("slider", name="ELU alpha", exact=True).first.fill("0.5")
        expect(page.locator("#f-plot path[data-name=elu]")).not_to_have_attribute("d", before or "")
        expect(page.get_by_role("spinbutton", name="ELU alpha", exact=True)).to_have_value("0.5")
        assert "elu.alpha=0.5" in hash_of(page)

        page.get_by_label("Read the curves at x =").fill("-3")
        expect(page.get_by_role("row", name="ELU −0.4751 0.02489", exact=True)).to_be_visible()
        expect(page.get_by_text("Trains better than Leaky ReLU.")).to_be_visible()
        expect(page.get_by_role("row", name="float32 exact Function all finite 0.5", exact=False)).to_be_visible()
        page.get_by_label("Read about").select_option("softmax")
        expect(page.get_by_role("row", name=re.compile("^float32 exact Function rows of 10"))).to_have_count(3)


def test_the_curves_can_be_read_by_keyboard_and_by_pointer(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        go(page, address, "#functions?names=relu&min=-2&max=2")
        page.get_by_label("Read the curves at x =").press("End")
        expect(page.get_by_role("row", name="ReLU 2 1", exact=True)).to_be_visible()
        page.locator("#f-plot svg").hover(position={"x": 60, "y": 60})
        expect(page.get_by_role("row", name="ReLU 0 0", exact=True)).to_be_visible()


SATURATED = {
    "sigmoid": ["float16 x ≤ −17.", "float32 x ≤ −10", "x ≥ 17.3", "x ≥ 36.7"],
    "relu": ["float16 x ≤ 0; it is 0 never", "float64 x ≤ 0; it is 0 never"],
    "identity": ["float32 never never"],
    "softmax": ["float32 x ≤ −10"],
}


@pytest.mark.parametrize("name", SATURATED)
def test_where_a_dtype_saturates_is_what_the_service_computes(browser: Browser, address: str, name: str) -> None:
    with visiting(browser, address) as page:
        go(page, address, f"#functions?names={name}&about={name}")
        table = page.locator("#f-saturation table")
        for text in SATURATED[name]:
            expect(table).to_contain_text(re.compile(re.escape(text).replace(r"\ ", r"\s*")))


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_every_cnn_looks_at_a_sample(browser: Browser, address: str, width: int) -> None:
    with visiting(browser, address, width) as page:
        go(page, address, "#compare")
        page.get_by_role("button", name="ship").click()
        settled(page)

        expect(page.locator("#c-results article")).to_have_count(11)
        expect(page.locator("#c-results .bars li")).to_have_count(10 * 5 + 2)
        expect(page.locator("#c-agreement")).to_contain_text("of 10 models say ship")
        expect(page.locator("#c-results")).to_contain_text(re.compile(r"Time of the run: [\d.]+ ms"))
        expect(page.get_by_role("button", name="ship")).to_be_focused()
        expect(page.get_by_role("button", name="ship")).to_have_attribute("aria-pressed", "true")
        assert hash_of(page) == "#compare?sample=ship"


def test_who_does_not_know_a_class_neither_agrees_nor_differs(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        go(page, address, "#compare?sample=ship")
        two = page.locator("#c-results article").filter(has_text="binary-relu")

        expect(two.locator(".big")).to_have_text(re.compile(r"vehicle\s*"))
        expect(page.locator("#c-agreement")).to_contain_text("1 of 1 models says vehicle")


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_every_cnn_looks_at_a_picture_of_ones_own(browser: Browser, address: str, width: int) -> None:
    with visiting(browser, address, width) as page:
        go(page, address, "#compare?sample=ship")
        page.get_by_label("A picture of your own").set_input_files(SAMPLES / "frog.jpg")

        expect(page.locator("#c-agreement")).to_contain_text("say frog")
        expect(page.get_by_text("a link cannot hold it")).to_be_visible()
        expect(page.locator("#c-curl pre")).to_contain_text("--data-binary @picture.jpg")
        assert hash_of(page) == "#compare?sample=ship"

        page.get_by_role("link", name="Inside", exact=True).click()  # the rooms share it
        expect(page.locator("#i-predictions .big")).to_have_text("frog")


def test_a_picture_can_be_dropped(browser: Browser, address: str) -> None:
    drop = """async ([zone, url]) => {
        const data = new DataTransfer();
        data.items.add(new File([await (await fetch(url)).blob()], "dropped.jpg", { type: "image/jpeg" }));
        zone.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    with visiting(browser, address) as page:
        go(page, address, "#compare?sample=ship")
        page.evaluate(drop, [page.locator("#c-picture .drop").element_handle(), "/web/samples/truck.jpg"])
        expect(page.locator("#c-agreement")).to_contain_text("say truck")


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_swap_shows_what_changes_in_every_layer(browser: Browser, address: str, width: int) -> None:
    with visiting(browser, address, width) as page:
        go(page, address, "#inside?model=cnn-relu&sample=horse")
        expect(page.locator(".layer")).to_have_count(7)
        expect(page.locator(".version")).to_have_count(7)

        page.get_by_label("Activation", exact=True).select_option("sigmoid")
        expect(page.locator(".version")).to_have_count(14)
        first = page.locator(".layer").first
        expect(first.locator(".version h4")).to_have_text(["relu (as trained)", "sigmoid (swapped)"])
        expect(first.locator(".histogram path")).to_have_count(4)
        expect(first.get_by_text("exact zeros")).to_have_count(2)
        expect(first.locator("dd").nth(1)).to_have_text(re.compile(r"\d+ / 24"))
        expect(page.locator("#i-predictions article")).to_have_count(2)
        assert all(page.locator(".maps").evaluate_all("all => all.map((each) => each.naturalWidth > 40)"))
        assert hash_of(page) == "#inside?model=cnn-relu&activation=sigmoid&sample=horse"


def test_the_table_of_swaps_is_shown_where_it_was_measured(browser: Browser, address: str) -> None:
    found = {
        "models": ["cnn-relu", "cnn-elu"],
        "functions": ["relu", "elu"],
        "accuracy": {"cnn-relu": {"relu": 0.8354, "elu": 0.5}, "cnn-elu": {"elu": 0.81}},
    }
    with visiting(browser, address) as page:
        page.route("**/v1/swaps", lambda route: route.fulfill(json=found))
        go(page, address, "#inside?model=cnn-relu&sample=horse")
        expect(page.locator("#i-swaps tbody tr")).to_have_count(2)
        page.get_by_role("link", name="50.0 %").click()
        expect(page.locator(".version")).to_have_count(14)
        expect(page.get_by_role("main")).to_be_focused()
        assert page.evaluate("scrollY") == 0
        assert serious(page) == []
        assert "activation=elu" in hash_of(page)


def test_the_table_of_swaps_is_hidden_where_it_was_not(browser: Browser, address: str) -> None:
    with visiting(browser, address, refused=True) as page:
        page.route("**/v1/swaps", lambda route: route.fulfill(status=404, json={"error": "Not Found"}))
        go(page, address, "#inside")
        expect(page.locator("#i-swaps")).to_be_hidden()
        expect(page.locator("#alert")).to_have_text("")


def test_the_guide_leads_to_its_functions(browser: Browser, address: str) -> None:
    with visiting(browser, address, NARROW) as page:
        go(page, address, "#functions?names=sigmoid")
        advice = page.locator("#f-guide article").filter(has_text="Convolutional networks")
        expect(advice).to_contain_text("ReLU or Leaky ReLU")
        expect(advice).to_contain_text(re.compile(r"cnn-relu \d\d\.\d"))
        advice.get_by_role("link", name="Show the curves").click()
        expect(page).to_have_url(re.compile(r"#functions\?names=relu,leaky_relu"))
        expect(page.get_by_label("Leaky ReLU", exact=True)).to_be_checked()
        expect(page.get_by_label("Sigmoid", exact=True)).not_to_be_checked()


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_claims_can_be_filtered(browser: Browser, address: str, width: int) -> None:
    with visiting(browser, address, width) as page:
        go(page, address, "#claims")
        expect(page.locator(".claim")).to_have_count(34)
        page.get_by_label("About", exact=True).select_option("relu")
        expect(page.locator(".claim")).to_have_count(4)
        page.get_by_label("Verdict", exact=True).select_option("holds")
        expect(page.locator(".claim")).to_have_count(1)

        claim = page.locator("#relu-dies")
        expect(claim.get_by_role("heading")).to_contain_text("a unit with ReLU can die")
        expect(claim.locator(".verdict")).to_contain_text("✓ holds")
        expect(claim.get_by_role("row", name="dead channels at 2 × the learning rate 0.1543 %")).to_be_visible()
        claim.get_by_role("img").scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('.evidence').naturalWidth > 100")
        claim.get_by_text("How it was measured").click()
        expect(claim.get_by_text("Holds if at some learning rate")).to_be_visible()
        assert hash_of(page) == "#claims?about=relu&verdict=holds"


# --- links, curl, errors ----------------------------------------------------------------------------------------------


def test_a_link_restores_each_view(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        for link in ROOMS.values():
            go(page, address, link)
            assert hash_of(page) == link
        page.go_back()
        expect(page.get_by_role("heading", level=2)).to_have_text("Inside")
        expect(page.get_by_label("Activation", exact=True)).to_have_value("elu")
        page.get_by_role("link", name="Functions", exact=True).click()
        expect(page.get_by_label("ELU", exact=True)).to_be_checked()
        expect(page.get_by_label("Sigmoid", exact=True)).not_to_be_checked()
        expect(page.get_by_label("to", exact=True)).to_have_value("4")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("room", ROOMS)
def test_the_copied_command_asks_what_the_page_asked(browser: Browser, address: str, room: str) -> None:
    with visiting(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        go(page, address, ROOMS[room])
        section = page.locator(f"#room-{room}")
        section.get_by_role("button", name="Copy as curl").click()
        expect(section.get_by_text("Copied.")).to_be_visible()
        command = page.evaluate("navigator.clipboard.readText()")

    assert shlex.split(command)[:2] == ["curl", "-s"]
    shell = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    expected = {"functions": '"parameters":{"alpha":0.5}', "compare": "agreement", "inside": "cnn-relu~elu"}
    assert expected.get(room, "relu-dies") in done.stdout


def test_the_command_can_be_copied_by_keys_where_the_page_may_not(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        go(page, address, ROOMS["claims"])
        page.locator("#k-curl").get_by_role("button").click()
        expect(page.get_by_text("press Ctrl+C")).to_be_visible()
        assert page.evaluate("getSelection().toString()") == page.locator("#k-curl pre").inner_text()


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("#functions?names=rellu,elu", "There is no function called rellu"),
        ("#functions?min=3&max=-3", "x must run from a smaller to a larger number."),
        ("#compare?sample=unicorn", "There is no sample called unicorn"),
        ("#inside?model=cnn-x", "There is no model called cnn-x"),
        ("#claims?about=nobody", "no claim is about 'nobody'"),
        ("#functions?names=elu&elu.alpha=-5", "alpha"),
    ],
)
def test_what_a_link_gets_wrong_is_said_in_words(browser: Browser, address: str, link: str, words: str) -> None:
    with visiting(browser, address, refused=True) as page:
        page.goto(f"{address}/{link}")
        expect(page.get_by_role("alert")).to_contain_text(words)


def test_an_error_goes_when_its_cause_goes(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        go(page, address, "#functions?names=rellu")
        expect(page.get_by_role("alert")).to_contain_text("rellu")
        page.get_by_label("ELU", exact=True).check()
        expect(page.get_by_role("alert")).to_have_text("")
        page.get_by_label("to", exact=True).fill("-9")
        page.get_by_label("to", exact=True).blur()
        expect(page.get_by_role("alert")).to_contain_text("from a smaller to a larger number")
        page.get_by_label("to", exact=True).fill("9")
        page.get_by_label("to", exact=True).blur()
        expect(page.get_by_role("alert")).to_have_text("")


def test_a_file_that_is_no_picture_is_refused_in_words(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        go(page, address, "#compare")
        page.get_by_label("A picture of your own").set_input_files(
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
        )
        expect(page.get_by_role("alert")).to_contain_text("That is not a picture. notes.txt")


def test_a_broken_picture_is_refused_in_the_services_words(browser: Browser, address: str) -> None:
    with visiting(browser, address, refused=True) as page:
        go(page, address, "#compare")
        page.get_by_label("A picture of your own").set_input_files(
            {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}
        )
        expect(page.get_by_role("alert")).to_contain_text("That did not work.")
        page.get_by_role("button", name="cat").click()
        expect(page.get_by_role("alert")).to_have_text("")


def test_a_service_that_is_gone_is_said_in_words(browser: Browser, address: str) -> None:
    with visiting(browser, address, refused=True) as page:
        go(page, address, "#compare")
        page.route("**/v1/**", lambda route: route.abort())
        page.get_by_role("button", name="cat").click()
        expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")


# --- languages, keyboard ----------------------------------------------------------------------------------------------


def test_a_chinese_browser_is_answered_in_chinese(browser: Browser, address: str) -> None:
    with visiting(browser, address, NARROW, locale="zh-CN") as page:
        go(page, address, ROOMS["claims"])
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page.get_by_role("heading", level=2)).to_have_text("论断")
        expect(page.locator("#relu-dies h3")).to_contain_text("神经元可能“死亡”")
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW


def test_the_language_is_switched_and_kept(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        go(page, address, ROOMS["inside"])
        page.get_by_role("button", name="中文").click()
        expect(page.get_by_role("heading", level=2)).to_have_text("内部")
        expect(page.locator(".facts dt").first).to_have_text("恰为零的输出")
        page.reload()
        expect(page.get_by_role("heading", level=2)).to_have_text("内部")
        page.get_by_role("button", name="English").click()
        expect(page.get_by_role("heading", level=2)).to_have_text("Inside")
        assert hash_of(page) == ROOMS["inside"]


def test_the_page_works_where_nothing_may_be_stored(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })")
        go(page, address, ROOMS["claims"])
        page.get_by_role("button", name="中文").click()
        expect(page.get_by_role("heading", level=2)).to_have_text("论断")


def test_the_first_key_leads_to_the_content(browser: Browser, address: str) -> None:
    with visiting(browser, address) as page:
        go(page, address, ROOMS["compare"])
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        assert hash_of(page) == ROOMS["compare"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_target_is_large_enough_for_a_finger(browser: Browser, address: str, room: str) -> None:
    """24 pixels each way; links within text are excepted, as WCAG has it, and a box counts with its label."""
    small = """() => [...document.querySelectorAll("button, select, input, summary, nav a, .swap")]
        .filter((each) => each.checkVisibility())
        .map((each) => [each, (each.closest("label.chip") ?? each).getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24)
        .map(([each]) => each.outerHTML)"""
    with visiting(browser, address, NARROW) as page:
        go(page, address, ROOMS[room])
        assert page.evaluate(small) == []


# --- a service that asks for a key ------------------------------------------------------------------------------------

KEY = "the-key-of-this-test"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that answers only those who have the key."""
    with serving(tmp_path_factory.mktemp("log") / "server.log", api_keys=KEY) as (_, url):
        yield url


def test_the_page_asks_for_the_key_and_sends_it(browser: Browser, locked: str) -> None:
    with visiting(browser, locked, NARROW, refused=True) as page:
        page.goto(f"{locked}/#claims")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("only those who have a key")
        assert serious(page) == []
        for key, text in (("another-key-altogether", "does not know this key"), (KEY, "")):
            dialog.get_by_label("Key").fill(key)
            dialog.get_by_role("button", name="Use this key").click()
            if text:
                expect(dialog).to_contain_text(text)
        expect(dialog).to_have_count(0)
        settled(page)
        assert page.locator("#alert").inner_text() == ""
        figure = page.locator("img.evidence").first
        figure.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=figure.element_handle())
        expect(page.locator("#k-curl pre")).to_contain_text('-H "X-API-Key: $ACTSERVE_KEY"')

        go(page, locked, ROOMS["compare"])  # the key is kept for the tab
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_who_has_no_key_is_told_so(browser: Browser, locked: str) -> None:
    with visiting(browser, locked, refused=True) as page:
        page.goto(f"{locked}/#claims")
        dialog = page.get_by_role("dialog")
        while dialog.count():
            dialog.get_by_role("button", name="Go on without").click()
            settled(page)
        expect(page.locator("#alert")).to_contain_text("send an API key")
