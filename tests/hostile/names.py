"""P: names that could lead elsewhere, on every route that takes one."""

from collections.abc import Iterator
from urllib.parse import quote, unquote

from tests.hostile.answering import GOOD_INFER, HORSE
from tests.hostile.cases import ADMIN, Case, get, post, segment, short
from tests.routes.sending import JPEG, JSON

LEGAL = ("model123", "model.version1", "model-1_x", "CON", "x" * 128, "canary")
"""Names that a model may have, and none has here; there is a `canary` beside the repository."""

CANARY = ("../canary", "..%2fcanary", "../repository/../canary", "./canary")

HOSTILE = (
    "..", ".", " ", "\t", "\n", "../etc", "a/../b", "../../etc/passwd", "model/..", "/etc/passwd", "model/sub",
    "model/", " ..", ".. ", "%2e%2e", "%2e%2e%2f", "%252e%252e%252f", "..%5c", "..\\", "a\0b", "a\0.onnx", "~root",
    "$HOME", ";id", "$(id)", "`id`", "{0.__class__}", "%s%n", "x" * 129, "x" * 256, "x" * 10_000, "．．", "..\u2215",
    "\u202ename", "😀", "-rf", ".hidden", "model;v=1", "http:///?/../..", "http:///#/../..", "\x1b[31m", "😀" * 500,
    *CANARY,
)  # fmt: skip
"""List P; the longest name that a head has room for is ten thousand characters."""


def _reading(name: str) -> Iterator[Case]:
    """Routes that read."""
    at, shown = segment(name), short(name)
    for path in (f"/v1/activations/{at}", f"/v1/activations/{at}/curve", f"/v1/models/{at}", f"/v2/models/{at}",
                 f"/v2/models/{at}/ready", f"/v2/models/{at}/config", f"/v2/models/{at}/versions/1",
                 f"/v2/models/{at}/trace/setting", f"/v2/models/relu/versions/{at}", f"/v1/claims/{at}",
                 f"/v1/claims/{at}/figure", f"/web/{at}", f"/web/samples/{at}.jpg", f"/docs/{at}"):  # fmt: skip
        yield Case(f"P {shown} GET {path.replace(at, '{}')}", get(path), (404,))
    yield Case(f"P {shown} GET /v2/models/{{}}/stats", get(f"/v2/models/{at}/stats"), (400, 404))


def _running(name: str) -> Iterator[Case]:
    """Routes that run a model."""
    at, shown = segment(name), short(name)
    for path in (
        f"/v2/models/{at}/infer",
        f"/v2/models/{at}/versions/1/infer",
        f"/v2/models/cnn-relu/versions/{at}/infer",
    ):
        yield Case(f"P {shown} {path.replace(at, '{}')}", post(path, GOOD_INFER), (404,))
    for path in (f"/v1/models/{at}/predict", f"/v1/models/{at}/inspect"):
        yield Case(f"P {shown} {path.replace(at, '{}')}", post(path, HORSE, JPEG), (404,))
    yield Case(f"P {shown} /v1/activations/{{}}", post(f"/v1/activations/{at}", b'{"data": 1}'), (404,))
    for path in (f"/v1/models/cnn-relu~{at}/predict", f"/v1/models/cnn-relu/predict?activation={quote(name, safe='')}"):
        yield Case(f"P {shown} {path.replace(at, '{}')[:40]}", post(path, HORSE, JPEG), (404,))


def _controlling(name: str) -> Iterator[Case]:
    """Routes that load and unload, with the admin's key; a name with a slash leads to none.

    500 is the protocol's word for a load that failed.
    """
    at, shown = segment(name), short(name)
    legal = "legal " * (name in LEGAL)
    for what, statuses in {"load": (500,) if legal else (400,), "unload": (400, 404)}.items():
        path, told = f"/v2/repository/models/{at}/{what}", "no route to " * ("/" in name) + legal + what
        yield Case(f"P {told} {shown}", post(path, b"{}", JSON, ADMIN), (404,) if "/" in name else statuses)
    yield Case(f"P {shown} trace", post(f"/v2/models/{at}/trace/setting", b"{}", JSON, ADMIN), (404,))


def _as_they_are() -> Iterator[Case]:
    """Without any quoting, as far as that is a path: no server or proxy before us has cleaned it."""
    for name in HOSTILE:
        if name.isascii() and name.isprintable() and not set(name) & set(" ?#"):
            for path in (f"/v2/models/{name}", f"/v2/models/{name}/config", f"/v1/models/{name}", f"/web/{name}",
                         f"/docs/{name}"):  # fmt: skip
                yield Case(f"P {short(name)} raw {path.replace(name, '{}')}", get(path), (400, 404))
            slash = "/" in unquote(name)
            yield Case(f"P {'no route to ' * slash}load {short(name)} raw",
                       post(f"/v2/repository/models/{name}/load", b"{}", JSON, ADMIN),
                       (404, 405) if slash else (400,))  # fmt: skip


CASES = [
    *(case for name in (*HOSTILE, *LEGAL) for make in (_reading, _running, _controlling) for case in make(name)),
    *_as_they_are(),
    Case("P 64 kB", get(f"/v2/models/{'x' * 2**16}"), (404, 414, 431), may_be_cut=True),
]
