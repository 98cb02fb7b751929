"""CIFAR-10's official files are read alike in every form, and nothing in one of them is run, unpacked or believed."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models import batches, data

PYTHON, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
EACH = 4
"""Pictures of a batch here."""

PIXELS = np.random.default_rng(0).integers(0, 256, (len(BATCHES) * EACH, 32, 32, 3), dtype=np.uint8)
LABELS = [i * 7 % 10 for i in range(len(PIXELS))]

ARRAY = b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01"
DTYPE = b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def pickled(content: bytes, labels: list[int], shape: tuple[int, int], dtype: bytes = DTYPE) -> bytes:
    """A batch as `cPickle` of Python 2.7 with NumPy 1.16 writes it, protocol 2."""
    array = ARRAY + struct.pack("<cici", b"J", shape[0], b"J", shape[1]) + b"\x86" + dtype + b"\x89"
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return (
        b"\x80\x02}q\x01(U\x04dataq\x02" + array + b"T" + struct.pack("<i", len(content)) + content + b"tb"
        b"U\x06labelsq\x08]q\t(" + numbers + b"eU\x0bbatch_labelq\nU\x15training batch 1 of 5q\x0bu."
    )


def pickled_names(names: tuple[str, ...]) -> bytes:
    items = b"".join(b"U" + bytes([len(name)]) + name.encode() for name in names)
    return b"\x80\x02}q\x01(U\x0blabel_namesq\x02]q\x03(" + items + b"eU\x07num_visq\rM\x00\x0cu."


def files(version: str) -> dict[str, bytes]:
    """Everything in the folder of a version, written without the code that reads it."""
    rows = PIXELS.transpose(0, 3, 1, 2).reshape(len(BATCHES), EACH, 3072)
    labels = np.array(LABELS, np.uint8).reshape(len(BATCHES), EACH)
    if version == PYTHON:
        contents = [pickled(r.tobytes(), n.tolist(), (EACH, 3072)) for r, n in zip(rows, labels, strict=True)]
        return dict(zip(BATCHES, contents, strict=True)) | {"batches.meta": pickled_names(batches.CLASSES)}
    records = np.concatenate([labels[:, :, None], rows], axis=2)
    named = {f"{name}.bin": part.tobytes() for name, part in zip(BATCHES, records, strict=True)}
    return named | {"batches.meta.txt": "\n".join([*batches.CLASSES, "", ""]).encode(), "readme.html": b"<html>"}


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def in_folder(version: str, base: Path) -> Path:
    return write(base / version, files(version))


def in_parent(version: str, base: Path) -> Path:
    return in_folder(version, base).parent


def renamed(version: str, base: Path) -> Path:
    return write(base / "cifar", files(version))


def in_archive(version: str, base: Path) -> Path:
    """In an order of its own, like the real one."""
    members = {f"{version}/{name}": content for name, content in reversed(files(version).items())}
    return archive(base / "cifar-10.tar.gz", members)


FORMS: list[Callable[[str, Path], Path]] = [in_folder, in_parent, renamed, in_archive]


@pytest.mark.parametrize("version", [PYTHON, BINARY])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_pictures_in_order(
    form: Callable[[str, Path], Path], version: str, tmp_path: Path
) -> None:
    source = form(version, tmp_path)
    train, validation = data.read(source, "train"), data.read(source, "validation")

    np.testing.assert_array_equal(train.images, PIXELS[: 5 * EACH])
    np.testing.assert_array_equal(validation.images, PIXELS[5 * EACH :])
    assert (train.targets.tolist(), validation.targets.tolist()) == (LABELS[: 5 * EACH], LABELS[5 * EACH :])
    assert train.classes == validation.classes == batches.CLASSES == tuple(sorted(batches.CLASSES))


@pytest.mark.parametrize("version", [PYTHON, BINARY])
def test_the_digest_is_of_the_content_and_not_of_the_form(version: str, tmp_path: Path) -> None:
    sources = [form(version, tmp_path) for form in (in_folder, renamed, in_archive)]
    digests = {data.read(source, "train").sha256 for source in sources}
    read = {name: content for name, content in files(version).items() if name.startswith(("data_batch", "batches"))}
    names_and_contents = b"".join(
        f"{version}/{name}".encode() + b"\0" + hashlib.sha256(read[name]).digest() for name in sorted(read)
    )
    changed = files(version)
    name = next(name for name in changed if name.startswith("data_batch_3"))
    write(sources[0], {name: changed[name.replace("3", "4")]})

    assert digests == {hashlib.sha256(names_and_contents).hexdigest()}
    assert data.read(sources[0], "train").sha256 not in digests
    assert data.read(sources[1], "validation").sha256 not in digests


@pytest.mark.parametrize("version", [PYTHON, BINARY])
def test_pictures_become_files_without_loss(version: str, tmp_path: Path) -> None:
    split, contents = data.read_files(in_folder(version, tmp_path), "validation")
    decoded = [np.asarray(Image.open(io.BytesIO(content))) for content in contents]

    np.testing.assert_array_equal(np.stack(decoded), PIXELS[5 * EACH :])
    np.testing.assert_array_equal(split.images, PIXELS[5 * EACH :])


@pytest.mark.parametrize("form", [in_folder, in_archive])
def test_what_is_missing_is_named_beside_what_is_there(form: Callable[[str, Path], Path], tmp_path: Path) -> None:
    contents = {f"{BINARY}/{name}": c for name, c in files(BINARY).items() if name not in ("data_batch_2.bin",)}
    source = (
        write(tmp_path / BINARY, {name.split("/")[1]: content for name, content in contents.items()})
        if form is in_folder
        else archive(tmp_path / "cifar.tar.gz", contents)
    )
    there = "batches.meta.txt, data_batch_1.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin"

    with pytest.raises(FileNotFoundError, match=f"lacks data_batch_2.bin of {BINARY}; found {there}$"):
        data.read(source, "train")
    assert len(data.read(source, "validation").targets) == EACH


def test_a_split_that_cifar_does_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has the splits train, validation, not 'test'"):
        data.read(in_folder(PYTHON, tmp_path), "test")


class Command:
    """Pickled, a command that is run when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self._path, "was here")


def _of(*opcodes: bytes) -> bytes:
    return b"\x80\x02" + b"".join(opcodes) + b"."


ROWS = PIXELS[:2].transpose(0, 3, 1, 2).tobytes()
BAD_BATCHES = {
    "no pickle": (b"Not Found", "cannot be unpickled"),
    "empty": (b"", "cannot be unpickled"),
    "no dictionary": (_of(b"]"), "a pickled list, expected a dictionary"),
    "no array": (_of(b"}"), "no array 'data'"),
    "a function": (_of(b"cposix\nsystem\n"), "asks for posix.system; only NumPy's arrays are read"),
    "another function of NumPy": (_of(b"cnumpy\nfromfile\n"), "asks for numpy.fromfile"),
    "a method of an allowed name": (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "numpy.ndarray.tofile"),
    "a registered extension": (_of(b"\x82\x01"), "cannot be unpickled"),
    "a persistent name": (_of(b"Pname\n"), "cannot be unpickled"),
    "a memo that skips": (_of(b"}r\xff\xff\xff\x7f"), "its memo has an entry 2147483647 after 2 steps"),
    "a length beyond the end": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f.", "cannot be unpickled"),
    "other pixels": (pickled(ROWS, [1] * 6, (6, 1024)), r"shape \[6, 1024\], expected \[N, 3072\]"),
    "too few bytes": (pickled(ROWS[:-1], [1, 2], (2, 3072)), r"6143 bytes and claims the shape \[2, 3072\]"),
    "a negative shape": (pickled(ROWS, [1, 2], (-2, -3072)), "claims the shape"),
    "no pictures": (pickled(b"", [], (0, 3072)), "0 bytes and claims the shape"),
    "floats": (pickled(ROWS, [1, 2], (2, 3072), DTYPE.replace(b"u1", b"f4")), "not a matrix of bytes"),
    "objects": (pickled(ROWS, [1, 2], (2, 3072), DTYPE.replace(b"u1", b"O8")), "not a matrix of bytes"),
    "a label too few": (pickled(ROWS, [1], (2, 3072)), "expected a label for each of its 2 pictures"),
    "an eleventh class": (pickled(ROWS, [1, 10], (2, 3072)), "a label is not a number from 0 to 9"),
    "CIFAR-100": (pickled(ROWS, [1, 2], (2, 3072)).replace(b"U\x06labels", b"U\x0bfine_labels"), "expected a label"),
}


@pytest.mark.parametrize(("content", "message"), BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_a_pickle_that_is_no_batch_is_an_error_that_says_so(content: bytes, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path, files(PYTHON) | {"test_batch": content})

    with pytest.raises(ValueError, match=f"test_batch is not a file of CIFAR-10: .*{message}"):
        data.read(folder, "validation")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_runs_a_command(protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({b"data": Command(trace), b"labels": []}, protocol)
    folder = write(tmp_path, files(PYTHON) | {"test_batch": content})

    with pytest.raises(ValueError, match="cannot be unpickled"):
        data.read(folder, "validation")
    assert not trace.exists()
    pickle.loads(content)
    assert trace.read_text() == "was here"  # so the command works


VALID = pickled(ROWS, [1, 2], (2, 3072))
TAIL = len(VALID) - VALID.index(b"tbU\x06labels")


@given(st.data())
def test_a_damaged_batch_is_an_error_or_still_a_batch(draw: st.DataObject) -> None:
    """Bytes changed, removed or inserted anywhere but in the pixels."""
    head = VALID.index(ROWS)
    places = st.one_of(st.integers(0, head - 1), st.integers(len(VALID) - TAIL, len(VALID) - 1))
    start = draw.draw(places)
    content = VALID[:start] + draw.draw(st.binary(max_size=8)) + VALID[start + draw.draw(st.integers(0, 8)) :]
    try:
        pixels, labels = batches.VERSIONS[0].records(content)
    except ValueError:
        return

    assert pixels.dtype == np.uint8
    assert pixels.shape == (len(labels), 3072)
    assert set(labels) <= set(range(10))


def test_a_matrix_in_column_order_is_read_as_it_was() -> None:
    matrix = PIXELS[:2].transpose(0, 3, 1, 2).reshape(2, 3072)
    content = pickled(matrix.tobytes("F"), [1, 2], (2, 3072)).replace(DTYPE + b"\x89", DTYPE + b"\x88")

    np.testing.assert_array_equal(batches.VERSIONS[0].records(content)[0], matrix)


@pytest.mark.parametrize(
    ("version", "changed", "message"),
    [
        (BINARY, {"test_batch.bin": bytes(3072)}, "test_batch.bin .* it has 3072 bytes, expected records of 3073"),
        (BINARY, {"test_batch.bin": b""}, r"test_batch.bin .* shape \[0, 3072\]"),
        (BINARY, {"test_batch.bin": b"\x0a" + bytes(3072)}, "a label is not a number from 0 to 9"),
        (BINARY, {"batches.meta.txt": b"ape\nbee\n"}, "names the classes ape, bee; expected airplane, automobile"),
        (BINARY, {"batches.meta.txt": b"\xff"}, "batches.meta.txt is not a file of CIFAR-10"),
        (PYTHON, {"batches.meta": pickled_names(("ape", "bee"))}, "names the classes ape, bee; expected airplane"),
        (PYTHON, {"batches.meta": _of(b"}")}, "batches.meta is not .* no list of names 'label_names'"),
    ],
)
def test_other_damage_is_named_too(version: str, changed: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        data.read(write(tmp_path, files(version) | changed), "validation")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """On disk it has a hole; in the archive it is 40 MiB of zeros in 40 KB."""
    folder = write(tmp_path / BINARY, files(BINARY))
    with (folder / "test_batch.bin").open("r+b") as file:
        file.truncate(2**40)
    packed = archive(tmp_path / "large.tar.gz", {f"{BINARY}/test_batch.bin": bytes(batches.MAX_FILE_BYTES + 1)})

    for source in (folder, packed):
        with pytest.raises(ValueError, match=r"test_batch.bin has \d+ bytes; expected at most 41943040"):
            data.read(source, "validation")


def test_an_archive_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    path = archive(tmp_path / "cifar-100.tar.gz", {"cifar-100-python/meta": b"", "cifar-100-python/train": b""})

    with pytest.raises(FileNotFoundError, match="no batches of CIFAR-10; found cifar-100-python/meta, cifar-100"):
        data.read(path, "train")


def test_an_archive_that_unpacks_to_too_much_is_given_up(tmp_path: Path) -> None:
    """A header of 257 MiB, which `tarfile` would take into memory whole."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 257 * 2**20
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.tobuf())
        for _ in range(257):
            file.write(bytes(2**20))

    with pytest.raises(ValueError, match="unpacks to more than 268435456 bytes"):
        data.read(path, "train")


def test_an_archive_of_many_members_is_given_up(tmp_path: Path) -> None:
    path = archive(tmp_path / "many.tar.gz", {f"file{i}": b"" for i in range(101)})

    with pytest.raises(ValueError, match="more than 100 members; CIFAR-10's archives have 9"):
        data.read(path, "train")


@pytest.mark.parametrize("name", ["cut.tar.gz", "text.tar.gz", "changed.tar.gz"])
def test_an_archive_that_is_damaged_is_an_error(name: str, tmp_path: Path) -> None:
    whole = in_archive(BINARY, tmp_path).read_bytes()
    contents = {
        "cut.tar.gz": whole[:-2000],
        "text.tar.gz": gzip.compress(b"Not Found" * 1000),
        "changed.tar.gz": whole[:500] + bytes(500) + whole[1000:],
    }
    path = write(tmp_path / "damaged", contents) / name

    with pytest.raises(ValueError, match=f"{name} is not a whole .tar.gz"):
        data.read(path, "train")


def test_no_name_in_an_archive_becomes_a_path(tmp_path: Path) -> None:
    """Names that lead out, and a link with a known name to a file outside."""
    (tmp_path / "secret").write_bytes(files(BINARY)["test_batch.bin"])
    path = tmp_path / "inside" / "bad.tar.gz"
    path.parent.mkdir()
    archive(path, {f"../{BINARY}/data_batch_1.bin": b"x", f"{tmp_path}/{BINARY}/data_batch_2.bin": b"x"})
    with pytest.raises(FileNotFoundError, match="holds no batches of CIFAR-10"):
        data.read(path, "validation")
    link = tarfile.TarInfo(f"{BINARY}/test_batch.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "../secret"
    with tarfile.open(path, "w:gz") as file:
        file.addfile(link)
    with pytest.raises(ValueError, match="cannot extract"):
        data.read(path, "validation")

    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.tar.gz", "inside", "secret"]
