"""Losses that tell a positive from many others: supervised contrastive, NT-Xent, ranking, soft neighbors."""

from typing import Any

from simnb._keras import keras, ops
from simnb._types import Tensor
from simnb.losses import _pairs


def supervised_contrastive_loss(labels: Tensor, embeddings: Tensor, *, temperature: float = 0.1) -> Tensor:
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
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
    scores = (1.0 - distances) / temperature
    everyone = _pairs.log_sum_exp(scores, ops.logical_or(positives, negatives))
    loss = _pairs.mean(everyone[:, None] - scores, positives)
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class SupervisedContrastiveLoss(_pairs.PairLoss):
    """``supervised_contrastive_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import SupervisedContrastiveLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(SupervisedContrastiveLoss(temperature=0.1)([0, 0, 1, 1], embeddings)), 3)
        0.967
    """

    def __init__(self, *, temperature: float = 0.1, **kwargs: Any) -> None:
        super().__init__(supervised_contrastive_loss, {"temperature": temperature}, **kwargs)


def nt_xent_loss(labels: Tensor, embeddings: Tensor, *, temperature: float = 0.1) -> Tensor:
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
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, "cosine")
    loss = _pairs.cross_entropy((1.0 - distances) / temperature, negatives)
    return _pairs.nan_where_not_finite(_pairs.part_of_mean(loss, positives), embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class NTXentLoss(_pairs.PairLoss):
    """``nt_xent_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import NTXentLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(NTXentLoss(temperature=0.1)([0, 0, 1, 1], embeddings)), 3)
        0.967
    """

    def __init__(self, *, temperature: float = 0.1, **kwargs: Any) -> None:
        super().__init__(nt_xent_loss, {"temperature": temperature}, **kwargs)


def multiple_negatives_ranking_loss(
    labels: Tensor, embeddings: Tensor, *, temperature: float = 0.05, distance: str = "cosine"
) -> Tensor:
    """Multiple negatives ranking loss, or InfoNCE, of each anchor in a batch.

    The examples of a class take turns, in the order of the batch: the first is a query, the second a key,
    the third a query. A query is to find its key among the keys, and a key its query among the queries:
    ``-log(exp(s_p) / (exp(s_p) + sum_N exp(s_n)))`` with s = -distance / temperature (for ``cosine`` as if it
    were similarity / temperature), p a positive and N all negatives on the other side. Examples on the same
    side are not compared; ``nt_xent_loss`` compares all.

    The papers go from queries to keys only: with one query and one key of each class, that is the mean over
    the rows of the queries. ``distance="inner_product"`` and a temperature of 1 give Henderson's scores.
    So does TensorFlow Similarity 0.17, which also adds 1 to the sum inside the logarithm, unlike the papers.

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
    _, distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
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
    """``multiple_negatives_ranking_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import MultipleNegativesRankingLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(MultipleNegativesRankingLoss()([0, 0, 1, 1], embeddings)), 3)
        0.018
    """

    def __init__(self, *, temperature: float = 0.05, distance: str = "cosine", **kwargs: Any) -> None:
        options = {"temperature": temperature, "distance": distance}
        super().__init__(multiple_negatives_ranking_loss, options, **kwargs)


def soft_nearest_neighbor_loss(
    labels: Tensor, embeddings: Tensor, *, temperature: float = 1.0, distance: str = "squared_euclidean"
) -> Tensor:
    """Soft nearest neighbor loss of each anchor in a batch.

    ``-log(sum_P exp(-d / temperature) / sum_A exp(-d / temperature))``, P the positives of the anchor and A
    all other examples: the chance that a neighbor, drawn the more often the nearer it is, is of its class.

    Args:
        labels: Integer class of each example, shape [batch].
        embeddings: Shape [batch, dim]; computed in float32.
        temperature: In units of the distance; the smaller, the more the nearest neighbors count.
        distance: One of ``simnb.distances.DISTANCES``; the paper's formula has ``squared_euclidean``.

    Returns:
        Loss of each anchor, shape [batch]; 0 for an anchor without a positive (where the paper's is
        infinite) or a negative; NaN for an embedding that is not finite.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or the name is unknown.

    References:
        Frosst et al., Analyzing and Improving Representations with the Soft Nearest Neighbor Loss,
        ICML 2019, equation 1. https://arxiv.org/abs/1902.01889
    """
    embeddings, distances, positives, negatives = _pairs.pairs(labels, embeddings, distance)
    scores = -distances / temperature
    # -log(P / (P + N)) = log(1 + N / P)
    odds = _pairs.log_sum_exp(scores, negatives) - _pairs.log_sum_exp(scores, positives)
    loss = ops.softplus(ops.where(_pairs.complete(positives, negatives), odds, -_pairs.FAR))
    return _pairs.nan_where_not_finite(loss, embeddings)


@keras.saving.register_keras_serializable(package="simnb")
class SoftNearestNeighborLoss(_pairs.PairLoss):
    """``soft_nearest_neighbor_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import SoftNearestNeighborLoss
        >>> embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> round(float(SoftNearestNeighborLoss()([0, 0, 1, 1], embeddings)), 3)
        0.871
    """

    def __init__(
        self, *, temperature: float = 1.0, distance: str = "squared_euclidean", **kwargs: Any
    ) -> None:
        options = {"temperature": temperature, "distance": distance}
        super().__init__(soft_nearest_neighbor_loss, options, **kwargs)
