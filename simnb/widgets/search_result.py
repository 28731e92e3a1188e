"""The answer to one search, and the verdict on each of its neighbors."""

from dataclasses import dataclass

import numpy as np

from simnb.index import Neighbors
from simnb.index.protocol import UNKNOWN
from simnb.plots import styling


@dataclass(frozen=True, eq=False)
class Result:
    """What a search gave.

    Attributes:
        name: Of the file, or ``query 17``.
        image: What was embedded, shape [height, width, channels].
        neighbors: ``Neighbors`` of this one query.
        label: Of the match, ``UNKNOWN`` where there is none.
        distance: Of the neighbor that decided; ``inf`` where there was none.
        accepted: Whether there is a match.
        threshold: Largest distance that matches; ``inf`` where the search is not calibrated.
        probability: That the answer is right, or would be if it were accepted; None where the search has no
            ``MatchProbability``.
        true_label: Class of the query, None where it is not known.
        class_names: Names by label.
    """

    name: str
    image: np.ndarray
    neighbors: Neighbors
    label: int
    distance: float
    accepted: bool
    threshold: float
    probability: float | None
    true_label: int | None
    class_names: object

    def places(self, most):
        """Places of the first neighbors, ``most`` of them or fewer."""
        return np.flatnonzero(self.neighbors.ids[0] >= 0)[:most]

    def beyond(self, place):
        """Whether a neighbor lies beyond the threshold, in the dtype that its distance has."""
        distance = self.neighbors.distances[0, place]
        return bool(distance > np.asarray(self.threshold).astype(distance.dtype))

    def verdict(self, place):
        """``unknown`` beyond the threshold, else ``right`` or ``wrong``; None without the query's class."""
        if self.beyond(place):
            return "unknown"
        if self.true_label is None:
            return None
        return styling.verdict(int(self.neighbors.labels[0, place]) == self.true_label)

    def class_of(self, place):
        """Name of a neighbor's class."""
        return self.name_of(int(self.neighbors.labels[0, place]))

    def name_of(self, label):
        """Name of a class."""
        return "unknown" if label == UNKNOWN else str(self.class_names[label])

    @property
    def answer(self):
        """Name of the class that was matched, or Unknown."""
        return self.name_of(self.label) if self.accepted else "Unknown"
