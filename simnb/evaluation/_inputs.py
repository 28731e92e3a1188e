"""Embeddings with their labels, checked and indexed."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.index import Index, open_index

#: Embeddings, shape [n, dim], and their labels, shape [n].
Labelled: TypeAlias = tuple[ArrayLike, ArrayLike]


def pair(part: Labelled, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the two as arrays, or raise ValueError."""
    try:
        embeddings, labels = part
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a pair (embeddings, labels), got {type(part).__name__}") from None
    embeddings = _checks.not_empty(_checks.embeddings(embeddings, name=f"{name} embeddings"), name=name)
    return embeddings, _checks.labels(labels, count=len(embeddings), name=f"{name} labels")


def index_of(rows: NDArray, labels: NDArray, distance: str) -> Index:
    """An index in memory that holds them; their ids are their positions."""
    index = open_index(distance=distance)
    index.add(rows, labels)
    return index
