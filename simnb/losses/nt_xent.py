"""NT-Xent, the normalized temperature-scaled cross-entropy loss of SimCLR."""

from simnb._keras import keras
from simnb.losses import _pairs


def nt_xent_loss(labels, embeddings, *, temperature=0.1):
    """NT-Xent loss of each anchor in a batch.

    With S the cosine similarity, a positive pair (i, p) has the loss
    ``-log(exp(S_ip / temperature) / (exp(S_ip / temperature) + sum_N exp(S_in / temperature)))``, N the
    negatives of i. In SimCLR a class is an image and its examples are two views of it; where a class has
    more, its pairs do not compete with one another.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        temperature: Scale of the similarities; the smaller, the more the hardest negatives count.

    Returns:
        Loss of each anchor, shape [batch]: the sum over its positive pairs, scaled so that the mean over the
        anchors that have one is the mean over all positive pairs of the batch. 0 for an anchor without a
        positive or a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations (SimCLR),
        ICML 2020, equation 1. https://arxiv.org/abs/2002.05709
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
    loss = _pairs.cross_entropy((1.0 - distances) / temperature, negatives)
    return _pairs.nan_where_not_finite(_pairs.part_of_mean(loss, positives), embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class NTXentLoss(_pairs.PairLoss):
    """``nt_xent_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        temperature: Scale of the similarities.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(self, temperature=0.1, name="nt_xent_loss", reduction="sum_over_batch_size", dtype=None):
        """Check the options."""
        _pairs.above_zero(temperature, name="temperature")
        super().__init__(
            nt_xent_loss, {"temperature": temperature}, name=name, reduction=reduction, dtype=dtype
        )
