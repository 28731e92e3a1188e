"""How sure a figure is: intervals by the bootstrap, and two systems compared on the same queries.

Queries are drawn with replacement, as many as there are, and the figure is computed anew each time; the
interval holds the middle of these figures. It tells how much the figure changes with other queries like
these, for this gallery and this model. Where ``strata`` are given, such as the labels, each keeps its number
of queries; one of a single query then adds nothing to the spread.

References:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile intervals, strata, pairs).
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
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
            of queries. None for a single stratum of all.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Seed of the draws.

    Returns:
        An ``Interval``.

    Raises:
        ValueError: If lengths differ, a score is infinite, or no query has a score.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    scores = _scores(scores)
    counted, groups = _scored(scores, _strata(strata, count=len(scores)))
    means = bootstrap.sums(counted[:, None], groups)[:, 0] / len(counted)
    return bootstrap.interval(counted.mean(), means)


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
        strata: As in ``bootstrap_mean``.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times queries are drawn. Draws in which the denominator adds up to 0 are left out.
        seed: Seed of the draws.

    Returns:
        An ``Interval``; of NaN where the denominator of all queries adds up to 0.

    Raises:
        ValueError: If lengths differ, a number is NaN or infinite, or there is no query.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    numerator = _scores(numerator, name="numerator")
    denominator = _scores(denominator, name="denominator")
    _checks.same_length(numerator, denominator, "numerator and denominator")
    strata = _strata(strata, count=len(numerator), of="numerator")
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
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.
        strata: As in ``bootstrap_mean``.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Seed of the draws.

    Returns:
        An ``Interval``.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, or not both kinds of queries are there.
    """
    intervals = open_set_intervals(
        distances,
        known,
        names=["auroc"],
        strata=strata,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    return intervals["auroc"]


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
        right: Whether that neighbor carries the query's label, shape [num_queries] bool. Without it
            there is no detection and identification rate.
        recall: Share of the known queries that ``fpr_at_recall`` has accepted.
        false_acceptance: Share of the unknown queries that ``detection_and_identification_rate`` lets in.
        names: Names of the metrics that are wanted, of those below; None for all.
        strata: As in ``bootstrap_mean``.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Seed of the draws.

    Returns:
        A dict of ``Interval``: ``auroc``, ``aupr_known``, ``aupr_unknown``, and with their settings in the
        name ``fpr@0.95`` and ``dir@0.01``.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, not both kinds of queries are there, or there is
            no such metric.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    curves = open_set.Curves(distances, known, right)
    formulas = open_set.formulas(recall, false_acceptance)
    if right is None:
        formulas.popitem()  # the last needs it
    if names is not None:
        formulas = {name: formulas[_checks.one_of(name, formulas, name="names")] for name in names}
    return curve_intervals(curves, formulas, _strata(strata, count=len(curves), of="distances"), bootstrap)


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
        strata: As in ``bootstrap_mean``.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times queries are drawn. Draws in which a rate divides by 0 are left out of it.
        seed: Seed of the draws.

    Returns:
        A dict of ``Interval`` with the names ``match_rates`` gives.

    Raises:
        ValueError: If there is no query or the lengths differ.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    counted = outcomes(predicted, labels, known_labels)
    return rate_intervals(counted, _strata(strata, count=counted.shape[1], of="predicted"), bootstrap)


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
        strata: As in ``bootstrap_mean``.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times queries are drawn.
        seed: Seed of the draws.

    Returns:
        A ``Comparison``. Where the interval of the difference does not hold 0, one is better, with this
        confidence, on queries like these.

    Raises:
        ValueError: If the lengths differ, a score is infinite, or no query has both scores.
    """
    bootstrap = Bootstrap.of(confidence, resamples, seed)
    scores_a = _scores(scores_a, name="scores_a")
    scores_b = _scores(scores_b, name="scores_b")
    _checks.same_length(scores_a, scores_b, "scores_a and scores_b")
    strata = _strata(strata, count=len(scores_a), of="scores_a")
    gain, groups = _scored(scores_a - scores_b, strata)
    means = bootstrap.sums(gain[:, None], groups)[:, 0] / len(gain)
    better = (means > 0).mean() + (means == 0).mean() / 2
    return Comparison(bootstrap.interval(gain.mean(), means), float(better))


@dataclass(frozen=True)
class Bootstrap:
    """Queries drawn again and again, with replacement, as many as there are.

    Attributes:
        confidence: Share of the intervals that hold the true figure; NaN for figures without intervals.
        resamples: How many times queries are drawn; 0 for the same.
        seed: Seed of the draws.
    """

    confidence: float = np.nan
    resamples: int = 0
    seed: int = 0

    @classmethod
    def of(cls, confidence: float, resamples: int, seed: int) -> "Bootstrap":
        """Check the options that every interval has."""
        confidence = _checks.number(confidence, name="confidence", above=0, below=1)
        return cls(confidence, _checks.positive_int(resamples, name="resamples"), _checks.seed(seed))

    def interval(self, value: float, samples: np.ndarray) -> Interval:
        """The middle of the samples that are numbers; NaN where none is, or the value is not."""
        low = high = np.nan
        samples = samples[~np.isnan(samples)]
        if len(samples) and not np.isnan(value):
            low, high = np.quantile(samples, [(1 - self.confidence) / 2, (1 + self.confidence) / 2])
        return Interval(float(value), float(low), float(high), self.confidence)

    def intervals(self, values: np.ndarray, samples: np.ndarray) -> list[Interval]:
        """An interval for each column: of values [num_columns] and samples [resamples, num_columns]."""
        return [self.interval(value, column) for value, column in zip(values, samples.T, strict=True)]

    def strata_sums(
        self, columns: np.ndarray, strata: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The queries of each stratum, and the sums of their columns in every resample.

        Args:
            columns: Numbers of each query, shape [num_queries, num_columns].
            strata: Stratum of each query, shape [num_queries], or None for one of all.

        Yields:
            Positions of the queries of a stratum, and sums of shape [resamples, num_columns].
        """
        rng = np.random.default_rng(self.seed)
        for rows in _groups(strata, len(columns)):
            own, count = columns[rows], len(rows)
            sums = np.empty((self.resamples, columns.shape[1]))
            size = max(1, _BLOCK // count)
            for start in range(0, self.resamples, size):
                part = sums[start : start + size]
                shape = (len(part), count)
                drawn = rng.integers(0, count, shape) if count > 1 else np.zeros(shape, int)
                part[:] = _times(drawn, count) @ own
            yield rows, sums

    def sums(self, columns: np.ndarray, strata: np.ndarray | None) -> np.ndarray:
        """Sums of the columns in every resample, shape [resamples, num_columns]."""
        return np.sum([part for _, part in self.strata_sums(columns, strata)], axis=0)

    def weights(self, count: int, strata: np.ndarray | None) -> Iterator[np.ndarray]:
        """How often each query was drawn, for some resamples at a time: shape [some, num_queries] int64."""
        rng = np.random.default_rng(self.seed)
        groups = _groups(strata, count)
        order = np.concatenate(groups)
        sizes = np.array([len(rows) for rows in groups])
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        sizes = np.repeat(sizes, sizes)
        size = max(1, _BLOCK // count)
        for start in range(0, self.resamples, size):
            some = min(size, self.resamples - start)
            drawn = (rng.random((some, count)) * sizes).astype(np.int64)
            yield _times(order[drawn + starts], count)


def curve_intervals(
    curves: open_set.Curves,
    formulas: Mapping[str, Callable[[open_set.Counts], np.ndarray]],
    strata: np.ndarray | None,
    bootstrap: Bootstrap,
) -> dict[str, Interval]:
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


def rate_intervals(
    counted: np.ndarray, strata: np.ndarray | None, bootstrap: Bootstrap
) -> dict[str, Interval]:
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


def _groups(strata, count):
    """Positions of the queries of each stratum, strata in ascending order."""
    if strata is None:
        return [np.arange(count)]
    sizes = np.unique(strata, return_counts=True)[1]
    return np.split(np.argsort(strata, kind="stable"), np.cumsum(sizes)[:-1])


def _scored(scores, strata):
    """Without the queries that have no score."""
    scored = ~np.isnan(scores)
    if not scored.any():
        raise ValueError(f"at least one query must have a score, got NaN for all {len(scores)}")
    return scores[scored], None if strata is None else strata[scored]


def _scores(values: ArrayLike, *, name: str = "scores") -> NDArray[np.float64]:
    """Return ``values`` as float64 of shape [num_queries], NaN for no score, or raise ValueError."""
    array = _inputs.row(values, name=name).astype(np.float64)
    if np.isinf(array).any():
        raise ValueError(
            f"{name} must be finite, or NaN to be left out; got {np.isinf(array).sum()} infinite"
        )
    return array


def _strata(values: ArrayLike | None, *, count: int, of: str = "scores") -> NDArray[np.int64] | None:
    """Return ``values`` as int64 of shape [count], None where there are none, or raise ValueError."""
    return None if values is None else _checks.labels(values, count=count, name="strata", of=of)
