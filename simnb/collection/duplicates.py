"""Groups of rows that are nearly the same image."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from simnb._terminal import progress_bar
from simnb.collection import _inputs, _words
from simnb.collection.chance import NEIGHBORS, Chance, choose, estimate, expected
from simnb.index import UNKNOWN, Index
from simnb.index.exact import QUERY_BLOCK, ExactSearch
from simnb.index.in_blocks import nearest
from simnb.index.results import names_of

_SHOWN = 10  # groups in the table


@dataclass(frozen=True, eq=False, repr=False)
class NearDuplicates(_words.FirstRows):
    """Images that are nearly the same as another, in groups; it shows itself as a table.

    Its length is the number of groups. The arrays are of the images of the largest group first, and in it in
    the order of the index.

    Attributes:
        ids: Ids of the images, shape [num_images] int64.
        group: Number of the group of each, from 0, shape [num_images] int64.
        distances: Distance of each to the nearest other image, shape [num_images] float32. Under ``snr``,
            which is not symmetric, also from those that have it among their 15 nearest.
        labels: Label of each, shape [num_images] int64. Where a group has several, one of them is wrong, or
            the images are alike by chance.
        threshold: Distance up to which two images were joined.
        chance: What tells how many pairs are that near by chance; None where that cannot be told.
        num_rows: How many rows were looked at.
        distance: Name of the distance.
        class_names: Name of each label, where the index has names.
    """

    ids: NDArray[np.int64]
    group: NDArray[np.int64]
    distances: NDArray[np.float32]
    labels: NDArray[np.int64]
    threshold: float
    chance: Chance | None
    num_rows: int
    distance: str
    class_names: tuple[str, ...] | None = None

    @property
    def groups(self) -> list[NDArray[np.int64]]:
        """Ids of each group, the largest group first."""
        return np.split(self.ids, np.flatnonzero(np.diff(self.group)) + 1) if len(self.ids) else []

    @property
    def chance_pairs(self) -> float:
        """How many pairs of different images are expected within the threshold; NaN where nobody can tell."""
        return expected(self.chance, self.threshold)

    def __len__(self) -> int:
        return int(self.group[-1]) + 1 if len(self.group) else 0

    def _caption(self):
        return (
            f"{_words.count(len(self), 'group')} of near-duplicates, {len(self.ids):,} of "
            f"{_words.count(self.num_rows, 'image')}, within {self.distance} distance {self.threshold:.4g}; "
            f"pairs of different images expected there by chance: {_words.about(self.chance_pairs)}"
        )

    def _rows(self):
        labels = ["labels"] if (self.labels != UNKNOWN).any() else []
        rows, starts = [], np.searchsorted(self.group, np.arange(min(len(self), _SHOWN) + 1))
        for number, (start, stop) in enumerate(itertools.pairwise(starts.tolist())):
            near = self.distances[start:stop]
            spread = " to ".join(dict.fromkeys(f"{value:.3g}" for value in (near.min(), near.max())))
            cells = [f"{number}", f"{stop - start}", spread]
            if labels:
                cells.append(_words.listed(self._names(self.labels[start:stop])))
            rows.append([*cells, _words.listed(self.ids[start:stop])])
        head = ["group", "images", "distance", *labels, "ids"]
        return head, rows

    def _names(self, labels):
        labels = np.unique(labels)
        if self.class_names is None:
            return labels
        return np.where(labels == UNKNOWN, "Unknown", names_of(labels, self.class_names))

    def _more(self):
        return [f"and {_words.count(len(self) - _SHOWN, 'more group')}"] if len(self) > _SHOWN else []


def near_duplicates(
    index: Index, threshold: float | None = None, *, chance_pairs: float = 1.0
) -> NearDuplicates:
    """Find groups of images that are nearly the same.

    Two images within the threshold are in one group, and so are those that a chain of such pairs joins. All
    pairs are compared, exactly, in blocks. Under ``snr``, which is not symmetric, one of the two
    distances has to lie within it.

    Args:
        index: The index of the images, of any distance but ``inner_product``.
        threshold: Distance up to which two images are nearly the same; None for the one within which
            ``chance_pairs`` pairs of different images are expected. What that estimate assumes, ``Chance``
            says. Where there is none, as of fewer than 16 images or of classes of fewer than 15, only copies
            at distance 0 are joined: pass a threshold.
        chance_pairs: How many pairs of different images to put up with, above 0, where no threshold is given.

    Returns:
        ``NearDuplicates``. Its ``chance.pairs(...)`` tells of other thresholds.

    Raises:
        ValueError: If the index is none, is closed or of ``inner_product``, or a number is out of range.

    Example:
        >>> import numpy as np
        >>> from simnb.collection import near_duplicates
        >>> from simnb.index import open_index
        >>> rows = np.random.default_rng(0).normal(size=(200, 8))
        >>> index = open_index()
        >>> _ = index.add(np.concatenate([rows, rows[:2] + 1e-4]))
        >>> near_duplicates(index).groups
        [array([  0, 200]), array([  1, 201])]
    """
    rows = _inputs.read(index)
    _inputs.check_dissimilar(index.distance)
    choose(None, threshold, chance_pairs)  # complains before the search, not after
    first, copy_of, copies = _distinct(rows.embeddings)
    near, chance, of_distinct = np.full(len(first), np.inf, np.float32), None, np.arange(len(first))
    if len(first) > 1:
        distinct, k = rows.embeddings[first], min(NEIGHBORS, len(first) - 1)
        search = ExactSearch(distinct, index.distance)
        found = nearest(search, distinct, k, among=True, doing="Comparing images")
        near, chance = _either_way(*found), estimate(*found, np.full(len(first), 0.5))
    limit = choose(chance, threshold, chance_pairs)
    if len(first) > 1:
        of_distinct = _joined(search, distinct, *found, limit)
    group, chosen = _in_order(of_distinct[copy_of])
    near = np.where(copies > 1, np.float32(0), near)[copy_of][chosen]
    facts = (limit, chance, len(rows), index.distance, rows.class_names)
    return NearDuplicates(rows.ids[chosen], group, near, rows.labels[chosen], *facts)


def _distinct(rows):
    """Positions of the first of equal rows; where among these each row's is; and how many are equal to it."""
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    as_bytes = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, first, number, copies = np.unique(as_bytes, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)  # as the rows come, not as their bytes do
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[number], copies[order]


def _joined(search, rows, distances, positions, threshold):
    """Number of the group of each row: shape [num_rows] int64."""
    groups, near = _Groups(len(rows)), _inputs.within(distances, threshold)
    groups.join(*np.nonzero(near)[:1], positions[near])
    # Rows that may have more within the threshold than the neighbors that were searched.
    more = np.flatnonzero(near[:, -1]) if distances.shape[1] < len(rows) - 1 else np.empty(0, np.int64)
    with progress_bar(total=len(more), desc="Following chains", unit="image") as bar:
        for start in range(0, len(more), QUERY_BLOCK):
            some = more[start : start + QUERY_BLOCK]
            wanted = functools.partial(groups.apart, some)
            for queries, found in search.within(rows[some], threshold, wanted):
                groups.join(some[queries], found)
            bar.update(len(some))
    return groups.of


class _Groups:
    """Which group each row is in, ``of``, as ever more rows are joined."""

    def __init__(self, count):
        self.of = np.arange(count)

    def join(self, one, other):
        """Put every two rows into one group."""
        edges, count = (self.of[one], self.of[other]), len(self.of)
        graph = coo_array((np.ones(len(one), bool), edges), shape=(count, count))
        self.of = connected_components(graph, directed=False)[1].astype(np.int64)[self.of]

    def apart(self, rows, queries, others):
        """Which pairs of one of ``rows`` and another row are not in one group yet."""
        return self.of[rows[queries]] != self.of[others]


def _either_way(distances, positions):
    """Distance of each row to the nearest other, seen from either side: shape [num_rows] float32."""
    near = distances[:, 0].copy()
    np.minimum.at(near, positions, distances)
    return near


def _in_order(group):
    """Groups of two rows or more, the largest first: the new number of each row's, and the rows."""
    sizes = np.bincount(group)
    chosen = np.flatnonzero(sizes[group] > 1)
    first = np.full(len(sizes), len(group))
    np.minimum.at(first, group, np.arange(len(group)))
    order = np.lexsort((first, -sizes))
    number = np.empty(len(sizes), np.int64)
    number[order] = np.arange(len(sizes))
    chosen = chosen[np.argsort(number[group[chosen]], kind="stable")]
    return number[group[chosen]], chosen
