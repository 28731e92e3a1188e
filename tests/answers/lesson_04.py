"""Lesson 04, index embeddings."""

import numpy as np

DISTANCES = np.array([[0.3, 0.1, 0.2, 0.4], [0.5, 0.6, 0.7, 0.8]])
NEAREST = np.linspace(0, 1, 101)[None]

NAMES = {
    "np": np,
    "distances": DISTANCES,
    "brightness": np.array([0.1, 0.2, 0.3, 0.9]),
    "found": type("Found", (), {"ids": np.arange(99), "__len__": lambda self: 42})(),
    "characters": np.arange(523),
    "nearest": {"known": NEAREST, "unknown": NEAREST},
    "threshold": 0.2,
}

ANSWERS = [
    # All places, one, a list of distances.
    ("empty_places", 0, [5, 1]),
    # The nearest of all rows, the farthest, that of another query.
    ("bright_distance", 0.4, [0.1, 0.3, 0.8]),
    # Whole groups gone, the groups gone, nothing gone.
    ("rows_left", 466, [424, 481, 523]),
    ("rows_seen", 100, [1, 25, 4]),
    # The old threshold, a share of the queries, everyone.
    ("new_threshold", 0.1, [0.2, 0.5, 1.0]),
]
