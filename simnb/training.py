"""The recipe: compile, fit with a schedule, and watch retrieval rather than the loss."""

import numpy as np

from simnb import _checks
from simnb._keras import keras
from simnb.index import open_index
from simnb.losses import MultiSimilarityLoss
from simnb.metrics import map_at_r, recall_at_k
from simnb.models import embed

__all__ = ["RetrievalMonitor", "fit", "one_cycle"]


class RetrievalMonitor(keras.callbacks.Callback):
    """Measures R@1 and MAP@R at the end of each epoch, on images the model is not trained on.

    A loss over pairs depends on the make-up of the batch, so that its value says little about progress
    and cannot be compared between batch shapes; these two can. They are written into Keras's logs as
    ``recall_at_1`` and ``map_at_r``, before other callbacks and the progress bar read them.

    Args:
        queries: ``Examples`` to search with.
        gallery: ``Examples`` to search in; it must hold every class of the queries.
        distance: One of ``simnb.distances.DISTANCES``.
        batch_size: Images embedded at a time.

    Raises:
        ValueError: If a query is in the gallery too, either is empty, their class names differ or a class
            is missing in the gallery.
    """

    def __init__(self, queries, gallery, *, distance="cosine", batch_size=64):
        """Keep the images."""
        super().__init__()
        _checks.not_empty(queries, name="queries")
        _checks.not_empty(gallery, name="gallery")
        shared = set(queries.ids.tolist()) & set(gallery.ids.tolist())
        if shared:
            raise ValueError(
                f"queries must not be in the gallery, but {len(shared)} ids are in both, "
                f"for example id {min(shared)}; if they are other images that were numbered alike, number "
                "them anew: from_folder(..., first_id=...), from_arrays(..., ids=...)"
            )
        _checks.same_class_names(queries.class_names, gallery.class_names, of="queries and gallery")
        absent = sorted(set(queries.labels.tolist()) - set(gallery.labels.tolist()))
        if absent:
            raise ValueError(f"gallery must hold every class of the queries, but lacks class {absent[0]}")
        self.queries = queries
        self.gallery = gallery
        self.distance = distance
        self.batch_size = batch_size

    def measure(self, model):
        """R@1 and MAP@R of a model now, as a dict of floats."""
        options = {"batch_size": self.batch_size, "progress": False}
        index = open_index(distance=self.distance)
        index.add(embed(model, self.gallery.images, **options), self.gallery.labels)
        largest_class = int(np.unique(self.gallery.labels, return_counts=True)[1].max())
        neighbors = index.search(embed(model, self.queries.images, **options), k=largest_class)
        labels = self.queries.labels
        return {
            "recall_at_1": recall_at_k(neighbors, labels, 1),
            "map_at_r": map_at_r(neighbors, labels, self.gallery.labels),
        }

    def on_epoch_end(self, epoch, logs=None):
        """Measure, and add the figures to the logs."""
        if logs is not None:
            logs.update(self.measure(self.model))


def one_cycle(learning_rate, steps, *, warmup=0.2):
    """A learning rate that rises to its peak in a straight line, then falls to 0 along a cosine.

    Args:
        learning_rate: The peak.
        steps: Steps of the whole training.
        warmup: Share of the steps until the peak, 0 up to but not including 1.

    Returns:
        A ``keras.optimizers.schedules.CosineDecay``.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Smith and Topin, Super-Convergence, 2018. https://arxiv.org/abs/1708.07120
    """
    steps = _checks.positive_int(steps, name="steps")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup must be at least 0 and below 1, got {warmup}")
    rising = int(warmup * steps)
    start = {"initial_learning_rate": learning_rate / 10, "warmup_target": learning_rate}
    if rising == 0:
        start = {"initial_learning_rate": learning_rate}
    return keras.optimizers.schedules.CosineDecay(decay_steps=steps - rising, warmup_steps=rising, **start)


def fit(
    model,
    batches,
    *,
    loss=None,
    epochs=1,
    learning_rate=0.002,
    schedule="one_cycle",
    optimizer=None,
    monitor=None,
    callbacks=(),
    seed=0,
    verbose="auto",
):
    """Compile an embedder and train it.

    It is ``model.compile`` and ``model.fit`` with the choices made; those two work just as well.

    Args:
        model: A Keras model that gives embeddings.
        batches: ``BalancedBatches``, or any ``keras.utils.PyDataset`` of (images, labels).
        loss: A loss over embeddings; ``MultiSimilarityLoss()`` when left out.
        epochs: How many times ``len(batches)`` steps.
        learning_rate: The peak of the schedule.
        schedule: ``one_cycle`` or ``constant``.
        optimizer: A Keras optimizer with a learning rate of its own; Adam over the schedule when left out.
        monitor: A ``RetrievalMonitor``.
        callbacks: Other Keras callbacks, or one; they see the monitor's figures in their logs.
        seed: Of dropout and of augmentation layers. Weights have theirs when the model is built, batches
            when they are; no global generator is touched.
        verbose: As in ``model.fit``: 0 silent, 1 a bar, 2 a line an epoch.

    Returns:
        The ``keras.callbacks.History``.

    Raises:
        ValueError: If a name is unknown, epochs is below 1 or batches are no data set.
        KeyboardInterrupt: When interrupted. The model then keeps the weights of its last step, and
            ``model.history.history`` the epochs that were finished.
    """
    epochs = _checks.positive_int(epochs, name="epochs")
    if isinstance(batches, tuple | list | np.ndarray) or not hasattr(batches, "__len__"):
        raise ValueError(
            f"batches must be BalancedBatches or another PyDataset, got {type(batches).__name__}; "
            "simnb.samplers.BalancedBatches(images, labels, ...) makes them"
        )
    _checks.one_of(schedule, ("one_cycle", "constant"), name="schedule")
    if optimizer is None:
        steps = epochs * len(batches)
        rate = one_cycle(learning_rate, steps) if schedule == "one_cycle" else learning_rate
        optimizer = keras.optimizers.Adam(rate)
    _seed_layers(model, _checks.seed(seed))
    loss = MultiSimilarityLoss() if loss is None else loss
    model.compile(optimizer=optimizer, loss=loss)
    callbacks = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else list(callbacks or ())
    if monitor is not None:
        callbacks.insert(0, monitor)
    try:
        return model.fit(batches, epochs=epochs, callbacks=callbacks, verbose=verbose, shuffle=False)
    except KeyboardInterrupt:
        done = len(getattr(model.history, "epoch", []))
        print(f"\nInterrupted after {done} of {epochs} epochs. The model keeps the weights of its last step.")
        raise


def _seed_layers(model, seed):
    """Set the state of the generators inside dropout and augmentation layers."""
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for i, state in enumerate(states):
        state.assign(keras.ops.cast([seed, i], state.dtype))
