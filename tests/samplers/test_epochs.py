"""Batches that are made ahead, through epochs, interruptions and errors."""

import pickle
import threading
import time

import keras
import numpy as np
import pytest
from PIL import Image

from simnb import data
from simnb.samplers import BalancedBatches, TwoViewBatches
from simnb.samplers._batches import Ahead

LABELS = np.arange(30) % 3


def add_noise(images, rng):
    return images + rng.random(images.shape)


def make(sampler=BalancedBatches, *, steps_per_epoch=7, **options):
    """Batches of images that hold their own position, with noise below 1."""
    images = np.arange(30.0).reshape(30, 1)
    options = {"augment": add_noise, "seed": 1, "steps_per_epoch": steps_per_epoch, **options}
    if sampler is TwoViewBatches:
        return sampler(images, batch_size=4, **options)
    return sampler(images, LABELS, classes_per_batch=2, examples_per_class=3, **options)


def expected_of(batches, epochs):
    """Images of the batches of some epochs, each made when it is asked for."""
    made = []
    for _ in range(epochs):
        made += [batches.batch(i)[0] for i in range(len(batches))]
        batches.next_epoch()
    return np.array(made)


def threads_of_ours():
    return [thread for thread in threading.enumerate() if thread.name == "simnb batches"]


def assert_threads_end():
    deadline = time.monotonic() + 20
    while threads_of_ours() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threads_of_ours() == []


class Recorder(keras.Model):
    """A model that keeps the batches it is trained on, and can be interrupted; on any backend."""

    def __init__(self, interrupt_at=None):
        super().__init__()
        self.seen, self.interrupt_at = [], interrupt_at
        self.layer = keras.layers.Dense(30)
        self.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)

    def call(self, images):
        return self.layer(images)

    def train_step(self, *arguments):
        self.seen.append(keras.ops.convert_to_numpy(arguments[-1][0]))
        if len(self.seen) == self.interrupt_at:
            raise KeyboardInterrupt
        return super().train_step(*arguments)


@pytest.mark.parametrize("sampler", [BalancedBatches, TwoViewBatches])
def test_batches_made_ahead_are_the_same_as_those_made_when_asked_for(sampler):
    expected = expected_of(make(sampler), 2)
    for prefetch in (0, 1, 2, 9):
        batches, made = make(sampler, prefetch=prefetch), []
        for _ in range(2):
            made += [batches[i][0] for i in range(len(batches))]
            batches.next_epoch()
        np.testing.assert_array_equal(made, expected)
        assert_threads_end()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_fit_sees_these_batches_and_goes_from_epoch_to_epoch(prefetch):
    batches, model = make(prefetch=prefetch), Recorder()
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.seen, expected_of(make(), 3), rtol=1e-6)
    assert batches.epoch == 3
    assert_threads_end()


def test_a_fit_that_shuffles_sees_each_batch_of_each_epoch():
    batches, model = make(), Recorder()
    model.fit(batches, epochs=2, shuffle=True, verbose=0)
    expected = expected_of(make(), 2)
    for epoch in (slice(0, 7), slice(7, 14)):
        seen = sorted(batch[:, 0].tolist() for batch in np.array(model.seen)[epoch])
        np.testing.assert_allclose(seen, sorted(batch[:, 0].tolist() for batch in expected[epoch]), rtol=1e-6)
    assert batches.epoch == 2


def test_short_epochs_begin_with_the_first_too():
    for steps in (2, 3):
        batches, model = make(steps_per_epoch=steps), Recorder()
        model.fit(batches, epochs=2, shuffle=False, verbose=0)
        np.testing.assert_allclose(model.seen, expected_of(make(steps_per_epoch=steps), 2), rtol=1e-6)


def test_fit_with_fewer_steps_goes_on_within_the_epoch():
    batches, model = make(steps_per_epoch=6), Recorder()
    model.fit(batches, epochs=4, steps_per_epoch=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.seen, expected_of(make(steps_per_epoch=6), 2), rtol=1e-6)


def test_what_was_only_looked_at_begins_again():
    # JAX and PyTorch look like this before the first epoch, to learn the shapes.
    batches = make()
    batches.on_epoch_begin()
    looked_at = batches[0][0]
    batches.on_epoch_end()
    assert batches.epoch == 0
    batches.on_epoch_begin()
    made = [batches[i][0] for i in range(7)]
    batches.on_epoch_end()
    assert batches.epoch == 1
    np.testing.assert_array_equal(made[0], looked_at)
    np.testing.assert_array_equal(made, expected_of(make(), 1))
    # With TensorFlow it looks at two batches, which may be all there are.
    short = make(steps_per_epoch=2)
    assert len([short[i] for i in range(2)]) == 2
    short.on_epoch_end()
    short.on_epoch_begin()
    short[0]
    short.on_epoch_end()
    assert short.epoch == 0


def test_an_interrupted_fit_leaves_no_thread_and_begins_the_epoch_again():
    batches, model = make(), Recorder(interrupt_at=10)
    with pytest.raises(KeyboardInterrupt):
        model.fit(batches, epochs=3, shuffle=False, verbose=0)
    assert_threads_end()
    later = Recorder()
    later.fit(batches, epochs=2, shuffle=False, verbose=0)
    expected = expected_of(make(), 3)
    np.testing.assert_allclose(model.seen, expected[:10], rtol=1e-6)
    np.testing.assert_allclose(later.seen, expected[7:], rtol=1e-6)
    assert_threads_end()


def test_the_next_batch_is_made_while_the_last_one_is_used():
    made, asked = threading.Semaphore(0), []

    def augment(images, rng):
        asked.append(images)
        made.release()
        return images

    batches = make(augment=augment, prefetch=2)
    batches[0]
    assert all(made.acquire(timeout=20) for _ in range(3))
    assert len(asked) == 3
    batches[1]
    assert made.acquire(timeout=20)
    assert len(asked) == 4
    make(augment=augment, prefetch=0)[0]
    assert len(asked) == 5
    assert_threads_end()
    assert len(asked) == 5


def test_nothing_is_made_ahead_where_batches_are_asked_for_out_of_order():
    asked = []
    batches = make(augment=lambda images, rng: asked.append(1) or images)
    expected = expected_of(make(augment=None), 1)
    for i in (5, 3, 6, 1):
        np.testing.assert_array_equal(batches[i][0], expected[i])
    assert len(asked) == 4
    assert threads_of_ours() == []


def test_what_is_no_longer_wanted_is_not_made():
    going, made = threading.Event(), []

    def job(epoch, i):
        made.append(i)
        assert i != 1 or going.wait(20)
        return i

    ahead = Ahead(job, threads=1)
    assert ahead.get((0, 0), [(0, 1), (0, 2)]) == 0  # 1 keeps the only thread, 2 waits for it
    assert ahead.get((0, 7), []) == 7
    going.set()
    assert_threads_end()
    assert 2 not in made


def test_an_error_is_raised_where_its_batch_is_asked_for_and_the_next_go_on():
    def augment(images, rng):
        if failing and 11 in images:
            raise RuntimeError("no batch")
        return images

    failing = True
    batches = make(augment=augment)
    bad = next(i for i in range(7) if 11 in batches.positions(i))
    for i in range(bad):
        batches[i]
    with pytest.raises(RuntimeError, match="no batch"):
        batches[bad]
    failing = False
    assert batches[bad][0].shape == batches[6][0].shape == (6, 1)
    assert_threads_end()


def test_batches_are_made_where_no_thread_can_be_had(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    expected = expected_of(make(), 1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    batches = make()
    np.testing.assert_array_equal([batches[i][0] for i in range(7)], expected)


def test_a_pickled_copy_goes_on_with_the_same_batches():
    batches = make(seed=5)
    batches[0]
    batches[1]
    copy = pickle.loads(pickle.dumps(batches))
    np.testing.assert_array_equal(expected_of(copy, 2), expected_of(batches, 2))


def test_a_file_that_goes_while_training_is_named(tmp_path):
    for number in range(12):
        path = tmp_path / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (number * 20, 0, 0)).save(path)
    examples = data.from_folder(tmp_path, image_size=(4, 4), lazy=True)
    batches = BalancedBatches(
        examples.images, examples.labels, classes_per_batch=2, examples_per_class=2, prefetch=1
    )
    batches[0]
    gone = sorted(tmp_path.glob("*/*.png"))[batches.positions(2)[1]]
    gone.unlink()
    batches[1]
    with pytest.raises(OSError, match=rf"{gone.name} could not be read: No such file"):
        batches[2]


def test_a_fit_is_stopped_by_a_batch_that_cannot_be_made():
    def augment(images, rng):
        raise OSError("ant.jpg could not be read")

    batches, model = make(), Recorder()
    batches._augment = augment
    with pytest.raises(Exception, match=r"ant\.jpg could not be read"):
        model.fit(batches, shuffle=False, verbose=0)
    assert_threads_end()


@pytest.mark.parametrize("sampler", [BalancedBatches, TwoViewBatches])
def test_an_epoch_has_its_batches_however_it_is_gone_to(sampler):
    expected = expected_of(make(sampler), 4).reshape(4, 7, -1)
    batches = make(sampler)
    for epoch in (2, 0, 3, 3, 1):
        batches[0]  # part of the epoch before, which is left in the middle
        batches.go_to_epoch(epoch)
        assert batches.epoch == epoch
        np.testing.assert_array_equal([batches[i][0].ravel() for i in range(7)], expected[epoch])
    with pytest.raises(ValueError, match="epoch must be an integer of at least 0, got -1"):
        batches.go_to_epoch(-1)


def test_classes_that_were_dropped_stay_so_where_an_epoch_is_gone_back_to():
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3])
    with pytest.warns(UserWarning, match=r"dropped: 1 of 4 classes .* 3 \(1\)"):
        batches = BalancedBatches(
            np.arange(10.0)[:, None],
            labels,
            classes_per_batch=3,
            examples_per_class=2,
            small_classes="drop",
        )
    first = batches.batch(0)[0]
    batches.go_to_epoch(2)
    batches.go_to_epoch(0)  # a second warning would be an error
    np.testing.assert_array_equal(batches.batch(0)[0], first)
