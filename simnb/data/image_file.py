"""One image file: upright RGB pixels, or a sentence that says why not."""

import contextlib
import io
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features
from PIL import __version__ as pillow

from simnb import __version__, _checks
from simnb._types import AnyPath

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
if "avif" not in features.modules or not features.check("avif"):  # Pillow has it from 11.3 on
    del _SUFFIXES["AVIF"]
#: Whatever a file's suffix says, only these decoders see it.
FORMATS = tuple(_SUFFIXES)
#: Suffixes, in lower case, of the files that are read.
SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
_KINDS = ["WebP" if name == "WEBP" else name for name in FORMATS]
#: What is read, as messages write it.
KINDS = f"{', '.join(_KINDS[:-1])} or {_KINDS[-1]}"
# Other images that people have, by the suffixes of their files.
_NOT_READ = {
    "a HEIC photo": ".heic .heif .hif",
    "an AVIF image": ".avif .avifs",
    "a JPEG XL image": ".jxl",
    "a JPEG 2000 image": ".jp2 .j2k .j2c .jpc .jpf .jpx",
    "a raw photo": ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mef .mrw .nef .nrw .orf .pef .raf "
    ".rw2 .rwl .sr2 .srf .srw .x3f",
    "a drawing": ".ai .cdr .emf .eps .svg .svgz .wmf",
    "a file of an image editor": ".afphoto .kra .psb .psd .xcf",
    "an icon": ".cur .icns .ico",
    "a medical image": ".dcm .dicom",
    "an image of another kind": ".blp .bw .dcx .dds .exr .fits .gbr .hdr .icb .im .msp .palm .pbm .pcd .pcx "
    ".pfm .pgm .pnm .ppm .pxr .qoi .ras .rgb .rgba .sgi .tga .xbm .xpm",
}
_NOT_READ = {
    suffix: kind
    for kind, suffixes in _NOT_READ.items()
    for suffix in suffixes.split()
    if suffix not in SUFFIXES
}
# Nanoseconds within which two changes of a file may have the same time: FAT counts in steps of two seconds.
_FRESH = 3 * 10**9
# The first bytes of files that are named like images but are not, or those from the fifth on.
_SIGNS = {
    b"<svg": "an SVG drawing",
    b"<?xml": "an SVG drawing or another XML file",
    b"ftyphei": "a HEIC photo",
    b"ftypmif": "a HEIC photo",
    b"ftypavi": "an AVIF image",
    b"%PDF": "a PDF document",
    b"\x00\x00\x01\x00": "an icon",
}


def read_image(
    source: bytes | bytearray | memoryview | AnyPath | BinaryIO,
    *,
    image_size: tuple[int, int] | None = None,
    max_pixels: int = 50_000_000,
) -> NDArray[np.uint8]:
    """Read one image.

    It becomes RGB, upright as its EXIF data says, with transparent parts on white, and 16 bits a channel are
    scaled to 8. Of an animation the first frame is read, of several pages the first.

    Args:
        source: The bytes of a JPEG, PNG, WebP, BMP, GIF or TIFF file, or of AVIF where Pillow reads it; its
            path; or a binary file object.
        image_size: ``(height, width)`` to resize to, without keeping the proportions; by default its own.
        max_pixels: Larger images are refused before they are decoded: a small file can claim any size.

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
            return decoded(io.BytesIO(content), size, max_pixels)
    except UnidentifiedImageError as error:
        raise ValueError(_no_image(content)) from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"the image has too many pixels: {error}") from error
    except ValueError as error:
        raise ValueError(f"the image cannot be read: {error}") from error
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise ValueError(f"the file is damaged or incomplete: {error or type(error).__name__}") from error


def has_more_frames(content: bytes) -> bool:
    """Whether the bytes of an image hold a second frame or page.

    They are not counted: a TIFF file can hold a hundred thousand pages.
    """
    with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        warnings.filterwarnings("ignore", module="PIL")
        try:
            return bool(getattr(image, "is_animated", False))
        except Exception:  # a damaged second frame: decoders raise whatever it leads them to
            return True


@contextlib.contextmanager
def opened(file: AnyPath | BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """An image of which only the head has been read."""
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise ValueError(f"{image.width} x {image.height} pixels are more than max_pixels={max_pixels}")
        if image.mode == "F":
            raise ValueError("its pixels are fractions without a known white; save it with 8 or 16 bits")
        yield image


def decoded(file: AnyPath | BinaryIO, size: tuple[int, int] | None, max_pixels: int) -> NDArray[np.uint8]:
    """Return an image as an array, shape [height, width, 3] uint8; in its own size where that is None."""
    with opened(file, max_pixels) as image:
        if size is None:
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
        height, width = size
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is faster; twice the result's
        # size is left, so that the filter below still does the averaging.
        image.draft(None, (2 * max(size), 2 * max(size)))
        upright = _rgb(ImageOps.exif_transpose(image))
        return np.asarray(upright.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0))


def thumbnail(file: AnyPath | BinaryIO, side: int, max_pixels: int = 50_000_000) -> NDArray[np.uint8]:
    """Return an image in its proportions amid a white square, shape [side, side, 3] uint8."""
    with opened(file, max_pixels) as image:
        image.draft(None, (2 * side, 2 * side))  # as in decoded
        upright = _rgb(ImageOps.exif_transpose(image))
        return np.asarray(ImageOps.pad(upright, (side, side), Image.Resampling.BICUBIC, color="white"))


def stamp(file: AnyPath, size: tuple[int, int]) -> str | None:
    """What changes whenever ``decoded(file, size, ...)`` may give another image; no byte of it is read.

    None where that cannot be told: of a file that has changed within the last seconds, which may change again
    without another time of change, or that has gone.
    """
    try:
        found = os.stat(file)
    except OSError:  # whoever reads it says why it cannot be read
        return None
    times = found.st_mtime_ns, found.st_ctime_ns
    if max(times) > time.time_ns() - _FRESH:
        return None
    return repr((os.path.abspath(file), found.st_size, *times, tuple(size), __version__, pillow))


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


def is_image(suffix: str) -> bool:
    """Whether a file with this suffix is an image, readable here or not."""
    return suffix.lower() in SUFFIXES or suffix.lower() in _NOT_READ


def not_read(suffix: str) -> str | None:
    """Why an image with this suffix is not read; None where it is read, or is not an image."""
    kind = _NOT_READ.get(suffix.lower())
    return None if kind is None else _save_it(kind)


def reason(error: BaseException, source: AnyPath | bytes) -> str:
    """Why ``opened`` or ``decoded`` failed, in a few words; ``source`` is a path or the bytes of a file."""
    if isinstance(error, UnidentifiedImageError):
        if not isinstance(source, bytes):
            with open(source, "rb") as file:
                source = file.read(64)
        return _no_image(source) if source else "an empty file"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _no_image(content):
    """Why no decoder takes these bytes; the first few are enough."""
    start = content[:64].lstrip()
    for sign, kind in _SIGNS.items():
        if start.startswith(sign) or start[4:].startswith(sign):
            return _save_it(kind)
    return f"this is not a {KINDS} image"


def _save_it(kind):
    return f"{kind} cannot be read; save it as JPEG or PNG first"
