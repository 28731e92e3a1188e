"""The nearest rows of many, or of all rows themselves: in blocks, with a progress bar."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from simnb._terminal import progress_bar
from simnb.index.exact import ExactSearch
from simnb.index.results import Neighbors

_AT_ONCE = 1 << 21  # neighbors: some 40 MB
_FEWEST, _MOST = 64, 4_096  # queries between two steps of the progress bar

#: Which queries, and distances and positions of their neighbors, each [some, k].
Block = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def blocks_of_nearest(
    search: ExactSearch, rows: NDArray[np.float32], k: int, *, among: bool, doing: str
) -> Iterator[Block]:
    """The k nearest of some rows, block by block.

    Args:
        search: What is searched.
        rows: Embeddings that are asked, shape [num_rows, dim].
        k: How many neighbors; fewer than the rows that are searched, where the asked ones are among them.
        among: Whether ``rows`` are what is searched: each is then left out of its own neighbors.
        doing: What the progress bar says.
    """
    size = min(max(_AT_ONCE // k, _FEWEST), _MOST)
    with progress_bar(total=len(rows), desc=doing, unit="image") as bar:
        for start in range(0, len(rows), size):
            some = np.arange(start, min(start + size, len(rows)))
            distances, positions = search(rows[some], k + among)
            if among:
                found = Neighbors(distances, positions, positions).without(some)
                distances, positions = found.distances, found.ids
            yield some, distances, positions
            bar.update(len(some))


def nearest(
    search: ExactSearch, rows: NDArray[np.float32], k: int, *, among: bool, doing: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What ``blocks_of_nearest`` gives, of all rows: distances and positions, each [num_rows, k]."""
    distances, positions = np.empty((len(rows), k), np.float32), np.empty((len(rows), k), np.int64)
    for some, near, places in blocks_of_nearest(search, rows, k, among=among, doing=doing):
        distances[some], positions[some] = near, places
    return distances, positions
