"""Neighbors ordered anew: by how much of their own neighborhood they share with the query."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from simnb import _checks
from simnb.index._validation import check_embeddings
from simnb.index.base import Index
from simnb.index.exact import ExactSearch
from simnb.index.in_blocks import nearest
from simnb.index.results import Neighbors, no_neighbors

_DEPTH = 100  # rows that are ordered anew
_QUERIES = 128  # at a time: some millions of shared neighbors
_SHARED = 2 / 3  # of a neighbor's nearer neighbors, from which all of these are taken


class Reranker:
    """Search of an index in two steps: the nearest rows, then these by the neighbors that they share.

    A row is likelier of the query's class where each is among the other's nearest rows (they are
    k-reciprocal), and so are many of their neighbors. The 100 nearest rows, or k, are ordered by a mean: of
    the Jaccard distance of the two neighborhoods, and by ``weight`` of the distance itself, as a multiple of
    that of the query's k1-th row.

    **These distances are not those of the index.** ``Neighbors.distance`` is ``"reranked cosine"`` or the
    like, so that a calibration that was made without re-ranking refuses them: a threshold of one says nothing
    about the other.

    It finds more of a class among the first R rows (MAP@R), and hardly a better first one: measure both on
    queries of your own. Where the nearest rows are mostly wrong, there is nothing to learn from them.

    It differs from the paper in what makes an answer depend on the other queries: each query is ranked by the
    gallery alone. And ``k2`` is 2, not 6, which cost right first neighbors where classes were small.

    Making one compares all rows of the index with one another, exactly, and keeps a copy of them: later
    changes of the index are not seen.

    Args:
        index: The index, of any distance but ``inner_product`` and ``snr``.
        k1: How many rows a neighborhood has: of the order of the rows of a class.
        k2: Over how many rows, the nearest and the query itself, neighborhoods are averaged.
        weight: Of the distance itself, from 0 to 1.

    Raises:
        ValueError: If the index is empty, closed or of one of these two, or a number is out of range.

    References:
        Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, 2017.
        https://arxiv.org/abs/1701.08398

    Example:
        >>> import numpy as np
        >>> from simnb.index import Reranker, open_index
        >>> embeddings = np.random.default_rng(0).normal(size=(60, 8))
        >>> index = open_index()
        >>> ids = index.add(embeddings, labels=np.arange(60) % 3)
        >>> Reranker(index, k1=10).search(embeddings[:2], k=5).distance
        'reranked cosine'
    """

    def __init__(self, index: Index, *, k1: int = 20, k2: int = 2, weight: float = 0.3) -> None:
        if not isinstance(index, Index):
            raise ValueError(
                f"index must be an Index, as open_index gives it, got {type(index).__name__}; "
                "of a SimilaritySearch pass search.index"
            )
        if index.distance in ("inner_product", "snr"):
            raise ValueError(
                "re-ranking needs a distance that is 0 between equal images and the same either way, got "
                f"{index.distance!r}; put the rows into an index of distance='cosine' or 'euclidean'"
            )
        self._rows = index.get()
        if not len(self._rows):
            raise ValueError("re-ranking needs rows, but the index is empty: call add(...) first")
        #: Name of the distance, and length of an embedding, of the index.
        self.distance, self.dim = index.distance, index.dim
        self._k1 = min(_checks.positive_int(k1, name="k1"), len(self._rows) - 1)
        self._k2 = min(_checks.positive_int(k2, name="k2"), self._k1 + 1)
        self._weight = _checks.number(weight, name="weight", at_least=0, at_most=1)
        self._search = ExactSearch(self._rows.embeddings, self.distance)
        self._prepare()

    def _prepare(self):
        """Neighborhoods of all rows: who is in them, and with which weight."""
        rows, count = self._rows.embeddings, len(self._rows)
        distances, places = np.zeros((count, 0), np.float32), np.zeros((count, 0), np.int64)
        if self._k1:
            doing = "Comparing images"
            distances, places = nearest(self._search, rows, self._k1, among=True, doing=doing)
        places = np.concatenate([np.arange(count)[:, None], places], axis=1)  # each is its own nearest
        self._reach = distances[:, -1] if self._k1 else np.zeros(count, np.float32)
        self._inner = _reciprocal(places[:, : round(self._k1 / 2) + 1])
        self._alone = self._weights(rows, _reciprocal(places), self._reach)
        self._shares = (_average(places[:, : self._k2], count) @ self._alone).tocsr()

    def search(self, embeddings: ArrayLike, k: int = 5) -> Neighbors:
        """Find the k nearest rows of each query, as ``Index.search`` does, in the new order.

        Args:
            embeddings: Queries, shape [num_queries, dim].
            k: How many neighbors.

        Returns:
            ``Neighbors``, whose distances are those that the class describes.

        Raises:
            ValueError: If the queries are malformed or k is below 1.
        """
        k = _checks.positive_int(k, name="k")
        queries = check_embeddings(embeddings, index=self, name="queries")
        distances, ids, labels = no_neighbors(len(queries), k)
        found = min(k, len(self._rows))
        for start in range(0, len(queries), _QUERIES):
            some = slice(start, start + _QUERIES)
            distances[some, :found], places = self._ranked(queries[some], found)
            ids[some, :found], labels[some, :found] = self._rows.ids[places], self._rows.labels[places]
        return Neighbors(distances, ids, labels, f"reranked {self.distance}", self._rows.class_names)

    def _ranked(self, queries, k):
        """Distances of the k first rows of each query in the new order, and their positions."""
        count, depth = len(queries), min(max(_DEPTH, self._k1, k), len(self._rows))
        distances, places = self._search(queries, depth)
        reach = distances[:, max(self._k1, 1) - 1]
        reach = np.where(reach > 0, reach, distances[:, -1])  # of copies of the query
        first = distances[:, : self._k1] <= self._reach[places[:, : self._k1]]
        row, column = np.nonzero(first)  # those that would have the query among their own nearest
        members = _ones(row, places[row, column], (count, len(self._rows)))
        others = _average(places[:, : self._k2 - 1], len(self._rows), of=self._k2)
        shares = (
            self._weights(queries, members, reach, itself=1.0) / self._k2 + others @ self._alone
        ).tocsr()
        shared = self._shares[places.ravel()].minimum(shares[np.repeat(np.arange(count), depth)])
        shared = np.asarray(shared.sum(axis=1)).reshape(count, depth)
        jaccard = 1 - shared / (2 - shared)
        mixed = (1 - self._weight) * jaccard + self._weight * distances / _above_0(reach)[:, None]
        order = np.argsort(mixed, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(mixed, order, axis=1), np.take_along_axis(places, order, axis=1)

    def _weights(self, queries, members, reach, itself=0.0):
        """Weight of each row in the neighborhoods of queries: [num_queries, num_rows], sparse, of sum 1.

        ``itself`` is what a query adds to the sum that is no row.
        """
        shared = (members @ self._inner.T).multiply(members).tocoo()
        most = shared.data > _SHARED * self._inner.sum(axis=1)[shared.col]
        more = _ones(shared.row[most], shared.col[most], members.shape) @ self._inner
        wide = (members + more).tocoo()
        distances = self._search.beside(queries, wide.row, wide.col)
        with np.errstate(over="ignore"):  # beside copies all others are infinitely far
            near = np.exp(-distances / _above_0(reach)[wide.row])
        weights = sparse.csr_array((near, (wide.row, wide.col)), shape=members.shape)
        return (sparse.diags_array(1 / _above_0(weights.sum(axis=1) + itself)) @ weights).tocsr()


def _reciprocal(places: NDArray[np.int64]) -> sparse.csr_array:
    """Which rows are among the nearest of each other: shape [num_rows, num_rows], sparse."""
    count, k = places.shape
    near = _ones(np.repeat(np.arange(count), k), places.ravel(), (count, count))
    return near.multiply(near.T).tocsr()


def _ones(row, column, shape):
    return sparse.csr_array((np.ones(len(row), np.float32), (row, column)), shape=shape)


def _average(places, count, of=None):
    """The matrix that takes the mean over some rows, or their sum over ``of`` rows."""
    number, k = places.shape
    mean = _ones(np.repeat(np.arange(number), k), places.ravel(), (number, count))
    return mean / np.float32(of or k)


def _above_0(values):
    """Values that can be divided by."""
    return np.maximum(values, np.finfo(np.float32).tiny)
