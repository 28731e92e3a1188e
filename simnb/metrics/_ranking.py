"""Which neighbors of each query are right, and how many rows there were to find."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simnb import _checks
from simnb.index import UNKNOWN, Neighbors

_BLOCK = 1 << 18  # neighbors at a time: what is made of them stays in the cache


@dataclass(frozen=True, eq=False)
class Ranking:
    """Queries with their neighbors, less the queries themselves.

    Attributes:
        neighbors: As they were searched.
        labels: True class of each query, shape [num_queries] int64.
        own: Id of each query's own row in the gallery, -1 for none, shape [num_queries]; None where no
            query is in the gallery.
        to_find: R, the rows of each query's class in the gallery but itself, shape [num_queries]; None where
            the labels of the gallery were not given.
    """

    neighbors: Neighbors
    labels: np.ndarray
    own: np.ndarray | None
    to_find: np.ndarray | None

    @classmethod
    def of(cls, neighbors, labels, gallery_labels=None, query_ids=None) -> "Ranking":
        """Check what was given; the Raises of ``retrieval_scores`` are raised here."""
        _checks.not_empty(neighbors, name="neighbors")
        labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
        own = None
        if query_ids is not None:
            own = _checks.labels(query_ids, count=len(neighbors), name="query_ids", of="neighbors")
            if gallery_labels is None:
                raise ValueError(
                    "query_ids must come with gallery_labels, which tell whether a class has other rows; "
                    "got none"
                )
            if neighbors.k == 1:
                raise ValueError("neighbors must have k >= 2, since one may be the query itself; got k=1")
        to_find = None if gallery_labels is None else _count(labels, gallery_labels, own)
        return cls(neighbors, labels, own, to_find)

    @property
    def k(self) -> int:
        """How many neighbors each query has, without itself."""
        return self.neighbors.k - (self.own is not None)

    def __len__(self) -> int:
        """How many queries."""
        return len(self.labels)

    def depth(self, k) -> int:
        """Return k if that many neighbors were searched, or raise ValueError."""
        if _checks.positive_int(k, name="k") > self.k:
            itself = "" if self.own is None else ", without the query itself"
            raise ValueError(f"k must be at most the {self.k} neighbors that were searched{itself}, got {k}")
        return int(k)

    def reaches_r(self) -> bool:
        """Whether every R is known and no larger than k."""
        return self.to_find is not None and self.to_find.max() <= self.k

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Some queries, and whether each of their neighbors is right: shape [some, k] bool."""
        size = max(1, _BLOCK // self.neighbors.k)
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            relevant = self.neighbors.labels[rows] == self.labels[rows, None]
            relevant[self.labels[rows] == UNKNOWN] = False
            if self.own is not None:
                relevant = self._without_itself(relevant, rows)
            if self.to_find is not None:
                self._check_count(relevant, start)
            yield rows, relevant

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance and label of each query's nearest neighbor, itself left out."""
        first = np.zeros(len(self), np.int64)
        if self.own is not None:
            first += (self.neighbors.ids[:, 0] == self.own) & (self.own >= 0)
        rows = np.arange(len(self))
        return self.neighbors.distances[rows, first], self.neighbors.labels[rows, first]

    def _without_itself(self, relevant, rows):
        own = self.own[rows, None]
        found = (self.neighbors.ids[rows] == own) & (own >= 0)
        other = found & (self.neighbors.labels[rows] != self.labels[rows, None])
        if other.any():
            query, column = np.argwhere(other)[0]
            raise ValueError(
                f"query_ids must be ids of the same examples in the gallery, but query {rows.start + query} "
                f"is of class {self.labels[rows.start + query]}, and the row with its id {own[query, 0]} "
                f"of class {self.neighbors.labels[rows.start + query, column]}"
            )
        # Where the query is not among its neighbors the last one goes, so that all keep the same number.
        column = np.where(found.any(axis=1), found.argmax(axis=1), self.k)
        keep = np.ones(relevant.shape, bool)
        keep[np.arange(len(keep)), column] = False
        return relevant[keep].reshape(len(keep), self.k)

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
    gallery_labels = _checks.not_empty(
        _checks.labels(gallery_labels, name="gallery_labels"), name="gallery_labels"
    )
    classes, sizes = np.unique(gallery_labels[gallery_labels != UNKNOWN], return_counts=True)
    classes, sizes = np.append(classes, 0), np.append(sizes, 0)  # one to point to, where there is no class
    place = np.searchsorted(classes[:-1], labels)
    to_find = np.where((classes[place] == labels) & (place < len(classes) - 1), sizes[place], 0)
    if own is None:
        return to_find
    absent = (own >= 0) & (to_find == 0) & (labels != UNKNOWN)
    if absent.any():
        raise ValueError(
            f"query_ids must be ids of rows of the gallery, but it has no row of class {labels[absent][0]}, "
            f"that of query {absent.argmax()}; give queries that are not in it the id -1"
        )
    return to_find - ((own >= 0) & (to_find > 0))
