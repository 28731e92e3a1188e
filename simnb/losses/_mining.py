"""Which positive and which negative an anchor is compared with, for the losses over triplets."""

from simnb import _checks
from simnb._keras import ops
from simnb.losses import _pairs

MINING = ("easy", "semi-hard", "hard")


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
    """Raise ValueError for a margin below 0."""
    if margin is not None and not margin >= 0:
        raise ValueError(f"margin must be at least 0, or None for the soft margin; got {margin}")


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
