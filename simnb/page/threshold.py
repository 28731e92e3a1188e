"""The threshold that is moved on a page: where it can stand, and what a calibration says of it there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb._text import visible
from simnb.calibration import Calibration
from simnb.plots.curves import metric_name

_MOST_STEPS = 400
#: Rates that the page shows.
RATES = ("precision", "coverage", "false_acceptance")


def steps_of(distances: NDArray[np.float32]) -> dict[str, Any]:
    """Where the threshold can stand without a calibration: evenly over the distances; it starts at no limit.

    Args:
        distances: Of the neighbors on the page, of any shape.
    """
    finite = distances[np.isfinite(distances)]
    spread = np.quantile(finite, np.linspace(0, 1, _MOST_STEPS), method="nearest") if finite.size else finite
    thresholds = np.concatenate([[-np.inf], np.unique(spread), [np.inf]]).astype(np.float32)
    return {"thresholds": thresholds.tobytes(), "start": len(thresholds) - 1, "marks": [], "rates": {}}


def calibrated_steps(calibration: Calibration, distance: str) -> dict[str, Any]:
    """Where the threshold can stand by a calibration, what it does there, and where its cutpoints are.

    Raises:
        ValueError: If it is no calibration, or one of another distance.
    """
    if not isinstance(calibration, Calibration):
        raise ValueError(f"calibration must be a Calibration or None, got {type(calibration).__name__}")
    if calibration.distance not in (None, distance):
        raise ValueError(
            f"calibration must be of the page's distance, {distance}, got one of {calibration.distance}"
        )
    curves, cutpoints = calibration.curves, calibration.cutpoints.values()
    count = len(curves)
    even = np.linspace(0, count - 1, min(count, _MOST_STEPS)).round().astype(np.int64)
    thresholds = np.concatenate([curves.threshold[even], [cut.threshold for cut in cutpoints], [np.inf]])
    thresholds = np.unique(thresholds.astype(np.float32))
    positions = [curves.position(threshold) for threshold in thresholds]
    marks = [
        {
            "name": visible(cut.name),
            "goal": _goal(cut),
            "met": cut.met,
            "byClass": cut.by_class is not None,
            "step": int(np.searchsorted(thresholds, np.float32(cut.threshold))),
        }
        for cut in cutpoints
    ]
    return {
        "thresholds": thresholds.tobytes(),
        "start": next((mark["step"] for mark in marks if mark["met"]), marks[0]["step"]),
        "marks": marks,
        "rates": {name: getattr(curves, name)[positions].astype(np.float32).tobytes() for name in RATES},
        "vote": calibration.k if calibration.matcher == "majority_vote" else 0,
        "known": calibration.num_known,
        "unknown": calibration.num_unknown,
    }


def _goal(cutpoint):
    text = str(cutpoint).replace(cutpoint.goal.metric, metric_name(cutpoint.goal.metric))
    return text.replace(">=", "≥").replace("<=", "≤")
