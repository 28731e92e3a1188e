"""Triplet loss with a choice of which positive and which negative an anchor is compared with."""

from simnb import _checks
from simnb._keras import keras, ops
from simnb.losses import _mining, _pairs


def triplet_loss(
    labels,
    embeddings,
    *,
    margin=0.2,
    positive_mining="hard",
    negative_mining="semi-hard",
    distance="cosine",
):
    """Triplet loss of each anchor in a batch: ``max(d(anchor, positive) - d(anchor, negative) + margin, 0)``.

    One positive p and one negative n are chosen for each anchor:

    - positive ``hard``: the farthest; ``easy``: the nearest; ``semi-hard``: the farthest that is nearer
      than the nearest negative, or the nearest where there is none;
    - negative ``hard``: the nearest; ``easy``: the farthest; ``semi-hard``: the nearest that is farther
      than the chosen positive, or the farthest where there is none.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Gap asked between positives and negatives, in units of the distance; None for the soft
            margin, ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))``.
        positive_mining: ``easy``, ``semi-hard`` or ``hard``.
        negative_mining: ``easy``, ``semi-hard`` or ``hard``.
        distance: One of ``simnb.distances.DISTANCES``.

    Returns:
        Loss of each anchor, shape [batch]; 0 for an anchor without a positive or a negative; NaN for an
        embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or a name is unknown.

    References:
        Schroff et al., FaceNet, CVPR 2015 (semi-hard negatives). https://arxiv.org/abs/1503.03832
        Hermans et al., In Defense of the Triplet Loss, 2017 (hard pairs, soft margin).
        https://arxiv.org/abs/1703.07737
        Xuan et al., Improved Embeddings with Easy Positive Triplet Mining, WACV 2020.
        https://arxiv.org/abs/1904.04370
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
    complete = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    gap = _mining.at(distances, positive) - _mining.at(distances, negative)
    loss = ops.where(complete, _mining.hinge(gap, margin), 0.0)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class TripletLoss(_pairs.PairLoss):
    """``triplet_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

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
        name="triplet_loss",
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
        super().__init__(triplet_loss, options, name=name, reduction=reduction, dtype=dtype)
