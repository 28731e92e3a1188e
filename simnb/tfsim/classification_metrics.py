"""Metrics of matching with a threshold; ``simnb.metrics.match_rates`` computes them.

``compute`` takes the counts that TensorFlow Similarity names: ``tp`` and ``fn`` are answers that are right
(accepted, rejected), ``fp`` and ``tn`` those that are wrong. A calibration knows more, which queries are of
a class that is indexed, and counts the wrong answers to those as missed: see ``SimilarityModel.calibrate``.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb.metrics import match_rates


class ClassificationMetric:
    """A metric of counts at each threshold; subclass it and write ``compute`` for one of your own.

    Attributes:
        name: What it is called in results.
        of_calibration: The metric of ``simnb.calibration.METRICS`` that it is; None for others.
    """

    of_calibration: str | None = None

    def __init__(
        self, name: str = "", canonical_name: str = "", maximize: bool = True, increasing: bool = True
    ) -> None:
        self.name = name
        self.canonical_name = canonical_name or name
        self.maximize, self.increasing = maximize, increasing

    def compute(
        self, tp: ArrayLike, fp: ArrayLike, tn: ArrayLike, fn: ArrayLike, count: ArrayLike
    ) -> NDArray[np.floating]:
        """The metric at each threshold, from counts of shape [num_thresholds]."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The name, as a dict of arguments."""
        return {"name": self.name}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def _metric(class_name, summary, name, canonical_name, rate, counts, *, of_calibration=None, **order):
    """The class of a metric that is a rate of ``match_rates``, whose arguments ``counts`` gives."""

    def __init__(self, name=name):
        ClassificationMetric.__init__(self, name, canonical_name, **order)

    def compute(self, tp, fp, tn, fn, count):
        """The metric at each threshold, from counts of shape [num_thresholds]."""
        return match_rates(*counts(tp, fp, tn, fn, count))[rate]

    body = {"__doc__": summary, "__module__": __name__, "__init__": __init__, "compute": compute}
    return type(class_name, (ClassificationMetric,), {**body, "of_calibration": of_calibration})


Precision = _metric(
    "Precision", "Share of right answers among those accepted: tp / (tp + fp).", "precision", "precision",
    "precision", lambda tp, fp, tn, fn, count: (tp, fp, 0, 0, 0),
    of_calibration="precision", increasing=False,
)  # fmt: skip
Recall = _metric(
    "Recall", "Share of queries that are answered correctly: tp / (tp + fn).", "recall", "recall",
    "recall", lambda tp, fp, tn, fn, count: (tp, 0, fn, 0, 0), of_calibration="recall",
)  # fmt: skip
F1Score = _metric(
    "F1Score", "Harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn).", "f1", "f1_score",
    "f1", lambda tp, fp, tn, fn, count: (tp, 0, fn, fp, tn), of_calibration="f1",
)  # fmt: skip
BinaryAccuracy = _metric(
    "BinaryAccuracy", "Share of queries that are accepted or rejected correctly: tp / count.",
    "binary_accuracy", "binary_accuracy",
    "recall", lambda tp, fp, tn, fn, count: (tp, 0, np.subtract(count, tp), 0, 0), of_calibration="accuracy",
)  # fmt: skip
FalsePositiveRate = _metric(
    "FalsePositiveRate", "Share of accepted ones among those that ought to be rejected: fp / (fp + tn).",
    "fpr", "false_positive_rate", "false_acceptance", lambda tp, fp, tn, fn, count: (0, 0, 0, fp, tn),
    of_calibration="false_acceptance", maximize=False,
)  # fmt: skip
NegativePredictiveValue = _metric(
    "NegativePredictiveValue", "Share of those rejected that ought to be: tn / (tn + fn).",
    "npv", "negative_predictive_value", "precision", lambda tp, fp, tn, fn, count: (tn, fn, 0, 0, 0),
)  # fmt: skip

_ALL = (Precision, Recall, F1Score, BinaryAccuracy, FalsePositiveRate, NegativePredictiveValue)
_NAMED = {name: cls for cls in _ALL for name in (cls().name, cls().canonical_name)} | {"f1score": F1Score}


def make_classification_metric(metric: str | ClassificationMetric, name: str = "") -> ClassificationMetric:
    """The metric of a name, or the metric itself.

    Raises:
        ValueError: If there is no metric of that name.
    """
    if isinstance(metric, ClassificationMetric):
        return metric
    if str(metric).lower() not in _NAMED:
        raise ValueError(f"metric must be one of {', '.join(_NAMED)}; got {metric!r}")
    made = _NAMED[str(metric).lower()]()
    made.name = name or made.name
    return made
