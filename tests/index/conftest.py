"""Every engine behind one fixture, ``engine``: the contract suite runs over all of them."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest

from simnb.distances import DISTANCES
from simnb.index import open_index


@dataclass
class Engine:
    """One way to keep and search rows.

    Attributes:
        name: For the test's name.
        address: Makes the address of the n-th index of a test.
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
        index = open_index(address, **{**self.options, **options})
        self.opened.append(index)
        index.address = address
        return index

    def expected_order(self, ids):
        """The order in which the engine gives ids back."""
        return list(ids) if self.keeps_order else sorted(ids)


@pytest.fixture(params=["memory", "memory-hnsw", "sqlite", "sqlite-hnsw"])
def engine(request, tmp_path):
    """Every engine in turn."""
    place, _, search = request.param.partition("-")
    options = {"search": search or "exact"}
    if search == "hnsw":
        pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
        options["recall"] = 1.0
    if place == "memory":
        made = Engine(request.param, lambda number: "memory:", options, keeps_rows=False)
    else:
        made = Engine(request.param, lambda number: str(tmp_path / f"{number}.sqlite"), options)
    yield made
    for index in made.opened:
        index.close()


def vectors(count, dim=6, seed=0, offset=0.0):
    """Random rows, shape [count, dim] float32."""
    return np.random.default_rng(seed).normal(offset, 1, (count, dim)).astype("float32")
