"""Evaluation while a model is trained."""

import numpy as np

from simnb._keras import keras
from simnb.index import open_index
from simnb.matching import match
from simnb.metrics import evaluate_matches, known_queries
from simnb.tfsim.classification_metrics import make_classification_metric
from simnb.tfsim.distances import distance_canonicalizer
from simnb.tfsim.matchers import make_classification_matcher
from simnb.tfsim.models._results import match_counts, value_of

__all__ = ["EvalCallback", "SplitValidationLoss"]


class EvalCallback(keras.callbacks.Callback):
    """Searches for queries among targets after every epoch; the model's own index is left alone.

    Args:
        queries: Examples that are neither trained on nor among the targets.
        query_labels: Class of each.
        targets: Examples to search in.
        target_labels: Class of each.
        distance: Name, alias or ``Distance``.
        metrics: Names of ``tfsim.classification_metrics``, or such metrics.
        tb_logdir: Left out: ``keras.callbacks.TensorBoard`` writes what is in the logs.
        k: Neighbors that the matcher sees.
        matcher: ``match_nearest`` or ``match_majority_vote``.
        distance_thresholds: Distances to evaluate at; any distance when left out.
        known_classes: Where given, queries of these classes and the others are evaluated apart.
        retrieval_metrics: A list of ``tfsim.retrieval_metrics``.
    """

    def __init__(
        self,
        queries,
        query_labels,
        targets,
        target_labels,
        distance="cosine",
        metrics=("binary_accuracy",),
        tb_logdir=None,
        k=1,
        matcher="match_nearest",
        distance_thresholds=None,
        known_classes=None,
        retrieval_metrics=None,
    ):
        """Keep the examples."""
        super().__init__()
        if tb_logdir is not None:
            raise ValueError("tb_logdir must be left out: add keras.callbacks.TensorBoard(...) after it")
        self.queries, self.query_labels = np.asarray(queries), np.asarray(query_labels).ravel()
        self.targets, self.target_labels = np.asarray(targets), np.asarray(target_labels).ravel()
        self.distance = distance_canonicalizer(distance).name
        self.metrics = [make_classification_metric(metric) for metric in metrics]
        self.matcher, self.k = make_classification_matcher(matcher).matcher, k
        self.thresholds = [np.inf] if distance_thresholds is None else np.asarray(distance_thresholds).ravel()
        self.known_classes = known_classes
        self.retrieval_metrics = list(retrieval_metrics or ())

    def on_epoch_end(self, epoch, logs=None):
        """Add the metrics to the logs."""
        found = self.evaluate(self.model)
        if logs is not None:
            logs.update(found)
        print(" - ".join(f"{name}: {value:0.4f}" for name, value in found.items()))

    def evaluate(self, model):
        """The metrics of a model now, a dict of floats by name."""
        index = open_index(distance=self.distance)
        index.add(model._embed(self.targets), self.target_labels)
        deepest = [len(index) if getattr(m, "clip_at_r", False) else m.k for m in self.retrieval_metrics]
        neighbors = index.search(model._embed(self.queries), k=min(max([self.k, *deepest]), len(index)))
        everyone = np.ones(len(self.queries), bool)
        if self.known_classes is None:
            return self._measured(neighbors, everyone, "")
        known = np.isin(self.query_labels, np.asarray(self.known_classes).ravel())
        parts = (known, "_known_classes"), (~known, "_unknown_classes")
        return {
            name: value
            for some, ending in parts
            if some.any()
            for name, value in self._measured(neighbors, some, ending).items()
        }

    def _measured(self, neighbors, some, ending):
        neighbors, labels = neighbors[some], self.query_labels[some]
        known = known_queries(labels, self.target_labels)
        found = {}
        for i, threshold in enumerate(self.thresholds):
            answers = match(_first(neighbors, self.k), threshold, matcher=self.matcher).labels
            rates = evaluate_matches(answers, labels, known_labels=self.target_labels)
            counts = match_counts(answers, labels, known)
            at = f"_{i}" if len(self.thresholds) > 1 else ""
            for metric in self.metrics:
                found[f"{metric.name}{at}{ending}"] = float(value_of(metric, rates, counts))
        for metric in self.retrieval_metrics:
            found[f"{metric.name}{ending}"] = float(metric.compute(neighbors, labels, self.target_labels))
        return found


class SplitValidationLoss(EvalCallback):
    """``EvalCallback`` where ``known_classes`` are evaluated apart from the others."""

    def __init__(
        self,
        queries,
        query_labels,
        targets,
        target_labels,
        known_classes,
        distance="cosine",
        metrics=("binary_accuracy", "f1score"),
        tb_logdir=None,
        k=1,
        matcher="match_nearest",
        distance_thresholds=None,
    ):
        """Keep the examples."""
        parts = queries, query_labels, targets, target_labels
        super().__init__(*parts, distance, metrics, tb_logdir, k, matcher, distance_thresholds, known_classes)


def _first(neighbors, k):
    return type(neighbors)(neighbors.distances[:, :k], neighbors.ids[:, :k], neighbors.labels[:, :k])
