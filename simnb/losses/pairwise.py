"""Losses over the pairs of a batch: contrastive, lifted structure, multi-similarity and circle."""

from typing import Any

from simnb import _checks
from simnb._keras import keras, ops
from simnb._types import Tensor
from simnb.losses import _pairs


def contrastive_loss(
    labels: Tensor, embeddings: Tensor, *, margin: float = 1.0, squared: bool = True
) -> Tensor:
    """Contrastive loss of each anchor: positives are pulled together, negatives pushed out to the margin.

    With d the Euclidean distance, a positive pair has the loss ``d^2 / 2`` and a negative pair
    ``max(margin - d, 0)^2 / 2``. Where the paper sums over given pairs, the mean over the positive pairs of
    the batch and the mean over its negative pairs are added here, since a batch has few of the former and
    many of the latter.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Euclidean distance asked between negatives.
        squared: As in the paper; False for ``d`` and ``max(margin - d, 0)`` themselves.

    Returns:
        Loss of each anchor, shape [batch]: the sum over its positive pairs, scaled so that the mean over the
        anchors that have one is the mean over all positive pairs of the batch, plus the same of its negative
        pairs. One of the two is 0 for an anchor without a positive or without a negative. NaN for an
        embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, equation 4.
        https://doi.org/10.1109/CVPR.2006.100
    """
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, "euclidean")
    pull, push = distances, ops.relu(margin - distances)
    if squared:
        pull, push = 0.5 * pull * pull, 0.5 * push * push
    loss = _pairs.part_of_mean(pull, positives) + _pairs.part_of_mean(push, negatives)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class ContrastiveLoss(_pairs.PairLoss):
    """``contrastive_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import ContrastiveLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(ContrastiveLoss()([0, 0, 1, 1], embeddings)), 3)
        0.267
    """

    def __init__(self, *, margin: float = 1.0, squared: bool = True, **kwargs: Any) -> None:
        margin = _checks.number(margin, name="margin", at_least=0)
        super().__init__(contrastive_loss, {"margin": margin, "squared": squared}, **kwargs)


def lifted_structure_loss(labels: Tensor, embeddings: Tensor, *, margin: float = 1.0) -> Tensor:
    """Lifted structure loss of each anchor in a batch.

    With d the Euclidean distance, J of a positive pair (i, p) is
    ``log(sum exp(margin - d(i, n)) + sum exp(margin - d(p, n))) + d(i, p)``, both sums over the negatives n,
    and the loss is the mean of ``max(J, 0)^2 / 2`` over the positive pairs.

    TensorFlow Similarity computes something else under this name: it keeps one mined positive of each
    anchor, reads the distances of the anchor where the paper has those of the positive, adds 1 inside the
    logarithm, and neither clips at 0 nor squares.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        margin: Distance beyond which a negative counts for little.

    Returns:
        Loss of each anchor, shape [batch], scaled as that of ``contrastive_loss``; 0 for an anchor without a
        positive or a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong or the lengths differ.

    References:
        Oh Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016, equation 4.
        https://arxiv.org/abs/1511.06452
    """
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, "euclidean")
    push = _pairs.log_sum_exp(margin - distances, negatives)
    structure = ops.relu(_log_add_exp(push[:, None], push[None, :]) + distances)
    pairs = ops.logical_and(positives, ops.any(negatives, axis=1)[:, None])
    loss = _pairs.part_of_mean(0.5 * structure * structure, pairs)
    return _pairs.nan_where_not_finite(loss, embeddings)


def _log_add_exp(a, b):
    # Not ops.logaddexp, whose gradient is one-sided in TensorFlow where a equals b.
    larger = ops.stop_gradient(ops.maximum(a, b))
    return larger + ops.log(ops.exp(a - larger) + ops.exp(b - larger))


@keras.saving.register_keras_serializable(package="simnb")
class LiftedStructureLoss(_pairs.PairLoss):
    """``lifted_structure_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import LiftedStructureLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(LiftedStructureLoss()([0, 0, 1, 1], embeddings)), 3)
        2.483
    """

    def __init__(self, *, margin: float = 1.0, **kwargs: Any) -> None:
        margin = _checks.number(margin, name="margin", at_least=0)
        super().__init__(lifted_structure_loss, {"margin": margin}, **kwargs)


def multi_similarity_loss(
    labels: Tensor,
    embeddings: Tensor,
    *,
    alpha: float = 2.0,
    beta: float = 40.0,
    epsilon: float | None = 0.1,
    lam: float = 0.5,
) -> Tensor:
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
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
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
    """``multi_similarity_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import MultiSimilarityLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(MultiSimilarityLoss()([0, 0, 1, 1], embeddings)), 3)
        0.339
    """

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        beta: float = 40.0,
        epsilon: float | None = 0.1,
        lam: float = 0.5,
        **kwargs: Any,
    ) -> None:
        options = {"alpha": alpha, "beta": beta, "epsilon": epsilon, "lam": lam}
        super().__init__(multi_similarity_loss, options, **kwargs)


def circle_loss(labels: Tensor, embeddings: Tensor, *, gamma: float = 80.0, margin: float = 0.4) -> Tensor:
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
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
    similarity = 1.0 - distances
    held = ops.stop_gradient(similarity)
    pull = -gamma * ops.relu(1.0 + margin - held) * (similarity - (1.0 - margin))
    push = gamma * ops.relu(held + margin) * (similarity - margin)
    total = _pairs.log_sum_exp(pull, positives) + _pairs.log_sum_exp(push, negatives)
    loss = ops.softplus(ops.where(_pairs.complete(positives, negatives), total, -_pairs.FAR))
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class CircleLoss(_pairs.PairLoss):
    """``circle_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import CircleLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(CircleLoss()([0, 0, 1, 1], embeddings)), 3)
        28.865
    """

    def __init__(self, *, gamma: float = 80.0, margin: float = 0.4, **kwargs: Any) -> None:
        margin = _checks.number(margin, name="margin", at_least=0)
        super().__init__(circle_loss, {"gamma": gamma, "margin": margin}, **kwargs)
