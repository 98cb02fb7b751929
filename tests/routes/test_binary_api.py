"""A binary classifier answers like the others: two classes on /v1, the one number that it has on /v2."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.engine.making import classifier
from tests.routes.conftest import application, write
from tests.routes.sending import NPY, PNG, Array, answered, infer, send, tensor, to_npy

LABELS = ["vehicle", "animal"]
BINARY = classifier(LABELS, kind="binary_classifier", temperature=2.0)
FILES = {
    "binary/1": BINARY,
    "mismatched/1": classifier(LABELS),
    "ten/1": classifier("0123456789", classes=10),
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of an application that serves FILES; a picture of one value has that logit."""
    folder: Path = tmp_path_factory.mktemp("repository")
    write(folder, FILES)
    with application(repository=folder) as client:
        yield client


def pictures(*logits: float) -> Array:
    return np.array(logits, np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 3, 2, 2), np.float32)


def predicted(client: TestClient, *logits: float, query: str = "") -> list[dict[str, Any]]:
    response = client.post(f"/v1/models/binary/predict{query}", json={"data": pictures(*logits).tolist()})
    found = answered(response)["predictions"]
    assert isinstance(found, list)
    return found


def test_it_is_described_with_its_kind(serving: TestClient) -> None:
    model = answered(serving.get("/v1/models/binary"))
    assert (model["kind"], model["labels"], model["state"]) == ("binary_classifier", LABELS, "READY")
    assert [port["shape"] for port in model["outputs"]] == [[-1, 1], [-1, 1]]


@pytest.mark.parametrize(("logit", "index"), [(5.0, 1), (-5.0, 0), (1e-3, 1), (-1e-3, 0), (0.0, 0)])
def test_it_answers_with_both_classes(serving: TestClient, logit: float, index: int) -> None:
    """The sign of the logit decides; a temperature changes the probability and not the class."""
    (found,) = predicted(serving, logit)
    p = 1 / (1 + math.exp(-logit / 2))
    assert (found["label"], found["index"]) == (LABELS[index], index)
    assert found["probabilities"] == pytest.approx([1 - p, p], abs=1e-7)  # as near as ONNX Runtime's Sigmoid is
    assert found["probability"] == max(found["probabilities"])
    assert [each["label"] for each in found["top"]] == [LABELS[index], LABELS[1 - index]]
    assert found["logits"] == [pytest.approx(logit)]


def test_the_unlikely_class_keeps_its_probability(serving: TestClient) -> None:
    """Both are printed in float64, so that they add up to 1 for whoever reads them."""
    for found in predicted(serving, *np.linspace(-30, 30, 61).tolist()):
        assert sum(found["probabilities"]) == 1.0
    (sure,) = predicted(serving, 32.0)
    assert sure["probabilities"][0] == pytest.approx(math.exp(-16), abs=2.0**-24)  # what float32 leaves of 1.1e-7
    assert sure["probabilities"][0] > 0


@pytest.mark.parametrize(("query", "count"), [("?top_k=1", 1), ("?top_k=2", 2), ("?top_k=1000", 2)])
def test_top_k_ranks_both(serving: TestClient, query: str, count: int) -> None:
    (found,) = predicted(serving, 3.0, query=query)
    assert len(found["top"]) == count
    assert len(found["probabilities"]) == 2


def test_a_picture_is_classified(serving: TestClient) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), (7, 0, 0)).save(picture, "PNG")
    (found,) = answered(send(serving, "/v1/models/binary/predict", picture.getvalue(), PNG))["predictions"]
    assert (found["label"], found["logits"]) == ("animal", [7.0])


def test_several_rows_are_answered_in_order_and_none_by_none(serving: TestClient) -> None:
    assert [found["label"] for found in predicted(serving, 1.0, -1.0, 2.0)] == ["animal", "vehicle", "animal"]
    nothing = to_npy(np.zeros((0, 3, 2, 2), np.float32))
    assert answered(send(serving, "/v1/models/binary/predict", nothing, NPY))["predictions"] == []


def test_v2_has_the_tensors_as_they_are(serving: TestClient) -> None:
    outputs = answered(infer(serving, "binary", tensor(pictures(2.0, 0.0), name="image")))["outputs"]
    by_name = {output["name"]: output for output in outputs}
    assert (by_name["logits"]["shape"], by_name["logits"]["data"]) == ([2, 1], [2.0, 0.0])
    assert by_name["probabilities"]["shape"] == [2, 1]
    assert by_name["probabilities"]["data"] == pytest.approx([1 / (1 + math.exp(-1)), 0.5], rel=1e-6)


def test_v2_classification_has_no_labels_for_one_element(serving: TestClient) -> None:
    asked = [{"name": "probabilities", "parameters": {"classification": 2}}]
    (output,) = answered(infer(serving, "binary", tensor(pictures(0.0, 0.0), name="image"), outputs=asked))["outputs"]
    assert (output["shape"], output["data"]) == ([2, 1], ["0.500000:0", "0.500000:0"])
    ports = answered(serving.get("/v2/models/binary/config"))["output"]
    assert {port["label_filename"] for port in ports} == {""}


def test_two_labels_for_one_probability_need_the_kind(serving: TestClient) -> None:
    model = answered(serving.get("/v1/models/mismatched"))
    assert (model["state"], model["reason"]) == ("UNAVAILABLE", "version 1: there are 2 labels for 1 classes")


def test_the_guide_lists_it_under_its_own_task_only(serving: TestClient) -> None:
    """Two classes are easier to tell apart than ten, so its accuracy is no measure for theirs."""
    guide = answered(serving.get("/v1/guide"))["guide"]
    measured = {advice["task"]: [one["model"] for one in advice["measured"]] for advice in guide}
    assert measured == {
        "binary_classification": ["binary"],
        "multiclass_classification": ["ten"],
        "cnn": ["ten"],
        "deep_network": [],
        "sequence": [],
    }
