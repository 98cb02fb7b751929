"""The documentation says what is so: settings, tables, links, and nothing that belongs to one machine."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from models import accuracy, figures, report
from models.claims import page as claims
from service.activations.catalogue import ACTIVATIONS, ARTICLE
from service.engine import repository
from service.engine.runtime.device import Device
from service.settings import PACKAGED_EVIDENCE, PACKAGED_REPOSITORY, Settings
from service.wire import arrays, images

ROOT = Path(__file__).parent.parent
TABLE = json.loads((ROOT / accuracy.TABLE).read_text())
MODELS = repository.load(PACKAGED_REPOSITORY, Device.cpu(), threads=1).models()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_every_setting_has_its_row() -> None:
    """Name, default and meaning, in the settings' own words."""
    rows = re.findall(r"^\| `(ACTSERVE_\w+)` \| `(.*?)` \| (.*) \|$", (ROOT / "docs/operations.md").read_text(), re.M)
    expected = [
        (f"ACTSERVE_{name.upper()}", _shown(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]
    assert rows == expected


def _shown(default: object) -> str:
    folders = {PACKAGED_REPOSITORY: "models/repository", PACKAGED_EVIDENCE: "models/evidence"}
    return {**folders, None: "(none)"}.get(default, str(default))  # type: ignore[dict-item, call-overload]


def test_the_accuracy_page_is_the_table() -> None:
    assert (ROOT / accuracy.PAGE).read_text() == accuracy.page(TABLE)


def test_the_accuracy_table_has_every_function() -> None:
    assert list(TABLE["functions"]) == list(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_measured_exact_kernel_keeps_its_promise(name: str) -> None:
    """At most 1 ULP in float16 and float32, 4 in float64; the file is what `make accuracy` measured."""
    limits = {"float16": 1.0, "float32": 1.0, "float64": 4.0}
    records = [r for r in TABLE["functions"][name] if (r["kernel"], r["of"]) == ("exact", "function")]

    assert {r["dtype"] for r in records} == set(limits)
    assert all(r["max_ulp"] <= limits[r["dtype"]] for r in records)


@pytest.mark.parametrize("line", accuracy.summary(TABLE, [row.name for row in ARTICLE]))
def test_the_readmes_error_figures_are_the_tables(line: str) -> None:
    assert line in (ROOT / "README.md").read_text().splitlines()


@pytest.mark.parametrize("page", report.PAGES, ids=str)
def test_the_tables_of_the_pages_are_what_was_measured(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert "<!-- table " in text
    assert text == report.filled(text, report.tables(PACKAGED_REPOSITORY, PACKAGED_EVIDENCE))


def test_the_claims_page_is_drawn_up_from_the_numbers() -> None:
    """And claims.json too; both are there once the first experiment has been run."""
    judged = claims.judged(PACKAGED_EVIDENCE)
    written = PACKAGED_EVIDENCE / "claims.json"
    if judged or written.exists():
        assert json.loads(written.read_text()) == claims.document(judged)
        assert (ROOT / claims.PAGE).read_text() == claims.page(judged, claims.trained_on(PACKAGED_EVIDENCE))


def test_the_readmes_picture_is_what_the_service_computes() -> None:
    assert (ROOT / figures.PICTURE).read_text() == figures.draw()


def test_the_example_tensor_is_the_sample_photo() -> None:
    how = next(m.description.preprocessing for m in MODELS if m.name == "cnn-relu")
    assert how is not None
    content = (ROOT / "service/web/samples/horse.jpg").read_bytes()
    picture = images.decode(content, max_pixels=10**6, max_side=10**4)
    tensor = images.preprocess(picture, how)[None]
    port = {"name": "image", "datatype": "FP32", "shape": list(tensor.shape), "data": tensor.ravel()}

    assert (ROOT / "docs/examples/horse.json").read_bytes() == arrays.dumps({"inputs": [port]}) + b"\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_paths_in_code_marks_exist(page: Path) -> None:
    paths = re.findall(r"`((?:service|models|tests|docs|requirements)/[\w./-]+)`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_nothing_tracked_names_a_registry_or_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    pattern = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|deb\.debian|/(?:root|home|work)/\w")
    here = Path(__file__).name
    texts = {name: (ROOT / name).read_bytes().decode(errors="ignore") for name in tracked.split("\0") if name}

    assert texts
    assert [name for name, text in texts.items() if not name.endswith(here) and pattern.search(text)] == []
