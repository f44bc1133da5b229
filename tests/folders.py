"""Folders of small pictures, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture_folder(root: Path, count: int = 12, size: tuple[int, int] = (16, 16), suffix: str = ".png") -> Path:
    """Two classes of pictures: dark ones and bright ones, each with smooth noise."""
    random = np.random.default_rng(0)
    for name, level in (("bright", 160), ("dark", 40)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            noise = random.integers(0, 80, (4, 4, 3), np.uint8)
            picture = Image.fromarray(noise).resize(size[::-1], Image.Resampling.BILINEAR)
            Image.fromarray((np.asarray(picture) + level).astype(np.uint8)).save(root / name / f"{number}{suffix}")
    return root
