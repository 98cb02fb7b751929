"""The whole application as on a GPU: all but the GPU, whose memory is the host's and whose sessions are the CPU's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from service import app
from service.app import create_app
from service.engine.gpu.host import HostMemory
from service.engine.gpu.memory import CudaMemory
from service.engine.runtime.device import CPU, CudaOptions, Device
from service.settings import Settings
from tests.engine.making import plain, put
from tests.routes.sending import JPEG, answered, infer, send, tensor


@dataclass(frozen=True, slots=True)
class OnHost(Device):
    """A GPU as far as the service is concerned."""

    @property
    def provider(self) -> str:
        return CPU

    def providers(self, *, graphs: bool = False) -> list[str | tuple[str, dict[str, str]]]:
        return [CPU]


@contextmanager
def as_on_gpu(settings: Settings, memory: HostMemory | None) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            app, "detect", lambda wanted, **_: OnHost("cuda", wanted, None, CudaOptions(tf32=True, runs="bound"))
        )
        patched.setattr(CudaMemory, "load", lambda: memory)
        small = {"device": "auto", "max_batch_size": 4}  # every size is tried
        with TestClient(create_app(settings.model_copy(update=small))) as client:
            yield client


@pytest.fixture(scope="module")
def memory() -> HostMemory:
    return HostMemory()


@pytest.fixture(scope="module")
def gpu(memory: HostMemory, settings: Settings) -> Iterator[TestClient]:
    with as_on_gpu(settings, memory) as client:
        yield client


def outputs(client: TestClient, model: str, name: str, x: np.ndarray) -> dict[str, np.ndarray]:
    found = answered(infer(client, model, tensor(x, name=name)))["outputs"]
    return {output["name"]: np.reshape(output["data"], output["shape"]) for output in found}


def logits(client: TestClient, images: np.ndarray) -> np.ndarray:
    return outputs(client, "cnn-relu", "image", images)["logits"]


def test_it_answers_as_on_a_cpu(gpu: TestClient, client: TestClient, horse: bytes) -> None:
    found, wanted = (answered(send(c, "/v1/models/cnn-relu/predict", horse, JPEG)) for c in (gpu, client))
    np.testing.assert_allclose(
        found["predictions"][0]["probabilities"], wanted["predictions"][0]["probabilities"], atol=1e-6
    )


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_any_number_of_rows_gives_as_many_answers(
    gpu: TestClient, client: TestClient, memory: HostMemory, rows: int
) -> None:
    images = np.random.default_rng(rows).standard_normal((rows, 3, 32, 32)).astype(np.float32)
    memory.copies.clear()
    found, wanted = (logits(c, images) for c in (gpu, client))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert found.shape == (rows, 10)


def test_the_device_route_says_how_each_size_is_run(gpu: TestClient) -> None:
    found = answered(gpu.get("/v1/device"))
    assert (found["device"], found["wanted"], found["reason"]) == ("cuda", "auto", None)
    assert found["options"] == {"tf32": True, "memory_bytes": 0, "runs": "bound", "strict": False}
    (relu,) = (model for model in found["models"] if model["model"] == "cnn-relu")
    assert relu["precision"] == "float32"
    assert [int(rows) for rows in relu["runs"]] == [1, 2, 4]
    assert set(relu["runs"].values()) == {"bound"}


def test_readiness_says_which_device(gpu: TestClient) -> None:
    assert gpu.get("/v2/health/ready").json() == {"live": True, "ready": True, "device": "cuda", "reason": None}


def test_a_comparison_sends_its_picture_to_the_gpu_once(gpu: TestClient, memory: HostMemory, horse: bytes) -> None:
    memory.copies.clear()
    count = len(answered(send(gpu, "/v1/compare/models", horse, JPEG))["results"])
    sent = [what for what, size in memory.copies if size == 3 * 32 * 32 * 4]
    assert (sent.count("to device"), sent.count("within")) == (1, count)


def test_the_metrics_tell_how_long_the_start_took(gpu: TestClient) -> None:
    families = {family.name: family for family in text_string_to_metric_families(gpu.get("/metrics").text)}
    assert families["actserve_start_seconds"].samples[0].value > 0
    (where,) = families["actserve_device"].samples
    assert (where.labels["wanted"], where.labels["device"]) == ("auto", "cuda")


def test_without_nvidias_library_runs_go_through_ordinary_memory(settings: Settings, tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(add=1.0))
    with as_on_gpu(settings.model_copy(update={"repository": tmp_path}), None) as client:
        assert outputs(client, "m", "x", np.zeros((2, 3)))["y"].tolist() == [[1, 1, 1]] * 2
        assert client.get("/v1/device").json()["models"][0]["runs"] is None


def test_models_whose_rows_have_no_size_are_run_all_the_same(settings: Settings, tmp_path: Path) -> None:
    put(tmp_path, "any", "1", plain(add=1.0, shape=("N", "M")))
    with as_on_gpu(settings.model_copy(update={"repository": tmp_path}), HostMemory()) as client:
        assert outputs(client, "any", "x", np.zeros((2, 2)))["y"].tolist() == [[1, 1], [1, 1]]
        assert client.get("/v1/device").json()["models"][0]["runs"] is None
