"""Images for a figure: found by their ids, brought to bytes, and drawn."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.data import Examples
from simnb.index import Neighbors


def look_up(queries: Examples, neighbors: Neighbors, gallery: Examples) -> NDArray[np.int64]:
    """Position in the gallery of every neighbor, shape [num_queries, k]; -1 in padded places."""
    _check_examples(queries, name="queries")
    _check_examples(gallery, name="gallery")
    if len(neighbors) != len(queries.images):
        raise ValueError(
            "queries and neighbors must have the same length, "
            f"got {len(queries.images)} and {len(neighbors)}; index both the same way"
        )
    ids, padded = np.asarray(gallery.ids), neighbors.ids < 0
    at = places_in(ids, neighbors.ids)
    missing = np.unique(neighbors.ids[(at == len(ids)) & ~padded])
    if len(missing):
        raise ValueError(
            f"gallery must hold every id in neighbors, but lacks {len(missing)}, for example {missing[0]}; "
            "pass the examples that were indexed"
        )
    return np.where(padded, -1, at)


def places_in(values: NDArray[np.int64], wanted: ArrayLike) -> NDArray[np.int64]:
    """Position in ``values`` of each number that is wanted; their length where it is not among them."""
    order = np.argsort(values, kind="stable")
    at = order[np.minimum(np.searchsorted(values, wanted, sorter=order), len(values) - 1)]
    return np.where(values[at] == wanted, at, len(values))


def _check_examples(examples, *, name):
    """Raise ValueError unless it has what ``Examples`` has, with one label and id for each image."""
    missing = [n for n in ("images", "labels", "class_names", "ids") if not hasattr(examples, n)]
    if missing:
        raise ValueError(
            f"{name} must be Examples with images, labels, class_names and ids, "
            f"got {type(examples).__name__} without {', '.join(missing)}"
        )
    _checks.images(examples.images, name=f"{name}.images")
    _checks.not_empty(examples.images, name=name)
    for field in ("labels", "ids"):
        values, count = getattr(examples, field), len(examples.images)
        _checks.labels(values, count=count, name=f"{name}.{field}", of=f"{name}.images")


def displayable(images: ArrayLike) -> NDArray[np.uint8]:
    """Return ``images`` as ``to_bytes`` does, in 64 levels.

    Nobody sees the difference to 256 levels, and the PNG in the notebook is a third smaller.
    """
    pixels = to_bytes(_checks.not_empty(_checks.images(images), name="images"))
    return ((pixels >> 2).astype(np.uint16) * 255 // 63).astype(np.uint8)


def to_bytes(images: ArrayLike) -> NDArray[np.uint8]:
    """Return ``images`` as uint8 of shape [num_examples, height, width, 1, 3 or 4].

    Integers are taken for 0 to 255; floats for 0 to 1, or -1 to 1 where any is negative, or 0 to 255 where
    any exceeds 2.
    """
    pixels = np.asarray(images)
    if pixels.shape[-1] not in (1, 3, 4):
        raise ValueError(f"images must have 1, 3 or 4 channels, got {pixels.shape[-1]}")
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind in "iu":
        return np.clip(pixels, 0, 255).astype(np.uint8)
    pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError("images must be finite, got NaN or infinity")
    if pixels.max(initial=0) > 2:
        pixels = pixels / 255
    elif pixels.min(initial=0) < 0:
        pixels = pixels / 2 + 0.5
    return (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)


def show_pixels(
    ax: Axes, image: NDArray[np.uint8], extent: tuple[float, float, float, float], zorder: float = 0
) -> None:
    """Draw an image, shape [height, width, channels], between left, right, bottom and top."""
    # Small images: blocks, which compress; smooth ones make the notebook's file four times as large.
    smooth = "nearest" if max(image.shape) <= 64 else "auto"
    # Of images in colour matplotlib ignores all of these but the last.
    look: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255, "zorder": zorder}
    ax.imshow(image, extent=extent, aspect="equal", interpolation=smooth, **look)
