"""Lesson 00, metric learning on a circle."""

import numpy as np

NAMES = {"np": np, "names": ("bird", "cat", "dog"), "labels": np.repeat([0, 1, 2], 3), "MARGIN": 0.5}

ANSWERS = [
    # The cosine of 60 radians, 60 degrees as a share, the sine.
    ("distance_at_60", 0.5, [1.952, 1, 0.866]),
    ("strongest_at", 90, [180, 0, 45]),
    ("my_angles", [-10, 0, 10, 110, 120, 130, 230, 240, 250], [[0] * 9, list(range(0, 360, 40)), [1, 2]]),
    ("loss_of_the_heap", 0, [0.5, 1]),
    ("largest_margin", 1, [0.5, 1.5, 90]),
]
