"""Functions and Keras layers as the augmentation of a sampler."""

import pickle

import keras
import numpy as np
import pytest

from simnb.augmentation import Augment
from simnb.samplers import BalancedBatches, TwoViewBatches

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 3), dtype=np.uint8)


def make(augment, seed=0):
    return BalancedBatches(
        IMAGES,
        np.arange(24) % 4,
        classes_per_batch=2,
        examples_per_class=3,
        augment=augment,
        seed=seed,
    )


def layers(seed):
    layers = keras.layers
    return [
        layers.RandomFlip(seed=seed),
        layers.Rescaling(0.5),
        layers.RandomTranslation(0.2, 0.2, seed=seed),
    ]


def test_keras_layers_depend_on_seed_epoch_and_batch_alone():
    batches, other = make(layers(1)), make(layers(2))
    first, second = batches.batch(0)[0], batches.batch(1)[0]
    assert type(first) is np.ndarray
    assert first.dtype == np.float32
    np.testing.assert_array_equal(other.batch(1)[0], second)
    np.testing.assert_array_equal(other.batch(0)[0], first)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(batches)).batch(1)[0], second)
    batches.next_epoch()
    assert not np.isin(batches.batch(0)[0].round(3), first.round(3)).all()
    assert not np.array_equal(make(layers(1), seed=1).batch(0)[0], first)


def test_a_single_layer_draws_anew_for_each_batch_and_view():
    flip = keras.layers.RandomFlip("horizontal")
    whole = np.broadcast_to(IMAGES[:1], (24, 12, 12, 3))
    batches = TwoViewBatches(whole, batch_size=12, augment=flip)
    mirrored = [(batches.batch(i)[0] != IMAGES[0]).any(axis=(1, 2, 3)) for i in range(2)]
    assert not np.array_equal(*mirrored)
    for drawn in mirrored:
        assert not np.array_equal(drawn[::2], drawn[1::2])
        assert 0 < drawn.sum() < 24


def test_no_global_generator_of_keras_is_touched():
    keras.utils.set_random_seed(3)
    expected = keras.ops.convert_to_numpy(keras.random.uniform((3,)))
    keras.utils.set_random_seed(3)
    make(layers(1)).batch(0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.random.uniform((3,))), expected)


def test_augment_is_called_on_what_was_drawn():
    batches = make(Augment(crop=2, color=0.3))
    expected = Augment(crop=2, color=0.3)(IMAGES[batches.positions(1)], np.random.default_rng([0, 0, 1]))
    np.testing.assert_array_equal(batches.batch(1)[0], expected)


def test_what_is_no_augmentation_is_refused():
    for augment in ("flip", 3, [], [np.flip], keras.layers.RandomFlip):
        with pytest.raises(ValueError, match=r"augment must be a function .*, a Keras layer or a list of"):
            make(augment)
