"""What a map of embeddings tells the browser of its points, in a notebook or on a page."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simnb._text import visible
from simnb.index import UNKNOWN
from simnb.plots import styling
from simnb.projection import METHODS, MapTrust, trust

WRONG, RIGHT, NEITHER = 0, 1, 2


def classes_of(
    labels: NDArray[np.int64], class_names: Sequence[str] | None
) -> tuple[list[dict[str, object]], NDArray[np.int64]]:
    """Name and size of each class that is there, and the position among them of each point's."""
    values, positions, counts = np.unique(labels, return_inverse=True, return_counts=True)
    styling.class_namer(class_names, values)  # every label has a name
    classes: list[dict[str, object]] = []
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        unknown = value == UNKNOWN
        name = "unknown" if unknown else value if class_names is None else class_names[value]
        classes.append({"name": visible(str(name)), "count": count, "unknown": unknown})
    return classes, positions


def verdicts(
    labels: NDArray[np.int64], in_gallery: NDArray[np.bool_], nearest: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Whether each nearest neighbor is right; neither where there is none, it has no label, or none is right.

    Args:
        labels: Class of each point, shape [num_points].
        in_gallery: Which points are neighbors of others, shape [num_points].
        nearest: Position of the nearest neighbor of each, -1 where there is none, shape [num_points].
    """
    positions = np.unique(labels, return_inverse=True)[1]
    others = np.bincount(positions, in_gallery)[positions] - in_gallery
    found = np.where(labels[nearest] == labels, RIGHT, WRONG)
    unknown = (labels < 0) | (labels[nearest] < 0)
    return np.where(unknown | (others < 1) | (nearest < 0), NEITHER, found).astype(np.uint8)


def measured_trust(
    embeddings: NDArray[np.float32], points: NDArray[np.float32], *, distance: str, seed: int = 0
) -> MapTrust | None:
    """How far a map can be trusted; None of fewer than 3 points."""
    # Of ten neighbors, or fewer where there are few points; at 500 points, so that nobody waits.
    near = min(10, (len(points) - 1) // 2)
    return trust(embeddings, points, k=near, distance=distance, sample=500, seed=seed) if near else None


def in_words(trusted: MapTrust | None, method: str) -> str:
    """What a reader of the map is told of it."""
    if trusted is None:
        return ""
    made_by = f"{METHODS[method]}{'s' if method == 'pca' else ''}"  # of both axes
    return (
        f"How far to trust this map ({made_by}): of the {trusted.k} nearest neighbors in the "
        f"embedding {trusted.preservation:.0%} are among the {trusted.k} nearest here; trustworthiness "
        f"{trusted.trustworthiness:.2f} (1 at best, about 0.5 by chance). "
        f"Measured at {trusted.num_sampled:,} points."
    )
