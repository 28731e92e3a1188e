"""Search in Milvus: conditions, any k, and how widely a graph is walked."""

import numpy as np

from simnb.index import _filters
from simnb.index._milvus_collection import LIMIT
from simnb.index._milvus_filters import among, expressions
from simnb.index._milvus_recall import SMALL, K, measure, merged, nearest, sample, warn
from simnb.index.hnsw import Tuning
from simnb.index.results import UNKNOWN

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
        """Choose nothing yet."""
        self._rows, self._wanted, self._lists = rows, recall, lists
        self._tuning, self._count = None, 0  # rows when the tuning was chosen, and those added since

    def __call__(self, queries, k, wanted):
        """The k nearest of the rows that meet conditions: distances, ids, labels, each [num_queries, k]."""
        shape = (len(queries), k)
        parts = [np.full(shape, np.inf, np.float32), np.full(shape, -1), np.full(shape, UNKNOWN)]
        for expression in self._expressions(wanted):
            parts = merged(parts, self._nearest(queries, k, expression), k)
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
            parts = found if parts is None else merged(parts, found, k)
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
        return self._tuning["breadth"] if self._tuning else SMALL

    def _choose(self, *, small):
        """See that there is a tuning for about this many rows; none is needed for few, where ``small``."""
        if self._tuning and self._count <= _GROWTH * self._tuning["rows"]:
            return
        if small and not self._tuning and 0 < self._count <= SMALL:
            return
        self._count = self._rows.count()
        if small and self._count <= SMALL:
            return
        kept = self._rows.tuning
        if kept and self._count <= _GROWTH * kept["rows"]:
            widest = kept["breadth"] >= SMALL
            if kept["tuned"] or kept["recall"] >= self._wanted or widest:
                self._tuning = kept
                return
        ids = sample(np.array([row["id"] for row in self._rows.rows("", [], LIMIT)], np.int64))
        own = self._rows.get(ids)
        tried = self._measure(own.embeddings, min(K, max(self._count - 1, 1)), self._wanted, own=own.ids)
        warn(tried[-1], self._wanted)

    def _measure(self, queries, k, target, *, own=None, tuned=False):
        self._rows.settle()
        self._count = self._rows.count()
        tried = measure(
            self._rows.blocks("", _BLOCK),
            lambda some, most, breadth: self._once(some, most, "", breadth)[:2],
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


def _distances(scores, there, distance):
    """Distances of simnb from the scores of Milvus."""
    result = np.full(scores.shape, np.inf, np.float32)
    scores = scores[there]
    if distance == "cosine":
        result[there] = np.maximum(1 - scores, 0)
    elif distance == "inner_product":
        result[there] = -scores
    else:
        squared = np.maximum(scores, 0)
        result[there] = np.sqrt(squared) if distance == "euclidean" else squared
    return result
