"""Choose the distance up to which a neighbor counts as a match, and say what can be promised of it."""

from simnb.calibration.choosing import SHRINKAGE, calibrate, compare_per_class
from simnb.calibration.curves import METRICS, Curves
from simnb.calibration.cutpoints import OPTIMAL, Cutpoint, Goal, NotMet
from simnb.calibration.drift import Drift, compare_distances
from simnb.calibration.probability import (
    MatchProbability,
    expected_calibration_error,
    fit_probability,
    reliability,
)
from simnb.calibration.result import Calibration

__all__ = [
    "calibrate",
    "Calibration",
    "Cutpoint",
    "NotMet",
    "Goal",
    "Curves",
    "METRICS",
    "OPTIMAL",
    "SHRINKAGE",
    "compare_per_class",
    "MatchProbability",
    "fit_probability",
    "reliability",
    "expected_calibration_error",
    "Drift",
    "compare_distances",
]
