"""The service under Ray Serve, on a cluster of two nodes on this machine: `make ray`.

Ray and what it serves run in .venv-ray; the tests, and the plain service that is compared with, where tests always run.
"""

import gzip
import importlib.metadata
import json
import re
import secrets
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker

from loadtests import bodies
from loadtests.ledger import golden
from loadtests.ledger.load import Load
from loadtests.local import connections, processes
from service.settings import Settings
from tests.serving import DEADLINE_S, ROOT, environment, eventually, free_port, serving

FOLDER = ROOT / "deploy" / "ray"
CONFIGURATION = yaml.safe_load((FOLDER / "config.yaml").read_text())
DEFAULTS = Settings.model_construct()
PYTHON = ROOT / ".venv-ray" / "bin" / "python"
SCRIPT = PYTHON.with_name("serve")
with_ray = pytest.mark.skipif(not SCRIPT.exists(), reason="Ray is not installed: make ray")

RAY = {
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux it means that an address of the loopback is left as it is
}
TRIES = 6
"""Of a client: with its pauses, some three seconds."""
ENOUGH = 100
"""Answers before a node is lost, and after that."""

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Of all headers of this name."""
        return [value for known, value in self.headers if known.lower() == name]


def ask(address: str, method: str, path: str, body: bytes | None = None, headers: Headers | None = None) -> Answer:
    with closing(HTTPConnection(address, timeout=DEADLINE_S)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())


@dataclass(frozen=True)
class Cluster:
    """The ids of its two nodes are those of the start."""

    process: subprocess.Popen[str]
    port: int
    nodes: list[str]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def do(self, command: str) -> str:
        """Have it done; gives the id of the node that it was done to."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return str(told(self.process))

    def answered(self) -> Counter[str]:
        """The requests for inference that each node has answered, as its replica has counted them.

        A node whose replica does not answer is not in it, and none is while the proxy has lost its own node.
        """
        try:
            exposition = ask(self.address, "GET", "/metrics").body.decode()
        except (OSError, HTTPException):
            return Counter()
        counts = Counter(dict.fromkeys(re.findall(r'^actserve_workers\{node="(\w+)"', exposition, re.M), 0))
        for node, value in re.findall(
            r'^actserve_requests_total\{node="(\w+)".*/\{name\}.*\} (\S+)$', exposition, re.M
        ):
            counts[node] += int(float(value))
        return counts

    def wait(self, *nodes: str, answers: int = 0) -> None:
        """Until these nodes, and no others, have answered so many requests each."""

        def so() -> bool:
            counts = self.answered()
            return counts.keys() == set(nodes) and min(counts.values()) >= answers

        eventually(so, 3 * DEADLINE_S)


def told(process: subprocess.Popen[str]) -> object:
    """The next that it says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the cluster has ended; pytest's folder of this run has its cluster.log"
    return json.loads(line)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    log = tmp_path_factory.mktemp("ray") / "cluster.log"
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,  # sockets want a short path
        log.open("w") as messages,
        subprocess.Popen(
            [str(PYTHON), "-m", "tests.deploy.ray_cluster", str(port := free_port()), folder],
            cwd=ROOT,
            env=environment({"device": "cpu"}) | RAY | {"RAY_TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            nodes = told(process)
            assert isinstance(nodes, list)
            yield Cluster(process, port, nodes)
        finally:
            finish(process)


def finish(process: subprocess.Popen[str]) -> None:
    """It ends when nobody tells it anything any more."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(DEADLINE_S)
    finally:
        processes.end(process)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the service without Ray."""
    with serving(tmp_path_factory.mktemp("plain") / "server.log", workers="1", request_log="false") as (_, url):
        yield url.removeprefix("http://")


JSON = {"Content-Type": "application/json"}
RELU = json.dumps({"data": [-1.5, 2.5]}).encode()

ORDINARY = {
    f"{kind} {number}": (sent.method, sent.path, sent.body, sent.headers)
    for kind, requests in bodies.kinds().items()
    for number, sent in enumerate(requests)
}
"""What the load tests send: JSON and binary tensors, pictures, comparisons, pages."""
UNUSUAL: dict[str, tuple[str, str, bytes | None, Headers]] = {
    "compressed": ("POST", "/v1/activations/relu", gzip.compress(RELU), JSON | {"Content-Encoding": "gzip"}),
    "a query": ("POST", "/v1/models/cnn-relu/predict?activation=elu", bodies.HORSE.read_bytes(), JSON),
    "no JSON": ("POST", "/v1/activations/relu", b"{", JSON),
    "another shape": ("POST", "/v2/models/cnn-relu/infer", b'{"inputs": []}', JSON),
    "unknown model": ("POST", "/v2/models/nobody/infer", b'{"inputs": []}', JSON),
    "unknown route": ("GET", "/nowhere/at%20all", None, {}),
    "another method": ("DELETE", "/v1/activations/relu", None, {}),
    "another type": ("POST", "/v1/activations/relu", b"x", {"Content-Type": "text/plain"}),
    "too large": ("POST", "/v2/models/relu/infer", b"", {"Content-Length": str(DEFAULTS.max_body_bytes + 1)}),
    "head": ("HEAD", "/v2/health/ready", None, {}),
    "index": ("POST", "/v2/repository/index", b"{}", JSON),
    "configuration": ("GET", "/v2/models/cnn-tanh/config", None, {}),
    "control without a key": ("POST", "/v2/repository/models/cnn-relu/unload", b"{}", JSON),
}
OF_THE_SERVER = {"date", "server", "connection", "x-request-id"}
"""Headers that each server writes for itself."""
TIMES = re.compile(rb'"timing_ms":{[^}]*}|"compute_ms":[^,}]*')


def shown(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """What must be the same; how long something took is not."""
    headers = {name.lower(): value for name, value in answer.headers if name.lower() not in OF_THE_SERVER}
    if TIMES.search(answer.body):
        del headers["content-length"]
    return answer.status, headers, TIMES.sub(b"", answer.body)


@with_ray
@pytest.mark.parametrize("requests", [ORDINARY, UNUSUAL], ids=["ordinary", "unusual"])
def test_answers_are_those_of_the_plain_service(cluster: Cluster, plain: str, requests: dict[str, tuple]) -> None:
    other = {
        name: (ours, theirs)
        for name, request in requests.items()
        if (ours := shown(ask(plain, *request))) != (theirs := shown(ask(cluster.address, *request)))
    }
    assert other == {}


@with_ray
def test_an_answer_has_one_id_which_is_the_clients_where_it_sends_one(cluster: Cluster) -> None:
    request = ("POST", "/v1/activations/relu", RELU)
    given = ask(cluster.address, *request, JSON | {"X-Request-ID": "mine-1"})
    made = [ask(cluster.address, *request, JSON).values("x-request-id") for _ in range(2)]

    assert given.values("x-request-id") == ["mine-1"]
    assert [len(ids) for ids in made] == [1, 1]
    assert made[0] != made[1]


LISTENING, LOOPBACK = "0A", ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""Source: proc_pid_net(5); the address as the processor, which is of little end, keeps it."""
STRANGER = """
import sys, grpc
for port in sys.argv[1:]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary("/ray.serve.ASGIService/HandleRequest")(b"", timeout=60)
        except grpc.RpcError as error:
            print(error.code().name)
"""


@with_ray
def test_only_rays_own_door_to_each_replica_is_open_and_it_wants_the_token(cluster: Cluster) -> None:
    """Ray has a replica listen at all addresses for others of its replicas, and lets no setting change that."""
    sockets = {inode for pid, _ in processes.tree(cluster.process.pid) for inode in connections.sockets(pid)}
    lines = [
        line.split() for file in ("tcp", "tcp6") for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]
    ]
    addresses = [line[1].split(":") for line in lines if line[3] == LISTENING and line[9] in sockets]
    doors = [str(int(port, 16)) for address, port in addresses if address not in LOOPBACK]
    answers = subprocess.run([PYTHON, "-c", STRANGER, *doors], stdout=subprocess.PIPE, text=True, check=True)

    assert len(addresses) > 10
    assert len(doors) == len(cluster.nodes)
    assert answers.stdout.split() == ["UNAUTHENTICATED"] * len(doors)


@with_ray
def test_a_lost_node_costs_nothing_that_a_client_does_not_mend_by_asking_again(cluster: Cluster) -> None:
    """Both nodes answer; one goes under load, as if switched off; another one takes its place."""
    leaving = [replace(request, leaves=True) for request in golden.functions()[:4]]
    with Load([cluster.port], [*golden.mixed(), *leaving], tries=TRIES) as load:
        cluster.wait(*cluster.nodes, answers=ENOUGH)
        lost = cluster.do("lose")
        left = [node for node in cluster.nodes if node != lost]
        cluster.wait(*left)
        cluster.wait(*left, answers=cluster.answered()[left[0]] + ENOUGH)
        cluster.wait(*left, cluster.do("add"), answers=ENOUGH)
    ledger = load.ledger

    assert len(left) == 1
    assert ledger.left > 0
    assert ledger.given_up == 0
    assert ledger.wrong.total() == sum(count for status, count in ledger.answered.items() if status >= 500)


def test_the_configuration_is_in_accord_with_the_services_defaults() -> None:
    (application,) = CONFIGURATION["applications"]
    (deployment,) = application["deployments"]
    http, longest = CONFIGURATION["http_options"], DEFAULTS.deadline_seconds + DEFAULTS.max_run_seconds

    assert deployment["max_ongoing_requests"] >= DEFAULTS.max_requests_in_flight
    assert deployment["graceful_shutdown_timeout_s"] > longest
    assert http["request_timeout_s"] > longest
    assert http["keep_alive_timeout_s"] == DEFAULTS.keep_alive_timeout_seconds
    assert http["host"] == DEFAULTS.host


def test_the_configuration_names_what_the_adapter_makes() -> None:
    """Its Python is imported where Ray is installed, and read here."""
    (application,) = CONFIGURATION["applications"]
    module, name = application["import_path"].split(":")
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()

    assert re.search(
        rf"^{name} = serve\.deployment\(.*, name=\"{application['deployments'][0]['name']}\"\)", source, re.M
    )
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {
        "__init__.py", "app.py", "config.yaml", "metrics.py", "requirements.txt",
    }  # fmt: skip


@with_ray
def test_ray_is_installed_beside_the_locked_versions_and_changes_none() -> None:
    (packages,) = (ROOT / ".venv-ray").glob("lib/python*/site-packages")
    installed = {
        d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions(path=[str(packages)])
    }
    locked = re.findall(r"^([\w.-]+)==(\S+)( ; .*)?", (ROOT / "requirements" / "run.lock").read_text(), re.M)
    (wanted,) = (FOLDER / "requirements.txt").read_text().split()
    here = [(name, version) for name, version, marker in locked if not marker or applies(marker)]

    assert {name: installed.get(name) for name, _ in here} == dict(here)
    assert wanted == f"ray[serve]=={installed['ray']}"


def applies(marker: str) -> bool:
    return Marker(marker.removeprefix(" ; ").rstrip("\\ ")).evaluate()
