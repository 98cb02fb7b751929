"""The log's levels can be turned on and off one by one, and its format changed, while the service runs."""

import io
import logging
import logging.config
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service import logs
from service.logs import CONFIGURATION, HANDLER, LOGGER, MESSAGES, Log, LogSettings


@pytest.fixture
def written() -> Iterator[tuple[Log, io.StringIO]]:
    """A log that writes into memory; the one before it is put back."""
    before = list(LOGGER.handlers), LOGGER.propagate, LOGGER.level
    log, text = Log(LogSettings()), io.StringIO()
    HANDLER.put = lambda line: text.write(line.decode())
    yield log, text
    HANDLER.put = MESSAGES.put
    LOGGER.handlers[:], LOGGER.propagate = before[0], before[1]
    LOGGER.setLevel(before[2])


def say_everything() -> None:
    logger = logging.getLogger("actserve.test")
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)(level)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["info", "warning", "error"]),
        ({"log_verbose_level": 1}, ["debug", "info", "warning", "error"]),
        ({"log_info": False}, ["warning", "error"]),
        ({"log_warning": False}, ["info", "error"]),
        ({"log_error": False, "log_info": False}, ["warning"]),
    ],
)
def test_each_level_by_itself(written: tuple[Log, io.StringIO], changes: dict[str, Any], expected: list[str]) -> None:
    log, text = written
    log.update(changes)
    say_everything()

    assert [line.rpartition(": ")[2] for line in text.getvalue().splitlines()] == expected


def test_the_format_with_times_is_iso_8601(written: tuple[Log, io.StringIO]) -> None:
    log, text = written
    log.update({"log_format": "ISO8601"})
    logging.getLogger("actserve").info("hello")

    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} INFO actserve: hello$", text.getvalue().strip())


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", LogSettings(log_verbose_level=1)),
        ("info", LogSettings()),
        ("warning", LogSettings(log_info=False)),
        ("error", LogSettings(log_info=False, log_warning=False)),
    ],
)
def test_a_least_severe_level_is_so_many_settings(level: str, expected: LogSettings) -> None:
    assert LogSettings.of_level(level) == expected


def record(text: str, *arguments: object) -> logging.LogRecord:
    """For our handler alone: pytest's own take less than it does."""
    return logging.LogRecord("actserve", logging.INFO, "here", 1, text, arguments, None)


def test_any_text_is_written(written: tuple[Log, io.StringIO]) -> None:
    _, text = written
    HANDLER.handle(record("a\ud800é"))
    assert text.getvalue() == "INFO actserve: a\\ud800é\n"


def test_a_message_that_cannot_be_made_fails_nobody(
    written: tuple[Log, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    _, text = written
    HANDLER.handle(record("%d", "no number"))
    assert text.getvalue() == ""
    assert "Logging error" in capsys.readouterr().err


def test_what_the_server_and_the_event_loop_say_goes_the_same_way(written: tuple[Log, io.StringIO]) -> None:
    names = ("uvicorn", "asyncio", "opentelemetry")
    before = {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).propagate) for name in names}
    logging.config.dictConfig(CONFIGURATION)
    for name in names:
        logging.getLogger(f"{name}.part").warning("hello")
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = before[name]
    assert written[1].getvalue().splitlines() == [f"WARNING {name}.part: hello" for name in names]


def test_dropped_lines_are_counted_by_log(written: tuple[Log, io.StringIO]) -> None:
    """Of the messages those of this process's one writer."""
    with_requests = Log(LogSettings(), requests=True)
    assert with_requests.requests is not None
    with_requests.requests._drop(2)
    MESSAGES._drop(3)
    assert with_requests.dropped() == {"messages": 3, "requests": 2}
    assert written[0].dropped() == {"messages": 0, "requests": 0}


def test_who_leaves_at_once_has_written_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    class Messages:
        def close(self) -> None:
            done.append("written")

    monkeypatch.setattr(logs, "MESSAGES", Messages())
    monkeypatch.setattr(os, "_exit", done.append)
    logs.leave(7)

    assert done == ["written", 7]
