"""A version that is sent appears whole in the repository, or nothing of it does."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.engine import folder, uploads
from service.engine.uploads import Upload, Uploads
from service.errors import BadRequest, Conflict, LoadFailed, ModelUnavailable, ServiceError, StorageFull

FILES = {"model.onnx": b"model", "weights": b"data"}


def well(path: Path, version: int) -> str:
    assert (path / str(version) / "model.onnx").is_file()
    return "digest"


def unwell(path: Path, version: int) -> str:
    raise ModelUnavailable("it is not well")


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refusal(kind: type[ServiceError], call: Callable[[], None]) -> str:
    with pytest.raises(kind) as refused:
        call()
    assert type(refused.value) is kind
    return refused.value.text


def test_a_new_model_appears_with_its_settings(tmp_path: Path) -> None:
    Uploads(tmp_path, well).publish(Upload("m", 3, FILES, b"max_batch_size = 4"))
    assert tree(tmp_path) == {
        "m/3/model.onnx": b"model", "m/3/weights": b"data", "m/model.toml": b"max_batch_size = 4",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_others_may_read_what_has_appeared(tmp_path: Path) -> None:
    """As what an operator puts there: not for this user alone, as temporary folders are."""
    before = os.umask(0o022)
    try:
        Uploads(tmp_path, well).publish(Upload("m", 1, FILES))
    finally:
        os.umask(before)
    modes = [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "m", tmp_path / "m/1", tmp_path / "m/1/weights")]
    assert modes == ["0o755", "0o755", "0o644"]


def test_a_new_version_is_tried_with_the_settings_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "model.toml").write_text("max_batch_size = 2")
    tried = []

    def prove(path: Path, version: int) -> str:
        tried.append((path.name, version, (path / "model.toml").read_text()))
        return "digest"

    Uploads(tmp_path, prove).publish(Upload("m", 2, FILES))
    assert tried == [("m", 2, "max_batch_size = 2")]
    assert sorted(tree(tmp_path)) == ["m/2/model.onnx", "m/2/weights", "m/model.toml"]


def test_what_is_written_is_the_same_file_after_it_was_renamed(tmp_path: Path) -> None:
    """By which what came of its trial is found again."""
    seen = []

    def prove(path: Path, version: int) -> str:
        seen.append(folder.snapshot(path).versions[version])
        return "digest"

    Uploads(tmp_path, prove).publish(Upload("m", 1, FILES))
    assert seen == [folder.snapshot(tmp_path / "m").versions[1]]


def test_a_version_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    text = refusal(Conflict, lambda: Uploads(tmp_path, well).publish(Upload("m", 1, FILES)))
    assert text == "model 'm' has a version 1 already, which is not replaced: send another number"
    assert tree(tmp_path) == {}


def test_the_settings_of_a_model_that_is_there_are_not_changed(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    text = refusal(Conflict, lambda: Uploads(tmp_path, well).publish(Upload("m", 2, FILES, b"")))
    assert text == "model 'm' is there already, and an upload does not change its model.toml"


@pytest.mark.parametrize("new", [True, False], ids=["of a new model", "of a known one"])
def test_of_two_uploads_of_one_version_the_first_wins(tmp_path: Path, new: bool) -> None:
    """The second comes while the first is being tried, and is done before it."""
    if not new:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "model.toml").write_text("")
    second = Uploads(tmp_path, well)

    def prove(path: Path, version: int) -> str:
        second.publish(Upload("m", 1, {"model.onnx": b"second"}))
        return "digest"

    refusal(Conflict, lambda: Uploads(tmp_path, prove).publish(Upload("m", 1, FILES)))
    assert {name: content for name, content in tree(tmp_path).items() if "toml" not in name} == {
        "m/1/model.onnx": b"second"
    }


@pytest.mark.parametrize("config", [b"nonsense = 1", b"max_batch_size = -1", b"\xff", b"versions = [2]"])
def test_settings_that_do_not_fit_are_the_clients_fault(tmp_path: Path, config: bytes) -> None:
    text = refusal(BadRequest, lambda: Uploads(tmp_path, unwell).publish(Upload("m", 1, FILES, config)))
    assert text.startswith("model.toml")
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_would_not_be_served_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m" / "5").mkdir(parents=True)
    (tmp_path / "m" / "model.toml").write_text("versions = { latest = 1 }")
    text = refusal(BadRequest, lambda: Uploads(tmp_path, well).publish(Upload("m", 4, FILES)))
    assert text == "model.toml of model 'm' leaves version 4 out"
    Uploads(tmp_path, well).publish(Upload("m", 6, FILES))


def test_a_version_that_is_not_well_leaves_nothing(tmp_path: Path) -> None:
    assert refusal(ModelUnavailable, lambda: Uploads(tmp_path, unwell).publish(Upload("m", 1, FILES))) == (
        "it is not well"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, StorageFull, "the repository takes no more: No space left on device"),
        (errno.EDQUOT, StorageFull, "the repository takes no more: Disk quota exceeded"),
        (errno.EROFS, LoadFailed, "the repository cannot be written: Read-only file system"),
    ],
)
def test_a_disk_that_takes_nothing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[ServiceError], text: str
) -> None:
    def fails(_: int) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(uploads.os, "fsync", fails)
    assert refusal(kind, lambda: Uploads(tmp_path, well).publish(Upload("m", 1, FILES))) == text
    assert list(tmp_path.iterdir()) == []


def test_a_repository_that_is_not_there_is_told_without_its_path(tmp_path: Path) -> None:
    text = refusal(LoadFailed, lambda: Uploads(tmp_path / "none", well).publish(Upload("m", 1, FILES)))
    assert text == "the repository cannot be written: No such file or directory"


def test_a_file_in_the_place_of_a_model_stays(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("mine")
    text = refusal(LoadFailed, lambda: Uploads(tmp_path, well).publish(Upload("m", 1, FILES)))
    assert text == "the repository cannot be written: Not a directory"
    assert tree(tmp_path) == {"m": b"mine"}


def test_what_a_killed_process_has_left_is_deleted_once_it_is_old(tmp_path: Path) -> None:
    for name, age in (("old", 2 * uploads.MAX_AGE_S), ("young", 60)):
        left = tmp_path / f"{uploads.PREFIX}{name}" / "m" / "1"
        left.mkdir(parents=True)
        os.utime(left.parent.parent, (time.time() - age,) * 2)
    (tmp_path / "m").mkdir()
    os.utime(tmp_path / "m", (0, 0))
    Uploads(tmp_path, well).sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{uploads.PREFIX}young", "m"]


def test_what_lies_there_while_it_is_written_is_no_model(tmp_path: Path) -> None:
    def prove(path: Path, version: int) -> str:
        assert folder.models(tmp_path) == []
        return "digest"

    Uploads(tmp_path, prove).publish(Upload("m", 1, FILES))
    assert folder.models(tmp_path) == ["m"]
