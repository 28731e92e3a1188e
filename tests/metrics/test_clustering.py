import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from simnb.metrics import clustering_scores


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


def test_the_same_seed_gives_the_same_clusters_and_the_global_generator_is_left_alone():
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


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="embeddings must not be all zero"):
        clustering_scores([[0.0, 0.0], [1.0, 0.0]], [0, 1])
    with pytest.raises(ValueError, match="num_clusters must be at most the 2 examples, got 3"):
        clustering_scores([[0.0, 1.0], [1.0, 0.0]], [0, 1], num_clusters=3)
    with pytest.raises(ValueError, match="labels other than UNKNOWN must hold at least one example"):
        clustering_scores([[0.0, 1.0]], [-1])
    with pytest.raises(ValueError, match="seed must be an integer of at least 0"):
        clustering_scores([[0.0, 1.0]], [1], seed=-1)
