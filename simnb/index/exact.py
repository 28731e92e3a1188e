"""Exact k-nearest-neighbor search in blocks: the full distance matrix is never held."""

import numpy as np
from scipy.spatial.distance import cdist

from simnb import _checks
from simnb.distances import DISTANCES

QUERY_BLOCK = 256
GALLERY_BLOCK = 32_768
_FOLD = 64  # columns that share one minimum, see smallest()
_REFINE_VALUES = 4_000_000  # differences held at once while the k best are measured again


class ExactSearch:
    """Gallery rows made ready for one distance, then searched any number of times.

    Ranking needs no full distance: nearest by cosine is the largest product of unit rows, nearest by
    Euclidean distance the smallest ``|g|^2 / 2 - q.g``. What is reported is turned into the distance
    itself for the k rows that won.

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
        values = np.full((len(queries), k), np.inf, np.float32)
        positions = np.full((len(queries), k), len(self), np.int64)
        buffer = np.empty((min(len(queries), QUERY_BLOCK), min(len(self), GALLERY_BLOCK)), np.float32)
        for first in range(0, len(self), GALLERY_BLOCK):
            for start in range(0, len(queries), QUERY_BLOCK):
                rows = slice(start, start + QUERY_BLOCK)
                block = self._rank(queries[rows], slice(first, first + GALLERY_BLOCK), buffer)
                columns = smallest(block, min(k, block.shape[1]))
                found = np.take_along_axis(block, columns, axis=1)
                values[rows], positions[rows] = _merge(
                    values[rows], positions[rows], found, columns + first, k
                )
        values = self._distances(queries, values, positions)
        order = np.lexsort((positions, values), axis=1)
        return np.take_along_axis(values, order, axis=1), np.take_along_axis(positions, order, axis=1)

    def _ready(self, rows):
        if self.distance == "cosine":
            norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))[:, None]
            unit = np.abs(norms - 1.0).max(initial=0.0) < 1e-6
            return rows if unit else (rows / np.maximum(norms, 1e-30)).astype(np.float32)
        if self.distance == "snr":
            return rows - rows.mean(axis=1, keepdims=True)
        return rows if self._center is None else rows - self._center

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

    def _distances(self, queries, values, positions):
        if self.distance == "cosine":
            return np.maximum(1.0 + values, 0.0)
        if self._bias is None:
            return values
        # The ranking values round; the distance that is reported is measured from the difference.
        squared = np.empty_like(values)
        step = max(1, _REFINE_VALUES // (positions.shape[1] * queries.shape[1]))
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            difference = queries[rows, None, :] - self._rows[positions[rows]]
            squared[rows] = np.einsum("qkd,qkd->qk", difference, difference)
        if self.distance == "snr":
            power = np.einsum("qd,qd->q", queries, queries)[:, None]
            return squared / np.maximum(power, 1e-12)
        return np.sqrt(squared) if self.distance == "euclidean" else squared


def _center(gallery):
    """Mean of the rows where they lie far from 0: there the expansion of |q - g|^2 loses its digits."""
    mean = gallery.mean(axis=0, dtype=np.float64)
    spread = gallery.var(axis=0, dtype=np.float64).sum()
    return mean.astype(np.float32) if mean @ mean > spread else None


def _merge(values, positions, new_values, new_positions, k):
    values = np.concatenate([values, new_values], axis=1)
    positions = np.concatenate([positions, new_positions], axis=1)
    kept = np.argpartition(values, k - 1, axis=1)[:, :k]
    return np.take_along_axis(values, kept, axis=1), np.take_along_axis(positions, kept, axis=1)


def smallest(values, k):
    """Columns of the k smallest values of each row, in no order: shape [num_rows, k].

    The row is folded into strips of 64 columns first. Whatever is among the k smallest lies in one
    of the k strips with the smallest minimum, so that about 64 k columns are left to partition.
    """
    num_rows, num_columns = values.shape
    if k == num_columns:
        return np.broadcast_to(np.arange(num_columns), values.shape)
    strips = num_columns // _FOLD
    if strips <= 2 * k:
        return np.argpartition(values, k - 1, axis=1)[:, :k]
    folded = strips * _FOLD
    minima = values[:, :folded].reshape(num_rows, _FOLD, strips).min(axis=1)
    best = np.argpartition(minima, k - 1, axis=1)[:, :k]
    columns = (best[:, None, :] + strips * np.arange(_FOLD)[:, None]).reshape(num_rows, -1)
    rest = np.broadcast_to(np.arange(folded, num_columns), (num_rows, num_columns - folded))
    columns = np.concatenate([columns, rest], axis=1)
    picked = np.argpartition(np.take_along_axis(values, columns, axis=1), k - 1, axis=1)[:, :k]
    return np.take_along_axis(columns, picked, axis=1)
