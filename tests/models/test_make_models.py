"""`make models` as a user types it, on a little data: trained, exported, measured, judged and written down."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from models import report
from models.claims.page import CLAIMS
from tests.models.pictures import write_pictures
from tests.serving import ROOT, uncounted

pytest.importorskip("torch", reason="the group `train` is not installed")

NETWORKS = {
    "binary-relu",
    *(f"cnn-{name}" for name in ("relu", "leaky_relu", "elu", "swish", "tanh", "sigmoid", "softmax", "identity")),
    *("cnn-gelu", "cnn-mish"),
}


def copy_of_the_project(folder: Path) -> Path:
    """Its sources and pages, with the environment that runs this test in place of one of its own."""
    folder.mkdir()
    for part in ("models", "service", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "checkpoints", "repository", "evidence")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    for name in ("Makefile", "README.md", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def make(project: Path, *arguments: str) -> str:
    """What `make` prints; its environment is set up, so it must not be set up again."""
    stamps = [f"--assume-old=.venv/{name}" for name in ("bin/python", "run.stamp", "train.stamp")]
    command = ["make", "--directory", str(project), *stamps, *arguments]
    done = subprocess.run(
        command, env=uncounted() | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def written(project: Path) -> dict[str, int]:
    """When the checkpoints and the experiments' runs were written."""
    paths = (project / "models" / "checkpoints").rglob("*")
    return {str(path): path.stat().st_mtime_ns for path in paths if path.is_file()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".venv" / "train.stamp").exists():
        pytest.skip("not in the environment that make sets up")
    return copy_of_the_project(tmp_path_factory.mktemp("made") / "project")


@pytest.fixture(scope="module")
def arguments(project: Path) -> tuple[str, ...]:
    data = project.parent / "cifar10"
    write_pictures(data, {"train": 66, "validation": 8})
    return ("models", f"DATA={data}", "QUICK=1")


@pytest.fixture(scope="module")
def printed(project: Path, arguments: tuple[str, ...]) -> str:
    return make(project, *arguments)


@pytest.fixture(scope="module")
def cards(project: Path, printed: str) -> Mapping[str, Mapping[str, Any]]:
    return report.cards(project / "models" / "repository")


def test_every_network_is_trained_and_has_its_card(cards: Mapping[str, Mapping[str, Any]]) -> None:
    assert set(cards) == NETWORKS
    for card in cards.values():
        assert card["epochs"] == 1
        assert card["data"]["train"]["images"] == 630
        assert card["data"]["validation"]["images"] == 80
        assert {"sha256"} < set(card["data"]["train"])
        assert {"recipe", "accuracy_by_seed", "confusion_matrix", "calibration", "parameters", "macs"} < set(card)
        assert {"date", "versions", "learning_rates"} < set(card)


def test_every_claim_has_its_verdict(project: Path, printed: str) -> None:
    evidence = project / "models" / "evidence"
    claims = json.loads((evidence / "claims.json").read_text())["claims"]

    assert {claim["id"] for claim in claims} == {claim.id for claim in CLAIMS}
    assert all(claim["numbers"] for claim in claims)
    assert all(claim["command"].endswith("--quick") for claim in claims)
    assert all((evidence / claim["figure"]).exists() for claim in claims)


def test_the_pages_say_what_was_measured(project: Path, cards: Mapping[str, Mapping[str, Any]]) -> None:
    best = max(cards.values(), key=lambda card: card["validation_accuracy"])["validation_accuracy"]
    assert f"| {100 * best:.1f} % |" in (project / "README.md").read_text()
    assert all(f"| {name} |" in (project / "docs" / "models.md").read_text() for name in cards)
    assert all(f'id="{claim.id}"' in (project / "docs" / "claims.md").read_text() for claim in CLAIMS)


def test_progress_is_shown(printed: str) -> None:
    assert "cnn-relu-seed0 epoch 1/1 loss " in printed
    assert "0 s left" in printed


def test_what_is_done_is_not_done_again(project: Path, arguments: tuple[str, ...], printed: str) -> None:
    before = written(project)
    make(project, *arguments)
    assert written(project) == before
