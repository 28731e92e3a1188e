"""tf.data on either side of the samplers."""

import collections
import contextlib
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.augmentation import Augment
from simnb.samplers import BalancedBatches, TwoViewBatches, balance
from simnb.samplers.streams import balanced_batches

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(24) % 4


def make(**options):
    options = {"steps_per_epoch": 3, "augment": Augment(crop=2), "seed": 2, **options}
    return BalancedBatches(IMAGES, LABELS, classes_per_batch=2, examples_per_class=3, **options)


def expected_of(batches, epochs):
    made = []
    for _ in range(epochs):
        made += [batches.batch(i) for i in range(len(batches))]
        batches.next_epoch()
    return made


def assert_same(made, expected):
    assert len(made) == len(expected)
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_a_pass_over_the_tf_dataset_is_an_epoch():
    dataset = make().to_tf_dataset()
    images, labels = dataset.element_spec
    assert (images.shape, images.dtype) == ((6, 8, 8, 3), tf.uint8)
    assert (labels.shape, labels.dtype) == ((6,), tf.int64)
    assert len(dataset) == 3
    made = [*dataset.as_numpy_iterator(), *dataset.as_numpy_iterator()]
    assert_same(made, expected_of(make(), 2))
    assert_same(list(make().to_tf_dataset().repeat(2).as_numpy_iterator()), expected_of(make(), 2))


def test_a_pass_that_is_broken_off_begins_again_and_disturbs_no_other():
    dataset = make(steps_per_epoch=12).to_tf_dataset()
    expected = expected_of(make(steps_per_epoch=12), 2)
    early = iter(dataset)
    np.testing.assert_array_equal(next(early)[0], expected[0][0])
    assert_same(list(dataset.as_numpy_iterator()), expected[:12])
    assert_same(list(dataset.as_numpy_iterator()), expected[12:])


def test_two_passes_at_once_are_the_same_epoch():
    sampler = make()
    one, other = zip(*tf.data.Dataset.zip(sampler.to_tf_dataset(), sampler.to_tf_dataset()), strict=True)
    assert_same(one, expected_of(make(), 1))
    assert_same(other, one)
    assert sampler.epoch == 1


def test_strategies_share_the_tf_dataset_out():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    shared_out = strategy.experimental_distribute_dataset(make().to_tf_dataset())
    assert_same([[part.numpy() for part in batch] for batch in shared_out], expected_of(make(), 1))


def test_fit_takes_the_tf_dataset():
    def two_views():
        return TwoViewBatches(IMAGES, batch_size=6, augment=Augment(crop=2))

    class Recorder(keras.Sequential):
        def train_step(self, *arguments):
            seen.append([keras.ops.convert_to_numpy(part) for part in arguments[-1][:2]])
            return super().train_step(*arguments)

    seen, model = [], Recorder([keras.layers.Flatten(), keras.layers.Dense(24)])
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(two_views().to_tf_dataset(), epochs=2, shuffle=False, verbose=0)
    assert_same(seen, expected_of(two_views(), 2))


def stream(labels):
    return ((np.array([position]), label) for position, label in enumerate(labels))


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 7]), min_size=40, max_size=150),
    classes_per_batch=st.integers(1, 3),
    examples_per_class=st.integers(1, 4),
    room=st.integers(0, 30),
    seed=st.integers(0, 100),
)
def test_batches_out_of_a_stream_are_c_times_k_of_different_examples(
    labels, classes_per_batch, examples_per_class, room, seed
):
    size = classes_per_batch * examples_per_class
    rng = np.random.default_rng(seed)
    used = []
    with contextlib.suppress(ValueError):  # where the labels make no batch at all
        for images, own in balanced_batches(
            stream(labels), classes_per_batch, examples_per_class, size + room, rng
        ):
            used += images[:, 0].tolist()
            assert own.tolist() == [labels[position] for position in images[:, 0]]
            assert (np.diff(own.reshape(classes_per_batch, -1), axis=1) == 0).all()
            assert len(set(own.tolist())) == classes_per_batch
    assert len(set(used)) == len(used)
    assert used or classes_per_batch > 1


def test_no_example_of_an_even_stream_is_left_out_but_in_the_end():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 200)).tolist()
    made = list(balanced_batches(stream(labels), 5, 4, 200, np.random.default_rng(0)))
    assert len(made) == 50
    # With a class in a batch as often as another, each is drawn about as often as it comes.
    counts = collections.Counter(
        np.concatenate(
            [own for _, own in balanced_batches(stream(labels), 2, 4, 200, np.random.default_rng(0))]
        ).tolist()
    )
    assert sum(counts.values()) > 950


def test_a_stream_holds_no_more_than_its_buffer():
    read = []

    def examples():
        for position in range(600):
            image = np.array([position])
            read.append(weakref.ref(image))
            yield image, position % 3 if position % 10 == 0 else 0
            del image
            # The last one is still in the hands of the reader.
            assert sum(reference() is not None for reference in read) <= 50 + 1

    made = list(balanced_batches(examples(), 2, 3, 50, np.random.default_rng(0)))
    assert len(read) == 600
    assert len(made) > 5


def test_a_data_set_is_balanced_in_each_pass_anew():
    labels = np.random.default_rng(1).permutation(np.repeat([3, 5, 8], 60))
    dataset = tf.data.Dataset.from_tensor_slices((np.arange(180)[:, None], labels))
    batches = balance(dataset, classes_per_batch=2, examples_per_class=4, buffer_size=40, seed=3)
    assert batches.element_spec[0].shape == (8, 1)
    passes = [list(batches.as_numpy_iterator()) for _ in range(2)]
    again = balance(dataset, classes_per_batch=2, examples_per_class=4, buffer_size=40, seed=3)
    assert_same(list(again.as_numpy_iterator()), passes[0])
    for made in passes:
        for images, own in made:
            np.testing.assert_array_equal(labels[images[:, 0]], own)
            assert np.unique(own, return_counts=True)[1].tolist() == [4, 4]
        assert len(made) > 15
    assert not np.array_equal(passes[0][0][0], passes[1][0][0])
    other = balance(dataset, classes_per_batch=2, examples_per_class=4, buffer_size=40, seed=4)
    assert not np.array_equal(next(other.as_numpy_iterator())[0], passes[0][0][0])


def test_a_stream_that_brings_no_batch_says_so_even_if_it_never_ends():
    for endless in (stream([0] * 50), stream(0 for _ in iter(int, 1))):
        with pytest.raises(ValueError, match=r"3 examples of each of 2 classes .* buffer_size=10 they"):
            next(balanced_batches(endless, 2, 3, 10, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="labels must be 0 or above, got -1"):
        next(balanced_batches(stream([0, -1]), 1, 1, 10, np.random.default_rng(0)))


def test_data_sets_of_another_kind_are_refused():
    good = {"classes_per_batch": 2, "examples_per_class": 3}
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    with pytest.raises(ValueError, match=r"one label an element, got .*; pass dataset.unbatch\(\)"):
        balance(pairs.batch(4), **good)
    with pytest.raises(ValueError, match="labels must be integers, got float32"):
        balance(pairs.map(lambda image, label: (image, tf.cast(label, tf.float32))), **good)
    with pytest.raises(ValueError, match=r"dataset must be a tf.data.Dataset of \(image, label\), got"):
        balance(pairs.map(lambda image, label: image), **good)
    with pytest.raises(ValueError, match="dataset must be a tf"):
        balance(IMAGES, **good)
    varying = tf.data.Dataset.from_generator(
        lambda: iter(()), output_signature=(tf.TensorSpec([None, 8, 3]), tf.TensorSpec([], tf.int64))
    )
    with pytest.raises(ValueError, match=r"images must all have one shape, got \(None, 8, 3\)"):
        balance(varying, **good)
    with pytest.raises(ValueError, match="buffer_size must be at least a batch, 2 x 3, got 5"):
        balance(pairs, buffer_size=5, **good)
