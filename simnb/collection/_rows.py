"""What all that looks after a collection does alike: reading it, thresholds, words of tables."""

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


def check_symmetric(distance: str) -> str:
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


def listed(values: NDArray, most: int = 5) -> str:
    """The first of some ids, for a table."""
    return ", ".join(map(str, values[:most].tolist())) + (", ..." if len(values) > most else "")


def count(number: int, one: str, several: str | None = None) -> str:
    """Such as ``1 group`` and ``1,200 groups``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def about(pairs: float) -> str:
    """An expected number of pairs, as a table says it."""
    return "unknown" if np.isnan(pairs) else f"{pairs:.2g}" if pairs < 100 else f"{pairs:,.0f}"
