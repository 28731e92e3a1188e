"""How good the order of the neighbors is: scores of each query, and their means."""

import numpy as np

from simnb import _checks
from simnb.metrics import _formulas, _inputs
from simnb.metrics._ranking import Ranking

AVERAGES = ("micro", "macro")
_USUAL = (1, 5, 10)


def retrieval_scores(neighbors, labels, *, gallery_labels=None, query_ids=None, k=None):
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
        k: One k or several, each at most the number of neighbors. When left out, those of 1, 5 and 10 that
            were searched.

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
    ranking = Ranking.of(neighbors, labels, gallery_labels, query_ids)
    return scores_of(ranking, depths(ranking, k))


def depths(ranking, k=None):
    """The values of k to measure at, in their order."""
    if k is None:
        return [usual for usual in _USUAL if usual <= ranking.k]
    several = k if np.ndim(k) else [k]
    return list(dict.fromkeys(ranking.depth(one.item() if hasattr(one, "item") else one) for one in several))


def scores_of(ranking, ks):
    """All scores of ``retrieval_scores`` that there are."""
    named = {"recall": _formulas.recall, "precision": _formulas.precision}
    if ranking.to_find is not None:
        named |= {"map": _formulas.average_precision, "ndcg": _formulas.ndcg}
    measures = {f"{name}@{k}": _at(formula, k) for name, formula in named.items() for k in ks}
    if ranking.reaches_r():
        measures |= {"r_precision": _formulas.r_precision, "map@r": _formulas.map_at_r}
    scores = _scores(ranking, {**measures, "first_rank": _formulas.first_rank})
    first = scores.pop("first_rank")
    return {**scores, "mrr": 1 / first, "first_rank": first}


def recall_at_k(neighbors, labels, k=1, *, gallery_labels=None, query_ids=None, average="micro"):
    """Share of queries with at least one neighbor of their own class among the first k.

    Args:
        neighbors: ``Neighbors`` of the queries.
        labels: True class of each query, shape [num_queries].
        k: At most the number of neighbors.
        gallery_labels: Label of every gallery row, shape [num_gallery]. With them a query that has no other
            row of its class to find is left out; without them it counts as a miss.
        query_ids: Ids of queries that are rows of the gallery themselves, as in ``retrieval_scores``.
        average: ``micro``, the mean over queries, or ``macro``, the mean over the classes of their means.

    Returns:
        A float, 0 to 1.

    Raises:
        ValueError: If there is no query, the lengths differ, or k exceeds the number of neighbors.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    ranking = Ranking.of(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_formulas.recall, ranking.depth(k)), average)


def precision_at_k(neighbors, labels, k=1, *, gallery_labels=None, query_ids=None, average="micro"):
    """Share of the first k neighbors that are of the query's class, averaged.

    Takes and raises what ``recall_at_k`` does. Places that a small gallery left empty count as wrong.
    """
    ranking = Ranking.of(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_formulas.precision, ranking.depth(k)), average)


def map_at_k(neighbors, labels, gallery_labels, k=10, *, query_ids=None, average="micro"):
    """Mean average precision over the first k neighbors.

    Precision is taken at every rank up to k that holds a right neighbor, and the sum divided by R, the size
    of the query's class in the gallery. Where k is below R even a perfect order does not reach 1.

    Args:
        neighbors: ``Neighbors`` of the queries.
        labels: True class of each query, shape [num_queries].
        gallery_labels: Label of every gallery row, shape [num_gallery].
        k: At most the number of neighbors.
        query_ids: Ids of queries that are rows of the gallery themselves, as in ``retrieval_scores``.
        average: ``micro``, the mean over queries, or ``macro``, the mean over the classes of their means.

    Returns:
        A float, 0 to 1.

    Raises:
        ValueError: If k exceeds the number of neighbors, or a query's class is not in the gallery.
    """
    ranking = _known(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_formulas.average_precision, ranking.depth(k)), average)


def ndcg_at_k(neighbors, labels, gallery_labels, k=10, *, query_ids=None, average="micro"):
    """Normalized discounted cumulative gain of the first k neighbors, a right one counting 1, else 0.

    The ideal has min(R, k) right ones first, R being the size of the query's class in the gallery.
    Takes and raises what ``map_at_k`` does.

    References:
        Järvelin and Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, 2002.
        https://doi.org/10.1145/582415.582418
    """
    ranking = _known(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _at(_formulas.ndcg, ranking.depth(k)), average)


def r_precision(neighbors, labels, gallery_labels, *, query_ids=None, average="micro"):
    """Precision among the first R neighbors, R being the size of the query's class in the gallery.

    Args:
        neighbors: ``Neighbors`` of the queries, with k >= every R.
        labels: True class of each query, shape [num_queries].
        gallery_labels: Label of every gallery row, shape [num_gallery].
        query_ids: Ids of queries that are rows of the gallery themselves, as in ``retrieval_scores``; a
            query is then not counted in R.
        average: ``micro``, the mean over queries, or ``macro``, the mean over the classes of their means.

    Returns:
        A float, 0 to 1.

    Raises:
        ValueError: If k is below the largest R, or a query's class is not in the gallery (R would be 0).

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    return _mean(_within_r(neighbors, labels, gallery_labels, query_ids), _formulas.r_precision, average)


def map_at_r(neighbors, labels, gallery_labels, *, query_ids=None, average="micro"):
    """Mean average precision over the first R neighbors (MAP@R).

    Precision is taken at every rank up to R that holds a right neighbor, and the sum divided by R.
    Takes and raises what ``r_precision`` does.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    return _mean(_within_r(neighbors, labels, gallery_labels, query_ids), _formulas.map_at_r, average)


def mean_reciprocal_rank(neighbors, labels, *, gallery_labels=None, query_ids=None, average="micro"):
    """Mean of 1 / rank of the first right neighbor, 0 where none of those searched is right.

    Takes what ``recall_at_k`` does, without a k, and raises the same.

    References:
        Voorhees, The TREC-8 Question Answering Track Report, 1999.
        https://trec.nist.gov/pubs/trec8/papers/qa_report.pdf
    """
    ranking = Ranking.of(neighbors, labels, gallery_labels, query_ids)
    return _mean(ranking, _formulas.reciprocal_rank, average)


def rank_statistics(neighbors, labels, *, gallery_labels=None, query_ids=None):
    """Where the first right neighbor stands.

    Takes what ``mean_reciprocal_rank`` does, without an average, and raises the same.

    Returns:
        A dict of floats: ``median``, the median rank over all queries, ``inf`` where most find nothing;
        ``mean``, the mean rank over the queries that find something, NaN where none does; and ``found``, the
        share of queries that do. Ranks start at 1.
    """
    ranking = Ranking.of(neighbors, labels, gallery_labels, query_ids)
    ranks = _counted(_scores(ranking, {"rank": _formulas.first_rank})["rank"])
    found = np.isfinite(ranks)
    mean = ranks[found].mean() if found.any() else np.nan
    return {"median": float(np.median(ranks)), "mean": float(mean), "found": float(found.mean())}


def per_class(scores, labels):
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


def _at(formula, k):
    return lambda relevant, r: formula(relevant[:, :k], r)


def _scores(ranking, measures):
    """Scores by name, from formulas by name; NaN where there is nothing to find."""
    scores = {name: np.empty(len(ranking)) for name in measures}
    r = np.ones(len(ranking)) if ranking.to_find is None else ranking.to_find.astype(np.float64)
    r[r == 0] = np.nan
    for rows, relevant in ranking.blocks():
        for name, measure in measures.items():
            scores[name][rows] = measure(relevant, r[rows])
    for array in scores.values():
        array[np.isnan(r)] = np.nan
    return scores


def _mean(ranking, measure, average):
    _checks.one_of(average, AVERAGES, name="average")
    scores = _scores(ranking, {"score": measure})["score"]
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
    ranking = Ranking.of(neighbors, labels, gallery_labels, query_ids)
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
