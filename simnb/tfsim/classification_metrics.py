"""Metrics of matching with a threshold; ``simnb.metrics.match_rates`` computes them.

``compute`` takes the counts that TensorFlow Similarity names: ``tp`` and ``fn`` are answers that are right
(accepted, rejected), ``fp`` and ``tn`` those that are wrong. A calibration knows more, which queries are of
a class that is indexed, and counts the wrong answers to those as missed: see ``SimilarityModel.calibrate``.
"""

import numpy as np

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

    of_calibration = None

    def __init__(self, name="", canonical_name="", maximize=True, increasing=True):
        """Keep the name."""
        self.name = name
        self.canonical_name = canonical_name or name
        self.maximize, self.increasing = maximize, increasing

    def compute(self, tp, fp, tn, fn, count):
        """The metric at each threshold, from counts of shape [num_thresholds]."""
        raise NotImplementedError

    def get_config(self):
        """The name."""
        return {"name": self.name}

    def __repr__(self):
        """The name."""
        return f"{type(self).__name__}({self.name!r})"


def _rates(right=0, wrong=0, rejected=0, unknown=0, rejected_unknown=0):
    counts = np.broadcast_arrays(right, wrong, rejected, unknown, rejected_unknown)
    return match_rates(*(np.asarray(count, np.float64) for count in counts))


class Precision(ClassificationMetric):
    """Share of right answers among those accepted."""

    of_calibration = "precision"

    def __init__(self, name="precision"):
        """Keep the name."""
        super().__init__(name, "precision", increasing=False)

    def compute(self, tp, fp, tn, fn, count):
        """tp / (tp + fp)."""
        return _rates(right=tp, wrong=fp)["precision"]


class Recall(ClassificationMetric):
    """Share of queries that are answered rightly."""

    of_calibration = "recall"

    def __init__(self, name="recall"):
        """Keep the name."""
        super().__init__(name, "recall")

    def compute(self, tp, fp, tn, fn, count):
        """tp / (tp + fn)."""
        return _rates(right=tp, rejected=fn)["recall"]


class F1Score(ClassificationMetric):
    """Harmonic mean of precision and recall."""

    of_calibration = "f1"

    def __init__(self, name="f1"):
        """Keep the name."""
        super().__init__(name, "f1_score")

    def compute(self, tp, fp, tn, fn, count):
        """2 tp / (2 tp + fp + fn)."""
        return _rates(right=tp, rejected=fn, unknown=fp, rejected_unknown=tn)["f1"]


class BinaryAccuracy(ClassificationMetric):
    """Share of queries that are treated rightly."""

    of_calibration = "accuracy"

    def __init__(self, name="binary_accuracy"):
        """Keep the name."""
        super().__init__(name, "binary_accuracy")

    def compute(self, tp, fp, tn, fn, count):
        """tp / count."""
        return _rates(right=tp, rejected=np.asarray(count) - np.asarray(tp))["recall"]


class FalsePositiveRate(ClassificationMetric):
    """Share of accepted ones among those that ought to be rejected."""

    of_calibration = "false_acceptance"

    def __init__(self, name="fpr"):
        """Keep the name."""
        super().__init__(name, "false_positive_rate", maximize=False)

    def compute(self, tp, fp, tn, fn, count):
        """fp / (fp + tn)."""
        return _rates(unknown=fp, rejected_unknown=tn)["false_acceptance"]


class NegativePredictiveValue(ClassificationMetric):
    """Share of those rejected that ought to be."""

    def __init__(self, name="npv"):
        """Keep the name."""
        super().__init__(name, "negative_predictive_value")

    def compute(self, tp, fp, tn, fn, count):
        """tn / (tn + fn)."""
        return _rates(right=tn, wrong=fn)["precision"]


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


def make_classification_metric(metric, name=""):
    """The metric of a name, or the metric itself.

    Raises:
        ValueError: If there is none.
    """
    if isinstance(metric, ClassificationMetric):
        return metric
    if str(metric).lower() not in _NAMED:
        raise ValueError(f"metric must be one of {', '.join(_NAMED)}; got {metric!r}")
    made = _NAMED[str(metric).lower()]()
    made.name = name or made.name
    return made
