"""Triplet loss with a choice of which positive and which negative an anchor is compared with."""

from simnb import _checks
from simnb._keras import keras, ops
from simnb.losses import _pairs

MINING = ("easy", "semi-hard", "hard")


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
    _checks.one_of(positive_mining, MINING, name="positive_mining")
    _checks.one_of(negative_mining, MINING, name="negative_mining")
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    positive = _mine_positive(distances, positives, negatives, positive_mining)
    negative = _mine_negative(distances, negatives, positive, negative_mining)
    complete = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    gap = ops.where(complete, positive - negative, 0.0)
    loss = ops.softplus(gap) if margin is None else ops.relu(gap + margin)
    return _pairs.nan_where_not_finite(ops.where(complete, loss, 0.0), embeddings)


def _mine_positive(distances, positives, negatives, mining):
    if mining == "hard":
        return _pairs.largest(distances, positives)
    nearest = _pairs.smallest(distances, positives)
    if mining == "easy":
        return nearest
    nearer = ops.logical_and(positives, distances < _pairs.smallest(distances, negatives)[:, None])
    return ops.where(ops.any(nearer, axis=1), _pairs.largest(distances, nearer), nearest)


def _mine_negative(distances, negatives, positive, mining):
    if mining == "hard":
        return _pairs.smallest(distances, negatives)
    farthest = _pairs.largest(distances, negatives)
    if mining == "easy":
        return farthest
    farther = ops.logical_and(negatives, distances > positive[:, None])
    return ops.where(ops.any(farther, axis=1), _pairs.smallest(distances, farther), farthest)


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
        if margin is not None and margin < 0:
            raise ValueError(f"margin must be at least 0, or None for the soft margin; got {margin}")
        _checks.one_of(positive_mining, MINING, name="positive_mining")
        _checks.one_of(negative_mining, MINING, name="negative_mining")
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {
            "margin": margin,
            "positive_mining": positive_mining,
            "negative_mining": negative_mining,
            "distance": distance,
        }
        super().__init__(triplet_loss, options, name=name, reduction=reduction, dtype=dtype)
