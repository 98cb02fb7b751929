"""/v2/trace/setting and /v2/logging through HTTP, and what they do to the log."""

import json
import logging
import re
from typing import Any

import numpy as np
import pytest

from service.routes.tracing import DEFAULTS
from tests.routes.conftest import ADMIN, Running
from tests.routes.sending import answered, infer, refused, tensor

TRACE, LOGGING = "/v2/trace/setting", "/v2/logging"
X = tensor(np.array([[3.0]]))
ON = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}
LOGGED = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


def of(model: str) -> str:
    return f"/v2/models/{model}/trace/setting"


def change(running: Running, path: str, **changes: Any) -> Any:
    """Change settings; the answer is what is then in force, as GET has it."""
    answer = answered(running.client.post(path, json=changes, headers=ADMIN))
    assert answered(running.client.get(path)) == answer
    return answer


def traces(running: Running) -> list[dict[str, Any]]:
    """What was traced since the last look."""
    lines = running.log.getvalue().splitlines()
    running.log.truncate(0)
    running.log.seek(0)
    return [json.loads(line.partition(": ")[2]) for line in lines if line.startswith("TRACE actserve.trace: ")]


# --- traces -----------------------------------------------------------------------------------------------------------


def test_nothing_is_traced_at_first(running: Running) -> None:
    for path in (TRACE, of("relu"), of("grow")):
        assert answered(running.client.get(path)) == DEFAULTS
    answered(infer(running.client, "relu", X))
    assert traces(running) == []


@pytest.mark.parametrize(("path", "version"), [("relu", "1"), ("versions", "10"), ("versions/versions/2", "2")])
def test_a_trace_has_the_times_of_the_stages_in_their_order(running: Running, path: str, version: str) -> None:
    change(running, TRACE, **ON)
    x = X if path == "relu" else tensor(np.array([3.0]))
    answered(infer(running.client, path, x, id="a\nb\x1b[31m"))
    (trace,) = traces(running)

    assert (trace["model_name"], trace["model_version"]) == (path.partition("/")[0], version)
    assert trace["id"] == "a\nb\x1b[31m"
    assert [stamp["name"] for stamp in trace["timestamps"]] == [
        "REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "REQUEST_END",
    ]  # fmt: skip
    times = [stamp["ns"] for stamp in trace["timestamps"]]
    assert times == sorted(times)


def test_no_control_character_of_an_id_gets_into_the_log(running: Running) -> None:
    change(running, TRACE, **ON)
    answered(infer(running.client, "relu", X, id="a\nERROR actserve: forged\x1b[31m\u2028"))
    (line,) = running.log.getvalue().splitlines()
    assert line.isprintable()


def test_tensors_are_not_traced(running: Running) -> None:
    change(running, TRACE, **ON)
    answered(infer(running.client, "relu", tensor(np.array([[123456.0]]))))
    assert "123456" not in running.log.getvalue()


def test_every_nth_request_is_traced_until_there_are_enough(running: Running) -> None:
    change(running, TRACE, trace_level=["TIMESTAMPS"], trace_rate="2", trace_count="2")
    for number in range(1, 9):
        answered(infer(running.client, "relu", X, id=str(number)))
    assert [trace["id"] for trace in traces(running)] == ["2", "4"]


def test_one_model_may_be_traced_alone(running: Running) -> None:
    change(running, of("relu"), **ON)
    for name in ("relu", "elu"):
        answered(infer(running.client, name, X))
    assert [trace["model_name"] for trace in traces(running)] == ["relu"]


def test_one_model_may_be_left_out(running: Running) -> None:
    change(running, TRACE, **ON)
    change(running, of("relu"), trace_level=["OFF"])
    for name in ("relu", "elu"):
        answered(infer(running.client, name, X))
    assert [trace["model_name"] for trace in traces(running)] == ["elu"]


def test_null_gives_a_setting_back_to_the_level_above(running: Running) -> None:
    change(running, TRACE, trace_rate="5")
    assert change(running, of("relu"), trace_rate="7", trace_count="3") == DEFAULTS | {
        "trace_rate": "7",
        "trace_count": "3",
    }
    assert answered(running.client.get(of("elu")))["trace_rate"] == "5"
    assert change(running, of("relu"), trace_rate=None) == DEFAULTS | {"trace_rate": "5", "trace_count": "3"}
    assert change(running, TRACE, trace_rate=None) == DEFAULTS


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"trace_rate": "x"}, 400),
        ({"trace_rate": 5}, 400),
        ({"trace_level": ["LOUD"]}, 400),
        ({"trace_level": ["TENSORS"]}, 501),
        ({"trace_file": "/etc/passwd"}, 501),
        ({"trace_mode": "opentelemetry"}, 501),
        ([], 400),
        ("x", 400),
    ],
)
@pytest.mark.parametrize("path", [TRACE, of("relu"), of("grow")])
def test_a_wrong_trace_setting_is_refused_and_changes_nothing(
    running: Running, path: str, changes: object, status: int
) -> None:
    refused(running.client.post(path, json=changes, headers=ADMIN), status)
    assert answered(running.client.get(path)) == DEFAULTS


@pytest.mark.parametrize("changes", [DEFAULTS, {"trace_file": "", "trace_mode": "triton"}, {"unknown": [1]}, {}])
def test_what_is_so_already_may_be_set(running: Running, changes: dict[str, Any]) -> None:
    assert change(running, TRACE, **changes) == DEFAULTS


@pytest.mark.parametrize("name", ["nothing", "CON", "a%0ab"])
def test_an_unknown_model_has_no_trace_settings(running: Running, name: str) -> None:
    for response in (running.client.get(of(name)), running.client.post(of(name), json=ON, headers=ADMIN)):
        assert refused(response, 404).startswith("Request for unknown model: ")


def test_a_trace_that_was_asked_for_is_written_whatever_else_is_not(running: Running) -> None:
    change(running, TRACE, **ON)
    change(running, LOGGING, log_info=False, log_warning=False, log_error=False)
    answered(infer(running.client, "relu", X))
    assert len(traces(running)) == 1


# --- the log ----------------------------------------------------------------------------------------------------------


def said(running: Running) -> str:
    """What is logged of a message of each level."""
    logger = logging.getLogger("actserve.test")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(level, "hello")
    return running.log.getvalue()


def test_the_settings_of_the_log_are_told(running: Running) -> None:
    assert answered(running.client.get(LOGGING)) == LOGGED


@pytest.mark.parametrize(
    ("changes", "levels"),
    [
        ({}, ["INFO", "WARNING", "ERROR"]),
        ({"log_info": False}, ["WARNING", "ERROR"]),
        ({"log_warning": False}, ["INFO", "ERROR"]),
        ({"log_error": False}, ["INFO", "WARNING"]),
        ({"log_verbose_level": 1}, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        ({"log_verbose_level": 2**64 - 1, "unknown": [1]}, ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
def test_what_is_set_is_what_is_logged(running: Running, changes: dict[str, Any], levels: list[str]) -> None:
    known = {name: value for name, value in changes.items() if name != "unknown"}
    assert change(running, LOGGING, **changes) == LOGGED | known
    assert [line.partition(" ")[0] for line in said(running).splitlines()] == levels


def test_the_format_of_the_log_can_be_changed_and_changed_back(running: Running) -> None:
    change(running, LOGGING, log_format="ISO8601")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} INFO actserve\.test: hello\n", said(running))
    running.log.truncate(0)
    running.log.seek(0)
    change(running, LOGGING, log_format="default")
    assert said(running).startswith("INFO actserve.test: hello\n")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"log_info": 1}, 400),
        ({"log_warning": "true"}, 400),
        ({"log_error": None}, 400),
        ({"log_verbose_level": -1}, 400),
        ({"log_verbose_level": True}, 400),
        ({"log_verbose_level": 1.0}, 400),
        ({"log_verbose_level": 2**64}, 400),
        ({"log_format": "xml"}, 400),
        ({"log_format": ["default"]}, 400),
        ({"log_info": False, "log_format": "xml"}, 400),
        ({"log_file": "/tmp/x"}, 501),
        ({"log_file": "", "log_info": False}, 501),
        ([], 400),
    ],
)
def test_a_wrong_setting_of_the_log_is_refused_and_changes_nothing(
    running: Running, changes: object, status: int
) -> None:
    refused(running.client.post(LOGGING, json=changes, headers=ADMIN), status)
    assert answered(running.client.get(LOGGING)) == LOGGED


def test_unloading_is_logged(running: Running) -> None:
    assert running.client.post("/v2/repository/models/grow/unload", headers=ADMIN).status_code == 200
    assert running.log.getvalue() == "INFO actserve.repository: model grow is unloaded\n"
