"""Training through ``BalancedBatches`` with augmentation, against the same steps fed one fixed batch.

``python -m tests.benchmarks.throughput`` prints images a second and their ratio. The two are measured in
turns, since what else a machine does changes from one minute to the next, and each ratio is that of two
neighbors in time.
"""

import time

import numpy as np

from simnb import models
from simnb._keras import keras
from simnb.augmentation import Augment
from simnb.losses import MultiSimilarityLoss
from simnb.samplers import BalancedBatches

CLASSES, PER_CLASS = 10, 8
SIZE = CLASSES * PER_CLASS


class FixedBatch(keras.utils.PyDataset):
    """The same batch at every step: what remains of an epoch is training."""

    def __init__(self, batch, steps):
        super().__init__()
        self.batch, self.steps = batch, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, i):
        return self.batch


class EpochTimer(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def balanced(steps, *, prefetch=2):
    """Batches of random pixels, 10 classes x 8, cropped and flipped."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10_000, 32, 32, 3), dtype=np.uint8)
    return BalancedBatches(
        images,
        np.arange(len(images)) % CLASSES,
        classes_per_batch=CLASSES,
        examples_per_class=PER_CLASS,
        steps_per_epoch=steps,
        augment=Augment(crop=4, flip=True),
        prefetch=prefetch,
    )


def measure(model, steps, rounds, *, prefetch=2):
    """Images a second of both: shape [rounds, 2], through the sampler and with one fixed batch."""
    model.compile(optimizer="adam", loss=MultiSimilarityLoss())
    batches = balanced(steps, prefetch=prefetch)
    fixed = FixedBatch(batches.batch(0), steps)
    rates = []
    for turn in range(rounds + 1):
        seconds = {}
        for data in (batches, fixed) if turn % 2 else (fixed, batches):
            timer = EpochTimer()
            model.fit(data, verbose=0, shuffle=False, callbacks=[timer])
            seconds[data] = timer.seconds[0]
        rates.append([steps * SIZE / seconds[batches], steps * SIZE / seconds[fixed]])
    return np.array(rates[1:])  # the first round compiles


def throughput():
    """Seconds of an epoch through the sampler over those with one fixed batch, for two networks."""
    figures = {}
    for name, model, steps, rounds in (
        ("tutorial_convnet", models.tutorial_convnet(), 8, 7),
        ("fast_resnet", models.fast_resnet(widths=(32, 64, 128)), 30, 9),
    ):
        rates = measure(model, steps, rounds)
        ours, fixed = np.median(rates, axis=0)
        print(f"{name}: {ours:,.0f} images/s through BalancedBatches, {fixed:,.0f} with one fixed batch")
        # The sampler is to reach 95 % of the images a second of the fixed batch.
        ratio = float(np.median(rates[:, 1] / rates[:, 0]))
        figures[f"fit, {name}: fixed batch / BalancedBatches"] = (ratio, "<=", 1 / 0.95)
    return figures


if __name__ == "__main__":
    for name, (value, sign, limit) in throughput().items():
        print(f"{name}: {value:.3f} {sign} {limit:.3f}")
