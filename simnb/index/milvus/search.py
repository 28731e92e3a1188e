"""Search in Milvus: conditions, any k, how widely a graph is walked, and what it finds then."""

from dataclasses import asdict

import numpy as np

from simnb._terminal import progress_bar
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
    """Searches one ``Collection``, whose graph is to find a share of the true neighbors, ``recall``.

    ``lists`` says whether values in JSON can be compared with lists; Lite cannot.
    """

    def __init__(self, rows, *, recall, lists):
        self._rows, self._wanted, self._lists = rows, recall, lists
        self._tuning, self._count = None, 0  # rows when the tuning was chosen, and those added since

    def __call__(self, queries, k, wanted):
        """The k nearest of the rows that meet conditions: distances, ids, labels, each [num_queries, k]."""
        found = [self._nearest(queries, k, expression) for expression in self._expressions(wanted)]
        return _merged([no_neighbors(len(queries), k), *found], k)

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
        breadth = None
        if self._rows.search == "hnsw":
            self._choose(small=True)
            breadth = self._tuning["breadth"] if self._tuning else _SMALL
        slices = self._slices(k, expression)
        parts = _merged([self._rows.nearest(queries, most, some, breadth) for some, most in slices], k)
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
        ids, also = self._rows.ids(expression), f" and ({expression})" if expression else ""
        parts = [ids[start : start + LIMIT] for start in range(0, len(ids), LIMIT)]
        return [(f"id >= {part[0]} and id <= {part[-1]}{also}", LIMIT) for part in parts]

    def _expressions(self, wanted):
        """Filters of Milvus; long lists that Lite cannot compare values with become ids."""
        long = []
        if not self._lists:
            long = [c for c in wanted if c.key not in ("id", "label") and len(c.values) > _FEW]
        result = expressions([c for c in wanted if c not in long], self._rows.codes, lists=self._lists)
        if not long:
            return result
        blocks = (rows for expression in result for rows in self._rows.blocks(expression, _BLOCK))
        ids = [rows.ids[_filters.mask(long, rows.ids, rows.labels, rows.metadata)] for rows in blocks]
        return among(np.concatenate(ids)) if ids else []

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
        fits = kept and self._count <= _GROWTH * kept["rows"]
        if fits and (kept["tuned"] or kept["recall"] >= self._wanted or kept["breadth"] >= _SMALL):
            self._tuning = kept
            return
        own = np.random.default_rng(0).permutation(self._rows.ids())[:_SAMPLE]
        own = self._rows.get(np.sort(own))
        tried = self._measure(own.embeddings, min(_K, max(self._count - 1, 1)), self._wanted, own=own.ids)
        warn_where_short(tried[-1], self._wanted)

    def _measure(self, queries, k, target, *, own=None, tuned=False):
        self._rows.settle()
        self._count = self._rows.count()

        def search(some, most, breadth):
            return self._rows.nearest(some, most, "", breadth)

        blocks, distance = self._rows.blocks("", _BLOCK), self._rows.distance
        tried = measure(blocks, search, queries, k, distance, target, own=own)
        self._tuning = {**asdict(tried[-1]), "rows": self._count, "tuned": tuned}
        self._rows.register(tuning=self._tuning)
        return tried


def measure(blocks, search, queries, k, distance, target, *, own=None):
    """Raise the breadth until the share of true neighbors found reaches a target: as ``raise_breadth``.

    ``blocks`` are all ``Rows``, which are read once. ``search``, called with queries, k and breadth, gives
    distances, ids and labels. ``own`` are ids of the queries, where they are rows, which are left out.
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
    """The k nearest of all rows, read once in blocks of ``Rows``: as ``Collection.nearest``."""
    best = no_neighbors(len(queries), k)
    for rows in blocks:
        distances, positions = ExactSearch(rows.embeddings, distance)(queries, min(k, len(rows)))
        best = _merged([best, (distances, rows.ids[positions], rows.labels[positions])], k)
    return best


def _merged(answers, k):
    """The k nearest of answers, each distances, ids and labels; equal distances in this order."""
    both = [np.concatenate(parts, axis=1) for parts in zip(*answers, strict=True)]
    order = np.argsort(both[0], axis=1, kind="stable")[:, :k]
    return [np.take_along_axis(part, order, axis=1) for part in both]
