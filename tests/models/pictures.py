"""Pictures to train on, in no time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def write_pictures(folder: Path, each: Mapping[str, int]) -> None:
    """Write `<split>/<class>/<number>.png`, so many of each class in a split; a class is a brightness."""
    generator = np.random.default_rng(0)
    for split, count in each.items():
        for level, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.normal(20 + 23 * level, 4, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number:04}.png")
