"""How good the order of the neighbors is: scores of each query, and their means."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.index import UNKNOWN, Neighbors
from simnb.metrics import _inputs

AVERAGES = ("micro", "macro")
_USUAL = (1, 5, 10)
_BLOCK = 1 << 18  # neighbors at a time: what is made of them stays in the cache


def retrieval_scores(
    neighbors: Neighbors,
    labels: ArrayLike,
    *,
    gallery_labels: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    k: int | Sequence[int] | NDArray[np.integer] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Score each query by its neighbors. The other functions here are means of these.

    Right is a neighbor of the query's class. R is the number of rows of that class in the gallery, but for
    the query itself. At each k, which may be several:

    - ``recall@k``: 1 where a right neighbor is among the first k, else 0;
    - ``precision@k``: share of right ones among the first k;
    - ``map@k``: the precision at each rank up to k that holds a right neighbor, summed and divided by R;
    - ``ndcg@k``: each right neighbor counts 1 / log2(rank + 1), divided by what the best order of the whole
      gallery would give: min(R, k) right ones first.

    And over all neighbors that were searched:

    - ``r_precision``: share of right ones among the first R;
    - ``map@r``: as map@k, with k = R;
    - ``mrr``: 1 / rank of the first right neighbor, 0 where there is none;
    - ``first_rank``: that rank, from 1; ``inf`` where there is none.

    Args:
        neighbors: ``Neighbors`` of the queries. Places that a small gallery left empty count as wrong.
        labels: True class of each query, shape [num_queries].
        gallery_labels: Label of every gallery row, shape [num_gallery]. Without them there is no R: map@k,
            ndcg@k, r_precision and map@r are left out, and a query of a class that the gallery lacks counts
            as a miss. With them such a query is NaN in every score.
        query_ids: For queries that are rows of the gallery: the id of each, -1 for one that is not, shape
            [num_queries]. Its own row is then taken out of a query's neighbors, wherever it is; where it is
            not among them, the last neighbor goes. All queries have one neighbor less, and a query whose
            class has no other row is NaN in every score. Needs ``gallery_labels``.
        k: One k or several, each at most the number of neighbors; None for those of 1, 5 and 10 that were
            searched.

    Returns:
        A dict of float64 arrays [num_queries], by the names above. r_precision and map@r are left out where
        any query's R is larger than the number of its neighbors, since they cannot be told then.

    Raises:
        ValueError: If there is no query, lengths differ, a k is larger than the number of neighbors, or
            ``gallery_labels`` or ``query_ids`` are plainly not those of the neighbors.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020 (R-precision, MAP@R).
        https://arxiv.org/abs/2003.08505
        Järvelin and Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, 2002 (nDCG).
        https://doi.org/10.1145/582415.582418

    Example:
        >>> import numpy as np
        >>> from simnb.index import Neighbors
        >>> from simnb.metrics import retrieval_scores
        >>> neighbors = Neighbors(np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0, 1], [1, 0]]),
        ...                       np.array([[5, 6], [6, 5]]))
        >>> retrieval_scores(neighbors, [5, 5], k=1)["recall@1"].tolist()
        [1.0, 0.0]
    """
    return Ranking(neighbors, labels, gallery_labels, query_ids).scores(k)


def recall_at_k(
    neighbors: Neighbors,
    labels: ArrayLike,
    k: int = 1,
    *,
    gallery_labels: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    average: str = "micro",
) -> float:
    """Share of queries with at least one neighbor of their own class among the first k.

    Args:
        neighbors: ``Neighbors`` of the queries. Places that a small gallery left empty count as wrong.
        labels: True class of each query, shape [num_queries].
        k: At most the number of neighbors.
        gallery_labels: Label of every gallery row, shape [num_gallery]. With them a query that has no other
            row of its class to find is left out; without them it counts as a miss.
        query_ids: Ids of queries that are rows of the gallery themselves, as in ``retrieval_scores``.
        average: ``micro``, the mean over queries, or ``macro``, the mean over the classes of their means.

    Raises:
        ValueError: If there is no query, the lengths differ, or k exceeds the number of neighbors.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505

    Example:
        >>> import numpy as np
        >>> from simnb import metrics
        >>> from simnb.index import Neighbors
        >>> distances = np.array([[0.1, 0.2], [0.2, 0.4]])
        >>> neighbors = Neighbors(distances, np.array([[0, 1], [3, 2]]), np.array([[5, 6], [6, 5]]))
        >>> labels, rows = [5, 5], [5, 6, 5, 6]
        >>> metrics.recall_at_k(neighbors, labels), metrics.precision_at_k(neighbors, labels, k=2)
        (0.5, 0.5)
        >>> metrics.map_at_k(neighbors, labels, k=2, gallery_labels=rows)
        0.375
        >>> round(metrics.ndcg_at_k(neighbors, labels, k=2, gallery_labels=rows), 3)
        0.5
        >>> metrics.r_precision(neighbors, labels, gallery_labels=rows)
        0.5
        >>> metrics.mean_reciprocal_rank(neighbors, labels)
        0.75
        >>> metrics.rank_statistics(neighbors, labels)["median"]
        1.5
    """
    ranking = Ranking(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_recall, ranking.depth(k)), average)


def precision_at_k(
    neighbors: Neighbors,
    labels: ArrayLike,
    k: int = 1,
    *,
    gallery_labels: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    average: str = "micro",
) -> float:
    """Share of the first k neighbors that are of the query's class, averaged.

    Takes and raises what ``recall_at_k`` does.
    """
    ranking = Ranking(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_precision, ranking.depth(k)), average)


def map_at_k(
    neighbors: Neighbors,
    labels: ArrayLike,
    gallery_labels: ArrayLike,
    k: int = 10,
    *,
    query_ids: ArrayLike | None = None,
    average: str = "micro",
) -> float:
    """Mean average precision over the first k neighbors.

    Precision is taken at every rank up to k that holds a right neighbor, and the sum divided by R, the size
    of the query's class in the gallery. Where k is below R even a perfect order does not reach 1.
    Takes and raises what ``recall_at_k`` does; the class of every query must be in the gallery.
    """
    ranking = _known(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_average_precision, ranking.depth(k)), average)


def ndcg_at_k(
    neighbors: Neighbors,
    labels: ArrayLike,
    gallery_labels: ArrayLike,
    k: int = 10,
    *,
    query_ids: ArrayLike | None = None,
    average: str = "micro",
) -> float:
    """Normalized discounted cumulative gain of the first k neighbors, a right one counting 1, else 0.

    The ideal has min(R, k) right ones first, R being the size of the query's class in the gallery.
    Takes and raises what ``map_at_k`` does.

    References:
        Järvelin and Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, 2002.
        https://doi.org/10.1145/582415.582418
    """
    ranking = _known(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_ndcg, ranking.depth(k)), average)


def r_precision(
    neighbors: Neighbors,
    labels: ArrayLike,
    gallery_labels: ArrayLike,
    *,
    query_ids: ArrayLike | None = None,
    average: str = "micro",
) -> float:
    """Precision among the first R neighbors, R being the size of the query's class in the gallery.

    Takes and raises what ``recall_at_k`` does, without a k; the class of every query must be in the gallery,
    and every query needs as many neighbors as the largest class has rows. A query that is a row of the
    gallery (``query_ids``) is not counted in R.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    return _mean(_within_r(neighbors, labels, gallery_labels, query_ids), _r_precision, average)


def map_at_r(
    neighbors: Neighbors,
    labels: ArrayLike,
    gallery_labels: ArrayLike,
    *,
    query_ids: ArrayLike | None = None,
    average: str = "micro",
) -> float:
    """Mean average precision over the first R neighbors (MAP@R).

    Precision is taken at every rank up to R that holds a right neighbor, and the sum divided by R.
    Takes and raises what ``r_precision`` does.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    return _mean(_within_r(neighbors, labels, gallery_labels, query_ids), _map_at_r, average)


def mean_reciprocal_rank(
    neighbors: Neighbors,
    labels: ArrayLike,
    *,
    gallery_labels: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    average: str = "micro",
) -> float:
    """Mean of 1 / rank of the first right neighbor, 0 where none of those searched is right.

    Takes and raises what ``recall_at_k`` does, without a k.

    References:
        Voorhees, The TREC-8 Question Answering Track Report, 1999.
        https://trec.nist.gov/pubs/trec8/papers/qa_report.pdf
    """
    ranking = Ranking(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, lambda relevant, r: 1 / _first_rank(relevant, r), average)


def rank_statistics(
    neighbors: Neighbors,
    labels: ArrayLike,
    *,
    gallery_labels: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
) -> dict[str, float]:
    """Where the first right neighbor stands.

    Takes and raises what ``recall_at_k`` does, without a k and an average.

    Returns:
        A dict of floats: ``median``, the median rank over all queries, ``inf`` where most find nothing;
        ``mean``, the mean rank over the queries that find something, NaN where none does; and ``found``, the
        share of queries that do. Ranks start at 1.
    """
    ranking = Ranking(neighbors, labels, gallery_labels, query_ids)
    ranks = _counted(ranking.measure({"rank": _first_rank})["rank"])
    found = np.isfinite(ranks)
    mean = ranks[found].mean() if found.any() else np.nan
    return {"median": float(np.median(ranks)), "mean": float(mean), "found": float(found.mean())}


def per_class(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean score of the queries of each class.

    Args:
        scores: Score of each query, such as one array of ``retrieval_scores``, shape [num_queries]. Queries
            with NaN are left out.
        labels: True class of each query, shape [num_queries].

    Returns:
        Three arrays of shape [num_classes]: the classes in ascending order, their means, and how many
        queries each mean is of. A class whose queries are all left out is not there.

    Raises:
        ValueError: If there is no query, the lengths differ, or no query has a score.
    """
    scores = _inputs.row(scores, name="scores")
    labels = _checks.labels(labels, count=len(scores), of="scores")
    _counted(scores)
    counted = ~np.isnan(scores)
    classes, place, counts = np.unique(labels[counted], return_inverse=True, return_counts=True)
    return classes, np.bincount(place, weights=scores[counted]) / counts, counts


def _mean(ranking, measure, average):
    _checks.one_of(average, AVERAGES, name="average")
    scores = ranking.measure({"score": measure})["score"]
    if average == "macro":
        return float(per_class(scores, ranking.labels)[1].mean())
    return float(_counted(scores).mean())


def _counted(scores):
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        raise ValueError("at least one query must have a row of its class to find in the gallery, got none")
    return scores


def _known(neighbors, labels, gallery_labels, query_ids):
    """A ranking in which every query's class is in the gallery."""
    if gallery_labels is None:
        raise ValueError("gallery_labels must be the label of every gallery row, got None")
    ranking = Ranking(neighbors, labels, gallery_labels, query_ids)
    missing = ranking.to_find == 0
    if ranking.own is not None:
        missing &= ranking.own < 0  # the only one of its class: it is left out
    if missing.any():
        raise ValueError(
            f"the gallery must hold the class of every query, but {missing.sum()} queries have classes it "
            f"lacks, for example {ranking.labels[missing][0]}; measure queries of known classes only"
        )
    return ranking


def _within_r(neighbors, labels, gallery_labels, query_ids):
    ranking = _known(neighbors, labels, gallery_labels, query_ids)
    if not ranking.reaches_r():
        needed = int(ranking.to_find.max()) + (ranking.own is not None)
        raise ValueError(f"neighbors must have k >= {needed}, the largest class, got k={neighbors.k}")
    return ranking


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
        named = {"recall": _recall, "precision": _precision}
        if self.to_find is not None:
            named |= {"map": _average_precision, "ndcg": _ndcg}
        measures = {f"{name}@{n}": _at(formula, n) for name, formula in named.items() for n in ks}
        if self.reaches_r():
            measures |= {"r_precision": _r_precision, "map@r": _map_at_r}
        scores = self.measure({**measures, "first_rank": _first_rank})
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


def _at(formula, k):
    return lambda relevant, r: formula(relevant[:, :k], r)


def _recall(relevant, r):
    return relevant.any(axis=1)


def _precision(relevant, r):
    return relevant.mean(axis=1)


def _average_precision(relevant, r):
    right = np.cumsum(relevant, axis=1, dtype=np.float64)
    right /= np.arange(1, relevant.shape[1] + 1)
    right *= relevant
    return right.sum(axis=1) / r


def _ndcg(relevant, r):
    discounts = 1 / np.log2(np.arange(2, relevant.shape[1] + 2))
    # fmin: R where it is NaN only has to be some position, the division by it is NaN.
    ideal = np.cumsum(discounts)[np.fmin(r, len(discounts)).astype(np.int64) - 1]
    return (relevant @ discounts) / np.where(np.isnan(r), np.nan, ideal)


def _r_precision(relevant, r):
    return np.count_nonzero(_first(relevant, r), axis=1) / r


def _map_at_r(relevant, r):
    return _average_precision(_first(relevant, r), r)


def _first_rank(relevant, r):
    """Rank of the first right one, from 1; inf where there is none."""
    return np.where(relevant.any(axis=1), relevant.argmax(axis=1) + 1.0, np.inf)


def _first(relevant, r):
    """Which of the first R are right."""
    return relevant & (np.arange(relevant.shape[1]) < r[:, None])
