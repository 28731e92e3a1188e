import io

import numpy as np
import pytest
from PIL import Image

from simnb.data import LazyImages
from simnb.page.thumbnails import fitting_sheets
from simnb.widgets.sprites import across


def noise(count, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_few_images_are_shown_as_large_as_they_are_and_many_smaller():
    images = noise(60, 100)
    sizes = {}
    for budget in (3_000_000, 200_000, 100_000, 30_000):
        sheets, sizes[budget] = fitting_sheets(images, budget)
        assert sum(map(len, sheets)) <= budget
        assert len(sheets) == -(-60 // across(sizes[budget]) ** 2)
    assert sizes[3_000_000] == 96  # the largest that is no larger than the images
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert sizes[30_000] < sizes[200_000] < 96


def test_small_images_are_not_enlarged_but_to_32_pixels():
    for side, size in [(8, 32), (32, 32), (50, 48), (1000, 256)]:
        assert fitting_sheets(noise(2, side), 6_000_000)[1] == size


def test_images_that_take_more_than_the_sample_said_are_made_smaller():
    count, hard = 800, noise(1, 64)[0]
    sampled = np.linspace(0, count - 1, 256).round().astype(int)
    is_hard = ~np.isin(np.arange(count), sampled)

    read_at_once = []

    def read(rows):
        read_at_once.append(len(rows))
        return np.where(is_hard[rows, None, None, None], hard, np.uint8(0))

    images = LazyImages(read, count, (64, 64, 3))
    sheets, size = fitting_sheets(images, 600_000)
    assert sum(map(len, sheets)) <= 600_000
    assert size < 64
    assert sum(read_at_once) <= 256 + 3 * count  # not once for each size and quality


@pytest.mark.parametrize("count", [1, 300])
def test_every_image_has_its_place(count):
    values = np.arange(count) % 251
    images = np.broadcast_to(values[:, None, None, None], (count, 64, 64, 3)).astype(np.uint8)
    sheets, size = fitting_sheets(images, 6_000_000)
    beside = across(size)
    decoded = [np.asarray(Image.open(io.BytesIO(sheet))).astype(int) for sheet in sheets]
    for i in range(count):
        row, column = divmod(i % beside**2, beside)
        square = decoded[i // beside**2][row * size : (row + 1) * size, column * size : (column + 1) * size]
        assert abs(square - values[i]).max() < 6
