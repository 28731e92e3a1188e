"""Distances within a batch, as metrics of a training."""

from simnb import _checks
from simnb._keras import keras, ops
from simnb.losses import _pairs, triplet
from simnb.tfsim.distances import distance_canonicalizer

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
        distance,
        aggregate="mean",
        anchor="positive",
        name=None,
        positive_mining_strategy="hard",
        negative_mining_strategy="hard",
        **kwargs,
    ):
        """Check the options."""
        _checks.one_of(aggregate, _AGGREGATES, name="aggregate")
        _checks.one_of(anchor, ("positive", "negative"), name="anchor")
        triplet.check_names(positive_mining_strategy, negative_mining_strategy)
        super().__init__(name=name or f"{aggregate}_{anchor[:3]}", **kwargs)
        self.distance = distance_canonicalizer(distance)
        self.aggregate, self.anchor = aggregate, anchor
        self.positive_mining_strategy = positive_mining_strategy
        self.negative_mining_strategy = negative_mining_strategy

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch in: labels [batch] and embeddings [batch, dim]."""
        super().update_state(self.of_batch(y_true, y_pred))

    def of_batch(self, labels, embeddings):
        """The metric of a batch, shape []."""
        labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
        distances, positives, negatives = _pairs.pairs(labels, embeddings, self.distance.name)
        positive, negative = triplet.mine(
            distances,
            positives,
            negatives,
            positive_mining=self.positive_mining_strategy,
            negative_mining=self.negative_mining_strategy,
        )
        columns = positive if self.anchor == "positive" else negative
        return _AGGREGATES[self.aggregate](triplet.at(distances, columns))

    def get_config(self):
        """The options."""
        return {
            "distance": self.distance.name,
            "aggregate": self.aggregate,
            "anchor": self.anchor,
            "name": self.name,
            "positive_mining_strategy": self.positive_mining_strategy,
            "negative_mining_strategy": self.negative_mining_strategy,
        }


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class DistanceGapMetric(keras.metrics.Mean):
    """How far the nearest negative of a batch and its farthest positive are apart."""

    def __init__(self, distance, name=None, **kwargs):
        """Take the distance."""
        super().__init__(name=name or "dist_gap", **kwargs)
        self.distance = distance_canonicalizer(distance)
        self._parts = [
            DistanceMetric(distance, "max", "positive"),
            DistanceMetric(distance, "min", "negative"),
        ]

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch in: labels [batch] and embeddings [batch, dim]."""
        farthest, nearest = (part.of_batch(y_true, y_pred) for part in self._parts)
        super().update_state(ops.abs(nearest - farthest))

    def get_config(self):
        """The options."""
        return {"distance": self.distance.name, "name": self.name}


def dist_gap(distance):
    """Gap between the nearest negative and the farthest positive."""
    return DistanceGapMetric(distance)


def max_pos(distance):
    """Largest distance of a positive."""
    return DistanceMetric(distance, "max")


def max_neg(distance):
    """Largest distance of a mined negative."""
    return DistanceMetric(distance, "max", "negative")


def avg_pos(distance):
    """Mean distance of the mined positives."""
    return DistanceMetric(distance, "mean")


def avg_neg(distance):
    """Mean distance of the mined negatives."""
    return DistanceMetric(distance, "mean", "negative")


def min_pos(distance):
    """Smallest distance of a mined positive."""
    return DistanceMetric(distance, "min")


def min_neg(distance):
    """Smallest distance of a negative."""
    return DistanceMetric(distance, "min", "negative")


def sum_pos(distance):
    """Sum of the distances of the mined positives."""
    return DistanceMetric(distance, "sum")


def sum_neg(distance):
    """Sum of the distances of the mined negatives."""
    return DistanceMetric(distance, "sum", "negative")


def batch_class_ratio(sampler, num_batches=100):
    """Mean number of examples of a class in a batch, over the first batches of a sampler."""
    import numpy as np

    labels = [np.asarray(sampler.generate_batch(i)[1]) for i in range(min(num_batches, len(sampler)))]
    return float(np.mean([len(batch) / len(np.unique(batch)) for batch in labels]))
