"""Queries with their neighbors, and the formulas that score their order."""

import numpy as np

from simnb import _checks
from simnb.index import UNKNOWN

_USUAL = (1, 5, 10)
_BLOCK = 1 << 18  # neighbors at a time: what is made of them stays in the cache


class Ranking:
    """Queries with their neighbors, less the queries themselves; takes and raises as ``retrieval_scores``.

    Attributes:
        neighbors: As they were searched.
        labels: True class of each query, shape [num_queries] int64.
        k: How many neighbors each query has, without itself.
        own: The ``query_ids``, if there are any.
        to_find: R of each query, shape [num_queries]; None without ``gallery_labels``.
    """

    def __init__(self, neighbors, labels, gallery_labels=None, query_ids=None):
        self.neighbors = _checks.not_empty(neighbors, name="neighbors")
        self.labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
        self.own = self.to_find = None
        if query_ids is not None:
            self.own = _checks.labels(query_ids, count=len(neighbors), name="query_ids", of="neighbors")
            if gallery_labels is None:
                raise ValueError(
                    "query_ids must come with gallery_labels, which tell whether a class has other rows; "
                    "got none"
                )
            if neighbors.k == 1:
                raise ValueError("neighbors must have k >= 2, since one may be the query itself; got k=1")
        self.k = neighbors.k - (self.own is not None)
        if gallery_labels is not None:
            self.to_find = _count(self.labels, gallery_labels, self.own)

    def depth(self, k):
        """Return k if that many neighbors were searched, or raise ValueError."""
        if _checks.positive_int(k, name="k") > self.k:
            itself = "" if self.own is None else ", without the query itself"
            raise ValueError(f"k must be at most the {self.k} neighbors that were searched{itself}, got {k}")
        return int(k)

    def reaches_r(self):
        """Whether every R is known and no larger than k."""
        return self.to_find is not None and self.to_find.max() <= self.k

    def scores(self, k=None):
        """All scores of ``retrieval_scores`` that there are."""
        if k is None:
            ks = [usual for usual in _USUAL if usual <= self.k]
        else:
            ks = list(dict.fromkeys(map(self.depth, np.atleast_1d(np.asarray(k, object)).tolist())))
        named = {"recall": recall, "precision": precision}
        if self.to_find is not None:
            named |= {"map": average_precision, "ndcg": ndcg}
        measures = {f"{name}@{n}": at(formula, n) for name, formula in named.items() for n in ks}
        if self.reaches_r():
            measures |= {"r_precision": r_precision, "map@r": map_at_r}
        scores = self.measure({**measures, "first_rank": first_rank})
        first = scores.pop("first_rank")
        return {**scores, "mrr": 1 / first, "first_rank": first}

    def measure(self, measures):
        """Scores by name, from formulas by name; NaN where there is nothing to find."""
        count = len(self.labels)
        scores = {name: np.empty(count) for name in measures}
        r = np.ones(count) if self.to_find is None else self.to_find.astype(np.float64)
        r[r == 0] = np.nan
        for rows, relevant in self._blocks():
            for name, measure in measures.items():
                scores[name][rows] = measure(relevant, r[rows])
        for array in scores.values():
            array[np.isnan(r)] = np.nan
        return scores

    def nearest(self):
        """Distance and label of each query's nearest neighbor, itself left out."""
        found = self.neighbors if self.own is None else self.neighbors.first(2).without(self.own)
        return found.distances[:, 0], found.labels[:, 0]

    def _blocks(self):
        """Some queries, and whether each of their neighbors is right: shape [some, k] bool."""
        size = max(1, _BLOCK // self.neighbors.k)
        for start in range(0, len(self.labels), size):
            rows = slice(start, start + size)
            relevant = self.neighbors.labels[rows] == self.labels[rows, None]
            relevant[self.labels[rows] == UNKNOWN] = False
            if self.own is not None:
                relevant = self._without_itself(relevant, rows)
            if self.to_find is not None:
                self._check_count(relevant, start)
            yield rows, relevant

    def _without_itself(self, relevant, rows):
        """As ``Neighbors.without``, which would take out distances and ids too."""
        own, found, labels = self.own[rows, None], self.neighbors.labels[rows], self.labels[rows, None]
        itself = (self.neighbors.ids[rows] == own) & (own >= 0)
        other = itself & (found != labels)
        if other.any():
            query, column = np.argwhere(other)[0]
            raise ValueError(
                f"query_ids must be ids of the same examples in the gallery, but query {rows.start + query} "
                f"is of class {labels[query, 0]}, and the row with its id {own[query, 0]} "
                f"of class {found[query, column]}"
            )
        itself[~itself.any(axis=1), -1] = True
        return relevant[~itself].reshape(len(relevant), self.k)

    def _check_count(self, relevant, start):
        more = np.count_nonzero(relevant, axis=1) > self.to_find[start : start + len(relevant)]
        if more.any():
            query = int(more.argmax())
            raise ValueError(
                f"gallery_labels must be those of the rows that were searched, but query {start + query} "
                f"found {relevant[query].sum()} neighbors of class {self.labels[start + query]}, "
                f"of {self.to_find[start + query]} there can be"
            )


def _count(labels, gallery_labels, own):
    """R of each query."""
    ordered = np.sort(_checks.labels(gallery_labels, name="gallery_labels"))
    _checks.not_empty(ordered, name="gallery_labels")
    asked, place = np.unique(labels, return_inverse=True)  # searches in a large array are slow: once a class
    ends, starts = (np.searchsorted(ordered, asked, side=side) for side in ("right", "left"))
    to_find = np.where(labels == UNKNOWN, 0, (ends - starts)[place])
    if own is None:
        return to_find
    absent = (own >= 0) & (to_find == 0) & (labels != UNKNOWN)
    if absent.any():
        raise ValueError(
            f"query_ids must be ids of rows of the gallery, but it has no row of class {labels[absent][0]}, "
            f"that of query {absent.argmax()}; give queries that are not in it the id -1"
        )
    return to_find - ((own >= 0) & (to_find > 0))


# Every formula takes which neighbors are right, shape [some, n] bool, and R, shape [some] float, NaN where
# there is nothing to find; and returns the scores, shape [some].


def at(formula, k):
    """A formula that looks at the first k neighbors only."""
    return lambda relevant, r: formula(relevant[:, :k], r)


def recall(relevant, r):
    """1 where any is right, else 0."""
    return relevant.any(axis=1)


def precision(relevant, r):
    """Share of right ones."""
    return relevant.mean(axis=1)


def average_precision(relevant, r):
    """Sum of the precisions at each right one, divided by R."""
    right = np.cumsum(relevant, axis=1, dtype=np.float64)
    right /= np.arange(1, relevant.shape[1] + 1)
    right *= relevant
    return right.sum(axis=1) / r


def ndcg(relevant, r):
    """Discounted gain, divided by that of the best order."""
    discounts = 1 / np.log2(np.arange(2, relevant.shape[1] + 2))
    # fmin: R where it is NaN only has to be some position, the division by it is NaN.
    ideal = np.cumsum(discounts)[np.fmin(r, len(discounts)).astype(np.int64) - 1]
    return (relevant @ discounts) / np.where(np.isnan(r), np.nan, ideal)


def r_precision(relevant, r):
    """Share of right ones among the first R."""
    return np.count_nonzero(_first(relevant, r), axis=1) / r


def map_at_r(relevant, r):
    """The average precision of the first R."""
    return average_precision(_first(relevant, r), r)


def first_rank(relevant, r):
    """Rank of the first right one, from 1; inf where there is none."""
    return np.where(relevant.any(axis=1), relevant.argmax(axis=1) + 1.0, np.inf)


def _first(relevant, r):
    """Which of the first R are right."""
    return relevant & (np.arange(relevant.shape[1]) < r[:, None])
