"""Folders of small pictures of several sizes and kinds, and an embedder that counts what it embeds."""

import shutil

import numpy as np
import pytest
from PIL import Image

from simnb import data

NAMES = {"three": 3, "пять": 5, "八": 8, "nine": 9}


class Pixels:
    """An embedder: the pixels of 16 x 16 images, less the paper."""

    input_shape = (None, 16, 16, 3)

    def __init__(self):
        self.embedded = 0

    def __call__(self, images):
        self.embedded += len(images)
        gray = np.asarray(images, np.float32).mean(axis=-1)
        return gray.reshape(len(images), -1) + 1


@pytest.fixture
def pixels():
    return Pixels()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """120 digits of four classes: JPEG, PNG, GIF, gray with transparency, of several sizes, no odd files."""
    folder, digits = tmp_path_factory.mktemp("pictures"), data.load("digits", split="all")
    rng = np.random.default_rng(0)
    for name, label in NAMES.items():
        (folder / name).mkdir()
        for number, row in enumerate(np.flatnonzero(digits.labels == label)[:30]):
            size = rng.integers(24, 80, size=2).tolist()
            image, kind = Image.fromarray(digits.images[row]).resize(size), number % 10
            if kind == 0:
                image.convert("LA").save(folder / name / f"{number:02}.png")
            elif kind == 1:
                image.convert("P").save(folder / name / f"{number:02}.gif")
            elif kind == 2:
                image.save(folder / name / f"é {number:02}.JPG", format="JPEG", quality=95)
            else:
                image.save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture
def folder(pictures, tmp_path):
    """A copy of them to change."""
    return shutil.copytree(pictures, tmp_path / "my images")


@pytest.fixture
def odd(folder):
    """With files among them that are no images, or no whole ones."""
    (folder / "nine" / "notes.txt").write_text("no image")
    (folder / "nine" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    whole = next((folder / "nine").glob("*.JPG")).read_bytes()
    # Its head is whole: that it is damaged is seen when its pixels are read.
    (folder / "three" / "cut.jpg").write_bytes(whole[: len(whole) * 4 // 5])
    (folder / "three" / "empty.png").touch()
    return folder
