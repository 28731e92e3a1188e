"""Losses of self-supervised training: of two views of the same images, row by row.

They have no negatives, and so no use for labels. ``simnb.losses.nt_xent_loss`` is the one that does.
"""

from simnb._keras import ops
from simnb._types import Tensor

__all__ = ["simsiam_loss", "barlow_twins_loss", "vicreg_loss"]


def simsiam_loss(projections: Tensor, predictions: Tensor) -> Tensor:
    """Negative cosine similarity of a view's prediction to the other's projection, which gets no gradient.

    Without the predictor and the stopped gradient everything would collapse onto one point.

    Args:
        projections: Of one view, shape [batch, dim].
        predictions: Of the other, through the predictor, shape [batch, dim].

    Returns:
        Loss of each row, shape [batch], -1 at best.

    References:
        Chen and He, Exploring Simple Siamese Representation Learning, CVPR 2021, equation 1.
        https://arxiv.org/abs/2011.10566
    """
    projections, predictions = _check(projections, predictions)
    fixed = ops.normalize(ops.stop_gradient(projections), axis=1)
    return -ops.sum(fixed * ops.normalize(predictions, axis=1), axis=1)


def barlow_twins_loss(
    one: Tensor, other: Tensor, *, off_diagonal: float = 5e-3, epsilon: float = 1e-12
) -> Tensor:
    """How far the correlation of the two views' columns is from the identity.

    Args:
        one, other: The two views, shape [batch, dim].
        off_diagonal: Weight of correlations between different columns.
        epsilon: Added to the variance of a column before it is divided by.

    Returns:
        Loss of the batch, shape [].

    References:
        Zbontar et al., Barlow Twins, ICML 2021, equations 1 and 2. https://arxiv.org/abs/2103.03230
    """
    one, other = _check(one, other)
    count = ops.cast(ops.shape(one)[0], "float32")
    standard = [
        (view - ops.mean(view, axis=0)) / ops.sqrt(ops.var(view, axis=0) + epsilon) for view in (one, other)
    ]
    correlation = ops.matmul(ops.transpose(standard[0]), standard[1]) / count
    squared = ops.square(correlation - ops.eye(one.shape[1]))
    diagonal = ops.sum(ops.diagonal(squared))
    return diagonal + off_diagonal * (ops.sum(squared) - diagonal)


def vicreg_loss(
    one: Tensor,
    other: Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    epsilon: float = 1e-4,
) -> Tensor:
    """The two views are to be near, every column is to vary, and no two columns are to vary together.

    Args:
        one, other: The two views, shape [batch, dim].
        invariance: Weight of the mean squared difference.
        variance: Weight of how far the standard deviation of columns is below 1.
        covariance: Weight of the squared covariances of different columns, divided by dim.
        epsilon: Added to variances before the square root.

    Returns:
        Loss of the batch, shape [].

    References:
        Bardes et al., VICReg, ICLR 2022, equations 1 to 6. https://arxiv.org/abs/2105.04906
    """
    one, other = _check(one, other)
    loss = invariance * ops.mean(ops.square(one - other))
    for view in (one, other):
        centered = view - ops.mean(view, axis=0)
        count = ops.cast(ops.shape(view)[0], "float32")
        covariances = ops.matmul(ops.transpose(centered), centered) / (count - 1)
        deviation = ops.sqrt(ops.diagonal(covariances) + epsilon)
        loss += variance * ops.mean(ops.relu(1 - deviation))
        off_diagonal = ops.sum(ops.square(covariances)) - ops.sum(ops.square(ops.diagonal(covariances)))
        loss += covariance * off_diagonal / view.shape[1]
    return loss


def _check(one, other):
    one, other = (ops.cast(ops.convert_to_tensor(view), "float32") for view in (one, other))
    if len(one.shape) != 2 or one.shape[1:] != other.shape[1:]:
        raise ValueError(
            f"both views must have the same shape [batch, dim], got {tuple(one.shape)}, {tuple(other.shape)}"
        )
    return one, other
