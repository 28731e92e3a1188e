"""What a calibration and an evaluation report, in the shape that TensorFlow Similarity documents."""

import numpy as np

from simnb import _table
from simnb.matching import match
from simnb.metrics import match_rates
from simnb.metrics.matches import outcomes
from simnb.tfsim.types import CalibrationResults


def neighbors_needed(retrieval_metrics, gallery_size):
    """How many neighbors the metrics look at; one that is clipped at R may need the whole gallery."""
    depths = (gallery_size if getattr(m, "clip_at_r", False) else m.k for m in retrieval_metrics)
    return min(max(depths, default=1), gallery_size)


def matching_values(neighbors, labels, threshold, *, matcher, metrics, known_labels):
    """The value of each metric, by its name, where queries are matched within a threshold."""
    answers = match(neighbors, threshold, matcher=matcher).labels
    counts = outcomes(answers, labels, known_labels).sum(axis=1)
    return {name: float(value) for name, value in _values(metrics, *counts).items()}


def _values(metrics, a, w, r, u, v):
    """The value of each metric, by its name, from the counts that ``match_rates`` takes."""
    rates = match_rates(a, w, r, u, v)
    counts = {"tp": a, "fp": w + u, "tn": v, "fn": r, "count": a + w + r + u + v}
    return {
        each.name: rates[each.of_calibration] if each.of_calibration in rates else each.compute(**counts)
        for each in metrics
    }


def results_of(calibration, metrics):
    """A calibration of simnb in the shape that TensorFlow Similarity documents."""
    curves = calibration.curves
    values = {name: np.asarray(value) for name, value in _values(metrics, *curves.counts).items()}
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
    """Rows, dicts of the same keys, as text in columns; a distance needs more digits than a share."""

    def text(name, value):
        if not isinstance(value, float):
            return str(value)
        return f"{value:.6g}" if name == "distance" else f"{value:.{rounding}f}"

    rows = [{name: text(name, row[name]) for name in row if name != "value"} for row in rows]
    print(f"\n{title}")
    print(_table.as_text(list(rows[0]), [list(row.values()) for row in rows]))
