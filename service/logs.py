"""The service's log: its level and format, which V2's logging extension reads and changes while the service runs.

Messages go to the standard error, lines of requests (`service.routes.account`) to the standard output. Both are written
by threads, so that who does not read them holds nothing up.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from service.workers.blocks import added
from service.workers.workers import Alone, Workers
from service.writer import CLOSE_S, Writer

LOGGER = logging.getLogger("actserve")

Format = Literal["default", "ISO8601"]

FORMATS: dict[Format, tuple[str, str | None]] = {
    "default": ("%(levelname)s %(name)s: %(message)s", None),
    "ISO8601": ("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z"),
}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, in the protocol's terms; a verbose level above 0 adds debug messages."""

    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_verbose_level: int = 0
    log_format: Format = "default"

    @classmethod
    def of_level(cls, level: str) -> "LogSettings":
        """The settings that a least severe level stands for: `debug`, `info`, `warning` or `error`."""
        rank = ("debug", "info", "warning", "error").index(level)
        return cls(log_info=rank <= 1, log_warning=rank <= 2, log_verbose_level=int(rank == 0))


Level = Literal["debug", "info", "warning", "error"]


class _Chosen(logging.Filter):
    """Lets through the levels that are on; each can be off by itself, which a least level cannot express."""

    def __init__(self, on: dict[Level, bool]) -> None:
        super().__init__()
        self._on = {getattr(logging, level.upper()): is_on for level, is_on in on.items()}

    def filter(self, record: logging.LogRecord) -> bool:
        return self._on.get(record.levelno, True)


class Handler(logging.Handler):
    """Hands messages on as bytes, each with its end."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__()
        self.put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one on. What it is about may hold anything, also what is no UTF-8."""
        try:
            self.put(self.format(record).encode(errors="backslashreplace") + b"\n")
        except Exception:  # as the library's own handlers do: what cannot be said fails nobody's request
            self.handleError(record)


MESSAGES = Writer(2)
"""A process has one standard error, and says something before it has any settings."""
HANDLER = Handler(MESSAGES.put)
HANDLER.setFormatter(logging.Formatter(FORMATS["default"][0]))


def leave(code: int) -> None:
    """End the process at once, whatever its threads do, but with what it has said written, if somebody reads it."""
    closing = threading.Thread(target=MESSAGES.close, daemon=True)
    closing.start()
    closing.join(2 * CLOSE_S)
    os._exit(code)


def handler() -> Handler:
    """For the configuration below: it can only call."""
    return HANDLER


CONFIGURATION = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"actserve": {"()": "service.logs.handler"}},
    "loggers": {
        name: {"handlers": ["actserve"], "propagate": False} for name in ("uvicorn", "asyncio", "opentelemetry")
    },
}
"""Has what the server and the event loop say written like our own messages, so that they hold nothing up either."""

KIND = "logging"
"""Of the part of the service that these settings are."""

_MESSAGES, _REQUESTS = range(2)


class Log:
    """What is logged, and its settings, which are the same in all workers.

    Args:
        settings: those at the start.
        requests: a line for each request is wanted.

    Attributes:
        on: whether each level is.
        requests: takes the lines of requests; None if there are none.
    """

    def __init__(self, settings: LogSettings, workers: Workers | None = None, *, requests: bool = False) -> None:
        self._first = settings
        self._workers = workers or Alone()
        self._workers.follow(KIND, self._follow)
        self._dropped = self._workers.block("dropped lines", 2)
        MESSAGES.count_in(self._dropped.own, _MESSAGES)
        self.requests = Writer(1) if requests else None
        if self.requests:
            self.requests.count_in(self._dropped.own, _REQUESTS)
        LOGGER.handlers[:] = [HANDLER]
        LOGGER.propagate = False
        LOGGER.setLevel(logging.DEBUG)
        self._follow("")

    def start(self) -> None:
        """Have threads write from now on."""
        for writer in self._writers():
            writer.start()

    def close(self) -> None:
        """Write what waits, in limited time."""
        for writer in self._writers():
            writer.close()

    def dropped(self) -> dict[str, int]:
        """How many lines of which log were dropped, by all workers."""
        messages, requests = added(self._dropped.all(), 0, 2)
        return {"messages": messages, "requests": requests}

    def _writers(self) -> list[Writer]:
        return [MESSAGES, self.requests] if self.requests else [MESSAGES]

    def update(self, changes: dict[str, Any]) -> None:
        """Have all workers take on changes of single settings, by their names; blocks until they have."""
        self._workers.change(KIND, lambda state: state | changes)

    def _follow(self, _: str) -> list[str]:
        """Take on what is wanted."""
        settings = self.settings = replace(self._first, **self._workers.wanted(KIND))
        self.on: dict[Level, bool] = {
            "debug": settings.log_verbose_level > 0,
            "info": settings.log_info,
            "warning": settings.log_warning,
            "error": settings.log_error,
        }
        HANDLER.setFormatter(logging.Formatter(*FORMATS[settings.log_format]))
        HANDLER.filters[:] = [_Chosen(self.on)]
        return []
