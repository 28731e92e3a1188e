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
    return _mined_loss(labels, embeddings, margin, positive_mining, negative_mining, distance)


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
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    triplets = ops.logical_and(positives[:, :, None], negatives[:, None, :])
    loss = hinge(distances[:, :, None] - distances[:, None, :], margin)
    counted = ops.logical_and(triplets, loss > 0.0) if skip_zeros else triplets
    return _pairs.nan_where_not_finite(_pairs.part_of_mean(loss, triplets, counted), embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class BatchAllTripletLoss(_pairs.PairLoss):
    """``batch_all_triplet_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import BatchAllTripletLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(BatchAllTripletLoss(skip_zeros=True)([0, 0, 1, 1], embeddings)), 3)
        0.12
    """

    def __init__(
        self, *, margin: float | None = 0.2, skip_zeros: bool = False, distance: str = "cosine", **kwargs: Any
    ) -> None:
        options = {"margin": _checked(margin), "skip_zeros": skip_zeros, "distance": distance}
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
    return _mined_loss(
        labels, embeddings, margin, positive_mining, negative_mining, distance, from_nearer=True
    )


def _mined_loss(labels, embeddings, margin, positive_mining, negative_mining, distance, *, from_nearer=False):
    """Loss of one triplet for each anchor; ``from_nearer``: of anchor and positive, to the negative."""
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    positive, negative = mine(distances, positives, negatives, positive_mining, negative_mining)
    away = at(distances, negative)
    if from_nearer:
        away = ops.minimum(away, at(ops.take(distances, positive, axis=0), negative))
    loss = hinge(at(distances, positive) - away, margin)
    loss = ops.where(_pairs.complete(positives, negatives), loss, 0.0)
    return _pairs.nan_where_not_finite(loss, embeddings)


class MinedTripletLoss(_pairs.PairLoss):
    """A loss over mined triplets, as a ``keras.losses.Loss``: the options of the two."""

    _of_triplets = staticmethod(triplet_loss)

    def __init__(
        self,
        *,
        margin: float | None = 0.2,
        positive_mining: str = "hard",
        negative_mining: str = "semi-hard",
        distance: str = "cosine",
        **kwargs: Any,
    ) -> None:
        check_names(positive_mining, negative_mining)
        options = {
            "margin": _checked(margin),
            "positive_mining": positive_mining,
            "negative_mining": negative_mining,
            "distance": distance,
        }
        super().__init__(self._of_triplets, options, **kwargs)


@keras.saving.register_keras_serializable(package="simnb")
class TripletLoss(MinedTripletLoss):
    """``triplet_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import TripletLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(TripletLoss(negative_mining="hard")([0, 0, 1, 1], embeddings)), 3)
        0.18
    """


@keras.saving.register_keras_serializable(package="simnb")
class PNLoss(MinedTripletLoss):
    """``pn_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import PNLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(PNLoss(margin=0.2)([0, 0, 1, 1], embeddings)), 3)
        0.18
    """

    _of_triplets = staticmethod(pn_loss)


def mine(distances, positives, negatives, positive_mining, negative_mining):
    """Columns [batch] of the positive and of the negative mined for each anchor; any where there is none."""
    check_names(positive_mining, negative_mining)
    positive = _mine(distances, positives, positive_mining, below=_pairs.smallest(distances, negatives))
    # What the nearest is among positives, the farthest is among negatives.
    return positive, _mine(-distances, negatives, negative_mining, below=-at(distances, positive))


def _mine(distances, mask, mining, *, below):
    farthest, nearest = _farthest(distances, mask), ops.argmin(ops.where(mask, distances, _pairs.FAR), axis=1)
    if mining in ("easy", "hard"):
        return nearest if mining == "easy" else farthest
    nearer = ops.logical_and(mask, distances < below[:, None])
    return ops.where(ops.any(nearer, axis=1), _farthest(distances, nearer), nearest)


def _farthest(distances, mask):
    return ops.argmax(ops.where(mask, distances, -_pairs.FAR), axis=1)


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


def _checked(margin):
    if margin is None:
        return None
    return _checks.number(margin, name="margin", at_least=0, hint="; None is the soft margin")
