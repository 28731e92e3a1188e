"""Supervised contrastive loss."""

from simnb._keras import keras, ops
from simnb.losses import _pairs


def supervised_contrastive_loss(labels, embeddings, *, temperature=0.1):
    """Supervised contrastive loss of each anchor in a batch, with the mean outside the logarithm (L_out).

    With S the cosine similarity, the mean over the positives p of
    ``-log(exp(S_ip / temperature) / sum_A exp(S_ia / temperature))``, A all other examples of the batch:
    unlike in ``nt_xent_loss``, the positives compete with one another.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        temperature: Scale of the similarities; the smaller, the more the hardest negatives count.

    Returns:
        Loss of each anchor, shape [batch]; 0 for an anchor without a positive; NaN for an embedding that is
        not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, equation 2.
        https://arxiv.org/abs/2004.11362
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
    scores = (1.0 - distances) / temperature
    everyone = _pairs.log_sum_exp(scores, ops.logical_or(positives, negatives))
    loss = _pairs.mean(everyone[:, None] - scores, positives)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class SupervisedContrastiveLoss(_pairs.PairLoss):
    """``supervised_contrastive_loss`` for ``model.compile(loss=...)``, averaged over the anchors.

    Args:
        temperature: Scale of the similarities.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        temperature=0.1,
        name="supervised_contrastive_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        _pairs.above_zero(temperature, name="temperature")
        options = {"temperature": temperature}
        super().__init__(supervised_contrastive_loss, options, name=name, reduction=reduction, dtype=dtype)
