"""Every metric of one set of queries in one table."""

import numpy as np

from simnb.index import UNKNOWN
from simnb.metrics import _resampling, open_set
from simnb.metrics._ranking import Ranking
from simnb.metrics._report import Report
from simnb.metrics.intervals import Interval, interval, match_intervals, open_set_intervals
from simnb.metrics.matches import evaluate_matches, known_queries
from simnb.metrics.retrieval import depths, scores_of

#: The settings of ``fpr_at_recall`` and ``detection_and_identification_rate`` in a report.
RECALL, FALSE_ACCEPTANCE = 0.95, 0.01


def report(
    neighbors,
    labels,
    *,
    gallery_labels=None,
    query_ids=None,
    known_labels=None,
    matches=None,
    k=None,
    confidence=None,
    resamples=1_000,
    seed=0,
    by_class=False,
):
    """Measure queries in every way their neighbors and answers allow.

    - The metrics of ``retrieval_scores``, but for ``first_rank``, over the queries of known classes that have
      something to find: the mean over queries (``micro``) and over classes (``macro``). map@k and ndcg@k need
      ``gallery_labels``; r_precision and map@r besides that as many neighbors as the largest class has rows.
    - The rates of ``evaluate_matches`` over all queries, where ``matches`` are given.
    - Where some queries are of unknown classes, how well the distance of the nearest neighbor tells them
      apart: ``auroc``, ``aupr_known``, ``aupr_unknown``, ``fpr@0.95`` (``fpr_at_recall``) and ``dir@0.01``
      (``detection_and_identification_rate``).

    Args:
        neighbors: ``Neighbors`` of the queries.
        labels: True class of each query, shape [num_queries].
        gallery_labels: Label of every gallery row, shape [num_gallery].
        query_ids: Ids of queries that are rows of the gallery themselves, as in ``retrieval_scores``.
        known_labels: The known classes. When left out those of ``gallery_labels``; without these all but
            ``UNKNOWN``.
        matches: ``Matches`` of the queries, from ``simnb.matching`` or a calibration; its labels are read.
        k: One k or several, each at most the number of neighbors. When left out, those of 1, 5 and 10 that
            were searched.
        confidence: Of the interval around every value, such as 0.95; None for no intervals. Queries are drawn
            anew within each class, so that the numbers of queries of the classes are kept.
        resamples: How many times queries are drawn.
        seed: Of the draws.
        by_class: Whether to add a row for each metric and class: the retrieval metrics, and with ``matches``
            recall and coverage. All unknown queries together are the class ``UNKNOWN``, with its
            false_acceptance.

    Returns:
        A ``Report``.

    Raises:
        ValueError: If there is no query of a known class that has something to find, and where
            ``retrieval_scores`` and ``evaluate_matches`` raise.

    Example:
        >>> import numpy as np
        >>> from simnb.index import Neighbors
        >>> from simnb.metrics import report
        >>> neighbors = Neighbors(np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0, 1], [1, 0]]),
        ...                       np.array([[5, 6], [6, 5]]))
        >>> report(neighbors, [5, 5], k=1).value("recall@1")
        0.5
    """
    ranking = Ranking.of(neighbors, labels, gallery_labels, query_ids)
    if known_labels is None and gallery_labels is not None:
        known_labels = np.unique(gallery_labels)
    known = known_queries(ranking.labels, known_labels)
    bootstrap = None
    if confidence is not None:
        resamples, seed = _resampling.options(confidence, resamples, seed)
        bootstrap = {"confidence": confidence, "resamples": resamples, "seed": seed}
    rows = _retrieval(ranking, known, depths(ranking, k), bootstrap, by_class)
    groups = np.where(known, ranking.labels, UNKNOWN)
    if matches is not None:
        rows += _answers(matches.labels, ranking.labels, known_labels, groups, bootstrap, by_class)
    if not known.all():
        rows += _open_set(ranking, known, groups, bootstrap)
    names = ("metric", "average", "class", "value", "low", "high", "num_queries")
    columns = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return Report(columns, confidence, neighbors.class_names)


def _row(metric, average, label, value, count):
    """One row of the table; the value is an ``Interval`` or a plain number."""
    if not isinstance(value, Interval):
        value = Interval(value, np.nan, np.nan, np.nan)
    return metric, average, int(label), float(value.value), value.low, value.high, int(count)


def _retrieval(ranking, known, ks, bootstrap, by_class):
    scores = scores_of(ranking, ks)
    scores.pop("first_rank")
    table = np.stack(list(scores.values()), axis=1)
    counted = known & ~np.isnan(table[:, 0])
    if not counted.any():
        raise ValueError(
            "report needs at least one query of a known class that has something to find, got none "
            f"among {len(known)}; are the labels those of the gallery?"
        )
    table, labels = table[counted], ranking.labels[counted]
    classes, sizes = np.unique(labels, return_counts=True)
    micro, macro, each = _intervals(table, labels, sizes, bootstrap)
    rows = []
    for number, metric in enumerate(scores):
        rows.append(_row(metric, "micro", UNKNOWN, micro[number], len(labels)))
        rows.append(_row(metric, "macro", UNKNOWN, macro[number], len(labels)))
        if by_class:
            rows += [
                _row(metric, "class", label, values[number], size)
                for label, values, size in zip(classes, each, sizes, strict=True)
            ]
    return rows


def _intervals(table, labels, sizes, bootstrap):
    """Of every column the mean, the mean of the classes' means, and the mean of each class."""
    groups = np.split(table[np.argsort(labels, kind="stable")], np.cumsum(sizes)[:-1])
    means = np.stack([group.mean(axis=0) for group in groups])
    micro, macro = sizes @ means / sizes.sum(), means.mean(axis=0)
    if bootstrap is None:
        return micro, macro, means
    confidence, resamples, seed = bootstrap.values()
    (micros, macros), each = np.zeros((2, resamples, table.shape[1])), []
    for (rows, sums), mean in zip(
        _resampling.strata_sums(table, labels, resamples, seed), means, strict=True
    ):
        micros += sums / len(table)
        macros += sums / (len(rows) * len(sizes))
        each.append(_columns(mean, sums / len(rows), confidence))
    return _columns(micro, micros, confidence), _columns(macro, macros, confidence), each


def _columns(values, samples, confidence):
    return [interval(value, column, confidence) for value, column in zip(values, samples.T, strict=True)]


def _answers(predicted, labels, known_labels, groups, bootstrap, by_class):
    if len(predicted) != len(labels):
        raise ValueError(
            f"matches and neighbors must have the same length, got {len(predicted)} and {len(labels)}"
        )

    def rates(rows, strata):
        given = {"known_labels": known_labels}
        if bootstrap is None:
            return evaluate_matches(predicted[rows], labels[rows], **given)
        return match_intervals(predicted[rows], labels[rows], strata=strata, **given, **bootstrap)

    measured = rates(slice(None), groups)
    totals = dict.fromkeys(measured, len(labels))
    known = np.count_nonzero(groups != UNKNOWN)
    totals |= {"recall": known, "coverage": known, "false_acceptance": len(labels) - known}
    rows = [
        _row(name, "micro", UNKNOWN, value, totals[name]) for name, value in measured.items() if totals[name]
    ]
    if by_class:
        for label in np.unique(groups):
            members = groups == label
            wanted = ("false_acceptance",) if label == UNKNOWN else ("recall", "coverage")
            of_class = rates(members, None)
            rows += [_row(name, "class", label, of_class[name], members.sum()) for name in wanted]
    return rows


def _open_set(ranking, known, groups, bootstrap):
    distances, nearest = ranking.nearest()
    right = nearest == ranking.labels
    if bootstrap is None:
        values = {
            "auroc": open_set.auroc(distances, known),
            "aupr_known": open_set.aupr(distances, known, "known"),
            "aupr_unknown": open_set.aupr(distances, known, "unknown"),
            f"fpr@{RECALL:g}": open_set.fpr_at_recall(distances, known, RECALL),
            f"dir@{FALSE_ACCEPTANCE:g}": open_set.detection_and_identification_rate(
                distances, right, known, false_acceptance=FALSE_ACCEPTANCE
            ),
        }
    else:
        settings = {"recall": RECALL, "false_acceptance": FALSE_ACCEPTANCE, "strata": groups}
        values = open_set_intervals(distances, known, right, **settings, **bootstrap)
    return [_row(name, "micro", UNKNOWN, value, len(known)) for name, value in values.items()]
