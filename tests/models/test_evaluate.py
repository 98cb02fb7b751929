"""Classifiers measured through a running service agree with their cards, or the command says which do not."""

import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

from models import batches, calibration, client, data, evaluate
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session
from service.settings import PACKAGED_REPOSITORY
from tests.serving import free_port, serving

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "service" / "web" / "samples"
RELU = PACKAGED_REPOSITORY / "cnn-relu" / "1" / "model.onnx"
ANIMALS = [2, 3, 4, 5, 6, 7]
VEHICLES = [0, 1, 8, 9]


def turned() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Each sample in its eight orientations: 80 pictures, more than one request, and not all are recognised."""
    for name in batches.CLASSES:
        pixels = np.asarray(Image.open(SAMPLES / f"{name}.jpg").convert("RGB"))
        for view in (pixels, pixels[:, ::-1]):
            for quarter in range(4):
                yield name, np.rot90(view, quarter)


NAMES, VIEWS = zip(*turned(), strict=True)
TARGETS = np.array([batches.CLASSES.index(name) for name in NAMES])


def folder(base: Path) -> Path:
    for number, (name, view) in enumerate(zip(NAMES, VIEWS, strict=True)):
        path = base / "set" / "validation" / name / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(view).save(path)
    return base / "set"


def zipped(base: Path) -> Path:
    source = folder(base)
    with zipfile.ZipFile(base / "set.zip", "w") as archive:
        for path in source.rglob("*.png"):
            archive.write(path, path.relative_to(source))
    return base / "set.zip"


def official(base: Path) -> Path:
    rows = np.stack(VIEWS).transpose(0, 3, 1, 2).reshape(len(VIEWS), -1)
    (base / "batches.meta.txt").write_text("\n".join(batches.CLASSES))
    (base / "test_batch.bin").write_bytes(np.hstack([TARGETS[:, None].astype(np.uint8), rows]).tobytes())
    return base


def expected() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What cnn-relu makes of the pictures, asked without the service: logits and probabilities."""
    scaled = (np.stack(VIEWS) / 255 - np.array(data.MEAN)) / np.array(data.STD)
    images = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)
    outputs = Session.load(RELU.read_bytes(), Device.cpu()).run({"image": images})
    return outputs["logits"], outputs["probabilities"]


LOGITS, PROBABILITIES = expected()
ACCURACY = float((PROBABILITIES.argmax(axis=1) == TARGETS).mean())
IS_ANIMAL = np.isin(TARGETS, ANIMALS)
BINARY_LOGITS = LOGITS[:, ANIMALS].max(axis=1) - LOGITS[:, VEHICLES].max(axis=1)
BINARY_ACCURACY = float(((BINARY_LOGITS > 0) == IS_ANIMAL).mean())


def described(model: onnx.ModelProto, **changes: object) -> bytes:
    """A model with other metadata; of a value None there is none."""
    properties = {p.key: p.value for p in model.metadata_props} | {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in changes.items()
    }
    del model.metadata_props[:]
    helper.set_model_props(model, {key: value for key, value in properties.items() if value != "null"})
    content: bytes = model.SerializeToString()
    return content


def binary(accuracy: float) -> bytes:
    """cnn-relu with one logit: the largest of the animals less the largest of the vehicles."""
    model = onnx.load(RELU)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["ten" if name == "logits" else name for name in node.output]
        node.input[:] = ["ten" if name == "logits" else name for name in node.input]
    del graph.node[-1]
    del graph.output[:]
    for name, indices in (("animals", ANIMALS), ("vehicles", VEHICLES)):
        graph.initializer.append(numpy_helper.from_array(np.array(indices), name))
        graph.node.append(helper.make_node("Gather", ["ten", name], [f"{name}.logits"], axis=1))
        graph.node.append(helper.make_node("ReduceMax", [f"{name}.logits"], [f"{name}.most"], axes=[1]))
    graph.node.append(helper.make_node("Sub", ["animals.most", "vehicles.most"], ["logits"]))
    graph.node.append(helper.make_node("Sigmoid", ["logits"], ["probabilities"]))
    for name in ("logits", "probabilities"):
        graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 1]))
    return described(model, kind="binary_classifier", labels=["vehicle", "animal"], card=card(accuracy))


def card(accuracy: float) -> dict[str, object]:
    return {"validation_accuracy": accuracy, "data": {"validation": {"sha256": "of other pictures"}}}


REPOSITORY = {
    "near": described(onnx.load(RELU), card=card(ACCURACY - 0.0009)),
    "far": described(onnx.load(RELU), card=card(ACCURACY - 0.0011)),
    "binary": binary(BINARY_ACCURACY + 0.0009),
    "swapped": described(onnx.load(RELU), labels=batches.CLASSES[::-1], card=card(ACCURACY)),
    "plain": described(onnx.load(RELU), kind=None, labels=None, card=None),
    "cardless": described(onnx.load(RELU), card={"parameters": 1}),
}
MEASURED = ["near", "far", "binary", "swapped"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("repository")
    for name, content in REPOSITORY.items():
        (base / name / "1").mkdir(parents=True)
        (base / name / "1" / "model.onnx").write_bytes(content)
    return base


@pytest.fixture(scope="module")
def url(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("log") / "log", repository=str(repository)) as (_, address):
        yield address


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("pictures"))


Printed = pytest.CaptureFixture[str]


def rows(text: str) -> dict[str, list[str]]:
    """The table's cells by model."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert cells[0] == ["model", "accuracy", "on its card", "ECE ± floor (95 %)", "NLL", "pictures/s"]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_pictures_test_something() -> None:
    """Neither all nor none are recognised, so that an order or a class mixed up would show."""
    assert 0.3 < ACCURACY < 0.9
    assert ACCURACY + 0.05 < BINARY_ACCURACY < 1


@pytest.mark.parametrize("form", [folder, zipped, official])
def test_what_is_measured_is_what_the_model_makes_of_the_pictures(
    form: Callable[[Path], Path], url: str, tmp_path: Path, capsys: Printed
) -> None:
    """Accuracy, ECE, its floor and NLL; every form has the same pixels."""
    code = evaluate.main(["--data", str(form(tmp_path)), "--url", url, "--models", "binary", "near"])
    printed = rows(capsys.readouterr().out)
    ten = calibration.measure(PROBABILITIES, TARGETS)
    two = calibration.measure(calibration.probabilities(BINARY_LOGITS[:, None]), IS_ANIMAL.astype(int))

    assert code == 0
    assert list(printed) == ["binary", "near"]
    for name, found, on_card in (("near", ten, ACCURACY - 0.0009), ("binary", two, BINARY_ACCURACY + 0.0009)):
        assert printed[name][:4] == [
            f"{100 * found.accuracy:.2f} %",
            f"{100 * on_card:.2f} %",
            f"{100 * found.ece:.2f} ± {100 * found.ece_floor_95:.2f} %",
            f"{found.nll:.4f}",
        ]
        assert float(printed[name][4].replace(",", "")) > 0


def test_more_than_a_tenth_of_a_point_from_the_card_is_a_failure(url: str, pictures: Path, capsys: Printed) -> None:
    code = evaluate.main(["--data", str(pictures), "--url", url, "--models", "near", "far"])
    out = capsys.readouterr().out

    assert code == 1
    assert [name for name, row in rows(out).items() if "✗" in row[1]] == ["far"]
    assert "far: the accuracy is +0.11 points from its card's; 0.10 are allowed" in out
    assert "far: its card was measured on other pictures than these" in out
    assert "near:" not in out


def test_a_card_that_promises_too_little_is_wrong_as_well(pictures: Path) -> None:
    measured = calibration.measure([[1.0, 0.0]], [0])
    results = [
        evaluate.Result(evaluate.Model("m", False, "ab", 0.5, None), accuracy, 0.001 + 1e-9, measured, 1.0)
        for accuracy in (0.4989, 0.499, 0.5, 0.501, 0.5011)
    ]

    assert [result.agrees for result in results] == [False, True, True, True, False]


def test_the_label_in_the_answer_counts_and_not_its_index(url: str, pictures: Path, capsys: Printed) -> None:
    """A model whose labels are in the wrong order is right only where that does not matter."""
    code = evaluate.main(["--data", str(pictures), "--url", url, "--models", "swapped"])
    mirrored = (9 - PROBABILITIES.argmax(axis=1) == TARGETS).mean()

    assert code == 1
    assert rows(capsys.readouterr().out)["swapped"][0] == f"{100 * mirrored:.2f} %"


def test_every_classifier_with_an_accuracy_on_its_card_is_measured(url: str, pictures: Path, capsys: Printed) -> None:
    code = evaluate.main(["--data", str(pictures), "--url", url])
    printed = capsys.readouterr()

    assert code == 1
    assert set(rows(printed.out)) == set(MEASURED)
    assert all(f"{name} is left out" in printed.err for name in ("plain", "cardless"))


def test_progress_is_shown_while_it_runs(url: str, pictures: Path, capsys: Printed) -> None:
    evaluate.main(["--data", str(pictures), "--url", url, "--models", "near"])
    shown = capsys.readouterr().err.split("\r")

    assert shown[1].startswith("near:   0%|")
    assert "| 80/80 [" in shown[-1]
    assert f"accuracy {ACCURACY:.2%}" in shown[-1]
    assert " pictures/s" in shown[-1]


def test_a_limit_spreads_over_the_set_and_allows_for_chance(url: str, pictures: Path, capsys: Printed) -> None:
    code = evaluate.main(["--data", str(pictures), "--url", url, "--models", "far", "swapped", "--limit", "30"])
    out = capsys.readouterr().out
    right = (PROBABILITIES.argmax(axis=1) == TARGETS)[[8 * i // 3 for i in range(30)]].mean()

    assert code == 1  # `swapped` is too wrong for chance, `far` is not
    assert rows(out)["far"][:2] == [f"{100 * right:.2f} %", f"{100 * (ACCURACY - 0.0011):.2f} %"]
    assert "✗" in rows(out)["swapped"][1]
    assert "30 of 80 pictures: chance is allowed for" in out


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_is_a_number_of_pictures(limit: str, pictures: Path, capsys: Printed) -> None:
    with pytest.raises(SystemExit, match="2"):
        evaluate.main(["--data", str(pictures), "--limit", limit])
    assert "argument --limit: " in capsys.readouterr().err


def fails(capsys: Printed, *arguments: str) -> str:
    """The one line that the command says when it cannot measure."""
    assert evaluate.main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = (line for line in printed.err.split("\n") if line.startswith("evaluate: "))
    return line


def test_a_service_that_is_not_there_is_an_error_in_words(pictures: Path, capsys: Printed) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert fails(capsys, "--data", str(pictures), "--url", url).startswith(f"evaluate: no answer from {url}")


@pytest.mark.parametrize(
    ("url", "message"), [("nowhere", "no answer from"), ("http://127.0.0.1:eighty", "is no address")]
)
def test_an_address_that_is_none_is_an_error_in_words(url: str, message: str, pictures: Path, capsys: Printed) -> None:
    assert message in fails(capsys, "--data", str(pictures), "--url", url)


MODEL = {"name": "m", "kind": "classifier", "labels": batches.CLASSES, "card": {"validation_accuracy": 1}}
ANSWERS = {
    "/v1/models": b"<html>",
    "/json/v1/models": b'{"models": [1]}',
    "/few/v1/models": json.dumps({"models": [MODEL]}).encode(),
    "/few/v1/models/m/predict?top_k=1": b'{"predictions": []}',
}


class Another(SimpleHTTPRequestHandler):
    """Other services: one answers with pages, one with other JSON, one has a model that answers too little."""

    def do_GET(self) -> None:
        content = ANSWERS[self.path]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "is not this service: /v1/models answers without JSON"),
        ("/json", "is not this service: its /v1/models lists no models"),
        ("/few", "m did not answer with a prediction for each of"),
    ],
)
def test_another_service_is_an_error_in_words(path: str, message: str, pictures: Path, capsys: Printed) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Another) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            line = fails(capsys, "--data", str(pictures), "--url", f"http://127.0.0.1:{server.server_port}{path}")
        finally:
            server.shutdown()

    assert message in line


def test_data_that_is_missing_is_an_error_in_words(url: str, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "notes.txt").write_text("no zip")

    assert "nothing.zip is not there" in fails(capsys, "--data", str(tmp_path / "nothing.zip"), "--url", url)
    assert "neither a readable zip" in fails(capsys, "--data", str(tmp_path / "notes.txt"), "--url", url)
    assert "no pictures under validation/<class>/" in fails(capsys, "--data", str(tmp_path), "--url", url)


def test_a_model_that_cannot_be_measured_is_an_error_if_it_is_asked_for(
    url: str, pictures: Path, capsys: Printed
) -> None:
    for name in ("cardless", "plain", "nothing"):
        line = fails(capsys, "--data", str(pictures), "--url", url, "--models", name)
        assert f"{name} is no classifier that is served with an accuracy on its card: there are" in line
        assert all(other in line for other in MEASURED)


def test_pictures_of_other_things_are_an_error_in_words(url: str, tmp_path: Path, capsys: Printed) -> None:
    for name in ("ape", "cat"):
        (tmp_path / "validation" / name).mkdir(parents=True)
        (tmp_path / "validation" / name / "1.jpg").write_bytes((SAMPLES / "cat.jpg").read_bytes())
    arguments = ("--data", str(tmp_path), "--url", url, "--models")

    assert "near cannot be measured on these pictures: its labels are airplane" in fails(capsys, *arguments, "near")
    assert "neither vehicles nor animals: ape" in fails(capsys, *arguments, "binary")


def test_without_an_address_a_service_is_started_and_stopped(
    repository: Path, pictures: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTSERVE_REPOSITORY", str(repository))
    monkeypatch.setenv("ACTSERVE_DEVICE", "cpu")
    with client.running() as url:
        assert httpx2.get(f"{url}/v1/models", trust_env=False).is_success
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, trust_env=False)

    assert evaluate.main(["--data", str(pictures), "--models", "near"]) == 0
    assert list(rows(capsys.readouterr().out)) == ["near"]


def test_a_service_that_refuses_is_quoted(
    repository: Path, pictures: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTSERVE_REPOSITORY", str(repository))
    monkeypatch.setenv("ACTSERVE_DEVICE", "cpu")
    monkeypatch.setenv("ACTSERVE_MAX_IMAGES", "4")

    line = fails(capsys, "--data", str(pictures), "--models", "near")
    assert line.startswith("evaluate: /v1/models/near/predict answers with 4")


def test_a_service_that_does_not_start_is_quoted(
    pictures: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTSERVE_THREADS", "-1")
    line = fails(capsys, "--data", str(pictures))

    assert "the service does not start: actserve: " in line
    assert "ACTSERVE_THREADS" in line


def test_a_picture_goes_as_it_lies_on_disk(pictures: Path) -> None:
    sent = evaluate.Pictures.read(pictures, 3)

    assert [Image.open(io.BytesIO(content)).format for content in sent.files] == ["PNG"] * 3
    assert sent.index.tolist() == [0, 26, 53]
    assert [sent.files[1], sent.files[2]] == [
        next(pictures.glob(f"validation/*/{number:04}.png")).read_bytes() for number in (26, 53)
    ]
