"""Triton's perf_analyzer can measure the service.

The program is in an environment of its own: `make perf-analyzer` sets up `.venv-perf-analyzer`; Debian's package
libb64-0d is needed too. Without them the tests that run it are skipped, and those of what it reads remain.

Random tensors as JSON are not among them: perf_analyzer then writes NaN as a bare word, which is no JSON, and sends too
few numbers for models without a batch.
"""

import csv
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.serving import DEADLINE_S, ROOT, get, serving

PLACE = ROOT / ".venv-perf-analyzer"
PROGRAM = PLACE / "bin" / "perf_analyzer"
needs_program = pytest.mark.skipif(not PROGRAM.exists(), reason="perf_analyzer is not installed: make perf-analyzer")
MODELS = ["cnn-relu", "relu"]
# One short measurement; it is taken whatever its spread, for these are tests of a protocol, not of speed.
BRIEFLY = "--measurement-mode count_windows --measurement-request-count 20 --max-trials 3 --stability-percentage 999"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service with the models that it brings."""
    with serving(tmp_path_factory.mktemp("log") / "server.log") as (_, url):
        yield url


def perf_analyzer(*arguments: str) -> subprocess.CompletedProcess[str]:
    libraries = [str(path.parent) for path in PLACE.glob("lib/python3*/site-packages/nvidia/cuda_runtime/lib/*.so.*")]
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)}
    command = [str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=2 * DEADLINE_S, check=False)


@pytest.fixture(scope="module")
def starts() -> None:
    done = perf_analyzer("--version")
    if done.returncode == 127:
        pytest.skip(f"perf_analyzer does not start, perhaps without apt-get install libb64-0d: {done.stderr}")


@dataclass(frozen=True)
class Report:
    """What perf_analyzer says the server has counted, and its table's only row."""

    inferences: int
    executions: int
    requests: int
    row: dict[str, float]


def measure(url: str, folder: Path, arguments: str) -> Report:
    address = url.removeprefix("http://")
    table = folder / "table.csv"
    done = perf_analyzer("-i", "http", "-u", address, "-v", "-f", str(table), *BRIEFLY.split(), *arguments.split())
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(
        r"Server:\s+Inference count: (\d+)\s+Execution count: (\d+)\s+Successful request count: (\d+)", done.stdout
    )
    assert found is not None, done.stdout
    with table.open() as file:
        (row,) = csv.DictReader(file)
    return Report(int(found[1]), int(found[2]), int(found[3]), {name: float(value) for name, value in row.items()})


@needs_program
@pytest.mark.usefixtures("starts")
@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ("-m cnn-relu", 1),
        ("-m cnn-relu -b 4", 4),
        ("-m cnn-relu --async --concurrency-range 2", 1),
        ("-m cnn-relu --input-tensor-format json --output-tensor-format json --input-data zero", 1),
        ("-m relu --shape x:1,8", 1),
    ],
    ids=["binary", "batch", "asynchronous", "json", "activation"],
)
def test_it_measures_a_model_and_reads_the_servers_counts(url: str, tmp_path: Path, arguments: str, rows: int) -> None:
    report = measure(url, tmp_path, arguments)

    assert report.requests >= 20
    assert report.inferences == rows * report.requests
    assert report.executions == report.requests
    assert report.row["Inferences/Second"] > 0
    assert report.row["Server Compute Infer"] > 0


@needs_program
@pytest.mark.usefixtures("starts")
def test_it_tells_our_error(url: str) -> None:
    done = perf_analyzer("-i", "http", "-u", url.removeprefix("http://"), "-m", "nothing")

    assert done.returncode != 0
    assert "Request for unknown model: 'nothing' is not found" in done.stderr


# What it reads, by the source of Triton's perf_analyzer: `ModelParser::InitTriton` in src/model_parser.cc, and
# `TritonClientBackend::ParseStatistics` in src/client_backend/triton/triton_client_backend.cc. A field that is missing
# or of another type ends the program (rapidjson's assertions).


def fetch(url: str) -> Any:
    return get(url)


@pytest.mark.parametrize("model", MODELS)
def test_metadata_has_what_its_model_parser_reads(url: str, model: str) -> None:
    metadata = fetch(f"{url}/v2/models/{model}")

    assert metadata["name"] == model
    assert metadata["inputs"]
    for port in metadata["inputs"] + metadata["outputs"]:
        assert {name: type(value) for name, value in port.items()} == {"name": str, "datatype": str, "shape": list}
        assert all(type(size) is int for size in port["shape"])


@pytest.mark.parametrize("model", MODELS)
def test_the_configuration_has_what_its_model_parser_reads(url: str, model: str) -> None:
    """`optional` and `is_shape_tensor` of each port, the batch, the schedulers, the transaction policy, the cache."""
    config, metadata = fetch(f"{url}/v2/models/{model}/config"), fetch(f"{url}/v2/models/{model}")

    assert type(config["max_batch_size"]) is int
    assert config["model_transaction_policy"]["decoupled"] is False
    assert config["response_cache"]["enable"] is False
    assert config["platform"] != "ensemble"
    assert not {"sequence_batching", "ensemble_scheduling"} & set(config)
    assert isinstance(config.get("dynamic_batching", {}), dict)
    for configured, described in (("input", "inputs"), ("output", "outputs")):
        assert [port["name"] for port in config[configured]] == [port["name"] for port in metadata[described]]
        assert all(port["is_shape_tensor"] is False for port in config[configured])
    assert all(port["optional"] is False for port in config["input"])


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_is_the_first_axis_of_the_metadatas_shape_only(url: str, model: str) -> None:
    """The parser drops that axis where `max_batch_size` is above 0."""
    config, metadata = fetch(f"{url}/v2/models/{model}/config"), fetch(f"{url}/v2/models/{model}")
    dropped = 1 if config["max_batch_size"] > 0 else 0

    assert config["input"][0]["dims"] == metadata["inputs"][0]["shape"][dropped:]


@pytest.mark.parametrize("model", MODELS)
def test_statistics_have_what_it_reads_of_them(url: str, model: str) -> None:
    (statistics,) = fetch(f"{url}/v2/models/{model}/stats")["model_stats"]
    stages = ["success", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"]

    assert (statistics["name"], statistics["version"]) == (model, "1")
    counts = [statistics["inference_count"], statistics["execution_count"]]
    counts += [statistics["inference_stats"][stage][key] for stage in stages for key in ("count", "ns")]
    assert all(type(count) is int and count >= 0 for count in counts)


def test_the_server_lists_the_statistics_that_it_measures_by(url: str) -> None:
    """Without that extension it reports no server-side times."""
    assert "statistics" in fetch(f"{url}/v2")["extensions"]
