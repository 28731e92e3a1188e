"""Exact k-nearest-neighbor search in blocks: the full distance matrix is never held."""

import numpy as np
from scipy.spatial.distance import cdist

from simnb import _checks
from simnb.distances import DISTANCES

QUERY_BLOCK = 256
GALLERY_BLOCK = 32_768
_FOLD = 64  # columns that share one minimum, see smallest()
_SPARE = 32  # candidates beyond the k best, since ranking rounds before the distance is measured
_MEASURED_VALUES = 4_000_000  # differences held at once while candidates are measured


class ExactSearch:
    """Gallery rows made ready for one distance, then searched any number of times.

    Ranking needs no full distance: nearest by cosine is the largest product of unit rows, nearest by
    Euclidean distance the smallest ``|g|^2 / 2 - q.g``. These round, and by how much depends on the
    block; so 32 more than k candidates are kept, and their distances are measured one by one: a distance
    does not depend on what else is searched with it. Where rounding could have hidden a nearer row even so
    (Euclidean distances between clusters that lie far apart), the query is ranked again in float64.

    Args:
        gallery: Shape [num_gallery, dim] float32, checked by the caller; not copied where it can be
            searched as it is (unit rows under cosine, rows around 0 under Euclidean distance).
        distance: One of ``simnb.distances.DISTANCES``.
    """

    def __init__(self, gallery, distance="cosine"):
        """Prepare the rows once."""
        self.distance = _checks.one_of(distance, DISTANCES, name="distance")
        self._center = _center(gallery) if "euclidean" in distance else None
        self._rows = self._ready(gallery)
        self._bias = None
        if "euclidean" in distance or distance == "snr":
            self._bias = 0.5 * np.einsum("nd,nd->n", self._rows, self._rows)
            self._longest = float(np.sqrt(2.0 * self._bias.max(initial=0.0)))

    def __len__(self):
        """How many rows are searched."""
        return len(self._rows)

    def __call__(self, queries, k):
        """The k nearest rows of each query.

        Args:
            queries: Shape [num_queries, dim] float32, checked by the caller.
            k: How many, 1 to the number of rows.

        Returns:
            Distances [num_queries, k] float32, nearest first (equal ones in the order of the rows),
            and positions [num_queries, k] int64.
        """
        queries = self._ready(queries)
        distances = np.empty((len(queries), k), np.float32)
        positions = np.empty((len(queries), k), np.int64)
        buffer = np.empty((min(len(queries), QUERY_BLOCK), min(len(self), GALLERY_BLOCK)), np.float32)
        for start in range(0, len(queries), QUERY_BLOCK):
            rows = slice(start, start + QUERY_BLOCK)
            candidates, last = self._candidates(queries[rows], k, self._rank, buffer)
            distances[rows], positions[rows] = self._nearest(queries[rows], candidates, k)
            again = start + np.flatnonzero(self._unsure(queries[rows], distances[rows, -1], last))
            if len(again):
                candidates, _ = self._candidates(queries[again], k, self._rank_in_float64, buffer)
                distances[again], positions[again] = self._nearest(queries[again], candidates, k)
        return distances, positions

    def nearest_of(self, queries, positions):
        """The given rows of each query, shape [num_queries, k], by distance: what a call returns."""
        return self._nearest(self._ready(queries), positions, positions.shape[1])

    def _nearest(self, queries, candidates, k):
        measured = self._measure(queries, candidates)
        order = np.lexsort((candidates, measured), axis=1)[:, :k]
        return np.take_along_axis(measured, order, axis=1), np.take_along_axis(candidates, order, axis=1)

    def _unsure(self, queries, kth, last):
        """Whether a row that is no candidate may be nearer than the kth: its rank is at least ``last``."""
        if self._bias is None:
            return np.zeros(len(queries), bool)
        squares = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        found = kth.astype(np.float64) ** 2 if self.distance == "euclidean" else kth.astype(np.float64)
        if self.distance == "snr":
            found = found * squares
        size = self._longest * (np.sqrt(squares) + 0.5 * self._longest)
        rounding = np.finfo(np.float32).eps * np.sqrt(queries.shape[1]) * size
        return 0.5 * found > last + 0.5 * squares - rounding

    def _ready(self, rows):
        if self.distance == "cosine":
            norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))[:, None]
            unit = np.abs(norms - 1.0).max(initial=0.0) < 3e-7
            return rows if unit else (rows / np.maximum(norms, 1e-300)).astype(np.float32)
        if self.distance == "snr":
            return rows - rows.mean(axis=1, keepdims=True)
        return rows if self._center is None else rows - self._center

    def _candidates(self, queries, k, rank, buffer):
        """Positions of the rows that rank first: shape [num_queries, k + spare]; and the last one's rank."""
        count = min(len(self), k + _SPARE)
        values = np.empty((len(queries), 0), np.float32)
        positions = np.empty((len(queries), 0), np.int64)
        for first in range(0, len(self), GALLERY_BLOCK):
            block = rank(queries, slice(first, first + GALLERY_BLOCK), buffer)
            columns = smallest(block, min(count, block.shape[1]))
            values = np.concatenate([values, np.take_along_axis(block, columns, axis=1)], axis=1)
            positions = np.concatenate([positions, columns + first], axis=1)
            kept = np.lexsort((positions, values), axis=1)[:, :count]
            values = np.take_along_axis(values, kept, axis=1)
            positions = np.take_along_axis(positions, kept, axis=1)
        # Where every row is a candidate, none can be missing.
        return positions, values[:, -1] if count < len(self) else np.full(len(queries), np.inf)

    def _rank_in_float64(self, queries, rows, _):
        return cdist(queries, self._rows[rows], "sqeuclidean")

    def _rank(self, queries, rows, buffer):
        gallery = self._rows[rows]
        if self.distance == "manhattan":
            return cdist(queries, gallery, "cityblock").astype(np.float32)
        block = buffer[: len(queries), : len(gallery)]
        block = np.matmul(queries, gallery.T, out=block if block.flags.c_contiguous else None)
        np.negative(block, out=block)
        if self._bias is not None:
            block += self._bias[rows]
        return block

    def _measure(self, queries, positions):
        distances = np.empty(positions.shape, np.float32)
        step = max(1, _MEASURED_VALUES // (positions.shape[1] * queries.shape[1]))
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            distances[rows] = self._measure_pairs(queries[rows, None, :], self._rows[positions[rows]])
        return distances

    def _measure_pairs(self, queries, rows):
        """Distances of [num_queries, 1, dim] to [num_queries, count, dim]."""
        if self.distance == "inner_product":
            return -np.einsum("qkd,qkd->qk", np.broadcast_to(queries, rows.shape), rows)
        difference = rows - queries
        if self.distance == "manhattan":
            return np.abs(difference, out=difference).sum(axis=2)
        squared = np.einsum("qkd,qkd->qk", difference, difference)
        if self.distance == "cosine":
            return 0.5 * squared  # of unit vectors
        if self.distance == "snr":
            return squared / np.maximum(np.einsum("qkd,qkd->qk", queries, queries), 1e-12)
        return np.sqrt(squared) if self.distance == "euclidean" else squared


def _center(gallery):
    """Mean of the rows where they lie far from 0: there the expansion of |q - g|^2 loses its digits."""
    mean = gallery.mean(axis=0, dtype=np.float64)
    spread = gallery.var(axis=0, dtype=np.float64).sum()
    return mean.astype(np.float32) if mean @ mean > spread else None


def smallest(values, k):
    """Columns of the k smallest values of each row, in no order: shape [num_rows, k].

    Of equal values at the edge the first columns are taken. The row is folded into strips of 64 columns:
    whatever is among the k smallest lies in one of the k strips with the smallest minimum, so that about
    64 k columns are left to partition.
    """
    num_rows, num_columns = values.shape
    if k == num_columns:
        return np.tile(np.arange(num_columns), (num_rows, 1))
    strips = num_columns // _FOLD
    if strips <= 2 * k:
        return _first_of_equals(values, np.argpartition(values, k - 1, axis=1)[:, :k])
    folded = strips * _FOLD
    minima = values[:, :folded].reshape(num_rows, _FOLD, strips).min(axis=1)
    best = np.argpartition(minima, k - 1, axis=1)[:, :k]
    columns = (best[:, None, :] + strips * np.arange(_FOLD)[:, None]).reshape(num_rows, -1)
    rest = np.broadcast_to(np.arange(folded, num_columns), (num_rows, num_columns - folded))
    columns = np.concatenate([columns, rest], axis=1)
    picked = np.argpartition(np.take_along_axis(values, columns, axis=1), k - 1, axis=1)[:, :k]
    return _first_of_equals(values, np.take_along_axis(columns, picked, axis=1))


def _first_of_equals(values, columns):
    """Choose again in the rows where more than k values are as small as the largest that was chosen."""
    k = columns.shape[1]
    edge = np.take_along_axis(values, columns, axis=1).max(axis=1, keepdims=True)
    for row in np.flatnonzero(np.count_nonzero(values <= edge, axis=1) > k):
        as_small = np.flatnonzero(values[row] <= edge[row])
        columns[row] = as_small[np.argsort(values[row, as_small], kind="stable")[:k]]
    return columns
