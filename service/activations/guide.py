"""The article's "how to choose", as data, with what is to be said against it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """What the article advises for one task.

    Attributes:
        activations: catalogue names, in the article's order.
        layer: where in the network they go.
        advice: the article's words, in English.
        caveats: what is missing or too simple in them.
    """

    task: str
    title: str
    layer: str
    activations: tuple[str, ...]
    advice: str
    caveats: tuple[str, ...]


GUIDE: tuple[Advice, ...] = (
    Advice(
        task="binary_classification",
        title="Binary classification",
        layer="output",
        activations=("sigmoid",),
        advice="Sigmoid in the output layer.",
        caveats=(
            "One logit with sigmoid equals two logits with softmax: sigmoid of their difference.",
            "Train with the loss on the logit (binary cross-entropy with logits), not on the rounded probability: in "
            "float32 the sigmoid is exactly 1 above x = 17.33.",
        ),
    ),
    Advice(
        task="multiclass_classification",
        title="Multi-class classification",
        layer="output",
        activations=("softmax",),
        advice="Softmax in the output layer, for a probability distribution.",
        caveats=(
            "Summing to 1 does not make the probabilities calibrated.",
            "Where several classes can be true at once, one sigmoid a class; those do not sum to 1.",
        ),
    ),
    Advice(
        task="cnn",
        title="Convolutional networks",
        layer="hidden",
        activations=("relu", "leaky_relu"),
        advice="ReLU or Leaky ReLU, for faster convergence and the gradient.",
        caveats=(
            "The models listed under `measured` are one network trained once with each activation, by one recipe: "
            "compare their accuracies before choosing.",
            "A slope of 0.01 keeps a hundredth of the gradient of a dead unit, no more.",
        ),
    ),
    Advice(
        task="deep_network",
        title="Deep networks",
        layer="hidden",
        activations=("swish", "leaky_relu"),
        advice="Swish or Leaky ReLU, against dead units and vanishing gradients.",
        caveats=(
            "The activation alone does neither: initialisation, normalisation and skip connections do most of it.",
            "With He initialisation, made for ReLU, the signal of a deep plain Swish network fades; it wants a gain of "
            "1.68 instead of 1.41.",
        ),
    ),
    Advice(
        task="sequence",
        title="Language and time series",
        layer="hidden",
        activations=("tanh", "sigmoid"),
        advice="Tanh or Sigmoid, with LSTM or GRU.",
        caveats=(
            "There, sigmoid is for the gates and tanh for the state; they are not alternatives.",
            "Today's default for language is the Transformer, with GELU or gated Swish.",
        ),
    ),
)

SUMMARY = (
    "The right choice improves a model and helps against vanishing gradients and dead units; each function has its own "
    "place, so choose by task and data."
)
