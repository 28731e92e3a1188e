"""Writing to Milvus: options that a collection has to agree with, labels, and rows in messages."""

import re

import numpy as np

from simnb import _checks
from simnb._terminal import progress_bar
from simnb.distances import DISTANCES
from simnb.index._milvus_collection import MAX_DIM, METRICS, code_of
from simnb.index._milvus_filters import packed
from simnb.index._validation import SEARCHES, check_class_names, encode_labels
from simnb.index.results import UNKNOWN

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")


class MilvusWriter:
    """Writes to one ``Collection``.

    Args:
        rows: The collection.
        given: What ``checked_options`` gave.
    """

    def __init__(self, rows, given):
        """Write nothing yet."""
        self._rows, self._given = rows, given

    def create(self, dim, distance):
        """Make the collection for embeddings of one length."""
        if dim > MAX_DIM:
            raise ValueError(f"embeddings must have dim {MAX_DIM} at most in Milvus, got {dim}")
        self._rows.create(dim, distance, self._given["search"] or "exact", self._given["class_names"])
        if self._rows.dim != dim:  # another process was faster
            raise ValueError(f"embeddings must have dim {self._rows.dim} like the index, got {dim}")

    def encoded(self, labels, count):
        """Labels as positions in class names, and the class names: what ``encode_labels`` returns."""
        names, labelled = self._given["class_names"], False
        if self._rows.dim is not None:
            if labels is not None and self._rows.class_names is None:
                self._rows.refresh()
                labelled = self._rows.class_names is None and self._rows.count(f"label != {UNKNOWN}") > 0
            names = self._rows.class_names
        return encode_labels(labels, count=count, class_names=names, labelled=labelled)

    def send(self, ids, embeddings, labels, names, metadata):
        """Write rows, after the names that they need; return how many.

        Raises:
            OSError: If Milvus does not answer; the message says how many rows it has taken.
        """
        values, largest = packed_rows(metadata)
        self._rows.register(names or (), {key for row in metadata for key in row})
        codes = labels if names is None else np.array([*map(code_of, names), UNKNOWN], np.int64)[labels]
        done = 0
        with progress_bar(total=len(ids), desc="Adding to Milvus", unit="row") as bar:
            for rows in self._rows.batches(ids, embeddings, codes, values, largest):
                try:
                    self._rows.write(rows)
                except OSError as error:
                    raise type(error)(f"{error}. {_progress(done, ids)}") from error
                done += len(rows)
                bar.update(len(rows))
        return done


def checked_options(distance, search, class_names, collection, timeout):
    """What a collection has to agree with, where it is given."""
    if distance is not None and distance not in METRICS:
        others = (
            " (the others are for memory: and files such as gallery.sqlite)" if distance in DISTANCES else ""
        )
        raise ValueError(
            f"distance must be one of {', '.join(sorted(METRICS))} in Milvus{others}; got {distance!r}"
        )
    if search is not None:
        _checks.one_of(search, SEARCHES, name="search")
    if not isinstance(collection, str) or not _NAME.fullmatch(collection):
        raise ValueError(
            f"collection must be letters, digits and _, not beginning with a digit, got {collection!r}"
        )
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0
    ):
        raise ValueError(f"timeout must be a number of seconds above 0, got {timeout!r}")
    return {"distance": distance, "search": search, "class_names": check_class_names(class_names)}


def packed_rows(metadata):
    """Metadata as Milvus takes them, a pair of JSON fields a row, and how many bytes the largest has."""
    values, largest = [], 0
    for i, row in enumerate(metadata):
        *pair, size = packed(row, i)
        values.append(pair)
        largest = max(largest, size)
    return values, largest


def _progress(done, ids):
    """What is said of a call that broke off."""
    whole = len(ids) == ids.max() - ids.min() + 1
    span = f"{ids.min()} to {ids.max()}{'' if whole else ', with gaps'}"
    return (
        f'Milvus has taken {done} of {len(ids)} rows, ids {span}; add(..., ids=..., existing="skip") '
        "with the same ids sends the rest"
    )
