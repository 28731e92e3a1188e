"""Thumbnails in sheets: thousands of small images in a few files, which the browser cuts apart."""

import io

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from simnb import _checks
from simnb.plots.grids import to_bytes

SIZE = 32  # pixels a side of a thumbnail
ACROSS = 32  # thumbnails a side of a sheet
_QUALITY = 75  # of the JPEG; colours at half the resolution


def sprite_sheets(images: ArrayLike) -> list[bytes]:
    """Put thumbnails of images of any size into sheets, each a JPEG file, as bytes.

    Image ``i`` is at row ``i % 1024 // 32`` and column ``i % 32`` of sheet ``i // 1024``, in squares of 32
    pixels. Transparent parts become white; other sizes are shrunk or enlarged, and keep their proportions.
    """
    pixels = _checks.images(images)
    if getattr(pixels.dtype, "kind", "u") == "f":
        pixels = to_bytes(pixels)  # at once: which range they have is seen over all of them
    per_sheet = ACROSS * ACROSS
    sheets = []
    for start in range(0, len(pixels), per_sheet):
        thumbnails = _thumbnails(to_bytes(np.asarray(pixels[start : start + per_sheet])))
        rows = -(-len(thumbnails) // ACROSS)  # only as many as there are
        missing = rows * ACROSS - len(thumbnails)
        sheet = np.pad(thumbnails, ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=255)
        sheet = sheet.reshape(rows, ACROSS, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4)
        file = io.BytesIO()
        Image.fromarray(sheet.reshape(rows * SIZE, ACROSS * SIZE, 3)).save(file, "JPEG", quality=_QUALITY)
        sheets.append(file.getvalue())
    return sheets


def _thumbnails(pixels):
    """RGB thumbnails, shape [num_examples, 32, 32, 3] uint8."""
    if pixels.shape[-1] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        pixels = (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    if pixels.shape[1:3] == (SIZE, SIZE):
        return pixels
    thumbnails = np.full((len(pixels), SIZE, SIZE, 3), 255, np.uint8)
    scale = SIZE / max(pixels.shape[1:3])
    height, width = (max(round(side * scale), 1) for side in pixels.shape[1:3])
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    for thumbnail, image in zip(thumbnails, pixels, strict=True):
        small = Image.fromarray(image).resize((width, height))
        thumbnail[top : top + height, left : left + width] = np.asarray(small)
    return thumbnails
