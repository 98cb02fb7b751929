"""The test that the image's build makes of what it has put together."""

import subprocess
import sys

import pytest

from deploy.image import smoke
from tests.serving import DEADLINE_S, ROOT, environment

MAPS = "\n".join(f"7f0 r-xp 00000000 00:1 1 /opt/lib/{name}.so.13" for name in smoke.CUDA)


def run(**settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.image.smoke"]
    variables = environment({"device": "cpu", "threads": "1", "workers": "1"} | settings)
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=3 * DEADLINE_S)


def test_a_sound_installation_names_what_is_on_the_photo_and_ends_in_order() -> None:
    done = run()

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("a horse, by CPUExecutionProvider; ready after ")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_batch_size": "0"}, "exit code 2"),
        ({"repository": str(ROOT / "docs")}, "the photo is answered 404: "),
    ],
)
def test_one_that_cannot_serve_fails_with_the_reason(settings: dict[str, str], said: str) -> None:
    done = run(**settings)

    assert done.returncode == 1
    assert said in done.stderr


def test_what_is_missing_of_cuda_is_named() -> None:
    assert smoke.unloaded(MAPS) == []
    assert smoke.unloaded(MAPS.replace("libcublas.so", "libother.so")) == ["libcublas"]
    assert set(smoke.unloaded(smoke.mapped())) <= set(smoke.CUDA)
