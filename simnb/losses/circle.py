"""Circle loss over the pairs of a batch."""

from simnb._keras import keras, ops
from simnb.losses import _pairs


def circle_loss(labels, embeddings, *, gamma=80.0, margin=0.4):
    """Circle loss of each anchor in a batch.

    With S the cosine similarity, ``[x]+`` for max(x, 0) and m the margin, it is
    ``log(1 + sum_N exp(gamma [S + m]+ (S - m)) * sum_P exp(-gamma [1 + m - S]+ (S - (1 - m))))`` over the
    positives P and negatives N of the anchor. The weights ``[...]+`` say how far a similarity is from its
    optimum; as in the paper they are constants to the gradient.

    TensorFlow Similarity 0.17 computes something else under this name: with the same exponents it adds
    ``log(1 + sum_N ...)`` and ``log(1 + sum_P ...)``, and its gradient goes through the weights.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        gamma: Scale; the larger, the more the hardest pairs count.
        margin: The paper's m, a similarity: positives ought to lie above 1 - m and negatives below m.

    Returns:
        Loss of each anchor, shape [batch]; 0 for an anchor without a positive or a negative; NaN for an
        embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020,
        equation 6, with the optima and margins of section 3.2 (O_p = 1 + m, O_n = -m, Delta_p = 1 - m,
        Delta_n = m). https://arxiv.org/abs/2002.10857
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
    similarity = 1.0 - distances
    held = ops.stop_gradient(similarity)
    pull = -gamma * ops.relu(1.0 + margin - held) * (similarity - (1.0 - margin))
    push = gamma * ops.relu(held + margin) * (similarity - margin)
    complete = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    total = _pairs.log_sum_exp(pull, positives) + _pairs.log_sum_exp(push, negatives)
    loss = ops.softplus(ops.where(complete, total, -_pairs.FAR))
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class CircleLoss(_pairs.PairLoss):
    """``circle_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        gamma: Scale; the larger, the more the hardest pairs count.
        margin: The paper's m, a similarity.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self, gamma=80.0, margin=0.4, name="circle_loss", reduction="sum_over_batch_size", dtype=None
    ):
        """Check the options."""
        _pairs.above_zero(gamma, name="gamma")
        _pairs.at_least_zero(margin, name="margin")
        options = {"gamma": gamma, "margin": margin}
        super().__init__(circle_loss, options, name=name, reduction=reduction, dtype=dtype)
