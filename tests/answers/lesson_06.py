"""Lesson 06, trust a threshold."""

import numpy as np

from simnb import metrics
from simnb.index import Neighbors
from simnb.matching import match

_FOUND = np.array([[0, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1], [1, 1, 1, 0, 0]])
_WORLD = Neighbors(np.tile(np.arange(1.0, 6) / 10, (5, 1)), np.tile(np.arange(5), (5, 1)), _FOUND)
_TRUTH = np.array([1, 1, 1, 0, 5])
_KNOWN = np.array([0, 1])


def _compared(one, other, these=slice(0, 4)):
    right = [(match(_WORLD, matcher=m).labels == _TRUTH)[these].astype(float) for m in (one, other)]
    return metrics.compare(*right)


NAMES = {
    "np": np,
    "match": match,
    "world": _WORLD,
    "truth": _TRUTH,
    "known": _KNOWN,
    "broken": {"plain": 0.5, "with confidence": 0.03},
}

ANSWERS = [
    # What was seen, what one promises of 19 heads, one failure in 20.
    ("all_of_20", 0.861, [1.0, 0.784, 0.95]),
    # One too few, one too many, the rule of three.
    ("fewest", 299, [298, 300, 100]),
    # As if confident, as if always, no share.
    ("guess", 0.5, [0.05, 0.95, 50]),
    # As with 0.95, as with 0.05.
    ("broken_at_half", 0.42, [0.03, 0.9]),
    # The other way round, with unknown queries.
    (
        "comparison",
        _compared("majority_vote", "nearest"),
        [_compared("nearest", "majority_vote"), _compared("majority_vote", "nearest", slice(0, 5))],
    ),
]
