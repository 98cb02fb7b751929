"""A model's files replaced, cut short, spoilt and deleted while it serves.

Two models under load: `victim`, whose files are touched, and `other`, whose are not. Victim must answer as one of the
versions that it has had, until it is deleted; other must not notice anything.
"""

import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from loadtests import answers
from loadtests.answers import Answer, Check
from loadtests.chaos.experiment import Options, Result, all_right, none_lost, told
from loadtests.chaos.replica import Replica, after
from loadtests.ledger.golden import HOST, Golden
from loadtests.ledger.ledger import Ledger
from loadtests.ledger.load import Load
from loadtests.ledger.wire import Headers
from loadtests.local.http import Request, as_http
from loadtests.local.servers import ROOT
from loadtests.peers import bodies
from loadtests.peers.served import Model
from loadtests.verdict import Line

PACKAGED = ROOT / "models" / "repository"
OLD, NEW, OTHER = "cnn-relu", "cnn-tanh", "cnn-elu"
"""Packaged models whose files are used."""
LOOK_S = 0.2
"""Between two looks of the service at its repository."""
NOTICED_S = 15.0
"""For a change to be taken: two looks, a load, and a machine that is busy."""
SEED = 3
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Setup:
    replica: Replica
    ledger: Ledger
    victim: Path
    asked: Golden
    """What the load sends to the victim."""

    def state(self, version: int) -> tuple[str, str]:
        """As the index has it: state and reason; empty where the version is not listed."""
        request = Request("/v2/repository/index", {"Content-Type": "application/json"}, b"{}")
        _, _, body = self.replica.server.ask(request)
        for entry in orjson.loads(body):
            if entry["name"] == "victim" and entry.get("version") == str(version):
                return entry["state"], entry.get("reason", "")
        return "", ""

    def answers_as(self, *models: str) -> bool:
        golden = asked("victim", *models)
        status, headers, body = self.replica.server.ask(_request("victim"))
        return golden.fault(Answer(status, Headers(headers), body)) is None


def replaced(options: Options) -> Result:
    """A new version renamed in, then the loaded file overwritten in place with another model's."""
    with _setup(options, OLD, NEW) as setup:
        put(setup.victim / "2", content(NEW))
        taken = after(NOTICED_S, lambda: setup.state(2)[0] == "READY")
        time.sleep(options.seconds)
        switched = setup.answers_as(NEW)
        (setup.victim / "2" / "model.onnx").write_bytes(content(OLD))
        overwritten = after(NOTICED_S, lambda: setup.answers_as(OLD))
        time.sleep(options.seconds)
    return _result(
        setup,
        Line(taken is not None and switched, "the new version is taken, and answers"),
        Line(overwritten is not None, "the file written over it is taken too"),
    )


def truncated(options: Options) -> Result:
    """A new version that was half copied, then the loaded file cut short in place."""
    with _setup(options, OLD) as setup:
        half = content(NEW)[: len(content(NEW)) // 2]
        first = _broken(setup, half)
        with (setup.victim / "1" / "model.onnx").open("r+b") as file:
            file.truncate(1000)
        time.sleep(max(options.seconds, 10 * LOOK_S))
        serves = setup.answers_as(OLD)
    return _result(setup, first, Line(serves, "the loaded version whose file was cut short is served on"))


def corrupted(options: Options) -> Result:
    """New versions that are noise, a pointer in place of the file, empty, or spoilt in the middle of their graph."""
    goals = []
    with _setup(options, OLD) as setup:
        for what, spoilt in spoilings().items():
            goals.append(_broken(setup, spoilt, what))
            shutil.rmtree(setup.victim / "2")
            after(NOTICED_S, lambda: setup.state(2)[0] == "")
        time.sleep(options.seconds)
    return _result(setup, *goals)


def deleted(options: Options) -> Result:
    """The newest version's folder, then the whole model: 404 from then on, and nothing else."""
    with _setup(options, OLD, NEW, versions=2) as setup:
        shutil.rmtree(setup.victim / "2")
        back = after(NOTICED_S, lambda: setup.answers_as(OLD))
        time.sleep(options.seconds)
        setup.asked.also = (404,)
        shutil.rmtree(setup.victim)
        gone = after(NOTICED_S, lambda: setup.replica.get("/v2/models/victim")[0] == 404)
        time.sleep(options.seconds)
    return _result(
        setup,
        Line(back is not None, "without its newest version the model answers as the one before"),
        Line(gone is not None, "the deleted model is unknown"),
    )


def spoilings() -> Mapping[str, bytes]:
    """Contents of files that are no model."""
    noise = random.Random(SEED).randbytes(100_000)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 904969\n"
    graph = bytearray(content(NEW))
    graph[:200] = noise[:200]
    return {"noise": noise, "a pointer": pointer, "an empty file": b"", "a spoilt graph": bytes(graph)}


def content(model: str) -> bytes:
    return (PACKAGED / model / "1" / "model.onnx").read_bytes()


def put(version: Path, model: bytes) -> None:
    """As a deployment should: written elsewhere on the file system, then renamed in."""
    made = version.parent.parent / f".made-{version.name}"
    made.mkdir()
    (made / "model.onnx").write_bytes(model)
    version.parent.mkdir(exist_ok=True)
    made.rename(version)


def asked(name: str, *models: str) -> Golden:
    """Right is what any of these packaged models answers."""
    return Golden(name, as_http(HOST, _request(name)), _either(models))


@contextmanager
def _setup(options: Options, *models: str, versions: int = 1) -> Iterator[Setup]:
    """A service of two models under load; what it may answer for the victim is one of these models' answers."""
    repository = options.folder / "repository"
    repository.mkdir()
    put(repository / "other" / "1", content(OTHER))
    for number, model in enumerate(models[:versions], start=1):
        put(repository / "victim" / str(number), content(model))
    settings: dict[str, object] = {"repository": repository, "reload_interval_seconds": LOOK_S, "workers": 1}
    victim = asked("victim", *models)
    with (
        Replica(options.folder, settings) as replica,
        Load([replica.port], [victim, asked("other", OTHER)]) as load,
    ):
        time.sleep(options.seconds)
        yield Setup(replica, load.ledger, repository / "victim", victim)


def _broken(setup: Setup, spoilt: bytes, what: str = "half of a file") -> Line:
    """Put it in as version 2: it must be listed with a reason, and the version before serve on."""
    put(setup.victim / "2", spoilt)
    told_s = after(NOTICED_S, lambda: setup.state(2)[0] == "UNAVAILABLE")
    reason = setup.state(2)[1]
    kept = told_s is not None and bool(reason) and setup.answers_as(OLD)
    return Line(kept, f"{what} as version 2 is not served, version 1 is; the index says {reason[:120]!r}")


def _result(setup: Setup, *goals: Line) -> Result:
    return told(setup.ledger, [none_lost(setup.ledger), all_right(setup.ledger), *goals], [])


def _rows() -> NDArray[np.float32]:
    return np.random.default_rng(SEED).standard_normal((2, 3, 32, 32), np.float32)


def _request(model: str) -> Request:
    return bodies.binary(model, "image", _rows())


def _either(models: Sequence[str]) -> Check:
    """The answer is that of one of these models, for all its rows and outputs."""
    right = [Model(str(PACKAGED / name / "1" / "model.onnx")).run(_rows()) for name in models]

    def check(answer: Answer) -> None:
        got = bodies.outputs(dict(answer.headers), answer.body)
        answers.require(any(_near(got, outputs) for outputs in right), "no version's answer")

    return check


def _near(got: Mapping[str, NDArray[np.generic]], right: Mapping[str, NDArray[np.float32]]) -> bool:
    return got.keys() == right.keys() and all(
        got[name].shape == array.shape and np.allclose(got[name], array, rtol=TOLERANCE, atol=TOLERANCE)
        for name, array in right.items()
    )
