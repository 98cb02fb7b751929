"""The check of a GPU tells what holds, what does not, and what could not be looked at; here it is done on the CPU."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from models.gpu import agreement, bench, page, serving, speed
from models.gpu.__main__ import main, parts
from models.gpu.bench import Here
from models.gpu.findings import Findings, Goal, as_json, from_json, go_through
from service.engine.gpu.host import HostMemory
from service.engine.runtime.device import CPU, Device

CPU_HERE = Here.of(Device.cpu(), 0.001)
AS_GPU = Here(Device("cuda", "cuda", None), HostMemory(), 0.001)
"""A GPU as far as verdicts are concerned."""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model and two functions, one of which goes along an axis."""
    relu = bench.models()["cnn-relu"]
    functions = {name: agreement.ACTIVATIONS[name] for name in ("celu", "softmax")}
    for module in (agreement, speed, serving):
        monkeypatch.setattr(module, "models", lambda: {"cnn-relu": relu}, raising=False)
        monkeypatch.setattr(module, "ACTIVATIONS", functions, raising=False)
    for module in (speed, serving):
        monkeypatch.setattr(module, "ROWS", (1, 2))
    monkeypatch.setattr(speed, "CPU_NUMBERS", 2**12)
    monkeypatch.setattr(serving, "WORKERS", (2,))


def found(part: str) -> Findings:
    findings = Findings(part)
    parts(CPU_HERE)[part](findings)
    return findings


@pytest.mark.usefixtures("few")
def test_models_beside_a_cpu() -> None:
    findings = found("Models beside a CPU")
    single, half = findings.table
    assert (single["precision"], single["difference"], single["nodes elsewhere"]) == ("float32", 0.0, 0)
    assert half["precision"] == "float16"
    assert 0 < half["difference"] < 0.01
    assert findings.goals[0].met == "not measured"
    assert "no GPU here" in findings.goals[0].note


@pytest.mark.usefixtures("few")
def test_functions_beside_a_cpu() -> None:
    findings = found("Functions beside a CPU")
    assert {(line["function"], line["kernel"], line["dtype"]) for line in findings.table} == {
        (name, kernel, dtype)
        for name in ("celu", "softmax")
        for kernel in ("exact", "native")
        for dtype in ("float32", "float16")
    } - {("celu", "native", "float16")}  # ONNX Runtime has no kernel for it on a CPU
    assert {line["difference"] for line in findings.table} == {0.0}
    assert {line["runs on"] for line in findings.table} == {CPU}
    assert [text for text in findings.skipped if text.startswith("celu, native, float16: ")]


def test_a_difference_is_told_by_the_largest_value_of_an_output() -> None:
    wanted = {"a": np.array([1.0, 100.0, np.inf]), "b": np.array([0.5])}
    got = {"a": np.array([2.0, 100.0, np.nan]), "b": np.array([0.5])}
    assert agreement.difference(got, wanted) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("got", "alike"),
    [
        ([1.0, np.nan, np.inf, -np.inf], True),
        ([1.0, 2.0, np.inf, -np.inf], False),
        ([1.0, np.nan, 3e38, -np.inf], False),
        ([1.0, np.nan, np.inf, np.inf], False),
    ],
)
def test_what_is_not_finite_must_come_out_alike(got: list[float], alike: bool) -> None:
    assert agreement.alike_where_not_finite(np.array(got), np.array([1.0, np.nan, np.inf, -np.inf])) == alike


@pytest.mark.parametrize(("worst", "met"), [(1e-5, "yes"), (1e-3, "no")])
def test_on_a_gpu_a_goal_is_met_or_not(worst: float, met: str) -> None:
    assert agreement._goal("it agrees", worst, AS_GPU).met == met


@pytest.mark.usefixtures("few")
def test_a_cnn_is_run_in_every_way_there_is() -> None:
    findings = found("A CNN by itself")
    assert [(line["precision"], line["rows"]) for line in findings.table] == [
        ("float32", 1),
        ("float32", 2),
        ("float16", 1),
        ("float16", 2),
    ]
    for line in findings.table:
        assert line["plain"] > 0
        assert line["bound"] > 0
        assert line["graph"] is None
    assert findings.skipped == ["CUDA graphs: no GPU here"]


@pytest.mark.usefixtures("few")
def test_functions_are_measured_beside_copying() -> None:
    findings = found("Functions by themselves")
    assert [line["function"] for line in findings.table] == ["celu", "softmax"]
    assert all(line["of copying"] > 0 for line in findings.table)
    assert findings.goals[0].met == "not measured"


@pytest.mark.usefixtures("few")
def test_the_service_is_asked_with_each_number_of_rows() -> None:
    findings = found("The service")
    assert findings.skipped == []
    assert [(line["workers"], line["rows"]) for line in findings.table] == [("2", 1), ("2", 2)]
    assert all(line["pictures/s"] > 0 for line in findings.table)


def test_a_request_that_is_refused_is_told_of() -> None:
    with (
        serving.running() as url,
        socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as connection,
        pytest.raises(ConnectionError, match=r"HTTP/1\.1 404 Not Found"),
    ):
        serving._exchange(connection, serving.request(1).replace(b"/cnn-relu/", b"/cnn-none/"))


def test_memory_and_start_are_the_services_own() -> None:
    facts = found("Memory and start").facts
    assert float(facts["memory of the process, MiB"]) > 50
    assert float(facts["start, s"]) > 0
    assert int(facts["models"]) == len(bench.models())


def test_the_machine_says_that_there_is_no_gpu() -> None:
    findings = found("Machine")
    assert findings.facts["device"] == "cpu: the CPU was asked for"
    assert findings.skipped == ["everything that needs a GPU; what follows was done on the CPU, to see that it works"]


def fails(findings: Findings) -> None:
    findings.facts["begun"] = "yes"
    raise RuntimeError("CUDA failure 700")


def works(findings: Findings) -> None:
    findings.table.append({"rows": 1, "pictures/s": 12.34567, "graph": None})
    findings.goals.append(Goal("fast", "no", "0.5"))


def test_a_part_that_fails_does_not_cost_the_others() -> None:
    said: list[str] = []
    first, second = go_through({"one": fails, "two": works}, 100, said.append)
    assert (first.facts, first.skipped) == ({"begun": "yes"}, ["the rest: RuntimeError: CUDA failure 700"])
    assert second.goals[0].met == "no"
    assert said == ["one …", "two …"]


def test_when_the_time_is_over_what_is_left_is_told() -> None:
    (only,) = go_through({"one": works}, -1, print)
    assert only.skipped == ["all of it: the -1 s for the whole check were over"]
    assert only.table == []


def test_the_page_is_written_from_the_report(tmp_path: Path) -> None:
    findings = go_through({"one": fails, "two": works}, 100, lambda _: None)
    report, written = tmp_path / "report.json", tmp_path / "page.md"
    report.write_text(json.dumps(as_json(findings)))
    written.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")

    assert main(["--page", str(written), str(report)]) == 0
    text = written.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "### two" in text
    assert "| 1 | 12.35 | – |" in text
    assert "| fast | **no** | 0.5 |" in text
    assert "* **Not done**: the rest: RuntimeError: CUDA failure 700" in text
    assert from_json(json.loads(report.read_text())) == findings


def test_a_page_without_marks_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("a page")
    with pytest.raises(ValueError, match="has no <!-- gpu -->"):
        page.write(path, "text")


def test_the_command_prints_writes_and_says_whether_all_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    monkeypatch.setattr("models.gpu.__main__.parts", lambda _: {"two": works})
    assert main([str(report), "--device", "cpu"]) == 1
    assert "| fast | **no** | 0.5 |" in capsys.readouterr().out
    assert json.loads(report.read_text())[0]["goals"][0]["met"] == "no"


def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("service.engine.runtime.device.why_not_cuda", lambda: "there is none")
    assert main([str(tmp_path / "report.json"), "--device", "cuda"]) == 1
    assert capsys.readouterr().err == "device cuda was asked for, but there is none\n"
