"""One image file: upright RGB pixels, or a sentence that says why not."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from simnb import _checks

#: Whatever a file's suffix says, only these decoders see it.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_ALSO_SINGLE = ("GIF", "TIFF")
# What people try, and Pillow alone does not read: the first bytes, or those from the fifth on.
_OTHERS = {
    b"<svg": "an SVG drawing",
    b"<?xml": "an SVG drawing or another XML file",
    b"ftyphei": "a HEIC photo",
    b"ftypmif": "a HEIC photo",
    b"ftypavi": "an AVIF image",
    b"%PDF": "a PDF document",
    b"\x00\x00\x01\x00": "an icon",
}


def read_image(source, *, image_size=None, max_pixels=50_000_000):
    """Read one image.

    It becomes RGB, upright as its EXIF data says, with transparent parts on white, and 16 bits a channel are
    scaled to 8. Of an animation the first frame is read.

    Args:
        source: The bytes of a JPEG, PNG, WebP, BMP, GIF or TIFF file, its path, or a binary file object.
        image_size: ``(height, width)`` to resize to, without keeping the proportions; its own when left out.
        max_pixels: Refuse larger images before they are decoded: a small file can claim a size that would
            fill the memory.

    Returns:
        Shape [height, width, 3] uint8.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such image, is damaged or too large; the message is a sentence for people.
    """
    size = None if image_size is None else _checks.image_size(image_size)
    max_pixels = _checks.positive_int(max_pixels, name="max_pixels")
    content = _content(source)
    if not content:
        raise ValueError("the file is empty")
    try:
        with warnings.catch_warnings():
            # Of damaged EXIF data and odd palettes; and of large images, which max_pixels refuses.
            warnings.filterwarnings("ignore", module="PIL")
            return decoded(io.BytesIO(content), size, max_pixels, FORMATS + _ALSO_SINGLE)
    except UnidentifiedImageError as error:
        raise ValueError(_no_image(content)) from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"the image has too many pixels: {error}") from error
    except ValueError as error:
        raise ValueError(f"the image cannot be read: {error}") from error
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise ValueError(f"the file is damaged or incomplete: {error or type(error).__name__}") from error


def num_frames(content):
    """How many frames the bytes of an image have: more than one in an animation."""
    with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as image:
        warnings.filterwarnings("ignore", module="PIL")
        return getattr(image, "n_frames", 1)


@contextlib.contextmanager
def opened(file, max_pixels, formats=FORMATS):
    """An image of which only the head has been read."""
    with Image.open(file, formats=formats) as image:
        if image.width * image.height > max_pixels:
            raise ValueError(f"{image.width} x {image.height} pixels are more than max_pixels={max_pixels}")
        yield image


def decoded(file, size, max_pixels, formats=FORMATS):
    """Return an image as an array, shape [height, width, 3] uint8; in its own size where that is None."""
    with opened(file, max_pixels, formats) as image:
        if size is None:
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
        height, width = size
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is faster; twice the result's
        # size is left, so that the filter below still does the averaging.
        image.draft(None, (2 * max(size), 2 * max(size)))
        upright = _rgb(ImageOps.exif_transpose(image))
        return np.asarray(upright.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0))


def _rgb(image):
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow's convert would cut off all above 255
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(np.rint(values / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _content(source):
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | Path):
        return Path(source).expanduser().read_bytes()
    if hasattr(source, "read"):
        return source.read()
    raise ValueError(
        f"source must be the bytes of an image file, a path or a file object, got {type(source).__name__}"
    )


def _no_image(content):
    start = content[:64].lstrip()
    for sign, name in _OTHERS.items():
        if start.startswith(sign) or start[4:].startswith(sign):
            return f"{name} cannot be read; save it as JPEG or PNG first"
    return "this is no JPEG, PNG, WebP, BMP, GIF or TIFF image"
