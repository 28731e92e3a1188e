import numpy as np
import pytest

from simnb.evaluation import closed_set, few_shot


def blobs(count, seed, classes=4, spread=0.35):
    """Embeddings around one direction for each class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    return np.eye(8)[labels] + spread * rng.normal(size=(len(labels), 8)), labels


GALLERY, QUERIES = blobs(40, 0), blobs(40, 2)


def test_more_examples_of_a_new_class_find_more_of_it():
    measured = few_shot(GALLERY, QUERIES, [2, 3], shots=(1, 5, 40), repeats=8)
    few = measured["few"].mean(axis=0)
    assert few[0] < few[1] < few[2]
    # With all rows there is nothing to draw.
    assert np.unique(measured["few"][:, 2]).size == 1
    assert measured["few"][0, 2] == recall_of(closed_set(GALLERY, QUERIES, by_class=True), [2, 3])
    assert measured["other"].shape == (8, 3)
    again = few_shot(GALLERY, QUERIES, [2, 3], shots=(1, 5, 40), repeats=8)
    np.testing.assert_array_equal(again["few"], measured["few"])
    only = few_shot(GALLERY, (QUERIES[0][:40], QUERIES[1][:40]), [2], shots=[1], repeats=1)
    assert np.isnan(only["few"]).all()
    assert few_shot(GALLERY, QUERIES, [2], shots=5, repeats=2)["few"].shape == (2, 1)
    with pytest.raises(ValueError, match="shots must hold at least one example, got none"):
        few_shot(GALLERY, QUERIES, [2], shots=())
    with pytest.raises(ValueError, match="must have 41 rows in the gallery, but 2 has 40"):
        few_shot(GALLERY, QUERIES, [2], shots=[41])


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_prototypes_are_the_means_of_classes(distance):
    measured = few_shot(GALLERY, QUERIES, [2, 3], shots=[40], repeats=1, prototypes=True, distance=distance)
    rows = GALLERY[0]
    if distance == "cosine":  # a long row counts no more than a short one
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = np.stack([rows[GALLERY[1] == label].mean(axis=0) for label in range(4)])
    expected = closed_set((means, np.arange(4)), QUERIES, depth=1, by_class=True, distance=distance)
    assert measured["few"][0, 0] == recall_of(expected, [2, 3])
    assert measured["other"][0, 0] == recall_of(expected, [0, 1])


def recall_of(measured, classes):
    rows = (measured["metric"] == "recall@1") & np.isin(measured["class"], classes)
    rows &= measured["average"] == "class"
    return np.mean(measured["value"][rows])
