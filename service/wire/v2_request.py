"""What a V2 inference request says, once it is read."""

from dataclasses import dataclass

from service.wire.v2_inputs import InputTensor
from service.wire.v2_parameters import Parameters


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """`classification`: how many classes to answer with instead of the tensor; None for the tensor."""

    name: str
    binary: bool
    classification: int | None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One inference request.

    Attributes:
        parameters: those that the protocol does not reserve.
        priority: 0 is the model's default, 1 the highest.
        timeout_us: how long to wait in the queue, None if the request does not say.
        binary_data_output: whether outputs are binary that the request does not list.
        outputs: None for every output of the model.
    """

    id: str | None
    parameters: Parameters
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] | None
    binary_data_output: bool
    priority: int
    timeout_us: int | None

    def with_inputs(self, inputs: tuple[InputTensor, ...]) -> "InferRequest":
        """The same with other inputs; `dataclasses.replace` takes three times as long."""
        return InferRequest(
            self.id,
            self.parameters,
            inputs,
            self.outputs,
            self.binary_data_output,
            self.priority,
            self.timeout_us,
        )

    @property
    def is_all_binary(self) -> bool:
        """Whether no output is wanted as JSON."""
        return self.binary_data_output if self.outputs is None else all(output.binary for output in self.outputs)

    def is_binary(self, name: str) -> bool:
        """Whether the output `name` is wanted as bytes: a listed one by its own word alone, as in Triton."""
        listed = (output.binary for output in self.outputs or () if output.name == name)
        return next(listed, self.binary_data_output)
