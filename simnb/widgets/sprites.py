"""Thumbnails in sheets: thousands of small images in a few files, which the browser cuts apart."""

import io

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from simnb import _checks
from simnb._terminal import progress_bar
from simnb.plots.pictures import to_bytes

SIZE = 32  # pixels a side of a thumbnail
_SHEET = 1024  # pixels a side of a sheet
_QUALITY = 75  # of the JPEG; colours at half the resolution


def across(size: int) -> int:
    """How many thumbnails of a size lie side by side in a sheet."""
    return _SHEET // size


def sprite_sheets(
    images: ArrayLike, *, size: int = SIZE, quality: int = _QUALITY, progress: bool = False
) -> list[bytes]:
    """Put thumbnails of images of any size into sheets, each a JPEG file, as bytes.

    With ``n = across(size)`` image ``i`` is at row ``i % n**2 // n`` and column ``i % n`` of sheet
    ``i // n**2``. Transparent parts become white; other sizes are shrunk or enlarged, and keep their
    proportions.

    Args:
        images: Shape [num_images, height, width, channels].
        size: Pixels a side of a thumbnail.
        quality: Of the JPEG, 1 to 95.
        progress: Show a bar when it takes more than five seconds.
    """
    pixels = _checks.images(images)
    if getattr(pixels.dtype, "kind", "u") == "f":
        pixels = to_bytes(pixels)  # at once: which range they have is seen over all of them
    sheets, each = [], across(size) ** 2
    with progress_bar(total=len(pixels), shown=progress, desc="Making thumbnails", unit="image") as bar:
        for start in range(0, len(pixels), each):
            some = np.asarray(pixels[start : start + each])
            sheets.append(sheet_of(thumbnails(some, size), quality))
            bar.update(len(some))
    return sheets


def sheet_of(thumbnails: NDArray[np.uint8], quality: int) -> bytes:
    """One sheet, of no more thumbnails than it has places for."""
    size = thumbnails.shape[1]
    beside = across(size)
    rows = -(-len(thumbnails) // beside)  # only as many as there are
    missing = rows * beside - len(thumbnails)
    sheet = np.pad(thumbnails, ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=255)
    sheet = sheet.reshape(rows, beside, size, size, 3).transpose(0, 2, 1, 3, 4)
    file = io.BytesIO()
    Image.fromarray(sheet.reshape(rows * size, beside * size, 3)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def thumbnails(images: NDArray, size: int) -> NDArray[np.uint8]:
    """RGB thumbnails, shape [num_images, size, size, 3]."""
    pixels = to_bytes(images)
    if pixels.shape[-1] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        pixels = (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    if pixels.shape[1:3] == (size, size):
        return pixels
    small = np.full((len(pixels), size, size, 3), 255, np.uint8)
    scale = size / max(pixels.shape[1:3])
    height, width = (max(round(side * scale), 1) for side in pixels.shape[1:3])
    top, left = (size - height) // 2, (size - width) // 2
    for thumbnail, image in zip(small, pixels, strict=True):
        resized = Image.fromarray(image).resize((width, height))
        thumbnail[top : top + height, left : left + width] = np.asarray(resized)
    return small
