from itertools import combinations
from itertools import pairwise as successive
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from simnb.distances import DISTANCES, pairwise
from simnb.metrics import Pairs, clustering_scores, equal_error_rate, pairs, roc, tar_at_far, verification


def embeddings(count, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype("float32")


def as_pairs(same, different):
    distances = np.array([*same, *different], "float32")
    return Pairs(distances, np.arange(len(distances)) < len(same))


@pytest.mark.parametrize("distance", sorted(set(DISTANCES) - {"snr"}))
def test_all_pairs_are_measured_where_there_is_room(distance):
    x, labels = embeddings(7), [2, 0, -1, 1, 0, 2, 0]
    among = [i for i in range(7) if labels[i] != -1]
    expected = {True: [], False: []}
    for i, j in combinations(among, 2):
        expected[labels[i] == labels[j]].append(pairwise(x[[i]], x[[j]], distance)[0, 0])
    measured = pairs(x, labels, distance=distance, max_pairs=15)
    assert repr(measured) == "Pairs(4 same, 11 different)"
    for kind, distances in expected.items():
        np.testing.assert_allclose(
            np.sort(measured.distances[measured.same == kind]), np.sort(distances), rtol=1e-4, atol=1e-5
        )


@settings(deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=2, max_size=20), st.integers(1, 200), st.integers(0, 9))
def test_pairs_are_distinct_of_their_kind_and_as_many_as_wanted(labels, max_pairs, seed):
    labels = np.array(labels)
    x = np.zeros((len(labels), 2), "float32")
    x[:, 0] = 1
    among = np.flatnonzero(labels != -1)
    if len(among) < 2:
        with pytest.raises(ValueError, match="at least two examples must have a class, got"):
            pairs(x, labels)
        return
    taken = []

    def record(embeddings, first, second, distance):
        taken.extend(zip(first.tolist(), second.tolist(), strict=True))
        return np.zeros(len(first), "float32")

    with mock.patch.object(verification, "_distances", record):
        chosen = pairs(x, labels, max_pairs=max_pairs, seed=seed)
    everything = [frozenset(pair) for pair in combinations(among.tolist(), 2)]
    num_same = sum(len({labels[i] for i in pair}) == 1 for pair in everything)
    assert len(chosen) == len(taken) == min(max_pairs, len(everything))
    assert len({frozenset(pair) for pair in taken}) == len(taken)
    assert {frozenset(pair) for pair in taken} <= set(everything)
    assert [labels[i] == labels[j] for i, j in taken] == chosen.same.tolist()
    if max_pairs < len(everything):
        room = max(max_pairs // 2, max_pairs - (len(everything) - num_same))
        assert chosen.same.sum() == min(num_same, room)


def test_every_pair_of_a_kind_is_as_likely():
    x, labels = embeddings(9), np.array([0, 1, 0, 1, 2, 1, 0, 1, 2])
    counts = np.zeros((9, 9))

    def record(embeddings, first, second, distance):
        np.add.at(counts, (np.minimum(first, second), np.maximum(first, second)), 1)
        return np.zeros(len(first), "float32")

    with mock.patch.object(verification, "_distances", record):
        for seed in range(4000):
            pairs(x, labels, max_pairs=11, seed=seed)
    above, same = np.triu(np.ones((9, 9), bool), 1), labels[:, None] == labels
    for kind, chosen, total in ((same, 5, 10), (~same, 6, 26)):
        share = counts[above & kind] / 4000
        assert len(share) == total
        np.testing.assert_allclose(share, chosen / total, atol=4 * 0.5 / np.sqrt(4000))


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_of_chosen_pairs_are_those_of_the_two(distance):
    x = embeddings(150)
    rng = np.random.default_rng(1)
    first = rng.integers(0, 150, 100)
    second = (first + rng.integers(1, 150, 100)) % 150
    measured = verification._distances(x, first, second, distance)
    expected = [pairwise(x[[i]], x[[j]], distance)[0, 0] for i, j in zip(first, second, strict=True)]
    np.testing.assert_allclose(measured, expected, rtol=1e-3, atol=2e-5)
    whole = verification._distances(x, np.repeat(first, 100), np.repeat(second, 100), distance)
    np.testing.assert_allclose(whole[::100], expected, rtol=1e-3, atol=2e-5)


def test_the_same_seed_gives_the_same_pairs_and_the_global_generator_is_left_alone():
    x, labels = embeddings(60), np.arange(60) % 5
    before = np.random.get_state()[1].tolist()
    one, again = (pairs(x, labels, max_pairs=50, seed=3) for _ in range(2))
    other = pairs(x, labels, max_pairs=50, seed=4)
    np.testing.assert_array_equal(one.distances, again.distances)
    assert not np.array_equal(one.distances, other.distances)
    assert np.random.get_state()[1].tolist() == before


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=15), st.lists(st.integers(0, 6), min_size=1, max_size=15)
)
def test_rates_equal_their_counts_at_every_threshold(same, different):
    measured, same, different = as_pairs(same, different), np.array(same), np.array(different)
    curve = roc(measured)
    assert curve.thresholds.tolist() == [-np.inf, *sorted({*same.tolist(), *different.tolist()})]
    for threshold, far, tar in zip(
        curve.thresholds, curve.false_acceptance, curve.true_acceptance, strict=True
    ):
        assert far == (different <= threshold).mean()
        assert tar == (same <= threshold).mean()
    for far in {1 / len(different), 0.5, 0.9}:
        if 1 / len(different) <= far < 1:
            allowed = [t for t in curve.thresholds if (different <= t).mean() <= far]
            assert tar_at_far(measured, far) == (same <= allowed[-1]).mean()


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=15), st.lists(st.integers(0, 6), min_size=1, max_size=15)
)
def test_equal_error_rate_is_where_the_line_between_two_thresholds_crosses(same, different):
    same, different = np.array(same), np.array(different)
    points = [(0.0, 1.0)]
    for threshold in sorted({*same.tolist(), *different.tolist()}):
        points.append(((different <= threshold).mean(), (same > threshold).mean()))
    for (far, frr), (next_far, next_frr) in successive(points):
        if far <= frr and next_far >= next_frr:
            part = (frr - far) / ((frr - far) + (next_far - next_frr))
            expected = far + part * (next_far - far)
            break
    assert equal_error_rate(as_pairs(same, different)) == pytest.approx(expected, abs=1e-12)


def test_rates_of_apart_and_of_equal_distances():
    assert equal_error_rate(as_pairs([1, 2], [3, 4])) == 0.0
    assert equal_error_rate(as_pairs([1, 1], [1, 1])) == 0.5
    assert equal_error_rate(as_pairs([3, 4], [1, 2])) == 1.0
    assert tar_at_far(as_pairs([1, 4], [3, 5]), 0.5) == 1.0


def test_bad_pairs_are_named():
    with pytest.raises(ValueError, match="pairs must be both same and different, got 2 same and 0 different"):
        roc(as_pairs([1, 2], []))
    with pytest.raises(ValueError, match="pairs must be both same and different, got 0 same and 2 different"):
        equal_error_rate(as_pairs([], [1, 2]))
    with pytest.raises(
        ValueError, match=r"far must be at least 1 / 2, one of the different pairs, got 0\.001"
    ):
        tar_at_far(as_pairs([1, 2], [3, 4]))
    with pytest.raises(ValueError, match="far must be a number above 0 and below 1, got 1"):
        tar_at_far(as_pairs([1, 2], [3, 4]), 1)
    with pytest.raises(ValueError, match="distances must not be NaN, got 1 of them"):
        as_pairs([np.nan], [1])
    with pytest.raises(ValueError, match="same and distances must have the same length, got 1 and 2"):
        Pairs(np.zeros(2), np.array([True]))
    with pytest.raises(ValueError, match="labels and embeddings must have the same length, got 2 and 3"):
        pairs(embeddings(3), [0, 1])
    with pytest.raises(ValueError, match="distance must be one of cosine"):
        pairs(embeddings(3), [0, 1, 0], distance="hamming")
    with pytest.raises(ValueError, match="max_pairs must be an integer of at least 1, got 0"):
        pairs(embeddings(3), [0, 1, 0], max_pairs=0)


def around(directions, each, spread=0.05):
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(len(directions)), each, axis=0)
    rows = rows + rng.normal(0, spread, rows.shape)
    return rows * rng.uniform(0.5, 20, (len(rows), 1)), np.repeat(directions, each)


def test_classes_that_lie_apart_are_found_whatever_the_length_of_their_rows():
    rows, labels = around([3, 7, 5], 20)
    assert clustering_scores(rows, labels) == pytest.approx({"nmi": 1.0, "ari": 1.0})


def test_labels_by_chance_score_nothing():
    rows, labels = around([3, 7, 5], 200)
    scores = clustering_scores(rows, np.random.default_rng(1).permutation(labels))
    assert abs(scores["ari"]) < 0.02
    assert scores["nmi"] < 0.02


def test_classes_in_fewer_clusters_score_what_scikit_learn_gives():
    rows, labels = around([0, 1, 2, 3], 10)
    rows[labels == 3] = rows[labels == 2]  # cannot be told apart
    clusters = np.minimum(labels, 2)
    expected = {
        "nmi": normalized_mutual_info_score(labels, clusters),
        "ari": adjusted_rand_score(labels, clusters),
    }
    assert clustering_scores(rows, labels, num_clusters=3) == pytest.approx(expected)
    assert expected["ari"] < 0.9


def test_the_same_seed_gives_the_same_clusters():
    rows = np.random.default_rng(0).normal(size=(80, 6))
    labels = np.arange(80) % 8
    before = np.random.get_state()[1].tolist()
    one, again = (clustering_scores(rows, labels, seed=2) for _ in range(2))
    assert one == pytest.approx(again)
    assert clustering_scores(rows, labels, seed=3) != pytest.approx(one)
    assert np.random.get_state()[1].tolist() == before


def test_examples_without_a_class_are_left_out():
    rows, labels = around([3, 7], 10)
    with_others = np.concatenate([rows, -np.ones((30, 2))])
    labels = np.concatenate([labels, np.full(30, -1)])
    assert clustering_scores(with_others, labels) == pytest.approx({"nmi": 1.0, "ari": 1.0})


def test_bad_clusters_are_named():
    with pytest.raises(ValueError, match="embeddings must not be all zero"):
        clustering_scores([[0.0, 0.0], [1.0, 0.0]], [0, 1])
    with pytest.raises(ValueError, match="num_clusters must be at most the 2 examples, got 3"):
        clustering_scores([[0.0, 1.0], [1.0, 0.0]], [0, 1], num_clusters=3)
    with pytest.raises(ValueError, match="labels other than UNKNOWN must hold at least one example"):
        clustering_scores([[0.0, 1.0]], [-1])
    with pytest.raises(ValueError, match="seed must be an integer of at least 0"):
        clustering_scores([[0.0, 1.0]], [1], seed=-1)
