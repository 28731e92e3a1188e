"""Contrastive loss over the pairs of a batch."""

from simnb._keras import keras, ops
from simnb.losses import _pairs


def contrastive_loss(labels, embeddings, *, margin=1.0, squared=True):
    """Contrastive loss of each anchor: positives are pulled together, negatives pushed out to the margin.

    With d the Euclidean distance, a positive pair has the loss ``d^2 / 2`` and a negative pair
    ``max(margin - d, 0)^2 / 2``. Where the paper sums over given pairs, the mean over the positive pairs of
    the batch and the mean over its negative pairs are added here, since a batch has few of the former and
    many of the latter.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Euclidean distance asked between negatives.
        squared: As in the paper; False for ``d`` and ``max(margin - d, 0)`` themselves.

    Returns:
        Loss of each anchor, shape [batch]: the sum over its positive pairs, scaled so that the mean over the
        anchors that have one is the mean over all positive pairs of the batch, plus the same of its negative
        pairs. One of the two is 0 for an anchor without a positive or without a negative; NaN for an
        embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, equation 4.
        https://doi.org/10.1109/CVPR.2006.100
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, "euclidean")
    pull, push = distances, ops.relu(margin - distances)
    if squared:
        pull, push = 0.5 * pull * pull, 0.5 * push * push
    loss = _pairs.part_of_mean(pull, positives) + _pairs.part_of_mean(push, negatives)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class ContrastiveLoss(_pairs.PairLoss):
    """``contrastive_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        margin: Euclidean distance asked between negatives.
        squared: As in the paper; False for the distances themselves.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        margin=1.0,
        squared=True,
        name="contrastive_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        _pairs.at_least_zero(margin, name="margin")
        options = {"margin": margin, "squared": squared}
        super().__init__(contrastive_loss, options, name=name, reduction=reduction, dtype=dtype)
