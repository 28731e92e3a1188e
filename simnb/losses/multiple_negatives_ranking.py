"""Multiple negatives ranking loss (InfoNCE) between the queries and the keys of a batch."""

from simnb import _checks
from simnb._keras import keras, ops
from simnb.losses import _pairs


def multiple_negatives_ranking_loss(labels, embeddings, *, temperature=0.05, distance="cosine"):
    """Multiple negatives ranking loss, or InfoNCE, of each anchor in a batch.

    The examples of a class take turns, in the order of the batch: the first is a query, the second a key,
    the third a query. A query is to find its key among the keys, and a key its query among the queries:
    ``-log(exp(s_p) / (exp(s_p) + sum_N exp(s_n)))`` with s = -distance / temperature (for ``cosine`` as if it
    were similarity / temperature), p a positive and N all negatives on the other side. Examples on the same
    side are not compared; ``nt_xent_loss`` compares all.

    The papers go from queries to keys only: with one query and one key of each class, that is the mean over
    the rows of the queries. ``distance="inner_product"`` and a temperature of 1 give Henderson's scores.

    TensorFlow Similarity 0.17 takes two arrays, queries and keys, goes from queries to keys only, scores
    20 times the inner product, and adds 1 to the sum inside the logarithm, which the papers do not.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        temperature: In units of the distance.
        distance: One of ``simnb.distances.DISTANCES``.

    Returns:
        Loss of each anchor, shape [batch], the mean over its positives on the other side; 0 for an anchor
        without a positive or a negative there; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or the name is unknown.

    References:
        Henderson et al., Efficient Natural Language Response Suggestion for Smart Reply, 2017, the section
        on multiple negatives. https://arxiv.org/abs/1705.00652
        van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, equation 4
        (InfoNCE). https://arxiv.org/abs/1807.03748
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    across = _on_the_other_side(labels)
    positives, negatives = ops.logical_and(positives, across), ops.logical_and(negatives, across)
    loss = _pairs.cross_entropy(-distances / temperature, negatives)
    return _pairs.nan_where_not_finite(_pairs.mean(loss, positives), embeddings)


def _on_the_other_side(labels):
    """[batch, batch], true between a query and a key: an even and an odd place in the class."""
    same = ops.cast(ops.equal(labels[:, None], labels[None, :]), "int32")
    query = ops.equal(ops.sum(ops.tril(same, k=-1), axis=1) % 2, 0)
    return ops.not_equal(query[:, None], query[None, :])


@keras.saving.register_keras_serializable(package="simnb")
class MultipleNegativesRankingLoss(_pairs.PairLoss):
    """``multiple_negatives_ranking_loss`` for ``model.compile(loss=...)``, averaged over the anchors.

    Args:
        temperature: In units of the distance.
        distance: One of ``simnb.distances.DISTANCES``.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        temperature=0.05,
        distance="cosine",
        name="multiple_negatives_ranking_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        _pairs.above_zero(temperature, name="temperature")
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {"temperature": temperature, "distance": distance}
        super().__init__(
            multiple_negatives_ranking_loss, options, name=name, reduction=reduction, dtype=dtype
        )
