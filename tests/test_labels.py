"""Labels as people bring them, in every room that takes labels: columns are taken, one-hot is explained."""

import keras
import numpy as np
import pytest

from simnb import calibration, losses, metrics
from simnb.index import open_index
from simnb.samplers import BalancedBatches, balance
from simnb.search import SimilaritySearch
from simnb.training import MetricModel, fit

LABELS = np.arange(12) % 3
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 1), dtype=np.uint8)
EMBEDDINGS = IMAGES.reshape(12, -1).astype("float32")
ONE_HOT = np.eye(3)[LABELS]
MULTI_HOT = np.maximum(ONE_HOT, np.eye(3)[(LABELS + np.arange(12) // 6) % 3])


def flat(images):
    return np.asarray(images).reshape(len(images), -1).astype("float32")


def in_samplers(labels):
    return BalancedBatches(IMAGES, labels, classes_per_batch=2, examples_per_class=2).batch(0)[1]


def in_search(labels):
    search = SimilaritySearch(flat)
    search.add(IMAGES, labels)
    return search.lookup(IMAGES, k=2).labels


def in_an_index(labels):
    index = open_index()
    index.add(EMBEDDINGS, labels)
    return index.labels


def neighbors():
    index = open_index()
    index.add(EMBEDDINGS, LABELS)
    return index.search(EMBEDDINGS + 1, k=3)


def in_calibration(labels):
    return [calibration.calibrate(neighbors(), labels, known_labels=[0, 1, 2]).cutpoint.threshold]


def in_metrics(labels):
    return [metrics.recall_at_k(neighbors(), labels, 2), metrics.pairs(EMBEDDINGS, labels).same]


def in_losses(labels):
    return losses.triplet_loss(labels, EMBEDDINGS)


def in_losses_over_proxies(labels):
    return losses.normalized_softmax_loss(labels, EMBEDDINGS[:, :3])


ROOMS = [in_samplers, in_search, in_an_index, in_calibration, in_metrics, in_losses, in_losses_over_proxies]


@pytest.mark.parametrize("room", ROOMS)
def test_a_column_of_labels_is_taken(room):
    for expected, got in zip(room(LABELS), room(LABELS[:, None].astype("uint8")), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_one_hot_and_multi_hot_labels_are_told_apart_and_explained(room, dtype):
    with pytest.raises(
        ValueError, match=r"got \(12, 3\); one-hot labels become integers with argmax\(axis=1\)$"
    ):
        room(ONE_HOT.astype(dtype))
    with pytest.raises(ValueError, match=r"got \(12, 3\); .* number the combinations with np\.unique"):
        room(MULTI_HOT.astype(dtype))
    combinations = np.unique(MULTI_HOT, axis=0, return_inverse=True)[1]
    assert combinations.shape == (12,)


@pytest.mark.parametrize("room", ROOMS)
def test_a_column_of_numbers_that_are_no_integers_is_refused(room):
    with pytest.raises(ValueError, match=r"labels must be integers, .*got dtype float64"):
        room(LABELS[:, None] + 0.5)


def test_training_takes_what_a_data_set_of_columns_gives():
    class Columns(keras.utils.PyDataset):
        def __init__(self, labels):
            super().__init__()
            self.labels = labels

        def __len__(self):
            return 2

        def __getitem__(self, i):
            return IMAGES, self.labels

    def model():
        inputs = keras.Input((4, 4, 1))
        start = keras.initializers.GlorotUniform(seed=1)
        return keras.Model(
            inputs, keras.layers.Dense(3, kernel_initializer=start)(keras.layers.Flatten()(inputs))
        )

    def trained(labels, loss):
        learner = MetricModel(model(), loss, classes=LABELS)
        fit(learner, Columns(labels), verbose=0)
        return learner.get_weights()

    for loss in (losses.TripletLoss(), losses.NormalizedSoftmaxLoss()):
        for a, b in zip(trained(LABELS, loss), trained(LABELS[:, None], loss), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        with pytest.raises(ValueError, match=r"one-hot labels become integers with argmax\(axis=1\)"):
            trained(ONE_HOT, loss)


def test_a_stream_with_columns_of_labels_is_balanced():
    tf = pytest.importorskip("tensorflow")
    column = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS[:, None]))
    plain = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    options = {"classes_per_batch": 2, "examples_per_class": 2, "buffer_size": 8}
    for one, other in zip(balance(column, **options), balance(plain, **options), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    one_hot = tf.data.Dataset.from_tensor_slices((IMAGES, ONE_HOT))
    with pytest.raises(ValueError, match=r"pass dataset.unbatch\(\), or where labels are one-hot, tf.argmax"):
        balance(one_hot, **options)
