"""How likely a match is right, from its distance."""

import json
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from simnb import _checks
from simnb.calibration.result import read_json
from simnb.index.results import check_distances
from simnb.matching import MATCHERS, Matches
from simnb.metrics import known_queries

METHODS = ("isotonic", "platt")
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class MatchProbability:
    """The probability that a match is right, which falls with its distance.

    Attributes:
        method: ``isotonic`` or ``platt``.
        distances: Where the curve is known, ascending, shape [n].
        probabilities: Its values there, shape [n]; between them it is a line, beyond them it is level.
            Under ``platt`` slope and intercept of the log odds instead.
        matcher: Name of the matcher it is for.
        num_queries: How many it was fitted on.
    """

    method: str
    distances: np.ndarray
    probabilities: np.ndarray
    matcher: str
    num_queries: int

    def __call__(self, distances: ArrayLike) -> NDArray[np.float64]:
        """The probability that matches at these distances are right: an array of the same shape.

        Args:
            distances: Those of ``Matches``, any shape; at ``inf``, where there was no neighbor, it is 0.
                NaN and -inf raise ValueError.
        """
        values = check_distances(np.asarray(distances, np.float64))
        far = np.isposinf(values)
        values = np.where(far, 0.0, values)
        if self.method == "isotonic":
            result = np.interp(values, self.distances, self.probabilities)
        else:
            slope, intercept = self.probabilities
            result = expit(slope * values + intercept)
        return np.where(far, 0.0, result)

    def __repr__(self) -> str:
        return f"MatchProbability({self.method}, {self.matcher}, fitted on {self.num_queries} queries)"

    def to_json(self) -> str:
        """Everything as strict JSON."""
        return json.dumps({"format": _FORMAT, **self._fields()}, allow_nan=False)

    def _fields(self):
        lists = {"distances": self.distances.tolist(), "probabilities": self.probabilities.tolist()}
        return vars(self) | lists

    @classmethod
    def from_json(cls, text: str) -> "MatchProbability":
        """Read what ``to_json`` wrote; ValueError if it is no such text, or from another version of simnb."""
        return read_json(text, _FORMAT, cls, _restored)


def _restored(kind, *, method, distances, probabilities, matcher, num_queries):
    distances, values = (np.array([float(one) for one in row]) for row in (distances, probabilities))
    _checks.one_of(method, METHODS, name="method")
    _checks.one_of(matcher, MATCHERS, name="matcher")
    _checks.positive_int(num_queries, name="num_queries")
    whole = np.isfinite(np.concatenate([distances, values])).all()
    if method == "platt":
        whole = whole and len(distances) == 0 and len(values) == 2 and values[0] <= 0
    else:
        whole = whole and 0 < len(distances) == len(values) and (np.diff(distances) >= 0).all()
        whole = whole and (values >= 0).all() and (values <= 1).all() and (np.diff(values) <= 0).all()
    if not whole:
        raise ValueError(f"distances and probabilities do not form a curve of {method}")
    return kind(method, distances, values, matcher, num_queries)


def fit_probability(
    matches: Matches,
    labels: ArrayLike,
    *,
    known_labels: Collection[int] | int | None = None,
    method: str = "isotonic",
    matcher: str = "nearest",
) -> MatchProbability:
    """Learn how likely a match is right, on queries that were neither trained on nor indexed.

    Args:
        matches: ``Matches`` of these queries, by ``simnb.matching.match`` without a threshold.
        labels: True class of each, shape [num_queries].
        known_labels: The classes of the gallery, as in ``calibrate``; matches of any other class are wrong.
        method: ``isotonic`` takes any falling curve, and some hundred queries; ``platt`` a logistic one,
            which few queries suffice for.
        matcher: Name of the matcher, to be remembered.

    Returns:
        A ``MatchProbability``. Measure it on other queries (``expected_calibration_error``):
        on its own an isotonic curve is always right.

    Raises:
        ValueError: If lengths differ, a distance is NaN or -inf, the matches were made with a threshold, no
            query has a neighbor, or all matches are right or all wrong under ``platt``.

    References:
        Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates,
        2002 (isotonic). Platt, Probabilistic Outputs for Support Vector Machines, 1999.

    Example:
        >>> import numpy as np
        >>> from simnb.calibration import expected_calibration_error, fit_probability, reliability
        >>> from simnb.matching import Matches
        >>> matches = Matches(np.array([1, 1, 2, 2]), np.array([0.1, 0.2, 0.3, 0.4]))
        >>> probability = fit_probability(matches, [1, 1, 1, 2])
        >>> given = probability([0.15, 0.25, 0.4])
        >>> given
        array([1.  , 0.75, 0.5 ])
        >>> mean, share_right, num_queries = reliability(given, [True, False, True], bins=3)
        >>> round(expected_calibration_error(given, [True, False, True], bins=3), 2)
        0.42
    """
    _checks.one_of(method, METHODS, name="method")
    _checks.not_empty(matches, name="matches")
    labels = _checks.labels(labels, count=len(matches), of="matches")
    right = known_queries(labels, known_labels) & (matches.labels == labels)
    found = np.isfinite(check_distances(matches.distances))
    if not found.any():
        raise ValueError(f"matches must have neighbors, got none for any of {len(labels)} queries")
    rejected = found & ~matches.accepted
    farthest = matches.distances[matches.accepted].max(initial=-np.inf)
    if rejected.any() and matches.distances[rejected].min() > farthest:
        raise ValueError(
            f"matches must be made without a threshold, got {rejected.sum()} of {len(labels)} rejected, "
            "those farthest away; pass simnb.matching.match(neighbors)"
        )
    distances, right = matches.distances[found].astype(np.float64), right[found]
    places, values = (_isotonic if method == "isotonic" else _platt)(distances, right)
    return MatchProbability(method, places, values, matcher, len(right))


def _isotonic(distances, right):
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(increasing=False, y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(distances, right)
    return fitted.X_thresholds_.astype(np.float64), fitted.y_thresholds_.astype(np.float64)


def _platt(distances, right):
    """No places, and slope and intercept of the log odds."""
    from sklearn.linear_model import LogisticRegression

    if right.all() or not right.any():
        raise ValueError(
            f"platt needs right and wrong matches, got {right.sum()} right of {len(right)}; "
            'give it other queries, or use method="isotonic"'
        )
    # Distances are scaled, since the penalty is on the slope.
    center, scale = distances.mean(), distances.std() or 1.0
    # Platt's targets: not quite 0 and 1, so that separable distances give a finite slope.
    positive, negative = right.sum(), (~right).sum()
    soft = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    rows = np.concatenate([distances, distances])[:, None]
    classes = np.repeat([1, 0], len(distances))
    fitted = LogisticRegression(C=1e6, max_iter=1_000)
    fitted.fit((rows - center) / scale, classes, sample_weight=np.concatenate([soft, 1 - soft]))
    slope = min(float(fitted.coef_[0, 0]) / scale, 0.0)
    if slope == 0.0:  # farther matches would be likelier right: no more is said than how many are
        return np.empty(0), np.array([0.0, float(np.log(positive / negative))])
    return np.empty(0), np.array([slope, float(fitted.intercept_[0]) - slope * center])


def reliability(
    probabilities: ArrayLike, right: ArrayLike, *, bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """How often matches are right, of those that are given about the same probability.

    Returns the mean probability, the share that is right and the number of queries of each bin, ascending.

    Args:
        probabilities: Shape [num_queries], from 0 to 1.
        right: Whether each match is right, shape [num_queries] bool.
        bins: How many bins of equally many queries; equal probabilities stay together.

    Raises:
        ValueError: If lengths differ, there is no query, or a probability is none.
    """
    probabilities = _checks.not_empty(np.asarray(probabilities, np.float64), name="probabilities")
    right = np.asarray(right)
    if right.shape != probabilities.shape or right.ndim != 1 or right.dtype != bool:
        raise ValueError(
            f"right must be booleans of shape {probabilities.shape} like probabilities, "
            f"got {right.dtype} of shape {right.shape}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be from 0 to 1, got one that is not")
    bins = _checks.positive_int(bins, name="bins")
    order = np.argsort(probabilities, kind="stable")
    first = np.unique(probabilities[order], return_index=True)[1]
    # The bin of a value is that of the first query that has it.
    number = np.repeat(first * bins // len(order), np.diff(np.append(first, len(order))))
    _, place = np.unique(number, return_inverse=True)
    counts = np.bincount(place)
    mean = np.bincount(place, probabilities[order]) / counts
    return mean, np.bincount(place, right[order]) / counts, counts


def expected_calibration_error(probabilities: ArrayLike, right: ArrayLike, *, bins: int = 10) -> float:
    """Mean difference of probability and share right over the bins of ``reliability``, by queries.

    Takes and raises what ``reliability`` does.

    References:
        Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015. Bins of equally
        many queries: Nguyen and O'Connor, Posterior Calibration and Exploratory Analysis for Natural Language
        Processing Models, 2015. https://arxiv.org/abs/1508.05154
    """
    mean, share, counts = reliability(probabilities, right, bins=bins)
    return float((np.abs(mean - share) * counts).sum() / counts.sum())
