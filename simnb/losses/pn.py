"""PN loss: a triplet loss that keeps the negative away from the positive as well."""

from simnb import _checks
from simnb._keras import keras, ops
from simnb.losses import _mining, _pairs


def pn_loss(
    labels,
    embeddings,
    *,
    margin=0.2,
    positive_mining="hard",
    negative_mining="semi-hard",
    distance="cosine",
):
    """PN loss of each anchor: ``max(d(anchor, p) - min(d(anchor, n), d(p, n)) + margin, 0)``.

    The positive p and the negative n are mined as in ``triplet_loss``. The negative then counts from
    whichever of the two it lies nearer to, so that both are moved away from it.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Gap asked between positives and negatives, in units of the distance; None for the soft
            margin, ``log(1 + exp(d(anchor, p) - min(d(anchor, n), d(p, n))))``.
        positive_mining: ``easy``, ``semi-hard`` or ``hard``.
        negative_mining: ``easy``, ``semi-hard`` or ``hard``.
        distance: One of ``simnb.distances.DISTANCES``.

    Returns:
        Loss of each anchor, shape [batch]; 0 for an anchor without a positive or a negative; NaN for an
        embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or a name is unknown.

    References:
        Szubert et al., Structure-preserving visualisation of high dimensional single-cell datasets (ivis),
        Scientific Reports, 2019, whose code calls it pn. https://doi.org/10.1038/s41598-019-45301-0
        Balntas et al., PN-Net: Conjoined Triple Deep Network for Learning Local Image Descriptors, 2016,
        whose loss takes the nearer of the two negatives too. https://arxiv.org/abs/1601.05030
    """
    _mining.check_names(positive_mining, negative_mining)
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    positive, negative = _mining.mine(
        distances,
        positives,
        negatives,
        positive_mining=positive_mining,
        negative_mining=negative_mining,
    )
    from_positive = _mining.at(ops.take(distances, positive, axis=0), negative)
    nearer = ops.minimum(_mining.at(distances, negative), from_positive)
    complete = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    loss = ops.where(complete, _mining.hinge(_mining.at(distances, positive) - nearer, margin), 0.0)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class PNLoss(_pairs.PairLoss):
    """``pn_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        margin: Gap asked between positives and negatives; None for the soft margin.
        positive_mining: ``easy``, ``semi-hard`` or ``hard``.
        negative_mining: ``easy``, ``semi-hard`` or ``hard``.
        distance: One of ``simnb.distances.DISTANCES``.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        margin=0.2,
        positive_mining="hard",
        negative_mining="semi-hard",
        distance="cosine",
        name="pn_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        _mining.check_margin(margin)
        _mining.check_names(positive_mining, negative_mining)
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {
            "margin": margin,
            "positive_mining": positive_mining,
            "negative_mining": negative_mining,
            "distance": distance,
        }
        super().__init__(pn_loss, options, name=name, reduction=reduction, dtype=dtype)
