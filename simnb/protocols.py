"""Ways to evaluate a search, each a few lines of its parts: what is indexed, what is asked, what is unknown.

Queries match by their nearest neighbor. Each takes embeddings with their labels as pairs:
``(embeddings [n, dim], labels [n])``. Images of gallery, calibration and queries have to be different.
"""

from dataclasses import dataclass

import numpy as np

from simnb import _checks
from simnb.calibration import METRICS, Calibration, calibrate
from simnb.calibration.cutpoints import goals
from simnb.index import UNKNOWN, open_index
from simnb.matching import match
from simnb.metrics import Report, evaluate_matches, recall_at_k, report

__all__ = ["Evaluation", "closed_set", "held_out", "gallery_grows", "few_shot"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A threshold, and what it does on queries of its own.

    Attributes:
        calibration: The ``Calibration``.
        report: A ``simnb.metrics.Report`` of the queries at its first cutpoint.
    """

    calibration: Calibration
    report: Report


def closed_set(gallery, queries, *, distance="cosine", depth=10, **options):
    """Measure retrieval where the class of every query is in the gallery.

    Args:
        gallery: Embeddings and labels of what is indexed.
        queries: Those of what is asked.
        distance: One of ``simnb.distances.DISTANCES``.
        depth: How many neighbors are searched. What looks at all of a class (R-precision, MAP@R) needs as
            many as the largest class has rows.
        **options: What ``simnb.metrics.report`` takes: ``k``, ``confidence``, ``resamples``, ``seed``,
            ``by_class``.

    Returns:
        A ``Report``.

    Raises:
        ValueError: If a query's class is not in the gallery, or something is malformed.
    """
    (rows, labels), (asked, truth) = _pair(gallery, "gallery"), _pair(queries, "queries")
    missing = np.setdiff1d(truth, labels)
    if len(missing) or (truth == UNKNOWN).any():
        raise ValueError(
            f"every query's class must be in the gallery, but label {[*missing, UNKNOWN][0]} is not; "
            "held_out measures what happens to unknown classes"
        )
    depth = min(_checks.positive_int(depth, name="depth"), len(rows))
    neighbors = _index(rows, labels, distance).search(asked, k=depth)
    return report(neighbors, truth, gallery_labels=labels, **options)


def held_out(
    gallery,
    calibration,
    queries,
    unknown,
    *,
    calibrated_with=None,
    distance="cosine",
    depth=10,
    **options,
):
    """Measure a search among whose queries are classes that the gallery does not hold.

    A threshold that was calibrated with examples of the very classes that come later as unknown promises too
    much: ``calibrated_with`` names those that calibration may see, so that the others are new to it. That
    leaves fewer unknown queries, too: a target on precision then seems easier, one on false acceptance not.

    Args:
        gallery: Embeddings and labels; those of ``unknown`` classes are left out.
        calibration: Those of the calibration queries.
        queries: Those of the queries.
        unknown: Labels of the classes that are held out.
        calibrated_with: Which of them are among the calibration queries; all when left out.
        distance: One of ``simnb.distances.DISTANCES``.
        depth: How many neighbors are searched.
        **options: What ``simnb.calibration.calibrate`` takes, such as ``targets``.

    Returns:
        An ``Evaluation``. Its report counts the unknown queries in false acceptance and precision.

    Raises:
        ValueError: If nothing is left in the gallery, the first target is not met, or something is malformed.
    """
    (rows, labels), (tuning, wanted), (asked, truth) = (
        _pair(part, name)
        for part, name in ((gallery, "gallery"), (calibration, "calibration"), (queries, "queries"))
    )
    unknown = _checks.labels(unknown, name="unknown")
    seen = unknown if calibrated_with is None else _checks.labels(calibrated_with, name="calibrated_with")
    if not np.isin(seen, unknown).all():
        raise ValueError(f"calibrated_with must be among unknown, {unknown.tolist()}, got {seen.tolist()}")
    kept = ~np.isin(labels, unknown)
    if not kept.any():
        raise ValueError(f"the gallery must hold a class that is not unknown, got only {unknown.tolist()}")
    index, known = _index(rows[kept], labels[kept], distance), np.unique(labels[kept])
    of_tuning = ~np.isin(wanted, np.setdiff1d(unknown, seen))
    _check_options(options)
    neighbors = index.search(tuning[of_tuning], k=1)
    chosen = calibrate(neighbors, wanted[of_tuning], known_labels=known, gallery=index, **options)
    depth = min(_checks.positive_int(depth, name="depth"), len(index))
    found = index.search(asked, k=depth)
    matches = chosen.match(found)
    measured = report(found, truth, gallery_labels=labels[kept], known_labels=known, matches=matches)
    return Evaluation(chosen, measured)


def gallery_grows(gallery, calibration, queries, order, *, start, distance="cosine", **options):
    """Measure a search whose gallery gets one class after another, without training anew.

    At each size once with the threshold that was calibrated at the first, and once with one calibrated again.
    Queries of classes that are not in the gallery yet are unknown.

    Args:
        gallery: Embeddings and labels.
        calibration: Those of the calibration queries.
        queries: Those of the queries.
        order: Labels, in the order in which their classes come into the gallery.
        start: How many of them are in it at first.
        distance: One of ``simnb.distances.DISTANCES``.
        **options: What ``simnb.calibration.calibrate`` takes, such as ``targets``.

    Returns:
        A dict of arrays of shape [num_steps]: ``classes`` and ``rows`` of the gallery, ``recall@1`` of the
        queries of its classes, and for each metric of ``simnb.metrics.match_rates`` two: ``precision`` with
        the first threshold, and ``precision, calibrated again``, NaN where it cannot be: a target is not met,
        or is on false acceptance where no calibration query is unknown any more.

    Raises:
        ValueError: If a class of ``order`` has no rows or comes twice, ``start`` is beyond them, the
            target is not met at the first step, or something is malformed.
    """
    (rows, labels), (tuning, wanted), (asked, truth) = (
        _pair(part, name)
        for part, name in ((gallery, "gallery"), (calibration, "calibration"), (queries, "queries"))
    )
    order = _checks.labels(order, name="order")
    if len(np.unique(order)) < len(order) or not np.isin(order, labels).all():
        raise ValueError(f"order must name classes of the gallery, each once, got {order.tolist()}")
    if not 1 <= _checks.positive_int(start, name="start") <= len(order):
        raise ValueError(f"start must be from 1 to the {len(order)} classes of order, got {start}")
    _check_options(options)
    index, steps, first = open_index(distance=distance), [], None
    for count in range(start, len(order) + 1):
        coming = np.isin(labels, order[:start] if count == start else order[count - 1])
        index.add(rows[coming], labels[coming])
        known = order[:count]
        again = _calibrated(index.search(tuning, k=1), wanted, known, options, needed=first is None)
        first = first or again
        found = index.search(asked, k=1)
        of_known = np.isin(truth, known)
        step = {"classes": count, "rows": len(index)}
        step["recall@1"] = recall_at_k(found[of_known], truth[of_known]) if of_known.any() else np.nan
        for suffix, chosen in (("", first), (", calibrated again", again)):
            rates = dict.fromkeys(METRICS, np.nan)
            if chosen is not None:
                answers = match(found, chosen.limits()).labels
                rates = evaluate_matches(answers, truth, known_labels=known)
            step |= {f"{name}{suffix}": rate for name, rate in rates.items()}
        steps.append(step)
    return {name: np.array([step[name] for step in steps]) for name in steps[0]}


def few_shot(
    gallery,
    queries,
    classes,
    *,
    shots=(1, 5, 20),
    repeats=10,
    prototypes=False,
    distance="cosine",
    seed=0,
):
    """Measure how well classes are found of which the gallery holds only a few examples.

    All other classes are in the gallery with all their rows, so that the few stand against many: by chance a
    query is likelier near one of a thousand rows than near one of five. With ``prototypes`` one row stands
    against one.

    Args:
        gallery: Embeddings and labels.
        queries: Those of the queries.
        classes: Labels of the classes of which only some rows are indexed.
        shots: How many rows of each, in turn.
        repeats: How many draws of these rows.
        prototypes: Whether each class is indexed as one row, the mean of its rows.
        distance: One of ``simnb.distances.DISTANCES``.
        seed: Seed of the draws.

    Returns:
        A dict of two arrays of shape [repeats, num_shots]: recall@1 of the queries of ``few`` classes and of
        the ``other`` ones; NaN where there is no query of the kind.

    Raises:
        ValueError: If a class has fewer rows than the largest of ``shots``, or something is malformed.

    References:
        Snell et al., Prototypical Networks for Few-shot Learning, 2017. https://arxiv.org/abs/1703.05175
    """
    (rows, labels), (asked, truth) = _pair(gallery, "gallery"), _pair(queries, "queries")
    classes = np.unique(_checks.labels(classes, name="classes"))
    shots = [_checks.positive_int(shot, name="shots") for shot in (shots if np.ndim(shots) else [shots])]
    _checks.not_empty(shots, name="shots")
    repeats = _checks.positive_int(repeats, name="repeats")
    rng = np.random.default_rng(_checks.seed(seed))
    of_class = {label: np.flatnonzero(labels == label) for label in classes.tolist()}
    short = [label for label, positions in of_class.items() if len(positions) < max(shots)]
    if short:
        raise ValueError(
            f"every one of classes must have {max(shots)} rows in the gallery, "
            f"but {short[0]} has {len(of_class[short[0]])}"
        )
    pick = _means if prototypes else lambda rows, labels: (rows, labels)
    index, others = open_index(distance=distance), ~np.isin(labels, classes)
    if others.any():
        index.add(*pick(rows[others], labels[others]))
    few = np.isin(truth, classes)
    measured = {name: np.full((repeats, len(shots)), np.nan) for name in ("few", "other")}
    for repeat in range(repeats):
        drawn = {label: rng.permutation(positions) for label, positions in of_class.items()}
        for column, shot in enumerate(shots):
            chosen = np.concatenate([positions[:shot] for positions in drawn.values()])
            ids = index.add(*pick(rows[chosen], labels[chosen]))
            found = index.search(asked, k=1)
            index.remove(ids)
            for name, kind in (("few", few), ("other", ~few)):
                if kind.any():
                    measured[name][repeat, column] = recall_at_k(found[kind], truth[kind])
    return measured


def _means(rows, labels):
    """Mean of the rows of each class."""
    classes, position, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(classes), rows.shape[1]))
    np.add.at(sums, position, rows)
    return sums / counts[:, None], classes


def _check_options(options):
    for name in ("matcher", "known_labels", "gallery"):
        if name in options:
            raise ValueError(
                f"protocols take no {name}=...: they match by the nearest neighbor in their gallery"
            )


def _calibrated(neighbors, labels, known, options, *, needed):
    """A calibration whose first target is met; None where there can be none and it is not needed."""
    wanted = goals(options.get("maximize"), options.get("targets", {"f1": 0}))
    of_unknown = any(goal.metric == "false_acceptance" for goal in wanted)
    if not needed and of_unknown and np.isin(labels, known).all():
        return None
    chosen = calibrate(neighbors, labels, known_labels=known, **options)
    return chosen if needed or chosen.cutpoint.met else None


def _pair(part, name):
    try:
        embeddings, labels = part
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a pair (embeddings, labels), got {type(part).__name__}") from None
    embeddings = _checks.not_empty(_checks.embeddings(embeddings, name=f"{name} embeddings"), name=name)
    return embeddings, _checks.labels(labels, count=len(embeddings), name=f"{name} labels")


def _index(rows, labels, distance):
    index = open_index(distance=distance)
    index.add(rows, labels)
    return index
