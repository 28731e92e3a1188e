"""Lesson 02, what must be in a batch."""

import numpy as np

NAMES = {"np": np, "BATCH": 120, "of_random": 6.9}

ANSWERS = [
    # The share instead of the count, the negative pairs, 120 / 937.
    ("expected_positive", 7.6, [1 / 937, 7133, 0.13]),
    ("large_enough", 2157, [120, 937, 8430]),
    ("loss_of_single_images", 0, [0.2, 4.8]),
    ("my_shape", (40, 3), [(60, 2), (40, 4), (30, 4)]),
    ("changed_letters", "bcERS", ["bcE", "AbcERS", ""]),
]
