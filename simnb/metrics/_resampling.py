"""The bootstrap: queries drawn again and again, with replacement, as many as there are."""

from collections.abc import Iterator

import numpy as np

from simnb import _checks
from simnb.metrics import _inputs

_BLOCK = 1 << 17  # draws at a time: what is made of them stays small


def options(confidence, resamples, seed):
    """Check the options every interval has."""
    _inputs.share(confidence, name="confidence")
    return _checks.positive_int(resamples, name="resamples"), _checks.seed(seed)


def strata_sums(columns, strata, resamples, seed) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The queries of each stratum, and the sums of their columns in every resample.

    Args:
        columns: Numbers of each query, shape [num_queries, num_columns].
        strata: Stratum of each query, shape [num_queries], or None for one of all.
        resamples: How many.
        seed: Of the draws.

    Yields:
        Positions of the queries of a stratum, and sums of shape [resamples, num_columns].
    """
    rng = np.random.default_rng(seed)
    for rows in _groups(strata, len(columns)):
        own, count = columns[rows], len(rows)
        sums = np.empty((resamples, columns.shape[1]))
        size = max(1, _BLOCK // count)
        for start in range(0, resamples, size):
            part = sums[start : start + size]
            drawn = rng.integers(0, count, (len(part), count)) if count > 1 else np.zeros((len(part), 1), int)
            part[:] = _counts(drawn, count) @ own
        yield rows, sums


def sums(columns, strata, resamples, seed) -> np.ndarray:
    """Sums of the columns in every resample, shape [resamples, num_columns]."""
    return sum(part for _, part in strata_sums(columns, strata, resamples, seed))


def weights(count, strata, resamples, seed) -> Iterator[np.ndarray]:
    """How often each query was drawn, for some resamples at a time: shape [some, num_queries] int64."""
    rng = np.random.default_rng(seed)
    groups = _groups(strata, count)
    order = np.concatenate(groups)
    sizes = np.array([len(rows) for rows in groups])
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    sizes = np.repeat(sizes, sizes)
    size = max(1, _BLOCK // count)
    for start in range(0, resamples, size):
        some = min(size, resamples - start)
        drawn = (rng.random((some, count)) * sizes).astype(np.int64)
        yield _counts(order[drawn + starts], count)


def _counts(drawn, count):
    """How often each of ``count`` queries is in each row of ``drawn``."""
    flat = drawn + np.arange(len(drawn))[:, None] * count
    return np.bincount(flat.ravel(), minlength=len(drawn) * count).reshape(len(drawn), count)


def _groups(strata, count):
    """Positions of the queries of each stratum, strata in ascending order."""
    if strata is None:
        return [np.arange(count)]
    sizes = np.unique(strata, return_counts=True)[1]
    return np.split(np.argsort(strata, kind="stable"), np.cumsum(sizes)[:-1])
