"""Lesson 10, moving from TensorFlow Similarity."""

from types import SimpleNamespace

import numpy as np

from simnb import losses, tfsim

NAMES = {
    "np": np,
    "losses": losses,
    "y_batch": np.repeat(np.arange(64), 4),
    "found": SimpleNamespace(distances=np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])),
    "recall": 0.8,
}

ANSWERS = [
    # With the anchor itself, the negatives, the whole batch.
    ("num_positives", 3, [4, 252, 256]),
    ("third_distance", 0.3, [0.2, 0.5, 0.6]),
    # The wrong answers, one rejected, the right answers.
    ("num_rejected", 0, [131, 1, 869]),
    ("new_loss", losses.MultipleNegativesRankingLoss, [
        losses.NTXentLoss, tfsim.losses.MultiNegativesRankLoss, losses.MultipleNegativesRankingLoss(),
    ]),
    # With the weights, in per cent.
    ("recall_without_weights", 0.007, [0.8, 0.75, 1.2]),
]  # fmt: skip
