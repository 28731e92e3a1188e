import numpy as np
import pytest
from sklearn.datasets import load_digits

from simnb.calibration import calibrate
from simnb.index import Reranker, open_index
from simnb.metrics import map_at_r, recall_at_k

from .conftest import vectors

# One pair at a time, query first.
PLAIN = {
    "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
    "euclidean": lambda a, b: np.sqrt(sum((a - b) ** 2)),
    "squared_euclidean": lambda a, b: sum((a - b) ** 2),
    "manhattan": lambda a, b: sum(abs(a - b)),
}


def widened(members, inner):
    """A neighborhood with those of its members that lie mostly within it."""
    wide = set(members)
    for one in members:
        if len(inner[one] & members) > 2 / 3 * len(inner[one]):
            wide |= inner[one]
    return wide


def weighted(members, distance_to, reach, own=0.0):
    weights = {one: np.exp(-distance_to[one] / reach) for one in members}
    total = sum(weights.values()) + own
    return {one: weight / total for one, weight in weights.items()}


def mean_of(several, count):
    mean = {}
    for weights in several:
        for one, weight in weights.items():
            mean[one] = mean.get(one, 0) + weight / count
    return mean


def reranked_by_loops(query, gallery, distance, k1, k2, weight):
    """The formulas of the paper for one query, set by set: distance to every row of the gallery."""
    measure, count = PLAIN[distance], len(gallery)
    between = [
        [measure(a, b) if i != j else 0.0 for j, b in enumerate(gallery)] for i, a in enumerate(gallery)
    ]
    near = [
        sorted(range(count), key=lambda j, i=i: (j != i, between[i][j], j)) for i in range(count)
    ]  # each itself first

    def reciprocal(i, k):
        return {j for j in near[i][: k + 1] if i in near[j][: k + 1]}

    inner = [reciprocal(i, round(k1 / 2)) for i in range(count)]
    reach = [between[i][near[i][k1]] for i in range(count)]
    alone = [weighted(widened(reciprocal(i, k1), inner), between[i], reach[i]) for i in range(count)]
    averaged = [mean_of([alone[j] for j in near[i][:k2]], k2) for i in range(count)]

    own = [measure(query, row) for row in gallery]
    order = sorted(range(count), key=lambda j: (own[j], j))
    members = {j for j in order[:k1] if own[j] <= reach[j]}
    of_query = weighted(widened(members, inner), own, own[order[k1 - 1]], own=1.0)
    of_query = mean_of([of_query, *(alone[j] for j in order[: k2 - 1])], k2)
    result = []
    for j in range(count):
        shared = sum(min(weight, averaged[j].get(one, 0)) for one, weight in of_query.items())
        result.append((1 - weight) * (1 - shared / (2 - shared)) + weight * own[j] / own[order[k1 - 1]])
    return np.array(result)


def indexed(embeddings, labels=None, uri="memory:", **options):
    index = open_index(uri, **options)
    index.add(embeddings, labels)
    return index


@pytest.mark.parametrize("distance", PLAIN)
@pytest.mark.parametrize(("k1", "k2", "weight"), [(6, 1, 0.3), (5, 3, 0.7), (9, 2, 0.0)])
def test_distances_are_those_of_the_paper_with_one_query(distance, k1, k2, weight):
    gallery, queries = vectors(40, offset=0.5), vectors(6, seed=1, offset=0.5)
    index = indexed(gallery, np.arange(40) % 3, distance=distance)
    index.remove([0])
    found = Reranker(index, k1=k1, k2=k2, weight=weight).search(queries, k=39)
    assert found.distance == f"reranked {distance}"
    for i, query in enumerate(queries.astype(np.float64)):
        expected = reranked_by_loops(query, gallery[1:].astype(np.float64), distance, k1, k2, weight)
        np.testing.assert_allclose(found.distances[i], np.sort(expected), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.distances[i], expected[found.ids[i] - 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.labels, found.ids % 3)


def test_an_answer_depends_neither_on_other_queries_nor_on_k():
    reranker = Reranker(indexed(vectors(300)))
    queries = vectors(150, seed=1)
    together, alone = reranker.search(queries, k=7), reranker.search(queries[140:141], k=90)
    np.testing.assert_array_equal(together.ids[140], alone.ids[0, :7])
    np.testing.assert_array_equal(together.distances[140], alone.distances[0, :7])


def test_it_orders_more_of_a_class_before_the_others():
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    gallery, queries = order[:500], order[500:1000]
    index = indexed(digits.data[gallery], digits.target[gallery])
    truth, of_gallery = digits.target[queries], digits.target[gallery]
    plain = index.search(digits.data[queries], k=80)
    reranked = Reranker(index).search(digits.data[queries], k=80)
    by_map = [map_at_r(found, truth, of_gallery) for found in (plain, reranked)]
    assert by_map[1] > by_map[0] + 0.05
    assert recall_at_k(reranked, truth) > recall_at_k(plain, truth) - 0.01


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_small_gallery_is_padded(count, tmp_path):
    with indexed(vectors(count), ["a", "b", "a"][:count], tmp_path / "rows.sqlite") as index:
        found = Reranker(index).search(vectors(count), k=5)
    assert found.ids[:, 0].tolist() == list(range(count))
    assert np.isinf(found.distances[:, count:]).all()
    assert (found.ids[:, count:] == -1).all()
    assert found.names[0, 0] == "a"
    assert len(Reranker(indexed(vectors(count))).search(np.empty((0, 6)), k=2)) == 0


def test_copies_of_a_query_come_first():
    gallery = np.concatenate([vectors(60), np.repeat(vectors(1, seed=1), 30, axis=0)])
    found = Reranker(indexed(gallery)).search(vectors(1, seed=1), k=31)
    assert set(found.ids[0, :30].tolist()) == set(range(60, 90))
    assert np.isfinite(found.distances).all()


def test_a_calibration_without_reranking_refuses_its_distances():
    labels = np.arange(200) % 2
    embeddings = vectors(200) + 2.0 * labels[:, None]
    index = indexed(embeddings[:150], labels[:150])
    calibration = calibrate(index.search(embeddings[150:], k=1), labels[150:])
    reranked = Reranker(index).search(embeddings[150:], k=1)
    with pytest.raises(ValueError, match="must be by cosine distance as calibrated, got reranked cosine"):
        calibration.match(reranked)
    own = calibrate(reranked, labels[150:])  # one of their own is right
    assert own.match(reranked).accepted.any()


def test_what_is_malformed_is_refused():
    index = indexed(vectors(30))
    for options, message in (
        ({"k1": 0}, "k1 must be an integer of at least 1"),
        ({"k2": 1.5}, "k2 must be an integer of at least 1"),
        ({"weight": 1.1}, "weight must be a number from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            Reranker(index, **options)
    with pytest.raises(ValueError, match="the index is empty"):
        Reranker(open_index())
    for distance in ("inner_product", "snr"):
        with pytest.raises(ValueError, match=f"the same either way, got '{distance}'"):
            Reranker(indexed(vectors(30), distance=distance))
    with pytest.raises(ValueError, match=r"index must be an Index, .* got ndarray"):
        Reranker(vectors(30))
    reranker = Reranker(index)
    with pytest.raises(ValueError, match="queries must have dim 6"):
        reranker.search(vectors(3, dim=5))
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        reranker.search(vectors(3), k=0)
