"""Lifted structure loss: each positive pair against every negative of its two ends."""

from simnb._keras import keras, ops
from simnb.losses import _pairs


def lifted_structure_loss(labels, embeddings, *, margin=1.0):
    """Lifted structure loss of each anchor in a batch.

    With d the Euclidean distance, J of a positive pair (i, p) is
    ``log(sum exp(margin - d(i, n)) + sum exp(margin - d(p, n))) + d(i, p)``, both sums over the negatives n,
    and the loss is the mean of ``max(J, 0)^2 / 2`` over the positive pairs.

    TensorFlow Similarity computes something else under this name (in its repository, after release
    0.17.1): it keeps one mined positive of each anchor, reads the distances of the anchor where the paper
    has those of the positive, adds 1 inside the logarithm, and neither clips at 0 nor squares.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Distance beyond which a negative counts for little.

    Returns:
        Loss of each anchor, shape [batch]: the sum over its positive pairs, scaled so that the mean over the
        anchors that have one is the paper's mean over all positive pairs of the batch. 0 for an anchor
        without a positive or a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Oh Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016, equation 4.
        https://arxiv.org/abs/1511.06452
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, "euclidean")
    push = _pairs.log_sum_exp(margin - distances, negatives)
    structure = ops.relu(_log_add_exp(push[:, None], push[None, :]) + distances)
    pairs = ops.logical_and(positives, ops.any(negatives, axis=1)[:, None])
    loss = _pairs.part_of_mean(0.5 * structure * structure, pairs)
    return _pairs.nan_where_not_finite(loss, embeddings)


def _log_add_exp(a, b):
    # Not ops.logaddexp, whose gradient is one-sided in TensorFlow where a equals b.
    larger = ops.stop_gradient(ops.maximum(a, b))
    return larger + ops.log(ops.exp(a - larger) + ops.exp(b - larger))


@keras.saving.register_keras_serializable(package="simnb")
class LiftedStructureLoss(_pairs.PairLoss):
    """``lifted_structure_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        margin: Distance beyond which a negative counts for little.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(self, margin=1.0, name="lifted_structure_loss", reduction="sum_over_batch_size", dtype=None):
        """Check the options."""
        _pairs.at_least_zero(margin, name="margin")
        super().__init__(
            lifted_structure_loss, {"margin": margin}, name=name, reduction=reduction, dtype=dtype
        )
