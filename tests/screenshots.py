"""The pictures of docs/page.md: `python -m tests.screenshots` starts a service and looks at each room of its page."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import browsing
from tests.serving import ROOT, serving

FOLDER = ROOT / "docs" / "pictures"
SIZE = {"width": 1280, "height": 1000}
VIEWS = {
    "functions": "#functions?names=relu,leaky_relu,elu,swish&about=elu&elu.alpha=0.5",
    "compare": "#compare?sample=horse",
    "inside": "#inside?model=cnn-relu&activation=tanh&sample=horse",
    "claims": "#claims?about=relu",
}


def take(browser: Browser, address: str) -> None:
    """Each room at the same size, in the light, when all its answers are there."""
    for name, link in VIEWS.items():
        with browser.new_page(viewport=SIZE, color_scheme="light", locale="en-GB") as page:  # type: ignore[arg-type]
            page.goto(f"{address}/{link}")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as log,
        serving(Path(log) / "server.log") as (_, address),
        browsing() as browser,
    ):
        take(browser, address)


if __name__ == "__main__":
    main()
