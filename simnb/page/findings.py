"""What was found in a collection, by the positions of its images on the page."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb._text import visible
from simnb.collection import Leaks, Mislabelled, NearDuplicates
from simnb.data import Examples
from simnb.distances import paired


def found(
    examples: Examples,
    embeddings: NDArray[np.float32],
    duplicates: NearDuplicates | None,
    leaks: Leaks | None,
    mislabelled: Mislabelled | None,
) -> dict[str, Any]:
    """What the page gets of each, by its name; nothing of what is None.

    Raises:
        ValueError: If one is of another kind, or was found among other images.
    """
    given = {"duplicates": duplicates, "leaks": leaks, "mislabelled": mislabelled}
    kinds = {"duplicates": NearDuplicates, "leaks": Leaks, "mislabelled": Mislabelled}
    for name, value in given.items():
        if value is not None and not isinstance(value, kinds[name]):
            raise ValueError(f"{name} must be {kinds[name].__name__} or None, got {type(value).__name__}")
    result = {}
    if duplicates is not None:
        result["duplicates"] = _duplicates(examples, embeddings, duplicates)
    if leaks is not None:
        result["leaks"] = _leaks(examples, embeddings, leaks)
    if mislabelled is not None:
        result["mislabelled"] = _mislabelled(examples, mislabelled)
    return result


def _places(examples, ids, name):
    """Positions on the page of images that were found by their ids, shape of ``ids``."""
    order = np.argsort(examples.ids, kind="stable")
    places = order[np.searchsorted(examples.ids, ids, sorter=order).clip(max=len(order) - 1)]
    strange = examples.ids[places] != ids
    if strange.any():
        raise ValueError(
            f"{name} must be found among these examples, by their ids, got id {ids[strange][0]}, which none "
            "of them has; give the index the ids: index.add(embeddings, labels, ids=examples.ids)"
        )
    return places


def _same_distances(apart, stated, name):
    """Complain of finds whose images are not as far apart here as they were where they were found."""
    if not np.allclose(apart, stated, rtol=1e-3, atol=1e-6):
        raise ValueError(
            f"{name} must name these examples by their ids, but the images of a find are not as far apart "
            "as it says; find them in indexes that were given the ids and the embeddings in the same order"
        )


def _duplicates(examples, embeddings, duplicates):
    places = _places(examples, duplicates.ids, "duplicates")
    starts = np.flatnonzero(np.diff(duplicates.group)) + 1
    groups = np.split(places, starts) if len(places) else []
    distances = np.split(duplicates.distances, starts) if len(places) else []
    if len(places):
        _same_distances(*_of_the_first(embeddings, places, duplicates), "duplicates")
    return {
        "sentence": _nearly(duplicates) + " A chain of such pairs makes a group.",
        "groups": [
            [*zip(group.tolist(), near.tolist(), strict=True)]
            for group, near in zip(groups, distances, strict=True)
        ],
    }


def _of_the_first(embeddings, places, duplicates):
    """Distance of the first image of each group to the nearest other one of it, and what is stated.

    Under ``snr``, which is not symmetric, what is stated is right between the two distances.
    """
    group, distance = duplicates.group, duplicates.distance
    first = np.flatnonzero(np.diff(group, prepend=-1))
    others = np.setdiff1d(np.arange(len(group)), first)
    one, other = embeddings[places[first[group[others]]]], embeddings[places[others]]
    there, back = np.full((2, len(first)), np.inf)
    np.minimum.at(there, group[others], paired(one, other, distance))
    np.minimum.at(back, group[others], paired(other, one, distance))
    stated = duplicates.distances[first]
    return np.clip(stated, np.minimum(there, back), there), stated


def _leaks(examples, embeddings, leaks):
    own, other = (_places(examples, ids, "leaks") for ids in (leaks.ids, leaks.other_ids))
    if len(own):
        apart = paired(embeddings[own], embeddings[other], leaks.distance)
        _same_distances(apart, leaks.distances, "leaks")
    columns = own, leaks.part, other, leaks.other, leaks.distances
    finds = sorted(zip(*(column.tolist() for column in columns), strict=True), key=lambda find: find[-1])
    return {
        "sentence": _nearly(leaks),
        "finds": [
            [image, visible(part), also, visible(earlier), near] for image, part, also, earlier, near in finds
        ],
    }


def _mislabelled(examples, candidates):
    places = _places(examples, candidates.ids, "mislabelled")
    names = [*map(visible, examples.class_names)]
    if (examples.labels[places] != candidates.labels).any():
        raise ValueError(
            "mislabelled must be found among the labels of these examples, but a candidate has another one; "
            "find them in an index that was given the ids and the labels in the same order"
        )
    if candidates.suggested.max(initial=0) >= len(names):
        raise ValueError(f"mislabelled must have labels of these examples, which have {len(names)} classes")
    return {
        "sentence": f"More of their {candidates.k} nearest neighbors carry another label. None is proof. "
        f"The neighbors agree with {candidates.agreement:.1%} of {candidates.num_rows:,} labelled images.",
        "candidates": [
            [place, names[label], *votes]
            for place, label, votes in zip(
                places.tolist(), candidates.suggested.tolist(), candidates.votes.tolist(), strict=True
            )
        ],
    }


def _nearly(result):
    """How near the images of a find are, and how many would be by chance."""
    expected = result.chance_pairs
    chance = ""
    if not np.isnan(expected):
        pairs = f"{expected:.2g}" if expected < 99.5 else f"{expected:,.0f}"
        chance = f" Pairs of different images expected that near by chance: {pairs}."
    return f"At most {result.threshold:.3g} apart by {result.distance} distance.{chance}"
