"""Data sets with random access, such as ``tfds.data_source``: images are read when they are needed."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from simnb import _checks
from simnb._terminal import progress_bar
from simnb._threads import in_threads, processors
from simnb.data.arrays import from_arrays
from simnb.data.examples import Examples
from simnb.data.lazy import LazyImages

# Examples read at a time where only their labels are wanted.
LABELS_AT_ONCE = 1000


def from_source(
    source: Any,
    *,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    ids: ArrayLike | None = None,
    image_size: tuple[int, int] | None = None,
    image_key: str = "image",
    label_key: str = "label",
    workers: int | None = None,
    progress: bool = True,
) -> Examples:
    """Make examples of a data set with random access, keeping no image in memory.

    Args:
        source: Anything with a length whose ``source[i]`` is a dict with an image and a label, such as
            ``tfds.data_source("cifar10", split="train")`` of a data set prepared as array_record. Where there
            is ``__getitems__(list_of_positions)``, it is used.
        labels: Integers or strings, shape [num_examples], as in ``from_arrays``. By default read from the
            source now: of ``tfds.data_source`` without decoding an image, of others together with it.
        class_names: Name of each class; by default those TFDS knows, or as in ``from_arrays``.
        ids: Unique integers, shape [num_examples]; by default 0, 1, ...
        image_size: ``(height, width)`` to resize to; needed where images have different sizes.
        image_key: Key of the image in an example: an array of shape [height, width, channels] or
            [height, width], or a Pillow image.
        label_key: Key of the label in an example.
        workers: How many threads read; by default one for each processor.
        progress: Show a bar while labels are read, when it takes more than five seconds.

    Returns:
        ``Examples`` with ``LazyImages``.

    Raises:
        ValueError: If the source is none, an example lacks a key or the labels are malformed. An image
            that cannot be read, or has another size than the first, raises when it is indexed.

    Example:
        >>> import numpy as np
        >>> from simnb import data
        >>> source = [{"image": np.zeros((8, 8, 3), np.uint8), "label": n % 2} for n in range(10)]
        >>> data.from_source(source)
        Examples(10 images 8x8x3 uint8, 2 classes)
    """
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        raise ValueError(f"source must have a length and give source[i], got {type(source).__name__}")
    _checks.not_empty(source, name="source")
    size = None if image_size is None else _checks.image_size(image_size)
    workers = processors() if workers is None else _checks.positive_int(workers, name="workers")
    first = _image(_example(source[0], image_key), 0, size)
    if labels is None:
        labels = _labels(source, label_key, image_key, progress)
    features = getattr(getattr(source, "dataset_info", None), "features", None) or {}
    if class_names is None and label_key in features:
        class_names = getattr(features[label_key], "names", None)
    read = functools.partial(_read_rows, source, image_key, size, first.shape, workers)
    images = LazyImages(read, len(source), first.shape, first.dtype)
    return from_arrays(images, labels, class_names=class_names, ids=ids)


def _read_rows(source, key, size, shape, workers, rows):
    """The images at some positions, which must have a shape."""
    parts = np.array_split(rows, min(workers, len(rows)))

    def read(part):
        examples = _get_items(source, parts[part].tolist())
        numbered = zip(examples, parts[part], strict=True)
        return [_image(_example(example, key), row, size, shape) for example, row in numbered]

    with contextlib.closing(in_threads(read, len(parts), workers)) as done:
        return np.stack([image for part in done for image in part])


def _image(value, row, size, shape=None):
    """An image as an array, resized to a size unless that is None, which must have a shape unless that is."""
    image = np.asarray(value)
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3:
        raise ValueError(f"images must have shape [height, width, channels], got {image.shape} at {row}")
    if size is not None and image.shape[:2] != size:
        image = _resized(image, size)
    if shape is not None and image.shape != shape:
        raise ValueError(
            f"images must all have the shape of the first, {shape}, got {image.shape} at position {row}; "
            "pass image_size=(height, width) to have them resized"
        )
    return image


def _get_items(source, positions):
    """The examples at a list of positions."""
    if hasattr(source, "__getitems__"):
        return source.__getitems__(positions)
    return [source[position] for position in positions]


def _example(example, key):
    try:
        return example[key]
    except (KeyError, TypeError, IndexError):
        there = ", ".join(map(str, example)) if isinstance(example, dict) else type(example).__name__
        raise ValueError(f"source must give dicts with the key {key!r}, got {there}") from None


def _labels(source, label_key, image_key, progress):
    """The label of every example."""
    if hasattr(source, "decoders") and dataclasses.is_dataclass(source):  # a source of TFDS
        import tensorflow_datasets as tfds

        source = dataclasses.replace(source, decoders={image_key: tfds.decode.SkipDecoding()})
    labels = []
    starts = range(0, len(source), LABELS_AT_ONCE)
    for start in progress_bar(starts, desc="Reading labels", unit="thousand", shown=progress):
        positions = list(range(start, min(start + LABELS_AT_ONCE, len(source))))
        labels += [_example(example, label_key) for example in _get_items(source, positions)]
    return labels


def _resized(image, size):
    if image.dtype != np.uint8:
        raise ValueError(f"images must be uint8 to be resized, got dtype {image.dtype}")
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    height, width = size
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0))
    return resized[..., None] if resized.ndim == 2 else resized
