"""Tables are written from cards and claims, and nothing else of a page is touched."""

import json
from pathlib import Path

import onnx
import pytest
from onnx import helper

from models import report
from tests.claiming import SWAPS
from tests.engine.making import plain

CALIBRATION = {"ece": 0.0312, "ece_floor_95": 0.011, "nll": 0.4567}
CALIBRATED = {
    "epochs": 80,
    "calibration": {"temperature": 0.9, "before": CALIBRATION, "after": CALIBRATION | {"ece": 0.01}},
}
CARDS = {
    "binary-relu": CALIBRATED | {"validation_accuracy": 0.97, "confusion_matrix": [[1, 0], [0, 1]]},
    "cnn-elu": CALIBRATED | {"validation_accuracy": 0.85, "confusion_matrix": [[1]] * 10},
    "cnn-relu": CALIBRATED | {"validation_accuracy": 0.8812, "confusion_matrix": [[1]] * 10},
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, card in CARDS.items():
        proto = onnx.load_from_string(plain())
        helper.set_model_props(proto, {"card": json.dumps(card)})
        path = tmp_path / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(proto.SerializeToString())
    return tmp_path


def test_cards_are_read_from_the_models(repository: Path) -> None:
    assert report.cards(repository) == CARDS


def test_the_best_network_comes_first_and_an_easier_task_last() -> None:
    head, _, shares = report.accuracies(CARDS)
    assert head == "| cnn-relu | cnn-elu | binary-relu (two classes) |"
    assert shares == "| 88.1 % | 85.0 % | 97.0 % |"


def test_a_network_has_its_calibration() -> None:
    assert list(report.networks(CARDS))[4] == "| cnn-relu | 88.12 % | 3.12 % | 1.00 % | 1.10 % | 0.457 | 0.90 | 80 |"


def test_verdicts_are_a_row_a_subject_and_a_column_a_verdict() -> None:
    claims = [
        {"id": "relu-dies", "about": "relu", "verdict": "holds"},
        {"id": "relu-fast", "about": "relu", "verdict": "does not hold here"},
        {"id": "first", "about": "cnn", "verdict": "holds in part"},
    ]
    assert list(report.verdicts(claims))[2:] == [
        "| cnn |  | [first](docs/claims.md#first) |  |",
        "| relu | [relu-dies](docs/claims.md#relu-dies) |  | [relu-fast](docs/claims.md#relu-fast) |",
    ]


def test_before_the_first_experiment_there_are_no_claims(tmp_path: Path) -> None:
    assert report.claims(tmp_path) == []
    (tmp_path / "claims.json").write_text('{"claims": [{"id": "a"}]}')
    assert report.claims(tmp_path) == [{"id": "a"}]


def test_only_tables_are_written_anew(repository: Path) -> None:
    page = "before\n<!-- table accuracies -->\nold\n<!-- end of table -->\nafter\n"
    written = report.filled(page, report.tables(repository, repository))

    assert written.startswith("before\n<!-- table accuracies -->\n| cnn-relu |")
    assert written.endswith("|\n<!-- end of table -->\nafter\n")
    assert "old" not in written
    assert report.filled(written, report.tables(repository, repository)) == written
    with pytest.raises(KeyError, match="nonsense"):
        report.filled(page.replace("accuracies", "nonsense"), report.tables(repository, repository))


def test_swaps_are_a_row_a_model_whose_own_function_stands_out(tmp_path: Path) -> None:
    assert list(report.swaps(tmp_path)) == []
    (tmp_path / "swaps.json").write_text(json.dumps({"summary": SWAPS}))
    assert list(report.swaps(tmp_path)) == [
        "| model | relu | tanh |",
        "| --- | --- | --- |",
        "| cnn-relu | **90.0** | 20.0 |",
        "| cnn-tanh | 30.0 | **80.0** |",
    ]
