"""Matchers by class or name; ``simnb.matching`` matches."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb.index import Neighbors
from simnb.matching import UNKNOWN, match

__all__ = ["ClassificationMatch", "MatchNearest", "MatchMajorityVote", "make_classification_matcher"]


class ClassificationMatch:
    """Gives a query the label of its neighbors, within a distance.

    Attributes:
        name: What its results are called.
        matcher: Its name in ``simnb.matching.MATCHERS``.
    """

    matcher = "nearest"

    def __init__(self, name: str = "nearest") -> None:
        self.name = name
        self._thresholds = np.array([np.inf], np.float32)
        self._counts: dict[str, Any] | None = None

    def compile(self, distance_thresholds: ArrayLike | None = None) -> None:
        """Set the distances that ``compute_count`` counts at."""
        if distance_thresholds is not None:
            self._thresholds = np.sort(np.asarray(distance_thresholds, np.float32).ravel())

    def derive_match(
        self, lookup_labels: ArrayLike, lookup_distances: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
        """Label and distance of each query's answer, both of shape [num_queries, 1]."""
        answers = match(_neighbors(lookup_labels, lookup_distances), matcher=self.matcher)
        return answers.labels[:, None], answers.distances[:, None]

    def compute_count(
        self, query_labels: ArrayLike, lookup_labels: ArrayLike, lookup_distances: ArrayLike
    ) -> None:
        """Count at each threshold the answers that are right and accepted, ``tp``, and so on."""
        labels, distances = self.derive_match(lookup_labels, lookup_distances)
        right = labels == np.asarray(query_labels).reshape(-1, 1)
        near = distances <= self._thresholds
        parts = {"tp": right & near, "fp": ~right & near, "tn": ~right & ~near, "fn": right & ~near}
        self._counts = {name: np.count_nonzero(part, axis=0) for name, part in parts.items()}
        self._counts["count"] = len(right)

    def __getattr__(self, name: str) -> Any:
        """The counts ``tp``, ``fp``, ``tn``, ``fn`` (arrays) and ``count``."""
        if name in ("tp", "fp", "tn", "fn", "count"):
            if self._counts is None:
                raise AttributeError("call compute_count(...) before the counts are asked for")
            return self._counts[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class MatchNearest(ClassificationMatch):
    """The label of the nearest neighbor."""


class MatchMajorityVote(ClassificationMatch):
    """The label that most of the neighbors have."""

    matcher = "majority_vote"

    def __init__(self, name: str = "majority_vote") -> None:
        super().__init__(name)


def _neighbors(labels, distances):
    labels, distances = np.asarray(labels, np.int64), np.asarray(distances, np.float32)
    ids = np.where(labels == UNKNOWN, UNKNOWN, np.arange(labels.size).reshape(labels.shape))
    return Neighbors(distances, ids, labels)


def make_classification_matcher(matcher: str | ClassificationMatch) -> ClassificationMatch:
    """The matcher of a name (``match_nearest`` or ``match_majority_vote``), or the matcher itself.

    Raises:
        ValueError: If there is none, or it is a class of the user's own.
    """
    named = {"match_nearest": MatchNearest, "match_majority_vote": MatchMajorityVote}
    if isinstance(matcher, MatchNearest | MatchMajorityVote):
        return matcher
    if matcher not in named:
        raise ValueError(f"matcher must be one of {', '.join(named)}; got {matcher!r}")
    return named[matcher]()
