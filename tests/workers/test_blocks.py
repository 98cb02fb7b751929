"""Blocks of counters: one a process, added up by whoever reads, gone when let go, kept when a process ends."""

import gc
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from service.workers import blocks
from service.workers.blocks import Block, SharedBlock, place


def values(block: Block) -> list[list[int]]:
    return sorted(list(each) for each in block.all())


def test_a_block_of_a_process_alone_is_in_its_memory() -> None:
    block = Block(2)
    block.own[1] += 3

    assert values(block) == [[0, 3]]


def test_blocks_of_one_key_are_read_together(tmp_path: Path) -> None:
    first, second = SharedBlock(tmp_path / "a", 2), SharedBlock(tmp_path / "a", 2)
    other = SharedBlock(tmp_path / "b", 2)
    first.own[0], second.own[0], other.own[0] = 1, -(2**62), 5

    assert values(first) == values(second) == [[-(2**62), 0], [1, 0]]
    assert values(other) == [[5, 0]]


def test_where_there_is_no_room_a_process_counts_for_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`/dev/full` takes nothing; a page of a file that has no room would kill the process at its first use."""
    shared = SharedBlock(tmp_path / "a", 1)
    shared.own[0] = 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("actserve"), "propagate", True)
        patch.setattr(blocks, "_new", lambda _: Path("/dev/full"))
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        alone = SharedBlock(tmp_path / "a", 1)
        alone.own[0] = 3
        assert values(alone) == [[3], [4]]
        del alone
        gc.collect()
    assert values(shared) == [[4]]
    assert "No space left on device" in caplog.text


COUNT = """
import sys
from pathlib import Path
import pytest

from service.workers import blocks
from service.workers.blocks import SharedBlock
SharedBlock(Path(sys.argv[1]), 1).own[0] = 7
"""
KEEP = """
import os, signal, sys
from pathlib import Path
import pytest

from service.workers import blocks
from service.workers.blocks import SharedBlock
block = SharedBlock(Path(sys.argv[1]), 1)
block.own[0] = 7
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_counted_stays(tmp_path: Path) -> None:
    block = SharedBlock(tmp_path, 1)
    subprocess.run([sys.executable, "-c", KEEP, str(tmp_path)], check=False)
    assert values(block) == [[0], [7]]


def test_a_block_that_is_let_go_is_gone(tmp_path: Path) -> None:
    block = SharedBlock(tmp_path, 1)
    subprocess.run([sys.executable, "-c", COUNT, str(tmp_path)], check=True)
    assert values(block) == [[0]]

    del block
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_is_being_made_is_not_read(tmp_path: Path) -> None:
    block = SharedBlock(tmp_path, 1)
    (tmp_path / "1-0").touch()
    assert values(block) == [[0]]


def test_a_block_that_goes_while_it_is_looked_for_is_left_out(tmp_path: Path) -> None:
    block = SharedBlock(tmp_path, 1)
    (tmp_path / "1-0").symlink_to("gone")
    assert values(block) == [[0]]


def test_keys_of_any_characters_have_a_place_each(tmp_path: Path) -> None:
    keys = ["model a/b 1", "model a/b 2", "", "ä" * 1000]
    assert len({place(tmp_path, key) for key in keys}) == len(keys)
    assert {place(tmp_path, key).parent for key in keys} == {tmp_path}
