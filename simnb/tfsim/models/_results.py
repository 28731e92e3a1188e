"""What a calibration and an evaluation report, in the shape that TensorFlow Similarity documents."""

import numpy as np

from simnb import _table
from simnb.matching import UNKNOWN
from simnb.tfsim.types import CalibrationResults


def match_counts(answers, labels, known):
    accepted = answers != UNKNOWN
    right = accepted & known & (answers == labels)
    return {
        "tp": right.sum(),
        "fp": (accepted & ~right).sum(),
        "tn": (~accepted & ~known).sum(),
        "fn": (~accepted & known).sum(),
        "count": len(labels),
    }


def value_of(metric, rates, counts):
    known = metric.of_calibration in rates
    return rates[metric.of_calibration] if known else metric.compute(**counts)


def results_of(calibration, metrics):
    """A calibration of simnb in the shape that TensorFlow Similarity documents."""
    curves = calibration.curves
    a, w, rejected, u, v = curves.counts
    counts = {"tp": a, "fp": w + u, "tn": v, "fn": rejected, "count": curves.num_known + curves.num_unknown}
    rates = {name: getattr(curves, name) for name in ("precision", "recall", "f1", "accuracy")}
    rates["false_acceptance"] = curves.false_acceptance
    values = {metric.name: np.asarray(value_of(metric, rates, counts)) for metric in metrics}
    first = metrics[0].name
    thresholds = {"distance": curves.distances, **{name: value[1:] for name, value in values.items()}}
    thresholds["value"] = thresholds[first]
    cutpoints = {}
    for cut in calibration.cutpoints.values():
        if cut.met:
            at = curves.position(cut.threshold)
            each = {name: float(value[at]) for name, value in values.items()}
            cutpoints[cut.name] = {"name": cut.name, "value": each[first], "distance": cut.threshold, **each}
    return CalibrationResults(cutpoints, thresholds)


def print_table(title, rows, rounding):
    """Rows as text in columns; a distance needs more digits than a share."""
    print(f"\n{title}")

    def text(name, value):
        if not isinstance(value, float):
            return str(value)
        return f"{value:.6g}" if name == "distance" else f"{value:.{rounding}f}"

    head = list(rows[0])
    print(_table.as_text(head, [[text(name, row[name]) for name in head] for row in rows]))
