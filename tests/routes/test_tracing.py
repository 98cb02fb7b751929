"""Trace settings: by model over global over Triton's defaults; what would write files or tensors is refused."""

import json
import logging

import pytest

from service.errors import BadRequest, ServiceError, Unsupported
from service.routes import tracing
from service.routes.tracing import DEFAULTS, Tracing


def test_the_defaults_are_tritons() -> None:
    assert Tracing().settings(None) == Tracing().settings("relu") == dict(DEFAULTS)


def test_a_models_setting_stands_over_the_global_one_until_null_gives_it_back() -> None:
    state = Tracing()
    state.update(None, {"trace_rate": "5"})
    state.update("relu", {"trace_rate": "7"})

    assert [state.settings(name)["trace_rate"] for name in (None, "relu", "elu")] == ["5", "7", "5"]
    assert state.update("relu", {"trace_rate": None})["trace_rate"] == "5"
    assert state.update(None, {"trace_rate": None})["trace_rate"] == "1000"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"trace_level": "everything"}, BadRequest),
        ({"trace_level": []}, BadRequest),
        ({"trace_level": [1]}, BadRequest),
        ({"trace_level": ["OFF", "TIMESTAMPS"]}, BadRequest),
        ({"trace_level": ["TENSORS"]}, Unsupported),
        ({"trace_rate": 5}, BadRequest),
        ({"trace_rate": "0"}, BadRequest),
        ({"trace_rate": "1.5"}, BadRequest),
        ({"trace_rate": "٣"}, BadRequest),
        ({"trace_rate": "9" * 30}, BadRequest),
        ({"trace_count": "-2"}, BadRequest),
        ({"log_frequency": "x"}, BadRequest),
        ({"trace_file": "/etc/passwd"}, Unsupported),
        ({"trace_mode": "opentelemetry"}, Unsupported),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(changes: dict[str, object], kind: type[ServiceError]) -> None:
    state = Tracing()
    with pytest.raises(kind):
        state.update(None, {"trace_rate": "3"} | changes)
    assert state.settings(None) == dict(DEFAULTS)


def test_unknown_settings_are_ignored_as_triton_does() -> None:
    assert Tracing().update(None, {"nope": 1}) == dict(DEFAULTS)


def test_off_traces_nothing() -> None:
    assert not any(Tracing().wants("relu") for _ in range(2000))


def test_every_nth_request_is_traced_up_to_the_count() -> None:
    state = Tracing()
    state.update(None, {"trace_level": "TIMESTAMPS", "trace_rate": "3", "trace_count": "2"})

    assert [i for i in range(1, 13) if state.wants("relu")] == [3, 6]


def test_a_model_with_settings_of_its_own_is_counted_by_itself() -> None:
    state = Tracing()
    state.update("relu", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "1"})

    assert [state.wants("elu"), state.wants("relu"), state.wants("relu")] == [False, True, False]


def test_a_models_own_requests_alone_count_for_its_own_rate() -> None:
    state = Tracing()
    state.update(None, {"trace_level": ["TIMESTAMPS"], "trace_rate": "2"})
    state.update("relu", {"trace_rate": "3"})

    traced = [state.wants(name) for name in ("elu", "relu", "elu", "relu", "elu", "relu")]
    assert traced == [False, False, True, False, False, True]


def test_changing_a_setting_starts_the_count_anew() -> None:
    state = Tracing()
    state.update(None, {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "1"})
    first = [state.wants("relu"), state.wants("relu")]
    state.update(None, {"trace_count": "1"})

    assert [*first, state.wants("relu")] == [True, False, True]


def test_a_trace_is_one_line_of_json_in_order_of_time() -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Lines()
    tracing.log.addHandler(handler)
    tracing.log.setLevel(logging.INFO)
    tracing.write("relu", "1", "a\nb", {"REQUEST_END": 9, "REQUEST_START": 1, "COMPUTE_START": 4})
    tracing.log.removeHandler(handler)

    assert len(lines) == 1
    assert "\n" not in lines[0]
    stamps = json.loads(lines[0])["timestamps"]
    assert [stamp["name"] for stamp in stamps] == ["REQUEST_START", "COMPUTE_START", "REQUEST_END"]
