"""The requests: made once, the same in every run and in every process.

Every kind of request is a list of `Sent`, and each has its check. Numbers are drawn with a fixed seed and have three
decimals, so that float32 keeps them; the answers expected are computed from the functions' definitions.
"""

import json
import math
import random
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtests import answers
from loadtests.answers import Check

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "service" / "web" / "samples"
"""Photos of 32×32 pixels, each named after what it shows; the models asked here see that in each of them."""
HORSE = ROOT / "docs" / "examples" / "horse.json"
"""One of the photos as a tensor, ready for a model."""
HORSE_CLASS = 7
MODELS = ("cnn-relu", "cnn-swish", "cnn-tanh")
SEED = 2026
LARGEST = 4.0
"""Absolute value of the largest input: to there float32 computes every function here to 1e-6."""

Rows = list[list[float]]


@dataclass(frozen=True)
class Sent:
    """One request, and how to judge its answer.

    `name` is its row in the report: the kind, then the route. `path` begins with the route's slash.
    """

    name: str
    path: str
    check: Check
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"


def softmax(row: Sequence[float]) -> list[float]:
    powers = [math.exp(x - max(row)) for x in row]
    return [power / sum(powers) for power in powers]


def elementwise(function: Callable[[float], float]) -> Callable[[Sequence[float]], list[float]]:
    return lambda row: [function(x) for x in row]


FUNCTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = {
    "sigmoid": elementwise(lambda x: 1 / (1 + math.exp(-x))),
    "tanh": elementwise(math.tanh),
    "relu": elementwise(lambda x: max(x, 0.0)),
    "leaky_relu": elementwise(lambda x: x if x > 0 else 0.01 * x),
    "elu": elementwise(lambda x: x if x > 0 else math.expm1(x)),
    "swish": elementwise(lambda x: x / (1 + math.exp(-x))),
    "softmax": softmax,
}
"""What each function gives for a row, by its definition and with its default parameters."""


def of(function: str, rows: Rows) -> Rows:
    return [FUNCTIONS[function](row) for row in rows]


def drawn(rng: random.Random, rows: int, columns: int) -> Rows:
    return [[round(rng.uniform(-LARGEST, LARGEST), 3) for _ in range(columns)] for _ in range(rows)]


def dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def packed(values: Sequence[float]) -> bytes:
    """Little-endian float32."""
    return struct.pack(f"<{len(values)}f", *values)


def flat(rows: Rows) -> list[float]:
    return [value for row in rows for value in row]


JSON = {"Content-Type": "application/json"}


def tensors(rng: random.Random) -> list[Sent]:
    """JSON tensors of 128 and 4096 numbers to functions, by both interfaces."""
    return [
        request
        for name in FUNCTIONS
        for size in ((8, 16), (64, 64))
        for request in (apply_json(name, drawn(rng, *size)), infer_json(name, drawn(rng, *size)))
    ]


def apply_json(name: str, rows: Rows) -> Sent:
    check = answers.applied(name, of(name, rows))
    return Sent("tensor /v1/activations/{name}", f"/v1/activations/{name}", check, dumped({"data": rows}), JSON)


def infer_json(name: str, rows: Rows) -> Sent:
    port = {"name": "x", "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": flat(rows)}
    check = answers.inferred(of(name, rows))
    return Sent("tensor /v2/models/{name}/infer", f"/v2/models/{name}/infer", check, dumped({"inputs": [port]}), JSON)


def binaries(rng: random.Random) -> list[Sent]:
    """Tensors as bytes: V2's binary extension to ReLU and to a CNN, and `.npy`."""
    functions = [infer_binary(rows) for rows in (drawn(rng, 1, 64), drawn(rng, 16, 1024))]
    pictures = [classify_binary(rng, rows) for rows in (1, 1, 4, 8)]
    return functions + pictures + [apply_npy(name, drawn(rng, 32, 64)) for name in ("swish", "softmax")]


def binary(name: str, model: str, port: str, shape: Sequence[int], content: bytes, output: str, check: Check) -> Sent:
    """A V2 request with one binary tensor, which asks for one binary tensor."""
    head = dumped(
        {
            "inputs": [
                {"name": port, "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": len(content)}}
            ],
            "outputs": [{"name": output, "parameters": {"binary_data": True}}],
        }
    )
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Sent(name, f"/v2/models/{model}/infer", check, head + content, headers)


def infer_binary(rows: Rows) -> Sent:
    shape = (len(rows), len(rows[0]))
    check = answers.inferred_binary(of("relu", rows))
    return binary("binary /v2/models/relu/infer", "relu", "x", shape, packed(flat(rows)), "y", check)


def classify_binary(rng: random.Random, rows: int) -> Sent:
    """Noise, and the horse in one row: an answer whose rows were mixed up has it in another."""
    place = rng.randrange(rows)
    (port,) = json.loads(HORSE.read_text())["inputs"]
    noise = [[rng.gauss(0, 1) for _ in port["data"]] for _ in range(rows)]
    noise[place] = port["data"]
    check = answers.classified_binary(rows, {place: HORSE_CLASS})
    content = packed(flat(noise))
    name = "binary /v2/models/cnn-relu/infer"
    return binary(name, "cnn-relu", "image", (rows, *port["shape"][1:]), content, "probabilities", check)


def apply_npy(name: str, rows: Rows) -> Sent:
    headers = {"Content-Type": "application/x-npy"}
    check = answers.array(of(name, rows))
    return Sent("binary /v1/activations/{name} npy", f"/v1/activations/{name}", check, npy(rows), headers)


def npy(rows: Rows) -> bytes:
    """The rows as a float32 `.npy` file of version 1.0."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    head = head.ljust(64 * (len(head) // 64 + 1) - 11) + "\n"  # what comes before the numbers fills whole 64 bytes
    return answers.NPY + struct.pack("<H", len(head)) + head.encode("ascii") + packed(flat(rows))


def images(rng: random.Random) -> list[Sent]:
    """Photos to CNNs, one or two a request; larger pictures to a CNN and through a function."""
    photos = sorted(SAMPLES.glob("*.jpg"))
    single = [predict_photo(model, photo) for model in MODELS for photo in photos]
    double = [predict_two(rng, MODELS[0], rng.sample(photos, 2)) for _ in range(len(photos))]
    return single + double + [predict_png(rng, 320, 240), predict_png(rng, 640, 480), apply_png(rng, 160, 120)] * 3


def predict_photo(model: str, photo: Path) -> Sent:
    name, path = "image /v1/models/{name}/predict jpeg", f"/v1/models/{model}/predict"
    return Sent(name, path, answers.predicted(photo.stem), photo.read_bytes(), {"Content-Type": "image/jpeg"})


def predict_two(rng: random.Random, model: str, photos: Sequence[Path]) -> Sent:
    boundary = f"{rng.getrandbits(64):016x}"
    body = b"".join(part(boundary, photo) for photo in photos) + f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    check = answers.predicted(*(photo.stem for photo in photos))
    return Sent("image /v1/models/{name}/predict multipart", f"/v1/models/{model}/predict", check, body, headers)


def part(boundary: str, photo: Path) -> bytes:
    head = f'Content-Disposition: form-data; name="file"; filename="{photo.name}"\r\nContent-Type: image/jpeg'
    return f"--{boundary}\r\n{head}\r\n\r\n".encode() + photo.read_bytes() + b"\r\n"


def predict_png(rng: random.Random, width: int, height: int) -> Sent:
    name, path = "image /v1/models/{name}/predict png", f"/v1/models/{MODELS[0]}/predict"
    return Sent(name, path, answers.predicted(None), png(rng, width, height), {"Content-Type": "image/png"})


def apply_png(rng: random.Random, width: int, height: int) -> Sent:
    check = answers.picture(width, height)
    body = png(rng, width, height)
    return Sent(
        "image /v1/activations/{name} png", "/v1/activations/sigmoid", check, body, {"Content-Type": "image/png"}
    )


def png(rng: random.Random, width: int, height: int) -> bytes:
    """An RGB picture of waves: neither as empty as one colour nor as full as noise."""
    waves = [(rng.uniform(0.01, 0.1), rng.uniform(0.01, 0.1)) for _ in range(3)]
    lines = (
        b"\x00" + bytes(int(127.5 + 127.5 * math.sin(a * x + b * y)) for x in range(width) for a, b in waves)
        for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return answers.PNG + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


COMPARE_ACTIVATIONS, COMPARE_MODELS = "/v1/compare/activations", "/v1/compare/models"


def comparisons(rng: random.Random) -> list[Sent]:
    """One tensor through several functions, one photo through every CNN."""
    photos = sorted(SAMPLES.glob("*.jpg"))
    return [compare_functions(drawn(rng, 8, 16)) for _ in photos] + [compare_models(photo) for photo in photos]


def compare_functions(rows: Rows) -> Sent:
    names = [name for name in FUNCTIONS if name != "softmax"]  # the others work on each number alone
    check = answers.compared_activations({name: of(name, rows) for name in names})
    body = dumped({"data": rows, "names": names})
    return Sent(f"compare {COMPARE_ACTIVATIONS}", COMPARE_ACTIVATIONS, check, body, JSON)


def compare_models(photo: Path) -> Sent:
    body, headers = photo.read_bytes(), {"Content-Type": "image/jpeg"}
    return Sent(f"compare {COMPARE_MODELS}", COMPARE_MODELS, answers.compared_models, body, headers)


def visits() -> list[Sent]:
    """What a person reads who looks around, and the probe of a monitor."""
    return [
        visit("/v1/activations", answers.listing("activations", 7)),
        visit("/v1/guide", answers.listing("guide")),
        visit("/v1/claims", answers.listing("claims")),
        visit("/v1/models", answers.listing("models")),
        visit("/v2/health/ready", answers.saying(ready=True)),
        visit("/docs", answers.page),
        *[visit("/v1/activations/{name}", answers.saying(name=name), name) for name in ("relu", "swish")],
        *[visit("/v1/activations/{name}/curve", answers.curve(241), name) for name in ("elu", "tanh")],
        *[visit("/v1/models/{name}", answers.saying(name=name, state="READY"), name) for name in MODELS],
    ]


def visit(route: str, check: Check, name: str = "") -> Sent:
    return Sent(f"browse {route}", route.replace("{name}", name), check)


def kinds() -> dict[str, list[Sent]]:
    """All requests, by kind; a second call gives the same."""
    return {
        "tensor": tensors(random.Random(SEED)),
        "binary": binaries(random.Random(SEED)),
        "image": images(random.Random(SEED)),
        "compare": comparisons(random.Random(SEED)),
        "browse": visits(),
    }
