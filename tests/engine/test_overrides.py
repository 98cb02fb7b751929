"""model.toml says how a model is served; what it says wrongly is told."""

import os
from pathlib import Path

import pytest

from service.engine.overrides import Overrides
from service.errors import ModelUnavailable

PREPROCESSING = '[preprocessing]\nsize = [1, 2]\ncolor = "L"\nmean = [0.5]\nstd = [1]'


def read(folder: Path, text: str | bytes) -> Overrides:
    (folder / "model.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Overrides.read(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Overrides()),
        ("# nothing", Overrides()),
        ("max_batch_size = 0", Overrides(max_batch_size=0)),
        ("max_batch_size = 64", Overrides(max_batch_size=64)),
        ('labels = ["cat", "dög"]', Overrides(labels=("cat", "dög"))),
        ('[labels]\ny = ["cat"]\nz = []', Overrides(labels={"y": ("cat",), "z": ()})),
        ('versions = "all"', Overrides()),
        ("versions = { latest = 3 }", Overrides(latest=3)),
        ("versions = [3, 1, 3]", Overrides(numbers=(3, 1))),
        ("[batching]", Overrides()),
        ("[batching]\nmax_queue_delay_microseconds = 9", Overrides(batching={"max_queue_delay_microseconds": 9})),
        (
            "[batching]\npreferred_batch_size = [4, 8]\ncount = 2",
            Overrides(batching={"preferred_batch_size": (4, 8), "count": 2}),
        ),
        (
            "[batching]\nmax_queue_size = 7\ndefault_timeout_microseconds = 5",
            Overrides(batching={"max_queue_size": 7, "default_timeout_microseconds": 5}),
        ),
    ],
)
def test_what_it_says_is_read(tmp_path: Path, text: str, expected: Overrides) -> None:
    assert read(tmp_path, text) == expected


def test_preprocessing_is_read(tmp_path: Path) -> None:
    how = read(tmp_path, PREPROCESSING).preprocessing
    assert how is not None
    assert (how.height, how.width, how.mean) == (1, 2, (0.5,))


def test_without_a_file_nothing_is_changed(tmp_path: Path) -> None:
    assert Overrides.read(tmp_path) == Overrides()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_batch_size = -1", "max_batch_size is -1, expected a number of rows in 0…1048576"),
        ("max_batch_size = 1000000000", "max_batch_size is 1000000000"),
        ("max_batch_size = true", "max_batch_size is True"),
        ("max_batch_size = 1.0", "max_batch_size is 1.0"),
        ('max_batch_size = "8"', "max_batch_size is '8'"),
        ('labels = "cat"', "labels is 'cat', expected a list of strings"),
        ("labels = [1]", "labels is [1], expected a list of strings"),
        ("[labels]\ny = 1", "labels.y is 1, expected a list of strings"),
        ("preprocessing = 1", "preprocessing: expected an object"),
        ("[preprocessing]\nsize = [1, 2]", "preprocessing: has the keys ['size']"),
        ("versions = 1", "versions is 1, expected"),
        ('versions = "newest"', "versions is 'newest'"),
        ("versions = []", "versions is []"),
        ("versions = [0]", "versions is [0]"),
        ("versions = [true]", "versions is [True]"),
        ("versions = { latest = 0 }", "versions is {'latest': 0}"),
        ("versions = { first = 1 }", "versions is {'first': 1}"),
        ("[queue]\nmax_rows = 1", "unknown key 'queue', expected max_batch_size, labels, preprocessing, versions"),
        ("batching = 1", "batching is 1, expected a table"),
        ("[batching]\nmax_rows = 1", "unknown key 'batching.max_rows', expected max_queue_delay_microseconds"),
        ("[batching]\ncount = 0", "batching.count is 0, expected a number in 1…64"),
        ("[batching]\nmax_queue_size = true", "batching.max_queue_size is True"),
        ("[batching]\npreferred_batch_size = 4", "batching.preferred_batch_size is 4, expected a list of rows"),
        ("[batching]\npreferred_batch_size = [0]", "batching.preferred_batch_size is [0]"),
        ("max_batch_size", "Expected '=' after a key"),
        ("a = 1\na = 2", "Cannot overwrite a value"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff"),
        (b"#" * (64 * 2**10 + 1), "has 65537 bytes, expected at most 65536"),
        ("a = " + "[" * 20000, "it is nested too deeply"),
    ],
)
def test_what_does_not_fit_is_refused_with_where(tmp_path: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(ModelUnavailable) as refusal:
        read(tmp_path, text)
    assert refusal.value.text.startswith(f"model.toml: {reason}")


def test_another_file_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "model.toml").symlink_to("/etc/shadow")
    with pytest.raises(ModelUnavailable, match=r"^model.toml: is a symbolic link; copy the file instead$"):
        Overrides.read(tmp_path)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.toml")
    with pytest.raises(ModelUnavailable, match=r"^model.toml: is not a regular file$"):
        Overrides.read(tmp_path)


def test_versions_are_chosen_by_number_or_from_the_highest() -> None:
    there = [10, 1, 2]
    assert Overrides().chosen(there) == [1, 2, 10]
    assert Overrides(latest=2).chosen(there) == [2, 10]
    assert Overrides(numbers=(10, 7)).chosen(there) == [7, 10]
