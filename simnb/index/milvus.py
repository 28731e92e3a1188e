"""An index whose rows are in Milvus: a folder on this machine (Milvus Lite), a server or a cluster."""

import numpy as np

from simnb import _checks
from simnb.index._filters import conditions
from simnb.index._milvus_collection import LIMIT, Collection
from simnb.index._milvus_connection import Connection
from simnb.index._milvus_search import MilvusSearch
from simnb.index._milvus_write import MilvusWriter, checked_options, packed_rows
from simnb.index._sqlite_file import write_file
from simnb.index._validation import (
    EXISTING,
    check_embeddings,
    check_ids,
    check_metadata,
    check_recall,
    merged,
    next_ids,
    taken_ids,
)
from simnb.index.hnsw import Tuning
from simnb.index.results import UNKNOWN, Neighbors, Rows


class MilvusIndex:
    """Rows in Milvus, which searches them.

    Many processes may use one server. An id is the key: what is added again takes the place of what was
    there, so a call that broke off can be repeated. A call of more rows than one message holds (1,000, or
    16 MB) is sent in several, and one that breaks off leaves the first of them; everything is checked
    before the first is sent. Milvus computes in float32: embeddings must have a norm from 1e-15 to 9e18.

    Args:
        uri: ``gallery.db``, a folder that Milvus Lite makes, for one process at a time; or ``http``,
            ``https`` or ``tcp`` with a host, for example ``http://localhost:19530``.
        distance: ``cosine``, ``euclidean``, ``squared_euclidean`` or ``inner_product``; of a collection
            that is there, its own.
        search: ``exact``, or ``hnsw`` for a graph; of a collection that is there, its own.
        recall: What share of the true neighbors the graph is to find.
        class_names: Name of each label; of a collection that is there, its own.
        collection: Its name in Milvus; a second one, ``<collection>_names``, is beside it. Both are made
            when the first rows are added.
        token: For a server that asks for one, ``user:password``.
        timeout: Seconds a call may take: 10 with a server and 300 with a file when left out. A call to a
            server that is down fails after twice that at the latest.

    Raises:
        ValueError: If an option is malformed, or the collection is of something else.
        OSError: If Milvus does not answer (``ConnectionError``, ``TimeoutError``) or refuses.
        ImportError: If pymilvus is not installed.
    """

    def __init__(
        self,
        uri,
        *,
        distance=None,
        search=None,
        recall=0.95,
        class_names=None,
        collection="simnb",
        token=None,
        timeout=None,
    ):
        """Connect, and take up the collection if it is there."""
        self._given = checked_options(distance, search, class_names, collection, timeout)
        recall = check_recall(recall)
        self.distance = distance or "cosine"
        self._next_id = int(np.random.default_rng().integers(2**62 - 2**48))
        self._connection = Connection(uri, token=token, timeout=timeout)
        self._rows = Collection(self._connection, collection)
        try:
            self._write = MilvusWriter(self._rows, self._given)
            self._find = MilvusSearch(self._rows, recall=recall, lists=not self._connection.lite)
            self._attached()
        except BaseException:
            self.close()
            raise

    def __repr__(self):
        """Where it is, and its size and distance."""
        where = f"{self._connection.shown!r}, collection={self._rows.name!r}"
        if self._connection.closed:
            return f"MilvusIndex({where}, closed)"
        return f"MilvusIndex({where}, {len(self)} rows, dim={self.dim}, distance={self.distance!r})"

    def __enter__(self):
        """The index itself."""
        return self

    def __exit__(self, *_):
        """Close."""
        self.close()

    @property
    def dim(self):
        """Length of an embedding; None until the first row is added."""
        return self._rows.dim if self._attached() else None

    @property
    def class_names(self):
        """Name of each label; None where labels are plain integers, or there are none yet."""
        if not self._attached():
            return self._given["class_names"]
        self._rows.refresh()
        return self._rows.class_names

    @property
    def ids(self):
        """Id of every row, ascending: shape [len] int64."""
        if not self._attached():
            return np.empty(0, np.int64)
        return np.array([row["id"] for row in self._rows.rows("", [], LIMIT)], np.int64)

    @property
    def labels(self):
        """Label of every row, by ascending id: shape [len] int64."""
        if not self._attached():
            return np.empty(0, np.int64)
        return self._rows.labels_of([row["label"] for row in self._rows.rows("", ["label"], LIMIT)])

    @property
    def fingerprint(self):
        """How many rows there are: to see whether one of them has changed, all would have to be fetched."""
        return f"{len(self):,} rows"

    def __len__(self):
        """How many rows are indexed."""
        return self._rows.count() if self._attached() else 0

    def add(self, embeddings, labels=None, metadata=None, *, ids=None, existing="refuse"):
        """Add rows.

        Args:
            embeddings: Shape [num_examples, dim]; not all zero under cosine.
            labels: Integers or strings, shape [num_examples]; ``UNKNOWN`` when left out.
            metadata: A list of dicts, one a row, or a dict of columns; see ``Index``.
            ids: Integers from 0 to 2**62 - 1, unique, shape [num_examples]. When left out, new ones:
                consecutive, from a number that is random in each index that is opened, so that no two
                processes share them.
            existing: What happens to ids that the index holds: ``refuse`` all rows with a ValueError,
                ``replace`` the old rows, or ``skip`` the new ones. With ``skip`` only what is missing is
                sent.

        Returns:
            The ids, shape [num_examples] int64.

        Raises:
            ValueError: If anything is malformed or an id is taken; the index is then unchanged.
            OSError: If Milvus does not answer; the message says how many rows it has taken.
        """
        _checks.one_of(existing, EXISTING, name="existing")
        attached = self._attached()
        embeddings = check_embeddings(embeddings, index=self, in_float32=True)
        labels, names = self._write.encoded(labels, len(embeddings))
        metadata = check_metadata(metadata, count=len(embeddings))
        packed_rows(metadata)  # what Milvus could not take is refused before anything is sent
        new = np.ones(len(embeddings), bool)
        checked = next_ids(ids, len(embeddings), self._next_id)
        if ids is None:
            self._next_id += len(embeddings)
        elif attached and existing != "replace":
            new = ~self._rows.held(checked)
            if existing == "refuse" and not new.all():
                raise ValueError(taken_ids(checked[~new]))
        if len(embeddings) == 0:
            return checked
        if not attached:
            self._write.create(embeddings.shape[1], self.distance)
            self._attached()
        self._send(checked[new], embeddings[new], labels[new], names, metadata[new])
        return checked

    def update(self, ids, *, embeddings=None, labels=None, metadata=None):
        """Change parts of rows: they are read, changed and written again.

        Args:
            ids: Shape [n].
            embeddings: New ones, shape [n, dim]; kept when left out.
            labels: New ones, shape [n]; kept when left out.
            metadata: Values to set, as in ``add``; None removes one, and what is not named stays.

        Raises:
            ValueError: If an id is not in the index or anything is malformed; nothing is then changed.
            OSError: If Milvus does not answer; the message says how many rows it has taken.
        """
        ids = check_ids(ids)
        old = self.get(ids)
        new, names = {"labels": old.labels, "metadata": old.metadata}, old.class_names
        new["embeddings"] = old.embeddings
        if embeddings is not None:
            new["embeddings"] = check_embeddings(embeddings, index=self, in_float32=True)
            _checks.same_length(new["embeddings"], ids, "embeddings and ids")
        if labels is not None:
            new["labels"], names = self._write.encoded(labels, len(ids))
        if metadata is not None:
            metadata = check_metadata(metadata, count=len(ids), removing=True)
            new["metadata"] = merged(old.metadata, metadata)
        self._send(ids, new["embeddings"], new["labels"], names, new["metadata"])

    def remove(self, ids):
        """Remove rows.

        Args:
            ids: Shape [n].

        Raises:
            ValueError: If an id is not in the index; nothing is then removed.
        """
        ids = check_ids(ids)
        self._check_held(ids, self._rows.held(ids) if self._attached() else np.zeros(len(ids), bool))
        self._rows.remove(ids)

    def search(self, embeddings, k=5, *, where=None):
        """Find the k nearest rows of each query.

        Args:
            embeddings: Queries, shape [num_queries, dim].
            k: How many neighbors. Where there are fewer rows, the rest of each line is padded with
                distance ``inf``, id -1 and label ``UNKNOWN``.
            where: Conditions that rows have to meet (see ``Index``). Where a graph finds fewer than k rows
                that meet them, the others are looked for exactly.

        Returns:
            ``Neighbors``, nearest first.

        Raises:
            ValueError: If the queries or a condition are malformed, or k is below 1.
            OSError: If Milvus does not answer.
        """
        attached = self._attached()
        queries = check_embeddings(embeddings, index=self, name="queries", in_float32=True)
        k = _checks.positive_int(k, name="k")
        if not attached:
            conditions(where, self.class_names)
            shape = (len(queries), k)
            nobody = np.full(shape, np.inf, np.float32), np.full(shape, -1), np.full(shape, UNKNOWN)
            return Neighbors(*nobody, self.distance, self.class_names)
        wanted = self._find.conditions(where)
        parts = self._find(queries, k, wanted if len(queries) else [])
        return Neighbors(*parts, self.distance, self._rows.class_names)

    def get(self, ids=None):
        """Return rows.

        Args:
            ids: Shape [n]; all rows, by ascending id, when left out.

        Returns:
            ``Rows``, in the order of ``ids``.

        Raises:
            ValueError: If an id is not in the index.
        """
        if ids is None:
            return self._joined(list(self.blocks()))
        ids = check_ids(ids, unique=False)
        if not self._attached():
            self._check_held(ids, np.zeros(len(ids), bool))
            return self._joined([])
        found = self._rows.get(np.unique(ids))
        self._check_held(ids, np.isin(ids, found.ids))
        order = np.argsort(found.ids)
        at = order[np.searchsorted(found.ids, ids, sorter=order)]
        return Rows(ids, found.embeddings[at], found.labels[at], found.metadata[at], found.class_names)

    def blocks(self, size=10_000):
        """Go through all rows, by ascending id, ``size`` at a time.

        Rows that are added or removed meanwhile may or may not be among them.
        """
        size = _checks.positive_int(size, name="size")
        if self._attached():
            yield from self._rows.blocks("", size)

    def save(self, path):
        """Write all rows into one SQLite file, which ``open_index(path)`` opens.

        Args:
            path: Name of the file, ``.sqlite``. An index that is there is replaced in one transaction.

        Raises:
            ValueError: If another kind of file is there.
            OSError: If it cannot be written; an index that was there is then as before.
        """
        next_id = min(int(self.ids.max(initial=-1)) + 1, 2**62 - 1)
        write_file(path, self.blocks(), distance=self.distance, class_names=self.class_names, next_id=next_id)

    def close(self):
        """Let go of the connection, and of the folder of Milvus Lite."""
        self._connection.close()

    def tune(self, queries, target_recall=0.95, *, k=10):
        """Choose how widely the graph is searched, on queries of your own.

        All rows are read once, for the true neighbors: an index of many millions takes its time. It needs
        ``search="hnsw"``. What is chosen is kept in Milvus, for every process that uses the index.

        Args:
            queries: Embeddings like those that will be asked, shape [num_queries, dim]; some hundreds.
            target_recall: Share of the true k nearest that is to be found.
            k: How many neighbors.

        Returns:
            A list of ``Tuning(breadth, recall, milliseconds)``, one for each setting tried; the last is used
            from now on.

        Raises:
            ValueError: If the index is empty or not searched by a graph, or something is malformed.
        """
        queries = check_embeddings(queries, index=self, name="queries", in_float32=True)
        queries = _checks.not_empty(queries, name="queries")
        k, target = _checks.positive_int(k, name="k"), check_recall(target_recall, name="target_recall")
        return self._find.tune(queries, target, min(k, self._check_graph("tune")))

    @property
    def recall(self) -> Tuning:
        """What the graph finds of the true 10 nearest, measured on a sample of the index's own rows.

        A ``Tuning(breadth, recall, milliseconds)``. It is measured, which reads all rows, when an index of
        more than 1,024 rows is first searched and whenever it has doubled, and kept in Milvus.

        Raises:
            ValueError: If the index is empty or not searched by a graph.
        """
        self._check_graph("recall")
        return self._find.measured()

    def _attached(self):
        """Whether the collection is there; it is taken up when it is first seen."""
        self._connection.check_open()
        if self._rows.dim is not None:
            return True
        if not self._rows.attach():
            return False
        stored = {name: getattr(self._rows, name) for name in self._given}
        for name, given in self._given.items():
            if given is not None and given != stored[name]:
                where = f"collection {self._rows.name!r} of {self._connection.shown}"
                raise ValueError(
                    f"{name} must be that of {where}, {stored[name]!r}, got {given!r}; leave it out"
                )
        self.distance = self._rows.distance
        return True

    def _send(self, ids, embeddings, labels, names, metadata):
        if len(ids):
            self._find.added(self._write.send(ids, embeddings, labels, names, metadata))

    def _check_held(self, ids, held):
        if not held.all():
            raise ValueError(
                f"ids must be in the index, but {(~held).sum()} of {len(ids)} are not, "
                f"for example id {ids[~held][0]}"
            )

    def _joined(self, blocks):
        parts = [(rows.ids, rows.embeddings, rows.labels, rows.metadata) for rows in blocks]
        empty = np.empty((0, self._rows.dim or 0), np.float32)
        parts.append((np.empty(0, np.int64), empty, np.empty(0, np.int64), np.empty(0, object)))
        return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)), self.class_names)

    def _check_graph(self, verb):
        kind = self._rows.search if self._attached() else self._given["search"]
        if kind != "hnsw":
            raise ValueError(f'{verb} needs open_index(..., search="hnsw"): exact search always finds all')
        count = len(self)
        if count == 0:
            raise ValueError(f"{verb} needs rows, but the index is empty: call add(...) first")
        return count
