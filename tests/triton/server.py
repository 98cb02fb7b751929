"""A real Triton on this machine's CPU, its models, and what it answers.

The wheel `nvidia-pytriton` carries Triton's server and the backend for models in Python. It wants another NumPy than
this project, so it has an environment of its own, which `make triton` sets up.
"""

import gzip
import http.client
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.conformance import models
from tests.serving import ROOT, end, free_port, wait_until_it_answers
from tests.triton.cases import CASES, Case

MAX_BATCH_SIZE = 8

ECHOED = sorted(models.ELEMENTS.keys() - {"BF16"})
"""Triton's Python backend hands out no bfloat16."""

PORTS = {f"echo_{name.lower()}": (["x"], ["y"], name, -1) for name in ECHOED} | {
    "labelled": (["x"], ["y"], "FP32", 4),
    "add_sub": (["a", "b"], ["total", "difference"], "INT32", 16),
}
"""By model: inputs, outputs, datatype, width; all of them batch."""

Answer: TypeAlias = Mapping[str, str | int]
"""`status` (0: the server broke off), `head` (the JSON), `tail` (the bytes behind it as hex; absent without a length
header), `encoding`."""


def site_packages() -> Path | None:
    """Where Triton is installed; None if it is not."""
    found = sorted((ROOT / ".venv-triton").glob("lib/python*/site-packages/pytriton/tritonserver"))
    return found[0].parent.parent if found else None


@contextmanager
def real_triton(folder: Path) -> Iterator[str]:
    """Start it with the models, in a folder of its own; gives host:port."""
    packages, port = site_packages(), free_port()
    assert packages is not None, "Triton is not installed: make triton"
    _write_models(folder / "models")
    _prepare_backend(folder / "backends", packages)
    command = [
        str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={folder / 'models'}",
        "--model-control-mode=explicit",
        "--load-model=*",
        f"--backend-directory={folder / 'backends'}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "PYTHONPATH": str(packages),
        "PATH": f"{packages.parents[2] / 'bin'}:{os.environ['PATH']}",
    }
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            wait_until_it_answers(process, f"http://127.0.0.1:{port}")
            yield f"127.0.0.1:{port}"
        finally:
            end(process)


def ask_all(address: str) -> dict[str, Answer]:
    """Send every case, in order: some change what later ones find."""
    return {name: _ask(address, case) for name, case in CASES.items()}


def _ask(address: str, case: Case) -> Answer:
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request(case.method, case.path, case.body or None, case.headers)
        try:
            response = connection.getresponse()
        except http.client.RemoteDisconnected:
            return {"status": 0, "head": ""}
        body = response.read()
    encoding, length = (response.getheader(n) for n in ("Content-Encoding", "Inference-Header-Content-Length"))
    if encoding is not None:
        body = gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body)
    head = body if length is None else body[: int(length)]
    answer: dict[str, str | int] = {"status": response.status, "head": head.decode()}
    if length is not None:
        answer["tail"] = body[int(length) :].hex()
    if encoding is not None:
        answer["encoding"] = encoding
    return answer


def _write_models(folder: Path) -> None:
    """Triton's layout and configuration."""
    for name, (inputs, outputs, datatype, width) in PORTS.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        shutil.copy(Path(__file__).parent / "backend.py", version / "model.py")
        (folder / name / "labels.txt").write_text("\n".join(models.LABELS))
        labels = 'label_filename: "labels.txt"' if name == "labelled" else ""
        lines = [
            f'name: "{name}"\nbackend: "python"\nmax_batch_size: {MAX_BATCH_SIZE}',
            _side("input", inputs, datatype, width),
            _side("output", outputs, datatype, width, labels),
            "instance_group [{kind: KIND_CPU}]",
        ]
        (folder / name / "config.pbtxt").write_text("\n".join(lines))


def _side(label: str, names: list[str], datatype: str, width: int, labels: str = "") -> str:
    kind = "STRING" if datatype == "BYTES" else datatype
    ports = (f'{{name: "{n}" data_type: TYPE_{kind} dims: [{width}] {labels}}}' for n in names)
    return f"{label} [{', '.join(ports)}]"


def _prepare_backend(folder: Path, packages: Path) -> None:
    """The Python backend, with the stub for the interpreter that the wheel is installed under."""
    server = packages / "pytriton" / "tritonserver"
    shutil.copytree(server / "backends" / "python", folder / "python")
    version = packages.parent.name.removeprefix("python")
    shutil.copy(server / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")
