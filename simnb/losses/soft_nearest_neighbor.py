"""Soft nearest neighbor loss."""

from simnb import _checks
from simnb._keras import keras, ops
from simnb.losses import _pairs


def soft_nearest_neighbor_loss(labels, embeddings, *, temperature=1.0, distance="squared_euclidean"):
    """Soft nearest neighbor loss of each anchor in a batch.

    ``-log(sum_P exp(-d / temperature) / sum_A exp(-d / temperature))``, P the positives of the anchor and A
    all other examples: the chance that a neighbor, drawn the more often the nearer it is, is of its class.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        temperature: In units of the distance; the smaller, the more the nearest neighbors count.
        distance: One of ``simnb.distances.DISTANCES``; the paper's formula has ``squared_euclidean``.

    Returns:
        Loss of each anchor, shape [batch]; 0 for an anchor without a positive (where the paper's is
        infinite) or a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or the name is unknown.

    References:
        Frosst et al., Analyzing and Improving Representations with the Soft Nearest Neighbor Loss,
        ICML 2019, equation 1. https://arxiv.org/abs/1902.01889
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    scores = -distances / temperature
    complete = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    # -log(P / (P + N)) = log(1 + N / P)
    odds = _pairs.log_sum_exp(scores, negatives) - _pairs.log_sum_exp(scores, positives)
    loss = ops.softplus(ops.where(complete, odds, -_pairs.FAR))
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class SoftNearestNeighborLoss(_pairs.PairLoss):
    """``soft_nearest_neighbor_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        temperature: In units of the distance.
        distance: One of ``simnb.distances.DISTANCES``.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        temperature=1.0,
        distance="squared_euclidean",
        name="soft_nearest_neighbor_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        _pairs.above_zero(temperature, name="temperature")
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {"temperature": temperature, "distance": distance}
        super().__init__(soft_nearest_neighbor_loss, options, name=name, reduction=reduction, dtype=dtype)
