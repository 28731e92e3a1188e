"""A head over kept features: the cheap training, in seconds and without the network."""

import gc
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from simnb import _checks
from simnb._keras import keras, ops
from simnb._terminal import progress_bar
from simnb._types import KerasObject
from simnb.distances import BY_NAME
from simnb.layers import MetricEmbedding
from simnb.samplers import BalancedBatches
from simnb.training._arrays import all_finite, array_of
from simnb.training.metric_model import MetricModel
from simnb.training.recipe import check_losses, losses_of, optimizer_of

_ROWS = 128  # of a batch, about: the start of a step costs as much as so many rows
_CLASSES = 32
_LEARNING_RATE = 0.005
_AT_ONCE = 25  # steps in one call, between which it can be interrupted
_FLATTEST = 0.01  # share of the mean variance that a feature has at least: see _head


def fit_head(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    embedding_size: int = 128,
    hidden: int | None = None,
    loss: KerasObject | Sequence[KerasObject] | None = None,
    loss_weights: Iterable[float] | None = None,
    steps: int = 500,
    classes_per_batch: int | None = None,
    examples_per_class: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> KerasObject:
    """Train a linear or two-layer head that makes embeddings out of features.

    Features are embeddings of a network that stays as it is: ``simnb.models.embed(..., kept=...)`` makes
    them once, and keeps them. A head takes them at any length of their vectors, scales them to length 1,
    centres them and brings their spreads together, all as in these features; what it learns is the linear
    map behind that, or two with a ReLU between. ``simnb.models.chain(backbone, head)`` makes one embedder
    of network and head.

    Batches are balanced, as those of ``BalancedBatches``, which deals them. Steps are taken many at a time,
    and rows picked where they are computed on; so a step takes little more than its arithmetic.

    Args:
        features: Shape [num_examples, dim], such as embeddings of ``simnb.models.embed``.
        labels: Integer class of each, 0 or above, shape [num_examples].
        embedding_size: Length of the embedding.
        hidden: Units of a layer with a ReLU before it; None for a linear head.
        loss: A loss of ``simnb.losses``, or a list of them whose values are added; None for
            ``MultiSimilarityLoss()``.
        loss_weights: What the value of each loss is multiplied by; None for 1.
        steps: How many batches are trained on. The learning rate rises for a fifth of them, then falls to 0.
        classes_per_batch: How many classes a batch holds; None for 32, or all where there are fewer.
        examples_per_class: How many examples of each; None for some that make about 128 rows. Classes with
            fewer have them repeated.
        learning_rate: The peak, of Adam; None for 0.005.
        seed: The same seed gives the same weights to start from, proxies and batches.
        progress: Show a progress bar when it takes more than five seconds.

    Returns:
        The head, a ``keras.Model``: [batch, dim] -> [batch, embedding_size] of unit norm, float32. Of kept
        features ``head.predict(features)`` makes embeddings.

    Raises:
        ValueError: If lengths differ, features hold NaN, infinity or an all-zero row, there are fewer than
            two classes, or an option is out of range.
        FloatingPointError: If the loss or the weights become NaN or infinite; there is no head then.
        KeyboardInterrupt: When interrupted; there is no head then.

    References:
        Kornblith et al., Do Better ImageNet Models Transfer Better?, 2019 (heads over fixed features).
        https://arxiv.org/abs/1805.08974

    Example:
        >>> import numpy as np
        >>> from simnb.training import fit_head
        >>> features = np.random.default_rng(0).normal(size=(40, 6))
        >>> head = fit_head(features, np.arange(40) % 4, embedding_size=3, steps=2)
        >>> head.input_shape, head.output_shape
        ((None, 6), (None, 3))
    """
    features = _checks.embeddings(features, name="features", nonzero=True)
    labels = _checks.labels(labels, count=len(features), of="features")
    size = _checks.positive_int(embedding_size, name="embedding_size")
    hidden = None if hidden is None else _checks.positive_int(hidden, name="hidden")
    steps, seed = _checks.positive_int(steps, name="steps"), _checks.seed(seed)
    batches = _batches(features, labels, classes_per_batch, examples_per_class, steps, seed)
    losses = losses_of(None, loss)
    check_losses(losses, batches)
    head = _head(features, size, hidden, seed)
    # Labels are positions among the classes, which every backend can hold.
    classes, labels = np.unique(labels, return_inverse=True)
    of_rows = np.arange(len(classes))
    learner = MetricModel(_on_rows(head, features), losses, weights=loss_weights, classes=of_rows, seed=seed)
    rate = _LEARNING_RATE if learning_rate is None else learning_rate
    optimizer = optimizer_of("adam", rate, "one_cycle", steps, None)
    at_once = 1 if keras.backend.backend() == "torch" else min(steps, _AT_ONCE)  # Keras refuses more there
    learner.compile(optimizer=optimizer, steps_per_execution=at_once)
    learner.optimizer.build(learner.trainable_variables)
    rows = np.concatenate([batches.positions(step) for step in range(steps)])
    watch = _Watch(steps, at_once, progress)
    try:
        learner.fit(
            rows.astype(np.int32),
            labels[rows].astype(np.int32),
            batch_size=batches.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[watch],
        )
    finally:
        watch.bar.close()
        learner.train_function = None  # it holds the features, and refers to itself
        gc.collect()
    return head


def _batches(features, labels, classes_per_batch, examples_per_class, steps, seed):
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"labels must be of two classes or more, got {len(classes)}")
    if classes_per_batch is not None:
        classes_per_batch = _checks.positive_int(classes_per_batch, name="classes_per_batch")
    else:
        classes_per_batch = min(_CLASSES, len(classes))
    if examples_per_class is None:
        examples_per_class = max(2, min(_ROWS // classes_per_batch, int(np.median(counts))))
    return BalancedBatches(
        features,
        labels,
        classes_per_batch=classes_per_batch,
        examples_per_class=examples_per_class,
        steps_per_epoch=steps,
        small_classes="repeat",
        prefetch=0,
        seed=seed,
    )


def _head(features, embedding_size, hidden, seed):
    unit = BY_NAME["cosine"].prepare(features)
    mean = unit.mean(axis=0, dtype=np.float64)
    variance = np.einsum("nd,nd->d", unit, unit, dtype=np.float64) / len(unit) - mean**2
    # One that hardly varies here, as of a dead unit, may elsewhere: it must not drown the others then.
    variance = np.maximum(variance, max(_FLATTEST * variance.mean(), 1e-12))
    inputs = keras.Input((features.shape[1],), name="features")
    x = keras.layers.UnitNormalization(dtype="float32", name="unit")(inputs)
    moments = {"mean": mean, "variance": variance}
    x = keras.layers.Normalization(**moments, dtype="float32", name="alike")(x)
    starts = [keras.initializers.GlorotUniform(seed=seed), keras.initializers.GlorotUniform(seed=seed + 1)]
    if hidden is not None:
        options = {"activation": "relu", "kernel_initializer": starts[1], "dtype": "float32"}
        x = keras.layers.Dense(hidden, name="hidden", **options)(x)
    outputs = MetricEmbedding(embedding_size, kernel_initializer=starts[0], name="embedding")(x)
    return keras.Model(inputs, outputs, name="head")


def _on_rows(head, features):
    """A model of the same weights that takes positions of features, [batch], in the place of features."""
    rows = keras.Input((), dtype="int32")
    return keras.Model(rows, head(_Features(features)(rows)))


class _Features(keras.layers.Layer):
    """Features at positions, [batch] -> [batch, dim]; not as a weight, which would be copied and saved."""

    def __init__(self, features):
        super().__init__(dtype="float32")
        self._dim, self._features = features.shape[1], ops.convert_to_tensor(features)

    def call(self, rows):
        return ops.take(self._features, rows, axis=0)

    def compute_output_shape(self, shape):
        return (*shape, self._dim)


class _Watch(keras.callbacks.Callback):
    """Shows how far a training is, and raises where loss or weights have become NaN or infinite."""

    def __init__(self, steps, at_once, shown):
        super().__init__()
        self._steps, self._at_once = steps, at_once
        self.bar = progress_bar(total=steps, desc="Training", unit="step", shown=shown)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(min(self._at_once, self._steps - self.bar.n))
        if not math.isfinite(logs["loss"]):
            self._stop(f"the loss became {logs['loss']}")

    def on_train_end(self, logs=None):
        if not all_finite(map(array_of, self.model.trainable_variables)):
            self._stop("the weights became NaN or infinite")

    def _stop(self, what):
        done = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        raise FloatingPointError(f"{what} within {done} of {self._steps} steps; try a lower learning_rate")
