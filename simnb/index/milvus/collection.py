"""How rows lie in Milvus: two collections, one of rows and one of names.

``<collection>`` has the fields ``id``, ``<distance>_embedding`` (as it was added), ``label``, ``metadata``
(JSON by kind: ``metadata["number"]["year"]``) and ``bytes`` (JSON, base64). ``<collection>_names`` has what
grows with the rows: names of classes and of metadata, and how search was tuned.

Milvus has no transactions, and many processes may add at once. So names are only ever added, each under an
id made of the time, and the label of a class with a name is a hash of the name: whoever adds it, it is the
same.
"""

import hashlib
import itertools
import os
import time

import numpy as np

from simnb.distances import BY_NAME
from simnb.index.milvus.filters import MEMBERS, unpacked
from simnb.index.results import UNKNOWN, Rows, no_neighbors

METRICS = {"cosine": "COSINE", "euclidean": "L2", "squared_euclidean": "L2", "inner_product": "IP"}
INDEXES = {"exact": "FLAT", "hnsw": "HNSW"}
LIMIT = 16_384  # rows in one answer, and k of one search
MAX_DIM = 32_768
_GRAPH = {"M": 16, "efConstruction": 100}
_BYTES = 16_000_000  # of rows in one message; a server takes 64 MB
_BATCH = 1_000
_LIKE_A_HASH = 2**40


class Collection:
    """The two collections under one name: all that is asked of Milvus.

    ``dim``, ``distance`` and ``search`` are None until it is attached or created; ``class_names``, ``keys``
    and ``tuning`` are as they were last read. ``codes`` maps labels to those in Milvus, and is None where
    they are plain integers.
    """

    def __init__(self, connection, name):
        self._connection, self.name = connection, name
        self._names = f"{name}_names"
        self.dim = self.distance = self.search = None
        self._vector = self._fields = self._page = None  # field of embeddings, all fields, rows in an answer
        self.class_names = self.codes = self.tuning = None
        self.keys = set()
        self._last = 0  # the largest id among the names

    def attach(self):
        """Take up the collections, if they are there; whether they are."""
        if not self._call("has_collection"):
            return False
        fields = {field["name"]: field for field in self._call("describe_collection")["fields"]}
        vector = next((name for name in METRICS if f"{name}_embedding" in fields), None)
        index = self._index(f"{vector}_embedding") if vector else {}
        known = set(fields) == {"id", f"{vector}_embedding", "label", "metadata", "bytes"}
        kinds = {index_type: search for search, index_type in INDEXES.items()}
        if not known or index.get("metric_type") != METRICS[vector] or index.get("index_type") not in kinds:
            raise ValueError(
                f"collection {self.name!r} of {self._connection.shown} must be one that simnb made, got "
                f"fields {', '.join(fields)}; choose another name with open_index(..., collection=...)"
            )
        call = self._connection.call
        call("load_collection", self._names, _async=True)
        for name in (self.name, self._names):
            call("load_collection", name)
        self.refresh()
        self.distance, self.search = vector, kinds[index["index_type"]]
        self._vector = f"{vector}_embedding"
        self._fields = [self._vector, "label", "metadata", "bytes"]
        dim = int(fields[self._vector]["params"]["dim"])
        self._page = max(1, min(_BATCH, _BYTES // (4 * dim)))
        self.dim = dim  # last: now it is attached
        return True

    def create(self, dim, distance, search, class_names):
        """Make the collections, or take up those that another process made meanwhile."""
        kinds = self._connection.pymilvus.DataType
        key = ("id", kinds.INT64, {"is_primary": True})
        names = [key, ("no_embedding", kinds.FLOAT_VECTOR, {"dim": 2}), ("value", kinds.JSON, {})]
        self._make(self._names, names, "L2", "exact")
        self._write_names([{"class": name} for name in class_names or ()])
        rows = [key, (f"{distance}_embedding", kinds.FLOAT_VECTOR, {"dim": dim}), ("label", kinds.INT64, {})]
        rows += [("metadata", kinds.JSON, {}), ("bytes", kinds.JSON, {})]
        self._make(self.name, rows, METRICS[distance], search)
        self.attach()

    def refresh(self):
        """Read the names again."""
        names = list(self.rows("", ["value"], LIMIT, self._names))
        values = [row["value"] for row in names]
        classes = dict.fromkeys(value["class"] for value in values if "class" in value)
        self.class_names = tuple(classes) or None
        codes = {UNKNOWN: UNKNOWN, **{label: code_of(name) for label, name in enumerate(classes)}}
        self.codes = codes if classes else None
        self._last = max((row["id"] for row in names), default=0)
        self.keys = {value["key"] for value in values if "key" in value}
        self.tuning = next((value["tuning"] for value in reversed(values) if "tuning" in value), None)

    def register(self, classes=(), keys=(), tuning=None):
        """Add names that are not there yet, before rows that need them."""
        values = [{"class": name} for name in classes if name not in (self.class_names or ())]
        values += [{"key": key} for key in sorted(set(keys) - self.keys)]
        values += [{"tuning": tuning}] if tuning else []
        if values:
            self._write_names(values)
            self.refresh()

    def batches(self, ids, embeddings, codes, packed, largest):
        """Rows as Milvus takes them, in lists that fit one message; ``largest`` is that of the JSON."""
        size = max(1, min(_BATCH, _BYTES // (4 * embeddings.shape[1] + largest)))
        rows = (
            {"id": id_, self._vector: embedding, "label": code, "metadata": plain, "bytes": raw}
            for id_, embedding, code, (plain, raw) in zip(
                ids.tolist(), embeddings, codes.tolist(), packed, strict=True
            )
        )
        while some := list(itertools.islice(rows, size)):
            yield some

    def write(self, rows):
        """Put rows in, in the place of those with the same ids."""
        self._call("upsert", rows)

    def remove(self, ids):
        """Remove rows."""
        for start in range(0, len(ids), _BATCH):
            self._call("delete", ids=ids[start : start + _BATCH].tolist())

    def count(self, expression=""):
        """How many rows meet an expression."""
        return int(self._call("query", filter=expression, output_fields=["count(*)"])[0]["count(*)"])

    def held(self, ids):
        """Which ids are there: shape [n] bool."""
        return np.isin(ids, [row["id"] for row in self._by_id(ids, [], LIMIT)])

    def ids(self, expression=""):
        """Ids of the rows that meet an expression, ascending: shape [n] int64."""
        return np.array([row["id"] for row in self.rows(expression, [], LIMIT)], np.int64)

    def get(self, ids):
        """``Rows`` by id, those that are there."""
        return self._rows_of(self._by_id(ids, self._fields, self._page))

    def rows(self, expression, fields, size, collection=None):
        """Go through the rows that meet an expression, dicts, by ascending id; ``size`` a call."""
        last, more = -1, f" and ({expression})" if expression else ""
        while True:
            page = self._connection.call(
                "query",
                collection or self.name,
                filter=f"id > {last}{more}",
                output_fields=["id", *fields],
                limit=size,
                iterator="True",  # what pymilvus's own iterator asks with: without it Lite leaves rows out
                reduce_stop_for_best="True",
            )
            if not page:
                return
            page = sorted(page, key=lambda row: row["id"])
            last = page[-1]["id"]
            yield from page

    def blocks(self, expression, size):
        """The same as ``Rows``, ``size`` at a time."""
        rows = self.rows(expression, self._fields, min(size, self._page))
        while some := list(itertools.islice(rows, size)):
            yield self._rows_of(some)

    def labels_of(self, codes):
        """Labels of the index, shape [n] int64, from those in Milvus."""
        codes = np.array(codes, np.int64)
        if self.codes is None:
            new = codes.max(initial=0) > _LIKE_A_HASH
        else:
            new = not set(codes.tolist()) <= set(self.codes.values())
        if new:  # another process may have added names
            self.refresh()
        if self.codes is None:
            return codes
        labels = {code: label for label, code in self.codes.items()}
        try:
            return np.array([labels[code] for code in codes.tolist()], np.int64)
        except KeyError as error:
            raise ValueError(
                f"{self._names} lacks the class of label {error}: it was changed or lost"
            ) from None

    def nearest(self, queries, k, expression, breadth):
        """One search: distances, ids (-1 where there is no row) and labels, each [num_queries, k]."""
        distances, ids, codes = no_neighbors(len(queries), k)
        size = max(1, min(LIMIT, 1_000_000 // k, _BYTES // (4 * self.dim)))
        for start in range(0, len(queries), size):
            found = self._call(
                "search",
                data=list(queries[start : start + size]),
                anns_field=self._vector,
                limit=k,
                filter=expression,
                search_params={"params": {"ef": max(breadth, k)} if breadth else {}},
                output_fields=["label"],
            )
            for i, hits in enumerate(found, start):
                distances[i, : len(hits)] = [hit["distance"] for hit in hits]
                ids[i, : len(hits)] = [hit["id"] for hit in hits]
                codes[i, : len(hits)] = [hit["entity"]["label"] for hit in hits]
        # What Milvus gives are squares, or products (of unit rows, under cosine).
        there, measure = ids >= 0, BY_NAME[self.distance]
        if measure.from_product is not None:
            distances[there] = measure.from_product(distances[there])
        else:
            distances[there] = measure.from_squares(np.maximum(distances[there], 0), None)
        return distances, ids, self.labels_of(codes.ravel()).reshape(codes.shape)

    def settle(self):
        """Have what was added sealed and indexed, as it is searched in the long run."""
        self._call("flush")
        until = time.monotonic() + self._connection.timeout
        while self._index(self._vector).get("pending_index_rows", 0) and time.monotonic() < until:
            time.sleep(0.2)

    def _call(self, method, *arguments, **options):
        return self._connection.call(method, self.name, *arguments, **options)

    def _by_id(self, ids, fields, size):
        """Rows by id, those that are there; ``size`` are asked for at a time."""
        result, size = [], min(size, MEMBERS)
        for start in range(0, len(ids), size):
            some = f"id in {ids[start : start + size].tolist()}"
            result += self._call("query", filter=some, output_fields=["id", *fields], limit=size)
        return result

    def _rows_of(self, found):
        """What a query returned as ``Rows``."""
        embeddings = np.array([row[self._vector] for row in found], np.float32)
        metadata = np.empty(len(found), object)
        metadata[:] = [unpacked(row["metadata"], row["bytes"]) for row in found]
        return Rows(
            np.array([row["id"] for row in found], np.int64),
            embeddings.reshape(len(found), self.dim),
            self.labels_of([row["label"] for row in found]),
            metadata,
            self.class_names,
        )

    def _write_names(self, values):
        first = time.time_ns() // 1000 << 12 | int.from_bytes(os.urandom(2)) % 4096
        first = max(first, self._last + 1)  # names are ordered by it, also where clocks differ
        rows = [
            {"id": first + i, "no_embedding": [1.0, 1.0], "value": value} for i, value in enumerate(values)
        ]
        for start in range(0, len(rows), _BATCH):
            self._connection.call("upsert", self._names, rows[start : start + _BATCH])

    def _make(self, name, fields, metric, search):
        """Make a collection of fields, the second of which is the embedding, and its index."""
        call, client = self._connection.call, self._connection.pymilvus.MilvusClient
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field, kind, options in fields:
            schema.add_field(field, kind, **options)
        vector, parameters = fields[1][0], _GRAPH if search == "hnsw" else {}
        index = client.prepare_index_params()
        index.add_index(vector, index_type=INDEXES[search], metric_type=metric, params=parameters)
        try:
            call("create_collection", name, schema=schema, consistency_level="Strong")
        except OSError:
            if not call("has_collection", name):
                raise
        try:
            call("create_index", name, index, sync=False)
        except OSError:
            if not call("list_indexes", name, field_name=vector):
                raise

    def _index(self, field):
        """What Milvus says of the index over the embeddings; another process may just be making it."""
        for _ in range(20):
            if names := self._call("list_indexes", field_name=field):
                return self._call("describe_index", names[0]) or {}
            time.sleep(0.1)
        return {}


def code_of(name):
    """The label, in Milvus, of a class with a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 2
