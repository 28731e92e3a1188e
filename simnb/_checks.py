"""Every complaint about shapes, types, NaN and lengths, and every warning, in one voice."""

import math
import numbers
import sys
import warnings
from collections.abc import Collection, Iterable, Sequence, Sized
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb._types import UNKNOWN

_S = TypeVar("_S", bound=Sized)
_PACKAGE = str(Path(__file__).parent)


def embeddings(
    values: ArrayLike, *, name: str = "embeddings", dim: int | None = None, nonzero: bool = False
) -> NDArray[np.float32]:
    """Return ``values`` as a finite float32 array of shape [num_examples, dim], or raise ValueError."""
    array = _array(values, name)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers, got dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0:
        hint = "; for one embedding pass embedding[None]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape [num_examples, dim], got {array.shape}{hint}")
    if dim is not None and array.shape[1] != dim:
        raise ValueError(f"{name} must have dim {dim} like the index, got {array.shape[1]}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    # Not (<=) rather than (>): NaN is neither. The square of a larger value does not fit float32.
    bad = ~(np.abs(array) <= 1e18).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} must be finite, got NaN, infinity or values beyond 1e18 in "
            f"{bad.sum()} of {len(array)} rows, first in row {bad.argmax()}"
        )
    if nonzero:
        zero = ~array.any(axis=1)
        if zero.any():
            raise ValueError(
                f"{name} must not be all zero under this distance, got {zero.sum()} zero rows, "
                f"first row {zero.argmax()}"
            )
    return array


def images(values, *, name="images"):
    """Return ``values`` if it has shape [num_examples, height, width, channels], or raise ValueError."""
    if not hasattr(values, "shape"):
        if hasattr(values, "images"):
            raise ValueError(
                f"{name} must be an array, got {type(values).__name__}; pass its images: "
                f"{name}=examples.images"
            )
        values = np.asarray(values)
    shape = tuple(values.shape)
    if len(shape) != 4:
        hint = "; for one image pass image[None]" if len(shape) == 3 else ""
        raise ValueError(f"{name} must have shape [num_examples, height, width, channels], got {shape}{hint}")
    return values


def pixels(values: ArrayLike, *, name: str = "images") -> None:
    """Raise ValueError where images that ought to be of 0 to 255 are floats of 0 to 1, or of -1 to 1.

    Images that are all black are taken, and so are integers, however dark.
    """
    values = np.asarray(values)
    if values.dtype.kind != "f" or values.size == 0:
        return
    low, high = values.min(), values.max()
    if low >= -1 and high <= 1 and (low or high):
        scaled = f"({name} + 1) * 127.5" if low < 0 else f"{name} * 255"
        raise ValueError(
            f"{name} must have values of 0 to 255 here, got {values.dtype} of {low:.3g} to {high:.3g}, which "
            f"is nearly black: pass {scaled}; if they really are that dark, pass them as uint8"
        )


def labels(
    values: ArrayLike, *, count: int | None = None, name: str = "labels", of: str = "embeddings"
) -> NDArray[np.int64]:
    """Return ``values`` as int64 labels of shape [count], or raise ValueError; a column is taken too."""
    array = _array(values, name)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        raise ValueError(f"{name} must have shape [num_examples], got {array.shape}; {one_label_hint(array)}")
    if array.dtype.kind not in "iu":
        strings = array.dtype.kind in "SU" or (array.ndim and isinstance(array.flat[0], str))
        hint = "; simnb.data.from_arrays turns strings into integers and keeps the class names"
        raise ValueError(f"{name} must be integers, got dtype {array.dtype}{hint if strings else ''}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape [num_examples], got {array.shape}")
    if count is not None and len(array) != count:
        raise ValueError(f"{name} and {of} must have the same length, got {len(array)} and {count}")
    if array.dtype.kind == "u" and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit int64, got {array.max()}")
    return array.astype(np.int64)


def labelled(values: NDArray[np.int64], needed_by: str) -> None:
    """Raise ValueError where one of the labels of examples is ``UNKNOWN``."""
    without = int(np.count_nonzero(values == UNKNOWN))
    if without == 0:
        return
    if without == len(values):
        have = f"none of the {without} has one; a folder with one sub-folder for each class has labels"
    else:
        have = f"{without} of {len(values)} have none; examples.only(examples.class_names) leaves them out"
    raise ValueError(f"{needed_by} needs examples with labels, but {have}")


def one_label_hint(values: ArrayLike | None) -> str:
    """What to do about labels that are rows of numbers; ``values`` is None where they are not known."""
    marks = np.asarray([] if values is None else values)
    marked = marks.ndim == 2 and marks.dtype.kind in "biuf" and np.isin(marks, (0, 1)).all()
    if marked and (marks.sum(axis=1) != 1).any():
        return (
            "each example must have exactly one class here: keep one class of each, or number the "
            "combinations with np.unique(labels, axis=0, return_inverse=True)[1]"
        )
    return "one-hot labels become integers with argmax(axis=1)"


def seed(value: int) -> int:
    """Return ``value`` as an int of at least 0, or raise ValueError."""
    return not_negative_int(value, name="seed")


def positive_int(value: int, *, name: str, least: int = 1) -> int:
    """Return ``value`` as an int of at least ``least``, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def not_negative_int(value: int, *, name: str) -> int:
    """Return ``value`` as an int of at least 0, or raise ValueError."""
    return positive_int(value, name=name, least=0)


def number(
    value: float,
    *,
    name: str,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    hint: str = "",
) -> float:
    """Return ``value`` as a finite float within the limits that are given, or raise ValueError."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    within = real and (
        -math.inf < value < math.inf
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )
    if not within:
        raise ValueError(f"{name} must be a {_kind(above, at_least, below, at_most)}, got {value!r}{hint}")
    return float(value)


def _kind(above, at_least, below, at_most):
    """Such as "number above 0 and at most 1"."""
    if at_least is not None and at_most is not None:
        return f"number from {at_least:g} to {at_most:g}"
    limits = {"above": above, "at least": at_least, "below": below, "at most": at_most}
    words = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
    if not words:
        return "finite number"
    return f"number {'of ' if words[0].startswith('at') else ''}{' and '.join(words)}"


def one_of(value: str, choices: Collection[str], *, name: str) -> str:
    """Return ``value`` if it is one of ``choices``, or raise ValueError."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(sorted(choices))}; got {value!r}")
    return value


def not_empty(values: _S, *, name: str) -> _S:
    """Return ``values`` if it has at least one element, or raise ValueError."""
    if len(values) == 0:
        raise ValueError(f"{name} must hold at least one example, got none")
    return values


def same_length(one: Sized, other: Sized, names: str) -> None:
    """Raise ValueError where two things differ in length; ``names`` is like "labels and embeddings"."""
    if len(one) != len(other):
        raise ValueError(f"{names} must have the same length, got {len(one)} and {len(other)}")


def image_size(value: Sequence[int], *, name: str = "image_size") -> tuple[int, int]:
    """Return ``value`` as (height, width), or raise ValueError."""
    try:
        height, width = value
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be (height, width), got {value!r}") from None
    return positive_int(height, name=f"height of {name}"), positive_int(width, name=f"width of {name}")


def same_class_names(one: Iterable[str], other: Iterable[str], *, of: str) -> None:
    """Raise ValueError where two tuples of class names differ: labels would not mean the same."""
    if tuple(one) != tuple(other):
        raise ValueError(
            f"{of} must have the same class names, got {listed(one)} and {listed(other)}; "
            "pass class_names=... where they are read"
        )


def listed(names: Iterable[object]) -> str:
    """Names as messages print them: all of a few, the first of many."""
    names = list(names)
    return ", ".join(map(repr, names[:20])) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")


def warn(message: str | Warning, category: type[Warning] = RuntimeWarning) -> None:
    """Warn, naming the first line outside of this package that led here."""
    level, frame = 2, sys._getframe(1)  # 2 is the caller of this
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _array(values, name):
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be an array, got a list whose parts differ in length") from None
