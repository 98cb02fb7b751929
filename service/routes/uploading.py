"""The body of a load that brings a model along: `parameters` with `config` and `file:<path>`, as Triton has it.

Of the paths only these are read, and none is ever used as one: `<version>/model.onnx`, `<version>/<external data>`
beside it, and `model.toml`. Of Triton's configuration only what says the same here is read; the rest goes into
`model.toml`.
"""

import binascii
from collections.abc import Mapping

from service.engine import folder
from service.engine.overrides import MAX_BYTES
from service.engine.uploads import Upload
from service.errors import BadRequest, Unsupported, quoted
from service.wire import arrays

CONFIG, FILE = "config", "file:"

MAX_FILES = 64

CONFIG_DEPTH = 16
"""Of the JSON of a configuration; what is read of it has one level."""

STEP = 2**20
"""Characters of base64 that are decoded at once: other threads wait for as long as that takes."""

BACKENDS = {"backend": ("onnxruntime", ""), "platform": ("onnxruntime_onnx", "")}
"""What Triton's configuration may say of the runtime: the one that there is, or nothing."""


def read(name: str, parameters: Mapping[str, object]) -> Upload:
    """Read what a client sends for a model of that name.

    Args:
        parameters: `config`, and those that begin with `file:`; others have been refused.

    Raises:
        BadRequest: a file that may not be called so, is no base64 or missing; a configuration that is not understood.
        Unsupported: a configuration without files.
    """
    files = {key.removeprefix(FILE): _decoded(key, value) for key, value in _files(parameters)}
    given = files.pop(folder.CONFIG, None)
    version, content = _version(files)
    return Upload(name, version, content, _config(name, parameters.get(CONFIG), given))


def _files(parameters: Mapping[str, object]) -> list[tuple[str, object]]:
    """Checked by name and number, before any is decoded."""
    files = [(key, value) for key, value in parameters.items() if key != CONFIG]
    if not files:
        raise Unsupported("a configuration is not loaded alone: it comes with the files of a new model")
    if len(files) > MAX_FILES:
        raise BadRequest(f"{len(files)} files are sent; at most {MAX_FILES} are read")
    for key, _ in files:
        _check_path(key.removeprefix(FILE))
    return files


def _check_path(path: str) -> None:
    version, slash, file = path.partition("/")
    if path != folder.CONFIG and not (slash and folder.VERSION.fullmatch(version) and folder.NAME.fullmatch(file)):
        raise BadRequest(
            f"file {quoted(path)}: expected '<version>/{folder.FILE}', '<version>/<external data>' or "
            f"'{folder.CONFIG}', with a version of 1, 2, … and names of letters, digits, '.', '_' and '-'"
        )


def _version(files: Mapping[str, bytes]) -> tuple[int, dict[str, bytes]]:
    """The number, and the files of its folder."""
    versions = sorted({path.partition("/")[0] for path in files})
    if len(versions) != 1:
        raise BadRequest(f"files of versions {versions} are sent, expected those of one version")
    content = {path.partition("/")[2]: data for path, data in files.items()}
    if folder.FILE not in content:
        raise BadRequest(f"there is no file '{versions[0]}/{folder.FILE}'")
    return int(versions[0]), content


def _decoded(key: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise BadRequest(f"{key} is {arrays.describe(value)}, expected base64")
    try:
        return b"".join(_decoded_parts(value))
    except ValueError as error:
        raise BadRequest(f"{key} is not valid base64") from error


def _decoded_parts(text: str) -> list[bytes]:
    """Padding only at the end: elsewhere it would end a part early."""
    last = max(0, len(text) - 4)
    if "=" in text[:last] or len(text) % 4:
        raise ValueError
    return [binascii.a2b_base64(text[at : at + STEP], strict_mode=True) for at in range(0, len(text), STEP)]


def _config(name: str, config: object, given: bytes | None) -> bytes | None:
    """The content of `model.toml`: as sent, or what the configuration says; None for none."""
    rows = None if config is None else _rows(name, config)
    if rows is not None and given is not None:
        raise BadRequest(f"config has max_batch_size, and there is a {folder.CONFIG}: say it there alone")
    if given is not None and len(given) > MAX_BYTES:
        raise BadRequest(f"{folder.CONFIG} has {len(given)} bytes, expected at most {MAX_BYTES}")
    return given if rows is None else f"max_batch_size = {rows}\n".encode()


def _rows(name: str, config: object) -> int | None:
    """`max_batch_size` of Triton's configuration, if it has one."""
    if not isinstance(config, str):
        raise BadRequest(f"config is {arrays.describe(config)}, expected a string of JSON")
    try:
        content = arrays.parse_json(config.encode(), max_depth=CONFIG_DEPTH)
    except (BadRequest, UnicodeEncodeError) as error:
        raise BadRequest(f"config: {error}") from error
    if not isinstance(content, dict):
        raise BadRequest(f"config is {arrays.describe(content)}, expected a JSON object")
    return _checked(name, content)


def _checked(name: str, config: Mapping[str, object]) -> int | None:
    expected = {"name": (name, "")} | BACKENDS
    for key, value in config.items():
        if key in expected and value not in expected[key]:
            raise BadRequest(f"config: {key} is {quoted(value)}, expected {expected[key][0]!r}")
        if key not in expected and key != "max_batch_size":
            known = ", ".join([*expected, "max_batch_size"])
            raise BadRequest(f"config: {quoted(key)} is not read, only {known}; send 'file:{folder.CONFIG}' for more")
    rows = config.get("max_batch_size")
    if rows is not None and type(rows) is not int:
        raise BadRequest(f"config: max_batch_size is {arrays.describe(rows)}, expected a number of rows")
    return rows
