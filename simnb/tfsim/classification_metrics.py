"""Metrics of matching with a threshold; ``simnb.metrics.match_rates`` computes them.

``compute`` takes the counts that TensorFlow Similarity names: ``tp`` and ``fn`` are answers that are right
(accepted, rejected), ``fp`` and ``tn`` those that are wrong. A calibration knows more, which queries are of
a class that is indexed, and counts the wrong answers to those as missed: see ``SimilarityModel.calibrate``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb.metrics import match_rates

__all__ = [
    "ClassificationMetric",
    "Precision",
    "Recall",
    "F1Score",
    "BinaryAccuracy",
    "FalsePositiveRate",
    "NegativePredictiveValue",
    "make_classification_metric",
]


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


def _metric(
    class_name: str,
    summary: str,
    *,
    name: str,
    canonical_name: str,
    rate: str,
    counts: Mapping[str, str],
    of_calibration: str | None = None,
    maximize: bool = True,
    increasing: bool = True,
) -> type[ClassificationMetric]:
    """The class of a metric that is a rate of ``match_rates``; ``counts`` says what its arguments are."""

    def __init__(self, name=name):
        ClassificationMetric.__init__(self, name, canonical_name, maximize, increasing)

    def compute(self, tp, fp, tn, fn, count):
        """The metric at each threshold, from counts of shape [num_thresholds]."""
        given = {"tp": tp, "fp": fp, "tn": tn, "fn": fn, "not tp": np.asarray(count) - np.asarray(tp)}
        arguments = np.broadcast_arrays(*(given.get(counts.get(each), 0) for each in _COUNTED))
        return match_rates(*(argument.astype(np.float64) for argument in arguments))[rate]

    body = {"__doc__": summary, "__module__": __name__, "__init__": __init__, "compute": compute}
    return type(class_name, (ClassificationMetric,), {**body, "of_calibration": of_calibration})


#: The arguments of ``match_rates``, in their order.
_COUNTED = ("accepted_right", "accepted_wrong", "rejected", "accepted_unknown", "rejected_unknown")

Precision = _metric(
    "Precision", "Share of right answers among those accepted: tp / (tp + fp).",
    name="precision", canonical_name="precision", of_calibration="precision", increasing=False,
    rate="precision", counts={"accepted_right": "tp", "accepted_wrong": "fp"},
)  # fmt: skip
Recall = _metric(
    "Recall", "Share of queries that are answered correctly: tp / (tp + fn).",
    name="recall", canonical_name="recall", of_calibration="recall",
    rate="recall", counts={"accepted_right": "tp", "rejected": "fn"},
)  # fmt: skip
F1Score = _metric(
    "F1Score", "Harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn).",
    name="f1", canonical_name="f1_score", of_calibration="f1", rate="f1",
    counts={"accepted_right": "tp", "rejected": "fn", "accepted_unknown": "fp", "rejected_unknown": "tn"},
)  # fmt: skip
BinaryAccuracy = _metric(
    "BinaryAccuracy", "Share of queries that are accepted or rejected correctly: tp / count.",
    name="binary_accuracy", canonical_name="binary_accuracy", of_calibration="accuracy",
    rate="recall", counts={"accepted_right": "tp", "rejected": "not tp"},
)  # fmt: skip
FalsePositiveRate = _metric(
    "FalsePositiveRate", "Share of accepted ones among those that ought to be rejected: fp / (fp + tn).",
    name="fpr", canonical_name="false_positive_rate", of_calibration="false_acceptance", maximize=False,
    rate="false_acceptance", counts={"accepted_unknown": "fp", "rejected_unknown": "tn"},
)  # fmt: skip
NegativePredictiveValue = _metric(
    "NegativePredictiveValue", "Share of those rejected that ought to be: tn / (tn + fn).",
    name="npv", canonical_name="negative_predictive_value",
    rate="precision", counts={"accepted_right": "tn", "accepted_wrong": "fn"},
)  # fmt: skip

_NAMED = {
    "precision": Precision,
    "recall": Recall,
    "f1": F1Score,
    "f1_score": F1Score,
    "f1score": F1Score,
    "binary_accuracy": BinaryAccuracy,
    "false_positive_rate": FalsePositiveRate,
    "fpr": FalsePositiveRate,
    "negative_predictive_value": NegativePredictiveValue,
    "npv": NegativePredictiveValue,
}


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
