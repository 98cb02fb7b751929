"""The service's log reaches pytest's `caplog`, whatever tests of the whole application did to it before."""

import logging
from collections.abc import Iterator

import pytest

from service.logs import LOGGER


@pytest.fixture(autouse=True)
def reachable_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(LOGGER, "propagate", True)
    level = LOGGER.level
    LOGGER.setLevel(logging.NOTSET)
    yield
    LOGGER.setLevel(level)
