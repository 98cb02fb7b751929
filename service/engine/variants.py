"""Second sessions of served models: with another activation, with every activation as an output, or both.

They are built when they are first asked for, from the file of the model, and kept in a bounded cache.
"""

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import onnx

from service.activations.activation import Activation
from service.activations.catalogue import find
from service.engine import patterns, surgery
from service.engine.cache import Cache
from service.engine.model import Model
from service.engine.patterns import Site
from service.engine.runtime.device import Device
from service.engine.runtime.precision import Precision, opened
from service.engine.runtime.session import Session
from service.engine.statistics import Statistics
from service.errors import BadRequest

Key: TypeAlias = tuple[Model, str | None, bool]
"""Of whom, with which function, and whether it is looked into."""


@dataclass(frozen=True, slots=True)
class Tapped:
    """A session that gives every hidden activation's input and output beside the model's own outputs.

    Attributes:
        name, activation: of the model that is looked into, which another function may be in.
    """

    name: str
    activation: str | None
    sites: tuple[Site, ...]
    session: Session = field(repr=False)


class Variants:
    """Edited copies of models.

    Args:
        capacity: sessions kept; the least recently used goes first.
        precision: of models with another activation; what is looked into is always float32.
    """

    def __init__(self, device: Device, *, threads: int, capacity: int, precision: Precision = "float32") -> None:
        self._device = device
        self._precision = precision
        self._threads = threads
        self._kept: Cache[Key, Model | Tapped] = Cache(capacity)

    def swapped(self, model: Model, activation: str) -> Model:
        """The model with another function in the place of its hidden activations; named `cnn-relu~elu`.

        Raises:
            NotFound: there is no such function.
            BadRequest: the model has no hidden activation, or is too old for the function.
            ModelUnavailable: its file cannot be read again, or ONNX Runtime refuses the copy.
        """
        row = find(activation)

        def build() -> Model:
            edited, _ = self._edited(model, row)
            about = replace(model.description, activation=row.name, card=None)
            name = _name(model, row)
            content = edited.SerializeToString()
            session, precision = opened(content, self._device, self._precision, name, threads=self._threads)
            return replace(
                model,
                name=name,
                session=session,
                description=about,
                statistics=Statistics(),
                precision=precision,
                sized=None,
            )

        found = self._kept.get((model, row.name, False), build)
        assert isinstance(found, Model)
        return found

    def tapped(self, model: Model, activation: str | None = None) -> Tapped:
        """A session to look into the model with, or into what `swapped` makes of it.

        Raises:
            NotFound, BadRequest, ModelUnavailable: as `swapped`.
        """
        row = None if activation is None else find(activation)

        def build() -> Tapped:
            edited, sites = self._edited(model, row)
            named = (_name(model, row), row.name) if row else (model.name, model.description.activation)
            content = surgery.tapped(edited, sites).SerializeToString()
            return Tapped(*named, sites, Session.load(content, self._device, threads=self._threads))

        found = self._kept.get((model, row.name if row else None, True), build)
        assert isinstance(found, Tapped)
        return found

    def forget(self, served: list[Model]) -> None:
        """Let go of copies of models that are no longer served."""
        self._kept.forget(lambda key: key[0] not in served)

    def _edited(self, model: Model, row: Activation | None) -> tuple[onnx.ModelProto, tuple[Site, ...]]:
        """The model's graph, with the function if one is given, and what its activations are then."""
        proto = onnx.load_model_from_string(model.read())
        sites = tuple(patterns.sites(proto.graph, surgery.opset(proto)))
        if not sites:
            raise BadRequest(f"model {model.name!r} has no hidden activation that is known")
        if row is None:
            return proto, sites
        # In the edited graph the places of nodes have moved; the tensors have not.
        values = row.in_network()
        now = tuple(replace(site, function=row.name, parameters=values) for site in sites)
        return surgery.swapped(proto, sites, row), now


def _name(model: Model, row: Activation) -> str:
    return f"{model.name}~{row.name}"
