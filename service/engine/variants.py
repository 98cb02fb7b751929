"""Second sessions of served models: with another activation, with every activation as an output, or both.

They are built when they are first asked for, from the file of the model, and kept in a bounded cache.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import onnx

from service.activations.catalogue import find
from service.engine import patterns, surgery
from service.engine.model import Model
from service.engine.patterns import Site
from service.engine.session import Device, Session
from service.engine.statistics import Statistics
from service.errors import BadRequest

Key: TypeAlias = tuple[Model, str | None, bool]


@dataclass(frozen=True, slots=True)
class Tapped:
    """A session that gives every hidden activation's input and output beside the model's own outputs."""

    sites: tuple[Site, ...]
    session: Session = field(repr=False)


class Variants:
    """Edited copies of models.

    Args:
        capacity: sessions kept; the least recently used goes first.
    """

    def __init__(self, device: Device, *, threads: int, capacity: int) -> None:
        self._device = device
        self._threads = threads
        self._capacity = capacity
        self._kept: OrderedDict[Key, Model | Tapped] = OrderedDict()
        self._lock = threading.Lock()

    def swapped(self, model: Model, activation: str) -> Model:
        """The model with another function in the place of its hidden activations; named `cnn-relu~elu`.

        Raises:
            NotFound: there is no such function.
            BadRequest: the model has no hidden activation, or is too old for the function.
            ModelUnavailable: its file cannot be read again, or ONNX Runtime refuses the copy.
        """
        row = find(activation)

        def build() -> Model:
            content, _ = self._edited(model, row.name)
            session = Session.load(content, self._device, threads=self._threads)
            about = replace(model.description, activation=row.name, card=None)
            name = f"{model.name}~{row.name}"
            return replace(model, name=name, session=session, description=about, statistics=Statistics())

        found = self._get((model, row.name, False), build)
        assert isinstance(found, Model)
        return found

    def tapped(self, model: Model, activation: str | None = None) -> Tapped:
        """A session to look into the model with, or into what `swapped` makes of it.

        Raises:
            NotFound, BadRequest, ModelUnavailable: as `swapped`.
        """
        name = None if activation is None else find(activation).name

        def build() -> Tapped:
            content, sites = self._edited(model, name, tap=True)
            return Tapped(sites, Session.load(content, self._device, threads=self._threads))

        found = self._get((model, name, True), build)
        assert isinstance(found, Tapped)
        return found

    def _get(self, key: Key, build: Callable[[], Model | Tapped]) -> Model | Tapped:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = build()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return made

    def forget(self, served: list[Model]) -> None:
        """Let go of copies of models that are no longer served."""
        with self._lock:
            for key in [key for key in self._kept if key[0] not in served]:
                del self._kept[key]

    def _edited(self, model: Model, activation: str | None, *, tap: bool = False) -> tuple[bytes, tuple[Site, ...]]:
        proto = onnx.load_model_from_string(model.read())
        sites = patterns.sites(proto.graph, surgery.opset(proto))
        if not sites:
            raise BadRequest(f"model {model.name!r} has no hidden activation that is known")
        edited = proto if activation is None else surgery.swapped(proto, sites, find(activation))
        if tap:  # in the edited graph the places have moved, the tensors have not
            found = tuple(_as(site, activation) for site in sites) if activation else tuple(sites)
            return surgery.tapped(edited, found).SerializeToString(), found
        return edited.SerializeToString(), tuple(sites)


def _as(site: Site, activation: str) -> Site:
    """What a site is once another function has taken its place."""
    row = find(activation)
    return replace(site, function=row.name, parameters={} if row.elementwise else {"axis": surgery.CHANNELS})
