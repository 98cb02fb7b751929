"""V2's trace extension: which requests are traced, and what is said of them.

A traced request is one line of JSON in the log `actserve.trace` with the times of its stages, under Triton's names.
Tensors are never traced, and no file is named by a client.
"""

import json
import logging
from collections.abc import Mapping
from typing import TypeAlias

from service.errors import BadRequest, Unsupported, quoted
from service.workers.blocks import Block
from service.workers.workers import Alone, State, Workers

log = logging.getLogger("actserve.trace")

LEVEL = 25
"""Of a trace in the log: a level of its own, so that a trace which was asked for is written whatever else is not."""
logging.addLevelName(LEVEL, "TRACE")

DEFAULTS: Mapping[str, str | list[str]] = {
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "triton",
}
"""Triton's; every value but the level is a string."""

STAGES = ("REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "REQUEST_END")


KIND = "trace"
"""Of the part of the service that these settings are."""

Values: TypeAlias = dict[str, str | list[str]]

_SEEN, _TRACED = range(2)


class Tracing:
    """Global settings, and overrides by model, the same in all workers: they change and count together."""

    def __init__(self, workers: Workers | None = None) -> None:
        self._workers = workers or Alone()
        self._workers.follow(KIND, self._follow)
        self._follow("")

    def _follow(self, _: str) -> list[str]:
        """Take on what is wanted."""
        state = self._workers.wanted(KIND)
        self._changes = state.get("changes", 0)
        self._overall: Values = state.get("overall", {})
        self._models: dict[str, Values] = state.get("models", {})
        self._samplers: dict[str | None, Block] = {}
        return []

    def settings(self, model: str | None) -> Values:
        """What is in force for a model, or globally (None)."""
        own = {} if model is None else self._models.get(model, {})
        return dict(DEFAULTS) | self._overall | own

    def update(self, model: str | None, changes: Mapping[str, object]) -> Values:
        """Have all workers take on the changes for a model or globally; null gives a setting back to the level above.

        Blocks until they have, so not for the event loop.

        Raises:
            BadRequest: a value of the wrong kind.
            Unsupported: what would write a client's choice of file, or tensors.
        """
        known = {name: value for name, value in changes.items() if name in DEFAULTS}  # others Triton ignores too
        checked = {name: None if value is None else _check(name, value) for name, value in known.items()}
        self._workers.change(KIND, lambda state: _changed(state, model, checked))
        return self.settings(model)

    def wants(self, model: str) -> bool:
        """Count one request of the model and tell whether it is to be traced."""
        settings = self.settings(model)
        if settings["trace_level"] == ["OFF"]:
            return False
        scope = model if self._models.get(model) else None
        rate, count = int(str(settings["trace_rate"])), int(str(settings["trace_count"]))
        with self._workers.locked():
            sampler = self._sampler(scope)
            sampler.own[_SEEN] += 1
            blocks = sampler.all()
            seen, traced = (sum(block[index] for block in blocks) for index in (_SEEN, _TRACED))
            if seen % rate or traced == count:  # a count below 0 is without limit
                return False
            sampler.own[_TRACED] += 1
            return True

    def _sampler(self, scope: str | None) -> Block:
        """Counts the requests that one set of settings applies to, anew after each change."""
        if scope not in self._samplers:
            self._samplers[scope] = self._workers.block(f"trace {self._changes} {scope}", 2)
        return self._samplers[scope]


def _changed(state: State, model: str | None, values: Mapping[str, str | list[str] | None]) -> State:
    models = state.get("models", {})
    override = state.get("overall", {}) if model is None else models.get(model, {})
    override = {name: value for name, value in (override | values).items() if value is not None}
    changes = {"changes": state.get("changes", 0) + 1}
    return state | changes | ({"overall": override} if model is None else {"models": models | {model: override}})


def write(model: str, version: str, request_id: str | None, times_ns: Mapping[str, int]) -> None:
    """Log one trace: the stages' times in nanoseconds of a monotonic clock."""
    stamps = [{"name": stage, "ns": times_ns[stage]} for stage in STAGES if stage in times_ns]
    record = {"model_name": model, "model_version": version, "id": request_id, "timestamps": stamps}
    log.log(LEVEL, "%s", json.dumps(record))


def _check(name: str, value: object) -> str | list[str]:
    if name == "trace_level":
        return _level(value)
    if not isinstance(value, str):
        raise BadRequest(f"trace setting {name}: got {quoted(value)}, expected a string")
    if name == "trace_file" and value:
        raise Unsupported("trace setting trace_file: a client does not choose files here; traces go to the log")
    if name == "trace_mode" and value != "triton":
        raise Unsupported(f"trace setting trace_mode: got {quoted(value)}, only 'triton' is served")
    if name in ("trace_rate", "trace_count", "log_frequency"):
        _integer(name, value)
    return value


def _level(value: object) -> list[str]:
    levels = value if isinstance(value, list) else [value]
    if not levels or not all(isinstance(level, str) for level in levels):
        raise BadRequest(f"trace setting trace_level: got {quoted(value)}, expected a list of strings")
    if "TENSORS" in levels:
        raise Unsupported("trace setting trace_level: TENSORS is not served: tensors are never logged")
    if levels not in (["OFF"], ["TIMESTAMPS"]):
        raise BadRequest(f"trace setting trace_level: got {quoted(levels)}, expected ['OFF'] or ['TIMESTAMPS']")
    return levels


def _integer(name: str, text: str) -> None:
    least = {"trace_rate": 1, "trace_count": -1, "log_frequency": 0}[name]
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19 and int(text) >= least):
        raise BadRequest(f"trace setting {name}: got {quoted(text)}, expected a string of an integer from {least}")
