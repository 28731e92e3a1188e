import numpy as np
import pytest

from simnb.distances import DISTANCES, pairwise
from simnb.index import UNKNOWN, Neighbors, exact, open_index


def vectors(count, dim=6, seed=0, offset=0.0):
    return np.random.default_rng(seed).normal(offset, 1, (count, dim)).astype("float32")


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
    distances = pairwise(queries.astype("float64") - 0, gallery, distance)
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
def test_smallest_picks_the_smallest_columns(k):
    values = np.random.default_rng(0).integers(0, 300, (9, 1000)).astype("float32")
    picked = np.take_along_axis(values, exact.smallest(values, k), axis=1)
    np.testing.assert_array_equal(np.sort(picked, axis=1), np.sort(values, axis=1)[:, :k])


@pytest.mark.parametrize("k", [3, 5, 400])
def test_smallest_takes_the_first_of_equal_columns(k):
    values = np.zeros((2, 777), "float32")
    values[1, :50] = 1.0
    picked = np.sort(exact.smallest(values, k), axis=1)
    assert picked.tolist() == [list(range(k)), list(range(50, 50 + k))]


def test_the_full_distance_matrix_is_never_held(monkeypatch):
    shapes = []
    whole = exact.ExactSearch._rank
    monkeypatch.setattr(exact, "QUERY_BLOCK", 10)
    monkeypatch.setattr(exact, "GALLERY_BLOCK", 100)
    monkeypatch.setattr(
        exact.ExactSearch, "_rank", lambda *args: shapes.append((b := whole(*args)).shape) or b
    )
    exact.ExactSearch(vectors(250))(vectors(25), 3)
    assert max(shapes) == (10, 100)
    assert sum(rows * columns for rows, columns in shapes) == 25 * 250


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
    positions, _ = search._candidates(
        queries - gallery.mean(axis=0), 1, search._rank, np.empty((30, 2000), "float32")
    )
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
    again = exact.ExactSearch._rank_in_float64
    monkeypatch.setattr(
        exact.ExactSearch, "_rank_in_float64", lambda *args: ranked_again.append(args[1]) or again(*args)
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


def test_a_small_index_pads_with_inf_and_unknown():
    index = open_index()
    index.add([[1.0, 0.0]], [7])
    neighbors = index.search([[1.0, 0.0]], k=3)
    assert neighbors.distances.tolist() == [[0.0, np.inf, np.inf]]
    assert neighbors.ids.tolist() == [[0, -1, -1]]
    assert neighbors.labels.tolist() == [[7, UNKNOWN, UNKNOWN]]


def test_an_empty_index_pads_everything_and_takes_any_dim():
    neighbors = open_index().search(vectors(2), k=2)
    assert np.isinf(neighbors.distances).all()
    assert (neighbors.ids == -1).all()


def test_no_query_gives_no_row():
    index = open_index()
    index.add(vectors(3))
    assert index.search(np.empty((0, 6)), k=2).distances.shape == (0, 2)


def test_ids_are_the_next_free_ones_and_never_used_again():
    index = open_index()
    assert index.add(vectors(2)).tolist() == [0, 1]
    assert index.add(vectors(1), ids=[10]).tolist() == [10]
    index.remove([10])
    assert index.add(vectors(2)).tolist() == [11, 12]
    assert index.ids.tolist() == [0, 1, 11, 12]


def test_a_small_id_given_later_does_not_set_the_next_ones_back():
    index = open_index()
    index.add(vectors(10), ids=range(100, 110))
    index.add(vectors(1), ids=[1])
    assert index.add(vectors(1)).tolist() == [110]


def test_ids_and_labels_are_copies():
    index = open_index()
    index.add(vectors(3), [1, 2, 3])
    index.ids[:] = 0
    index.labels[:] = 0
    assert (index.ids.tolist(), index.labels.tolist()) == ([0, 1, 2], [1, 2, 3])


def test_one_id_may_be_given_as_a_number():
    index = open_index()
    index.add(np.eye(3))
    assert index.get(2).ids.tolist() == [2]


def test_get_returns_what_was_added_not_what_is_searched():
    index, rows = open_index(), vectors(5)
    index.add(rows, [4, 3, 2, 1, 0], ids=[50, 40, 30, 20, 10])
    got = index.get([20, 50])
    np.testing.assert_array_equal(got.embeddings, rows[[3, 0]])
    assert (got.ids.tolist(), got.labels.tolist()) == ([20, 50], [1, 4])
    assert len(index.get()) == 5
    got.embeddings[:] = 0
    np.testing.assert_array_equal(index.get().embeddings, rows)


def test_removed_rows_are_not_found_and_the_others_are():
    index, rows = open_index(), vectors(100)
    index.add(rows, np.arange(100))
    assert index.search(rows[:1], k=1).ids.tolist() == [[0]]
    index.remove(np.arange(0, 100, 2))
    assert len(index) == 50
    assert index.search(rows, k=1).ids[1::2, 0].tolist() == list(range(1, 100, 2))
    assert (index.search(rows, k=50).ids % 2 == 1).all()


def test_adding_after_a_search_is_seen_by_the_next():
    index = open_index()
    index.add([[1.0, 0.0]])
    index.search([[0.0, 1.0]], k=1)
    index.add([[0.0, 1.0]])
    assert index.search([[0.0, 1.0]], k=1).ids.tolist() == [[1]]


def test_many_small_adds_equal_one_large():
    rows, one, many = vectors(64), open_index(), open_index()
    one.add(rows, np.arange(64))
    for i, row in enumerate(rows):
        many.add(row[None], [i])
    np.testing.assert_array_equal(one.get().embeddings, many.get().embeddings)
    np.testing.assert_array_equal(one.labels, many.labels)


def test_float64_and_strided_input_is_taken():
    rows = vectors(8, 12).astype("float64")[::2, ::3]
    index = open_index()
    index.add(rows)
    assert index.search(rows, k=1).ids[:, 0].tolist() == [0, 1, 2, 3]


BAD_ROWS = [
    (dict(embeddings=np.ones(3)), r"embeddings must have shape \[num_examples, dim\], got \(3,\)"),
    (dict(embeddings=np.ones((2, 4))), "embeddings must have dim 3 like the index, got 4"),
    (dict(embeddings=[[np.inf, 0, 0]]), r"embeddings must be finite, got .* in 1 of 1 rows"),
    (dict(embeddings=[[1e300, 0, 0]]), "beyond 1e18 in 1 of 1 rows"),
    (dict(embeddings=[[1.0, 0, 0], [0, 0, 0]]), "must not be all zero .* first row 1"),
    (dict(embeddings=[["a", "b", "c"]]), "embeddings must be numbers"),
    (dict(labels=[1]), "labels and embeddings must have the same length, got 1 and 2"),
    (dict(labels=["cat", "dog"]), "labels must be integers, .*from_arrays turns strings into integers"),
    (dict(labels=[0.0, 1.0]), "labels must be integers, got dtype float64$"),
    (dict(labels=[True, False]), "labels must be integers, got dtype bool$"),
    (dict(labels=np.array([0, 2**64 - 1], np.uint64)), "labels must fit int64, got 18446744073709551615"),
    (dict(embeddings=np.ones((2, 3), bool)), "embeddings must be numbers, got dtype bool"),
    (dict(ids=[1]), "ids and embeddings must have the same length"),
    (dict(ids=[3, 3]), "ids must be unique, got 3 more than once"),
    (dict(ids=[-1, 3]), r"ids must be from 0 to 2\*\*62 - 1, got -1 to 3"),
    (dict(ids=[0, 3]), "ids must be new, but the index already holds id 0"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ROWS)
def test_a_bad_add_says_why_and_leaves_the_index_as_it_was(change, message):
    index = open_index()
    index.add(np.eye(3), [5, 6, 7])
    arguments = {"embeddings": np.ones((2, 3)), "labels": [1, 2], "ids": [8, 9], **change}
    with pytest.raises(ValueError, match=message):
        index.add(**arguments)
    assert index.ids.tolist() == [0, 1, 2]
    assert index.search(np.eye(3), k=1).labels[:, 0].tolist() == [5, 6, 7]


def test_a_bad_search_says_why():
    index = open_index()
    index.add(np.eye(3))
    for k in (0, -1, 1.5, True, None):
        with pytest.raises(ValueError, match="k must be an integer of at least 1"):
            index.search(np.eye(3), k=k)
    with pytest.raises(ValueError, match="queries must have dim 3 like the index, got 2"):
        index.search(np.eye(2))
    with pytest.raises(ValueError, match="queries must not be all zero under this distance, got 1 zero rows"):
        index.search([[0.0, 0, 0]])
    with pytest.raises(ValueError, match="embeddings must be an array, got a list whose parts differ"):
        index.add([[1.0, 2], [3]])
    with pytest.raises(ValueError, match="queries must be finite"):
        index.search([[np.nan, 0, 0]])


def test_ids_that_do_not_exist_are_named_and_nothing_is_removed():
    index = open_index()
    index.add(np.eye(3))
    with pytest.raises(ValueError, match="ids must be in the index, but 2 of 3 are not, for example id 5"):
        index.remove([0, 5, 9])
    with pytest.raises(ValueError, match="ids must be in the index"):
        index.get([3])
    assert len(index) == 3


def test_open_index_names_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"uri must be \"memory:\", got 'here\.db'"):
        open_index("here.db")
    with pytest.raises(ValueError, match="distance must be one of"):
        open_index(distance="l2")


def test_neighbors_check_their_shapes_and_refuse_nan():
    ids = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=r"distances must have shape \[num_queries, k\], got \(3,\)"):
        Neighbors(np.zeros(3), ids, ids)
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(2, 3\) like distances"):
        Neighbors(np.zeros((2, 3)), ids, ids[:1])
    with pytest.raises(ValueError, match="distances must not be NaN, got 6 of them"):
        Neighbors(np.full((2, 3), np.nan), ids, ids)


def test_neighbors_can_be_cut_by_query():
    neighbors = Neighbors(
        np.arange(6.0).reshape(3, 2), np.arange(6).reshape(3, 2), np.zeros((3, 2), int), "snr"
    )
    assert neighbors[1].ids.tolist() == [[2, 3]]
    assert neighbors[1:].ids.tolist() == [[2, 3], [4, 5]]
    part = neighbors[np.array([True, False, True])]
    assert (len(part), part.k, part.distance) == (2, 2, "snr")
