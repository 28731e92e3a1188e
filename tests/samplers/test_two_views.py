import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.augmentation import Augment
from simnb.samplers import TwoViewBatches


def add_noise(images, rng):
    return images + rng.random(images.shape)


def make(count=10, batch_size=3, **options):
    """Images that hold their own position."""
    images = np.arange(float(count))[:, None]
    return TwoViewBatches(images, **{"batch_size": batch_size, "augment": add_noise, **options})


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 20), batch_size=st.integers(1, 20), seed=st.integers(0, 100))
def test_every_image_comes_with_two_views_and_before_any_repeats(count, batch_size, seed):
    batch_size = min(batch_size, count)
    batches = make(count, batch_size, steps_per_epoch=5, seed=seed)
    dealt = []
    for _ in range(3):
        for i in range(5):
            images, labels = batches.batch(i)
            assert len(set(labels.tolist())) == batch_size
            np.testing.assert_array_equal(np.floor(images[:, 0]), labels)
            np.testing.assert_array_equal(labels[::2], labels[1::2])
            dealt += labels[::2].tolist()
        batches.next_epoch()
    for start in range(0, len(dealt), count):
        once = dealt[start : start + count]
        assert len(set(once)) == len(once)


def test_the_two_views_are_drawn_apart_and_follow_the_seed():
    def shift(images, rng):  # one draw for all images of a call: views still differ
        return images + rng.random()

    batches = make(augment=shift, seed=4)
    images, _ = batches.batch(1)
    assert len(np.unique(np.round(images % 1, 9))) == 2
    np.testing.assert_array_equal(images, make(augment=shift, seed=4).batch(1)[0])
    assert not np.array_equal(images, make(augment=shift, seed=5).batch(1)[0])
    batches.next_epoch()
    assert not set(np.round(batches.batch(1)[0] % 1, 9).ravel()) & set(np.round(images % 1, 9).ravel())


def test_an_image_is_read_once_and_not_changed_by_either_view():
    read = []

    class OnDemand:
        def __len__(self):
            return 8

        def __getitem__(self, positions):
            read.append(positions.tolist())
            return np.zeros((len(positions), 1))

    def in_place(images, rng):
        images += 1
        return images

    batches = TwoViewBatches(OnDemand(), batch_size=4, augment=in_place)
    images, labels = batches.batch(0)
    assert (images == 1).all()
    assert read == [labels[::2].tolist()]
    assert len(batches) == 2


def test_images_and_labels_have_the_shapes_of_two_views():
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    views, labels = TwoViewBatches(images, batch_size=4, augment=Augment(color=0.5)).batch(0)
    assert views.shape == (8, 16, 16, 3)
    assert views.dtype == np.uint8
    assert labels.dtype == np.int64
    assert not np.array_equal(views[::2], views[1::2])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="augment must be given: without it the two views"):
        make(augment=None)
    with pytest.raises(ValueError, match="batch_size must be at most the number of images, 10, got 11"):
        make(batch_size=11)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        make(batch_size=0)
    with pytest.raises(ValueError, match="images must hold at least one example"):
        make(0)
