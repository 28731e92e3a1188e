"""What a graph in Milvus finds of the true neighbors, measured on the index's own rows."""

import time
import warnings

import numpy as np

from simnb._terminal import progress_bar
from simnb.index.exact import ExactSearch
from simnb.index.hnsw import BREADTHS, Tuning

SMALL = BREADTHS[-1]  # rows; the widest search walks over all of them
K = 10
_SAMPLE = 300
_ROUNDING = 1e-4  # of a distance, here and there


def nearest(blocks, queries, k, distance):
    """The k nearest of all rows, read once.

    Args:
        blocks: ``Rows``, one after another.
        queries: Shape [num_queries, dim] float32.
        k: How many.
        distance: Its name.

    Returns:
        Distances, ids and labels, each [num_queries, k]; ``inf`` and -1 where there are fewer rows.
    """
    best = [np.full((len(queries), k), fill) for fill in (np.float32(np.inf), np.int64(-1), np.int64(-1))]
    for rows in blocks:
        distances, positions = ExactSearch(rows.embeddings, distance)(queries, min(k, len(rows)))
        best = merged(best, [distances, rows.ids[positions], rows.labels[positions]], k)
    return best


def merged(one, other, k):
    """The k nearest of two answers, each distances, ids and labels; equal distances in this order."""
    both = [np.concatenate(parts, axis=1) for parts in zip(one, other, strict=True)]
    order = np.argsort(both[0], axis=1, kind="stable")[:, :k]
    return [np.take_along_axis(part, order, axis=1) for part in both]


def sample(ids):
    """Some of the ids."""
    some = np.random.default_rng(0).permutation(len(ids))[:_SAMPLE]
    return ids[np.sort(some)]


def measure(blocks, search, queries, k, distance, target, *, own=None):
    """Raise the breadth until the share of true neighbors found reaches a target.

    Args:
        blocks: All ``Rows``.
        search: Called with queries, k and breadth: distances and ids.
        queries: Shape [num_queries, dim].
        k: How many neighbors.
        distance: Its name.
        target: The share.
        own: Ids of the queries, where they are rows of the index, which are left out.

    Returns:
        A list of ``Tuning``, one for each breadth tried.
    """
    more = k + (own is not None)
    blocks = progress_bar(blocks, desc="Measuring the graph", unit="block")
    true = _others(*nearest(blocks, queries, more, distance)[:2], own)
    tried = []
    for breadth in BREADTHS:
        start = time.perf_counter()
        found = search(queries, more, breadth)
        milliseconds = 1000 * (time.perf_counter() - start) / len(queries)
        last = true[:, -1:]
        hits = _others(*found, own) <= last + _ROUNDING * np.abs(last) + 1e-6
        tried.append(Tuning(breadth, float(hits.mean()), milliseconds))
        if tried[-1].recall >= target:
            break
    return tried


def warn(tuning, wanted):
    """Say that a graph finds less than was asked for."""
    if tuning.recall < wanted:
        warnings.warn(
            f"the graph finds {tuning.recall:.0%} of the true neighbors, not {wanted:.0%}, with the largest "
            f'breadth that is tried, {tuning.breadth}: these embeddings do not suit it; use search="exact"',
            RuntimeWarning,
            stacklevel=2,
        )


def _others(distances, ids, own):
    """The distances without that of the row itself, or without the last where it was not found."""
    if own is None:
        return distances
    themselves = ids == own[:, None]
    themselves[~themselves.any(axis=1), -1] = True
    return distances[~themselves].reshape(len(distances), -1)
