"""Training a head on kept features, against the same steps in a bare loop of TensorFlow.

``python -m tests.benchmarks.heads`` prints what ``make bench`` takes: seconds of the whole call, how much
further three times the steps lead, and the time of a step.
"""

import time

import numpy as np

from simnb._keras import keras
from simnb.evaluation import unseen_classes
from simnb.losses import MultiSimilarityLoss
from simnb.samplers import BalancedBatches
from simnb.training import fit_head

COUNT, DIM, CLASSES, STEPS, ROUNDS = 10_000, 384, 100, 500, 3


def rows(seed):
    """Features [COUNT, DIM] whose classes differ in a tenth of the directions, and labels."""
    rng, labels = np.random.default_rng(seed), np.arange(COUNT) % CLASSES
    of_all = np.random.default_rng(1)  # directions and classes are the same for every seed
    directions = np.linalg.qr(of_all.normal(size=(DIM, DIM)))[0]
    centers = of_all.normal(size=(CLASSES, DIM // 10))
    spread = np.where(np.arange(DIM) < DIM // 10, 1.0, 2.0)
    values = rng.normal(size=(COUNT, DIM)) * spread
    values[:, : DIM // 10] += centers[labels]
    return (values @ directions).astype(np.float32), labels


def head():
    """Seconds of ``fit_head``, R@1 of new rows over that of a longer training, and the time of a step."""
    features, labels = rows(0)
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        model = fit_head(features, labels, steps=STEPS)
        seconds.append(time.perf_counter() - start)
    longer = fit_head(features, labels, steps=3 * STEPS)
    new, truth = (part[: COUNT // 4] for part in rows(2))
    spaces = {
        "features": new,
        "head": keras.ops.convert_to_numpy(model(new)),
        "longer": keras.ops.convert_to_numpy(longer(new)),
    }
    measured = unseen_classes(spaces, truth, ways=(), k=1, resamples=10).figures["recall@1"]
    recalls = {name: one.value for name, one in measured.items()}
    print("R@1 of new rows: " + ", ".join(f"{name} {one:.3f}" for name, one in recalls.items()))
    name = f"fit_head {COUNT:,} x {DIM}"
    return {
        f"{name}, {STEPS} steps, s": (float(np.median(seconds)), "<=", 5),
        f"{name}: R@1 / R@1 of three times the steps": (recalls["head"] / recalls["longer"], ">=", 0.95),
        f"{name}: step / bare tf.function": (step_ratio(features, labels), "<=", 1.5),
    }


def step_ratio(features, labels):
    """Time of a step of ``fit_head``, over that of a loop of the same steps in one ``tf.function``.

    Of both the difference of two lengths is taken: what starting costs is in neither.
    """
    bare, ratios = bare_steps(features, labels), []
    for _ in range(ROUNDS):
        times = []
        for steps in (100, 400):
            start = time.perf_counter()
            fit_head(features, labels, steps=steps)
            times.append(time.perf_counter() - start)
        start = time.perf_counter()
        bare(300)
        ratios.append((times[1] - times[0]) / (time.perf_counter() - start))
    return float(np.median(ratios))


def bare_steps(features, labels):
    """A function that takes steps on rows picked at random: gather, dense layer, loss, Adam."""
    import tensorflow as tf

    inputs = keras.Input((DIM,))
    unit = keras.layers.UnitNormalization()
    model = keras.Model(inputs, unit(keras.layers.Dense(128)(inputs)))
    optimizer, loss = keras.optimizers.Adam(0.002), MultiSimilarityLoss()
    optimizer.build(model.trainable_variables)
    options = {"classes_per_batch": 32, "examples_per_class": 4, "steps_per_epoch": 300}
    batches = BalancedBatches(features, labels, **options)
    rows_of = tf.constant(np.stack([batches.positions(step) for step in range(300)]))
    features, labels = tf.constant(features), tf.constant(labels)

    @tf.function
    def run(steps):
        total = tf.constant(0.0)
        for step in tf.range(steps):
            rows = rows_of[step]
            with tf.GradientTape() as tape:
                value = loss(tf.gather(labels, rows), model(tf.gather(features, rows), training=True))
            gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
            optimizer.apply(gradients, model.trainable_variables)
            total += value
        return total

    run(tf.constant(2))
    return lambda steps: float(run(tf.constant(steps)))


if __name__ == "__main__":
    for name, (value, sign, limit) in head().items():
        print(f"{name}: {value:.3f} {sign} {limit:.3f}")
