"""What every index does: its verbs are checked and described here, once for every place rows can live."""

import abc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._types import AnyPath
from simnb.index._validation import EXISTING, check_ids, check_recall, collected
from simnb.index.hnsw import Tuning
from simnb.index.results import Neighbors, Rows

#: Integers, or strings and None for no label.
Labels: TypeAlias = ArrayLike | Iterable[str | None]
#: A dict for each row, or a column for each name.
Metadata: TypeAlias = Iterable[Mapping[str, object] | None] | Mapping[str, Collection[object]]


class Index(abc.ABC):
    """Rows of embeddings with ids, labels and metadata, and search among them; its length is their number.

    Ids are integers from 0 to 2**62 - 1, unique in an index. Labels are integers, or strings: then
    ``class_names`` names them, and ``labels`` are positions in it. Metadata are a few plain values a row
    (str, int, float, bool, bytes) under names such as ``source``.

    ``where`` names conditions that all have to hold, on ``label``, ``id`` or a name of the metadata:
    ``{"label": 3}`` equals, ``{"source": ["phone", "scan"]}`` is one of, and
    ``{"year": {">=": 2019, "<": 2024}}`` lies within. Numbers, strings, booleans and bytes are never equal to
    one another, and a row that lacks the value meets no condition on it. Text that UTF-8 cannot hold, such as
    some file names, is kept in an escaped form; a condition finds it by either form.

    Every method checks what it is given before anything is changed, and raises a ``ValueError`` that says
    what came and what was expected; after it the index is as it was. After a failure to read or write
    (``OSError``) it is, too; only Milvus may then hold a part of the rows, and says so.

    A ``with`` block closes the index at its end.
    """

    # What an engine says for itself; what the verbs have checked already is not checked again.
    _where: Callable[[], str]  # where its rows are, as people read it; empty in memory
    _is_closed: Callable[[], bool]
    _fact: Callable[[str], Any]  # the value of a property, by its name
    _add: Callable[..., NDArray[np.int64]]
    _update: Callable[..., None]
    _remove: Callable[[NDArray[np.int64]], None]
    _search: Callable[..., Neighbors]
    _get: Callable[[NDArray[np.int64] | None], Rows]
    _blocks: Callable[[int], Iterator[Rows]]
    _save: Callable[[AnyPath], None]
    _tune: Callable[..., list[Tuning]]
    _recall: Callable[[], Tuning]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        parts = [self._where()] if self._where() else []
        if self._is_closed():
            parts.append("closed")
        else:
            parts += [f"{len(self)} rows", f"dim={self.dim}", f"distance={self.distance!r}"]
        return f"{type(self).__name__}({', '.join(parts)})"

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    def distance(self) -> str:
        """What rows are searched by: one of ``simnb.distances.DISTANCES``."""
        return self._fact("distance")

    @property
    def dim(self) -> int | None:
        """Length of an embedding; None until the first row is added."""
        return self._fact("dim")

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label; None where labels are plain integers, or there are none yet."""
        return self._fact("class_names")

    @property
    def ids(self) -> NDArray[np.int64]:
        """Id of every row, in the order of ``blocks``: shape [len] int64."""
        return self._fact("ids")

    @property
    def labels(self) -> NDArray[np.int64]:
        """Label of every row, in the order of ``blocks``: shape [len] int64."""
        return self._fact("labels")

    @property
    def fingerprint(self) -> str:
        """A short name of the rows as they are, such as ``60,000 rows, 0123456789abcdef``.

        Equal where ids, embeddings and labels are, in whatever order. Milvus knows only how many there are.
        """
        return self._fact("fingerprint")

    def add(
        self,
        embeddings: ArrayLike,
        labels: Labels | None = None,
        metadata: Metadata | None = None,
        *,
        ids: ArrayLike | None = None,
        existing: str = "refuse",
    ) -> NDArray[np.int64]:
        """Add rows, all of them or none.

        Args:
            embeddings: Shape [num_examples, dim]; not all zero under cosine.
            labels: Integers or strings, shape [num_examples]; ``UNKNOWN`` for all rows by default.
            metadata: A list of dicts, one a row, or a dict of columns; see the class.
            ids: Integers from 0 to 2**62 - 1, unique, shape [num_examples]. By default new ones: the next
                free ones, or in Milvus consecutive ones from a number that is random in each index that is
                opened, so that no two processes share them.
            existing: What happens to ids that the index holds: ``refuse`` all rows with a ValueError,
                ``replace`` the old rows, or ``skip`` the new ones.

        Returns:
            The ids, shape [num_examples] int64.

        Raises:
            ValueError: If anything is malformed or an id is taken; the index is then unchanged.
            OSError: If the file cannot be written. If Milvus does not answer: the message then says how many
                rows it has taken.
        """
        _checks.one_of(existing, EXISTING, name="existing")
        return self._add(embeddings, collected(labels), collected(metadata), ids, existing)

    def update(
        self,
        ids: ArrayLike,
        *,
        embeddings: ArrayLike | None = None,
        labels: Labels | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        """Change parts of rows, of all of them or none; what is not given stays.

        Args:
            ids: Which rows to change, shape [n].
            embeddings: New ones, shape [n, dim].
            labels: New ones, shape [n].
            metadata: Values to set, as in ``add``; None removes one, and what is not named stays.

        Raises:
            ValueError: If an id is not in the index or anything is malformed; nothing is then changed.
            OSError: As in ``add``.
        """
        self._update(check_ids(ids), embeddings, collected(labels), collected(metadata))

    def remove(self, ids: ArrayLike) -> None:
        """Remove rows, all of them or none.

        Args:
            ids: Which rows to remove, shape [n].

        Raises:
            ValueError: If an id is not in the index; nothing is then removed.
            OSError: As in ``add``.
        """
        self._remove(check_ids(ids))

    def search(
        self, embeddings: ArrayLike, k: int = 5, *, where: Mapping[str, object] | None = None
    ) -> Neighbors:
        """Find the k nearest rows of each query.

        Args:
            embeddings: Queries, shape [num_queries, dim].
            k: How many neighbors. Where there are fewer rows, the rest of each line is padded with
                distance ``inf``, id -1 and label ``UNKNOWN``.
            where: Conditions that rows have to meet; see the class. In memory and over a file such a search
                is exact. Where a graph of Milvus finds fewer than k rows that meet them, the others are
                looked for exactly.

        Returns:
            ``Neighbors``, nearest first; equal distances in the order of ``blocks``, but in Milvus in any.

        Raises:
            ValueError: If the queries or a condition are malformed, or k is below 1.
            OSError: If the file cannot be read, or Milvus does not answer.
        """
        return self._search(embeddings, _checks.positive_int(k, name="k"), where)

    def get(self, ids: ArrayLike | None = None) -> Rows:
        """Return rows.

        Args:
            ids: Shape [n], in any order; by default all rows, in the order of ``blocks``.

        Returns:
            ``Rows``: copies, in the order of ``ids``.

        Raises:
            ValueError: If an id is not in the index.
        """
        return self._get(None if ids is None else check_ids(ids, unique=False))

    def blocks(self, size: int = 10_000) -> Iterator[Rows]:
        """Go through all rows: in the order they were added, or in Milvus by ascending id.

        Rows that are added or removed meanwhile may or may not be among them.

        Args:
            size: How many rows at a time.

        Returns:
            An iterator of ``Rows``.
        """
        return self._blocks(_checks.positive_int(size, name="size"))

    def save(self, path: AnyPath) -> None:
        """Write all rows into one SQLite file, which ``open_index(path)`` opens.

        This is how to copy an index, even while others use it.

        Args:
            path: Name of the file, ``.sqlite``. An index that is there is replaced in one transaction:
                a reader sees the old rows or the new ones, even after a kill or a full disk.

        Raises:
            ValueError: If another kind of file is there, or it is this index's own.
            OSError: If it cannot be written; an index that was there is then as before.
        """
        self._save(path)

    def tune(self, queries: ArrayLike, target_recall: float = 0.95, *, k: int = 10) -> list[Tuning]:
        """Choose how thoroughly the graph is searched, on queries of your own.

        Ever slower settings are tried and compared with exact search, until the target is reached. It needs
        ``search="hnsw"``. In Milvus all rows are read once for that, and what is chosen is kept there, for
        every process that uses the index.

        Args:
            queries: Embeddings like those that will be asked, shape [num_queries, dim]; some hundreds.
            target_recall: Share of the true k nearest that is to be found.
            k: How many neighbors.

        Returns:
            A list of ``Tuning(breadth, recall, milliseconds)``, one for each setting tried. The last is used
            from now on; in memory and over a file, until the graph is measured or built again, as the index
            grows or rows are removed.

        Raises:
            ValueError: If the index is empty or not searched by a graph, or something is malformed.
        """
        target = check_recall(target_recall, name="target_recall")
        return self._tune(queries, target, _checks.positive_int(k, name="k"))

    @property
    def recall(self) -> Tuning:
        """What the graph finds of the true 10 nearest, as it was last measured.

        A ``Tuning(breadth, recall, milliseconds)``: of some of the index's own rows, or of the queries that
        ``tune`` was given. It is measured when the graph is built and as it grows. Milvus measures when an
        index of more than 1,024 rows is first searched and whenever it has doubled, which reads all rows.

        Raises:
            ValueError: If the index is empty or not searched by a graph.
        """
        return self._recall()

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of rows, files and connections; the index refuses every call from now on."""
