"""How sure a figure is: intervals by the bootstrap, and two systems compared on the same queries.

Queries are drawn with replacement, as many as there are, and the figure is computed anew each time; the
interval holds the middle of these figures. It tells how much the figure changes with other queries like
these, for this gallery and this model.

References:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile intervals, strata, pairs).
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.metrics import _inputs, open_set
from simnb.metrics.matches import match_rates, outcomes

# Draws, and counts of outcomes, at a time: what is made of them stays small.
_BLOCK, _COUNTS = 1 << 17, 1 << 20


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
        return f"difference {self.difference}, better in {self.better:.1%} of resamples"


def bootstrap_mean(
    scores: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Interval of a mean over queries.

    Args:
        scores: Score of each query, such as one array of ``retrieval_scores``, shape [num_queries]. Queries
            with NaN are left out.
        strata: Integer stratum of each query, such as its label, shape [num_queries]; each keeps its number
            of queries, so that one of a single query adds nothing to the spread. None for one of all.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Seed of the draws.

    Raises:
        ValueError: If lengths differ, a score is infinite, or no query has a score.

    Example:
        >>> from simnb.metrics import bootstrap_mean, bootstrap_ratio, compare
        >>> hits, others = [1, 0, 1, 1, 0, 1, 1, 1], [1, 0, 0, 1, 0, 1, 1, 0]
        >>> bootstrap_mean(hits)
        0.750 [0.500, 1.000]
        >>> bootstrap_ratio(hits, [1, 0, 1, 1, 1, 1, 1, 1])
        0.857 [0.571, 1.000]
        >>> compare(hits, others)
        difference 0.250 [0.000, 0.503], better in 95.2% of resamples
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    scores = _scores(scores)
    return bootstrap.mean(scores, _strata(strata, len(scores)))[0]


def bootstrap_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Interval of a sum over queries divided by another, both of the same draws: precision, for example.

    Args:
        numerator: What each query adds, such as whether its answer is right, shape [num_queries].
        denominator: What each query adds below, such as whether it was answered, shape [num_queries].
        strata, confidence, resamples, seed: As in ``bootstrap_mean``. Draws in which the denominator adds up
            to 0 are left out.

    Returns:
        An ``Interval``; of NaN where the denominator of all queries adds up to 0.

    Raises:
        ValueError: If lengths differ, a number is NaN or infinite, or there is no query.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    numerator, denominator = _scores(numerator, "numerator"), _scores(denominator, "denominator")
    _checks.same_length(numerator, denominator, "numerator and denominator")
    strata = _strata(strata, len(numerator), "numerator")
    columns = np.stack([numerator, denominator], axis=1)
    if np.isnan(columns).any():
        raise ValueError(f"numerator and denominator must not be NaN, got {np.isnan(columns).sum()} of them")
    above, below = np.vstack([columns.sum(axis=0), bootstrap.sums(columns, strata)]).T
    ratios = np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0)
    return bootstrap.interval(ratios[0], ratios[1:])


def bootstrap_auroc(
    distances: ArrayLike,
    known: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Interval of ``auroc``. The numbers of known and of unknown queries are kept.

    Args:
        distances, known: As in ``auroc``, which raises the same.
        strata, confidence, resamples, seed: As in ``bootstrap_mean``.
    """
    return open_set_intervals(
        distances,
        known,
        names=["auroc"],
        strata=strata,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )["auroc"]


def open_set_intervals(
    distances: ArrayLike,
    known: ArrayLike,
    right: ArrayLike | None = None,
    *,
    recall: float = 0.95,
    false_acceptance: float = 0.01,
    names: Collection[str] | None = None,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of the open-set metrics. The numbers of known and of unknown queries are kept.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.
        right: Whether that neighbor carries the query's label, shape [num_queries] bool; None leaves the
            detection and identification rate out.
        recall: Share of the known queries that ``fpr_at_recall`` has accepted.
        false_acceptance: Share of the unknown queries that ``detection_and_identification_rate`` lets in.
        names: Names of the metrics that are wanted, of those below; None for all.
        strata, confidence, resamples, seed: As in ``bootstrap_mean``.

    Returns:
        A dict of ``Interval``: ``auroc``, ``aupr_known``, ``aupr_unknown``, and with their settings in the
        name ``fpr@0.95`` and ``dir@0.01``.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, not both kinds of queries are there, or there is
            no such metric.

    Example:
        >>> from simnb.metrics import bootstrap_auroc, match_intervals, open_set_intervals
        >>> distances, known = [0.1, 0.2, 0.5, 0.3, 0.4, 0.6], [True, True, True, True, False, False]
        >>> bootstrap_auroc(distances, known)
        0.875 [0.500, 1.000]
        >>> open_set_intervals(distances, known, names=["auroc"])
        {'auroc': 0.875 [0.500, 1.000]}
        >>> match_intervals([5, 6, -1, 5, 5, -1], [5, 6, 6, 5, 9, 9], known_labels=[5, 6])["precision"]
        0.750 [0.250, 1.000]
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    curves = open_set.Curves(distances, known, right)
    formulas = open_set.formulas(recall, false_acceptance)
    if right is None:
        formulas.popitem()  # the last needs it
    if names is not None:
        formulas = {name: formulas[_checks.one_of(name, formulas, name="names")] for name in names}
    return curve_intervals(curves, formulas, _strata(strata, len(curves), "distances"), bootstrap)


def match_intervals(
    predicted: ArrayLike,
    labels: ArrayLike,
    *,
    known_labels: Collection[int] | int | None = None,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of what ``evaluate_matches`` gives.

    Args:
        predicted: Label given to each query, ``UNKNOWN`` where it was rejected, shape [num_queries].
        labels: True class of each query, shape [num_queries].
        known_labels: The classes of the gallery, as in ``evaluate_matches``.
        strata, confidence, resamples, seed: As in ``bootstrap_mean``. Draws in which a rate divides by 0 are
            left out of it.

    Raises:
        ValueError: If there is no query or the lengths differ.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    counted = outcomes(predicted, labels, known_labels)
    return rate_intervals(counted, _strata(strata, counted.shape[1], "predicted"), bootstrap)


def compare(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> Comparison:
    """Compare two systems by their scores on the same queries.

    Queries are drawn for both at once, so that what makes a query hard for both does not count.

    Args:
        scores_a: Score of each query by the first system, higher being better, shape [num_queries].
        scores_b: Score of the same queries, in the same order, by the second. Queries with NaN in either are
            left out.
        strata, confidence, resamples, seed: As in ``bootstrap_mean``.

    Returns:
        A ``Comparison``. Where the interval of the difference does not hold 0, one is better, with this
        confidence, on queries like these.

    Raises:
        ValueError: If the lengths differ, a score is infinite, or no query has both scores.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    scores_a, scores_b = _scores(scores_a, "scores_a"), _scores(scores_b, "scores_b")
    _checks.same_length(scores_a, scores_b, "scores_a and scores_b")
    interval, means = bootstrap.mean(scores_a - scores_b, _strata(strata, len(scores_a), "scores_a"))
    better = (means > 0).mean() + (means == 0).mean() / 2
    return Comparison(interval, float(better))


@dataclass(frozen=True)
class Bootstrap:
    """Queries drawn again and again, with replacement; without options, figures without intervals."""

    confidence: float = np.nan
    resamples: int = 0
    seed: int = 0

    @classmethod
    def of(cls, confidence, resamples, seed):
        """Check the options that every interval has."""
        confidence = _checks.number(confidence, name="confidence", above=0, below=1)
        return cls(confidence, _checks.positive_int(resamples, name="resamples"), _checks.seed(seed))

    def interval(self, value, samples):
        """The middle of the samples that are numbers; NaN where none is, or the value is not."""
        low = high = np.nan
        samples = samples[~np.isnan(samples)]
        if len(samples) and not np.isnan(value):
            low, high = np.quantile(samples, [(1 - self.confidence) / 2, (1 + self.confidence) / 2])
        return Interval(float(value), float(low), float(high), self.confidence)

    def intervals(self, values, samples):
        """An interval for each column: of values [num_columns] and samples [resamples, num_columns]."""
        return [self.interval(value, column) for value, column in zip(values, samples.T, strict=True)]

    def mean(self, scores, strata):
        """Interval of the mean of the scores that are numbers, and the mean of every resample."""
        scored = ~np.isnan(scores)
        if not scored.any():
            raise ValueError(f"at least one query must have a score, got NaN for all {len(scores)}")
        scores, strata = scores[scored], None if strata is None else strata[scored]
        means = self.sums(scores[:, None], strata)[:, 0] / len(scores)
        return self.interval(scores.mean(), means), means

    def strata_sums(self, columns, strata):
        """The positions of each stratum's queries, and the sums of their columns [resamples, num_columns]."""
        rng = np.random.default_rng(self.seed)
        for rows in groups_of(strata, len(columns)):
            own, count = columns[rows], len(rows)
            sums = np.empty((self.resamples, columns.shape[1]))
            size = max(1, _BLOCK // count)
            for start in range(0, self.resamples, size):
                part = sums[start : start + size]
                shape = (len(part), count)
                drawn = rng.integers(0, count, shape) if count > 1 else np.zeros(shape, int)
                part[:] = _times(drawn, count) @ own
            yield rows, sums

    def sums(self, columns, strata):
        """Sums of the columns in every resample, shape [resamples, num_columns]."""
        return np.sum([part for _, part in self.strata_sums(columns, strata)], axis=0)

    def weights(self, count, strata):
        """How often each query was drawn, for some resamples at a time: shape [some, num_queries] int64."""
        rng = np.random.default_rng(self.seed)
        groups = groups_of(strata, count)
        order = np.concatenate(groups)
        sizes = np.array([len(rows) for rows in groups])
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        sizes = np.repeat(sizes, sizes)
        size = max(1, _BLOCK // count)
        for start in range(0, self.resamples, size):
            some = min(size, self.resamples - start)
            drawn = (rng.random((some, count)) * sizes).astype(np.int64)
            yield _times(order[drawn + starts], count)


def curve_intervals(curves, formulas, strata, bootstrap):
    """Intervals of what formulas, by name, make of ``open_set.Curves``."""
    # Strata of known and of unknown queries, within those that were given.
    given = 0 if strata is None else 2 * np.unique(strata, return_inverse=True)[1]
    draws = bootstrap.weights(len(curves), given + curves.known)
    samples = []
    for drawn in itertools.chain([np.ones((1, len(curves)))], draws):
        counts = curves.counts(drawn)
        samples.append(np.stack([formula(counts) for formula in formulas.values()]))
    return {
        name: bootstrap.interval(values[0], values[1:])
        for name, values in zip(formulas, np.concatenate(samples, axis=1), strict=True)
    }


def rate_intervals(counted, strata, bootstrap):
    """Intervals of ``match_rates``, from the counts that each query is in: shape [5, num_queries] bool."""
    outcome, kinds = np.argmax(counted, axis=0), len(counted)
    place = np.zeros(len(outcome), int) if strata is None else np.unique(strata, return_inverse=True)[1]
    table = np.bincount(place * kinds + outcome, minlength=(place.max() + 1) * kinds).reshape(-1, kinds)
    # Queries of a stratum with the same outcome are alike: how many of each are drawn is multinomial.
    resamples = bootstrap.resamples
    rng, drawn = np.random.default_rng(bootstrap.seed), np.zeros((resamples, kinds), np.int64)
    size = max(1, _COUNTS // max(1, resamples * kinds))
    for start in range(0, len(table), size):
        part = table[start : start + size]
        each = part.sum(axis=1)
        drawn += rng.multinomial(each, part / each[:, None], size=(resamples, len(part))).sum(axis=1)
    samples = match_rates(*drawn.T)
    values = match_rates(*table.sum(axis=0))
    return {name: bootstrap.interval(float(values[name]), samples[name]) for name in values}


def _times(drawn, count):
    """How often each of ``count`` queries is in each row of ``drawn``."""
    flat = drawn + np.arange(len(drawn))[:, None] * count
    return np.bincount(flat.ravel(), minlength=len(drawn) * count).reshape(len(drawn), count)


def groups_of(strata, count):
    """Positions of the queries of each stratum, strata in ascending order; None for one of all."""
    if strata is None:
        return [np.arange(count)]
    sizes = np.unique(strata, return_counts=True)[1]
    return np.split(np.argsort(strata, kind="stable"), np.cumsum(sizes)[:-1])


def _scores(values: ArrayLike, name: str = "scores") -> NDArray[np.float64]:
    array = _inputs.row(values, name=name).astype(np.float64)
    if np.isinf(array).any():
        raise ValueError(
            f"{name} must be finite, or NaN to be left out; got {np.isinf(array).sum()} infinite"
        )
    return array


def _strata(values, count, of="scores"):
    return None if values is None else _checks.labels(values, count=count, name="strata", of=of)
