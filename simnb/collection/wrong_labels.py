"""Rows whose label may be wrong, since their neighbors carry another one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb.collection import _inputs, _words
from simnb.index import UNKNOWN, Index
from simnb.index.exact import ExactSearch
from simnb.index.in_blocks import blocks_of_nearest
from simnb.index.results import names_of

_SHOWN = 10  # candidates in the table


@dataclass(frozen=True, eq=False, repr=False)
class Mislabelled(_words.FirstRows):
    """Rows whose label may be wrong, the likeliest first; it shows itself as a table.

    Its length is the number of candidates. A candidate is no proof: somebody has to look at the image. Where
    the neighbors of many rows do not agree with them, ``agreement`` is low, and most candidates are rows that
    the embedding puts in the wrong place, not rows with a wrong label.

    Attributes:
        ids: Ids of the rows, shape [num_candidates] int64.
        labels: Label of each, shape [num_candidates] int64.
        suggested: Label that most of its neighbors carry, shape [num_candidates] int64.
        scores: Share of the neighbors that carry the suggested label, less the share that carry the row's
            own, shape [num_candidates]: above 0, and 1 where all neighbors agree on another label.
        votes: How many of the neighbors carry the suggested label, and how many the row's own, shape
            [num_candidates, 2] int64.
        distances: Distance to the nearest neighbor with the suggested label, shape [num_candidates] float32.
        k: How many neighbors were asked.
        num_rows: How many labelled rows were looked at.
        agreement: Share of these whose own label has as many votes as any other, or more.
        class_names: Name of each label, where the index has names.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    suggested: NDArray[np.int64]
    scores: NDArray[np.float64]
    votes: NDArray[np.int64]
    distances: NDArray[np.float32]
    k: int
    num_rows: int
    agreement: float
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def _caption(self):
        return (
            f"{_words.count(len(self), 'candidate')} for a wrong label among "
            f"{_words.count(self.num_rows, 'labelled row')}; "
            f"the {self.k} nearest agree with {self.agreement:.1%}"
        )

    def _rows(self):
        rows = []
        for at in range(min(len(self), _SHOWN)):
            own, other = self._names(self.labels[at]), self._names(self.suggested[at])
            cells = [f"{self.ids[at]}", own, other, f"{self.scores[at]:.2f}"]
            rows.append([*cells, f"{self.votes[at, 0]} to {self.votes[at, 1]} of {self.k}"])
        return ["id", "label", "suggested", "score", "votes"], rows

    def _names(self, label):
        return f"{label}" if self.class_names is None else f"{names_of(label, self.class_names)}"

    def _more(self):
        return [f"and {_words.count(len(self) - _SHOWN, 'more candidate')}"] if len(self) > _SHOWN else []


def mislabelled(index: Index, k: int = 10) -> Mislabelled:
    """Find rows whose label may be wrong: more of their nearest neighbors carry some other label.

    Each labelled row is asked of all other labelled rows, exactly; ``UNKNOWN`` has no vote and is not judged.
    Of labels with equal votes the nearest is suggested; of rows with equal scores the one that is nearest to
    its suggested label comes first. A class of ``k / 2`` rows or fewer is easily outvoted: its rows come up
    although they are right.

    Args:
        index: The index of the rows, of any distance.
        k: How many neighbors of a row vote; all others where there are fewer.

    Returns:
        ``Mislabelled``.

    Raises:
        ValueError: If the index is none, is closed or has no labels, or k is below 1.

    References:
        Wilson, Asymptotic Properties of Nearest Neighbor Rules Using Edited Data, 1972 (rows whose neighbors
        disagree).

    Example:
        >>> import numpy as np
        >>> from simnb.collection import mislabelled
        >>> from simnb.index import open_index
        >>> rows = np.repeat(np.eye(2), 20, axis=0) + 0.1 * np.random.default_rng(0).normal(size=(40, 2))
        >>> names = ["cat"] * 19 + ["dog"] * 21  # the last cat is called a dog
        >>> index = open_index()
        >>> _ = index.add(rows, names)
        >>> mislabelled(index)
        1 candidate for a wrong label among 40 labelled rows; the 10 nearest agree with 97.5%
        id  label  suggested  score          votes
        19    dog        cat   1.00  10 to 0 of 10
    """
    k = _checks.positive_int(k, name="k")
    rows = _inputs.read(index)
    labelled = np.flatnonzero(rows.labels != UNKNOWN)
    if not len(labelled):
        raise ValueError(f"mislabelled needs labelled rows, but none of the {len(rows)} rows has a label")
    k = min(k, len(labelled) - 1)
    votes, place = np.zeros((len(labelled), 2), np.int64), np.zeros(len(labelled), np.int64)
    suggested, near = rows.labels[labelled].copy(), np.zeros(len(labelled), np.float32)
    if k:
        embeddings, labels = rows.embeddings[labelled], rows.labels[labelled]
        search, doing = ExactSearch(embeddings, index.distance), "Asking neighbors"
        for some, distances, positions in blocks_of_nearest(search, embeddings, k, among=True, doing=doing):
            votes[some], place[some] = _count(labels[positions], labels[some])
            suggested[some] = labels[positions[np.arange(len(some)), place[some]]]
            near[some] = distances[np.arange(len(some)), place[some]]
    lead = votes[:, 0] - votes[:, 1]
    order = np.lexsort((near, -lead))[: np.count_nonzero(lead > 0)]
    chosen = labelled[order]
    return Mislabelled(
        rows.ids[chosen],
        rows.labels[chosen],
        suggested[order],
        lead[order] / max(k, 1),
        votes[order],
        near[order],
        k,
        len(labelled),
        float((lead <= 0).mean()),
        rows.class_names,
    )


def _count(found, own):
    """Votes for the strongest other label and for a row's own, and the nearest neighbor with the former.

    Args:
        found: Labels of the neighbors, shape [num_rows, k].
        own: Labels of the rows, shape [num_rows].
    """
    votes = np.zeros(found.shape, np.int64)
    for column in range(found.shape[1]):
        votes += found == found[:, column : column + 1]
    same = found == own[:, None]
    votes[same] = 0
    place = votes.argmax(axis=1)  # of equal votes the first, which is the nearest
    return np.stack([votes[np.arange(len(found)), place], same.sum(axis=1)], axis=1), place
