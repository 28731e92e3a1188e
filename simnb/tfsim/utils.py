"""Small helpers that scripts call."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simnb.matching import UNKNOWN
from simnb.tfsim.types import Lookup

__all__ = ["tf_cap_memory", "is_tensor_or_variable", "unpack_lookup_labels", "unpack_lookup_distances"]


def tf_cap_memory() -> None:
    """Have TensorFlow take the memory of GPUs as it needs it, instead of all at once.

    Without a GPU this does nothing. Call it first: once TensorFlow has begun to use a GPU, it says that it is
    too late.
    """
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def is_tensor_or_variable(x: object) -> bool:
    """Whether x is a tensor or a variable of TensorFlow."""
    import tensorflow as tf

    return tf.is_tensor(x)


def unpack_lookup_labels(lookups: Iterable[Sequence[Lookup]], dtype: DTypeLike = "int64") -> NDArray:
    """Labels of lookups: shape [num_queries, k]; all must have found the same number of neighbors."""
    rows = [[UNKNOWN if found.label is None else found.label for found in row] for row in lookups]
    return np.asarray(rows, dtype)


def unpack_lookup_distances(
    lookups: Iterable[Sequence[Lookup]], dtype: DTypeLike = "float32", distance_rounding: int | None = None
) -> NDArray:
    """Distances of lookups: shape [num_queries, k]; all must have found the same number of neighbors."""
    found = np.asarray([[found.distance for found in row] for row in lookups], dtype)
    return found if distance_rounding is None else found.round(distance_rounding)
