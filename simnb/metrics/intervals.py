"""How sure a figure is: intervals by the bootstrap, and two systems compared on the same queries.

Queries are drawn with replacement, as many as there are, and the figure is computed anew each time; the
interval holds the middle of these figures. It tells how much the figure changes with other queries like
these, for this gallery and this model. Where ``strata`` are given, such as the labels, each keeps its number
of queries; one of a single query then adds nothing to the spread.

References:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile intervals, strata, pairs).
"""

from dataclasses import dataclass

import numpy as np

from simnb import _checks
from simnb.metrics import _inputs, _open_set_curves, _resampling
from simnb.metrics.matches import match_rates, outcomes

_BLOCK = 1 << 20


@dataclass(frozen=True, repr=False)
class Interval:
    """A figure and the range it is in.

    Attributes:
        value: The figure, of all queries.
        low: Lower end.
        high: Upper end.
        confidence: Share of such intervals that hold the true figure, such as 0.95.
    """

    value: float
    low: float
    high: float
    confidence: float

    def __repr__(self) -> str:
        """As in ``0.813 [0.801, 0.824]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two systems on the same queries.

    Attributes:
        difference: ``Interval`` of the mean score of the first less that of the second.
        better: Share of the resamples in which the first has the higher mean, equal ones counting one half.
    """

    difference: Interval
    better: float

    def __repr__(self) -> str:
        """As in ``difference 0.012 [0.004, 0.020], better in 99.8% of resamples``."""
        return f"difference {self.difference}, better in {self.better:.1%} of resamples"


def bootstrap_mean(scores, *, strata=None, confidence=0.95, resamples=1_000, seed=0):
    """Interval of a mean over queries.

    Args:
        scores: Score of each query, such as one array of ``retrieval_scores``, shape [num_queries]. Queries
            with NaN are left out.
        strata: Integer stratum of each query, such as its label, shape [num_queries]; each keeps its number
            of queries. One stratum of all when left out.
        confidence: Above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Of the draws.

    Returns:
        An ``Interval``.

    Raises:
        ValueError: If lengths differ, a score is infinite, or no query has a score.
    """
    resamples, seed = _resampling.options(confidence, resamples, seed)
    scores = _inputs.scores(scores)
    scores, strata = _scored(scores, _inputs.strata(strata, count=len(scores)))
    means = _resampling.sums(scores[:, None], strata, resamples, seed)[:, 0] / len(scores)
    return interval(scores.mean(), means, confidence)


def bootstrap_ratio(numerator, denominator, *, strata=None, confidence=0.95, resamples=1_000, seed=0):
    """Interval of a sum over queries divided by another, both of the same draws: precision, for example.

    Args:
        numerator: What each query adds, such as whether its answer is right, shape [num_queries].
        denominator: What each query adds below, such as whether it was answered, shape [num_queries].
        strata: As in ``bootstrap_mean``.
        confidence: Above 0 and below 1.
        resamples: How many times queries are drawn. Draws in which the denominator adds up to 0 are left out.
        seed: Of the draws.

    Returns:
        An ``Interval``; of NaN where the denominator of all queries adds up to 0.

    Raises:
        ValueError: If lengths differ, a number is NaN or infinite, or there is no query.
    """
    resamples, seed = _resampling.options(confidence, resamples, seed)
    numerator = _inputs.scores(numerator, name="numerator")
    denominator = _inputs.scores(denominator, name="denominator")
    _checks.same_length(numerator, denominator, "numerator and denominator")
    strata = _inputs.strata(strata, count=len(numerator), of="numerator")
    columns = np.stack([numerator, denominator], axis=1)
    if np.isnan(columns).any():
        raise ValueError(f"numerator and denominator must not be NaN, got {np.isnan(columns).sum()} of them")
    above, below = np.vstack([columns.sum(axis=0), _resampling.sums(columns, strata, resamples, seed)]).T
    ratios = np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0)
    return interval(ratios[0], ratios[1:], confidence)


def bootstrap_auroc(distances, known, *, strata=None, confidence=0.95, resamples=1_000, seed=0):
    """Interval of ``auroc``. The numbers of known and of unknown queries are kept.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.
        strata: As in ``bootstrap_mean``.
        confidence: Above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Of the draws.

    Returns:
        An ``Interval``.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, or not both kinds of queries are there.
    """
    options = {"strata": strata, "confidence": confidence, "resamples": resamples, "seed": seed}
    return open_set_intervals(distances, known, names=["auroc"], **options)["auroc"]


def open_set_intervals(
    distances,
    known,
    right=None,
    *,
    recall=0.95,
    false_acceptance=0.01,
    names=None,
    strata=None,
    confidence=0.95,
    resamples=1_000,
    seed=0,
):
    """Intervals of the open-set metrics. The numbers of known and of unknown queries are kept.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.
        right: Whether that neighbor carries the query's label, shape [num_queries] bool. When left out there
            is no detection and identification rate.
        recall: That of ``fpr_at_recall``.
        false_acceptance: That of ``detection_and_identification_rate``.
        names: Which of those below; all when left out.
        strata: As in ``bootstrap_mean``.
        confidence: Above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Of the draws.

    Returns:
        A dict of ``Interval``: ``auroc``, ``aupr_known``, ``aupr_unknown``, and with their settings in the
        name ``fpr@0.95`` and ``dir@0.01``.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, not both kinds of queries are there, or there is
            no such metric.
    """
    resamples, seed = _resampling.options(confidence, resamples, seed)
    distances = _inputs.distances(distances)
    known = _inputs.flags(known, count=len(distances), name="known")
    _inputs.both_kinds(known)
    strata = _inputs.strata(strata, count=len(distances), of="distances")
    formulas = _open_set_curves.formulas(
        _inputs.share(recall, name="recall", one=True),
        _inputs.share(false_acceptance, name="false_acceptance", zero=True),
    )
    if right is None:
        formulas.popitem()  # the last needs it
        right = known
    right = _inputs.flags(right, count=len(distances), name="right")
    if names is not None:
        formulas = {name: formulas[_checks.one_of(name, formulas, name="name")] for name in names}
    curves = _open_set_curves.Curves(distances, known, right)
    # Strata of known and of unknown queries, within those that were given.
    given = 0 if strata is None else 2 * np.unique(strata, return_inverse=True)[1]
    draws = _resampling.weights(len(distances), given + known, resamples, seed)
    samples = [_all(formulas, curves, drawn) for drawn in (np.ones((1, len(distances))), *draws)]
    return {
        name: interval(values[0], values[1:], confidence)
        for name, values in zip(formulas, np.concatenate(samples, axis=1), strict=True)
    }


def match_intervals(
    predicted, labels, *, known_labels=None, strata=None, confidence=0.95, resamples=1_000, seed=0
):
    """Intervals of what ``evaluate_matches`` gives.

    Args:
        predicted: Label given to each query, ``UNKNOWN`` where it was rejected, shape [num_queries].
        labels: True class of each query, shape [num_queries].
        known_labels: The classes of the gallery, as in ``evaluate_matches``.
        strata: As in ``bootstrap_mean``.
        confidence: Above 0 and below 1.
        resamples: How many times queries are drawn. Draws in which a rate divides by 0 are left out of it.
        seed: Of the draws.

    Returns:
        A dict of ``Interval`` with the names ``match_rates`` gives.

    Raises:
        ValueError: If there is no query or the lengths differ.
    """
    resamples, seed = _resampling.options(confidence, resamples, seed)
    labels, counted = outcomes(predicted, labels, known_labels)
    strata = _inputs.strata(strata, count=len(labels), of="predicted")
    place = np.zeros(len(labels), np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    outcome, kinds = np.argmax(counted, axis=0), len(counted)
    table = np.bincount(place * kinds + outcome, minlength=(place.max() + 1) * kinds).reshape(-1, kinds)
    # Queries of a stratum with the same outcome are alike: how many of each are drawn is multinomial.
    rng, drawn = np.random.default_rng(seed), np.zeros((resamples, kinds), np.int64)
    size = max(1, _BLOCK // (resamples * kinds))
    for start in range(0, len(table), size):
        part = table[start : start + size]
        each = part.sum(axis=1)
        drawn += rng.multinomial(each, part / each[:, None], size=(resamples, len(part))).sum(axis=1)
    samples = match_rates(*drawn.T)
    values = match_rates(*table.sum(axis=0))
    return {name: interval(values[name], samples[name], confidence) for name in values}


def compare(scores_a, scores_b, *, strata=None, confidence=0.95, resamples=1_000, seed=0):
    """Compare two systems by their scores on the same queries.

    Queries are drawn for both at once, so that what makes a query hard for both does not count.

    Args:
        scores_a: Score of each query by the first system, higher being better, shape [num_queries].
        scores_b: Score of the same queries, in the same order, by the second. Queries with NaN in either are
            left out.
        strata: As in ``bootstrap_mean``.
        confidence: Above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Of the draws.

    Returns:
        A ``Comparison``. Where the interval of the difference does not hold 0, one is better, with this
        confidence, on queries like these.

    Raises:
        ValueError: If the lengths differ, a score is infinite, or no query has both scores.
    """
    resamples, seed = _resampling.options(confidence, resamples, seed)
    scores_a = _inputs.scores(scores_a, name="scores_a")
    scores_b = _inputs.scores(scores_b, name="scores_b")
    _checks.same_length(scores_a, scores_b, "scores_a and scores_b")
    strata = _inputs.strata(strata, count=len(scores_a), of="scores_a")
    gain, strata = _scored(scores_a - scores_b, strata)
    means = _resampling.sums(gain[:, None], strata, resamples, seed)[:, 0] / len(gain)
    better = (means > 0).mean() + (means == 0).mean() / 2
    return Comparison(interval(gain.mean(), means, confidence), float(better))


def interval(value, samples, confidence):
    """The middle of the samples that are numbers; NaN where none is, or the value is not."""
    samples = samples[~np.isnan(samples)]
    if np.isnan(value) or not len(samples):
        return Interval(float(value), np.nan, np.nan, float(confidence))
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(value), float(low), float(high), float(confidence))


def _all(formulas, curves, drawn):
    counts = curves.counts(drawn)
    return np.stack([formula(*counts) for formula in formulas.values()])


def _scored(scores, strata):
    """Without the queries that have no score."""
    scored = ~np.isnan(scores)
    if not scored.any():
        raise ValueError(f"at least one query must have a score, got NaN for all {len(scores)}")
    return scores[scored], None if strata is None else strata[scored]
