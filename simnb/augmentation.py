"""Random crops, flips, colours and holes, on whole batches of images in NumPy.

Each function takes images of shape [batch, height, width, channels] and a NumPy generator, draws for each
image by itself, and returns new images of the same shape and dtype.

Example:
    >>> import numpy as np
    >>> from simnb.augmentation import color_jitter, cutout, grayscale, random_crop, random_flip
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    >>> images = random_flip(random_crop(images, rng, padding=4), rng)
    >>> images = grayscale(color_jitter(images, rng, brightness=0.4), rng, probability=0.5)
    >>> cutout(images, rng, size=8).shape
    (2, 32, 32, 3)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb import _checks

__all__ = ["Augment", "random_crop", "random_flip", "color_jitter", "grayscale", "cutout"]

# A checkpoint knows a function that augments by its source, docstring included: those below must stay as they
# are, or trainings do not go on from the files that earlier versions wrote.

# Of red, green and blue in the luma of ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Several transforms, one after the other: what the samplers take as ``augment``.

    Args:
        crop: Pixels by which an image is padded before a part of its own size is cut out; 0 for none.
        flip: Mirror half of the images, left to right.
        color: How much brightness, contrast and saturation vary, 0 for none to 1: see ``color_jitter``.
        grayscale: Share of the images that lose their colour, 0 to 1.
        cutout: Side of the square that is covered, in pixels; 0 for none.

    Raises:
        ValueError: If an option is out of range.

    References:
        Chen et al., SimCLR, 2020, for which of them two views of an image need.
        https://arxiv.org/abs/2002.05709

    Example:
        >>> import numpy as np
        >>> from simnb.augmentation import Augment
        >>> augment = Augment(crop=4, color=0.4)
        >>> images = augment(np.zeros((2, 32, 32, 3), np.uint8), np.random.default_rng(0))
        >>> images.shape, images.dtype
        ((2, 32, 32, 3), dtype('uint8'))
    """

    crop: int = 4
    flip: bool = True
    color: float = 0.0
    grayscale: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        _checks.not_negative_int(self.crop, name="crop")
        _checks.not_negative_int(self.cutout, name="cutout")
        _share(self.color, name="color")
        _share(self.grayscale, name="grayscale")
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip must be True or False, got {self.flip!r}")

    def __call__(self, images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Transform a batch.

        Args:
            images: Shape [batch, height, width, channels]; uint8 where ``color`` is above 0.
            rng: A ``numpy.random.Generator``; the same state gives the same result.

        Returns:
            New images of the same shape and dtype.
        """
        images = _checked(images)
        if self.crop:
            images = random_crop(images, rng, padding=self.crop)
        if self.flip:
            images = random_flip(images, rng)
        if self.color:
            options = dict.fromkeys(("brightness", "contrast", "saturation"), self.color)
            images = color_jitter(images, rng, **options)
        if self.grayscale:
            images = grayscale(images, rng, probability=self.grayscale)
        if self.cutout:
            images = cutout(images, rng, size=self.cutout)
        return images


def random_crop(images: NDArray[Any], rng: np.random.Generator, *, padding: int = 4) -> NDArray[Any]:
    """Shift each image by up to ``padding`` pixels in each direction; mirrored pixels fill the edge.

    Args:
        images: Shape [batch, height, width, channels], any dtype.
        rng: A ``numpy.random.Generator``.
        padding: Pixels, fewer than the height and the width.

    Returns:
        New images of the same shape and dtype.

    Raises:
        ValueError: If the images are too small for the padding.
    """
    images = _checked(images)
    padding = _checks.not_negative_int(padding, name="padding")
    count, height, width, _ = images.shape
    if padding >= min(height, width):
        raise ValueError(f"padding must be below the height and width, {height} x {width}, got {padding}")
    tops, lefts = rng.integers(0, 2 * padding + 1, (2, count))
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(images, edges, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    return np.ascontiguousarray(windows[np.arange(count), tops, lefts].transpose(0, 2, 3, 1))


def random_flip(images: NDArray[Any], rng: np.random.Generator, *, probability: float = 0.5) -> NDArray[Any]:
    """Mirror some of the images, left to right.

    Args:
        images: Shape [batch, height, width, channels], any dtype.
        rng: A ``numpy.random.Generator``.
        probability: Of each image to be mirrored, 0 to 1.

    Returns:
        New images of the same shape and dtype.
    """
    images = _checked(images)
    chosen = rng.random(len(images)) < _share(probability, name="probability")
    result = images.copy()
    # Channel by channel, because NumPy is slow where an array's last axis is as short as theirs.
    for channel in range(images.shape[-1]):
        result[chosen, :, :, channel] = images[chosen, :, ::-1, channel]
    return result


def color_jitter(
    images: NDArray[Any],
    rng: np.random.Generator,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
) -> NDArray[np.uint8]:
    """Vary the brightness, contrast and saturation of each image.

    A factor from ``1 - x`` to ``1 + x`` is drawn for each of the three. Brightness multiplies pixels;
    contrast stretches them about the image's mean gray; saturation stretches them about their own gray.
    They follow in this order, and what is beyond 0 or 255 in the end is cut off.

    Args:
        images: Shape [batch, height, width, channels] uint8, of 1 or 3 channels.
        rng: A ``numpy.random.Generator``.
        brightness: The x of brightness, 0 to 1.
        contrast: The x of contrast, 0 to 1.
        saturation: The x of saturation, 0 to 1; without effect on one channel.

    Returns:
        New images of the same shape, uint8.

    Raises:
        ValueError: If the images are not uint8: of others it is not known where white is.
    """
    images = _checked(images)
    if images.dtype != np.uint8:
        raise ValueError(f"images must be uint8 for their colours to be varied, got dtype {images.dtype}")
    gray = _gray(images)
    one_each = (len(images), 1, 1)
    b, c, s = (
        rng.uniform(1 - x, 1 + x, one_each).astype(np.float32)
        for x in (
            _share(brightness, name="brightness"),
            _share(contrast, name="contrast"),
            _share(saturation, name="saturation"),
        )
    )
    # The three steps are linear, and so is what they make together. Channel by channel, because NumPy is
    # slow where an array's last axis is as short as that of the channels.
    common = gray * ((1 - s) * c * b)
    common += gray.mean(axis=(1, 2), keepdims=True) * ((1 - c) * b)
    result = np.empty_like(images)
    for channel in range(images.shape[-1]):
        plane = images[..., channel] * (s * c * b)
        plane += common
        result[..., channel] = _as(np.uint8, plane)
    return result


def grayscale(images: NDArray[Any], rng: np.random.Generator, *, probability: float = 0.2) -> NDArray[Any]:
    """Take the colour from some of the images, keeping their channels.

    Args:
        images: Shape [batch, height, width, channels], of 1 or 3 channels, any dtype.
        rng: A ``numpy.random.Generator``.
        probability: Of each image to lose its colour, 0 to 1.

    Returns:
        New images of the same shape and dtype.
    """
    images = _checked(images)
    chosen = rng.random(len(images)) < _share(probability, name="probability")
    result = images.copy()
    result[chosen] = _as(images.dtype, _gray(images[chosen]))[..., None]
    return result


def cutout(images: NDArray[Any], rng: np.random.Generator, *, size: int) -> NDArray[Any]:
    """Cover a square of each image with the image's mean colour.

    The centre is any pixel of the image, so that near the edge less than the whole square is covered.

    Args:
        images: Shape [batch, height, width, channels], any dtype.
        rng: A ``numpy.random.Generator``.
        size: Side of the square in pixels, 1 or more.

    Returns:
        New images of the same shape and dtype.

    References:
        DeVries and Taylor, Cutout, 2017, where images have a mean of 0 and the square is 0.
        https://arxiv.org/abs/1708.04552
    """
    images = _checked(images)
    size = _checks.positive_int(size, name="size")
    count, height, width, _ = images.shape
    tops = rng.integers(0, height, count) - size // 2
    lefts = rng.integers(0, width, count) - size // 2
    # One axis after the other is much faster than both at once.
    means = _as(images.dtype, images.mean(axis=1, dtype=np.float32).mean(axis=1))
    result = images.copy()
    # NumPy's types say that one number is drawn.
    for image, top, left, mean in zip(result, tops.tolist(), lefts.tolist(), means, strict=True):  # type: ignore[call-overload]
        image[max(top, 0) : top + size, max(left, 0) : left + size] = mean
    return result


def _checked(images):
    return np.asarray(_checks.images(images))


def _gray(images):
    """Gray of each pixel, shape [batch, height, width] float32."""
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels for gray to be known, got {channels}")
    return images[..., 0].astype(np.float32) if channels == 1 else images @ _LUMA


def _as(dtype, values):
    """Turn float values, which are overwritten, into a dtype; for integers, round and cut off at its ends."""
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        np.rint(values, out=values).clip(limits.min, limits.max, out=values)
    return values.astype(dtype)


def _share(value, *, name):
    return _checks.number(value, name=name, at_least=0, at_most=1)
