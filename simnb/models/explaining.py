"""Which parts of two images make them alike, for any embedder: parts are hidden, one after the other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._terminal import progress_bar
from simnb._types import KerasObject
from simnb.models.embedding import embed

__all__ = ["Explanation", "explain"]

_PATCHES = 6  # side by side along the shorter side of an image, unless a size is given


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which parts of two images make them alike.

    Attributes:
        similarity: Cosine similarity of the two.
        query: The one image, [height, width, channels].
        neighbor: The other one.
        query_map: By how much the similarity falls where that pixel of the query is hidden, [height, width]
            float32: the mean over the patches that hide it. Below 0, hiding it makes the images more alike.
        neighbor_map: Likewise of the neighbor.
    """

    similarity: float
    query: NDArray[Any]
    neighbor: NDArray[Any]
    query_map: NDArray[np.float32]
    neighbor_map: NDArray[np.float32]


def explain(
    model: KerasObject,
    query: ArrayLike,
    neighbor: ArrayLike,
    *,
    patch: int | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> Explanation:
    """Find which parts of two images make them alike, by occlusion.

    A square of the mean colour of an image is slid over it by half its side, and each time the similarity to
    the other image, which is left as it is, is measured again. By default that takes some 250 embeddings for
    two square images.

    The maps say what *this* embedder looks at. Where it finds the same thing twice in an image, hiding one of
    them costs little, and neither shows.

    Args:
        model: A Keras model or any function from a batch of images to a batch of vectors.
        query: One image, [height, width, channels].
        neighbor: Another one, of any size that the model takes.
        patch: Side of the square in pixels; by default a sixth of the shorter side of each image.
        batch_size: Images at a time.
        progress: Show a progress bar when it takes more than five seconds.

    Returns:
        The ``Explanation``, which ``simnb.plots.similar_parts`` draws.

    Raises:
        ValueError: If an image has the wrong rank, the patch is larger than an image, or the model cannot
            embed them.

    References:
        Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014.
        https://arxiv.org/abs/1311.2901

    Example:
        >>> import numpy as np
        >>> from simnb.models import explain
        >>> pixels = np.random.default_rng(0).random((2, 6, 6, 1))
        >>> upper_half = lambda images: images[:, :3].reshape(len(images), -1)  # looks at nothing else
        >>> explanation = explain(upper_half, pixels[0], pixels[1], patch=1)
        >>> explanation.query_map[:3].any(), explanation.query_map[3:].any()
        (np.True_, np.False_)
    """
    batch_size = _checks.positive_int(batch_size, name="batch_size")
    images = [_one(image, name) for image, name in ((query, "query"), (neighbor, "neighbor"))]
    sides = [_side(image, patch) for image in images]
    own = [embed(model, image[None], progress=False)[0] for image in images]
    similarity = float(own[0] @ own[1])
    maps = [
        _drops(model, image, side, other, similarity, batch_size, progress)
        for image, side, other in zip(images, sides, own[::-1], strict=True)
    ]
    return Explanation(similarity, *images, *maps)


def _one(image, name):
    image = np.asarray(image)
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"{name} must be one image, [height, width, channels], got {image.shape}")
    return image


def _side(image, patch):
    shorter = min(image.shape[:2])
    if patch is None:
        return max(1, round(shorter / _PATCHES))
    patch = _checks.positive_int(patch, name="patch")
    if patch > shorter:
        raise ValueError(f"patch must be at most {shorter}, the shorter side of an image, got {patch}")
    return patch


def _drops(model, image, side, other, similarity, batch_size, progress):
    """By how much hiding each pixel of an image lowers its similarity to the embedding of another one."""
    places = [(top, left) for top in _starts(image.shape[0], side) for left in _starts(image.shape[1], side)]
    fill = image.mean((0, 1))
    fill = np.rint(fill).astype(image.dtype) if np.issubdtype(image.dtype, np.integer) else fill
    total, hidden = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
    starts = range(0, len(places), batch_size)
    for start in progress_bar(starts, desc="Explaining", unit="batch", shown=progress):
        some = places[start : start + batch_size]
        occluded = np.repeat(image[None], len(some), axis=0)
        for one, (top, left) in zip(occluded, some, strict=True):
            one[top : top + side, left : left + side] = fill
        similarities = embed(model, occluded, batch_size=batch_size, progress=False) @ other
        for (top, left), value in zip(some, similarities, strict=True):
            total[top : top + side, left : left + side] += similarity - value
            hidden[top : top + side, left : left + side] += 1
    return (total / hidden).astype(np.float32)


def _starts(length, side):
    """Where patches begin, so that every pixel is hidden by at least one."""
    return sorted({*range(0, length - side, max(1, side // 2)), length - side})
