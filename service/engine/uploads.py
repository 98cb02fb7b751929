"""A version that a client sends is written whole, tried, and renamed into the repository; or nothing of it stays.

It is written to a folder of its own in the repository, so on the same file system, whose name no model can have. One
rename makes it appear: of the version's folder, or of the model's where the model is new. A version that is there is
never replaced, so of two uploads of one version the first wins, and nothing is mixed.
"""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.engine import folder
from service.engine.loading import Prove
from service.engine.overrides import MAX_BYTES, Overrides
from service.errors import BadRequest, Conflict, LoadFailed, ServiceError, StorageFull

PREFIX = ".upload-"

MAX_AGE_S = 3600.0
"""Of a folder that a killed process has left; a younger one may be another server's."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class Upload:
    """One version of a model.

    Attributes:
        files: content by name, `model.onnx` among them; what they may be called has been checked.
        config: of `model.toml`; None to have the model served as it is, or a new one as its file says.
    """

    name: str
    version: int
    files: Mapping[str, bytes]
    config: bytes | None = None


class Uploads:
    """Puts versions into a repository.

    Args:
        prove: tries a version; raises `ModelUnavailable` if that fails.
    """

    def __init__(self, root: Path, prove: Prove) -> None:
        self._root = root
        self._prove = prove

    def publish(self, upload: Upload) -> None:
        """Put the version into the repository; it is not served yet. Blocks while it is written and tried.

        Raises:
            Conflict: there is such a version already, or the model and a `model.toml` for it.
            BadRequest: `model.toml` does not fit, or leaves the version out.
            ModelUnavailable: the version cannot be served; says why.
            StorageFull, LoadFailed: it cannot be written.
        """
        self._check(upload)
        try:
            with tempfile.TemporaryDirectory(prefix=PREFIX, dir=self._root, ignore_cleanup_errors=True) as stage:
                made = self._write(upload, Path(stage) / upload.name)
                self._check_config(upload, made)
                self._prove(made, upload.version)
                self._rename(upload, made)
        except OSError as error:
            raise _in_words(error, upload) from error

    def _check(self, upload: Upload) -> None:
        target = self._root / upload.name
        if (target / str(upload.version)).exists():
            raise _there_already(upload)
        if upload.config is not None and target.exists():
            raise Conflict(f"model {upload.name!r} is there already, and an upload does not change its {folder.CONFIG}")

    def _write(self, upload: Upload, made: Path) -> Path:
        """The version, with the `model.toml` that it will be served with."""
        version = made / str(upload.version)
        version.mkdir(parents=True)
        for name, content in upload.files.items():
            _write(version / name, content)
        config = upload.config
        if config is None and (self._root / upload.name / folder.CONFIG).exists():
            config = folder.read(self._root / upload.name / folder.CONFIG, max_bytes=MAX_BYTES)
        if config is not None:
            _write(made / folder.CONFIG, config)
        return made

    def _check_config(self, upload: Upload, made: Path) -> None:
        try:
            overrides = Overrides.read(made)
        except ServiceError as error:
            raise BadRequest(error.text) from error
        if upload.version not in overrides.chosen([*_versions(self._root / upload.name), upload.version]):
            raise BadRequest(f"{folder.CONFIG} of model {upload.name!r} leaves version {upload.version} out")

    def _rename(self, upload: Upload, made: Path) -> None:
        target = self._root / upload.name
        if target.exists():
            (made / str(upload.version)).rename(target / str(upload.version))
        else:
            made.rename(target)

    def sweep(self) -> None:
        """Delete what uploads have left whose process was killed."""
        oldest = time.time() - MAX_AGE_S
        for left in self._root.glob(f"{PREFIX}*"):
            if left.lstat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


def _versions(model: Path) -> Iterable[int]:
    return folder.snapshot(model).versions if model.exists() else ()


def _write(path: Path, content: bytes) -> None:
    """To the disk, so that no power cut leaves a version of empty files."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _there_already(upload: Upload) -> Conflict:
    return Conflict(
        f"model {upload.name!r} has a version {upload.version} already, which is not replaced: send another number"
    )


def _in_words(error: OSError, upload: Upload) -> ServiceError:
    """Without the server's paths."""
    if error.errno in TAKEN:  # another upload was faster
        return _there_already(upload)
    if error.errno in FULL:
        return StorageFull(f"the repository takes no more: {error.strerror}")
    return LoadFailed(f"the repository cannot be written: {error.strerror}")
