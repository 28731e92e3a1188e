"""Complaints about numbers, distances and flags of queries, in the voice of ``simnb._checks``."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.index.results import check_distances


def distances(values: ArrayLike) -> np.ndarray:
    """Return ``values`` as numbers of shape [num_queries], ``inf`` for no neighbor, or raise ValueError."""
    array = row(values, name="distances")
    return check_distances(array) if array.dtype.kind == "f" else array


def flags(values: ArrayLike, *, count: int, name: str) -> NDArray[np.bool_]:
    """Return ``values`` as booleans of shape [count], or raise ValueError."""
    array = _row_of("booleans", "b", values, name)
    if len(array) != count:
        raise ValueError(f"{name} and distances must have the same length, got {len(array)} and {count}")
    return array


def both_kinds(
    known: NDArray[np.bool_], *, name: str = "queries", kinds: tuple[str, str] = ("known", "unknown")
) -> None:
    """Raise ValueError unless some flags are true and some false: a curve needs both."""
    count = int(np.count_nonzero(known))
    if count in (0, len(known)):
        raise ValueError(
            f"{name} must be both {kinds[0]} and {kinds[1]}, got {count} {kinds[0]} "
            f"and {len(known) - count} {kinds[1]}"
        )


def row(values: ArrayLike, *, name: str) -> np.ndarray:
    """Return ``values`` as numbers of shape [num_queries], or raise ValueError."""
    return _checks.not_empty(_row_of("numbers", "fiub", values, name), name=name)


def _row_of(what, kinds, values, name):
    array = np.asarray(values)
    if array.dtype.kind not in kinds or array.ndim != 1:
        raise ValueError(
            f"{name} must be {what} of shape [num_queries], got {array.dtype} of shape {array.shape}"
        )
    return array
