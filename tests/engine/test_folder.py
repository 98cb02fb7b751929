"""Only regular files of the version's own folder are read, whatever a model or a folder says."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.engine import folder
from service.errors import ModelUnavailable
from tests.engine.making import node, plain, put, serialised

DATA = np.arange(4, dtype=np.float32).tobytes()


def external(tensor: onnx.TensorProto, **keys: object) -> onnx.TensorProto:
    """The same tensor, its data elsewhere."""
    for field in ("float_data", "raw_data", "external_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in keys.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def four(**keys: object) -> onnx.TensorProto:
    return external(helper.make_tensor("c", TensorProto.FLOAT, [4], [0.0] * 4), **keys)


def model(**keys: object) -> bytes:
    return serialised(node("Add", "x", "c"), inputs=(4,), outputs=(4,), constants=[four(**keys)])


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version folder with a file of data beside the model; a secret lies outside."""
    path = put(tmp_path, "m", "1", plain()).parent
    (path / "data").write_bytes(DATA)
    (tmp_path / "secret").write_bytes(DATA)
    return path


def read(version: Path, content: bytes, max_bytes: int = folder.MAX_FILE_BYTES) -> onnx.ModelProto:
    (version / "model.onnx").write_bytes(content)
    return onnx.load_model_from_string(folder.read_model(version, max_bytes=max_bytes))


@pytest.mark.parametrize(
    "keys",
    [
        {"location": "data"},
        {"location": "data", "offset": 0, "length": 16},
        {"location": "data", "offset": "0", "checksum": "unread"},
    ],
)
def test_external_data_becomes_part_of_the_model(version: Path, keys: dict[str, object]) -> None:
    tensor = read(version, model(**keys)).graph.initializer[0]
    assert (tensor.raw_data, tensor.data_location, list(tensor.external_data)) == (DATA, TensorProto.DEFAULT, [])


def test_a_part_of_a_file_can_be_named(version: Path) -> None:
    tensor = read(version, model(location="data", offset=4, length=8)).graph.initializer[0]
    assert tensor.raw_data == DATA[4:12]


def test_two_tensors_may_share_a_file(version: Path) -> None:
    tensors = [four(location="data", offset=0, length=8), four(location="data", offset=8)]
    graph = helper.make_graph([], "g", [], [], tensors)
    read_back = read(version, helper.make_model(graph).SerializeToString()).graph.initializer
    assert [tensor.raw_data for tensor in read_back] == [DATA[:8], DATA[8:]]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../secret",
        "../../secret",
        "sub/data",
        "./data",
        "/etc/passwd",
        "a\\b",
        "*/_ORT_MEM_ADDR_/*",
        "a\0",
    ],
)
def test_external_data_elsewhere_is_refused(version: Path, name: str) -> None:
    with pytest.raises(ModelUnavailable, match=r"expected the name of a file beside model\.onnx"):
        read(version, model(location=name))


def test_external_data_without_a_location_is_refused(version: Path) -> None:
    """The word occurs elsewhere, or the file would not be looked at; ONNX Runtime refuses it then."""
    with pytest.raises(ModelUnavailable, match="external data '': expected the name"):
        read(version, model(offset=0, comment="location"))


def links(version: Path) -> dict[str, Callable[[Path], object]]:
    return {
        "is a symbolic link; copy": lambda path: path.symlink_to(version.parent.parent / "secret"),
        "is a hard link; copy": lambda path: path.hardlink_to(version.parent.parent / "secret"),
        "is not a regular file": os.mkfifo,
        "cannot be found": lambda path: None,
    }


@pytest.mark.parametrize("text", ["is a symbolic link; copy", "is a hard link; copy", "is not a regular file"])
def test_external_data_that_is_no_file_of_its_own_is_refused(version: Path, text: str) -> None:
    """A hard link loads in ONNX Runtime, and gives the other file's bytes."""
    links(version)[text](version / "other")
    with pytest.raises(ModelUnavailable, match=f"^other {text}"):
        read(version, model(location="other"))


def test_external_data_that_is_missing_is_refused(version: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(version, model(location="other"))


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"offset": -4}, "offset and length are"),
        ({"offset": "0x4"}, "offset and length are"),
        ({"length": "٣"}, "offset and length are"),
        ({"length": ""}, "offset and length are"),
        ({"offset": 12, "length": 8}, "bytes 12 to 20 of 16 are wanted"),
        ({"offset": 17}, "bytes 17 to 17 of 16 are wanted"),
        ({"length": 2**40}, "bytes 0 to 1099511627776 of 16 are wanted"),
    ],
)
def test_bytes_that_the_file_does_not_have_are_refused(version: Path, keys: dict[str, object], text: str) -> None:
    with pytest.raises(ModelUnavailable, match=text):
        read(version, model(location="data", **keys))


def test_a_sparse_file_of_external_data_is_not_read(version: Path) -> None:
    os.truncate(version / "data", 2**40)
    with pytest.raises(ModelUnavailable, match="data has 1099511627776 bytes, expected at most 2147483647"):
        read(version, model(location="data", length=16))


def test_all_external_data_together_has_a_limit(version: Path) -> None:
    """A thousand tensors could name the same bytes."""
    graph = helper.make_graph([], "g", [], [], [four(location="data") for _ in range(40)])
    content = helper.make_model(graph).SerializeToString()
    with pytest.raises(ModelUnavailable, match="more bytes than a protobuf can have"):
        read(version, content, max_bytes=len(content) + 39 * 16)
    assert read(version, content, max_bytes=len(content) + 40 * 16)


def nested(tensor: onnx.TensorProto) -> dict[str, onnx.ModelProto]:
    """The tensor in every place where a file may have one."""
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [])
    sparse = onnx.SparseTensorProto(values=tensor, dims=[4])
    opset = [helper.make_opsetid("", 17)]
    graphs = {
        "an attribute": helper.make_graph([constant], "g", [], []),
        "a list in an attribute": helper.make_graph([helper.make_node("Any", [], ["c"], many=[tensor])], "g", [], []),
        "a subgraph": helper.make_graph([helper.make_node("If", ["x"], ["c"], then_branch=inner)], "g", [], []),
        "a sparse tensor": helper.make_graph([], "g", [], [], sparse_initializer=[sparse]),
        "a sparse attribute": helper.make_graph([helper.make_node("Constant", [], ["c"], v=sparse)], "g", [], []),
    }
    function = helper.make_function("ours", "f", [], ["c"], [constant], opset)
    empty = helper.make_graph([], "g", [], [])
    return {name: helper.make_model(graph) for name, graph in graphs.items()} | {
        "a function": helper.make_model(empty, functions=[function])
    }


@pytest.mark.parametrize("place", nested(four(location="data")))
def test_external_data_is_found_wherever_it_is(version: Path, place: str) -> None:
    content = nested(four(location="../secret"))[place].SerializeToString()
    with pytest.raises(ModelUnavailable, match="without a path"):
        read(version, content)


@pytest.mark.parametrize("content", [b"junk location", plain() + b"location"])
def test_what_is_no_model_is_left_to_the_runtime_to_refuse(version: Path, content: bytes) -> None:
    (version / "model.onnx").write_bytes(content)
    assert folder.read_model(version) == content


def test_the_word_alone_harms_no_model(version: Path) -> None:
    proto = onnx.load_from_string(plain())
    proto.doc_string = "location"
    assert read(version, proto.SerializeToString()) == proto


def test_a_model_may_be_a_hard_link_and_not_a_symbolic_one(tmp_path: Path, version: Path) -> None:
    """Installers link files to their cache; the link is to a model all the same."""
    path = version / "model.onnx"
    (tmp_path / "copy").hardlink_to(path)
    assert folder.read_model(version) == plain()

    path.unlink()
    path.symlink_to(tmp_path / "copy")
    with pytest.raises(ModelUnavailable, match=r"model.onnx is a symbolic link; copy the file instead"):
        folder.read_model(version)


def test_a_version_folder_may_not_be_a_link_and_the_models_may(tmp_path: Path, version: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path / "m")
    assert folder.models(tmp_path) == ["linked", "m"]
    assert folder.read_model(tmp_path / "linked" / "1") == plain()

    (tmp_path / "m" / "2").symlink_to(version)
    with pytest.raises(ModelUnavailable, match="the version folder is a symbolic link"):
        folder.read_model(tmp_path / "m" / "2")


def test_what_would_block_is_not_opened(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(version)  # a socket's address is short
    for name, make in (("pipe", os.mkfifo), ("folder", os.mkdir), ("socket", bind)):
        make(name)
        with pytest.raises(ModelUnavailable, match=f"{name} is not a regular file"):
            folder.read(version / name)


def bind(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)


def test_a_file_too_large_is_not_read(version: Path) -> None:
    """Sparse: it takes no room on the disk."""
    os.truncate(version / "model.onnx", 2**31)
    with pytest.raises(ModelUnavailable, match=r"model.onnx has 2147483648 bytes, expected at most 2147483647"):
        folder.read_model(version)


def test_a_file_that_grows_while_it_is_read_is_refused() -> None:
    """As do files of the kernel, which say that they are empty."""
    with pytest.raises(ModelUnavailable, match="version was changed while it was read"):
        folder.read(Path("/proc/version"))


def test_a_snapshot_tells_every_change(version: Path) -> None:
    model = version.parent
    before = folder.snapshot(model)
    assert folder.snapshot(model) == before
    assert [name for name, *_ in before.versions[1]] == ["data", "model.onnx"]

    seen = [before]
    for change in (
        lambda: (version / "model.onnx").write_bytes(b"other"),
        lambda: os.utime(version / "model.onnx", ns=(0, 0)),
        lambda: (version / "data").unlink(),
        lambda: (model / "model.toml").write_text(""),
        lambda: (model / "2").mkdir(),
    ):
        change()
        assert folder.snapshot(model) not in seen
        seen.append(folder.snapshot(model))


def test_what_is_neither_a_version_nor_the_toml_changes_nothing(version: Path) -> None:
    model = version.parent
    before = folder.snapshot(model)
    for name in (".DS_Store", "3", "model.toml~"):
        (model / name).write_text("")
    for name in ("lost+found", "..2026_11_23", "0", "01"):
        (model / name).mkdir()
    (version / "sub").mkdir()
    assert folder.snapshot(model) == before


def test_a_folder_that_is_gone_is_an_empty_version_and_no_model(tmp_path: Path) -> None:
    assert folder._fingerprint(tmp_path / "nowhere") == ()
    with pytest.raises(FileNotFoundError):
        folder.snapshot(tmp_path / "nowhere")
