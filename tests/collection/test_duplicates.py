import re

import numpy as np
import pytest

from simnb.collection import Chance, chance, near_duplicates
from simnb.index import open_index

from .conftest import PLAIN, between, distances, rows


def indexed(embeddings, labels=None, uri="memory:", **options):
    index = open_index(uri, **options)
    if len(embeddings):
        index.add(embeddings, labels)
    return index


def groups_by_walking(near):
    """Groups of two or more that a walk along near pairs reaches, the largest first, then the first."""
    near = near | near.T
    left, groups = set(range(len(near))), []
    while left:
        group, coming = set(), [min(left)]
        while coming:
            one = coming.pop()
            if one not in group:
                group.add(one)
                coming += np.flatnonzero(near[one]).tolist()
        left -= group
        groups.append(sorted(group))
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group[0]))


@pytest.mark.parametrize("distance", PLAIN)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.98])
def test_groups_are_those_of_a_walk_over_all_pairs(distance, share):
    embeddings = rows(70)
    embeddings[[3, 50, 61]] = embeddings[20]
    every = distances(embeddings, embeddings, distance)
    threshold = between(every[~np.eye(70, dtype=bool) & (every > 1e-9)], share)
    found = near_duplicates(indexed(embeddings, distance=distance), threshold)
    np.fill_diagonal(every, np.inf)
    expected = groups_by_walking(every <= threshold)
    assert [group.tolist() for group in found.groups] == expected
    assert len(found) == len(expected)
    np.testing.assert_array_equal(found.group, np.repeat(np.arange(len(expected)), list(map(len, expected))))
    nearest = np.minimum(every, every.T).min(axis=1)
    if distance != "snr":  # of which one side is searched
        np.testing.assert_allclose(found.distances, nearest[found.ids], rtol=1e-4, atol=2e-6)
    assert (found.threshold, found.num_rows, found.distance) == (threshold, 70, distance)


def test_heaps_that_only_a_farther_neighbor_joins_are_one_group():
    rng = np.random.default_rng(0)
    heaps = np.repeat([[0.0, 0.0], [1.0, 0.0]], 20, axis=0)  # the 15 nearest of each row are of its own
    index = indexed((heaps + 0.01 * rng.normal(size=heaps.shape)).astype("float32"), distance="euclidean")
    assert [len(group) for group in near_duplicates(index, 0.5).groups] == [20, 20]
    assert [len(group) for group in near_duplicates(index, 1.0).groups] == [40]


def test_a_distance_that_is_not_symmetric_is_that_of_the_nearer_side():
    embeddings = rows(12, seed=3)
    every = distances(embeddings, embeddings, "snr")
    np.fill_diagonal(every, np.inf)
    found = near_duplicates(indexed(embeddings, distance="snr"), 1e6)
    nearest = np.minimum(every, every.T).min(axis=1)
    assert (nearest < every.min(axis=1) - 1e-3).any()
    np.testing.assert_allclose(found.distances, nearest[found.ids], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("size", [3, 5, 10])
def test_small_classes_do_not_pass_for_near_duplicates(size):
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(100, 64)), size, axis=0)
    embeddings = (centres + 0.3 * rng.normal(size=centres.shape)).astype("float32")
    embeddings[[7, 20]] = embeddings[1]
    found = near_duplicates(indexed(embeddings))
    assert found.chance is None
    assert [group.tolist() for group in found.groups] == [[1, 7, 20]]


def test_a_pair_at_the_threshold_is_near_and_a_pair_beyond_is_not():
    index = indexed(np.array([[0.0], [0.3], [1.0], [1.3000001]], "float32"), distance="euclidean")
    assert [group.tolist() for group in near_duplicates(index, 0.3).groups] == [[0, 1]]
    below = float(np.nextafter(np.float32(0.3), np.float32(0)))
    assert near_duplicates(index, below).groups == []


def test_ids_and_labels_are_those_of_the_index_whatever_it_is(tmp_path):
    embeddings = rows(60, seed=1)
    embeddings[[7, 31]] = embeddings[40] + 1e-6
    embeddings[52] = embeddings[9]
    names = np.array(["cat", "dog", "cow"])[np.arange(60) % 3].tolist()
    names[31] = None
    for uri in ("memory:", tmp_path / "rows.sqlite"):
        index = indexed(embeddings, names, uri)
        index.remove([0, 1, 2])
        found = near_duplicates(index, chance_pairs=0.01)
        assert [group.tolist() for group in found.groups] == [[7, 31, 40], [9, 52]]
        assert [None if label < 0 else found.class_names[label] for label in found.labels] == [
            "dog",
            None,
            "dog",
            "cat",
            "dog",
        ]
        assert found.num_rows == 57
        index.close()


def test_many_copies_are_one_group_and_leave_the_others_alone():
    embeddings = np.concatenate([rows(300, seed=2, dim=8), np.repeat(rows(1, seed=3, dim=8), 200, axis=0)])
    found = near_duplicates(indexed(embeddings), chance_pairs=0.01)
    assert [len(group) for group in found.groups] == [200]
    assert found.distances.tolist() == [0.0] * 200
    # Copies say nothing about chance: the threshold is that of the collection with one of them.
    once = near_duplicates(indexed(embeddings[:301]), chance_pairs=0.01)
    assert found.threshold == pytest.approx(once.threshold)
    assert found.threshold > 0


def test_a_graph_is_searched_exactly():
    pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
    embeddings = rows(300, seed=4)
    expected = near_duplicates(indexed(embeddings), 0.01)
    found = near_duplicates(indexed(embeddings, search="hnsw", recall=0.5), 0.01)
    assert len(expected) > 5
    np.testing.assert_array_equal(found.ids, expected.ids)


@pytest.mark.parametrize("count", [0, 1, 2, 15])
def test_too_few_rows_for_an_estimate_join_copies_only(count):
    embeddings = rows(count, seed=5)
    if count > 1:
        embeddings[1] = embeddings[0]
    found = near_duplicates(indexed(embeddings))
    assert [group.tolist() for group in found.groups] == ([[0, 1]] if count > 1 else [])
    assert (found.threshold, found.chance, found.chance_pairs) == (0.0, None, 0.0)
    assert np.isnan(near_duplicates(indexed(embeddings), 0.1).chance_pairs)
    assert f"of {count} image" in repr(found)


def torus(count, dim, seed):
    """Images of ``dim`` free directions, none of them a copy."""
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, dim))
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize("distance", ["cosine", "manhattan"])
@pytest.mark.parametrize("dim", [2, 5, 10])
def test_as_many_pairs_of_different_images_are_near_as_it_says(distance, dim):
    wanted, found = 5.0, []
    for seed in range(20):
        index = indexed(torus(400, dim, seed), distance=distance)
        result = near_duplicates(index, chance_pairs=wanted)
        assert result.chance_pairs == pytest.approx(wanted)
        every = index.search(index.get().embeddings, k=400)
        found.append((np.count_nonzero(every.distances <= np.float32(result.threshold)) - 400) / 2)
    # The estimate is 0.7 to 3 times what is there.
    assert wanted / 3.5 < np.mean(found) < wanted / 0.65


@pytest.mark.parametrize("copies", [1, 5])
def test_copies_with_a_little_noise_are_found_and_little_else(copies):
    images, rng = torus(500, 5, 0), np.random.default_rng(1)
    chosen = rng.choice(500, 20, replace=False)
    noisy = [images[chosen] + rng.normal(0, 0.003, (20, 10)) for _ in range(copies)]
    found = near_duplicates(indexed(np.concatenate([images, *noisy])))
    groups = {tuple(group.tolist()) for group in found.groups}
    expected = {(one, *range(500 + i, 500 + 20 * copies, 20)) for i, one in enumerate(chosen.tolist())}
    assert expected <= groups
    assert len(groups - expected) <= 1


def chance_by_loops(near, places, threshold):
    """Expected pairs, image by image; the expected steps are those of a simulation."""
    draws = np.sort(np.random.default_rng(0).exponential(size=(200_000, 14)), axis=1)
    mean = draws[:, :12].sum(axis=1).mean()
    sums = []
    for own in near:
        steps = sorted((j + 1) * np.log(own[j + 1] / own[j]) for j in range(14))
        sums.append(sum(steps[:12]))
    total = 0.0
    for i, own in enumerate(near):
        around = [sums[i]] + [sums[j] for j in places[i]]
        total += 14 * min(threshold / own[14], 1) ** (mean / np.mean(around)) / 2
    return total


def test_the_estimate_is_the_formula_that_is_described():
    embeddings = rows(40, seed=6)
    every = distances(embeddings, embeddings, "euclidean")
    np.fill_diagonal(every, np.inf)
    places = np.argsort(every, axis=1)[:, :15]
    near = np.take_along_axis(every, places, axis=1)
    found = near_duplicates(indexed(embeddings, distance="euclidean"), 0.4)
    assert found.chance_pairs == pytest.approx(chance_by_loops(near, places, 0.4), rel=0.02)
    for pairs in (0.01, 1.0, 20.0):
        assert found.chance.pairs(found.chance.threshold(pairs)) == pytest.approx(pairs)
    assert found.chance.pairs(0) == 0


def test_images_of_which_nothing_is_known_count_as_the_others_do():
    near, places = np.tile(np.arange(1.0, 16), (30, 1)), np.tile(np.arange(15), (30, 1))
    all_known = chance.estimate(near, places, np.full(30, 0.5))
    near[20:] = 0
    some = chance.estimate(near, places, np.full(30, 0.5))
    assert isinstance(some, Chance)
    assert some.weights.sum() == pytest.approx(all_known.weights.sum())
    assert chance.estimate(np.zeros((30, 15)), places, np.full(30, 0.5)) is None
    assert chance.estimate(near[:, :14], places[:, :14], np.full(30, 0.5)) is None


def test_a_grid_whose_distances_are_all_alike_is_no_error():
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3)
    found = near_duplicates(indexed(grid, distance="squared_euclidean"))
    assert found.groups == []
    assert 0 <= found.threshold < 1


def test_the_table_says_how_much_is_chance_and_which_labels_meet():
    embeddings = rows(200, seed=7, dim=8)
    embeddings = np.concatenate([embeddings, embeddings[:12]])
    found = near_duplicates(indexed(embeddings, ["<b>"] * 200 + ["ok"] * 12), chance_pairs=0.01)
    lines = repr(found).splitlines()
    assert re.fullmatch(
        r"12 groups of near-duplicates, 24 of 212 images, within cosine distance [\d.e-]+; "
        r"pairs of different images expected there by chance: 0.01",
        lines[0],
    )
    assert lines[1].split() == ["group", "images", "distance", "labels", "ids"]
    assert lines[2].split(maxsplit=3)[:3] == ["0", "2", "0"]
    assert "<b>, ok" in lines[2]
    assert lines[2].endswith("0, 200")
    assert lines[-1] == "and 2 more groups"
    assert len(lines) == 13
    html = found._repr_html_()
    assert "&lt;b&gt;, ok" in html
    assert "<b>" not in html
    assert repr(near_duplicates(indexed(rows(30)), 0.0)).count("\n") == 0


def test_what_is_malformed_is_refused_before_the_search(monkeypatch):
    index = indexed(rows(30))
    monkeypatch.setattr("simnb.index.exact.ExactSearch.__call__", lambda *_: pytest.fail("it searched"))
    for options, message in (
        ({"threshold": -1}, "threshold must be a number of at least 0, got -1"),
        ({"threshold": np.nan}, "threshold must be a number of at least 0, got nan"),
        ({"chance_pairs": 0}, "chance_pairs must be a number above 0, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            near_duplicates(index, **options)
    with pytest.raises(ValueError, match="index must be an Index, as open_index gives it, got ndarray"):
        near_duplicates(rows(30))
    with pytest.raises(ValueError, match=r"0 between equal images, got 'inner_product'.*distance='cosine'"):
        near_duplicates(indexed(rows(30), distance="inner_product"))
    index.close()
    with pytest.raises(ValueError, match="closed"):
        near_duplicates(index)
