"""A laboratory that is small enough for tests."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from models.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> "Lab":
    """One with 64 pictures of noise, the same for training, choosing and validation."""
    import torch  # only where the group `train` is installed

    from models import data
    from models.lab import Lab
    from models.training import Batches

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    split = data.Split(images, generator.integers(0, 10, 64), tuple("abcdefghij"), "digest")
    return Lab(*(Batches.of(split, torch.device("cpu")) for _ in range(3)), tmp_path / "runs")
