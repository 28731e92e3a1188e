"""Lesson 05, choose a threshold."""

import numpy as np

from simnb.calibration import calibrate
from simnb.index import Neighbors
from simnb.matching import match
from simnb.metrics import evaluate_matches

_DISTANCES = np.array([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]])
_LABELS = np.array([0, 0, 1, 5, 1, 5])  # what is found is right but for the unknown 5
_FOUND = Neighbors(_DISTANCES, np.arange(6)[:, None], np.array([[0], [0], [1], [1], [1], [0]]))
_CHOSEN = calibrate(
    _FOUND,
    _LABELS,
    known_labels=[0, 1],
    targets={"strict": "false_acceptance <= 0.5", "all": "coverage >= 1"},
)


class _Test:
    labels = _LABELS


NAMES = {
    "np": np,
    "match": match,
    "evaluate_matches": evaluate_matches,
    "of_test": _FOUND,
    "test": _Test,
    "known": np.array([0, 1]),
    "chosen": _CHOSEN,
    "curves": _CHOSEN.curves,
    "cheapest": 0.35,
}

ANSWERS = [
    # What is answered, one of the two, a name that there is not.
    ("shrinking", {"kept out", "missed"}, [{"right"}, {"missed"}, {"kept out", "wrong"}, {"rejected"}]),
    # Without the unknown query, of all queries, recall.
    ("precision_of_25", 12 / 15, [12 / 14, 12 / 25, 12 / 20]),
    # The promise, a percentage, nothing.
    ("kept_without_unknown", 0.73, [0.91, 73.0, 0.2]),
    # At the old target, nobody, everybody.
    ("door_coverage", 0.5, [1.0, 0.0, 0.99999, 75.0]),
    # As before, larger, rejecting everything.
    ("cheapest_at_50", 0.35, [0.55, -np.inf, 0.15]),
]
