"""The shapes of /v1's JSON, for validation of what comes in and for the documentation of what goes out.

Tensors are `Any` here: they are read by `service.wire.arrays`, element by element, and never by pydantic.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.activations.evidence import Claim
from service.activations.evidence import Swaps as Swaps  # an answer as it is

Kernel = Literal["exact", "native"]
Dtype = Literal["float16", "float32", "float64"]

TENSOR_NOTE = 'Non-finite numbers are the strings "NaN", "Infinity" and "-Infinity".'


class Request(BaseModel):
    """A body that refuses unknown members and wrong types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class Error(Answer):
    error: str = Field(description="What was wrong, and what was expected.")


class Numbers(Request):
    """A tensor and how it is to be computed with."""

    data: Any = Field(description=f"A number or nested lists of numbers. {TENSOR_NOTE}")
    dtype: Dtype = Field("float32", description="What to compute in and answer with.")
    shape: list[int] | None = Field(None, description="With flat data: the shape, row-major.")
    kernel: Kernel = Field("exact", description="`exact` is rounded once; `native` is the bare ONNX operator.")
    derivative: bool = Field(False, description="Answer with the derivative too.")


class Apply(Numbers):
    parameters: dict[str, Any] = Field(default_factory=dict, description="The function's parameters by name.")


class Compare(Numbers):
    names: list[str] | None = Field(None, description="Which functions; without it all that are elementwise.")
    parameters: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="By the function's name: its parameters by name."
    )


class ApplyOptions(BaseModel):
    """The same options in the query, for bodies that are not JSON."""

    model_config = ConfigDict(extra="forbid")

    kernel: Kernel = "exact"
    dtype: Dtype | None = None
    range: Literal["unit", "signed"] = "unit"
    derivative: bool = False


class Applied(Answer):
    activation: str
    parameters: dict[str, Any]
    kernel: Kernel
    dtype: Dtype
    shape: list[int]
    data: Any = Field(description=f"The output, nested like the input. {TENSOR_NOTE}")
    derivative: Any = Field(None, description="Only if asked for: the derivative at each input.")
    provider: str = Field(description="The ONNX Runtime provider that computed it.")


class ParameterShown(Answer):
    name: str
    kind: Literal["number", "integer", "choice", "tensor"]
    default: float | int | str
    minimum: float | None
    maximum: float | None
    choices: list[str] | None
    description: str


class AccuracyRecord(Answer):
    of: Literal["function", "derivative"]
    kernel: Kernel
    dtype: Dtype
    domain: str
    points: int
    max_ulp: float | str = Field(description="Largest error in units in the last place; 0.5 is correct rounding.")
    at: float = Field(description="The input of the largest error.")
    max_absolute_error: float | str


class Accuracy(Answer):
    command: str
    machine: str
    onnxruntime: str
    provider: str
    records: list[AccuracyRecord]


class ActivationShown(Answer):
    name: str
    title: str
    aliases: list[str]
    in_article: bool
    elementwise: bool
    description: str
    formula: str = Field(description="LaTeX.")
    derivative_formula: str
    parameters: list[ParameterShown]
    range: str
    zero_centered: bool
    monotonic: bool
    onnx_op: str
    since_opset: int
    advantages: list[str]
    drawbacks: list[str]
    uses: list[str]
    notes: list[str]
    defaults: dict[str, str]
    sources: list[str]


class ActivationWithAccuracy(ActivationShown):
    accuracy: Accuracy = Field(description="As measured by `make accuracy`.")
    claims: list[str] = Field(description="Ids of the article's claims about it, at `/v1/claims/{id}`.")


class Activations(Answer):
    activations: list[ActivationShown]


class Curve(Answer):
    activation: str
    parameters: dict[str, Any]
    x: list[float]
    y: list[Any]
    derivative: list[Any]


class Measured(Answer):
    model: str
    activation: str
    validation_accuracy: float


class Advice(Answer):
    task: str
    title: str
    layer: str
    activations: list[str]
    advice: str
    caveats: list[str]
    measured: list[Measured] = Field(description="The served CNNs that have these activations in this layer.")


class Guide(Answer):
    guide: list[Advice]
    summary: str
    claims: list[str] = Field(description="Ids of the claims about choosing, at `/v1/claims/{id}`.")


class Claims(Answer):
    claims: list[Claim]


class Port(Answer):
    name: str
    datatype: str
    shape: list[int] = Field(description="-1 where any length goes.")


class ModelShown(Answer):
    name: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str | None = Field(description="Why versions are not served, if any is not.")
    version: str | None = Field(description="The version that answers by default.")
    versions: list[str]
    kind: str | None = Field(description="`classifier`, `binary_classifier`, or what the file says.")
    activation: str | None
    labels: list[str] | None
    preprocessing: dict[str, Any] | None
    card: dict[str, Any] | None
    inputs: list[Port]
    outputs: list[Port]
    provider: str | None
    placement: dict[str, int] | None = Field(description="Graph nodes by the provider that runs them.")


class Models(Answer):
    models: list[ModelShown]


class Predict(Request):
    images: list[Any] | None = Field(None, description="Base64 or data URLs of JPEG, PNG, WebP, BMP or GIF files.")
    data: Any = Field(None, description="A tensor as the model takes it, N×C×H×W and already preprocessed.")


class Ranked(Answer):
    label: str
    index: int
    probability: float


class Prediction(Ranked):
    top: list[Ranked]
    probabilities: list[float] = Field(description="By index. Of a binary classifier, in float64: 1 − p and p.")
    logits: list[float] = Field(description="By index. A binary classifier has one, for the second label.")


class Timing(Answer):
    decode: float
    queue: float
    compute: float


class Output(Answer):
    name: str
    datatype: str
    shape: list[int]
    data: Any


class Seen(Answer):
    model: str
    version: str
    activation: str | None
    provider: str
    predictions: list[Prediction] | None = Field(None, description="For classifiers: one for each image.")
    outputs: list[Output] | None = Field(None, description="For other models: their outputs as they are.")


class Predicted(Seen):
    timing_ms: Timing


class HistogramShown(Answer):
    low: float
    high: float
    counts: list[int] = Field(description="Of equal bins from `low` to `high`.")


class SpreadShown(Answer):
    mean: Any = Field(description=TENSOR_NOTE)
    std: Any
    min: Any
    max: Any
    histogram: HistogramShown


class Dead(Answer):
    count: int
    share: float
    channels: list[int] = Field(description="Those whose output is never above 0, for any of the images.")


class LayerShown(Answer):
    layer: int = Field(description="From 1.")
    activation: str | None = Field(description="None for what is not in the catalogue.")
    parameters: dict[str, Any] | None
    name: str = Field(description="The output's name in the ONNX graph.")
    shape: list[int] = Field(description="Of one image: channels, height, width.")
    before: SpreadShown
    after: SpreadShown
    zeros: float = Field(description="Share of outputs that are exactly 0.")
    dead: Dead
    channels: int
    saturated: float | None = Field(description="Share of inputs where the slope is below 1 % of the steepest.")
    mean_share: float | None = Field(description="Of the outputs' power: E[f]² / E[f²].")
    maps: str | None = Field(None, description="With `maps=true`: the first image's, side by side, as a data URL.")


class InspectTiming(Answer):
    decode: float
    inspect: float


class Inspected(Answer):
    model: str
    version: str
    activation: str | None
    provider: str
    images: int
    layers: list[LayerShown]
    predictions: list[Prediction] | None = Field(description="For classifiers: one for each image.")
    timing_ms: InspectTiming


class ComparedModel(Seen):
    compute_ms: float = Field(description="Of the run that the images were in.")
    rows_of_run: int | None = Field(description="Images in that run; None where it was made for another request too.")


class ComparedFunction(Answer):
    activation: str
    parameters: dict[str, Any]
    data: Any = Field(description=f"The output, nested like the input. {TENSOR_NOTE}")
    derivative: Any = None
    provider: str


class ComparedActivations(Answer):
    results: list[ComparedFunction]
    dtype: Dtype
    kernel: Kernel
    shape: list[int]


class Vote(Answer):
    label: str
    models: list[str]


class ComparedModels(Answer):
    results: list[ComparedModel]
    agreement: list[list[Vote]] = Field(description="For each image: who sees what, the most frequent label first.")
    timing_ms: dict[str, float]


class GpuShown(Answer):
    name: str
    memory_total_mib: int
    memory_used_mib: int


class Placed(Answer):
    model: str
    version: str
    nodes: dict[str, int] = Field(description="Graph nodes by the provider that runs them.")
    precision: Literal["float32", "float16"] = Field(description="Of the arithmetic; inputs and outputs stay.")
    runs: dict[str, Literal["plain", "bound", "graph"]] | None = Field(
        description="On a GPU, the numbers of rows that are run, and how: through memory that is taken anew for "
        "each run (`plain`), that was made once (`bound`), or that and as a CUDA graph (`graph`), as was fastest."
    )


class GpuOptions(Answer):
    tf32: bool
    memory_bytes: int = Field(description="That one model may take; 0 is no limit.")
    runs: Literal["auto", "bound", "plain"] = Field(description="In which ways models may be run; `auto` is any.")
    strict: bool = Field(description="Whether every node of every model must run on the GPU.")


class DeviceShown(Answer):
    device: Literal["cpu", "cuda"]
    wanted: Literal["auto", "cpu", "cuda"]
    in_use: list[str]
    reason: str | None = Field(description="Why the GPU is not in use.")
    gpu: GpuShown | None
    options: GpuOptions | None = Field(description="How the GPU is used; null without one.")
    precision: Literal["float32", "float16"] = Field(description="What was asked for; see each model for what it has.")
    threads: int
    onnxruntime: str
    models: list[Placed]
