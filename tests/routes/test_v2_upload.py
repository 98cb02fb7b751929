"""A model sent along with a load: taken whole and tried, or nothing of it; off until it is asked for."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.engine.uploads import Uploads
from service.errors import StorageFull
from service.logs import LOGGER
from tests.engine.hostile import crashing, endless, large
from tests.engine.making import plain
from tests.routes.conftest import ADMIN, FILES, KEY, Running, application, write
from tests.routes.sending import answered, infer, refused, refused_safely, tensor

X = tensor(np.array([[1.0, 2.0, 3.0]]))
LIMIT = 256 * 2**10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("repository")
    write(made, {"grow/1": FILES["grow/1"]})
    return made


@pytest.fixture(scope="module")
def open_to_uploads(folder: Path) -> Iterator[Running]:
    settings = {"admin_key": KEY, "model_upload": True, "load_probe_seconds": 10, "load_probe_bytes": 2**29}
    limits = {"max_body_bytes": LIMIT, "reload_interval_seconds": 0}
    with application(repository=folder, **settings, **limits) as client:
        yield Running(client, folder, io.StringIO(), [])


def upload(running: Running, name: str, files: dict[str, bytes], config: str | None = "{}", **options: Any) -> Any:
    """As Triton's client sends it."""
    parameters = {f"file:{path}": base64.b64encode(content).decode() for path, content in files.items()}
    more = {} if config is None else {"config": config}
    return running.client.post(
        f"/v2/repository/models/{name}/load", json={"parameters": more | parameters}, **({"headers": ADMIN} | options)
    )


def y(running: Running, path: str) -> list[float]:
    data: list[float] = answered(infer(running.client, path, X))["outputs"][0]["data"]
    return data


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_new_model_and_then_a_new_version_are_served(open_to_uploads: Running) -> None:
    response = upload(open_to_uploads, "new", {"1/model.onnx": plain(1.0)}, '{"max_batch_size": 2}')
    assert (response.status_code, response.content) == (200, b"")
    assert y(open_to_uploads, "new") == [2.0, 3.0, 4.0]
    assert answered(open_to_uploads.client.get("/v2/models/new/config"))["max_batch_size"] == 2

    assert upload(open_to_uploads, "new", {"5/model.onnx": plain(2.0)}, None).status_code == 200
    assert y(open_to_uploads, "new") == [3.0, 4.0, 5.0]
    assert y(open_to_uploads, "new/versions/1") == [2.0, 3.0, 4.0]
    assert [path for path in listing(open_to_uploads.folder) if path.startswith(("new", "."))] == [
        "new", "new/1", "new/1/model.onnx", "new/5", "new/5/model.onnx", "new/model.toml",
    ]  # fmt: skip


def test_external_data_comes_along(open_to_uploads: Running) -> None:
    proto = onnx.load_from_string(plain())
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32(7.0), "c"))
    onnx.external_data_helper.set_external_data(proto.graph.initializer[0], location="weights")
    proto.graph.initializer[0].ClearField("raw_data")
    files = {"1/model.onnx": proto.SerializeToString(), "1/weights": np.float32(7.0).tobytes()}

    assert upload(open_to_uploads, "external", files).status_code == 200
    assert y(open_to_uploads, "external") == [8.0, 9.0, 10.0]


def test_a_version_that_is_there_is_served_on(open_to_uploads: Running) -> None:
    before = listing(open_to_uploads.folder)
    text = refused(upload(open_to_uploads, "grow", {"1/model.onnx": plain(9.0)}), 409)
    assert text == "model 'grow' has a version 1 already, which is not replaced: send another number"
    assert listing(open_to_uploads.folder) == before


HOSTILE = {
    "junk": (b"not a model", "Failed to load model because protobuf parsing failed."),
    "a crash": (crashing(), "the process that tried it was ended by SIGFPE"),
    "an endless loop": (endless(), "its trial took more than 10 s and was stopped"),
    "4 TiB": (large(2**40), "one run takes more memory than there is: "),
    "1 GiB": (large(2**28), "one run takes more memory than there is: "),
}


@pytest.mark.parametrize(("content", "reason"), HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("name", ["grow", "hostile"])
def test_a_file_that_does_harm_does_none_here(open_to_uploads: Running, name: str, content: bytes, reason: str) -> None:
    before = listing(open_to_uploads.folder)
    text = refused_safely(upload(open_to_uploads, name, {"2/model.onnx": content}), 500)
    assert text.startswith(f"failed to load {name!r}, version 2: {reason}")
    assert listing(open_to_uploads.folder) == before
    refused(infer(open_to_uploads.client, f"{name}/versions/2", X), 404)
    assert answered(infer(open_to_uploads.client, "grow", tensor(np.zeros(1))))["model_version"] == "1"


def test_a_larger_body_than_the_limit_is_not_read(open_to_uploads: Running) -> None:
    """The service's own limit holds for this route, and that of control bodies for the others."""
    refused(upload(open_to_uploads, "large", {"1/model.onnx": bytes(LIMIT)}), 413)
    assert upload(open_to_uploads, "large", {"1/model.onnx": bytes(LIMIT // 2)}).status_code == 500
    refused(open_to_uploads.client.post("/v2/repository/index", content=b" " * 100_000), 413)


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"X-API-Key": "wrong"}, 403)])
def test_the_admin_key_is_asked_for_first(open_to_uploads: Running, headers: dict[str, str], status: int) -> None:
    before = listing(open_to_uploads.folder)
    refused(upload(open_to_uploads, "other", {"1/model.onnx": plain()}, headers=headers), status)
    assert listing(open_to_uploads.folder) == before


def test_an_activations_name_is_taken(open_to_uploads: Running) -> None:
    assert "part of the service" in refused(upload(open_to_uploads, "relu", {"1/model.onnx": plain()}), 400)


def test_settings_that_do_not_fit_are_refused(open_to_uploads: Running) -> None:
    files = {"1/model.onnx": plain(), "model.toml": b"nonsense = 1"}
    assert refused(upload(open_to_uploads, "settings", files), 400).startswith("model.toml: unknown key 'nonsense'")
    assert refused(upload(open_to_uploads, "settings", {"1/model.onnx": plain()}, '{"max_batch_size": -1}'), 400)


def test_a_full_disk_has_a_status_of_its_own(running: Running) -> None:
    class Full(Uploads):
        def publish(self, _: object) -> None:
            raise StorageFull("the repository takes no more: No space left on device")

    running.use(uploads=Full(running.folder, lambda *_: None))
    text = refused(upload(running, "new", {"1/model.onnx": plain()}), 507)
    assert text == "the repository takes no more: No space left on device"


@pytest.mark.parametrize(("seconds", "tried"), [(30, True), (0, False)])
def test_a_model_that_is_new_in_the_folder_is_tried_unless_that_is_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seconds: int, tried: bool
) -> None:
    write(tmp_path, {"grow/1": FILES["grow/1"]})
    with application(
        repository=tmp_path, admin_key=KEY, load_probe_seconds=seconds, reload_interval_seconds=0
    ) as client:
        LOGGER.propagate = True
        write(tmp_path, {"new/1": plain()})
        with caplog.at_level("INFO"):
            assert client.post("/v2/repository/models/new/load", headers=ADMIN).status_code == 200
    assert ("model new version 1 is tried" in caplog.text) is tried
    assert "model grow version 1 is tried" not in caplog.text


def test_what_is_there_at_the_start_can_be_tried_too(tmp_path: Path) -> None:
    """A server on a folder that nobody vouches for outlives what lies there."""
    write(tmp_path, {"good/1": plain(), "hostile/1": crashing()})
    with application(repository=tmp_path, load_probe_at_start=True, reload_interval_seconds=0) as client:
        assert answered(infer(client, "good", X))["outputs"][0]["data"] == [1.0, 2.0, 3.0]
        assert "SIGFPE" in refused(infer(client, "hostile", X), 503)


def test_uploads_are_off_until_they_are_asked_for(running: Running) -> None:
    text = refused(upload(running, "new", {"1/model.onnx": plain()}), 403)
    assert text == "models come from the repository folder only: uploads are off (ACTSERVE_MODEL_UPLOAD)"
    assert not (running.folder / "new").exists()
    refused(running.client.post("/v2/repository/models/grow/load", content=b" " * 100_000, headers=ADMIN), 413)
