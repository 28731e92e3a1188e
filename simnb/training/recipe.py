"""The recipe: compile, fit with a schedule, watch retrieval rather than the loss, go on after a kill."""

import gc
import json
from collections.abc import Iterable, Sequence

import numpy as np

from simnb import _checks, _replicas
from simnb._keras import keras
from simnb._types import AnyPath, KerasObject
from simnb.losses import CrossBatchMemory, MultiSimilarityLoss
from simnb.losses._pairs import PairLoss
from simnb.losses.proxies import ProxyLoss
from simnb.models._pixels import check_pixels, expects_bytes
from simnb.models.embedding import check_output
from simnb.samplers._batches import Batches
from simnb.training._checkpoint import Checkpoint
from simnb.training._guards import AverageWeights, StopWhenNotFinite, StopWhenWorse
from simnb.training.metric_model import MetricModel
from simnb.training.monitor import RetrievalMonitor
from simnb.training.muon import Muon

SCHEDULES = ("one_cycle", "cosine", "constant")
LEARNING_RATES = {"adam": 0.002, "muon": 0.3}


def fit(
    model: KerasObject,
    batches: KerasObject,
    *,
    loss: KerasObject | Sequence[KerasObject] | None = None,
    loss_weights: Iterable[float] | None = None,
    epochs: int = 1,
    learning_rate: float | None = None,
    schedule: str = "one_cycle",
    optimizer: str | KerasObject = "adam",
    weight_decay: float | None = None,
    average: float | None = None,
    monitor: RetrievalMonitor | None = None,
    patience: int | None = None,
    checkpoint: AnyPath | None = None,
    callbacks: KerasObject | Iterable[KerasObject] = (),
    seed: int = 0,
    verbose: int | str = "auto",
) -> KerasObject:
    """Compile an embedder and train it: ``compile`` and ``fit`` of Keras with the choices made.

    Those two work just as well.

    Args:
        model: A Keras model that gives embeddings.
        batches: ``BalancedBatches``, or any ``keras.utils.PyDataset`` of (images, labels).
        loss: A loss of ``simnb.losses``, or a list of them whose values are added;
            None for ``MultiSimilarityLoss()``. Proxies are made where a loss needs them.
        loss_weights: What the value of each loss is multiplied by; None for 1.
        epochs: How many times ``len(batches)`` steps.
        learning_rate: The peak of the schedule; None for 0.002 with Adam and 0.3 with Muon.
        schedule: ``one_cycle`` (up, then down along a cosine), ``cosine`` (down only) or ``constant``.
        optimizer: ``adam``, ``muon`` (fewer steps to the same quality for convolution networks), or a Keras
            optimizer with a learning rate of its own.
        weight_decay: Share of the weights that is taken away in a step, times the learning rate.
        average: Decay, at each step, of a moving average of the weights, such as 0.99, which the monitor
            measures and the model has at the end; None for none.
        monitor: A ``RetrievalMonitor``.
        patience: Epochs without a better R@1 of the monitor after which to end, with the weights of the best
            one; None to train all epochs and keep the last weights.
        checkpoint: Path of a file, ``.npz``, written as the training begins and after each epoch. If it
            exists, the training goes on from it, to the same end; if it holds a finished training, the model
            gets its weights and nothing is trained. A training is known by its options, by labels, classes,
            augmentation and a sample of the images, and by the weights it began with. A data set of your own
            is known only by its class, and by what its method ``settings() -> dict`` returns, if it has one;
            make it anew before going on.
        callbacks: Other Keras callbacks, or one; they see the monitor's figures in their logs.
        seed: What dropout, augmentation layers and proxies draw by. Weights get their seed when the model is
            built, batches when they are made.
        verbose: As in ``model.fit``: 0 silent, 1 a bar, 2 a line an epoch.

    Returns:
        The ``keras.callbacks.History``, of all epochs, those before a checkpoint included.

    Raises:
        ValueError: If a name is unknown, a number out of range, batches are no data set or hold no pairs for
            a loss over pairs, the model gives no vectors, the images of the first batch are floats of 0 to 1
            where the model rescales pixels of 0 to 255, or the checkpoint is damaged or of another training:
            it says what differs.
        FloatingPointError: If the loss or the weights become NaN or infinite: it says the step and the
            learning rate, and model and checkpoint have the last good weights.
        KeyboardInterrupt: When interrupted. The model then keeps the weights of its last step, and
            ``model.history.history`` the epochs that were finished.

    Example:
        >>> import numpy as np
        >>> from simnb import losses, models, samplers, training
        >>> images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
        >>> labels = np.arange(16) % 4
        >>> batches = samplers.BalancedBatches(images, labels, classes_per_batch=2, examples_per_class=2)
        >>> model = models.fast_resnet((16, 16, 3), widths=(8, 8, 8))
        >>> trained = training.fit(model, batches, loss=losses.TripletLoss(), epochs=1, verbose=0)
        >>> len(trained.history["loss"])
        1
    """
    epochs = _checks.positive_int(epochs, name="epochs")
    _check_batches(batches)
    losses = losses_of(model, loss)
    check_losses(losses, batches)
    if patience is not None and monitor is None:
        raise ValueError("patience needs a monitor: RetrievalMonitor(queries, gallery) measures R@1")
    if average is not None:
        _checks.number(average, name="average", at_least=0, below=1)
    _replicas.check_fit(model, getattr(batches, "rows", None))
    with _replicas.scope(model):
        _build(model, batches)
        _check_model(getattr(model, "embedder", model), batches)
        learner = _learner(model, batches, losses, loss_weights, _checks.seed(seed))
        optimizer = optimizer_of(optimizer, learning_rate, schedule, epochs * len(batches), weight_decay)
        states = _seed_layers(learner, seed)
        learner.compile(optimizer=optimizer, loss=None if isinstance(learner, MetricModel) else losses[0])
        # TensorFlow would trace a step that makes variables, and then the same without: half of the start.
        learner.optimizer.build(learner.trainable_variables)
    stopper = None if patience is None else StopWhenWorse(_checks.positive_int(patience, name="patience"))
    averaging = None if average is None else AverageWeights(average)
    saver = None
    if checkpoint is not None:
        keepers = {"average": averaging, "stopper": stopper}
        settings = {"epochs": epochs, "seed": seed, "average": average, **_losses_and_optimizer(learner)}
        with _replicas.scope(model):
            saver = _checkpoint(checkpoint, model, learner, states, batches, keepers, settings)
    listeners = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else list(callbacks or ())
    # In this order: averaged weights are measured, the measure decides, and all of it is written.
    listeners = [StopWhenNotFinite(), averaging, monitor, stopper, *listeners, saver]
    try:
        history = _train(learner, batches, epochs, [c for c in listeners if c is not None], saver, verbose)
    except KeyboardInterrupt:
        done = len(getattr(learner.history, "epoch", []))
        print(f"\nInterrupted after {done} of {epochs} epochs. The model keeps the weights of its last step.")
        raise
    finally:
        if saver is not None:
            saver.remember()
        model.history = getattr(learner, "history", None)
        # The traced step takes 20 MB and more, for as long as the model lives; the next fit traces its own.
        # It refers to itself, and is small to Python, which would let some of them gather.
        learner.train_function = None
        gc.collect()
    return history


def one_cycle(learning_rate: float, steps: int, *, warmup: float = 0.2) -> KerasObject:
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

    Example:
        >>> from simnb.training import one_cycle
        >>> schedule = one_cycle(0.3, steps=100)
        >>> [round(float(schedule(step)), 2) for step in (0, 20, 60, 100)]
        [0.03, 0.3, 0.15, 0.0]
    """
    steps = _checks.positive_int(steps, name="steps")
    warmup = _checks.number(warmup, name="warmup", at_least=0, below=1)
    rising = int(warmup * steps)
    options = {"warmup_target": learning_rate, "warmup_steps": rising} if rising else {}
    start = learning_rate / 10 if rising else learning_rate
    return keras.optimizers.schedules.CosineDecay(start, steps - rising, **options)


def _train(learner, batches, epochs, callbacks, saver, verbose):
    before = 0 if saver is None else saver.epochs
    if saver is not None and (saver.done or before >= epochs):
        print(
            f"{saver.path} holds this training, finished after {before} epochs: the model has its weights, "
            "and nothing was trained. Delete the file, or pass another path, to train anew."
        )
        learner.history = keras.callbacks.History()
    else:
        options = {"epochs": epochs, "callbacks": callbacks, "verbose": verbose, "shuffle": False}
        with _replicas.without_leak(learner.optimizer):
            learner.fit(batches, initial_epoch=before, **options)
    if saver is not None:  # of the epochs before, too
        learner.history.epoch, learner.history.history = list(range(saver.epochs)), saver.history
    return learner.history


def _build(model, batches):
    """Give a model that has seen no image its weights: proxies, optimizer and checkpoint start from them."""
    if not model.built:
        images = _first_images(batches)
        if isinstance(model, keras.Sequential):
            model.build((None, *images.shape[1:]))
        else:
            check_output(model(images[:1]))


def _check_model(embedder, batches):
    """Refuse a model that gives no vectors, and images that look black to it."""
    shape = getattr(embedder, "input_shape", None)  # models with a call of their own have none
    if isinstance(shape, tuple):
        output = embedder.compute_output_spec(keras.KerasTensor(shape))
        check_output(output[0] if isinstance(output, list | tuple) and len(output) == 1 else output)
    if expects_bytes(embedder):
        check_pixels(embedder, _first_images(batches))


def _first_images(batches):
    if isinstance(batches, Batches):  # ours: asking has no effect on what is made ahead
        return batches.batch(0)[0]
    images, *_ = batches[0] if hasattr(batches, "__getitem__") else next(iter(batches))
    return images


def _learner(model, batches, losses, loss_weights, seed):
    """The model itself where a loss over pairs is all it is trained by, else a MetricModel around it."""
    special = any(isinstance(one, ProxyLoss | CrossBatchMemory) for one in losses)
    if isinstance(model, MetricModel) or (len(losses) == 1 and loss_weights is None and not special):
        return model
    classes = getattr(batches, "classes", None)
    if classes is None and any(isinstance(one, ProxyLoss) for one in losses):
        raise ValueError(
            f"a proxy loss needs the classes, which {type(batches).__name__} does not name: pass "
            "simnb.training.MetricModel(model, loss, classes=labels) as the model, and no loss"
        )
    return MetricModel(model, losses, weights=loss_weights, classes=classes, seed=seed)


def optimizer_of(optimizer, learning_rate, schedule, steps, weight_decay):
    """The optimizer of a name, with its schedule over so many steps; one that is passed, as it is."""
    if isinstance(optimizer, keras.optimizers.Optimizer):
        given = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise ValueError(f"{' and '.join(named)} must be set in the optimizer that was passed")
        return optimizer
    _checks.one_of(optimizer, tuple(LEARNING_RATES), name="optimizer")
    _checks.one_of(schedule, SCHEDULES, name="schedule")
    rate = LEARNING_RATES[optimizer] if learning_rate is None else learning_rate
    rate = _checks.number(rate, name="learning_rate", above=0)
    if schedule != "constant":
        rate = one_cycle(rate, steps, warmup=0.2 if schedule == "one_cycle" else 0.0)
    return {"adam": keras.optimizers.Adam, "muon": Muon}[optimizer](rate, weight_decay=weight_decay)


def _checkpoint(path, model, learner, states, batches, keepers, settings):
    variables = [*learner.weights, *states, *learner.optimizer.variables]
    keepers = {name: keeper for name, keeper in keepers.items() if keeper is not None}
    settings |= {"steps_per_epoch": len(batches)}
    settings["batches"] = batches.settings() if hasattr(batches, "settings") else type(batches).__name__
    saver = Checkpoint(path, model, variables, settings, keepers, getattr(batches, "epoch", 0))
    saver.set_model(learner)
    saver.restore()
    if saver.restored and hasattr(batches, "go_to_epoch"):
        batches.go_to_epoch(saver.first_epoch + saver.epochs)
    elif hasattr(batches, "on_epoch_end"):  # your own data set is told what Keras would have told it
        for _ in range(saver.epochs):
            batches.on_epoch_end()
    return saver


def _losses_and_optimizer(learner):
    """What a training is, beside its data: plain values for the settings of a checkpoint."""
    terms = learner.terms if isinstance(learner, MetricModel) else [(1.0, learner.loss)]
    losses = [[weight, loss.name, loss.get_config()] for weight, loss in terms]
    optimizer = {"class": type(learner.optimizer).__name__, **learner.optimizer.get_config()}
    optimizer.pop("name", None)  # numbered through the life of a process
    config = {"losses": losses, "optimizer": optimizer}
    return json.loads(json.dumps(config, default=str))


def _check_batches(batches):
    if isinstance(batches, tuple | list | np.ndarray) or not hasattr(batches, "__len__"):
        raise ValueError(
            f"batches must be BalancedBatches or another PyDataset, got {type(batches).__name__}; "
            "simnb.samplers.BalancedBatches(images, labels, ...) makes them"
        )
    try:
        len(batches)
    except TypeError as error:  # a tf.data.Dataset without end, or whose end nobody knows
        raise ValueError(
            "batches must have a length, the steps of an epoch; a tf.data.Dataset gets one with "
            ".take(steps).apply(tf.data.experimental.assert_cardinality(steps))"
        ) from error


def losses_of(model, loss):
    """What the training will be by."""
    if isinstance(model, MetricModel):
        if loss is not None:
            raise ValueError("a MetricModel has its losses already: leave loss out, or pass its embedder")
        return [one for _, one in model.terms]
    return list(loss) if isinstance(loss, list | tuple) else [loss or MultiSimilarityLoss()]


def check_losses(losses, batches):
    """Refuse what is no loss, and batches without the pairs that a loss compares."""
    for loss in losses:
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(f"loss must be a loss of simnb.losses, or a list of them, got {loss!r}")
        if not isinstance(loss, PairLoss):
            continue
        lacks = {"examples_per_class": "pair of one class", "classes_per_batch": "pair of two classes"}
        for option, lack in lacks.items():
            if getattr(batches, option, 2) == 1:
                raise ValueError(
                    f"{option} must be 2 or more for {type(loss).__name__}, which compares the examples of a "
                    f"batch: with 1 there is no {lack} in it, and nothing to learn"
                )


def _seed_layers(model, seed):
    """Set the state of the generators inside dropout and augmentation layers, and return these variables."""
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for i, state in enumerate(states):
        state.assign(keras.ops.cast([seed, i], state.dtype))
    return states
