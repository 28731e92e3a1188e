"""How many pairs of different images are nearly alike by chance, told from how the others are spread."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnb import _checks

#: Neighbors of each image that the estimate is made of.
NEIGHBORS = 15
_LEFT_OUT = 2  # the largest steps from one neighbor to the next: from the copies of an image to the others
#: A step that many times the mean is a jump, and how large a share of the images may have one.
_JUMP, _MOST_JUMPS = 15.0, 0.5
_HALVINGS = 60  # of the interval that a threshold is looked for in


@dataclass(frozen=True, eq=False, repr=False)
class Chance:
    """An estimate of how many pairs of different images lie within a distance.

    Around an image the number of others within a distance r is taken to grow as a power of r, from the
    distance of its 15th neighbor down to the threshold. The exponent, the dimension of the collection there,
    is measured on the 15 neighbors of the image and of each of these, less the two largest steps between two
    neighbors, which copies make. So it assumes embeddings that vary smoothly, and at most some 10 copies of
    one image. What lies closer than that for a reason, such as the frames of one film, is not chance in this
    sense, and not counted. Of samples of known distributions the estimate was mostly 0.7 to 3 times the true
    number, up to 10 times it in tight classes of 20, and more where a tenth of the images had several copies:
    a threshold chosen by it is rather too small than too large. Where most images have a class of fewer than
    15 around them, and then nothing for a while, there is no estimate.

    Attributes:
        reach: Distance of the 15th neighbor of each image, shape [num_images].
        dimension: Exponent around each image, shape [num_images].
        weights: What a neighbor of each image counts, shape [num_images]: a half where pairs are counted,
            since each is seen from both sides.

    References:
        Levina and Bickel, Maximum Likelihood Estimation of Intrinsic Dimension, 2004.
    """

    reach: NDArray[np.float64]
    dimension: NDArray[np.float64]
    weights: NDArray[np.float64]

    def pairs(self, threshold: float) -> float:
        """Expected number of pairs of different images within a distance of at least 0.

        At most 14 neighbors of an image are counted: beyond its 15th neighbor it says too little.
        """
        threshold = _checks.number(threshold, name="threshold", at_least=0)
        share = np.minimum(threshold / self.reach, 1.0) ** self.dimension
        return float((NEIGHBORS - 1) * (self.weights * share).sum())

    def threshold(self, pairs: float) -> float:
        """Distance within which so many pairs, a number above 0, are expected; at most the largest reach."""
        pairs = _checks.number(pairs, name="pairs", above=0)
        low, high = 0.0, float(self.reach.max())
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.pairs(middle) < pairs else (low, middle)
        return high


def estimate(
    distances: NDArray[np.floating], neighbors: NDArray[np.int64], weights: NDArray[np.float64]
) -> Chance | None:
    """The ``Chance`` of a collection, or None of one that is too small, or all copies of one another.

    Args:
        distances: Those of the nearest others of each image, nearest first, shape [num_images, k]; the first
            15 are used.
        neighbors: Their positions, shape [num_images, k].
        weights: What a neighbor of each image counts, shape [num_images].
    """
    if distances.shape[1] < NEIGHBORS:
        return None
    usable = distances[:, NEIGHBORS - 1] > 0
    if not weights[usable].any():
        return None
    distances, neighbors = distances[:, :NEIGHBORS].astype(np.float64), neighbors[:, :NEIGHBORS]
    # Where the number within r grows as r**d, these steps are independent, exponential, and 1/d on average.
    logarithms = np.log(np.maximum(distances, np.finfo(np.float32).tiny))
    steps = np.sort(np.arange(1, NEIGHBORS) * np.diff(logarithms, axis=1), axis=1)
    sums = steps[:, : steps.shape[1] - _LEFT_OUT].sum(axis=1)
    around = (sums + sums[neighbors].sum(axis=1)) / (1 + NEIGHBORS)
    mean = _mean_of_smallest(steps.shape[1], _LEFT_OUT)
    with np.errstate(divide="ignore"):  # of equal distances, as of a lattice: nothing lies closer by chance
        dimension = mean / around
    # Where most images have a jump among their neighbors, these are of a class of fewer than 15: how near its
    # images lie to one another says nothing of those beyond.
    jumps = steps.max(axis=1) * mean > _JUMP * around
    if jumps[usable].mean() > _MOST_JUMPS:
        return None
    # Of an image with 15 copies nothing is known: it counts as the others do.
    weights = weights[usable] * (weights.sum() / weights[usable].sum())
    return Chance(distances[usable, -1], dimension[usable], weights)


def choose(chance: Chance | None, threshold: float | None, chance_pairs: float) -> float:
    """The threshold that is given, checked, or the one within which so many pairs are expected.

    It is 0, which only copies keep, where nothing can be expected.
    """
    if threshold is not None:
        return _checks.number(threshold, name="threshold", at_least=0)
    pairs = _checks.number(chance_pairs, name="chance_pairs", above=0)
    return 0.0 if chance is None else chance.threshold(pairs)


def expected(chance: Chance | None, threshold: float) -> float:
    """Pairs by chance; NaN where it is not known."""
    if chance is not None:
        return chance.pairs(threshold)
    return 0.0 if threshold == 0 else np.nan


def _mean_of_smallest(count, left_out):
    """Mean sum of ``count`` exponential variables of mean 1, without the largest ``left_out``."""
    shares = 1.0 / np.arange(count, 0, -1)
    return float(np.cumsum(shares)[: count - left_out].sum())
