"""What every candidate threshold would do, counted once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simnb.metrics import match_rates

#: Every calibration metric, and whether more of it is better.
METRICS = {
    "precision": True,
    "recall": True,
    "f1": True,
    "accuracy": True,
    "coverage": True,
    "false_acceptance": False,
}


@dataclass(frozen=True, eq=False)
class Curves:
    """Counts of accepted queries at every distance that was seen, and what follows from them.

    There are ``num_distances + 1`` candidate thresholds: ``-inf`` (reject everything), those midway between
    two consecutive distances, and the largest distance (accept every calibration query). Any other threshold
    accepts the same calibration queries as one of these. Counts and metrics are arrays of shape
    [num_distances + 1]; ``simnb.metrics.match_rates`` defines them.

    Attributes:
        distances: Distances of the calibration queries, each once, ascending, shape [num_distances].
        accepted_right: Queries of known classes that get their own label at each candidate, int64.
        accepted_wrong: Queries of known classes that get another label, int64.
        accepted_unknown: Queries of unknown classes that get a label, int64.
        num_known, num_unknown: Queries of known and of unknown classes.
    """

    distances: np.ndarray
    accepted_right: np.ndarray
    accepted_wrong: np.ndarray
    accepted_unknown: np.ndarray
    num_known: int
    num_unknown: int

    @classmethod
    def count(
        cls,
        distances: NDArray[np.floating],
        answered: NDArray[np.bool_],
        known: NDArray[np.bool_],
        right: NDArray[np.bool_],
    ) -> "Curves":
        """Count queries by what a matcher without threshold answered, each array of shape [num_queries].

        Args:
            distances: Distance that decides each query.
            answered: Whether there was a neighbor with a label.
            known: Whether the query's class is in the gallery.
            right: Whether the answer is the query's class.
        """
        order = np.argsort(distances[answered])
        ordered = distances[answered][order]
        # The last of equal distances: they are accepted together.
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], len(ordered) > 0))

        def accepted(these):
            counts = np.cumsum(these[answered][order], dtype=np.int64)
            return np.concatenate([[0], counts[last]]).astype(np.int64)

        return cls(
            ordered[last],
            accepted(right),
            accepted(known & ~right),
            accepted(~known),
            int(np.count_nonzero(known)),
            int(np.count_nonzero(~known)),
        )

    @cached_property
    def threshold(self) -> np.ndarray:
        """The candidates, in the dtype of the distances, shape [num_distances + 1]."""
        return candidates(self.distances)

    @property
    def counts(self) -> tuple[np.ndarray, ...]:
        """The five counts A, W, R, U, V of ``match_rates`` at each candidate."""
        a, w, u = self.accepted_right, self.accepted_wrong, self.accepted_unknown
        return a, w, self.num_known - a - w, u, self.num_unknown - u

    @cached_property
    def _rates(self):
        return match_rates(*self.counts)

    @property
    def precision(self) -> np.ndarray:
        """A / (A + W + U)."""
        return self._rates["precision"]

    @property
    def recall(self) -> np.ndarray:
        """A / (A + W + R)."""
        return self._rates["recall"]

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall."""
        return self._rates["f1"]

    @property
    def accuracy(self) -> np.ndarray:
        """(A + V) / all."""
        return self._rates["accuracy"]

    @property
    def coverage(self) -> np.ndarray:
        """(A + W) / (A + W + R)."""
        return self._rates["coverage"]

    @property
    def false_acceptance(self) -> np.ndarray:
        """U / (U + V)."""
        return self._rates["false_acceptance"]

    def __len__(self) -> int:
        return len(self.accepted_right)

    def __repr__(self) -> str:
        return (
            f"Curves({len(self)} candidates, {self.num_known} known and {self.num_unknown} unknown queries)"
        )

    def position(self, threshold: float) -> int:
        """The candidate that accepts the same calibration queries as a threshold does."""
        limit = np.asarray(threshold).astype(self.distances.dtype)
        return int(np.searchsorted(self.distances, limit, side="right"))

    def rates(self, threshold: float) -> dict[str, float]:
        """Every metric at a threshold, on the calibration queries."""
        return self.at(self.position(threshold))

    def at(self, position: int) -> dict[str, float]:
        """Every metric at a candidate, by its position."""
        return {name: float(getattr(self, name)[position]) for name in METRICS}


def candidates(distances):
    """Thresholds that tell ascending distances apart: -inf, those midway between two, and the largest."""
    below, above = distances[:-1], distances[1:]
    with np.errstate(invalid="ignore"):
        middle = below + (above - below) / 2
    # Between neighboring floats the middle rounds to one of them; it must not accept the upper one.
    middle = np.where((middle < above) & np.isfinite(middle), middle, below)
    return np.concatenate([np.array([-np.inf], distances.dtype), middle, distances[-1:]])
