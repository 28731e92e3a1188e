"""The retrieval metrics of each query, as ``retrieval_scores`` defines them.

Every formula takes which neighbors are right, shape [some, n] bool, and R, shape [some] float, NaN where
there is nothing to find; and returns the scores, shape [some].
"""

import numpy as np


def recall(relevant, r):
    """1 where any neighbor is right."""
    return relevant.any(axis=1)


def precision(relevant, r):
    """Share of right ones."""
    return relevant.mean(axis=1)


def average_precision(relevant, r):
    """Precision at the rank of each right one, summed and divided by R."""
    right = np.cumsum(relevant, axis=1, dtype=np.float64)
    right /= np.arange(1, relevant.shape[1] + 1)
    right *= relevant
    return right.sum(axis=1) / r


def ndcg(relevant, r):
    """Discounted sum of the right ones, divided by that of the best order."""
    discounts = 1 / np.log2(np.arange(2, relevant.shape[1] + 2))
    # fmin: R where it is NaN only has to be some position, the division by it is NaN.
    ideal = np.cumsum(discounts)[np.fmin(r, len(discounts)).astype(np.int64) - 1]
    return (relevant @ discounts) / np.where(np.isnan(r), np.nan, ideal)


def r_precision(relevant, r):
    """Share of right ones among the first R."""
    return np.count_nonzero(_first(relevant, r), axis=1) / r


def map_at_r(relevant, r):
    """Average precision of the first R."""
    return average_precision(_first(relevant, r), r)


def first_rank(relevant, r):
    """Rank of the first right one, from 1; inf where there is none."""
    return np.where(relevant.any(axis=1), relevant.argmax(axis=1) + 1.0, np.inf)


def reciprocal_rank(relevant, r):
    """1 / rank of the first right one; 0 where there is none."""
    return 1 / first_rank(relevant, r)


def _first(relevant, r):
    return relevant & (np.arange(relevant.shape[1]) < r[:, None])
