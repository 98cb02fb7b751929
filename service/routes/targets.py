"""What /v2 serves under a model's name: the CNNs, and every activation as a model of its own."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from service.activations.activation import Activation
from service.activations.catalogue import ACTIVATIONS, ALIASES
from service.activations.graphs import KERNELS, Kernel
from service.engine.functions import Functions
from service.engine.model import Execution, Model, Port, check_inputs
from service.engine.runtime.session import Tensor
from service.engine.statistics import Statistics
from service.errors import BadRequest, NotFound, ServiceError, did_you_mean, printable, quoted
from service.routes.state import Services
from service.wire import datatypes

ACTIVATION_VERSION = 1


@dataclass(frozen=True, slots=True)
class FunctionModel:
    """An activation with the face of a `Model`: one version, one input, one output, no batch."""

    row: Activation
    functions: Functions

    version: ClassVar[int] = ACTIVATION_VERSION
    inputs: ClassVar[tuple[Port, ...]] = (Port("x", datatypes.by_name("FP32"), (None, None)),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("y", datatypes.by_name("FP32"), (None, None)),)
    max_batch_size: ClassVar[int] = 0

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def statistics(self) -> Statistics:
        return self.functions.statistics[self.row.name]

    def check(self, feeds: Mapping[str, Tensor]) -> None:
        """Check names, dtypes and shapes.

        Raises:
            BadRequest: the function does not take them.
        """
        check_inputs(self.name, self.inputs, feeds)

    def execute(self, feeds: Mapping[str, Tensor], parameters: Mapping[str, object]) -> Execution:
        """Apply the function to what `check` lets through; its parameters, and the kernel, are the request's.

        Raises:
            BadRequest: parameters that it does not take.
        """
        own = dict(parameters)
        kernel = _kernel(own.pop("kernel", "native"))
        try:
            values = self.row.bind(own)
        except ServiceError as error:
            raise BadRequest(f"parameters: {error.text}") from error
        x = feeds["x"]
        started = time.perf_counter_ns()
        y = self.functions.apply(self.row, values, x, kernel)
        return Execution({"y": y}, len(x), (len(x),), time.perf_counter_ns() - started, started)


Target: TypeAlias = Model | FunctionModel


def find(name: str, version: str | None, services: Services) -> Target:
    """An activation or a CNN; without a version the highest that is served.

    Raises:
        NotFound: no such name or version; suggests the nearest name.
        ModelUnavailable: it is in the repository and not served; says why.
    """
    row = ACTIVATIONS.get(name)
    if row is None:
        entries = services.repository.entries
        if name not in entries:
            nearest = did_you_mean(ALIASES.get(name, name), [*ACTIVATIONS, *entries])
            raise NotFound(f"Request for unknown model: {quoted(name)} is not found.{nearest}")
        return services.repository.find(name, version)
    if version not in (None, str(ACTIVATION_VERSION)):
        raise NotFound(
            f"Request for unknown model: {name!r} version {printable(version, 80)} is not found; versions: 1"
        )
    return FunctionModel(row, services.functions)


def asked_versions(name: str, version: str | None, services: Services) -> list[Target]:
    """The version that is asked for; without one all that are served, by number.

    Raises:
        NotFound, ModelUnavailable: as `find`.
    """
    target = find(name, version, services)
    if version is not None or isinstance(target, FunctionModel):
        return [target]
    entry = services.repository.entries.get(name)  # of a later moment: it may have gone meanwhile
    return [model for _, model in sorted(entry.models.items())] if entry and entry.models else [target]


def all_served(services: Services) -> list[Target]:
    """Every version of everything."""
    functions = [FunctionModel(row, services.functions) for row in ACTIVATIONS.values()]
    entries = services.repository.entries.values()
    return functions + [model for entry in entries for _, model in sorted(entry.models.items())]


def _kernel(value: object) -> Kernel:
    for kernel in KERNELS:
        if value == kernel:
            return kernel
    raise BadRequest(f"parameters: kernel is {quoted(value)}, expected one of {', '.join(KERNELS)}")
