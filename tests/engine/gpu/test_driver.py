"""What the driver's tool says is read, and without it there is no GPU."""

from pathlib import Path

import pytest

from service.engine.gpu.driver import Gpu, gpu, parse_gpu


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("NVIDIA H200, 143771, 512\n", Gpu("NVIDIA H200", 143771, 512)),
        ("No devices were found\n", None),
        ("", None),
        ("NVIDIA H200, [N/A], 512", None),
    ],
)
def test_the_drivers_answer_is_read(answer: str, expected: Gpu | None) -> None:
    assert parse_gpu(answer) == expected


def nvidia_smi(folder: Path, script: str) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'NVIDIA H200, 143771, 7'", Gpu("NVIDIA H200", 143771, 7)),
        ("echo 'NVIDIA-SMI has failed' >&2; exit 9", None),
    ],
)
def test_the_gpu_is_what_the_drivers_tool_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: Gpu | None
) -> None:
    nvidia_smi(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    assert gpu() == expected


def test_without_the_drivers_tool_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu() is None
