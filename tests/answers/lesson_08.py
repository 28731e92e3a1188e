"""Lesson 08, look at an embedding."""

import numpy as np

# Ten gallery images and eight queries; the last two queries are unknown, and three are wrong.
NAMES = {
    "np": np,
    "names": ("ant", "bee", "cat", "dog"),
    "absent": "dog",
    "worst": "cat",
    "rows": np.zeros((18, 2)),
    "strewn": type("Trust", (), {"preservation": 0.6}),
    "gallery": range(10),
    "is_query": np.arange(18) >= 10,
    "mistaken": np.array([1, 3, 4]),
    "nearest": np.array([0, 7, 2, 7, 5, 1, 7, 7]),
    "misled": np.array([1, 2]),
}

ANSWERS = [
    ("my_guess", "cat", ["dog", "ant", "frog"]),
    ("by_chance", 10 / 17, [0.5, 10, 0.01]),
    ("my_selection", [11, 13, 14], [[1, 3, 4], [11, 13], [11, 12, 13, 14], [11, 12, 14]]),
    ("my_culprit", 7, [5, 0]),
    (
        "my_pictures",
        ["plots.hubness", "ThresholdExplorer", "confused_pairs"],
        [
            ["hubness"],
            ["Projector", "ThresholdExplorer", "confused_pairs"],
            ["hubness", "hubness", "hubness"],
        ],
    ),
]
