"""Embeddings at both ends of float32, whose squares do not fit it: the right neighbors, or a clear answer."""

import re

import numpy as np
import pytest

from simnb.distances import DISTANCES
from simnb.index import open_index

from .conftest import vectors


def by_rows(queries, gallery, distance):
    """Each distance once more, in float64, which holds the squares; query by query."""
    a, b = queries.astype(float), gallery.astype(float)
    if distance == "cosine":
        a, b = (x / np.sqrt((x**2).sum(axis=1, keepdims=True)) for x in (a, b))
        return np.array([((b - x) ** 2).sum(axis=1) / 2 for x in a])
    if distance == "snr":
        a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
        return np.array([((b - x) ** 2).sum(axis=1) / (x**2).sum() for x in a])
    formula = {
        "euclidean": lambda x: np.sqrt(((b - x) ** 2).sum(axis=1)),
        "squared_euclidean": lambda x: ((b - x) ** 2).sum(axis=1),
        "manhattan": lambda x: np.abs(b - x).sum(axis=1),
        "inner_product": lambda x: -(b * x).sum(axis=1),
    }[distance]
    return np.array([formula(x) for x in a])


def check_found(index, queries, gallery, k=3):
    """The distances found are the smallest, and those of the rows they are said to be of."""
    true, found = by_rows(queries, gallery, index.distance), index.search(queries, k=k)
    nearest = np.sort(true, axis=1)[:, :k]
    # The smallest number of float32; under cosine, Milvus gives 1 less the distance.
    close = {"rtol": 2e-5, "atol": 2e-7 if index.distance == "cosine" else 1.5e-45}
    np.testing.assert_allclose(found.distances, nearest, **close)
    np.testing.assert_allclose(np.take_along_axis(true, found.ids, axis=1), nearest, **close)
    assert all(len(set(row)) == k for row in found.ids.tolist())


SIZES = {"1e-20": 1e-20, "1e-30": 1e-30, "subnormal": 1e-43, "1e16": 1e16}


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dim", [6, 160])  # of 160, FAISS may rank products
def test_the_nearest_are_found_or_the_range_is_named(engine, distance, size, dim):
    if distance not in engine.distances:
        return
    size = np.float32(SIZES[size])
    gallery, queries = size * vectors(300, dim), size * vectors(70, dim, seed=1)
    index = engine.open(distance=distance)
    if engine.name.startswith("milvus") and size < 1:
        with pytest.raises(ValueError, match=r"embeddings must have a norm from 1e-15 to 9e\+18 here"):
            index.add(gallery)
        return
    index.add(gallery, ids=np.arange(300))
    check_found(index, queries, gallery)


@pytest.mark.parametrize("distance", DISTANCES)
def test_values_of_1e17_in_4096_dimensions_are_searched_or_refused(engine, distance):
    if distance not in engine.distances:
        return
    gallery, queries = np.float32(2e17) * vectors(90, 4096), np.float32(2e17) * vectors(5, 4096, seed=1)
    index = engine.open(distance=distance)
    by_squares = distance in ("squared_euclidean", "inner_product")
    if by_squares or engine.name.startswith("milvus"):
        with pytest.raises(ValueError, match=r"embeddings must have a norm .*9e\+18 .* float32, got"):
            index.add(gallery)
        index.add(vectors(3, 4096))
        with pytest.raises(ValueError, match=r"queries must have a norm .*9e\+18 .* float32, got"):
            index.search(queries, k=1)
        return
    index.add(gallery, ids=np.arange(90))
    check_found(index, queries, gallery)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "manhattan"])
def test_small_rows_beside_ordinary_ones_find_each_other(engine, distance):
    if engine.name.startswith("milvus"):  # refused there: see above
        return
    gallery, queries = vectors(400), np.float32(1e-25) * vectors(20, seed=1)
    gallery[::20] *= np.float32(1e-25)
    index = engine.open(distance=distance)
    index.add(gallery, ids=np.arange(400))
    check_found(index, queries, gallery)


def test_a_graph_goes_on_when_ordinary_rows_follow_small_ones(engine):
    if engine.name.startswith("milvus"):
        return
    index = engine.open(distance="euclidean")
    small, more = np.float32(1e-25) * vectors(8), vectors(200, seed=2)
    index.add(small, ids=np.arange(8))
    check_found(index, np.float32(1e-25) * vectors(5, seed=1), small)
    index.add(more, ids=np.arange(8, 208))
    check_found(index, vectors(5, seed=1), np.concatenate([small, more]), k=1)


def test_a_row_that_is_too_long_is_named(engine):
    index = engine.open(distance="squared_euclidean")
    rows = vectors(4)
    rows[2, :5] = 1e18
    index.add(rows)
    long = np.full((1, 200), 1e18)
    index = engine.open(distance="squared_euclidean")
    with pytest.raises(ValueError, match=re.escape("got 1.4e+19 in row 0; scale all rows by one factor")):
        index.add(long)
    assert len(index) == 0


def test_a_graph_that_cannot_compare_rows_is_not_kept_and_finds_all(tmp_path):
    pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
    rows = np.float32(1e-30) * vectors(50)
    with open_index(tmp_path / "small.sqlite", distance="euclidean", search="hnsw") as index:
        index.add(rows)
        assert index.recall.recall == index.tune(rows, 1.0)[-1].recall == 1.0
        check_found(index, rows, rows)
    assert not list(tmp_path.glob("*.hnsw"))
