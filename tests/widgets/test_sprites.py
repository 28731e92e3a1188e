import io

import numpy as np
import pytest
from PIL import Image

from simnb.widgets.sprites import sprite_sheets


def cells(sheets):
    """Every thumbnail, shape [num_places, 32, 32, 3]."""
    found = []
    for sheet in sheets:
        pixels = np.asarray(Image.open(io.BytesIO(sheet)))
        rows = pixels.shape[0] // 32
        found.append(pixels.reshape(rows, 32, 32, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3))
    return np.concatenate(found).astype(int)


def flat(values, shape=(32, 32, 3), dtype=np.uint8):
    return np.broadcast_to(np.asarray(values, dtype)[:, None, None, None], (len(values), *shape))


def test_an_image_lies_where_its_number_says():
    values = np.arange(1100) % 251
    sheets = sprite_sheets(flat(values))
    assert len(sheets) == 2
    assert Image.open(io.BytesIO(sheets[0])).size == (1024, 1024)
    assert Image.open(io.BytesIO(sheets[1])).size == (1024, 96)  # 76 in three rows
    found = cells(sheets)[:1100].mean(axis=(1, 2, 3))
    assert abs(found - values).max() < 4  # what JPEG leaves of flat squares


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (flat([0, 0.5, 1], dtype=np.float32), [0, 128, 255]),
        (flat([-1, 0, 1], dtype=np.float64), [0, 128, 255]),
        (flat([0, 128, 255], dtype=np.float32), [0, 128, 255]),
        (flat([0, 128, 255], dtype=np.int64), [0, 128, 255]),
        (flat([0, 128, 255], shape=(32, 32, 1)), [0, 128, 255]),
        (flat([0, 128, 255], shape=(5, 5, 3)), [0, 128, 255]),
    ],
)
def test_every_kind_of_image_is_shown_as_it_is(images, expected):
    found = cells(sprite_sheets(images))[:3].mean(axis=(1, 2, 3))
    assert abs(found - expected).max() < 3


def test_transparent_parts_are_white_and_proportions_are_kept():
    image = np.zeros((1, 40, 80, 4), np.uint8)
    image[:, :, 40:, 3] = 255
    found = cells(sprite_sheets(image))[0]
    assert found[16, 4:12].min() > 240  # transparent
    assert found[16, 20:28].max() < 30  # black
    assert found[2:5].min() > 240  # above it
    assert found[28:31].min() > 240


def test_no_image_gives_no_sheet_and_other_shapes_are_refused():
    assert sprite_sheets(np.zeros((0, 8, 8, 3))) == []
    with pytest.raises(ValueError, match="1, 3 or 4 channels, got 2"):
        sprite_sheets(np.zeros((1, 8, 8, 2)))
    with pytest.raises(ValueError, match="images must be finite"):
        sprite_sheets(np.full((1, 8, 8, 3), np.nan))
