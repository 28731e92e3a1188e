"""Which precision a model computes in, chosen by measuring."""

import functools
import time

import numpy as np

from simnb._keras import keras

PRECISIONS = ("float32", "mixed_bfloat16")
# A gain below this is not worth the coarser numbers.
WORTHWHILE = 1.1


@functools.cache
def fastest_precision():
    """The faster of float32 and mixed bfloat16 for training convolutions on this machine.

    Processors without bfloat16 instructions emulate them and are several times slower; those that have
    them gain. Which one this is, is measured once in a process, in about two seconds.

    Returns:
        ``"mixed_bfloat16"`` where a training step is at least a tenth faster with it, else ``"float32"``.
    """
    steps = {name: _training_step(name) for name in PRECISIONS}
    times = {name: [] for name in PRECISIONS}
    for _ in range(7):
        for name, step in steps.items():  # in turns: another program may slow the machine down for a while
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    full, half = (np.median(times[name]) for name in PRECISIONS)
    return "mixed_bfloat16" if full > WORTHWHILE * half else "float32"


def precision_policy(precision):
    """The Keras dtype policy of a name, of ``"auto"``, or, for None, the one that Keras is set to.

    Raises:
        ValueError: If there is no such policy.
    """
    if precision is None:
        return keras.config.dtype_policy()
    try:
        return keras.dtype_policies.get(fastest_precision() if precision == "auto" else precision)
    except (TypeError, ValueError):
        raise ValueError(
            f"precision must be 'auto', 'float32', 'mixed_bfloat16' or another Keras dtype policy, "
            f"got {precision!r}"
        ) from None


def _training_step(precision):
    def conv(x):
        start = keras.initializers.GlorotUniform(seed=0)  # unseeded ones draw from Python's generator
        return keras.layers.Conv2D(64, 3, padding="same", kernel_initializer=start, dtype=precision)(x)

    inputs = keras.Input((16, 16, 64))
    x = conv(keras.layers.ReLU(dtype=precision)(conv(inputs)))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(dtype="float32")(x))
    model.compile(optimizer="sgd", loss="mse")
    images, targets = np.zeros((32, 16, 16, 64), np.float32), np.zeros((32, 64), np.float32)

    def step():
        model.train_on_batch(images, targets)

    step()
    return step
