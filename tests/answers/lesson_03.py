"""Lesson 03, losses and what goes wrong."""

import numpy as np

from simnb import losses

_LABELS = np.repeat(np.arange(32), 4)
_SIMILARITIES = np.random.default_rng(0).uniform(-1, 1, (128, 32))


def _cosface(s, y, margin=0.35, scale=64.0):
    return np.asarray(losses.cosface_loss(y, s, margin=margin, scale=scale))


NAMES = {
    "np": np,
    "losses": losses,
    "labels": _LABELS,
    "to_proxies": _SIMILARITIES,
    "SEED": 0,
    "MARGIN": 0.2,
    "seen": None,  # defaults of functions that no check calls
    "compare": None,
}

ANSWERS = [
    # As if the anchor were an answer; the positives alone; a logarithm to the base of 10.
    ("loss_of_one_point", 4.844, [np.log(128), np.log(3), np.log10(127)]),
    # Without the margin, without the scale, the mean.
    (
        "cosface",
        _cosface,
        [
            lambda s, y: _cosface(s, y, margin=0.0),
            lambda s, y: _cosface(s, y, scale=1.0),
            lambda s, y: _cosface(s, y).mean(),
        ],
    ),
    ("by_luck", 0.05, [0.5, 1 / 8, 1 / 720]),
    ("num_triplets", 47_616, [128 * 4 * 124, 128, 128 * 3 * 128]),
    ("stands_at", np.log(2), [0, 1, np.log10(2)]),
]
