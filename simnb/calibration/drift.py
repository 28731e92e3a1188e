"""Whether queries are like those that a threshold was calibrated on."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import ks_2samp

from simnb import _checks
from simnb.index.results import check_distances

#: Matching warns below this probability: once in a thousand times where nothing has changed.
ALARM = 0.001
#: Queries below which matching does not ask: they would show only the grossest change.
FEWEST = 30
_FAR = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Drift:
    """How two samples of distances differ.

    Attributes:
        statistic: Largest difference of the shares that lie within a distance, 0 to 1.
        distance: The distance at which it is.
        p_value: Probability of such a difference, or a larger one, where both come from one distribution.
        shares: The shares of the two samples that lie within that distance.
    """

    statistic: float
    distance: float
    p_value: float
    shares: tuple[float, float]

    def __str__(self) -> str:
        one, other = self.shares
        return (
            f"{other:.1%} of them lie within distance {self.distance:.4g}, instead of {one:.1%} "
            f"(Kolmogorov-Smirnov, p = {self.p_value:.2g})"
        )


def compare_distances(one: ArrayLike, other: ArrayLike) -> Drift:
    """Compare two samples of distances by the two-sample test of Kolmogorov and Smirnov.

    A small ``p_value`` says that they differ, ``statistic`` says by how much: of many queries also a
    difference that does not matter is sure. The test sees any change of the distances: other images, another
    share of unknown ones, a gallery that has grown. It does not see classes that are confused at the same
    distances.

    Args:
        one: Distances of the calibration queries, shape [num_queries]; inf where there was no neighbor.
        other: Those of the queries, shape [num_others].

    Raises:
        ValueError: If one of them is empty or holds NaN or -inf.

    References:
        Hodges, The Significance Probability of the Smirnov Two-Sample Test, 1958.

    Example:
        >>> import numpy as np
        >>> from simnb.calibration import compare_distances
        >>> before, now = np.linspace(0, 1, 100), np.linspace(0.3, 1.3, 100)
        >>> drift = compare_distances(before, now)
        >>> round(drift.statistic, 2), drift.p_value < 0.001
        (0.3, True)
    """
    then, now = _sample(one, "one"), _sample(other, "other")
    with warnings.catch_warnings():
        # Of samples that hardly differ the exact value can fail; the asymptotic one that follows is as good.
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful", RuntimeWarning)
        result = ks_2samp(then, now)
    at = float(result.statistic_location)
    shares = float((then <= at).mean()), float((now <= at).mean())
    return Drift(float(result.statistic), np.inf if at == _FAR else at, float(result.pvalue), shares)


def _sample(distances, name):
    values = _checks.not_empty(np.asarray(distances, np.float64).ravel(), name=name)
    # Infinite distances are equal to one another, and beyond all others.
    return np.nan_to_num(check_distances(values, name=name), posinf=_FAR)
