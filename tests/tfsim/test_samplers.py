"""Samplers by their old names."""

import numpy as np
import pytest
from PIL import Image

from simnb import tfsim
from simnb.tfsim import samplers


@pytest.fixture
def points():
    y = np.repeat(np.arange(5), 12)
    return np.arange(60)[:, None] * np.ones((1, 2)), y


def test_batches_are_balanced(points):
    sampler = samplers.MultiShotMemorySampler(
        *points, classes_per_batch=3, examples_per_class_per_batch=4, steps_per_epoch=7
    )
    assert (len(sampler), sampler.num_examples, sampler.example_shape) == (7, 60, (2,))
    for i in range(7):
        x, y = sampler.generate_batch(i)
        assert sorted(np.unique(y, return_counts=True)[1]) == [4, 4, 4]
        assert (x[:, 0] // 12 == y).all()
        assert len(np.unique(x[:, 0])) == 12  # without replacement
    np.testing.assert_array_equal(sampler.generate_batch(7 * 5 + 2)[0], sampler.generate_batch(2)[0])


def test_a_slice_goes_to_the_last_example(points):
    sampler = samplers.MultiShotMemorySampler(*points)
    x, y = sampler.get_slice()
    assert (len(x), len(y)) == (60, 60)
    assert sorted(x[:, 0]) == list(range(60))
    assert (np.diff(y) != 0).sum() > 20  # in no order
    np.testing.assert_array_equal(sampler.get_slice(50, -1)[0], x[50:])
    np.testing.assert_array_equal(sampler.get_slice(55, 10)[0], x[55:])
    np.testing.assert_array_equal(sampler.get_slice(3, 4)[1], y[3:7])


def test_examples_are_selected(points):
    x, y = samplers.select_examples(*points, class_list=[1, 3], num_examples_per_class=5)
    assert np.unique(y, return_counts=True)[1].tolist() == [5, 5]
    assert set(y) == {1, 3}
    assert (x[:, 0] // 12 == y).all()
    sampler = samplers.MultiShotMemorySampler(*points, class_list=[0, 2], total_examples_per_class=6)
    assert (sampler.class_list, sampler.num_examples) == ([0, 2], 12)


def test_examples_of_several_shapes_are_refused():
    images = [np.zeros((4, 4, 3)), np.zeros((5, 4, 3))]
    with pytest.raises(ValueError, match="load_example_fn"):
        samplers.MultiShotMemorySampler(images, [0, 1])


def test_an_augmenter_is_told_of_warm_up(points):
    seen = []

    def augmenter(x, y, num_views, is_warmup):
        seen.append((num_views, is_warmup))
        return np.concatenate([x, x]), np.concatenate([y, y])

    sampler = samplers.MultiShotMemorySampler(*points, steps_per_epoch=2, augmenter=augmenter, warmup=1)
    for _ in range(2):
        sampler.on_epoch_begin()
        assert [len(sampler[i][0]) for i in range(2)] == [8, 8]
        sampler.on_epoch_end()
    assert seen == [(1, True), (1, True), (1, False), (1, False)]
    assert not samplers.MultiShotMemorySampler(*points).is_warmup


def test_a_class_that_is_too_small_is_named():
    y = [0, 0, 0, 1]
    with pytest.warns(UserWarning, match="class 1 has 1 examples"):
        sampler = samplers.MultiShotMemorySampler(np.arange(4.0), y, classes_per_batch=2)
    assert sorted(sampler.generate_batch(0)[1]) == [0, 0, 1, 1]


def test_single_shots(points):
    def augmenter(x, y, num_views, is_warmup):
        return np.repeat(x, num_views, axis=0), np.repeat(y, num_views)

    sampler = samplers.SingleShotMemorySampler(points[0], augmenter, 5, 3, steps_per_epoch=4)
    x, y = sampler.generate_batch(0)
    assert x.shape == (15, 2)
    np.testing.assert_array_equal(x[:, 0], y)
    assert sorted(np.unique(y, return_counts=True)[1]) == [3] * 5
    assert len(sampler.get_slice(10)[0]) == 150


def test_files(tmp_path):
    paths = []
    for i in range(6):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(paths[-1])
    sampler = samplers.MultiShotFileSampler(
        paths, [0, 0, 0, 1, 1, 1], lambda path: samplers.load_image(path, (4, 4)), classes_per_batch=2
    )
    x, y = sampler.generate_batch(0)
    assert x.shape == (4, 4, 4, 3)
    np.testing.assert_array_equal((x[:, 0, 0, 0] * 255 / 40 >= 3).astype(int), y)
    assert sampler.example_shape == (4, 4, 3)


def test_data_sets_by_name():
    sampler = tfsim.samplers.TFDatasetMultiShotMemorySampler(
        "digits", 10, splits="test", total_examples_per_class=3, preprocess_fn=lambda x, y: (x / 255, y)
    )
    assert (sampler.num_examples, sampler.example_shape) == (30, (32, 32, 3))
    assert sampler.get_slice()[0].max() <= 1
    both = tfsim.samplers.TFDatasetMultiShotMemorySampler("digits", 10)
    assert both.num_examples == 1797


def test_records(tmp_path):
    import tensorflow as tf

    for label in range(3):
        with tf.io.TFRecordWriter(str(tmp_path / f"{label}.tfrec")) as writer:
            for i in range(4):
                writer.write(np.array([label, i], np.int64).tobytes())

    def read(record):
        values = tf.io.decode_raw(record, tf.int64)
        return values[1], values[0]

    batches = samplers.TFRecordDatasetSampler(str(tmp_path), read, example_per_class=2, batch_size=6)
    for _, y in batches.take(3):
        assert sorted(y.numpy()) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="shard_path"):
        samplers.TFRecordDatasetSampler(str(tmp_path / "nowhere"), read)


def test_streams(points):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((points[0][:, :1, None].astype("float32"), points[1]))
    batches = samplers.TFDataSampler(
        dataset, classes_per_batch=2, examples_per_class_per_batch=3, class_list=[1, 4],
        load_fn=lambda x: x + 1, augmenter=lambda x, y, views, warm: (-x, y),
    )  # fmt: skip
    for x, y in batches.take(3):
        assert sorted(y.numpy()) == [1, 1, 1, 4, 4, 4]
        np.testing.assert_array_equal((-x.numpy().ravel() - 1) // 12, y)
    with pytest.raises(ValueError, match="warmup"):
        samplers.TFDataSampler(dataset, warmup=2)
