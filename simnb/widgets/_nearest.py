"""Neighbors of the points of a map, in the embedding."""

import numpy as np

from simnb import _checks
from simnb._terminal import progress_bar
from simnb.index import open_index

WRONG, RIGHT, NEITHER = 0, 1, 2
_BLOCK = 4096


class Nearest:
    """The k nearest gallery points of each point, itself left out.

    Args:
        embeddings: Shape [num_points, dim].
        labels: Shape [num_points].
        in_gallery: Which points may be neighbors, shape [num_points] bool.
        distance: One of ``simnb.distances.DISTANCES``.
        k: How many.
    """

    def __init__(self, embeddings, labels, in_gallery, distance, k):
        """Index the gallery."""
        self.embeddings, self.labels, self.in_gallery = embeddings, labels, in_gallery
        self.k = _checks.positive_int(k, name="k")
        self.index = open_index(distance=distance)
        places = np.flatnonzero(in_gallery)
        self.index.add(embeddings[places], labels[places], ids=places)

    def of(self, point):
        """Positions and distances of one point's neighbors, shape [k]; -1 and inf where there are fewer."""
        ids, distances = self._search(np.array([point]))
        return ids[0], distances[0]

    def all(self, *, progress=False):
        """Of every point: positions and distances, shape [num_points, k], and whether the nearest is right.

        The last has shape [num_points] uint8: ``RIGHT``, ``WRONG``, or ``NEITHER`` where the point has no
        label, no other gallery point has its label, or there is no neighbor.
        """
        count = len(self.embeddings)
        blocks = range(0, count, _BLOCK)
        found = [
            self._search(np.arange(start, min(start + _BLOCK, count)))
            for start in progress_bar(blocks, shown=progress, desc="Looking for neighbors")
        ]
        ids, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return ids, distances, self._verdicts(ids[:, 0])

    def _search(self, points):
        neighbors = self.index.search(self.embeddings[points], k=self.k + 1).without(points)
        return neighbors.ids, neighbors.distances.astype(np.float32)

    def _verdicts(self, nearest):
        labels = self.labels
        values, counts = np.unique(labels[self.in_gallery], return_counts=True)
        size = dict(zip(values.tolist(), counts.tolist(), strict=True))
        others = np.array([size.get(label, 0) for label in labels.tolist()]) - self.in_gallery
        right = labels[nearest] == labels
        verdicts = np.where(right, RIGHT, WRONG)
        return np.where((labels < 0) | (others < 1) | (nearest < 0), NEITHER, verdicts).astype(np.uint8)
