"""V2's trace extension: which requests are traced, and what is said of them.

A traced request is one line of JSON in the log `actserve.trace` with the times of its stages, under Triton's names.
Tensors are never traced, and no file is named by a client.
"""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.errors import BadRequest, Unsupported, quoted

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


@dataclass(slots=True)
class _Sampler:
    """Counts the requests that one set of settings applies to."""

    seen: int = 0
    left: int = -1
    """Traces still to be written; negative without limit."""


@dataclass(slots=True)
class Tracing:
    """Global settings, and overrides by model."""

    overrides: dict[str | None, dict[str, str | list[str]]] = field(default_factory=lambda: {None: {}})
    _samplers: dict[str | None, _Sampler] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def settings(self, model: str | None) -> dict[str, str | list[str]]:
        """What is in force for a model, or globally (None)."""
        return dict(DEFAULTS) | self.overrides[None] | self.overrides.get(model, {})

    def update(self, model: str | None, changes: Mapping[str, object]) -> dict[str, str | list[str]]:
        """Take on the changes for a model or globally; null gives a setting back to the level above.

        Raises:
            BadRequest: a value of the wrong kind.
            Unsupported: what would write a client's choice of file, or tensors.
        """
        known = {name: value for name, value in changes.items() if name in DEFAULTS}  # others Triton ignores too
        checked = {name: None if value is None else _check(name, value) for name, value in known.items()}
        with self._lock:
            override = self.overrides.setdefault(model, {})
            for name, value in checked.items():
                override.pop(name, None)
                if value is not None:
                    override[name] = value
            self._samplers.clear()
        return self.settings(model)

    def wants(self, model: str) -> bool:
        """Count one request of the model and tell whether it is to be traced."""
        settings = self.settings(model)
        if settings["trace_level"] == ["OFF"]:
            return False
        scope = model if self.overrides.get(model) else None
        with self._lock:
            sampler = self._samplers.setdefault(scope, _Sampler(left=int(str(settings["trace_count"]))))
            sampler.seen += 1
            if sampler.left == 0 or sampler.seen % int(str(settings["trace_rate"])):
                return False
            sampler.left -= 1
            return True


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
