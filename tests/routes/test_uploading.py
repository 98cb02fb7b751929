"""What a load's `file:` and `config` parameters say, and what is refused; nothing is written here."""

import base64
import json
from typing import Any

import pytest

from service.engine.uploads import Upload
from service.errors import BadRequest, Unsupported
from service.routes import uploading


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


MODEL = {"file:1/model.onnx": encoded(b"model")}
TOML = {"file:model.toml": encoded(b"max_batch_size = 4")}


def read(parameters: dict[str, Any], config: object = None) -> Upload:
    """A configuration that is not a string is written as one."""
    more = {} if config is None else {"config": config if isinstance(config, str) else json.dumps(config)}
    return uploading.read("m", parameters | more)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (MODEL, Upload("m", 1, {"model.onnx": b"model"})),
        (MODEL | TOML, Upload("m", 1, {"model.onnx": b"model"}, b"max_batch_size = 4")),
        (
            {"file:12/model.onnx": encoded(b""), "file:12/weights.bin": encoded(b"w")},
            Upload("m", 12, {"model.onnx": b"", "weights.bin": b"w"}),
        ),
        (
            {"file:1/model.onnx": encoded(bytes(range(256)) * 2**13)},
            Upload("m", 1, {"model.onnx": bytes(range(256)) * 2**13}),
        ),
    ],
    ids=["a model", "its settings", "external data", "2 MiB"],
)
def test_files_are_read(parameters: dict[str, str], expected: Upload) -> None:
    assert read(parameters) == expected


@pytest.mark.parametrize(
    ("config", "toml"),
    [
        (None, None),
        ({}, None),
        ("{}", None),
        ({"name": "m", "backend": "onnxruntime", "platform": "onnxruntime_onnx"}, None),
        ({"name": "", "backend": "", "platform": ""}, None),
        ({"max_batch_size": 8}, b"max_batch_size = 8\n"),
        ({"max_batch_size": 0}, b"max_batch_size = 0\n"),
        ({"max_batch_size": -1}, b"max_batch_size = -1\n"),  # refused where model.toml is read
    ],
)
def test_what_a_configuration_says_becomes_a_model_toml(config: object, toml: bytes | None) -> None:
    assert read(MODEL, config).config == toml


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("", "config: the body is empty: expected JSON"),
        ("{", "config: the body is not valid JSON"),
        ("\ud800", "config: "),
        ("[]", "config is a list, expected a JSON object"),
        ({"name": "other"}, "config: name is 'other', expected 'm'"),
        ({"backend": "python"}, "config: backend is 'python', expected 'onnxruntime'"),
        ({"platform": "tensorflow_graphdef"}, "config: platform is 'tensorflow_graphdef', expected 'onnxruntime_onnx'"),
        ({"input": []}, "config: 'input' is not read, only name, backend, platform, max_batch_size; send 'file:model"),
        ({"max_batch_size": "8"}, "config: max_batch_size is the string '8', expected a number of rows"),
        ({"max_batch_size": True}, "config: max_batch_size is true, expected a number of rows"),
        ({"max_batch_size": 1.5}, "config: max_batch_size is 1.5, expected a number of rows"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused(config: object, text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(MODEL, config)
    assert refused.value.text.startswith(text)


def test_a_configuration_is_a_string_of_json() -> None:
    with pytest.raises(BadRequest, match="config is an object, expected a string of JSON"):
        uploading.read("m", MODEL | {"config": {}})


def test_the_batch_is_set_once() -> None:
    with pytest.raises(BadRequest, match=r"config has max_batch_size, and there is a model\.toml"):
        read(MODEL | TOML, {"max_batch_size": 8})
    assert read(MODEL | TOML, {"name": "m"}).config == b"max_batch_size = 4"


def test_a_configuration_alone_is_not_loaded() -> None:
    with pytest.raises(Unsupported, match="it comes with the files of a new model"):
        read({}, {"max_batch_size": 8})


@pytest.mark.parametrize(
    "path",
    [
        "", "1", "model.onnx", "1/", "/1/model.onnx", "1/sub/model.onnx", "../1/model.onnx", "1/../model.onnx", "1/..",
        "0/model.onnx", "01/model.onnx", "-1/model.onnx", "1.5/model.onnx", "٣/model.onnx", "a/model.onnx",
        "1/.hidden", "1/a\0b", "1/a b", "1\\model.onnx", "1//model.onnx", "1/model.onnx/", "1/" + "x" * 129,
        "9999999999999999999/model.onnx", "model.toml/", "./model.toml", "config.pbtxt", "1/model.onnx\n",
    ],
)  # fmt: skip
def test_a_file_is_called_as_one_in_the_repository(path: str) -> None:
    with pytest.raises(BadRequest, match=r"expected '<version>/model\.onnx'"):
        read(MODEL | {f"file:{path}": encoded(b"x")})


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"1/model.onnx": b"", "2/model.onnx": b""}, r"files of versions \['1', '2'\] are sent"),
        ({"1/data": b""}, "there is no file '1/model.onnx'"),
        ({"model.toml": b""}, r"files of versions \[\] are sent"),
        ({f"1/{n}": b"" for n in range(65)}, "65 files are sent; at most 64 are read"),
        ({"1/model.onnx": b"", "model.toml": bytes(2**16 + 1)}, "model.toml has 65537 bytes"),
    ],
)
def test_an_upload_is_one_version_and_whole(files: dict[str, bytes], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        read({f"file:{path}": encoded(content) for path, content in files.items()})


@pytest.mark.parametrize(
    "value",
    ["A", "AAA", "AA=A", "AAAA=", "=AAA", "QUJD\n", "_-__", "😀😀😀😀", "QQ==QUJD", "QQ==" + "A" * 2**20, " QUJD   "],
    ids=lambda value: ascii(value)[:12],
)
def test_what_is_not_base64_is_refused(value: str) -> None:
    with pytest.raises(BadRequest, match=r"file:1/model\.onnx is not valid base64"):
        read({"file:1/model.onnx": value})


@pytest.mark.parametrize("value", [None, 1, [], {}, True])
def test_what_is_no_string_is_refused(value: object) -> None:
    with pytest.raises(BadRequest, match=r"file:1/model\.onnx is .*, expected base64"):
        read({"file:1/model.onnx": value})
