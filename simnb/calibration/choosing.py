"""From the neighbors of calibration queries to thresholds: one for all classes, or one for each."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike

from simnb import _checks
from simnb.calibration.curves import METRICS, Curves, candidates
from simnb.calibration.cutpoints import Cutpoint, NotMet, goals
from simnb.calibration.guarantees import PROMISED, promised
from simnb.calibration.result import Calibration
from simnb.index import Index, Neighbors
from simnb.matching import check_neighbors, match
from simnb.metrics import evaluate_matches, known_queries, match_rates
from simnb.metrics.intervals import groups_of

#: How many queries' worth of all classes are added to the queries of one.
SHRINKAGE = 50.0
_GRID = 1_000  # thresholds that each class tries besides its own


def calibrate(
    neighbors: Neighbors,
    labels: ArrayLike,
    *,
    known_labels: Collection[int] | int | None = None,
    matcher: str = "nearest",
    maximize: str | None = None,
    targets: Mapping[str, str | float] | Collection[str] | None = None,
    confidence: float | None = None,
    per_class: bool = False,
    shrinkage: float = SHRINKAGE,
    gallery: Index | str | None = None,
    seed: int = 0,
) -> Calibration:
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
            be rejected. None where only queries labelled ``UNKNOWN`` are.
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
        seed: Seed of the split of the queries that promises on precision and accuracy are tested with.

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
    shrinkage = _checks.number(shrinkage, name="shrinkage", at_least=0, hint="; it counts queries")
    _check_promises(wanted, confidence, per_class)
    _checks.not_empty(check_neighbors(neighbors), name="neighbors")
    labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
    known = known_queries(labels, known_labels)
    _check_queries(wanted, known)
    matches = match(neighbors, matcher=matcher)
    if not matches.accepted.any() and np.isfinite(matches.distances).any():
        raise ValueError("calibrate needs a labelled gallery, but no neighbor of any query has a label")
    queries = (matches.distances, matches.accepted, known, known & (matches.labels == labels))
    curves = Curves.count(*queries)
    cutpoints = {}
    for goal in wanted:
        if per_class:
            cutpoints[goal.name] = _by_class(goal, curves, queries, matches.labels, shrinkage)
        elif confidence is not None and goal.target is not None:
            cutpoints[goal.name] = _with_promise(goal, confidence, curves, queries, seed)
        else:
            cutpoints[goal.name] = _single(goal, curves)
    if gallery is not None and not isinstance(gallery, str):
        gallery = gallery.fingerprint
    return Calibration(cutpoints, curves, matcher, neighbors.k, neighbors.distance, seed, gallery)


def compare_per_class(
    neighbors: Neighbors,
    labels: ArrayLike,
    *,
    known_labels: Collection[int] | int | None = None,
    matcher: str = "nearest",
    maximize: str | None = None,
    targets: Mapping[str, str | float] | Collection[str] | None = None,
    shrinkage: float = SHRINKAGE,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Measure a single threshold and one for each class by cross-validation.

    On the queries that chose them, thresholds of classes always look better: they are more. So the queries
    are dealt into folds, and each fold is matched with thresholds that the others chose.

    Args:
        neighbors, labels, known_labels, matcher, maximize, shrinkage: As in ``calibrate``.
        targets: One target, as in ``calibrate``, where no metric is to be maximized.
        folds: How many parts.
        seed: Seed of the parts.

    Returns:
        A dict: for ``single`` and ``per_class`` the metrics of all queries together, by name.

    Raises:
        ValueError: If there are fewer queries than folds, or ``calibrate`` refuses the queries or options.
    """
    _checks.not_empty(neighbors, name="neighbors")
    labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
    folds = _checks.positive_int(folds, name="folds")
    if not 2 <= folds <= len(labels):
        raise ValueError(f"folds must be from 2 to the {len(labels)} queries, got {folds}")
    known = known_queries(labels, known_labels)
    fold = _deal(np.where(known, labels, -1), folds, seed)
    predicted = {"single": np.empty_like(labels), "per_class": np.empty_like(labels)}
    for number in range(folds):
        apart = fold == number
        for name, answers in predicted.items():
            chosen = calibrate(
                neighbors[~apart],
                labels[~apart],
                known_labels=known_labels,
                matcher=matcher,
                maximize=maximize,
                targets=targets,
                per_class=name == "per_class",
                shrinkage=shrinkage,
            )
            answers[apart] = match(neighbors[apart], chosen.limits(), matcher=matcher).labels
    return {
        name: evaluate_matches(answers, labels, known_labels=known_labels)
        for name, answers in predicted.items()
    }


def _check_promises(wanted, confidence, per_class):
    if confidence is None:
        return
    _checks.number(confidence, name="confidence", above=0, below=1, hint="; 0.95 is usual")
    if per_class:
        raise ValueError("confidence needs per_class=False: a promise is made for a single threshold")
    targets = [goal for goal in wanted if goal.target is not None]
    if not targets:
        raise ValueError("confidence needs targets to promise, such as targets={'precision': 0.95}, got none")
    for goal in targets:
        _checks.one_of(goal.metric, PROMISED, name=f"with confidence, metric of target {goal.name!r}")


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


def _single(goal, curves):
    """One threshold for all classes."""
    position, met = _choose(goal, curves)
    kind = Cutpoint if met else NotMet
    return kind(goal, float(curves.threshold[position]), curves.at(position))


def _with_promise(goal, confidence, curves, queries, seed):
    thresholds = promised(goal, confidence, queries, seed)
    if not len(thresholds):
        closest = _single(goal, curves)
        return NotMet(goal, closest.threshold, closest.rates, confidence)
    # All of these hold together: of those that accept the same calibration queries the largest.
    positions = np.searchsorted(curves.distances, thresholds, side="right")
    allowed = np.zeros(len(curves), bool)
    allowed[positions] = True
    position, _ = _choose(goal, curves, allowed)
    threshold = thresholds[positions == position][-1]
    return Cutpoint(goal, float(threshold), curves.at(position), confidence)


def _by_class(goal, curves, queries, answers, shrinkage):
    """A threshold for each label that was answered, since near is not equally near everywhere."""
    position, single_meets = _choose(goal, curves)
    single = float(curves.threshold[position])
    thresholds, counts = _thresholds_by_class(goal, curves, queries, answers, shrinkage)
    rates = {name: float(rate) for name, rate in match_rates(*counts).items()}
    met = goal.target is None or bool(goal.met(rates[goal.metric]) and (sum(counts[:2]) + counts[3]) > 0)
    if not met and single_meets:  # each class on its own misses by chance what one threshold for all meets
        thresholds, rates, met = dict.fromkeys(thresholds, single), curves.at(position), True
    kind = Cutpoint if met else NotMet
    return kind(goal, single, rates, by_class=thresholds)


def _thresholds_by_class(goal, curves, queries, answers, shrinkage):
    """The thresholds by label, and the five counts A, W, R, U, V at them together."""
    distances, answered, known, right = queries
    grid = _grid(curves, _choose(goal, curves)[0])
    thresholds, accepted = {}, np.zeros(len(distances), bool)
    for rows in groups_of(answers, len(answers)):
        if not answered[rows[0]]:  # those without an answer, which are all UNKNOWN
            continue
        own = Curves.count(*(part[rows] for part in queries))
        mixed = _mixed(own, curves, grid, shrinkage / len(distances))
        threshold = mixed.threshold[_choose(goal, mixed)[0]]
        thresholds[int(answers[rows[0]])] = float(threshold)
        accepted[rows] = distances[rows] <= threshold
    a, w, u = (np.count_nonzero(accepted & kind) for kind in (right, known & ~right, ~known))
    counts = (a, w, curves.num_known - a - w, u, curves.num_unknown - u)
    return thresholds, counts


def _grid(curves, chosen):
    """Distances of all queries between which a class may choose: evenly many, and those around a choice."""
    count = len(curves.distances)
    if count == 0:
        return curves.distances
    even = np.linspace(0, count - 1, min(count, _GRID)).round().astype(np.int64)
    around = np.clip([chosen - 1, chosen], 0, count - 1)
    return curves.distances[np.union1d(even, around)]


def _mixed(own, pooled, grid, share):
    """Curves of a class, with all queries added to its own at a share of one each."""
    distances = np.union1d(own.distances, grid)
    of_own = np.concatenate([[0], np.searchsorted(own.distances, distances, side="right")])
    of_pooled = np.searchsorted(pooled.distances, candidates(distances), side="right")
    return Curves(
        distances,
        own.accepted_right[of_own] + share * pooled.accepted_right[of_pooled],
        own.accepted_wrong[of_own] + share * pooled.accepted_wrong[of_pooled],
        own.accepted_unknown[of_own] + share * pooled.accepted_unknown[of_pooled],
        own.num_known + share * pooled.num_known,
        own.num_unknown + share * pooled.num_unknown,
    )


def _choose(goal, curves, allowed=None):
    """Position of the candidate that is best for a goal, and whether it reaches it.

    ``allowed``, where it is given, says which candidates may be taken: shape [num_candidates] bool.
    """
    values = getattr(curves, goal.metric)
    if goal.target is None:
        return _best(curves, (goal.metric, "precision"), allowed), True
    meets = goal.met(values) if allowed is None else allowed
    if allowed is None and goal.metric == "precision":
        meets = meets & _answers(curves)  # of no answer at all, none is right
    then = ("precision", "recall") if goal.metric in ("recall", "coverage") else ("recall", "precision")
    if meets.any():
        return _best(curves, then, meets), True
    some = _answers(curves) if goal.metric == "precision" else np.ones(len(curves), bool)
    return _best(curves, (goal.metric, *then), some if some.any() else None), False


def _answers(curves):
    return curves.accepted_right + curves.accepted_wrong + curves.accepted_unknown > 0


def _best(curves, metrics, allowed):
    """The best candidate by these metrics in turn, of equals the largest threshold."""
    positions = np.arange(len(curves)) if allowed is None else np.flatnonzero(allowed)
    for metric in metrics:
        values = getattr(curves, metric)[positions]
        values = np.nan_to_num(values if METRICS[metric] else -values, nan=-np.inf)
        positions = positions[values == values.max()]
    return int(positions[-1])


def _deal(groups, folds, seed):
    """A fold for each query, every group spread evenly over them."""
    order = np.random.default_rng(_checks.seed(seed)).permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    fold = np.empty(len(groups), np.int64)
    fold[order] = np.arange(len(groups)) % folds
    return fold
