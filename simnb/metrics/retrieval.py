"""How good the order of the neighbors is: scores of each query, and their means."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.index import Neighbors
from simnb.metrics import _inputs, ranking
from simnb.metrics.ranking import Ranking

AVERAGES = ("micro", "macro")


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
    ranked = Ranking(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranked, ranking.at(ranking.recall, ranked.depth(k)), average)


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
    ranked = Ranking(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranked, ranking.at(ranking.precision, ranked.depth(k)), average)


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
    ranked = _known(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranked, ranking.at(ranking.average_precision, ranked.depth(k)), average)


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
    ranked = _known(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranked, ranking.at(ranking.ndcg, ranked.depth(k)), average)


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
    return _mean(_within_r(neighbors, labels, gallery_labels, query_ids), ranking.r_precision, average)


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
    return _mean(_within_r(neighbors, labels, gallery_labels, query_ids), ranking.map_at_r, average)


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
    ranked = Ranking(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranked, lambda relevant, r: 1 / ranking.first_rank(relevant, r), average)


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
    ranked = Ranking(neighbors, labels, gallery_labels, query_ids)
    ranks = _counted(ranked.measure({"rank": ranking.first_rank})["rank"])
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


def _mean(ranked, measure, average):
    _checks.one_of(average, AVERAGES, name="average")
    scores = ranked.measure({"score": measure})["score"]
    if average == "macro":
        return float(per_class(scores, ranked.labels)[1].mean())
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
    ranked = Ranking(neighbors, labels, gallery_labels, query_ids)
    missing = ranked.to_find == 0
    if ranked.own is not None:
        missing &= ranked.own < 0  # the only one of its class: it is left out
    if missing.any():
        raise ValueError(
            f"the gallery must hold the class of every query, but {missing.sum()} queries have classes it "
            f"lacks, for example {ranked.labels[missing][0]}; measure queries of known classes only"
        )
    return ranked


def _within_r(neighbors, labels, gallery_labels, query_ids):
    ranked = _known(neighbors, labels, gallery_labels, query_ids)
    if not ranked.reaches_r():
        needed = int(ranked.to_find.max()) + (ranked.own is not None)
        raise ValueError(f"neighbors must have k >= {needed}, the largest class, got k={neighbors.k}")
    return ranked
