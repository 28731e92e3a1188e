"""Exact k-nearest-neighbor search in blocks: the full distance matrix is never held."""

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from threadpoolctl import ThreadpoolController

from simnb import _checks
from simnb._threads import processors
from simnb.distances import BY_NAME, DISTANCES, LARGEST_SQUARE, paired

QUERY_BLOCK = 512  # a product of fewer rows is slower
GALLERY_BLOCK = 896  # with QUERY_BLOCK, 2 MB a thread; by powers of two, columns share places in the cache
FAISS_PAYS = 128  # values a row from which its flat search is faster: of 64 it takes four times as long
_AT_ONCE = 4_096  # queries that FAISS gets, between two looks at Ctrl-C
_FEWEST = 64  # queries that are worth a thread of their own
_WAITING = 8  # candidates a query that wait to be merged with those kept
FIRST_BLOCK = 1_024  # whose best are sorted out whole; later blocks only have to beat them
_SPARE = 16  # candidates beyond the k best, since ranking rounds before the distance is measured
_MEASURED_VALUES = 262_144  # differences held at once while candidates are measured: 1 MB
_LENGTHS = 1e-6  # by how much the product of two rows tells another distance where their lengths are nearly 1

#: Says which of some pairs, (queries, rows), are wanted.
Wanted: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]


class ExactSearch:
    """Gallery rows made ready for one distance, then searched any number of times.

    Ranking needs no full distance: nearest by cosine is the largest product of unit rows, nearest by
    Euclidean distance the largest ``q.g - |g|^2 / 2``. These round, and by how much depends on the
    block; so some more than k candidates are kept, and their distances are measured one by one: a distance
    does not depend on what else is searched with it. Where rounding could have hidden a nearer row even so
    (many rows that are nearly alike, clusters that lie far apart, squares that do not fit float32), the query
    is ranked again in float64.

    The gallery, shape [num_gallery, dim] float32, is not copied where it can be searched as it is (unit rows
    under cosine, rows around 0 under Euclidean distance).
    """

    def __init__(self, gallery: NDArray[np.float32], distance: str = "cosine") -> None:
        self.distance = BY_NAME[_checks.one_of(distance, DISTANCES, name="distance")]
        self._gallery = gallery
        self._center = _center(gallery) if "euclidean" in distance else None
        #: The rows as the distance compares them; less a center, those near 0 would lose their last digits.
        self.prepared = self.distance.prepare(gallery)
        self._rows = self.prepared if self._center is None else gallery - self._center
        self._products = self.distance.from_product is not None
        self._bias, self._spare = None, _SPARE
        with np.errstate(over="ignore"):  # such rows are ranked in float64
            if not self._products and distance != "manhattan":
                self._bias = 0.5 * np.einsum("nd,nd->n", self._rows, self._rows)
                self._spare = 2 * _SPARE  # differences of large numbers round more
            self._longest = (
                1.0 if distance == "cosine" else float(np.linalg.norm(self._rows, axis=1).max(initial=0.0))
            )

    def __len__(self) -> int:
        return len(self._rows)

    def __call__(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest rows of each query: distances, nearest first, and positions, each [num_queries, k].

        Equal distances are in the order of the rows; k is 1 to their number.

        Raises:
            ValueError: If one of these distances is too large for float32.
        """
        original, queries = queries, self._ready(queries)
        distances = np.empty((len(queries), k), np.float32)
        positions = np.empty((len(queries), k), np.int64)
        found = self._candidates_by_faiss(queries, k)

        size = QUERY_BLOCK
        if len(queries) < size * processors():
            size = max(_FEWEST, -(-len(queries) // processors()))
        starts = range(0, len(queries), size)

        def search(start):
            rows = slice(start, start + size)
            candidates = None if found is None else (found[0][rows], found[1][rows])
            distances[rows], positions[rows] = self._block(queries[rows], original[rows], k, candidates)

        if len(starts) < 2:
            search(0)
        else:
            # Whole blocks side by side: the steps between two products run on all cores too.
            with _ONE_LIMIT, _blas().limit(limits=1), ThreadPoolExecutor(processors()) as threads:
                try:
                    for _ in threads.map(search, starts):
                        pass
                except BaseException:  # Ctrl-C: without the blocks that have not begun
                    threads.shutdown(cancel_futures=True)
                    raise
        return distances, positions

    def within(
        self, queries: NDArray[np.float32], threshold: float, wanted: Wanted | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Every pair of a query and a row within a distance, block by block.

        Args:
            queries: Shape [num_queries, dim] float32.
            threshold: Distance; those of the pairs, in float32, are at most it.
            wanted: Called with positions of queries and of rows, each [num_pairs]: which of these pairs are
                looked at, shape [num_pairs] bool. It is asked again and again, as the pairs are given.

        Returns:
            An iterator of positions of queries and of rows, each [num_pairs] and not empty.
        """
        limit, (original, queries) = np.float32(threshold), (queries, self._ready(queries))
        if limit < 0 and self.distance.name != "inner_product":
            return
        for first in range(0, len(queries), QUERY_BLOCK):
            some = queries[first : first + QUERY_BLOCK]
            edge, rounding = self._edge(some, float(limit))
            for start in range(0, len(self), GALLERY_BLOCK):
                with np.errstate(over="ignore", invalid="ignore"):  # such pairs are measured
                    closeness = self._closeness(some, slice(start, start + GALLERY_BLOCK))
                # Not (>=): what did not fit float32 may be NaN, and is measured.
                at, column = np.nonzero(~(closeness < (edge - rounding)[:, None]))
                near = closeness[at, column] > (edge + rounding)[at]
                at, column = at + first, column + start
                if wanted is not None:
                    keep = wanted(at, column)
                    at, column, near = at[keep], column[keep], near[keep]
                near[~near] = self.beside(original, at[~near], column[~near]) <= limit
                if near.any():
                    yield at[near], column[near]

    def beside(
        self, queries: NDArray[np.float32], some: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Distance of each of some queries to the row beside it: shape [num_pairs] float32.

        Args:
            queries: Shape [num_queries, dim] float32.
            some: Positions of queries, shape [num_pairs].
            positions: Positions of rows, shape [num_pairs].
        """
        distances = np.empty(len(some), np.float32)
        step = max(1, _MEASURED_VALUES // queries.shape[1])
        for start in range(0, len(some), step):
            pairs = slice(start, start + step)
            one, other = queries[some[pairs]], self._gallery[positions[pairs]]
            distances[pairs] = paired(one, other, self.distance.name)
        return distances

    def _edge(self, queries, threshold):
        """How close a row at the threshold is to each query; and by how much that may be wrong, each [n]."""
        squares = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        if self.distance.name == "manhattan":
            rounding = 2 * np.finfo(np.float32).eps * queries.shape[1] * abs(threshold)
            return np.full(len(queries), -threshold), np.full(len(queries), rounding)
        if not self._fits(queries):
            return np.zeros(len(queries)), np.full(len(queries), np.inf)
        found = self.distance.to_sum(np.full(len(queries), threshold), queries)
        rounding = self._rounding(queries, squares) + (_LENGTHS if self.distance.name == "cosine" else 0.0)
        return (found if self._products else 0.5 * (squares - found)), rounding

    def _ready(self, queries):
        """Queries as they are compared with the rows."""
        queries = self.distance.prepare(queries)
        return queries if self._center is None else queries - self._center

    def _block(self, queries, original, k, candidates=None):
        if not self._fits(queries):
            return self._block_in_float64(queries, original, k)
        candidates, last = candidates or self._candidates(queries, k, self._closeness)
        distances, positions = self._nearest(queries, original, candidates, k)
        again = np.flatnonzero(self._unsure(queries, distances[:, -1], last))
        if len(again):
            distances[again], positions[again] = self._block_in_float64(queries[again], original[again], k)
        return distances, positions

    def _block_in_float64(self, queries, original, k):
        precise = queries
        if not self.distance.keeps_digits:
            precise = self.distance.prepare(original.astype(np.float64))
        candidates, _ = self._candidates(precise, k, self._closeness_in_float64)
        return self._nearest(queries, original, candidates, k)

    def _nearest(self, queries, original, candidates, k):
        measured = self._measure(queries, original, candidates)
        order = np.lexsort((candidates, measured), axis=1)[:, :k]
        distances = self.distance.in_float32(np.take_along_axis(measured, order, axis=1))
        return distances, np.take_along_axis(candidates, order, axis=1)

    def _fits(self, queries):
        """Whether float32 can hold the squares that rank rows; where they are too small, none is sure."""
        if self.distance.keeps_digits:
            return True
        squares = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        return (np.sqrt(squares.max(initial=0.0)) + self._longest) ** 2 < LARGEST_SQUARE

    def _unsure(self, queries, kth, last):
        """Whether a row that is no candidate, at most as close as ``last``, may be nearer than the kth."""
        if self.distance.name == "manhattan":
            return np.zeros(len(queries), bool)
        squares = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
        found = self.distance.to_sum(kth.astype(np.float64), queries)
        rounding = self._rounding(queries, squares)
        if self._products:
            return found < last + rounding
        return 0.5 * found > 0.5 * squares - last - rounding

    def _rounding(self, queries, squares):
        """By how much float32 may round the closeness of queries of these squared lengths: shape [n]."""
        size = self._longest * (np.sqrt(squares) + 0.5 * self._longest)
        single = np.finfo(np.float32)
        return single.eps * np.sqrt(queries.shape[1]) * size + single.tiny * queries.shape[1]

    def _candidates(self, queries, k, closeness):
        """Positions of the closest rows, shape [num_queries, k + spare]; and how close the last one is."""
        count = min(len(self), k + self._spare)
        first = min(len(self), max(FIRST_BLOCK, count))
        block = closeness(queries, slice(0, first))
        positions = largest(block, count)
        values = np.take_along_axis(block, positions, axis=1)
        buffer = np.empty((len(queries), GALLERY_BLOCK), np.float32)
        pending, waiting = [], 0
        for start in range(first, len(self), GALLERY_BLOCK):
            block = closeness(queries, slice(start, start + GALLERY_BLOCK), buffer)
            # Few values are above the least that is kept; of equal ones the first rows stay.
            rising = np.flatnonzero(block.max(axis=1) > values[:, -1])
            some = block if len(rising) == len(block) else block[rising]
            at = np.flatnonzero(some > values[rising, -1:])
            if len(at):
                rows, columns = np.divmod(at, block.shape[1])
                pending.append((rising[rows], columns + start, some.ravel()[at]))
                waiting += len(at)
            if waiting > _WAITING * len(queries):
                _merge(values, positions, *pending)
                pending, waiting = [], 0
        if pending:
            _merge(values, positions, *pending)
        # Where every row is a candidate, none can be missing.
        return positions, values[:, -1] if count < len(self) else np.full(len(queries), -np.inf)

    def _candidates_by_faiss(self, queries, k):
        """What ``_candidates`` gives, of all queries, by FAISS where it is there and faster; else None."""
        if not self._products or queries.shape[1] < FAISS_PAYS or len(queries) < _FEWEST or _faiss() is None:
            return None
        if not self._fits(queries):
            return None
        count = min(len(self), k + _SPARE // 2)  # of unit rows, or rows of one size, which round little
        positions, last = np.empty((len(queries), count), np.int64), np.empty(len(queries), np.float32)
        for start in range(0, len(queries), _AT_ONCE):
            rows, metric = slice(start, start + _AT_ONCE), _faiss().METRIC_INNER_PRODUCT
            values, positions[rows] = _faiss().knn(queries[rows], self._rows, count, metric=metric)
            last[rows] = values[:, -1] if count < len(self) else -np.inf
        return positions, last

    def _closeness_in_float64(self, queries, rows, _=None):
        if self.distance.keeps_digits:
            gallery = self.prepared[rows]
        else:
            gallery = self.distance.prepare(self._gallery[rows].astype(np.float64))
        if self.distance.name == "inner_product":
            return queries @ gallery.T
        return -cdist(queries, gallery, "sqeuclidean")

    def _closeness(self, queries, rows, buffer=None):
        """What ranks rows: the larger the closer, shape [num_queries, num_rows]; in the buffer if it fits."""
        gallery = self._rows[rows]
        if self.distance.name == "manhattan":
            return -cdist(queries, gallery, "cityblock").astype(np.float32)
        fits = buffer is not None and buffer.shape == (len(queries), len(gallery))
        block = np.matmul(queries, gallery.T, out=buffer if fits else None)
        if self._bias is not None:
            block -= self._bias[rows]
        return block

    def _measure(self, queries, original, positions):
        """Distances to rows, shape [num_queries, count]; in float64 where float32 has no digits for some."""
        distances = np.zeros(positions.shape, np.float32)
        prepared = queries if self._center is None else original
        step = max(1, _MEASURED_VALUES // (positions.shape[1] * queries.shape[1]))
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            few = prepared[rows, None, :]
            with np.errstate(over="ignore", invalid="ignore"):  # those are measured again
                some = self.distance.of_prepared(few, self.prepared[positions[rows]], few)
                again = self.distance.doubtful(some, few)
            if again.any():
                at, column = np.nonzero(again)
                pairs = original[rows][at], self._gallery[positions[rows][at, column]]
                some = some.astype(np.float64)
                some[again] = self.distance.paired(*(part.astype(np.float64) for part in pairs))
                distances = distances.astype(np.float64, copy=False)
            distances[rows] = some
        return distances


def _center(gallery):
    """Mean of the rows where they lie far from 0: there the expansion of |q - g|^2 loses its digits."""
    mean = gallery.mean(axis=0, dtype=np.float64)
    spread = gallery.var(axis=0, dtype=np.float64).sum()
    return mean.astype(np.float32) if mean @ mean > spread else None


def largest(values: NDArray, k: int) -> NDArray[np.int64]:
    """Columns of the k largest values of each row, largest first: shape [num_rows, k].

    Of equal values the first columns are taken.
    """
    num_columns = values.shape[1]
    if k < num_columns:
        edge = np.partition(values, num_columns - k, axis=1)[:, num_columns - k, None]
        kept = values >= edge
        if np.count_nonzero(kept) > k * len(values):  # of those at the edge the first
            at_edge = values == edge
            above = np.count_nonzero(values > edge, axis=1)
            kept &= ~at_edge | (np.cumsum(at_edge, axis=1) <= (k - above)[:, None])
        columns = np.nonzero(kept)[1].reshape(len(values), k)
    else:
        columns = np.tile(np.arange(num_columns), (len(values), 1))
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _merge(values, positions, *pending):
    """Put new candidates among those kept, in place: each (rows, positions, values), sorted by row."""
    rows, new_positions, new_values = (np.concatenate(column) for column in zip(*pending, strict=True))
    if len(pending) > 1:
        order = np.argsort(rows, kind="stable")
        rows, new_positions, new_values = rows[order], new_positions[order], new_values[order]
    counts = np.bincount(rows, minlength=len(values))
    changed = np.flatnonzero(counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    line = np.searchsorted(changed, rows)
    more = np.full((len(changed), counts.max()), -np.inf, values.dtype)
    at = np.zeros(more.shape, np.int64)
    more[line, place], at[line, place] = new_values, new_positions
    more = np.concatenate([values[changed], more], axis=1)
    at = np.concatenate([positions[changed], at], axis=1)
    order = np.argsort(-more, axis=1, kind="stable")[:, : values.shape[1]]
    values[changed] = np.take_along_axis(more, order, axis=1)
    positions[changed] = np.take_along_axis(at, order, axis=1)


_ONE_LIMIT = threading.Lock()  # the limit on BLAS is the whole process's


@functools.cache
def _faiss():
    try:
        import faiss
    except ImportError:  # the extra "ann", which exact search does without
        return None
    return faiss


@functools.cache
def _blas():
    return ThreadpoolController().select(user_api="blas")
