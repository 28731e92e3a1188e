import time

import numpy as np
import pytest

from simnb.distances import DISTANCES, pairwise
from simnb.index import exact, open_index

from .conftest import vectors


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_search_finds_what_sorting_all_distances_finds(distance, k, offset, monkeypatch):
    monkeypatch.setattr(exact, "QUERY_BLOCK", 7)
    monkeypatch.setattr(exact, "GALLERY_BLOCK", 900)
    gallery, queries = vectors(2000, offset=offset), vectors(20, seed=1, offset=offset)
    index = open_index(distance=distance)
    index.add(gallery, np.arange(2000) % 3, ids=np.arange(2000) * 2)
    neighbors = index.search(queries, k=k)
    distances = pairwise(queries.astype("float64"), gallery, distance)
    expected = np.sort(distances, axis=1)[:, :k]
    np.testing.assert_allclose(neighbors.distances, expected, rtol=1e-3, atol=2e-4 if offset else 1e-5)
    if not offset:
        np.testing.assert_array_equal(neighbors.ids, 2 * np.argsort(distances, axis=1)[:, :k])
    np.testing.assert_array_equal(neighbors.labels, neighbors.ids // 2 % 3)
    assert neighbors.distance == distance
    assert (neighbors.distances.dtype, neighbors.ids.dtype, neighbors.labels.dtype) == (
        np.float32,
        np.int64,
        np.int64,
    )


@pytest.mark.parametrize("k", [1, 3, 64, 200, 1000])
def test_largest_picks_the_largest_columns_and_the_first_of_equal_ones(k):
    values = np.random.default_rng(0).integers(0, 300, (9, 1000)).astype("float32")
    expected = np.argsort(-values, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(exact.largest(values, k), expected)


def test_the_full_distance_matrix_is_never_held(monkeypatch):
    shapes = []
    whole = exact.ExactSearch._closeness
    monkeypatch.setattr(exact, "processors", lambda: 2)
    for name, value in (("QUERY_BLOCK", 10), ("GALLERY_BLOCK", 100), ("FIRST_BLOCK", 40)):
        monkeypatch.setattr(exact, name, value)
    monkeypatch.setattr(
        exact.ExactSearch, "_closeness", lambda *args: shapes.append((b := whole(*args)).shape) or b
    )
    exact.ExactSearch(vectors(250))(vectors(25), 3)
    assert set(shapes) == {(10, 40), (10, 100), (10, 10), (5, 40), (5, 100), (5, 10)}
    assert sum(rows * columns for rows, columns in shapes) == 25 * 250


def test_there_are_no_more_threads_than_allowed(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = exact.processors()
    for limit, found in {"1": 1, "1,4": 1, "1000": every, "": every, "many": every}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        assert exact.processors() == found


def test_an_interrupted_search_ends_without_the_blocks_that_have_not_begun(monkeypatch):
    monkeypatch.setattr(exact, "QUERY_BLOCK", 1)
    begun = []

    def interrupted(self, queries, *_):
        begun.append(len(queries))
        if len(begun) > 1:
            time.sleep(0.01)  # else threads could begin all of them before anybody hears of the interrupt
        raise KeyboardInterrupt

    monkeypatch.setattr(exact.ExactSearch, "_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exact.ExactSearch(vectors(250))(vectors(500), 3)
    assert len(begun) < 500


@pytest.mark.parametrize("distance", ["cosine", "inner_product"])
def test_faiss_where_it_is_faster_finds_the_same(distance, monkeypatch):
    pytest.importorskip("faiss", reason='needs FAISS: pip install "simnb[ann]"')
    rows, queries = vectors(3000, 160), vectors(70, 160, seed=1)
    rows[1000:1050] = rows[7]  # equal ones
    search = exact.ExactSearch(rows, distance)
    assert search._candidates_by_faiss(queries, 5)[0].shape == (70, 13)
    assert search._candidates_by_faiss(queries[:2], 5) is None
    assert exact.ExactSearch(rows[:, :64], distance)._candidates_by_faiss(queries[:, :64], 5) is None
    queries[0] = rows[7]
    found = search(queries, 5)
    monkeypatch.setattr(exact, "_faiss", lambda: None)
    assert search._candidates_by_faiss(queries, 5) is None
    for one, other in zip(found, search(queries, 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_equal_distances_come_in_the_order_of_the_rows():
    index = open_index()
    index.add(np.tile([[1.0, 0.0]], (5, 1)), ids=[4, 3, 9, 1, 7])
    assert index.search([[1.0, 0.0]], k=5).ids.tolist() == [[4, 3, 9, 1, 7]]


@pytest.mark.parametrize("distance", DISTANCES)
def test_few_neighbors_are_the_first_of_all_of_them_even_among_ties(distance):
    rows = np.random.default_rng(0).integers(0, 3, (3000, 5)).astype("float32") + np.arange(5)
    search = exact.ExactSearch(rows, distance)
    distances, positions = search(rows[:30], 3000)
    few_distances, few = search(rows[:30], 3)
    np.testing.assert_array_equal(few, positions[:, :3])
    np.testing.assert_array_equal(few_distances, distances[:, :3])


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product", "snr"])
def test_a_distance_does_not_depend_on_what_is_searched_with_it(distance):
    search, queries = exact.ExactSearch(vectors(3000, 64), distance), vectors(40, 64, seed=1)
    together = search(queries, 4)[0]
    alone = [search(query[None], 4)[0][0] for query in queries]
    np.testing.assert_array_equal(together, alone)


def test_data_far_from_zero_are_centered_before_they_are_ranked():
    gallery, queries = vectors(2000, 8, offset=3000.0), vectors(30, 8, seed=1, offset=3000.0)
    expected = np.argsort(pairwise(queries - 3000, gallery - 3000, "euclidean"), axis=1)[:, 0]
    # Without centring the expansion rounds by about 4 here, as much as the distances themselves.
    assert (exact.ExactSearch(gallery, "euclidean")(queries, 1)[1][:, 0] == expected).all()
    search = exact.ExactSearch(gallery, "euclidean")
    positions, _ = search._candidates(queries - gallery.mean(axis=0), 1, search._closeness)
    assert (positions[:, 0] == expected).mean() > 0.95


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "snr"])
@pytest.mark.parametrize(("apart", "twice"), [(0, False), (300, False), (3000, True)])
def test_neighbors_within_clusters_that_lie_far_apart_are_found(distance, apart, twice, monkeypatch):
    monkeypatch.setattr(exact, "GALLERY_BLOCK", 700)
    rng = np.random.default_rng(0)
    # Every row is one of two far points, and something of size 1 that decides which rows are neighbors.
    far = apart * np.array([1, -1, 1, -1, 1, -1, 1, -1])
    rows, queries = (
        (rng.choice([-1, 1], (n, 1)) * far + rng.normal(size=(n, 8))).astype("float32") for n in (4000, 50)
    )
    ranked_again = []
    again = exact.ExactSearch._closeness_in_float64
    monkeypatch.setattr(
        exact.ExactSearch, "_closeness_in_float64", lambda *args: ranked_again.append(args[1]) or again(*args)
    )
    index = open_index(distance=distance)
    index.add(rows)
    found = index.search(queries, k=3)
    a, b = queries.astype(float), rows.astype(float)
    if distance == "snr":
        a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    squares = ((a[:, None, :] - b[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.ids, squares.argsort(axis=1)[:, :3])
    assert bool(ranked_again) is twice  # where it is not needed, nothing is done twice


@pytest.mark.parametrize("distance", ["cosine", "inner_product"])
@pytest.mark.parametrize("dim", [16, 160])
def test_among_many_rows_that_are_nearly_alike_the_nearest_is_found(distance, dim):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=dim) + 1e-4 * rng.normal(size=(3000, dim))).astype("float32")
    queries = rows[rng.choice(3000, 70, replace=False)] + np.float32(1e-5)
    if distance == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = open_index(distance=distance)
    index.add(rows)
    a, b = queries.astype(float), rows.astype(float)
    if distance == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    true = -a @ b.T
    found = index.search(queries, k=3).ids
    # Rows whose true distances agree to the last digits of float32 may change places.
    worst = np.sort(true, axis=1)[:, 2]
    assert (
        np.take_along_axis(true, found, axis=1) <= worst[:, None] + 2e-8 * np.abs(worst[:, None])
    ).mean() > 0.97


def test_rows_near_zero_keep_their_digits_beside_rows_far_away():
    rng = np.random.default_rng(0)
    near = (1e-3 * rng.normal(size=(400, 6))).astype("float32")
    rows = np.concatenate([1e4 + rng.normal(size=(600, 6)).astype("float32"), near])
    index = open_index(distance="euclidean")
    index.add(rows)
    found = index.search(near[:50], k=3)
    true = np.linalg.norm(near[:50, None].astype(float) - near[None], axis=2)
    np.testing.assert_array_equal(found.ids, 600 + np.argsort(true, axis=1)[:, :3])
    np.testing.assert_allclose(found.distances, np.sort(true, axis=1)[:, :3], rtol=1e-5)


def test_cosine_measures_rows_that_are_nearly_of_unit_length():
    index = open_index()
    index.add([[0.995, 0.0]])
    assert index.search([[1.0, 0.0]], k=1).distances.tolist() == [[0.0]]


def test_cosine_ignores_length_and_reports_zero_for_the_same_direction():
    index = open_index(distance="cosine")
    index.add([[3.0, 0.0], [0.0, 0.1]])
    neighbors = index.search([[0.0, 7.0]], k=2)
    assert neighbors.ids.tolist() == [[1, 0]]
    np.testing.assert_allclose(neighbors.distances, [[0, 1]], atol=1e-6)
