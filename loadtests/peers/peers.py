"""The peers: what each is started with. Of a peer's documented configurations the fastest is taken, by measuring."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from loadtests.local.servers import ROOT, Command, free_port

HERE = Path(__file__).parent
MAX_BATCH = 64
"""Rows of one run in Triton: more than there are connections."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a peer is started with.

    Args:
        environment: folder of its Python environment.
        scratch: an empty folder for its files.
        models: ONNX files by the name they are served under.
    """

    environment: Path
    scratch: Path
    port: int
    workers: int
    models: Mapping[str, Path]

    @property
    def python(self) -> str:
        return str(self.environment / "bin" / "python")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server.

    Args:
        name: as people write it.
        package: the distribution that it comes from; its folder here has the requirements.
        configurations: each a way to serve that its documentation recommends.
        command: how it is started, in one of the configurations.
    """

    name: str
    key: str
    package: str
    configurations: tuple[str, ...]
    command: Callable[[Start, str], Command]

    @property
    def requirements(self) -> Path:
        return HERE / self.key / "requirements.txt"


def _triton(start: Start, configuration: str) -> Command:
    """Two instances of each model with one thread each, and the HTTP server's own defaults."""
    (packages,) = (path.parent for path in start.environment.glob("lib/python*/site-packages/pytriton"))
    server = packages / "pytriton" / "tritonserver"
    python = start.scratch / "backends" / "python"
    shutil.copytree(server / "backends" / "python", python)
    stubs = server / "python_backend_stubs" / packages.parent.name.removeprefix("python")
    shutil.copy(stubs / "triton_python_backend_stub", python)
    for name, model in start.models.items():
        _triton_model(start.scratch / "models" / name, model, start.workers, configuration == "dynamic batching")
    argv = [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={start.scratch / 'models'}",
        f"--backend-directory={python.parent}",
        "--http-address=127.0.0.1",
        f"--http-port={start.port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]
    environment = {
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "PYTHONPATH": f"{packages}:{ROOT}",
        "PATH": f"{start.environment / 'bin'}:/usr/bin:/bin",
    }
    return Command(argv, environment)


def _triton_model(folder: Path, model: Path, instances: int, batching: bool) -> None:
    """Triton's layout; a model batches if only its first axis is free."""
    version = folder / "1"
    version.mkdir(parents=True)
    shutil.copy(model, version / "model.onnx")
    shutil.copy(HERE / "triton" / "model.py", version)
    graph = onnx.load(model, load_external_data=False).graph
    (folder / "input").write_text(graph.input[0].name)
    batches = all(dimension.HasField("dim_value") for dimension in graph.input[0].type.tensor_type.shape.dim[1:])
    lines = [
        f'backend: "python"\nmax_batch_size: {MAX_BATCH if batches else 0}',
        f"input [{_triton_port(graph.input[0], batches)}]",
        f"output [{', '.join(_triton_port(port, batches) for port in graph.output)}]",
        f"instance_group [{{count: {instances} kind: KIND_CPU}}]",
        "dynamic_batching {}" if batching and batches else "",
    ]
    (folder / "config.pbtxt").write_text("\n".join(lines))


def _triton_port(port: onnx.ValueInfoProto, batches: bool) -> str:
    dimensions = port.type.tensor_type.shape.dim[1 if batches else 0 :]
    sizes = [str(dimension.dim_value) if dimension.HasField("dim_value") else "-1" for dimension in dimensions]
    return f'{{name: "{port.name}" data_type: TYPE_FP32 dims: [{", ".join(sizes)}]}}'


def _mlserver(start: Start, configuration: str) -> Command:
    """`parallel_workers` 0 runs the model in the process that answers, for what is too light to be handed over."""
    settings = {
        "host": "127.0.0.1",
        "http_port": start.port,
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0 if configuration == "in the process" else start.workers,
        "debug": False,
    }
    model = {
        "name": "cnn",
        "implementation": "loadtests.peers.mlserver.runtime.OnnxModel",
        "parameters": {"uri": str(start.models["cnn"])},
    }
    (start.scratch / "settings.json").write_text(json.dumps(settings))
    (start.scratch / "model-settings.json").write_text(json.dumps(model))
    return Command([str(start.environment / "bin" / "mlserver"), "start", str(start.scratch)])


def _litserve(start: Start, configuration: str) -> Command:
    arguments = [str(start.models["cnn"]), str(start.port), str(start.workers), configuration]
    return Command([start.python, "-m", "loadtests.peers.litserve.serve", *arguments])


def _bentoml(start: Start, configuration: str) -> Command:
    environment = {
        "MODEL": str(start.models["cnn"]),
        "WORKERS": str(start.workers),
        "CONFIGURATION": configuration,
        "BENTOML_HOME": str(start.scratch),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    argv = [start.python, "-m", "bentoml", "serve", "loadtests.peers.bentoml.serve:Cnn"]
    return Command([*argv, "--host", "127.0.0.1", "--port", str(start.port), "--quiet"], environment)


def _ray(start: Start, configuration: str) -> Command:
    """The proxy is a process in Python; HAProxy takes its place where that is asked for."""
    environment = {"RAY_USAGE_STATS_ENABLED": "0"}
    if configuration != "defaults":
        environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"
    if "HAProxy" in configuration:
        environment["RAY_SERVE_ENABLE_HA_PROXY"] = "1"
        files = {"CONFIG_FILE_LOC": "haproxy.cfg", "SOCKET_PATH": "socket", "SERVER_STATE_FILE": "state"}
        environment |= {f"RAY_SERVE_HAPROXY_{name}": str(start.scratch / file) for name, file in files.items()}
        environment["RAY_SERVE_HAPROXY_SERVER_STATE_BASE"] = str(start.scratch)
    arguments = [str(start.models["cnn"]), str(start.port), str(start.workers), str(start.scratch / "ray")]
    return Command([start.python, "-m", "loadtests.peers.ray.serve", *arguments], environment)


TRITON = Peer("Triton", "triton", "nvidia-pytriton", ("instances", "dynamic batching"), _triton)

IN_PYTHON = (
    Peer("MLServer", "mlserver", "mlserver", ("worker processes", "in the process"), _mlserver),
    Peer("LitServe", "litserve", "litserve", ("fast queue", "queue", "fast queue, batches"), _litserve),
    Peer("BentoML", "bentoml", "bentoml", ("in threads", "in the event loop"), _bentoml),
    Peer("Ray Serve", "ray", "ray", ("throughput optimized, HAProxy", "throughput optimized", "defaults"), _ray),
)
