"""How large thumbnails can be, so that the page stays small enough to be sent."""

import itertools
from typing import Any

import numpy as np

from simnb.widgets.sprites import SIZE, sprite_sheets

#: Bytes that the sheets of a page may take. As text in the page they are a third larger.
BUDGET = 6_000_000
_SIZES = (256, 192, 128, 96, 80, 64, 48, SIZE)
_QUALITIES = (90, 75)
_TRIED = 256  # images that tell what all of them will take


def fitting_sheets(images: Any, budget: int = BUDGET) -> tuple[list[bytes], int]:
    """Sheets of the largest thumbnails that fit a budget, and the size of these.

    Of each size, from the largest that the images have, an even sample tells what all would take. The first
    is made that fits, and the next smaller ones, where the sample said too little. Of the smallest, 32
    pixels, the quality goes down until it fits.
    """
    count, side = len(images), max(images.shape[1:3])
    spread = np.linspace(0, count - 1, min(count, _TRIED)).round().astype(np.int64)
    sample = np.asarray(images[spread])
    smallest = ((SIZE, quality) for quality in (50, 30, 10))
    sizes = [size for size in _SIZES if size <= max(side, SIZE)]
    for size, quality in itertools.chain(itertools.product(sizes, _QUALITIES), smallest):
        tried = sum(map(len, sprite_sheets(sample, size=size, quality=quality)))
        if tried * count > budget * len(sample) and (size, quality) != (SIZE, 10):
            continue
        sheets = sprite_sheets(images, size=size, quality=quality, progress=True)
        if sum(map(len, sheets)) <= budget:
            break
    return sheets, size
