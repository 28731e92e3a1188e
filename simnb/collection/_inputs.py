"""What is read of a collection, and compared with a threshold, in one way."""

import numpy as np
from numpy.typing import NDArray

from simnb.index import Index, Rows


def read(index: Index) -> Rows:
    """All rows of an index, or ValueError where it is none."""
    if not isinstance(index, Index):
        raise ValueError(
            f"index must be an Index, as open_index gives it, got {type(index).__name__}; "
            "of a SimilaritySearch pass search.index"
        )
    return index.get()


def check_dissimilar(distance: str) -> str:
    """Return the name of a distance that is 0 between equal images, or raise ValueError."""
    if distance == "inner_product":
        raise ValueError(
            "distance must be one that is 0 between equal images, got 'inner_product', by which a long row "
            "is near to all others; put the rows into an index of distance='cosine' or 'euclidean'"
        )
    return distance


def within(distances: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Which distances are at most the threshold, compared in float32 as in ``simnb.matching``."""
    return distances <= np.float32(threshold)
