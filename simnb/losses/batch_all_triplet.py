"""Triplet loss over every triplet of a batch, without mining."""

from simnb import _checks
from simnb._keras import keras, ops
from simnb.losses import _mining, _pairs


def batch_all_triplet_loss(labels, embeddings, *, margin=0.2, skip_zeros=False, distance="cosine"):
    """Mean of ``max(d(anchor, positive) - d(anchor, negative) + margin, 0)`` over every triplet of a batch.

    Once most triplets are met, their zeros drown those that are not; ``skip_zeros`` leaves them out of
    what the mean divides by. It holds several arrays of shape [batch, batch, batch] in memory, 64 MiB each
    for a batch of 256.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Gap asked between positives and negatives, in units of the distance; None for the soft
            margin, ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))``.
        skip_zeros: Average over the triplets with a loss above 0 only.
        distance: One of ``simnb.distances.DISTANCES``.

    Returns:
        Loss of each anchor, shape [batch]: the sum over its triplets, scaled so that the mean over the
        anchors that have a triplet is the mean over all triplets of the batch. 0 for an anchor without a
        positive or a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or a name is unknown.

    References:
        Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017 ("batch all", and
        its mean over the triplets above 0). https://arxiv.org/abs/1703.07737
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    triplets = ops.logical_and(positives[:, :, None], negatives[:, None, :])
    loss = _mining.hinge(distances[:, :, None] - distances[:, None, :], margin)
    counted = ops.logical_and(triplets, loss > 0.0) if skip_zeros else triplets
    return _pairs.nan_where_not_finite(_pairs.part_of_mean(loss, triplets, counted), embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class BatchAllTripletLoss(_pairs.PairLoss):
    """``batch_all_triplet_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        margin: Gap asked between positives and negatives; None for the soft margin.
        skip_zeros: Average over the triplets with a loss above 0 only.
        distance: One of ``simnb.distances.DISTANCES``.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        margin=0.2,
        skip_zeros=False,
        distance="cosine",
        name="batch_all_triplet_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        _mining.check_margin(margin)
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {"margin": margin, "skip_zeros": skip_zeros, "distance": distance}
        super().__init__(batch_all_triplet_loss, options, name=name, reduction=reduction, dtype=dtype)
