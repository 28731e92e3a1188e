"""Approximate search over a graph, HNSW by FAISS, that says what it misses."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simnb._files import replace_whole
from simnb._terminal import progress_bar

LINKS = 16  # of a row, FAISS's M; twice as many on the lowest layer
BUILD_BREADTH = 100  # FAISS's efConstruction
BREADTHS = (16, 32, 64, 128, 256, 512, 1024)  # tried in turn, FAISS's efSearch
_SAMPLE = 300  # rows that recall is measured with
_K = 10
_BLOCK = 5_000  # rows between two looks at the progress bar, and at Ctrl-C
_ROUNDING = 1e-5  # two ways to add up one distance
_GROWTH = 1.1  # after which recall is measured again
_NORMS = 1e-12, 4e18  # of rows whose squared distances FAISS can compare in float32


@dataclass(frozen=True)
class Tuning:
    """What a setting of graph search finds.

    Attributes:
        breadth: How many candidates are kept while the graph is walked (``efSearch``).
        recall: Share of the true nearest neighbors that was found; a row as far as the last of them counts.
        milliseconds: A query, where many are asked at once.
    """

    breadth: int
    recall: float
    milliseconds: float


def raise_breadth(search: Callable[[int], NDArray], farthest: NDArray, target: float) -> list[Tuning]:
    """Search ever more broadly until the share of the true neighbors that is found reaches a target.

    Args:
        search: Called with a breadth: distances of what is found, shape [num_queries, k].
        farthest: Up to which distance a row is one of the true neighbors, shape [num_queries, 1].
        target: The share.
    """
    tried = []
    for breadth in BREADTHS:
        start = time.perf_counter()
        found = search(breadth)
        milliseconds = 1000 * (time.perf_counter() - start) / len(found)
        tried.append(Tuning(breadth, float((found <= farthest).mean()), milliseconds))
        if tried[-1].recall >= target:
            break
    return tried


def warn_where_short(tuning: Tuning, wanted: float) -> None:
    """Say that a graph finds less than was asked for."""
    if tuning.recall < wanted:
        warnings.warn(
            f"the graph finds {tuning.recall:.1%} of the true neighbors, not {wanted:.1%}, with the largest "
            f'breadth that is tried, {tuning.breadth}: these embeddings do not suit it; use search="exact"',
            RuntimeWarning,
            stacklevel=2,
        )


class HnswSearch:
    """A graph over gallery rows, walked from a random row to ever nearer ones.

    What it finds depends on the embedding. So recall is measured while the graph is built: some rows are put
    in last, and before that their neighbors are asked for. (Those of rows in the graph would be found too
    easily: it links each row to them.) The breadth of search is raised until recall is what was asked for.
    FAISS compares squares in float32: those that do not fit it are searched exactly.

    Args:
        exact: ``ExactSearch`` over the same rows: the truth, and what measures distances.
        rows: Shape [num_gallery, dim] float32.
        recall: Share of the true nearest neighbors to find.
        cache: A file to keep the graph in, or None.
        stamp: Names the state of the rows; a graph kept under another stamp is not used.
        old: An ``HnswSearch`` over the first of these rows, which is extended and no longer used.

    References:
        Malkov and Yashunin, Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical
        Navigable Small World Graphs, 2016. https://arxiv.org/abs/1603.09320
    """

    def __init__(self, exact, rows, *, recall=0.95, cache=None, stamp="", old=None):
        try:
            import faiss
        except ImportError as error:
            raise ImportError('search="hnsw" needs FAISS: pip install "simnb[ann]"') from error
        self._faiss = faiss
        self._exact = exact
        self._wanted = recall
        self._stamp = f"{stamp} {LINKS} {BUILD_BREADTH} {recall}"
        self._cache = None if cache is None else Path(cache)
        self.measured, self._measured_at = Tuning(BREADTHS[0], 1.0, 0.0), 0  # of no row
        self._order = np.empty(0, np.int64)  # the graph's rows, by their positions in the gallery
        ready = exact.prepared
        if not self._comparable(ready).any() or not self._comparable(ready, least=0.0).all():
            self._index = None
            return
        if old is not None and old._extends(len(rows)):
            self._index, self._order = old._index, old._order
            self.measured, self._measured_at = old.measured, old._measured_at
        elif not self._load(ready):
            self._index = self._faiss.IndexHNSWFlat(rows.shape[1], LINKS, self._metric())
            self._index.hnsw.efConstruction = BUILD_BREADTH
        if len(self._order) < len(rows):
            self._extend(rows, ready)
            self._keep()

    def _extends(self, count):
        """Whether the graph can become one of ``count`` rows: with too few new ones none can be measured."""
        enough = min(_SAMPLE, (count - len(self._order)) // 2) >= min(_SAMPLE, count // 2)
        return self._index is not None and (enough or count <= _GROWTH * self._measured_at)

    def _extend(self, rows, ready):
        """Put new rows into the graph; where they are many, some of them last, to measure recall with."""
        new = np.arange(len(self._order), len(rows))
        held_out = np.empty(0, np.int64)
        if len(rows) > _GROWTH * self._measured_at:
            count = min(_SAMPLE, len(new) // 2)
            held_out = np.sort(np.random.default_rng(0).choice(new, count, replace=False))
        self._insert(ready, np.setdiff1d(new, held_out))
        if len(held_out):
            self._measure(rows[held_out], held_out)
            self._measured_at = len(rows)
        self._insert(ready, held_out)

    def _insert(self, ready, positions):
        starts, several = range(0, len(positions), _BLOCK), len(positions) > _BLOCK
        for start in progress_bar(starts, desc="Building the graph", unit="block", shown=several):
            self._index.add(ready[positions[start : start + _BLOCK]])
        self._order = np.concatenate([self._order, positions])

    def __call__(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Nearly the k nearest rows of each query: what ``ExactSearch`` returns.

        Where the graph has fewer than k rows to offer for a query, that query is searched exactly.
        """
        return self._search(queries, k, self.measured.breadth)

    def tune(self, queries: NDArray[np.float32], target: float, k: int) -> list[Tuning]:
        """Raise the breadth until recall on these queries reaches the target; return what was tried."""
        true, _ = self._exact(queries, k)
        tried = self._raise_breadth(queries, true, target)
        self._keep()
        return tried

    def _measure(self, queries, held_out):
        """Choose the breadth by the neighbors of rows that are not in the graph yet."""
        k = min(_K, len(self._order))
        distances, positions = self._exact(queries, k + len(held_out))
        outside = np.isin(positions, held_out)
        # Of each query the first k that are in the graph.
        kept = ~outside & (np.cumsum(~outside, axis=1) <= k)
        self._raise_breadth(queries, distances[kept].reshape(len(queries), k), self._wanted)
        warn_where_short(self.measured, self._wanted)

    def _raise_breadth(self, queries, true, target):
        def search(breadth):
            return self._search(queries, true.shape[1], breadth)[0]

        tried = raise_breadth(search, true[:, -1:] + _ROUNDING * np.abs(true[:, -1:]), target)
        self.measured = tried[-1]
        return tried

    def _search(self, queries, k, breadth):
        if self._index is None:
            return self._exact(queries, k)
        parameters = self._faiss.SearchParametersHNSW(efSearch=max(breadth, k))
        ready = self._exact.distance.prepare(queries)
        distances, positions = self._index.search(ready, k, params=parameters)
        short = np.flatnonzero((positions[:, -1] < 0) | ~self._comparable(ready))
        # FAISS measures pairs one by one, as exact search does.
        distances = self._exact.distance.of_measured(distances, queries[:, None])
        positions = self._order[positions]  # of -1 any; those queries are searched again
        if len(short):
            distances[short], positions[short] = self._exact(queries[short], k)
        return distances, positions

    def _comparable(self, ready, *, least=None):
        """Whether squares of rows fit float32, however FAISS adds them up: shape [num_rows] bool."""
        distance = self._exact.distance
        if distance.keeps_digits:
            return np.ones(len(ready), bool)
        if least is None:
            least = 1e-6 if distance.name == "snr" else _NORMS[0]  # power that snr divides by
        norms = np.sqrt(np.einsum("nd,nd->n", ready, ready, dtype=np.float64))
        return (norms >= least) & (norms <= _NORMS[1])

    def _metric(self):
        faiss, distance = self._faiss, self._exact.distance
        if distance.from_squares is not None:
            return faiss.METRIC_L2
        return faiss.METRIC_L1 if distance.from_product is None else faiss.METRIC_INNER_PRODUCT

    def _keep(self):
        """Write the links of the graph beside the file; the embeddings are in the file already."""
        if self._cache is None or self._index is None:
            return
        graph = self._faiss.serialize_index(self._index, self._faiss.IO_FLAG_SKIP_STORAGE).tobytes()
        body = self._order.astype("<i8").tobytes() + graph
        header = {"stamp": self._stamp, "rows": len(self._order)}
        header |= {"measured": asdict(self.measured), "measured_at": self._measured_at}
        try:
            content = json.dumps(header).encode() + b"\n" + body
            with replace_whole(self._cache) as part:
                part.write_bytes(hashlib.sha256(content).digest() + content)
        except OSError as error:
            warnings.warn(
                f"the graph is not kept, and will be built again: {error}", RuntimeWarning, stacklevel=2
            )

    def _load(self, ready):
        """Read a graph of the same rows; whether there was one."""
        if self._cache is None or not self._cache.exists():
            return False
        content = self._cache.read_bytes()
        if content[:32] != hashlib.sha256(content[32:]).digest():  # damaged: it is built again
            return False
        first, _, body = content[32:].partition(b"\n")
        header = json.loads(first)
        if header["stamp"] != self._stamp:
            return False
        self._order = np.frombuffer(body, "<i8", count=header["rows"]).astype(np.int64)
        graph = np.frombuffer(body, np.uint8, offset=self._order.nbytes)
        self._index = self._faiss.deserialize_index(graph)
        storage = self._faiss.IndexFlat(ready.shape[1], self._metric())
        storage.add(ready[self._order])
        self._index.storage, self._storage = storage, storage  # FAISS does not keep Python's reference
        self.measured, self._measured_at = Tuning(**header["measured"]), header["measured_at"]
        return True
