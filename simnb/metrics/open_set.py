"""How well distances tell queries of known classes from others: the nearer, the likelier known."""

import numpy as np

from simnb import _checks
from simnb.metrics import _inputs


def auroc(distances, known):
    """Probability that a known query is nearer than an unknown one, a tie counting one half.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.

    Returns:
        A float: 1 where every known query is nearer than every unknown one, 0.5 by chance.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, or not both kinds of queries are there.

    References:
        Fawcett, An introduction to ROC analysis, 2006. https://doi.org/10.1016/j.patrec.2005.10.010
    """
    from sklearn.metrics import roc_auc_score

    ranks, known = _ranks(distances, known)
    return float(roc_auc_score(known, -ranks))


def aupr(distances, known, positive="known"):
    """Area under the curve of precision against recall, as average precision.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.
        positive: What is looked for: ``known`` queries, by small distances, or ``unknown``, by large ones.

    Returns:
        A float; by chance the share of positive queries.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, or not both kinds of queries are there.

    References:
        Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006.
        https://doi.org/10.1145/1143844.1143874
    """
    from sklearn.metrics import average_precision_score

    _checks.one_of(positive, ("known", "unknown"), name="positive")
    ranks, known = _ranks(distances, known)
    if positive == "known":
        return float(average_precision_score(known, -ranks))
    return float(average_precision_score(~known, ranks))


def fpr_at_recall(distances, known, recall=0.95):
    """Share of the unknown queries accepted where the threshold accepts enough of the known ones.

    The threshold is the smallest that accepts at least the share ``recall`` of the known queries. A query
    without a neighbor lies farther than all others; a threshold that takes it in accepts everything.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.
        recall: Above 0 and at most 1.

    Returns:
        A float, 0 to 1; smaller is better.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, or not both kinds of queries are there.

    References:
        Liang et al., Enhancing The Reliability of Out-of-distribution Image Detection, 2018.
        https://arxiv.org/abs/1706.02690
    """
    recall = _inputs.share(recall, name="recall", one=True)
    ranks, known = _ranks(distances, known)
    near = np.sort(ranks[known])
    enough = np.arange(1, len(near) + 1) / len(near) >= recall
    return float((ranks[~known] <= near[enough.argmax()]).mean())


def detection_and_identification_rate(distances, right, known, *, false_acceptance=0.01):
    """Share of the known queries that are accepted and given their own label.

    The threshold is the largest that accepts at most the share ``false_acceptance`` of the unknown queries.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        right: Whether that neighbor carries the query's label, shape [num_queries] bool. Those of unknown
            queries do not count.
        known: Whether the query is of a known class, shape [num_queries] bool.
        false_acceptance: At least 0 and below 1. Below 1 / the number of unknown queries it means 0.

    Returns:
        A float, 0 to 1.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, or not both kinds of queries are there.

    References:
        Phillips et al., Evaluation Methods in Face Recognition, 2011 (open-set identification).
        https://doi.org/10.1007/978-0-85729-932-1_21
        Günther et al., Toward Open-Set Face Recognition, 2017. https://arxiv.org/abs/1705.01567
    """
    false_acceptance = _inputs.share(false_acceptance, name="false_acceptance", zero=True)
    ranks, known = _ranks(distances, known)
    right = _inputs.flags(right, count=len(ranks), name="right")
    far = np.sort(ranks[~known])
    # The first unknown query that would be one too many: only what is nearer is accepted.
    excess = (np.arange(1, len(far) + 1) / len(far) > false_acceptance).argmax()
    return float((right & (ranks < far[excess]))[known].mean())


def _ranks(distances, known):
    """Distances as whole numbers in the same order: scikit-learn takes no infinite ones."""
    distances = _inputs.distances(distances)
    known = _inputs.flags(known, count=len(distances), name="known")
    _inputs.both_kinds(known)
    return np.unique(distances, return_inverse=True)[1], known
