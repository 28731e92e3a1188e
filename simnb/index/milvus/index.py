"""An index whose rows are in Milvus: a folder on this machine (Milvus Lite), a server or a cluster."""

import re
from collections.abc import Iterable

import numpy as np

from simnb import _checks
from simnb._terminal import progress_bar
from simnb.distances import DISTANCES
from simnb.index import _filters, _validation
from simnb.index._sqlite_file import Settings, write_file
from simnb.index.base import Index
from simnb.index.milvus.client import Connection
from simnb.index.milvus.collection import LIMIT, MAX_DIM, METRICS, Collection, code_of
from simnb.index.milvus.filters import packed
from simnb.index.milvus.search import MilvusSearch
from simnb.index.results import UNKNOWN, Neighbors, Rows, no_neighbors

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")


class MilvusIndex(Index):
    """Rows in Milvus, which searches them.

    Many processes may use one server. An id is the key: what is added again takes the place of what was
    there, so a call that broke off can be repeated. A call of more rows than one message holds (1,000, or
    16 MB) is sent in several, and one that breaks off leaves the first of them; everything is checked
    before the first is sent. Milvus computes in float32: embeddings must have a norm from 1e-15 to 9e18.

    Args are those of ``open_index``; a collection that is there keeps its own ``distance``, ``search`` and
    ``class_names``. The rows are in ``<collection>`` and names in ``<collection>_names``, which are made when
    the first rows are added. A call to a server that is down fails after twice the ``timeout`` at the latest.

    Raises:
        ValueError: If an option is malformed, or the collection is of something else.
        OSError: If Milvus does not answer (``ConnectionError``, ``TimeoutError``) or refuses.
        ImportError: If pymilvus is not installed.
    """

    def __init__(
        self,
        uri: str,
        *,
        distance: str | None = None,
        search: str | None = None,
        recall: float = 0.95,
        class_names: Iterable[str] | None = None,
        collection: str = "simnb",
        token: str | None = None,
        timeout: float | None = None,
    ):
        self._given = _checked_options(distance, search, class_names, collection)
        if timeout is not None:
            timeout = _checks.number(timeout, name="timeout", above=0, hint="; it is in seconds")
        recall = _validation.check_recall(recall)
        self._distance = distance or "cosine"
        self._agreed = False  # whether the collection was seen to be what was asked for
        self._next_id = int(np.random.default_rng().integers(2**62 - 2**48))
        self._connection = Connection(uri, token=token, timeout=timeout)
        self._rows = Collection(self._connection, collection)
        try:
            self._find = MilvusSearch(self._rows, recall=recall, lists=not self._connection.lite)
            self._attached()
        except BaseException:
            self.close()
            raise

    def _where(self):
        return f"{self._connection.shown!r}, collection={self._rows.name!r}"

    def _is_closed(self):
        return self._connection.closed

    def _fact(self, name):
        if name == "distance":  # also before there is a collection
            return self._distance
        if name == "fingerprint":  # to see whether a row has changed, all would have to be fetched
            return f"{len(self):,} rows"
        if not self._attached():
            return {"dim": None, "class_names": self._given["class_names"]}.get(name, np.empty(0, np.int64))
        if name == "ids":
            return self._rows.ids()
        if name == "labels":
            return self._rows.labels_of([row["label"] for row in self._rows.rows("", ["label"], LIMIT)])
        if name == "class_names":
            self._rows.refresh()
        return getattr(self._rows, name)

    def __len__(self) -> int:
        return self._rows.count() if self._attached() else 0

    def _add(self, embeddings, labels, metadata, ids, existing):
        attached = self._attached()
        embeddings = _validation.check_embeddings(embeddings, index=self, in_float32=True)
        labels, names = self._encoded(labels, len(embeddings))
        metadata = _validation.check_metadata(metadata, count=len(embeddings))
        packed(metadata)  # what Milvus could not take is refused before anything is sent
        new = np.ones(len(embeddings), bool)
        checked = _validation.next_ids(ids, len(embeddings), self._next_id)
        if ids is None:
            self._next_id += len(embeddings)
        elif attached and existing != "replace":
            new = ~self._rows.held(checked)
            if existing == "refuse":
                _validation.check_new(checked, ~new)
        if len(embeddings) == 0:
            return checked
        if not attached:
            self._create(embeddings.shape[1])
        self._send(checked[new], embeddings[new], labels[new], names, metadata[new])
        return checked

    def _update(self, ids, embeddings, labels, metadata):
        old = self._get(ids)
        names, new_labels, new_metadata = old.class_names, old.labels, old.metadata
        if embeddings is None:
            embeddings = old.embeddings
        else:
            embeddings = _validation.check_embeddings(embeddings, index=self, in_float32=True)
            _checks.same_length(embeddings, ids, "embeddings and ids")
        if labels is not None:
            new_labels, names = self._encoded(labels, len(ids))
        if metadata is not None:
            metadata = _validation.check_metadata(metadata, count=len(ids), removing=True)
            new_metadata = _validation.merged(old.metadata, metadata)
        self._send(ids, embeddings, new_labels, names, new_metadata)

    def _remove(self, ids):
        _validation.check_held(ids, self._rows.held(ids) if self._attached() else np.zeros(len(ids), bool))
        self._rows.remove(ids)

    def _search(self, embeddings, k, where):
        attached = self._attached()
        queries = _validation.check_embeddings(embeddings, index=self, name="queries", in_float32=True)
        if not attached:
            _filters.conditions(where, self.class_names)
            return Neighbors(*no_neighbors(len(queries), k), self.distance, self.class_names)
        wanted = self._find.conditions(where)
        parts = self._find(queries, k, wanted if len(queries) else [])
        return Neighbors(*parts, self.distance, self._rows.class_names)

    def _get(self, ids):
        if ids is None:
            return self._joined(list(self.blocks()))
        if not self._attached():
            _validation.check_held(ids, np.zeros(len(ids), bool))
            return self._joined([])
        found = self._rows.get(np.unique(ids))
        _validation.check_held(ids, np.isin(ids, found.ids))
        order = np.argsort(found.ids)
        at = order[np.searchsorted(found.ids, ids, sorter=order)]
        return Rows(ids, found.embeddings[at], found.labels[at], found.metadata[at], found.class_names)

    def _blocks(self, size):
        if self._attached():
            yield from self._rows.blocks("", size)

    def _save(self, path):
        next_id = min(int(self.ids.max(initial=-1)) + 1, 2**62 - 1)
        settings = Settings(self.distance, next_id=next_id, class_names=self.class_names)
        write_file(path, self.blocks(), settings)

    def close(self) -> None:
        """Let go of the connection, and of the folder of Milvus Lite."""
        self._connection.close()

    def _tune(self, queries, target, k):
        queries = _validation.check_embeddings(queries, index=self, name="queries", in_float32=True)
        queries = _checks.not_empty(queries, name="queries")
        return self._find.tune(queries, target, min(k, self._check_graph("tune")))

    def _recall(self):
        self._check_graph("recall")
        return self._find.measured()

    def _attached(self):
        """Whether the collection is there; it is taken up when it is first seen."""
        self._connection.check_open()
        if self._agreed:
            return True
        if self._rows.dim is None and not self._rows.attach():
            return False
        stored = {name: getattr(self._rows, name) for name in self._given}
        of = f"collection {self._rows.name!r} of {self._connection.shown}"
        _validation.check_same(self._given, stored, of=of)
        self._distance, self._agreed = self._rows.distance, True
        return True

    def _create(self, dim):
        """Make the collection for embeddings of one length."""
        if dim > MAX_DIM:
            raise ValueError(f"embeddings must have dim {MAX_DIM} at most in Milvus, got {dim}")
        self._rows.create(dim, self.distance, self._given["search"] or "exact", self._given["class_names"])
        if self._rows.dim != dim:  # another process was faster
            raise ValueError(f"embeddings must have dim {self._rows.dim} like the index, got {dim}")
        self._attached()

    def _encoded(self, labels, count):
        """Labels as positions in class names, and the class names, as they may be by now."""
        names, labelled = self._given["class_names"], False
        if self._rows.dim is not None:
            if labels is not None and self._rows.class_names is None:
                self._rows.refresh()
                labelled = self._rows.class_names is None and self._rows.count(f"label != {UNKNOWN}") > 0
            names = self._rows.class_names
        return _validation.encode_labels(labels, count, names, labelled=labelled)

    def _send(self, ids, embeddings, labels, names, metadata):
        """Write rows, after the names that they need; an ``OSError`` says how many rows Milvus has taken."""
        if len(ids) == 0:
            return
        values, largest = packed(metadata)
        self._rows.register(names or (), {key for row in metadata for key in row})
        codes = labels if names is None else np.array([*map(code_of, names), UNKNOWN], np.int64)[labels]
        done = 0
        with progress_bar(total=len(ids), desc="Adding to Milvus", unit="row") as bar:
            for rows in self._rows.batches(ids, embeddings, codes, values, largest):
                try:
                    self._rows.write(rows)
                except OSError as error:
                    gaps = "" if len(ids) == ids.max() - ids.min() + 1 else ", with gaps"
                    raise type(error)(
                        f"{error}. Milvus has taken {done} of {len(ids)} rows, ids {ids.min()} to {ids.max()}"
                        f'{gaps}; add(..., ids=..., existing="skip") with the same ids sends the rest'
                    ) from error
                done += len(rows)
                bar.update(len(rows))
        self._find.added(done)

    def _joined(self, blocks):
        nobody = np.empty(0, np.int64)
        none = Rows(nobody, np.empty((0, self._rows.dim or 0), np.float32), nobody, np.empty(0, object))
        parts = [(rows.ids, rows.embeddings, rows.labels, rows.metadata) for rows in (none, *blocks)]
        return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)), self.class_names)

    def _check_graph(self, verb):
        search, count = self._rows.search if self._attached() else self._given["search"], len(self)
        _validation.check_graph(verb, search=search, count=count)
        return count


def _checked_options(distance, search, class_names, collection):
    """What a collection has to agree with, where it is given."""
    if distance is not None and distance not in METRICS:
        others = " (the others are for memory: and files such as gallery.sqlite)"
        raise ValueError(
            f"distance must be one of {', '.join(sorted(METRICS))} in Milvus"
            f"{others if distance in DISTANCES else ''}; got {distance!r}"
        )
    if search is not None:
        _checks.one_of(search, _validation.SEARCHES, name="search")
    if not isinstance(collection, str) or not _NAME.fullmatch(collection):
        raise ValueError(
            f"collection must be letters, digits and _, not beginning with a digit, got {collection!r}"
        )
    return {"distance": distance, "search": search, "class_names": _validation.check_class_names(class_names)}
