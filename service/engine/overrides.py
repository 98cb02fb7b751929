"""`model.toml`, beside a model's version folders: how it is served, where that differs from what its file says.

max_batch_size = 64             # 0: the first axis is no batch
labels = ["cat", "dog"]         # or a table, by the name of the output
versions = { latest = 2 }       # or "all", or a list of numbers

[batching]                      # how requests wait and are merged: see `service.engine.rules`
max_queue_delay_microseconds = 100

[preprocessing]                 # as in the file's own metadata
size = [32, 32]
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from service.engine import folder
from service.errors import ModelUnavailable, quoted
from service.wire.images import Preprocessing

MAX_BYTES = 64 * 2**10
MAX_ROWS = 2**20

Labels: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overrides:
    """A `model.toml`; None where it says nothing.

    Attributes:
        labels: class names by index, for every output; or by output and index.
        latest: how many of the highest versions are served.
        numbers: which versions are served.
        batching: fields of `service.engine.rules.Rules`.
    """

    max_batch_size: int | None = None
    labels: Labels | Mapping[str, Labels] | None = None
    preprocessing: Preprocessing | None = None
    latest: int | None = None
    numbers: tuple[int, ...] | None = None
    batching: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, model: Path) -> "Overrides":
        """Read the file in a model's folder, if there is one.

        Raises:
            ModelUnavailable: it does not fit; says where.
        """
        try:
            return cls.of(tomllib.loads(folder.read(model / folder.CONFIG, max_bytes=MAX_BYTES).decode()))
        except FileNotFoundError:
            return cls()
        except (ModelUnavailable, ValueError, RecursionError) as error:
            text = str(error) if not isinstance(error, RecursionError) else "it is nested too deeply"
            raise ModelUnavailable(f"{folder.CONFIG}: {text.removeprefix(f'{folder.CONFIG} ')}") from error

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "Overrides":
        """Check each key.

        Raises:
            ValueError: an unknown key, or a value that does not fit.
        """
        known: dict[str, Callable[[object], dict[str, object]]] = {
            "max_batch_size": _max_batch_size,
            "labels": _labels,
            "preprocessing": lambda value: {"preprocessing": Preprocessing.from_dict(value)},
            "versions": _versions,
            "batching": _batching,
        }
        fields: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                raise ValueError(f"unknown key {quoted(key)}, expected {', '.join(known)}")
            fields |= known[key](value)
        return cls(**fields)

    def chosen(self, versions: Iterable[int]) -> list[int]:
        """Which of the versions that are there are to be served; one that is asked for by number always is."""
        if self.numbers is not None:
            return sorted(self.numbers)
        there = sorted(versions)
        return there if self.latest is None else there[-self.latest :]


def _max_batch_size(value: object) -> dict[str, object]:
    if type(value) is not int or not 0 <= value <= MAX_ROWS:
        raise ValueError(f"max_batch_size is {quoted(value)}, expected a number of rows in 0…{MAX_ROWS}")
    return {"max_batch_size": value}


MAX_MICROSECONDS = 10**9
BATCHING: Mapping[str, tuple[int, int]] = {
    "max_queue_delay_microseconds": (0, MAX_MICROSECONDS),
    "max_queue_size": (1, 2**30),
    "default_timeout_microseconds": (0, MAX_MICROSECONDS),
    "count": (1, 64),
}
"""Least and largest value of each key of `[batching]`, but for `preferred_batch_size`."""


def _batching(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"batching is {quoted(value)}, expected a table")
    found: dict[str, Any] = {}
    for key, given in value.items():
        if key == "preferred_batch_size":
            if not isinstance(given, list) or not all(_is_within(each, 1, MAX_ROWS) for each in given):
                raise ValueError(f"batching.{key} is {quoted(given)}, expected a list of rows in 1…{MAX_ROWS}")
            found[key] = tuple(given)
            continue
        if key not in BATCHING:
            raise ValueError(
                f"unknown key {quoted(f'batching.{key}')}, expected {', '.join([*BATCHING, 'preferred_batch_size'])}"
            )
        least, largest = BATCHING[key]
        if not _is_within(given, least, largest):
            raise ValueError(f"batching.{key} is {quoted(given)}, expected a number in {least}…{largest}")
        found[key] = given
    return {"batching": found}


def _is_within(value: object, least: int, largest: int) -> bool:
    return type(value) is int and least <= value <= largest


def _labels(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return {"labels": {name: _names(names, f"labels.{name}") for name, names in value.items()}}
    return {"labels": _names(value, "labels")}


def _names(value: object, key: str) -> Labels:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{key} is {quoted(value)}, expected a list of strings")
    return tuple(value)


def _versions(value: object) -> dict[str, object]:
    if value == "all":
        return {}
    if isinstance(value, dict) and list(value) == ["latest"] and _is_version(value["latest"]):
        return {"latest": value["latest"]}
    if isinstance(value, list) and value and all(map(_is_version, value)):
        return {"numbers": tuple(dict.fromkeys(value))}
    raise ValueError(f'versions is {quoted(value)}, expected "all", {{latest = n}} or a list of numbers')


def _is_version(value: object) -> bool:
    return type(value) is int and 1 <= value < 10**18
