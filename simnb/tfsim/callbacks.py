"""Evaluation while a model is trained."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simnb._keras import keras
from simnb.index import open_index
from simnb.tfsim.classification_metrics import ClassificationMetric, make_classification_metric
from simnb.tfsim.distances import Distance, distance_canonicalizer
from simnb.tfsim.matchers import ClassificationMatch, make_classification_matcher
from simnb.tfsim.models._indexing import Indexing
from simnb.tfsim.models._results import matching_values, neighbors_needed
from simnb.tfsim.retrieval_metrics import RetrievalMetric

__all__ = ["EvalCallback", "SplitValidationLoss"]


class EvalCallback(keras.callbacks.Callback):
    """Searches for queries among targets after every epoch; the model's own index is left alone.

    Args:
        queries: Examples that are neither trained on nor among the targets.
        query_labels: Class of each query, shape [num_queries].
        targets: Examples to search in.
        target_labels: Class of each target, shape [num_targets].
        distance: Name, alias or ``Distance``.
        metrics: Names of ``tfsim.classification_metrics``, or such metrics.
        tb_logdir: Must stay None: ``keras.callbacks.TensorBoard`` writes what is in the logs.
        k: Neighbors that the matcher sees.
        matcher: ``match_nearest`` or ``match_majority_vote``.
        distance_thresholds: Distances to evaluate at; None for a match at any distance.
        known_classes: Classes whose queries are evaluated apart from the others; None for all together.
        retrieval_metrics: A list of ``tfsim.retrieval_metrics``.
    """

    def __init__(
        self,
        queries: ArrayLike,
        query_labels: ArrayLike,
        targets: ArrayLike,
        target_labels: ArrayLike,
        distance: str | Distance = "cosine",
        metrics: Sequence[str | ClassificationMetric] = ("binary_accuracy",),
        tb_logdir: None = None,
        k: int = 1,
        matcher: str | ClassificationMatch = "match_nearest",
        distance_thresholds: ArrayLike | None = None,
        known_classes: ArrayLike | None = None,
        retrieval_metrics: Iterable[RetrievalMetric] | None = None,
    ) -> None:
        super().__init__()
        if tb_logdir is not None:
            raise ValueError("tb_logdir must be left out: add keras.callbacks.TensorBoard(...) after it")
        self.queries, self.query_labels = np.asarray(queries), np.asarray(query_labels).ravel()
        self.targets, self.target_labels = np.asarray(targets), np.asarray(target_labels).ravel()
        self.distance = distance_canonicalizer(distance).name
        self.metrics = [make_classification_metric(metric) for metric in metrics]
        self.matcher, self.k = make_classification_matcher(matcher).matcher, k
        self.thresholds = np.ravel(np.inf if distance_thresholds is None else distance_thresholds)
        self.known_classes = known_classes
        self.retrieval_metrics = list(retrieval_metrics or ())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the metrics to the logs."""
        found = self.evaluate(self.model)
        if logs is not None:
            logs.update(found)
        print(" - ".join(f"{name}: {value:0.4f}" for name, value in found.items()))

    def evaluate(self, model: Indexing) -> dict[str, float]:
        """The metrics of a model as it is now, by name."""
        index = open_index(distance=self.distance)
        index.add(model._embed(self.targets), self.target_labels)
        k = max(self.k, neighbors_needed(self.retrieval_metrics, len(index)))
        neighbors = index.search(model._embed(self.queries), k=min(k, len(index)))
        parts = {"": np.ones(len(self.queries), bool)}
        if self.known_classes is not None:
            known = np.isin(self.query_labels, np.asarray(self.known_classes).ravel())
            parts = {"_known_classes": known, "_unknown_classes": ~known}
        found: dict[str, float] = {}
        for ending, queries in parts.items():
            if queries.any() or not ending:
                found |= self._measured(neighbors[queries], self.query_labels[queries], ending)
        return found

    def _measured(self, neighbors, labels, ending):
        found, options = {}, {"matcher": self.matcher, "metrics": self.metrics}
        for i, threshold in enumerate(self.thresholds):
            seen = neighbors.first(self.k)
            values = matching_values(seen, labels, threshold, known_labels=self.target_labels, **options)
            at = f"_{i}" if len(self.thresholds) > 1 else ""
            found |= {f"{name}{at}{ending}": value for name, value in values.items()}
        for metric in self.retrieval_metrics:
            found[f"{metric.name}{ending}"] = float(metric.compute(neighbors, labels, self.target_labels))
        return found


class SplitValidationLoss(EvalCallback):
    """``EvalCallback`` where ``known_classes`` are evaluated apart from the others."""

    def __init__(
        self,
        queries: ArrayLike,
        query_labels: ArrayLike,
        targets: ArrayLike,
        target_labels: ArrayLike,
        known_classes: ArrayLike | None,
        distance: str | Distance = "cosine",
        metrics: Sequence[str | ClassificationMetric] = ("binary_accuracy", "f1score"),
        tb_logdir: None = None,
        k: int = 1,
        matcher: str | ClassificationMatch = "match_nearest",
        distance_thresholds: ArrayLike | None = None,
    ) -> None:
        parts = queries, query_labels, targets, target_labels
        super().__init__(*parts, distance, metrics, tb_logdir, k, matcher, distance_thresholds, known_classes)
