"""From the neighbors of calibration queries to thresholds."""

import numbers

import numpy as np

from simnb import _checks
from simnb.calibration.classes import SHRINKAGE, thresholds_by_class
from simnb.calibration.curves import Curves
from simnb.calibration.cutpoints import Cutpoint, NotMet, choose, goals
from simnb.calibration.guarantees import PROMISED, promised
from simnb.calibration.result import Calibration
from simnb.matching import check_neighbors, match
from simnb.metrics import known_queries, match_rates


def calibrate(
    neighbors,
    labels,
    *,
    known_labels=None,
    matcher="nearest",
    maximize=None,
    targets=None,
    confidence=None,
    per_class=False,
    shrinkage=SHRINKAGE,
    gallery=None,
    seed=0,
):
    """Choose distance thresholds on queries that were neither trained on nor indexed.

    Every threshold that can change an answer is tried. A threshold either has the best value of a metric
    (``maximize``), or it meets a target and is the best of those that do: under a target on precision, false
    acceptance, accuracy or F1 the one with most right answers, under one on recall or coverage the most
    precise. Of equally good ones the more precise is taken, then the larger.

    Without ``confidence`` a target is met on the calibration queries, and on new ones about every second
    time. With ``confidence=0.95`` the threshold is stricter: of 100 draws of calibration queries on average
    at most 5 give one that misses its target on new queries. A draw that gives none (``NotMet``) is no miss;
    so of the thresholds that are given more may miss, where most draws give none. This assumes that
    calibration queries and new ones come independently from the same distribution, with the same share of
    unknown ones, that the gallery stays as it is, and that target, k, matcher and ``seed`` were fixed before
    looking. Each target holds with this confidence by itself, not all of them together. What ``maximize``
    gives is promised nothing.

    Args:
        neighbors: ``Neighbors`` of the calibration queries.
        labels: True class of each, shape [num_queries].
        known_labels: The classes of the gallery; queries of any other class are unknown and ought to
            be rejected. When left out, only queries labelled ``UNKNOWN`` are.
        matcher: ``nearest`` or ``majority_vote``.
        maximize: ``f1``, ``precision``, ``recall``, ``accuracy`` or ``coverage``; its cutpoint is called
            ``optimal``. ``f1`` where there are no targets either. Precision alone may be best where hardly
            anything is answered, or nothing.
        targets: What else is wanted, a dict: ``{"careful": "precision >= 0.95", "false_acceptance": 0.01}``.
            A name with a number is the metric. Where no answer is given a target on precision is not met,
            one on false acceptance is.
        confidence: Probability, over draws of calibration queries, that a target is met on new ones; above
            0 and below 1. None promises nothing.
        per_class: Whether each label gets a threshold of its own, chosen on the queries whose answer it is.
            Where these together miss a target that a single threshold meets, each label gets the single one.
        shrinkage: With ``per_class``, how many queries' worth of all classes are added to those of one, so
            that a class of few queries gets nearly the threshold of all.
        gallery: The index that was searched, or its ``fingerprint``; ``Calibration.match`` then warns
            where the gallery has changed.
        seed: Of the split of the queries that promises on precision and accuracy are tested with.

    Returns:
        A ``Calibration``. A target that no threshold meets is in it as a ``NotMet``. Where no query finds its
        own class at any distance, every F1 is 0 and the threshold is ``-inf``: reject everything.

    Raises:
        ValueError: If there is no query of a known class, the gallery has no labels, lengths differ, a name
            or a target is malformed, a target on false acceptance is given without unknown queries, or a
            promise is asked for that cannot be made (of F1, of a maximum, or with ``per_class``).

    References:
        Angelopoulos et al., Learn then Test, 2021 (the promises). https://arxiv.org/abs/2110.01052

    Example:
        >>> import numpy as np
        >>> from simnb.calibration import calibrate
        >>> from simnb.index import Neighbors
        >>> neighbors = Neighbors(np.array([[0.1], [0.2], [0.9]]), np.array([[0], [1], [2]]),
        ...                       np.array([[5], [6], [5]]))
        >>> round(calibrate(neighbors, [5, 6, -1]).threshold, 6)
        0.55
    """
    if maximize is None and targets is None:
        maximize = "f1"
    wanted = goals(maximize, targets)
    seed = _checks.seed(seed)
    _check_promises(wanted, confidence, per_class)
    _check_shrinkage(shrinkage)
    _checks.not_empty(check_neighbors(neighbors), name="neighbors")
    labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
    known = known_queries(labels, known_labels)
    _check_queries(wanted, known)
    matches = match(neighbors, matcher=matcher)
    if not matches.accepted.any() and np.isfinite(matches.distances).any():
        raise ValueError("calibrate needs a labelled gallery, but no neighbor of any query has a label")
    right = known & (matches.labels == labels)
    queries = (matches.distances, matches.accepted, known, right)
    curves = Curves.count(*queries)
    cutpoints = {}
    for goal in wanted:
        if per_class:
            chosen = _by_class(goal, curves, queries, matches.labels, shrinkage)
        elif confidence is not None and goal.target is not None:
            chosen = _promised(goal, confidence, curves, queries, seed)
        else:
            position, met = choose(goal, curves)
            kind = Cutpoint if met else NotMet
            chosen = kind(goal, float(curves.threshold[position]), curves.at(position))
        cutpoints[goal.name] = chosen
    return Calibration(
        cutpoints=cutpoints,
        curves=curves,
        matcher=matcher,
        k=neighbors.k,
        distance=neighbors.distance,
        seed=seed,
        gallery=getattr(gallery, "fingerprint", gallery),
    )


def _promised(goal, confidence, curves, queries, seed):
    thresholds = promised(goal, confidence, queries, seed)
    if not len(thresholds):
        position, _ = choose(goal, curves)
        return NotMet(goal, float(curves.threshold[position]), curves.at(position), confidence)
    # All of these hold together: of those that accept the same calibration queries the largest.
    positions = np.searchsorted(curves.distances, thresholds, side="right")
    allowed = np.zeros(len(curves), bool)
    allowed[positions] = True
    position, _ = choose(goal, curves, allowed)
    threshold = thresholds[positions == position][-1]
    return Cutpoint(goal, float(threshold), curves.at(position), confidence)


def _by_class(goal, curves, queries, answers, shrinkage):
    position, single_meets = choose(goal, curves)
    single = float(curves.threshold[position])
    thresholds, counts = thresholds_by_class(goal, curves, queries, answers, shrinkage)
    rates = {name: float(rate) for name, rate in match_rates(*counts).items()}
    met = goal.target is None or bool(goal.met(rates[goal.metric]) and (sum(counts[:2]) + counts[3]) > 0)
    if not met and single_meets:  # each class on its own misses by chance what one threshold for all meets
        thresholds, rates, met = dict.fromkeys(thresholds, single), curves.at(position), True
    kind = Cutpoint if met else NotMet
    return kind(goal, single, rates, by_class=thresholds)


def _check_promises(wanted, confidence, per_class):
    if confidence is None:
        return
    if isinstance(confidence, bool) or not isinstance(confidence, numbers.Real) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be a share above 0 and below 1 such as 0.95, got {confidence!r}")
    if per_class:
        raise ValueError("confidence needs per_class=False: a promise is made for a single threshold")
    targets = [goal for goal in wanted if goal.target is not None]
    if not targets:
        raise ValueError("confidence needs targets to promise, such as targets={'precision': 0.95}, got none")
    for goal in targets:
        _checks.one_of(goal.metric, PROMISED, name=f"with confidence, metric of target {goal.name!r}")


def _check_shrinkage(shrinkage):
    number = isinstance(shrinkage, numbers.Real) and not isinstance(shrinkage, bool)
    if not number or not 0 <= shrinkage < np.inf:
        raise ValueError(f"shrinkage must be a number of queries, 0 or more, got {shrinkage!r}")


def _check_queries(wanted, known):
    if not known.any():
        raise ValueError(
            "calibrate needs at least one query of a known class, got none "
            f"({len(known)} unknown queries); are the labels those of the gallery?"
        )
    if known.all() and any(goal.metric == "false_acceptance" for goal in wanted):
        raise ValueError(
            f"a target on false_acceptance needs queries of unknown classes, got none among {len(known)}; "
            "label them UNKNOWN, or pass known_labels=... to say which classes the gallery holds"
        )
