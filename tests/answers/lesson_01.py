"""Lesson 01, find similar photographs."""

from types import SimpleNamespace

import numpy as np

CURVES = SimpleNamespace(precision=np.array([1.0, 0.98, 0.9]), coverage=np.array([0.0, 0.4, 0.9]))
NAMES = {
    "np": np,
    "EPOCHS": 6,
    "batches": range(240),
    "labels": range(225),
    "parts": SimpleNamespace(train=range(32_400)),
    "r1_pixels": 0.4,
    "curves": CURVES,
    "class_names": ("bird", "cat", "deer"),
    "given": np.array(["bird", "cat"]),
    "times": np.array([10, 30]),
}

ANSWERS = [
    # Nearly all, by chance, percent instead of a share.
    ("guess", 0.35, [0.9, 0.11, 40]),
    # In one epoch, batches without their images, upside down.
    ("times_seen", 10.0, [1.67, 1440, 0.1]),
    # To base 10, without the minus, the fraction alone.
    ("loss_at_start", np.log(9), [np.log10(9), -np.log(9), 1 / 9]),
    # Without a threshold, the least, a percentage.
    ("coverage_left", 0.4, [0.9, 0.0, 40]),
    ("most_often", "cat", ["bird", "deer", "dog"]),
]
