"""Multi-similarity loss, with the pair mining of its paper."""

from simnb._keras import keras, ops
from simnb.losses import _pairs


def multi_similarity_loss(labels, embeddings, *, alpha=2.0, beta=40.0, epsilon=0.1, lam=0.5):
    """Multi-similarity loss of each anchor in a batch.

    With S the cosine similarity, an anchor keeps the positives with S < max over negatives + epsilon
    and the negatives with S > min over positives - epsilon. Over the kept pairs P and N the loss is
    ``log(1 + sum_P exp(-alpha (S - lam))) / alpha + log(1 + sum_N exp(beta (S - lam))) / beta``.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        alpha: Weight of positives.
        beta: Weight of negatives.
        epsilon: Mining margin, in cosine similarity; None keeps every pair.
        lam: The paper's lambda, a similarity: positives ought to lie above it and negatives below.

    Returns:
        Loss of each anchor, shape [batch]; 0 for an anchor without a kept pair, and so, with mining, for
        one without a positive or without a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning,
        CVPR 2019, equations 11 to 13. https://arxiv.org/abs/1904.06627
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
    similarity = 1.0 - distances
    if epsilon is not None:
        hardest_negative = _pairs.largest(similarity, negatives)[:, None]
        hardest_positive = _pairs.smallest(similarity, positives)[:, None]
        positives = ops.logical_and(positives, similarity < hardest_negative + epsilon)
        negatives = ops.logical_and(negatives, similarity > hardest_positive - epsilon)
    pull = _pairs.log1p_sum_exp(-alpha * (similarity - lam), positives) / alpha
    push = _pairs.log1p_sum_exp(beta * (similarity - lam), negatives) / beta
    return _pairs.nan_where_not_finite(pull + push, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class MultiSimilarityLoss(_pairs.PairLoss):
    """``multi_similarity_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        alpha: Weight of positives.
        beta: Weight of negatives.
        epsilon: Mining margin, in cosine similarity; None keeps every pair.
        lam: The paper's lambda.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        alpha=2.0,
        beta=40.0,
        epsilon=0.1,
        lam=0.5,
        name="multi_similarity_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        if alpha <= 0 or beta <= 0:
            raise ValueError(f"alpha and beta must be above 0, got {alpha} and {beta}")
        options = {"alpha": alpha, "beta": beta, "epsilon": epsilon, "lam": lam}
        super().__init__(multi_similarity_loss, options, name=name, reduction=reduction, dtype=dtype)
