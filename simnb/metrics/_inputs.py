"""Complaints about scores, distances, flags and shares, in the voice of ``simnb._checks``."""

import numbers

import numpy as np

from simnb import _checks
from simnb.index.results import check_distances


def scores(values, *, name="scores"):
    """Return ``values`` as float64 of shape [num_queries], NaN for no score, or raise ValueError."""
    array = row(values, name=name).astype(np.float64)
    if np.isinf(array).any():
        raise ValueError(
            f"{name} must be finite, or NaN to be left out; got {np.isinf(array).sum()} infinite"
        )
    return array


def distances(values, *, count=None, name="distances", of="labels"):
    """Return ``values`` as floats of shape [num_queries], ``inf`` for no neighbor, or raise ValueError."""
    array = row(values, name=name)
    if count is not None and len(array) != count:
        raise ValueError(f"{name} and {of} must have the same length, got {len(array)} and {count}")
    return check_distances(array, name=name) if array.dtype.kind == "f" else array


def flags(values, *, count, name, of="distances"):
    """Return ``values`` as booleans of shape [count], or raise ValueError."""
    array = np.asarray(values)
    if array.dtype != bool or array.ndim != 1:
        raise ValueError(
            f"{name} must be booleans of shape [num_queries], got {array.dtype} of shape {array.shape}"
        )
    if len(array) != count:
        raise ValueError(f"{name} and {of} must have the same length, got {len(array)} and {count}")
    return array


def both_kinds(known, *, name="queries", kinds=("known", "unknown")):
    """Raise ValueError unless some flags are true and some false: a curve needs both."""
    count = int(np.count_nonzero(known))
    if count in (0, len(known)):
        raise ValueError(
            f"{name} must be both {kinds[0]} and {kinds[1]}, got {count} {kinds[0]} "
            f"and {len(known) - count} {kinds[1]}"
        )


def share(value, *, name, zero=False, one=False):
    """Return ``value`` as a float between 0 and 1, with the ends that are allowed, or raise ValueError."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not (0 < value < 1 or (zero and value == 0) or (one and value == 1)):
        low, high = "at least" if zero else "above", "at most" if one else "below"
        raise ValueError(f"{name} must be a number {low} 0 and {high} 1, got {value!r}")
    return float(value)


def strata(values, *, count, of="scores"):
    """Return ``values`` as int64 of shape [count], None where there are none, or raise ValueError."""
    return None if values is None else _checks.labels(values, count=count, name="strata", of=of)


def row(values, *, name):
    """Return ``values`` as numbers of shape [num_queries], or raise ValueError."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim != 1:
        raise ValueError(
            f"{name} must be numbers of shape [num_queries], got {array.dtype} of shape {array.shape}"
        )
    return _checks.not_empty(array, name=name)
