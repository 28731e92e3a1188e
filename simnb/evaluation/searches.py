"""A search as a whole: closed, with unknown classes among the queries, or with a gallery that grows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from simnb import _checks
from simnb.calibration import METRICS, SHRINKAGE, Calibration, calibrate
from simnb.calibration.cutpoints import goals
from simnb.evaluation._inputs import Labelled, index_of, pair
from simnb.index import UNKNOWN, open_index
from simnb.matching import match
from simnb.metrics import Report, evaluate_matches, recall_at_k, report


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
    (rows, labels), (asked, truth) = pair(gallery, "gallery"), pair(queries, "queries")
    missing = np.setdiff1d(truth, labels)
    if len(missing) or (truth == UNKNOWN).any():
        raise ValueError(
            f"every query's class must be in the gallery, but label {[*missing, UNKNOWN][0]} is not; "
            "held_out measures what happens to unknown classes"
        )
    depth = min(_checks.positive_int(depth, name="depth"), len(rows))
    neighbors = index_of(rows, labels, distance).search(asked, k=depth)
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

    Example:
        >>> import numpy as np
        >>> from simnb.evaluation import closed_set, gallery_grows, held_out
        >>> labels = np.arange(120) % 3
        >>> embeddings = np.eye(3)[labels] + np.random.default_rng(0).normal(size=(120, 3)) * 0.2
        >>> parts = [slice(0, 40), slice(40, 80), slice(80, 120)]
        >>> gallery, calibration, queries = [(embeddings[part], labels[part]) for part in parts]
        >>> closed_set(gallery, queries).value("recall@1")
        1.0
        >>> unknown = held_out(gallery, calibration, queries, unknown=[2])
        >>> unknown.report.value("false_acceptance")
        0.0
        >>> grown = gallery_grows(gallery, calibration, queries, [0, 1, 2], start=2)
        >>> grown["classes"], grown["recall@1"]
        (array([2, 3]), array([1., 1.]))
    """
    (rows, labels), (asked, truth) = pair(gallery, "gallery"), pair(queries, "queries")
    tuning, wanted = pair(calibration, "calibration")
    unknown = _checks.labels(unknown, name="unknown")
    seen = unknown if calibrated_with is None else _checks.labels(calibrated_with, name="calibrated_with")
    if not np.isin(seen, unknown).all():
        raise ValueError(f"calibrated_with must be among unknown, {unknown.tolist()}, got {seen.tolist()}")
    kept = ~np.isin(labels, unknown)
    if not kept.any():
        raise ValueError(f"the gallery must hold a class that is not unknown, got only {unknown.tolist()}")
    index, known = index_of(rows[kept], labels[kept], distance), np.unique(labels[kept])
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
    (rows, labels), (asked, truth) = pair(gallery, "gallery"), pair(queries, "queries")
    tuning, wanted = pair(calibration, "calibration")
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
