"""How large thumbnails can be, so that the page stays small enough to be sent."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb.widgets.sprites import SIZE, across, sheet_of, sprite_sheets, thumbnails

_SIZES = (256, 192, 128, 96, 80, 64, 48, SIZE)
_QUALITIES = (90, 75)
_LOW = (50, 30, 10)  # of the smallest ones alone
_TRIED = 256  # images that tell what all of them will take
_MARGIN = 0.95  # of the budget: the sample may say too little


def fitting_sheets(images: Any, budget: int) -> tuple[list[bytes], int]:
    """Sheets of the largest thumbnails that fit a budget, and the size of these.

    Of each size, from the largest that the images have, an even sample tells what all would take, and the
    first that fits is made. Where it takes more than the sample said, by that factor more is expected of the
    smaller ones. Of the smallest, 32 pixels, the quality goes down until it fits, or to 10.

    Args:
        images: Shape [num_images, height, width, channels]; lazy ones are read once for the sample, and once
            for each size that is made.
        budget: Bytes.
    """
    count, side = len(images), max(images.shape[1:3])
    spread = np.linspace(0, count - 1, min(count, _TRIED)).round().astype(np.int64)
    sample = np.asarray(images[spread])
    sheets: list[bytes] = []
    factor = 1.0
    for size in [size for size in _SIZES if size <= max(side, SIZE)]:
        small = thumbnails(sample, size)
        for quality in _QUALITIES + (_LOW if size == SIZE else ()):
            expected = _bytes_of(small, quality) * count / len(sample)
            if factor * expected > _MARGIN * budget and quality > _LOW[-1]:
                continue
            sheets = sprite_sheets(images, size=size, quality=quality, progress=True)
            taken = sum(map(len, sheets))
            if taken <= budget:
                return sheets, size
            factor = taken / expected
    return sheets, SIZE


def _bytes_of(small: NDArray[np.uint8], quality: int) -> int:
    """What some thumbnails take as sheets."""
    each = across(small.shape[1]) ** 2
    return sum(len(sheet_of(small[start : start + each], quality)) for start in range(0, len(small), each))
