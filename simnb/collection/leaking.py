"""Images that are in two parts of a split."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks, _table
from simnb.collection import _inputs, _words
from simnb.collection.chance import NEIGHBORS, Chance, choose, estimate, expected
from simnb.distances import DISTANCES
from simnb.index import Index
from simnb.index.exact import ExactSearch
from simnb.index.in_blocks import nearest

#: Columns of words.
_LEFT = ("part", "also in", "first ids")


@dataclass(frozen=True, eq=False, repr=False)
class Leaks:
    """Images of a part that are nearly the same as one of an earlier part; it shows itself as a table.

    Its length is the number of finds. For each image and each earlier part there is one at most: the nearest.

    Attributes:
        part: Name of the part that an image is in, shape [num_finds].
        ids: Its id in the index of that part, or its row in the array, shape [num_finds] int64.
        other: Name of the earlier part, shape [num_finds].
        other_ids: Id or row of the image there, shape [num_finds] int64.
        distances: Distance of the two, shape [num_finds] float32.
        sizes: Number of images of each part, by its name.
        threshold: Distance up to which two images are nearly the same.
        chance: What tells how many finds are that near by chance; None where that cannot be told.
        distance: Name of the distance.
    """

    part: NDArray[np.str_]
    ids: NDArray[np.int64]
    other: NDArray[np.str_]
    other_ids: NDArray[np.int64]
    distances: NDArray[np.float32]
    sizes: dict[str, int]
    threshold: float
    chance: Chance | None
    distance: str

    @property
    def chance_pairs(self) -> float:
        """How many pairs of different images are expected within the threshold; NaN where nobody can tell."""
        return expected(self.chance, self.threshold)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"{self._caption()}\n{_table.as_text(*self._rows(), left=_LEFT)}"

    def _repr_html_(self) -> str:
        return _table.as_html(*self._rows(), caption=self._caption(), left=_LEFT)

    def _caption(self):
        return (
            f"{_words.count(len(self), 'leak')} within {self.distance} distance {self.threshold:.4g}; "
            f"pairs of different images expected there by chance: {_words.about(self.chance_pairs)}"
        )

    def _rows(self):
        rows = []
        for earlier, later in combinations(self.sizes, 2):
            finds = (self.part == later) & (self.other == earlier)
            size, found = self.sizes[later], np.count_nonzero(finds)
            share = f"{found / size:.2%}" if size else "n/a"
            ids = _words.listed(self.ids[finds][np.argsort(self.distances[finds], kind="stable")])
            rows.append([later, earlier, f"{found:,}", f"{size:,}", share, ids])
        return ["part", "also in", "images", "of", "share", "first ids"], rows


def leaks(
    parts: Mapping[str, Index | ArrayLike],
    threshold: float | None = None,
    *,
    chance_pairs: float = 1.0,
    distance: str | None = None,
) -> Leaks:
    """Find images that are in two parts of a split, or nearly are.

    Every image of a part is compared with all those of the parts before it. Name the part first that must not
    be known from elsewhere: the training images, then those of the gallery, and the queries last. Under
    ``snr`` it is the distance of the later image to the earlier one that counts.

    Args:
        parts: Two or more of them by name, as in ``{"train": embeddings, "query": index}``: embeddings of one
            model, shape [num_examples, dim], or an index of them.
        threshold: Distance up to which two images are nearly the same; None for the one within which
            ``chance_pairs`` pairs of different images are expected, as in ``near_duplicates``.
        chance_pairs: How many pairs of different images to put up with, above 0, where no threshold is given.
        distance: One of ``simnb.distances.DISTANCES`` but ``inner_product``; by default that of the indexes,
            or cosine.

    Returns:
        ``Leaks``, those of the first parts first.

    Raises:
        ValueError: If there are fewer than two parts, their dims or distances differ, or something is
            malformed.

    Example:
        >>> import numpy as np
        >>> from simnb.collection import leaks
        >>> rows = np.random.default_rng(0).normal(size=(200, 8))
        >>> found = leaks({"train": rows[:150], "query": np.concatenate([rows[150:], rows[7:8] + 1e-4])})
        >>> found.part, found.ids, found.other_ids
        (array(['query'], dtype='<U5'), array([50]), array([7]))
    """
    choose(None, threshold, chance_pairs)  # complains before the search, not after
    distance = _distance_of(parts, distance)
    read = {name: _read(part, name, distance) for name, part in parts.items()}
    dims = {name: rows.shape[1] for name, (rows, _) in read.items() if len(rows)}
    if len(set(dims.values())) > 1:
        raise ValueError(f"parts must have embeddings of one model and one dim, got {dims}")
    sizes = {name: len(rows) for name, (rows, _) in read.items()}
    chance = _chance([rows for rows, _ in read.values() if len(rows)], distance)
    limit = choose(chance, threshold, chance_pairs)
    finds = [_between(read, earlier, later, limit, distance) for earlier, later in combinations(read, 2)]
    part, ids, other_part, other_ids, near = (np.concatenate(column) for column in zip(*finds, strict=True))
    return Leaks(part, ids, other_part, other_ids, near, sizes, limit, chance, distance)


def _distance_of(parts, distance):
    """The distance of all parts, or ValueError."""
    if not isinstance(parts, Mapping) or len(parts) < 2:
        came = f"{len(parts)} of them" if isinstance(parts, Mapping) else type(parts).__name__
        raise ValueError(f"parts must be a dict of two parts or more by name, got {came}")
    if not all(isinstance(name, str) for name in parts):
        raise ValueError(f"names of parts must be strings, got {_checks.listed(parts)}")
    given = {part.distance for part in parts.values() if isinstance(part, Index)}
    given |= set() if distance is None else {_checks.one_of(distance, DISTANCES, name="distance")}
    if len(given) > 1:
        raise ValueError(f"all parts must be compared by one distance, got {_checks.listed(sorted(given))}")
    return _inputs.check_dissimilar(given.pop() if given else "cosine")


def _read(part, name, distance):
    """Embeddings of a part and their ids."""
    if isinstance(part, Index):
        rows = part.get()
        return rows.embeddings, rows.ids
    rows = _checks.embeddings(part, name=f"parts[{name!r}]", nonzero=distance == "cosine")
    return rows, np.arange(len(rows))


def _chance(parts, distance):
    """What is expected by chance of all parts as one collection; None where that cannot be told."""
    rows = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    if len(rows) <= NEIGHBORS:
        return None
    sizes = np.array([len(part) for part in parts])
    # Of all the others of an image, those in an earlier part are what it can leak from.
    share = np.repeat(np.cumsum(sizes) - sizes, sizes) / (len(rows) - 1)
    search = ExactSearch(rows, distance)
    near = nearest(search, rows, NEIGHBORS, among=True, doing="Comparing images")
    return estimate(*near, share)


def _between(read, earlier, later, threshold, distance):
    """What images of a later part leak from an earlier one: the columns of ``Leaks``."""
    (gallery, of_gallery), (queries, of_queries) = read[earlier], read[later]
    near, places = np.full((len(queries), 1), np.inf, np.float32), np.zeros((len(queries), 1), np.int64)
    if len(gallery) and len(queries):
        search = ExactSearch(gallery, distance)
        doing = f"Comparing {later} with {earlier}"
        near, places = nearest(search, queries, 1, among=False, doing=doing)
    found = np.flatnonzero(_inputs.within(near[:, 0], threshold))
    names = np.full(len(found), later), np.full(len(found), earlier)
    other_ids = of_gallery[places[found, 0]]
    return names[0], of_queries[found], names[1], other_ids, near[found, 0]
