"""The service's log: its level and format, which V2's logging extension reads and changes while the service runs."""

import logging
from dataclasses import dataclass, replace
from typing import Any, Literal

from service.workers.workers import Alone, Workers

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


class _Chosen(logging.Filter):
    """Lets through the levels that are on; each can be off by itself, which a least level cannot express."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self._on = {
            logging.DEBUG: settings.log_verbose_level > 0,
            logging.INFO: settings.log_info,
            logging.WARNING: settings.log_warning,
            logging.ERROR: settings.log_error,
        }

    def filter(self, record: logging.LogRecord) -> bool:
        return self._on.get(record.levelno, True)


KIND = "logging"
"""Of the part of the service that these settings are."""


class Log:
    """The one handler of the service's loggers, and its settings, which are the same in all workers.

    Args:
        settings: those at the start.
    """

    def __init__(self, settings: LogSettings, workers: Workers | None = None) -> None:
        self._first = settings
        self._workers = workers or Alone()
        self._workers.follow(KIND, self._follow)
        self._handler = logging.StreamHandler()
        LOGGER.handlers[:] = [self._handler]
        LOGGER.propagate = False
        LOGGER.setLevel(logging.DEBUG)
        self._follow("")

    def update(self, changes: dict[str, Any]) -> None:
        """Have all workers take on changes of single settings, by their names; blocks until they have."""
        self._workers.change(KIND, lambda state: state | changes)

    def _follow(self, _: str) -> list[str]:
        """Take on what is wanted."""
        self.settings = replace(self._first, **self._workers.wanted(KIND))
        text, date = FORMATS[self.settings.log_format]
        self._handler.setFormatter(logging.Formatter(text, date))
        self._handler.filters[:] = [_Chosen(self.settings)]
        return []
