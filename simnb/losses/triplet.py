"""Losses over triplets: with mined pairs, over all triplets, and PN."""

from typing import Any

from simnb import _checks
from simnb._keras import keras, ops
from simnb._types import Tensor
from simnb.losses import _pairs

MINING = ("easy", "semi-hard", "hard")


def triplet_loss(
    labels: Tensor,
    embeddings: Tensor,
    *,
    margin: float | None = 0.2,
    positive_mining: str = "hard",
    negative_mining: str = "semi-hard",
    distance: str = "cosine",
) -> Tensor:
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
    check_names(positive_mining, negative_mining)
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    positive, negative = mine(
        distances,
        positives,
        negatives,
        positive_mining=positive_mining,
        negative_mining=negative_mining,
    )
    complete = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    gap = at(distances, positive) - at(distances, negative)
    loss = ops.where(complete, hinge(gap, margin), 0.0)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class TripletLoss(_pairs.PairLoss):
    """``triplet_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        margin: Gap asked between positives and negatives; None for the soft margin.
        positive_mining: ``easy``, ``semi-hard`` or ``hard``.
        negative_mining: ``easy``, ``semi-hard`` or ``hard``.
        distance: One of ``simnb.distances.DISTANCES``.
        **kwargs: ``name``, ``reduction`` and ``dtype`` (float32 or float64), of ``keras.losses.Loss``.
    """

    def __init__(
        self,
        *,
        margin: float | None = 0.2,
        positive_mining: str = "hard",
        negative_mining: str = "semi-hard",
        distance: str = "cosine",
        **kwargs: Any,
    ) -> None:
        margin = check_margin(margin)
        check_names(positive_mining, negative_mining)
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {
            "margin": margin,
            "positive_mining": positive_mining,
            "negative_mining": negative_mining,
            "distance": distance,
        }
        super().__init__(triplet_loss, options, **kwargs)


def batch_all_triplet_loss(
    labels: Tensor,
    embeddings: Tensor,
    *,
    margin: float | None = 0.2,
    skip_zeros: bool = False,
    distance: str = "cosine",
) -> Tensor:
    """Mean of ``max(d(anchor, positive) - d(anchor, negative) + margin, 0)`` over every triplet of a batch.

    Once most triplets are met, their zeros drown those that are not; ``skip_zeros`` leaves them out of
    what the mean divides by. It holds several arrays of shape [batch, batch, batch] in memory, 64 MiB each
    for a batch of 256.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Gap asked between positives and negatives, in units of the distance; None for the soft
            margin, ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))``.
        skip_zeros: Average over the triplets with a loss above 0 only.
        distance: One of ``simnb.distances.DISTANCES``.

    Returns:
        Loss of each anchor, shape [batch]: the sum over its triplets, scaled so that the mean over the
        anchors that have a triplet is the mean over all triplets of the batch. 0 for an anchor without a
        positive or a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or a name is unknown.

    References:
        Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017 ("batch all", and
        its mean over the triplets above 0). https://arxiv.org/abs/1703.07737
    """
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    triplets = ops.logical_and(positives[:, :, None], negatives[:, None, :])
    loss = hinge(distances[:, :, None] - distances[:, None, :], margin)
    counted = ops.logical_and(triplets, loss > 0.0) if skip_zeros else triplets
    return _pairs.nan_where_not_finite(_pairs.part_of_mean(loss, triplets, counted), embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class BatchAllTripletLoss(_pairs.PairLoss):
    """``batch_all_triplet_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        margin: Gap asked between positives and negatives; None for the soft margin.
        skip_zeros: Average over the triplets with a loss above 0 only.
        distance: One of ``simnb.distances.DISTANCES``.
        **kwargs: ``name``, ``reduction`` and ``dtype`` (float32 or float64), of ``keras.losses.Loss``.
    """

    def __init__(
        self, *, margin: float | None = 0.2, skip_zeros: bool = False, distance: str = "cosine", **kwargs: Any
    ) -> None:
        margin = check_margin(margin)
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {"margin": margin, "skip_zeros": skip_zeros, "distance": distance}
        super().__init__(batch_all_triplet_loss, options, **kwargs)


def pn_loss(
    labels: Tensor,
    embeddings: Tensor,
    *,
    margin: float | None = 0.2,
    positive_mining: str = "hard",
    negative_mining: str = "semi-hard",
    distance: str = "cosine",
) -> Tensor:
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
    check_names(positive_mining, negative_mining)
    labels, embeddings = _pairs.check(labels, embeddings)
    distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    positive, negative = mine(
        distances,
        positives,
        negatives,
        positive_mining=positive_mining,
        negative_mining=negative_mining,
    )
    from_positive = at(ops.take(distances, positive, axis=0), negative)
    nearer = ops.minimum(at(distances, negative), from_positive)
    complete = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    loss = ops.where(complete, hinge(at(distances, positive) - nearer, margin), 0.0)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class PNLoss(_pairs.PairLoss):
    """``pn_loss`` for ``model.compile(loss=...)``, averaged over the anchors of the batch.

    Args:
        margin: Gap asked between positives and negatives; None for the soft margin.
        positive_mining: ``easy``, ``semi-hard`` or ``hard``.
        negative_mining: ``easy``, ``semi-hard`` or ``hard``.
        distance: One of ``simnb.distances.DISTANCES``.
        **kwargs: ``name``, ``reduction`` and ``dtype`` (float32 or float64), of ``keras.losses.Loss``.
    """

    def __init__(
        self,
        *,
        margin: float | None = 0.2,
        positive_mining: str = "hard",
        negative_mining: str = "semi-hard",
        distance: str = "cosine",
        **kwargs: Any,
    ) -> None:
        margin = check_margin(margin)
        check_names(positive_mining, negative_mining)
        _checks.one_of(distance, _pairs.DISTANCES, name="distance")
        options = {
            "margin": margin,
            "positive_mining": positive_mining,
            "negative_mining": negative_mining,
            "distance": distance,
        }
        super().__init__(pn_loss, options, **kwargs)


def mine(distances, positives, negatives, *, positive_mining, negative_mining):
    """Columns [batch] of the positive and of the negative mined for each anchor; any where there is none."""
    positive = _mine_positive(distances, positives, negatives, positive_mining)
    return positive, _mine_negative(distances, negatives, positive, negative_mining)


def at(distances, columns):
    """The distance in one column of each row, shape [batch]."""
    return ops.take_along_axis(distances, columns[:, None], axis=1)[:, 0]


def hinge(gap, margin):
    """``max(gap + margin, 0)``, or the soft margin ``log(1 + exp(gap))`` for a margin of None."""
    return ops.softplus(gap) if margin is None else ops.relu(gap + margin)


def check_names(positive_mining, negative_mining):
    """Raise ValueError for a name that is none."""
    _checks.one_of(positive_mining, MINING, name="positive_mining")
    _checks.one_of(negative_mining, MINING, name="negative_mining")


def check_margin(margin):
    """Return a margin of at least 0, or None; raise ValueError for others."""
    if margin is None:
        return None
    return _checks.number(margin, name="margin", at_least=0, hint="; None is the soft margin")


def _nearest(distances, mask):
    return ops.argmin(ops.where(mask, distances, _pairs.FAR), axis=1)


def _farthest(distances, mask):
    return ops.argmax(ops.where(mask, distances, -_pairs.FAR), axis=1)


def _mine_positive(distances, positives, negatives, mining):
    if mining == "hard":
        return _farthest(distances, positives)
    nearest = _nearest(distances, positives)
    if mining == "easy":
        return nearest
    nearer = ops.logical_and(positives, distances < _pairs.smallest(distances, negatives)[:, None])
    return ops.where(ops.any(nearer, axis=1), _farthest(distances, nearer), nearest)


def _mine_negative(distances, negatives, positive, mining):
    if mining == "hard":
        return _nearest(distances, negatives)
    farthest = _farthest(distances, negatives)
    if mining == "easy":
        return farthest
    farther = ops.logical_and(negatives, distances > at(distances, positive)[:, None])
    return ops.where(ops.any(farther, axis=1), _nearest(distances, farther), farthest)
