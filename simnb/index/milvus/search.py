"""Search in Milvus: conditions, any k, how widely a graph is walked, and what it finds then."""

import numpy as np

from simnb._terminal import progress_bar
from simnb.distances import BY_NAME
from simnb.index import _filters
from simnb.index.exact import ExactSearch
from simnb.index.hnsw import BREADTHS, Tuning, raise_breadth, warn_where_short
from simnb.index.milvus.collection import LIMIT
from simnb.index.milvus.filters import among, expressions
from simnb.index.results import Neighbors, no_neighbors

_SMALL = BREADTHS[-1]  # rows; the widest search walks over all of them
_K = 10
_SAMPLE = 300  # rows that recall is measured with
_ROUNDING = 1e-4  # of a distance, here and there
_FEW = 8  # values that Lite compares faster than they are looked up here
_GROWTH = 2  # after which recall is measured again
_BLOCK = 10_000


class MilvusSearch:
    """Searches one ``Collection``.

    Args:
        rows: The collection.
        recall: What share of the true neighbors a graph is to find.
        lists: Whether values in JSON can be compared with lists; Lite cannot.
    """

    def __init__(self, rows, *, recall, lists):
        self._rows, self._wanted, self._lists = rows, recall, lists
        self._tuning, self._count = None, 0  # rows when the tuning was chosen, and those added since

    def __call__(self, queries, k, wanted):
        """The k nearest of the rows that meet conditions: distances, ids, labels, each [num_queries, k]."""
        parts = no_neighbors(len(queries), k)
        for expression in self._expressions(wanted):
            parts = _merged(parts, self._nearest(queries, k, expression), k)
        return parts

    def conditions(self, where):
        """Read conditions; names that are not known may have been added by another process."""
        for again in (False, True):
            try:
                wanted = _filters.conditions(where, self._rows.class_names)
                _filters.check_keys(wanted, self._rows.keys)
                return wanted
            except ValueError:
                if again:
                    raise
                self._rows.refresh()

    def added(self, count):
        """Take note that rows were added."""
        self._count += count

    def measured(self):
        """The tuning of the graph, measured now if it was not."""
        self._choose(small=False)
        return Tuning(*(self._tuning[name] for name in ("breadth", "recall", "milliseconds")))

    def tune(self, queries, target, k):
        """Choose the breadth on some queries; return what was tried."""
        return self._measure(queries, k, target, tuned=True)

    def _nearest(self, queries, k, expression):
        breadth = self._breadth()
        parts = None
        for some, most in self._slices(k, expression):
            found = self._once(queries, most, some, breadth)
            parts = found if parts is None else _merged(parts, found, k)
        if breadth and (parts[1] < 0).any():
            there = min(k, self._rows.count(expression))
            short = np.flatnonzero((parts[1] >= 0).sum(axis=1) < there)
            if len(short):
                blocks = self._rows.blocks(expression, _BLOCK)
                exact = nearest(blocks, queries[short], parts[0].shape[1], self._rows.distance)
                for part, better in zip(parts, exact, strict=True):
                    part[short] = better
        return parts

    def _slices(self, k, expression):
        """Expressions of which none can have more than ``LIMIT`` answers, each with how many to ask for."""
        if k <= LIMIT or self._rows.count(expression) <= LIMIT:
            return [(expression, min(k, LIMIT))]
        ids = [row["id"] for row in self._rows.rows(expression, [], LIMIT)]
        bounds = [(ids[start], ids[min(start + LIMIT, len(ids)) - 1]) for start in range(0, len(ids), LIMIT)]
        also = f" and ({expression})" if expression else ""
        return [(f"id >= {first} and id <= {last}{also}", LIMIT) for first, last in bounds]

    def _once(self, queries, k, expression, breadth):
        scores, ids, labels = self._rows.nearest(queries, k, expression, breadth)
        return [_distances(scores, ids >= 0, self._rows.distance), ids, labels]

    def _expressions(self, wanted):
        """Filters of Milvus; long lists that Lite cannot compare values with become ids."""
        long = []
        if not self._lists:
            long = [c for c in wanted if c.key not in ("id", "label") and len(c.values) > _FEW]
        result = expressions([c for c in wanted if c not in long], self._rows.codes, lists=self._lists)
        if not long:
            return result
        ids = []
        for expression in result:
            for rows in self._rows.blocks(expression, _BLOCK):
                ids.append(rows.ids[_filters.mask(long, rows.ids, rows.labels, rows.metadata)])
        return among(np.concatenate(ids)) if ids else []

    def _breadth(self):
        if self._rows.search != "hnsw":
            return None
        self._choose(small=True)
        return self._tuning["breadth"] if self._tuning else _SMALL

    def _choose(self, *, small):
        """See that there is a tuning for about this many rows; none is needed for few, where ``small``."""
        if self._tuning and self._count <= _GROWTH * self._tuning["rows"]:
            return
        if small and not self._tuning and 0 < self._count <= _SMALL:
            return
        self._count = self._rows.count()
        if small and self._count <= _SMALL:
            return
        kept = self._rows.tuning
        if kept and self._count <= _GROWTH * kept["rows"]:
            widest = kept["breadth"] >= _SMALL
            if kept["tuned"] or kept["recall"] >= self._wanted or widest:
                self._tuning = kept
                return
        ids = np.array([row["id"] for row in self._rows.rows("", [], LIMIT)], np.int64)
        own = self._rows.get(np.sort(np.random.default_rng(0).permutation(ids)[:_SAMPLE]))
        tried = self._measure(own.embeddings, min(_K, max(self._count - 1, 1)), self._wanted, own=own.ids)
        warn_where_short(tried[-1], self._wanted)

    def _measure(self, queries, k, target, *, own=None, tuned=False):
        self._rows.settle()
        self._count = self._rows.count()
        tried = measure(
            self._rows.blocks("", _BLOCK),
            lambda some, most, breadth: self._once(some, most, "", breadth),
            queries,
            k,
            self._rows.distance,
            target,
            own=own,
        )
        last = tried[-1]
        self._tuning = {"breadth": last.breadth, "recall": last.recall, "milliseconds": last.milliseconds}
        self._tuning |= {"rows": self._count, "tuned": tuned}
        self._rows.register(tuning=self._tuning)
        return tried


def measure(blocks, search, queries, k, distance, target, *, own=None):
    """Raise the breadth until the share of true neighbors found reaches a target.

    Args:
        blocks: All ``Rows``, one after another; they are read once.
        search: Called with queries, k and breadth: distances, ids and labels, each [num_queries, k].
        queries: Shape [num_queries, dim].
        k: How many neighbors.
        distance: Its name.
        target: The share.
        own: Ids of the queries, where they are rows of the index, which are left out.

    Returns:
        A list of ``Tuning``, one for each breadth tried.
    """
    more = k + (own is not None)

    def others(parts):
        found = Neighbors(*parts)
        return found.distances if own is None else found.without(own).distances

    blocks = progress_bar(blocks, desc="Measuring the graph", unit="block")
    last = others(nearest(blocks, queries, more, distance))[:, -1:]
    farthest = last + _ROUNDING * np.abs(last) + 1e-6
    return raise_breadth(lambda breadth: others(search(queries, more, breadth)), farthest, target)


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
    best = no_neighbors(len(queries), k)
    for rows in blocks:
        distances, positions = ExactSearch(rows.embeddings, distance)(queries, min(k, len(rows)))
        best = _merged(best, [distances, rows.ids[positions], rows.labels[positions]], k)
    return best


def _merged(one, other, k):
    """The k nearest of two answers, each distances, ids and labels; equal distances in this order."""
    both = [np.concatenate(parts, axis=1) for parts in zip(one, other, strict=True)]
    order = np.argsort(both[0], axis=1, kind="stable")[:, :k]
    return [np.take_along_axis(part, order, axis=1) for part in both]


def _distances(scores, there, distance):
    """Distances from the scores of Milvus: squares, or products (of unit rows, under cosine)."""
    result = np.full(scores.shape, np.inf, np.float32)
    measure = BY_NAME[distance]
    if measure.from_product is not None:
        result[there] = measure.from_product(scores[there])
    elif measure.from_squares is not None:
        result[there] = measure.from_squares(np.maximum(scores[there], 0), None)
    return result
