"""Ways to evaluate a search, each a few lines of its parts: what is indexed, what is asked, what is unknown.

Queries match by their nearest neighbor. Each takes embeddings with their labels as pairs:
``(embeddings [n, dim], labels [n])``. Images of gallery, calibration and queries have to be different.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.calibration import METRICS, SHRINKAGE, Calibration, calibrate
from simnb.calibration.cutpoints import goals
from simnb.index import UNKNOWN, open_index
from simnb.matching import match
from simnb.metrics import Report, evaluate_matches, recall_at_k, report

__all__ = ["Evaluation", "closed_set", "held_out", "gallery_grows", "few_shot"]

#: Embeddings, shape [n, dim], and their labels, shape [n].
Labelled: TypeAlias = tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A threshold, and what it does on queries of its own.

    Attributes:
        calibration: The ``Calibration``.
        report: A ``simnb.metrics.Report`` of the queries at its first cutpoint.
    """

    calibration: Calibration
    report: Report


def closed_set(
    gallery: Labelled,
    queries: Labelled,
    *,
    distance: str = "cosine",
    depth: int = 10,
    k: int | Sequence[int] | None = None,
    confidence: float | None = None,
    resamples: int = 1_000,
    seed: int = 0,
    by_class: bool = False,
) -> Report:
    """Measure retrieval where the class of every query is in the gallery.

    Args:
        gallery: Embeddings and labels of what is indexed.
        queries: Those of what is asked.
        distance: One of ``simnb.distances.DISTANCES``.
        depth: How many neighbors are searched. What looks at all of a class (R-precision, MAP@R) needs as
            many as the largest class has rows.
        k: One k or several to measure at, as in ``simnb.metrics.report``.
        confidence: Confidence of the interval around every value; None for no intervals.
        resamples: How many times queries are drawn for the intervals.
        seed: Seed of these draws.
        by_class: Whether to add a row for each metric and class.

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
    return report(
        neighbors,
        truth,
        gallery_labels=labels,
        k=k,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        by_class=by_class,
    )


def held_out(
    gallery: Labelled,
    calibration: Labelled,
    queries: Labelled,
    unknown: ArrayLike,
    *,
    calibrated_with: ArrayLike | None = None,
    distance: str = "cosine",
    depth: int = 10,
    maximize: str | None = None,
    targets: Mapping[str, str | float] | Collection[str] | None = None,
    confidence: float | None = None,
    per_class: bool = False,
    shrinkage: float = SHRINKAGE,
    seed: int = 0,
) -> Evaluation:
    """Measure a search among whose queries are classes that the gallery does not hold.

    A threshold that was calibrated with examples of the very classes that come later as unknown promises too
    much: ``calibrated_with`` names those that calibration may see, so that the others are new to it. That
    leaves fewer unknown queries, too: a target on precision then seems easier, one on false acceptance not.

    Args:
        gallery: Embeddings and labels; those of ``unknown`` classes are left out.
        calibration: Those of the calibration queries.
        queries: Those of the queries.
        unknown: Labels of the classes that are held out.
        calibrated_with: Which of them are among the calibration queries; None for all.
        distance: One of ``simnb.distances.DISTANCES``.
        depth: How many neighbors are searched.
        maximize: Name of a metric that the threshold is best by, as in ``simnb.calibration.calibrate``.
        targets: What else is wanted of it, such as ``{"precision": 0.95}``.
        confidence: Probability with which a target is promised on new queries; None promises nothing.
        per_class: Whether each label gets a threshold of its own.
        shrinkage: With ``per_class``, how many queries' worth of all classes are added to those of one.
        seed: Seed of the split of the queries that promises are tested with.

    Returns:
        An ``Evaluation``. Its report counts the unknown queries in false acceptance and precision.

    Raises:
        ValueError: If nothing is left in the gallery, the first target is not met, or something is malformed.
    """
    (rows, labels), (asked, truth) = _pair(gallery, "gallery"), _pair(queries, "queries")
    tuning, wanted = _pair(calibration, "calibration")
    unknown = _checks.labels(unknown, name="unknown")
    seen = unknown if calibrated_with is None else _checks.labels(calibrated_with, name="calibrated_with")
    if not np.isin(seen, unknown).all():
        raise ValueError(f"calibrated_with must be among unknown, {unknown.tolist()}, got {seen.tolist()}")
    kept = ~np.isin(labels, unknown)
    if not kept.any():
        raise ValueError(f"the gallery must hold a class that is not unknown, got only {unknown.tolist()}")
    index, known = _index(rows[kept], labels[kept], distance), np.unique(labels[kept])
    of_tuning = ~np.isin(wanted, np.setdiff1d(unknown, seen))
    chosen = calibrate(
        index.search(tuning[of_tuning], k=1),
        wanted[of_tuning],
        known_labels=known,
        gallery=index,
        maximize=maximize,
        targets=targets,
        confidence=confidence,
        per_class=per_class,
        shrinkage=shrinkage,
        seed=seed,
    )
    depth = min(_checks.positive_int(depth, name="depth"), len(index))
    found = index.search(asked, k=depth)
    matches = chosen.match(found)
    measured = report(found, truth, gallery_labels=labels[kept], known_labels=known, matches=matches)
    return Evaluation(chosen, measured)


def gallery_grows(
    gallery: Labelled,
    calibration: Labelled,
    queries: Labelled,
    order: ArrayLike,
    *,
    start: int,
    distance: str = "cosine",
    maximize: str | None = None,
    targets: Mapping[str, str | float] | Collection[str] | None = None,
    confidence: float | None = None,
    per_class: bool = False,
    shrinkage: float = SHRINKAGE,
    seed: int = 0,
) -> dict[str, np.ndarray]:
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
        maximize: Name of a metric that the threshold is best by, as in ``simnb.calibration.calibrate``.
        targets: What else is wanted of it, such as ``{"precision": 0.95}``.
        confidence: Probability with which a target is promised on new queries; None promises nothing.
        per_class: Whether each label gets a threshold of its own.
        shrinkage: With ``per_class``, how many queries' worth of all classes are added to those of one.
        seed: Seed of the split of the queries that promises are tested with.

    Returns:
        A dict of arrays of shape [num_steps]: ``classes`` and ``rows`` of the gallery, ``recall@1`` of the
        queries of its classes, and for each metric of ``simnb.metrics.match_rates`` two: ``precision`` with
        the first threshold, and ``precision, calibrated again``, NaN where it cannot be: a target is not met,
        or is on false acceptance where no calibration query is unknown any more.

    Raises:
        ValueError: If a class of ``order`` has no rows or comes twice, ``start`` is beyond them, the
            target is not met at the first step, or something is malformed.
    """
    (rows, labels), (asked, truth) = _pair(gallery, "gallery"), _pair(queries, "queries")
    tuning, wanted = _pair(calibration, "calibration")
    order = _checks.labels(order, name="order")
    if len(np.unique(order)) < len(order) or not np.isin(order, labels).all():
        raise ValueError(f"order must name classes of the gallery, each once, got {order.tolist()}")
    if not 1 <= _checks.positive_int(start, name="start") <= len(order):
        raise ValueError(f"start must be from 1 to the {len(order)} classes of order, got {start}")
    fit = partial(
        calibrate,
        maximize=maximize,
        targets=targets,
        confidence=confidence,
        per_class=per_class,
        shrinkage=shrinkage,
        seed=seed,
    )
    aims = [] if targets is None else goals(maximize, targets)
    needs_unknown = any(goal.metric == "false_acceptance" for goal in aims)
    index, steps, first = open_index(distance=distance), [], None
    for count in range(start, len(order) + 1):
        coming = np.isin(labels, order[:start] if count == start else order[count - 1])
        index.add(rows[coming], labels[coming])
        known = order[:count]
        again = None  # where there can be none, or its target is not met
        if first is None or not (needs_unknown and np.isin(wanted, known).all()):
            again = fit(index.search(tuning, k=1), wanted, known_labels=known)
        if first is None:
            first = again
        elif again is not None and not again.cutpoint.met:
            again = None
        step = {"classes": count, "rows": len(index)}
        both = {"": first, ", calibrated again": again}
        steps.append(step | _measured(index.search(asked, k=1), truth, known, both))
    return {name: np.array([step[name] for step in steps]) for name in steps[0]}


def few_shot(
    gallery: Labelled,
    queries: Labelled,
    classes: ArrayLike,
    *,
    shots: int | Sequence[int] = (1, 5, 20),
    repeats: int = 10,
    prototypes: bool = False,
    distance: str = "cosine",
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
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
    sizes = [_checks.positive_int(size, name="shots") for size in np.atleast_1d(shots).tolist()]
    _checks.not_empty(sizes, name="shots")
    repeats = _checks.positive_int(repeats, name="repeats")
    rng = np.random.default_rng(_checks.seed(seed))
    of_class = {label: np.flatnonzero(labels == label) for label in classes.tolist()}
    short = [label for label, positions in of_class.items() if len(positions) < max(sizes)]
    if short:
        raise ValueError(
            f"every one of classes must have {max(sizes)} rows in the gallery, "
            f"but {short[0]} has {len(of_class[short[0]])}"
        )
    pick = _means if prototypes else lambda rows, labels: (rows, labels)
    index, others = open_index(distance=distance), ~np.isin(labels, classes)
    if others.any():
        index.add(*pick(rows[others], labels[others]))
    few = np.isin(truth, classes)
    measured = {name: np.full((repeats, len(sizes)), np.nan) for name in ("few", "other")}
    for repeat in range(repeats):
        drawn = {label: rng.permutation(positions) for label, positions in of_class.items()}
        for column, size in enumerate(sizes):
            chosen = np.concatenate([positions[:size] for positions in drawn.values()])
            ids = index.add(*pick(rows[chosen], labels[chosen]))
            found = index.search(asked, k=1)
            index.remove(ids)
            for name, kind in (("few", few), ("other", ~few)):
                if kind.any():
                    measured[name][repeat, column] = recall_at_k(found[kind], truth[kind])
    return measured


def _measured(found, truth, known, calibrations):
    """Recall of the queries of known classes, and every rate at each calibration, NaN where there is none."""
    of_known = np.isin(truth, known)
    measured = {"recall@1": recall_at_k(found[of_known], truth[of_known]) if of_known.any() else np.nan}
    for suffix, chosen in calibrations.items():
        rates = dict.fromkeys(METRICS, np.nan)
        if chosen is not None:
            answers = match(found, chosen.limits()).labels
            rates = evaluate_matches(answers, truth, known_labels=known)
        measured |= {f"{name}{suffix}": rate for name, rate in rates.items()}
    return measured


def _means(rows, labels):
    """Mean of the rows of each class."""
    classes, position, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(classes), rows.shape[1]))
    np.add.at(sums, position, rows)
    return sums / counts[:, None], classes


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
