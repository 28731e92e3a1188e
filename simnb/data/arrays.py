"""Examples made of the arrays people have."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._text import shown
from simnb._types import UNKNOWN
from simnb.data.examples import Examples, is_integer
from simnb.data.lazy import lazily

# Labels that are no small numbers, such as dates, would need a name for every number below them.
_MOST_UNUSED_NAMES = 100_000


def from_arrays(
    images: Any,
    labels: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    ids: ArrayLike | None = None,
    class_metadata: Mapping[str, Sequence[Any]] | None = None,
    lazy: bool = False,
) -> Examples:
    """Make examples of arrays.

    Args:
        images: Shape [num_examples, height, width, channels]; a list of images of one size will do.
        labels: Integers from 0, or strings, shape [num_examples]; the integer ``UNKNOWN``, -1, for an image
            without a label.
        class_names: Name of each class; by default the strings, sorted, or ``"0"``, ``"1"``, ...
        ids: Unique integers, shape [num_examples]; by default 0, 1, ...
        class_metadata: What else is known of the classes, as in ``{"script": ["Latin", "Greek"]}``: for each
            name one value for each class, in the order of ``class_names``.
        lazy: Copy nothing: parts of the examples, such as those of ``split``, keep positions in ``images``,
            which are read when they are needed. For memory maps, and for whatever else has a ``shape`` and a
            ``dtype`` and can be indexed with increasing positions, such as an HDF5 data set.

    Returns:
        ``Examples``.

    Raises:
        ValueError: If anything is malformed; the message says what to do.

    Example:
        >>> import numpy as np
        >>> from simnb import data
        >>> data.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), ["dog", "cat"]).class_names
        ('cat', 'dog')
    """
    images = _images(images)
    if class_names is not None and not isinstance(class_names, str):
        class_names = tuple(class_names)
    numbers, names = labels_and_names(labels, class_names)
    own_ids: Any = np.arange(len(images)) if ids is None else ids
    return Examples(
        lazily(images) if lazy else images,
        numbers,
        names,
        own_ids,
        {} if class_metadata is None else class_metadata,
    )


def _images(images):
    if not hasattr(images, "shape"):
        try:
            images = np.asarray(images)
        except ValueError:
            raise ValueError(
                "images must all have one shape [height, width, channels], got several; resize them, or use "
                "simnb.data.from_folder, which does"
            ) from None
    if len(images.shape) == 3:
        raise ValueError(
            "images must have shape [num_examples, height, width, channels], got "
            f"{tuple(images.shape)}; for grayscale images pass images[..., None], for one image images[None]"
        )
    return _checks.not_empty(_checks.images(images), name="images")


def labels_and_names(
    labels: ArrayLike, class_names: tuple[str, ...] | str | None
) -> tuple[NDArray[Any], Any]:
    """Return integer labels and the names of their classes."""
    if np.ma.is_masked(labels):
        raise ValueError(
            f"labels must not be masked: integers take labels.filled({UNKNOWN}) where there is none"
        )
    array = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
    if array.ndim == 2 and array.shape[1] == 1:  # as keras.datasets gives them
        array = array[:, 0]
    if array.ndim != 1:
        hint = f"; {_checks.one_label_hint(labels)}" if array.ndim == 2 else ""
        raise ValueError(f"labels must have shape [num_examples], got {array.shape}{hint}")
    if array.dtype.kind in "OSTU":
        array = _unboxed(array)
    if array.dtype.kind == "U":
        return _numbered(array, class_names)
    if array.dtype.kind not in "iu":
        nan = " with NaN" if array.dtype.kind == "f" and np.isnan(array).any() else ""
        raise ValueError(
            f"labels must be integers or strings, got dtype {array.dtype}{nan}; if they are whole numbers, "
            "pass labels.astype(int)"
        )
    if len(array) and array.min() < UNKNOWN:
        raise ValueError(
            f"labels must be 0 or above, or {UNKNOWN} for none, got {array.min()} in row {array.argmin()}; "
            "pass the names of classes as strings"
        )
    if class_names is None:
        highest = int(array.max()) if len(array) else -1
        if highest >= max(_MOST_UNUSED_NAMES, 10 * len(array)):
            raise ValueError(
                f"labels must number the classes from 0, got {highest} among {len(array)} labels; renumber "
                "them with numpy.unique(labels, return_inverse=True), or pass them as strings"
            )
        class_names = tuple(map(str, range(highest + 1)))
    return array, class_names


def _unboxed(array):
    """Return an array of str, bytes or objects as one of str or int64."""
    values = [
        value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
        for value in array.tolist()
    ]
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=str)
    if all(map(is_integer, values)):
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            raise ValueError(f"labels must fit int64, got {max(values, key=abs)}") from None
    kinds = sorted({type(value).__name__ for value in values})
    hint = "pass labels of one kind" if len(kinds) > 1 else "if they are whole numbers, make them int"
    if any(value is None or (isinstance(value, float) and np.isnan(value)) for value in values):
        hint = "leave out the rows without a label"
    raise ValueError(f"labels must be integers or strings, got {', '.join(kinds)}; {hint}")


def _numbered(names, class_names):
    found, positions = np.unique(names, return_inverse=True)
    if class_names is None:
        return positions, tuple(found.tolist())
    numbers_of = {shown(name): label for label, name in enumerate(class_names) if isinstance(name, str)}
    strange = [name for name in found.tolist() if shown(name) not in numbers_of]
    if strange:
        raise ValueError(
            f"labels must be among class_names {_checks.listed(class_names)}; got {strange[0]!r}"
        )
    return np.array([numbers_of[shown(name)] for name in found.tolist()], np.int64)[positions], class_names
