"""Seconds of a training step, of several trainings in turns, so that a slow minute slows all of them."""

import time

import numpy as np

from simnb._keras import keras
from simnb.data import from_arrays
from simnb.losses import multi_similarity_loss
from simnb.models import tutorial_convnet
from simnb.training import fit
from tests.benchmarks import training

ROUNDS, STEPS, WARM_UP = 4, 30, 6


class StepTimes(keras.callbacks.Callback):
    """The seconds between the ends of batches, but for the first ones."""

    def __init__(self):
        """None yet."""
        super().__init__()
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        """One more."""
        self.ends.append(time.perf_counter())

    def seconds(self):
        """Shape [steps]."""
        return np.diff(self.ends)[WARM_UP:]


def seconds_of_a_step(names):
    """Median seconds of a step of some trainings of ``training.RUNS``, and of a bare ``tf.function``.

    Args:
        names: Of the trainings.

    Returns:
        A dict: name, or ``"bare"`` for the tutorial's network and loss under a bare train step, to seconds.
    """
    examples = noise(2000)
    bare = bare_step(*next(iter_batches(examples)))
    times = {name: [] for name in [*names, "bare"]}
    for _ in range(ROUNDS):
        for name in names:
            times[name].append(fit_steps(name, examples))
            if name == "tutorial":
                times["bare"].append(bare())
    return {name: float(np.median(np.concatenate(parts))) for name, parts in times.items()}


def noise(count):
    """Images of CIFAR-10's shape; what they show does not change how long a step takes."""
    rng = np.random.default_rng(0)
    return from_arrays(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 10)


def iter_batches(examples):
    """The batches of the tutorial's schedule."""
    _, batches = training.build("tutorial", examples)
    return (batches.batch(i) for i in range(STEPS))


def fit_steps(name, examples):
    """Seconds of some steps of ``simnb.training.fit``."""
    model, batches = training.build(name, examples, steps_per_epoch=STEPS)
    options = {**training.fit_options(name), "epochs": 1}
    clock = StepTimes()
    fit(model, batches, loss=training.loss_of(name), callbacks=clock, verbose=0, **options)
    return clock.seconds()


def bare_step(images, labels):
    """A function that takes some steps on one batch without Keras's trainer, and returns their seconds."""
    import tensorflow as tf

    model = tutorial_convnet()
    optimizer = keras.optimizers.Adam(0.002)
    optimizer.build(model.trainable_variables)
    images, labels = tf.constant(images), tf.constant(labels)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(multi_similarity_loss(labels, model(images, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    def run():
        seconds = []
        for _ in range(STEPS):
            start = time.perf_counter()
            float(step())
            seconds.append(time.perf_counter() - start)
        return np.array(seconds[WARM_UP:])

    return run
