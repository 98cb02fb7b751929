"""Claims to test with, and folders of them as `models/evidence.py` writes them."""

import json
from pathlib import Path
from typing import Any

FIGURE = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'

DEAD = {"name": "dead channels, relu", "value": 0.31, "unit": "share", "low": 0.22, "high": 0.4, "n": 3}


def claim(name: str, about: str = "relu", verdict: str = "holds", **changes: Any) -> dict[str, Any]:
    """A claim as it stands in the file."""
    made = {
        "id": name,
        "about": about,
        "sentence": "For x < 0 a unit can die.",
        "sentence_zh": "当 x < 0 时,神经元可能死亡。",
        "experiment": "dying",
        "method": "Trained at ten times the learning rate, without BatchNorm.",
        "criterion": "Holds if the interval of the share of dead channels is above 0.",
        "numbers": [DEAD, DEAD | {"low": None, "high": None, "n": None, "p": 0.003}],
        "verdict": verdict,
        "because": "31 % of the channels never activate.",
        "figure": None,
        "command": "python -m models.evidence dying",
        "machine": "a machine",
        "date": "2026-11-24",
    }
    return made | changes


CLAIMS = (
    claim("relu-dies", figure="dying.svg"),
    claim("relu-converges-faster", verdict="holds in part"),
    claim("swish-is-slower", "swish", "does not hold here"),
    claim("without-activation-affine", "cnn", figure="dying.svg"),
    claim("sigmoid-for-two-classes", "choosing"),
    claim("what-it-is-for", "article"),
)


SWAPS = {
    "models": ["cnn-relu", "cnn-tanh"],
    "functions": ["relu", "tanh"],
    "accuracy": {"cnn-relu": {"relu": 0.9, "tanh": 0.2}, "cnn-tanh": {"relu": 0.3, "tanh": 0.8}},
}


def document(*claims: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"article": "Activation functions", "generated": "2026-11-24", "claims": list(claims)} | changes


def write(folder: Path, *claims: dict[str, Any]) -> Path:
    """A folder of these claims, with the one figure that they may have."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "claims.json").write_text(json.dumps(document(*claims)))
    (folder / "dying.svg").write_bytes(FIGURE)
    (folder / "swaps.json").write_text(json.dumps({"experiment": "swaps", "summary": SWAPS}))
    return folder
