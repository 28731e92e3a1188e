"""Distances within a batch, as metrics of a training."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from simnb import _checks
from simnb._keras import keras, ops
from simnb._types import Tensor
from simnb.losses import _pairs, triplet
from simnb.tfsim.distances import Distance, distance_canonicalizer

__all__ = [
    "DistanceMetric",
    "DistanceGapMetric",
    "dist_gap",
    "max_pos",
    "max_neg",
    "avg_pos",
    "avg_neg",
    "min_pos",
    "min_neg",
    "sum_pos",
    "sum_neg",
    "batch_class_ratio",
]

_AGGREGATES = {"mean": ops.mean, "avg": ops.mean, "max": ops.max, "min": ops.min, "sum": ops.sum}


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class DistanceMetric(keras.metrics.Mean):
    """Distances of the mined pairs of a batch, aggregated; the mean over the batches of an epoch.

    Args:
        distance: Name, alias or ``Distance``.
        aggregate: ``mean`` (or ``avg``), ``max``, ``min`` or ``sum``, over the anchors of a batch.
        anchor: ``positive`` or ``negative``: which pairs.
        name: What it is called.
        positive_mining_strategy: ``hard``, the farthest, or ``easy``.
        negative_mining_strategy: ``hard``, the nearest, or ``easy``.
        **kwargs: For Keras.
    """

    def __init__(
        self,
        distance: str | Distance,
        aggregate: str = "mean",
        anchor: str = "positive",
        name: str | None = None,
        positive_mining_strategy: str = "hard",
        negative_mining_strategy: str = "hard",
        **kwargs: Any,
    ) -> None:
        _checks.one_of(aggregate, _AGGREGATES, name="aggregate")
        _checks.one_of(anchor, ("positive", "negative"), name="anchor")
        triplet.check_names(positive_mining_strategy, negative_mining_strategy)
        super().__init__(name=name or f"{aggregate}_{anchor[:3]}", **kwargs)
        self.distance = distance_canonicalizer(distance)
        self.aggregate, self.anchor = aggregate, anchor
        self.positive_mining_strategy = positive_mining_strategy
        self.negative_mining_strategy = negative_mining_strategy

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a batch: labels [batch] and embeddings [batch, dim]."""
        super().update_state(self.of_batch(y_true, y_pred))

    def of_batch(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """The metric of a batch, shape []."""
        labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
        _, distances, positives, negatives = _pairs.pairs(labels, embeddings, self.distance.name)
        mining = self.positive_mining_strategy, self.negative_mining_strategy
        positive, negative = triplet.mine(distances, positives, negatives, *mining)
        columns = positive if self.anchor == "positive" else negative
        return _AGGREGATES[self.aggregate](triplet.at(distances, columns))

    def get_config(self) -> dict[str, Any]:
        """The options it was made with."""
        names = ("aggregate", "anchor", "name", "positive_mining_strategy", "negative_mining_strategy")
        return {"distance": self.distance.name, **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class DistanceGapMetric(keras.metrics.Mean):
    """How far the nearest negative of a batch and its farthest positive are apart."""

    def __init__(self, distance: str | Distance, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name or "dist_gap", **kwargs)
        self.distance = distance_canonicalizer(distance)
        self._farthest = DistanceMetric(distance, "max", "positive")
        self._nearest = DistanceMetric(distance, "min", "negative")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a batch: labels [batch] and embeddings [batch, dim]."""
        gap = self._nearest.of_batch(y_true, y_pred) - self._farthest.of_batch(y_true, y_pred)
        super().update_state(ops.abs(gap))

    def get_config(self) -> dict[str, Any]:
        """The options it was made with."""
        return {"distance": self.distance.name, "name": self.name}


def dist_gap(distance: str | Distance) -> DistanceGapMetric:
    """Gap between the nearest negative and the farthest positive."""
    return DistanceGapMetric(distance)


_Make: TypeAlias = Callable[[str | Distance], DistanceMetric]


def _shorthand(name: str, aggregate: str, anchor: str, summary: str) -> _Make:
    def make(distance: str | Distance) -> DistanceMetric:
        return DistanceMetric(distance, aggregate, anchor)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = summary
    return make


max_pos = _shorthand("max_pos", "max", "positive", "Largest distance of a positive.")
max_neg = _shorthand("max_neg", "max", "negative", "Largest distance of a mined negative.")
avg_pos = _shorthand("avg_pos", "mean", "positive", "Mean distance of the mined positives.")
avg_neg = _shorthand("avg_neg", "mean", "negative", "Mean distance of the mined negatives.")
min_pos = _shorthand("min_pos", "min", "positive", "Smallest distance of a mined positive.")
min_neg = _shorthand("min_neg", "min", "negative", "Smallest distance of a negative.")
sum_pos = _shorthand("sum_pos", "sum", "positive", "Sum of the distances of the mined positives.")
sum_neg = _shorthand("sum_neg", "sum", "negative", "Sum of the distances of the mined negatives.")


def batch_class_ratio(sampler: Any, num_batches: int = 100) -> float:
    """Mean number of examples of a class in a batch, over the first batches of a sampler."""
    labels = [np.asarray(sampler.generate_batch(i)[1]) for i in range(min(num_batches, len(sampler)))]
    return float(np.mean([len(batch) / len(np.unique(batch)) for batch in labels]))
