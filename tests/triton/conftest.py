"""A real Triton beside the service, both with the same models.

The wheel `nvidia-pytriton` carries Triton's server. It wants another NumPy than this project, so it has an
environment of its own: `make triton` sets up `.venv-triton`. Without it these tests are skipped.
"""

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import models
from tests.serving import DEADLINE_S, ROOT, free_port, serving

MAX_BATCH_SIZE = 8
TYPES = {"FP32": "TYPE_FP32", "INT64": "TYPE_INT64", "BOOL": "TYPE_BOOL", "BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8"}
PORTS = {f"echo_{name.lower()}": (["x"], ["y"], name, -1) for name in TYPES} | {
    "labelled": (["x"], ["y"], "FP32", 4),
    "add_sub": (["a", "b"], ["total", "difference"], "INT32", 16),
}
TYPES |= {"INT32": "TYPE_INT32"}


def site_packages() -> Path | None:
    found = sorted((ROOT / ".venv-triton").glob("lib/python*/site-packages/pytriton/tritonserver"))
    return found[0].parent.parent if found else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if site_packages() is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="Triton is not installed: make triton"))


def side(label: str, names: list[str], datatype: str, width: int, labels: str = "") -> str:
    ports = (f'{{name: "{n}" data_type: {TYPES[datatype]} dims: [{width}] {labels}}}' for n in names)
    return f"{label} [{', '.join(ports)}]"


def write_models(folder: Path) -> None:
    """Triton's layout and configuration of the suite's models."""
    for name, (inputs, outputs, datatype, width) in PORTS.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        shutil.copy(Path(__file__).parent / "backend.py", version / "model.py")
        labels = 'label_filename: "labels.txt"' if name == "labelled" else ""
        (folder / name / "labels.txt").write_text("\n".join(models.LABELS))
        lines = [
            f'name: "{name}"\nbackend: "python"\nmax_batch_size: {MAX_BATCH_SIZE}',
            side("input", inputs, datatype, width),
            side("output", outputs, datatype, width, labels),
            "instance_group [{kind: KIND_CPU}]",
        ]
        (folder / name / "config.pbtxt").write_text("\n".join(lines))


def prepare_backend(folder: Path, packages: Path) -> None:
    """The Python backend, with the stub for the interpreter that the wheel is installed under."""
    server = packages / "pytriton" / "tritonserver"
    shutil.copytree(server / "backends" / "python", folder / "python")
    version = packages.parent.name.removeprefix("python")
    shutil.copy(server / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")


@pytest.fixture(scope="session")
def triton_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    packages = site_packages()
    assert packages is not None
    folder, port = tmp_path_factory.mktemp("triton"), free_port()
    write_models(folder / "models")
    prepare_backend(folder / "backends", packages)
    command = [
        str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={folder / 'models'}",
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
            wait(process, f"http://127.0.0.1:{port}/v2/health/ready", folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=DEADLINE_S).close()
        except urllib.error.URLError:
            time.sleep(0.1)  # between two looks; there is no event to wait for
        else:
            return
    pytest.fail(f"Triton does not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def our_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    repository = tmp_path_factory.mktemp("repository")
    models.write(repository)
    for name in PORTS:
        (repository / name / "model.toml").write_text(f"max_batch_size = {MAX_BATCH_SIZE}\n")
    with serving(tmp_path_factory.mktemp("log") / "server.log", repository=str(repository)) as (_, url):
        yield url.removeprefix("http://")
