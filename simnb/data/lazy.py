"""Images that are read when they are indexed."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from simnb import _checks


class LazyImages:
    """Images that are read when they are indexed, wherever they lie.

    ``images[3]`` is one image, ``images[2:5]``, ``images[mask]`` and ``images[[7, 2]]`` are arrays of images:
    exactly those are read. ``select`` chooses images without reading any, and so do the parts of
    ``Examples`` that are made of them. ``numpy.asarray(images)`` reads all.

    Args:
        read: ``read(rows) -> images``: given different positions in increasing order, shape [n] int64, it
            returns an array of shape [n, *image_shape]. It is called in several threads.
        count: How many images there are.
        image_shape: Height, width and channels.
        dtype: The dtype of the images.
        stamps: ``stamps(rows) -> texts``: of each position what changes whenever its image may have changed,
            such as path, size and time of change of a file; None for an image of which it cannot be told.
            ``simnb.models.embed(..., kept=...)`` knows images by it without reading them.

    Raises:
        ValueError: If an argument is malformed.

    Example:
        >>> import numpy as np
        >>> from simnb import data
        >>> def read(rows):
        ...     return np.stack([np.full((8, 8, 1), row, np.uint8) for row in rows])
        >>> images = data.LazyImages(read, count=100, image_shape=(8, 8, 1))
        >>> images[[7, 2]][:, 0, 0, 0]
        array([7, 2], dtype=uint8)
        >>> data.from_arrays(images, np.arange(100) % 2)[::2].images
        LazyImages(50 images 8x8x1 uint8)
    """

    def __init__(
        self,
        read: Callable[[NDArray[np.int64]], NDArray],
        count: int,
        image_shape: tuple[int, int, int],
        dtype: DTypeLike = "uint8",
        *,
        stamps: Callable[[NDArray[np.int64]], Sequence[str | None]] | None = None,
    ) -> None:
        for name, function in {"read": read, "stamps": stamps or read}.items():
            if not callable(function):
                raise ValueError(f"{name} must be a function of positions, got {type(function).__name__}")
        count = _checks.not_negative_int(count, name="count")
        if not isinstance(image_shape, tuple | list) or len(image_shape) != 3:
            raise ValueError(f"image_shape must be (height, width, channels), got {image_shape!r}")
        self._image_shape = tuple(_checks.positive_int(n, name="each of image_shape") for n in image_shape)
        self._read, self._stamps = read, stamps
        self._rows = np.arange(count)
        self.dtype = np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(num_examples, height, width, channels)``."""
        return (len(self._rows), *self._image_shape)

    @property
    def ndim(self) -> int:
        """4."""
        return 4

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: int | slice | ArrayLike) -> NDArray:
        """Read the image at an int, or the images at a slice, a mask or an array of positions."""
        rows = self._rows_at(key)
        return self._images(rows) if rows.ndim else self._images(rows[None])[0]

    def select(self, key: slice | ArrayLike) -> "LazyImages":
        """Choose images, by a slice, a mask or an array of positions, without reading them."""
        rows = self._rows_at(key)
        if rows.ndim == 0:
            raise IndexError(f"select takes a slice, a mask or an array of positions, got {key!r}")
        part = object.__new__(LazyImages)
        part.__dict__.update(self.__dict__, _rows=rows)
        return part

    def stamps(self) -> list[str | None]:
        """What each image is known by without being read; None for those that have to be read.

        Raises:
            ValueError: If the function that gives them does not give one for each.
        """
        found: list[str | None] = [None] * len(self)
        if self._stamps is not None:
            found = list(self._stamps(self._rows))
        _checks.same_length(found, self, "stamps and images")
        return found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("lazy images have to be read into a new array: copy=False is not possible")
        images = self[:]
        return images if dtype is None else images.astype(dtype, copy=False)

    def __repr__(self) -> str:
        size = "x".join(map(str, self._image_shape))
        return f"LazyImages({len(self)} image{'s' * (len(self) != 1)} {size} {self.dtype})"

    def _rows_at(self, key):
        if isinstance(key, slice):
            return self._rows[key]
        at = np.asarray(key)
        at = at.astype(np.int64) if at.size == 0 else at
        right = (at.ndim == 0 and at.dtype.kind in "iu") or (at.ndim == 1 and at.dtype.kind in "iub")
        if isinstance(key, tuple) or not right:
            raise IndexError(
                "lazy images take an int, a slice, a mask or an array of positions, as in "
                f"images[:10][..., 0]; got {key!r}"
            )
        return np.asarray(self._rows[at])

    def _images(self, rows):
        """Read rows in increasing order and each once, as disks and HDF5 like it."""
        unique, places = np.unique(rows, return_inverse=True)
        images = np.empty((0, *self._image_shape), self.dtype)
        if len(unique):
            images = np.asarray(self._read(unique))
        expected = (len(unique), *self._image_shape)
        if images.shape != expected or images.dtype != self.dtype:
            raise ValueError(
                f"read must return images of shape {expected} and dtype {self.dtype}, "
                f"got {images.shape} and {images.dtype}"
            )
        return images if np.array_equal(unique, rows) else images[places]


def part_of(images: Any, key: slice | ArrayLike) -> Any:
    """The images at a slice, a mask or an array of positions: of lazy images without reading them."""
    return images.select(key) if isinstance(images, LazyImages) else images[key]


def lazily(images: Any) -> LazyImages:
    """Lazy images over a memory map, an HDF5 data set or whatever else has a shape and can be indexed."""
    if isinstance(images, LazyImages):
        return images
    read: Any = functools.partial(operator.getitem, images)
    return LazyImages(read, len(images), tuple(images.shape[1:]), images.dtype)
