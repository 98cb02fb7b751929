"""A folder of models is served as far as it can be, and the rest is listed with the reason; changes harm no request."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from service.engine.entry import IndexEntry
from service.engine.model import Model
from service.engine.overrides import Overrides
from service.engine.repository import Repository
from service.errors import ModelUnavailable, NotFound
from service.workers.workers import Alone
from tests.engine.making import answer, load, ones, plain, put


def test_the_highest_version_answers_and_each_can_be_asked(tmp_path: Path) -> None:
    for version, add in (("1", 1.0), ("2", 2.0), ("10", 10.0)):
        put(tmp_path, "m", version, plain(add))
    found = load(tmp_path)
    x = np.zeros((1, 3), np.float32)

    assert found.find("m").version == 10
    assert [found.find("m", v).run({"x": x})["y"][0, 0] for v in ("1", "2", "10")] == [1, 2, 10]


@pytest.mark.parametrize("version", ["0", "01", "-1", "latest", "1e3", "9999", "١", "", "1.0"])
def test_an_unknown_version_is_not_found(tmp_path: Path, version: str) -> None:
    put(tmp_path, "m", "1", plain())
    with pytest.raises(NotFound, match="versions: 1"):
        load(tmp_path).find("m", version)


def test_a_broken_file_is_listed_and_the_others_are_served(tmp_path: Path) -> None:
    put(tmp_path, "broken", "1", b"junk")
    put(tmp_path, "half", "1", plain(1.0))
    put(tmp_path, "half", "2", plain(2.0)[:-9])
    put(tmp_path, "whole", "1", plain())
    found = load(tmp_path)

    assert [model.name for model in found.models()] == ["half", "whole"]
    assert found.find("half").version == 1
    with pytest.raises(ModelUnavailable, match="protobuf"):
        found.find("broken")
    with pytest.raises(ModelUnavailable, match="version 2 is not served"):
        found.find("half", "2")


def test_a_reason_does_not_show_the_servers_paths(tmp_path: Path) -> None:
    (tmp_path / "empty" / "1").mkdir(parents=True)
    reason = load(tmp_path).entries["empty"].reasons[1]
    assert reason == "No such file or directory"


def test_a_pipe_named_like_a_model_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "pipe" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe" / "1" / "model.onnx")
    assert load(tmp_path).entries["pipe"].reasons[1] == "model.onnx is not a regular file"


@pytest.mark.parametrize("name", [".hidden", "lost+found", "a b", "-rf", "ä"])
def test_folders_that_are_no_model_names_are_ignored(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, "1", plain())
    assert load(tmp_path).entries == {}


def test_version_folders_that_are_no_numbers_are_ignored(tmp_path: Path) -> None:
    for version in ("0", "01", "abc", "1.5", "..2026_11_23", "٣"):
        put(tmp_path, "m", version, plain())
    assert load(tmp_path).entries["m"].reason == "it has no version folder (1, 2, …)"


def test_a_reserved_name_is_not_served(tmp_path: Path) -> None:
    put(tmp_path, "relu", "1", plain())
    with pytest.raises(ModelUnavailable, match="the name is an activation's"):
        load(tmp_path, reserved=("relu",)).find("relu")


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_missing_repository_serves_nothing(tmp_path: Path, exists: bool) -> None:
    assert load(tmp_path if exists else tmp_path / "nowhere").models() == []


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    put(tmp_path, "cnn-relu", "1", plain())
    with pytest.raises(NotFound, match="Request for unknown model: 'cnn-rellu' is not found"):
        load(tmp_path).find("cnn-rellu")


def test_a_model_with_an_output_that_is_no_tensor_is_not_served(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    outputs = [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node("SequenceConstruct", ["x"], ["y"])], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "sequence", "1", model.SerializeToString())

    assert "'y': ONNX type 'seq(tensor(float))'" in load(tmp_path).entries["sequence"].reasons[1]


def states(found: Repository, ready_only: bool = False) -> list[tuple[str | None, str, str | None]]:
    return [(line.version, line.state, line.reason) for line in found.index(ready_only)]


def test_a_repository_that_is_not_there_is_an_empty_index(tmp_path: Path) -> None:
    assert load(tmp_path / "nowhere").index() == []


def test_the_index_tells_what_is_served_and_why_the_rest_is_not(tmp_path: Path) -> None:
    put(tmp_path, "half", "1", plain())
    put(tmp_path, "half", "2", b"")
    (tmp_path / "none").mkdir()
    found = load(tmp_path)

    assert found.index(ready_only=True) == [IndexEntry("half", "1", "READY")]
    broken, nothing = found.index()[1:]
    assert (broken.version, broken.state) == ("2", "UNAVAILABLE")
    assert broken.reason is not None
    assert nothing == IndexEntry("none", None, "UNAVAILABLE", "it has no version folder (1, 2, …)")


def test_a_load_takes_what_is_new_and_lets_go_of_what_is_gone(tmp_path: Path) -> None:
    first = put(tmp_path, "m", "1", plain(1.0))
    found = load(tmp_path)
    kept = found.find("m")
    put(tmp_path, "m", "2", plain(2.0))
    found.load("m")

    assert answer(found) == 3.0
    assert found.find("m", "1") is kept

    first.unlink()
    first.parent.rmdir()
    found.load("m")
    with pytest.raises(NotFound, match="versions: 2"):
        found.find("m", "1")


def test_a_model_that_came_after_the_start_can_be_loaded(tmp_path: Path) -> None:
    found = load(tmp_path)
    put(tmp_path, "m", "1", plain(1.0))
    found.load("m")

    assert answer(found) == 2.0


def test_a_changed_file_is_loaded_anew_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = put(tmp_path, "m", "1", plain(1.0))
    found = load(tmp_path)
    before = found.find("m")
    found.load("m")
    assert found.find("m") is before

    path.write_bytes(plain(2.0))
    found.load("m")
    assert answer(found) == 3.0


def test_a_broken_file_never_replaces_a_good_one(tmp_path: Path) -> None:
    """Of a new version, of the same, and when the file is deleted; each is tried again when asked, and then served."""
    path = put(tmp_path, "m", "1", plain(1.0))
    found = load(tmp_path)
    before = found.find("m")
    put(tmp_path, "m", "2", b"junk")
    path.write_bytes(plain(5.0)[:-7])
    with pytest.raises(ModelUnavailable, match=r"failed to load 'm', version 1: .*protobuf.*; version 2: .*protobuf"):
        found.load("m")

    assert found.find("m") is before
    assert [line[:2] for line in states(found)] == [("1", "READY"), ("2", "UNAVAILABLE")]
    assert "protobuf" in str(states(found)[0][2])

    path.unlink()
    with pytest.raises(ModelUnavailable, match="failed to load 'm', version 1: No such file or directory"):
        found.load("m")
    assert answer(found) == 2.0

    path.write_bytes(plain(6.0))
    path.parent.with_name("2").rename(tmp_path / ".2")
    found.load("m")
    assert (answer(found), states(found)) == (7.0, [("1", "READY", None)])


def test_a_load_tries_again_what_failed_before(tmp_path: Path) -> None:
    """The files have not changed; what kept them from being loaded may have."""
    put(tmp_path, "m", "1", b"")
    working = load(tmp_path)
    fails = [True]

    def make(path: Path, version: int, overrides: Overrides) -> Model:
        if fails.pop():
            raise MemoryError
        return working._make(path, version, overrides)

    put(tmp_path, "n", "1", plain())
    found = Repository(tmp_path, make)
    found.refresh("n")
    assert states(found) == [("1", "UNAVAILABLE", "MemoryError")]
    found.refresh("n")
    fails.append(False)
    found.load("n")
    assert states(found) == [("1", "READY", None)]


@pytest.mark.parametrize("action", ["load", "unload"])
def test_what_is_not_in_the_repository_is_neither_loaded_nor_unloaded(tmp_path: Path, action: str) -> None:
    put(tmp_path, "cnn-relu", "1", plain())
    found = load(tmp_path)
    for name in ("cnn-reluu", "../cnn-relu", ""):
        with pytest.raises(NotFound, match=f"failed to {action} '{name}', there is no such model in the repository"):
            getattr(found, action)(name)


def test_a_reserved_name_is_not_loaded(tmp_path: Path) -> None:
    put(tmp_path, "relu", "1", plain())
    with pytest.raises(ModelUnavailable, match="failed to load 'relu', the name is an activation's"):
        load(tmp_path, reserved=("relu",)).load("relu")


def test_a_model_whose_folder_is_gone_is_served_until_it_is_noticed(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    found = load(tmp_path)
    (tmp_path / "m").rename(tmp_path / ".gone")
    with pytest.raises(ModelUnavailable, match="failed to load 'm', No such file or directory"):
        found.load("m")
    assert answer(found) == 2.0

    found.refresh("m")
    found.refresh("m")
    with pytest.raises(NotFound):
        found.find("m")


def test_an_unloaded_model_is_not_served_until_it_is_loaded(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    found = load(tmp_path)
    found.unload("m")
    found.unload("m")
    for version in (None, "1"):
        with pytest.raises(
            NotFound, match=r"^Request for unknown model: 'm' has no available versions: it is unloaded$"
        ):
            found.find("m", version)
    put(tmp_path, "m", "2", plain(2.0))
    found.refresh("m")

    assert states(found) == [("1", "UNAVAILABLE", "unloaded"), ("2", "UNAVAILABLE", "unloaded")]
    found.load("m")
    assert answer(found) == 3.0


def test_a_look_at_the_folder_does_not_swallow_a_load(tmp_path: Path) -> None:
    """It comes between the moment at which another worker has written down the load, and the news of it."""
    put(tmp_path, "m", "1", plain(1.0))
    workers = Alone()
    found = load(tmp_path, workers=workers)
    found.unload("m")
    workers._put("model/m", workers.wanted("model/m") | {"changes": 9, "unloaded": False})
    found.refresh("m")

    assert answer(found) == 2.0
    assert workers.take_on("model/m") == []


def test_a_model_can_be_unloaded_before_it_was_seen(tmp_path: Path) -> None:
    found = load(tmp_path)
    put(tmp_path, "m", "1", plain())
    found.unload("m")
    found.refresh("m")
    assert states(found) == [("1", "UNAVAILABLE", "unloaded")]


def test_a_request_finishes_on_the_model_it_began_with(tmp_path: Path) -> None:
    """The model is held, reloaded, unloaded, and its folder deleted; the index says that it still runs."""
    path = put(tmp_path, "m", "1", plain(1.0))
    found = load(tmp_path)
    held = found.find("m")
    path.write_bytes(plain(9.0))
    found.load("m")
    assert (answer(found), states(found)) == (10.0, [("1", "READY", None)])

    found.unload("m")
    assert states(found) == [("1", "UNLOADING", None)]
    (tmp_path / "m").rename(tmp_path / ".gone")
    found.refresh("m")
    assert states(found) == [("1", "UNLOADING", None)]
    assert held.run(ones())["y"][0, 0] == 2.0

    del held
    assert states(found) == []


def test_the_old_version_answers_while_the_new_one_is_made(tmp_path: Path) -> None:
    """And a second load of the same model waits for the first."""
    making, go_on = threading.Event(), threading.Event()
    put(tmp_path, "m", "1", plain(1.0))
    working = load(tmp_path)

    def make(path: Path, version: int, overrides: Overrides) -> Model:
        if version == 2:
            making.set()
            assert go_on.wait(10)
        return working._make(path, version, overrides)

    found = Repository(tmp_path, make)
    found.load("m")
    put(tmp_path, "m", "2", plain(2.0))
    first, second = (threading.Thread(target=found.load, args=("m",)) for _ in range(2))
    first.start()
    assert making.wait(10)
    second.start()
    during = answer(found), states(found)
    go_on.set()
    first.join(10)
    second.join(10)

    assert during == (2.0, [("1", "READY", None), ("2", "LOADING", None)])
    assert (answer(found), states(found)) == (3.0, [("1", "READY", None), ("2", "READY", None)])


def test_a_storm_of_loads_unloads_and_requests_leaves_a_sound_repository(tmp_path: Path) -> None:
    """Every request is answered rightly, or told that the model is not served."""
    put(tmp_path, "m", "1", plain(1.0))
    found = load(tmp_path)
    wrong: list[object] = []

    def work(number: int) -> None:
        for step in range(12):
            try:
                if number % 2:
                    (found.unload if step % 3 == 0 else found.load)("m")
                elif answer(found) != 2.0:
                    wrong.append("another number")
                found.index()
            except (ModelUnavailable, NotFound) as error:
                if "unloaded" not in str(error):
                    wrong.append(error)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found.load("m")

    assert wrong == []
    assert (answer(found), states(found)) == (2.0, [("1", "READY", None)])
    assert not found._loading


def test_a_model_toml_that_does_not_fit_keeps_a_model_from_being_served(tmp_path: Path) -> None:
    """At the start; later what was served is served on, and with a sound file again as it says."""
    put(tmp_path, "m", "1", plain(1.0))
    config = tmp_path / "m" / "model.toml"
    config.write_text("max_batch = 3")
    found = load(tmp_path)
    with pytest.raises(ModelUnavailable, match=r"not served: model.toml: unknown key 'max_batch'"):
        found.find("m")

    config.write_text("max_batch_size = 3")
    found.load("m")
    assert found.find("m").max_batch_size == 3
    config.write_text("max_batch_size = -3")
    with pytest.raises(ModelUnavailable, match=r"failed to load 'm', model.toml: max_batch_size is -3"):
        found.load("m")
    assert found.find("m").max_batch_size == 3


@pytest.mark.parametrize(
    ("policy", "served"),
    [("", [1, 2, 10]), ('"all"', [1, 2, 10]), ("{ latest = 1 }", [10]), ("{ latest = 9 }", [1, 2, 10]), ("[2]", [2])],
)
def test_the_versions_that_are_served_can_be_chosen(tmp_path: Path, policy: str, served: list[int]) -> None:
    for version in ("1", "2", "10"):
        put(tmp_path, "m", version, plain())
    if policy:
        (tmp_path / "m" / "model.toml").write_text(f"versions = {policy}")
    entry = load(tmp_path).entry("m")
    assert (sorted(entry.models), entry.reasons) == (served, {})


def test_a_version_that_is_chosen_and_not_there_is_listed(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain())
    (tmp_path / "m" / "model.toml").write_text("versions = [1, 3]")
    assert load(tmp_path).entry("m").reasons == {3: "No such file or directory"}
