"""Every engine behind one fixture, ``engine``: the contract suite runs over all of them."""

import itertools
import subprocess
import sys
import uuid
from dataclasses import dataclass, field

import numpy as np
import pytest

from simnb.distances import DISTANCES
from simnb.index import open_index

from .milvus_server import MilvusServer, runs_here

MILVUS_DISTANCES = ("cosine", "euclidean", "squared_euclidean", "inner_product")


@dataclass
class Engine:
    """One way to keep and search rows.

    Attributes:
        name: For the test's name.
        address: Makes the address of the n-th index of a test: a string, or one and more options.
        options: Of ``open_index``.
        distances: Those it knows.
        keeps_order: Whether rows come in the order they were added, rather than by id.
        keeps_rows: Whether they are there when the index is opened again.
    """

    name: str
    address: object
    options: dict = field(default_factory=dict)
    distances: tuple = DISTANCES
    keeps_order: bool = True
    keeps_rows: bool = True
    opened: list = field(default_factory=list)
    numbers: object = field(default_factory=itertools.count)

    def open(self, address=None, **options):
        """Open a new index, or the one at an address of before; it is closed after the test."""
        address = address or self.address(next(self.numbers))
        uri, more = address if isinstance(address, tuple) else (address, {})
        index = open_index(uri, **{**self.options, **more, **options})
        self.opened.append(index)
        index.address = address
        return index

    def expected_order(self, ids):
        """The order in which the engine gives ids back."""
        return list(ids) if self.keeps_order else sorted(ids)


@pytest.fixture(
    params=[
        "memory",
        "memory-hnsw",
        "sqlite",
        "sqlite-hnsw",
        pytest.param("milvus_lite", id="milvus-lite"),
        pytest.param("milvus_lite-hnsw", id="milvus-lite-hnsw"),
        pytest.param("milvus_server", id="milvus-server", marks=pytest.mark.server),
    ]
)
def engine(request, tmp_path):
    """Every engine in turn."""
    place, _, search = request.param.partition("-")
    options = {"search": search or "exact"}
    if search == "hnsw":
        pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
        options["recall"] = 1.0
    if place == "memory":
        made = Engine(request.param, lambda number: "memory:", options, keeps_rows=False)
    elif place == "sqlite":
        made = Engine(request.param, lambda number: str(tmp_path / f"{number}.sqlite"), options)
    else:
        uri = request.getfixturevalue(place)
        made = Engine(
            request.param,
            lambda number: (uri, {"collection": f"test_{uuid.uuid4().hex}"}),
            options,
            distances=MILVUS_DISTANCES,
            keeps_order=False,
        )
    yield made
    for index in made.opened:
        index.close()
    if place.startswith("milvus"):
        drop_collections(uri, {index.address[1]["collection"] for index in made.opened})


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory):
    """A folder of Milvus Lite, held open: opening it takes most of a second."""
    for package in ("pymilvus", "milvus_lite"):
        pytest.importorskip(package, reason='Milvus Lite needs pymilvus: pip install "simnb[milvus]"')
    uri = str(tmp_path_factory.mktemp("milvus") / "gallery.db")
    with open_index(uri):
        yield uri


@pytest.fixture(scope="session")
def milvus_server():
    """The address of a real Milvus Standalone."""
    pytest.importorskip("pymilvus", reason='Milvus needs pymilvus: pip install "simnb[milvus]"')
    if not runs_here():
        pytest.skip("the Milvus server on PyPI is for Linux on x86-64")
    server = MilvusServer()
    try:
        server.start()
        yield server.uri
    finally:
        server.stop()


def drop_collections(uri, names):
    """Remove what indexes of these names have in Milvus."""
    from pymilvus import MilvusClient

    client = MilvusClient(uri, dedicated=True)
    for name in names:
        for collection in (name, f"{name}_names"):
            client.drop_collection(collection)
    client.close()


def vectors(count, dim=6, seed=0, offset=0.0):
    """Random rows, shape [count, dim] float32."""
    return np.random.default_rng(seed).normal(offset, 1, (count, dim)).astype("float32")


def small(path, count=12):
    """An index of a few rows with everything in it."""
    index = open_index(path)
    metadata = [{"source": f"s{i % 3}", "year": 2000 + i} for i in range(count)]
    metadata[1]["thumb"] = b"\x89PNG"
    index.add(vectors(count, 4), [f"class {i % 2}" for i in range(count)], metadata)
    return index


def run(code, *arguments, **options):
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def beside(path):
    """Names of all files whose name begins like that of a file."""
    return sorted(file.name for file in path.parent.iterdir() if path.name in file.name)
