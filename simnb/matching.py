"""From neighbors to an answer: a label for each query, or ``UNKNOWN`` beyond the threshold.

Example:
    >>> import numpy as np
    >>> from simnb.index import Neighbors
    >>> from simnb.matching import accept, match, match_majority_vote, match_nearest
    >>> distances, ids = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]]), np.array([[4, 0, 2], [1, 3, 5]])
    >>> neighbors = Neighbors(distances, ids, labels=np.array([[7, 8, 8], [8, 7, 7]]))
    >>> match_nearest(neighbors).labels, match_majority_vote(neighbors).labels
    (array([7, 8]), array([8, 7]))
    >>> match(neighbors, 0.5, matcher="majority_vote").labels
    array([ 8, -1])
    >>> accept(match(neighbors), 0.5).labels
    array([ 7, -1])
"""

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from simnb import _checks
from simnb.index import UNKNOWN, Neighbors
from simnb.index.results import check_distances, names_of

__all__ = ["UNKNOWN", "MATCHERS", "Matches", "match", "match_nearest", "match_majority_vote", "accept"]

#: Largest distance that still matches: one for all labels, or one for each.
Threshold: TypeAlias = float | Mapping[int, float]


@dataclass(frozen=True, eq=False)
class Matches:
    """The answer to each query.

    Attributes:
        labels: Label of the match, shape [num_queries] int64; ``UNKNOWN`` where it was rejected.
        distances: Distance of the neighbor that decided, shape [num_queries]; kept for rejected
            queries too, ``inf`` where there was no neighbor.
        class_names: Name of each label, where the neighbors have names.
    """

    labels: np.ndarray
    distances: np.ndarray
    class_names: tuple[str, ...] | None = field(default=None, repr=False)

    @property
    def names(self) -> np.ndarray:
        """Class name of each answer, shape [num_queries] object; ``"Unknown"`` where it was rejected."""
        return np.where(self.accepted, names_of(self.labels, self.class_names), "Unknown")

    @property
    def accepted(self) -> np.ndarray:
        """Whether each query got a label, shape [num_queries] bool."""
        return self.labels != UNKNOWN

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: int | slice | np.ndarray) -> "Matches":
        """The answers to some queries: a slice, a mask or an array of positions."""
        places = [rows] if isinstance(rows, (int, np.integer)) else rows
        return replace(self, labels=self.labels[places], distances=self.distances[places])


def accept(matches: Matches, threshold: Threshold) -> Matches:
    """Keep the answers of ``matches``, made without a threshold, that lie within one; reject the others.

    Takes and raises what ``match_nearest`` does.
    """
    check_distances(matches.distances)  # those of Neighbors are checked; Matches can be made by anybody
    limits = _limits(matches.labels, threshold)
    with np.errstate(over="ignore"):  # what lies beyond the dtype accepts everything, as it ought to
        limits = np.asarray(limits).astype(matches.distances.dtype)
    return replace(matches, labels=np.where(matches.distances <= limits, matches.labels, UNKNOWN))


def match_nearest(neighbors: Neighbors, threshold: Threshold = np.inf) -> Matches:
    """Give each query the label of its nearest neighbor.

    Args:
        neighbors: ``Neighbors`` of the queries.
        threshold: Largest distance that still matches (``distance <= threshold``), compared in the
            dtype of the distances; or a dict of one for each label, where labels that it lacks are rejected.

    Raises:
        ValueError: If a threshold is not one number.
    """
    nearest = Matches(neighbors.labels[:, 0], neighbors.distances[:, 0], neighbors.class_names)
    return accept(nearest, threshold)


def match_majority_vote(neighbors: Neighbors, threshold: Threshold = np.inf) -> Matches:
    """Give each query the label most of its k neighbors carry; those without a label do not vote.

    Ties go to the label whose nearest neighbor is closest. The distance that is compared with the
    threshold is that of the nearest neighbor that carries the winning label.
    Takes and raises what ``match_nearest`` does.
    """
    labels = neighbors.labels
    votes = np.zeros(labels.shape, np.int64)
    for column in range(neighbors.k):
        votes += labels == labels[:, column : column + 1]
    votes[labels == UNKNOWN] = 0
    # argmax takes the first of equal counts, and neighbors are sorted by distance.
    winner = votes.argmax(axis=1)
    rows = np.arange(len(labels))
    voted = Matches(labels[rows, winner], neighbors.distances[rows, winner], neighbors.class_names)
    return accept(voted, threshold)


#: Matchers by the name that ``calibrate`` and ``SimilaritySearch`` take.
MATCHERS = {"nearest": match_nearest, "majority_vote": match_majority_vote}


def match(neighbors: Neighbors, threshold: Threshold = np.inf, *, matcher: str = "nearest") -> Matches:
    """Match with a matcher by name: ``nearest`` or ``majority_vote``.

    Takes and raises what these do; ValueError, too, if there is no such matcher or ``neighbors`` are none.
    """
    check_neighbors(neighbors)
    return MATCHERS[_checks.one_of(matcher, MATCHERS, name="matcher")](neighbors, threshold)


def check_neighbors(neighbors: Neighbors) -> Neighbors:
    """Return ``neighbors`` if they are what ``index.search`` gives, or raise ValueError."""
    if not all(hasattr(neighbors, name) for name in ("distances", "ids", "labels", "k")):
        raise ValueError(
            f"neighbors must be Neighbors, as index.search gives them, got {type(neighbors).__name__}"
        )
    return neighbors


def _limits(labels, threshold):
    """The threshold, or that of each query's label."""
    if not isinstance(threshold, Mapping):
        return _number(threshold)
    of_label = {label: _number(value) for label, value in threshold.items()}
    answers, position = np.unique(labels, return_inverse=True)
    return np.array([of_label.get(answer, -np.inf) for answer in answers.tolist()], np.float64)[position]


def _number(threshold):
    if not isinstance(threshold, numbers.Real | np.ndarray) or np.ndim(threshold) or np.isnan(threshold):
        raise ValueError(f"threshold must be one number, or a dict of one for each label, got {threshold!r}")
    return threshold
