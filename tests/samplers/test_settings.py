"""What tells batches from others, as a checkpoint holds it."""

import functools
import pickle

import keras
import numpy as np

from simnb import data
from simnb.augmentation import Augment
from simnb.samplers import BalancedBatches, TwoViewBatches

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 3), dtype=np.uint8)
LABELS = np.arange(24) % 4
STRENGTH = 3


def settings(images=IMAGES, labels=LABELS, **options):
    options = {"classes_per_batch": 2, "examples_per_class": 3, **options}
    return BalancedBatches(images, labels, **options).settings()


def of_augment(augment):
    return settings(augment=augment)["augmentation"]


def test_equal_batches_have_equal_settings_and_they_are_plain():
    first = settings(augment=Augment(crop=2), seed=4)
    assert settings(IMAGES.copy(), LABELS.tolist(), augment=Augment(crop=2), seed=4) == first
    assert (
        pickle.loads(
            pickle.dumps(BalancedBatches(IMAGES, LABELS, classes_per_batch=2, examples_per_class=3))
        ).settings()
        == settings()
    )
    assert {type(value) for value in first.values()} <= {str, int, list}


def changed(**options):
    before, after = settings(), settings(**options)
    return {name for name in before if before[name] != after[name]}


def test_each_thing_that_differs_has_a_name():
    other = IMAGES.copy()
    other[-1, 3, 4, 1] += 1
    assert changed(images=other) == {"images"}
    assert changed(images=IMAGES.astype("float32")) == {"image dtype", "images"}
    assert changed(images=IMAGES[:, :8]) == {"image shape", "images"}
    assert changed(labels=(LABELS + 1) % 4) == {"labels"}
    assert changed(classes=[0, 1, 2]) == {"classes"}
    assert changed(augment=Augment()) == {"augmentation"}
    assert changed(small_classes="drop") == set()
    assert TwoViewBatches(IMAGES, batch_size=6, augment=Augment()).settings()["sampler"] == "TwoViewBatches"


def test_of_lazy_and_mapped_images_a_few_are_read(tmp_path):
    read = []

    def images_at(rows):
        read.extend(rows.tolist())
        return IMAGES[rows % 24]

    lazy = data.LazyImages(images_at, count=1_000_000, image_shape=(12, 12, 3))
    labels = np.arange(1_000_000) % 4
    settings(lazy, labels)
    assert 2 <= len(read) <= 4
    mapped = np.memmap(tmp_path / "images", mode="w+", shape=IMAGES.shape, dtype=np.uint8)
    mapped[:] = IMAGES
    assert settings(mapped) == settings()


def brighter(images, rng, by=STRENGTH):
    # A comment does not matter.
    return images + by


def by_a_global(images, rng):
    return images + STRENGTH


def in_a_cell(code):
    """A function whose source cannot be had."""
    names = {}
    exec(code, names)
    return names["augment"]


def closure(by):
    def augment(images, rng):
        return images + by

    return augment


class Adding:
    def __init__(self, by):
        self.by, self._calls = by, 0

    def __call__(self, images, rng):
        self._calls += 1
        return images + self.by


def test_augmentations_are_told_by_their_configuration():
    alike = [
        (Augment(crop=2), Augment(crop=2)),
        (closure(1), closure(1)),
        (Adding(1), Adding(1)),
        (functools.partial(brighter, by=2), functools.partial(brighter, by=2)),
        (keras.layers.RandomFlip(seed=1), [keras.layers.RandomFlip(seed=2)]),
        (keras.layers.RandomRotation(0.1), keras.layers.RandomRotation(0.1)),
        (in_a_cell("def augment(images, rng): return images"),) * 2,
    ]
    for one, same in alike:
        assert of_augment(one) == of_augment(same), one
    different = [
        None,
        *(one for one, _ in alike),
        Augment(crop=3),
        closure(2),
        Adding(2),
        Adding(1).__call__,
        functools.partial(brighter, by=4),
        brighter,
        by_a_global,
        lambda images, rng: images,
        lambda images, rng: images[:, ::-1],
        keras.layers.RandomRotation(0.2),
        [keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)],
    ]
    told = [of_augment(augment) for augment in different]
    assert len(set(told)) == len(told)
    used = Adding(1)
    used(1, None)
    assert of_augment(used) == of_augment(Adding(1))


def test_a_number_outside_a_function_counts(monkeypatch):
    before = of_augment(by_a_global)
    monkeypatch.setattr(f"{__name__}.STRENGTH", 4)
    assert of_augment(by_a_global) != before
