import dataclasses
import gc
import random

import keras
import numpy as np
import pytest

from simnb.data import from_arrays
from simnb.index import UNKNOWN
from simnb.layers import MetricEmbedding
from simnb.losses import CrossBatchMemory, MultiSimilarityLoss, NormalizedSoftmaxLoss, TripletLoss
from simnb.metrics import map_at_r, recall_at_k
from simnb.samplers import BalancedBatches
from simnb.search import SimilaritySearch
from simnb.training import MetricModel, RetrievalMonitor, fit, one_cycle


def blobs(count=60, seed=0, first_id=0):
    """Images of three classes that differ in one bright corner, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 120, (count, 6, 6, 1), dtype=np.uint8)
    for label, corner in enumerate([(0, 0), (0, 5), (5, 0)]):
        images[labels == label, corner[0], corner[1]] += 135
    return from_arrays(images, labels, ids=np.arange(first_id, first_id + count))


def small_model(seed=0, dropout=0.0):
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Dense(16, "relu", kernel_initializer=keras.initializers.GlorotUniform(seed=seed))(x)
    x = keras.layers.Dropout(dropout, seed=99)(x)
    start = keras.initializers.GlorotUniform(seed=seed + 1)
    return keras.Model(inputs, MetricEmbedding(8, kernel_initializer=start)(x))


def batches_of(examples, **options):
    options = {"classes_per_batch": 3, "examples_per_class": 4, "steps_per_epoch": 30, **options}
    return BalancedBatches(examples.images, examples.labels, **options)


@pytest.fixture
def monitor():
    return RetrievalMonitor(blobs(30, 1, 1000), blobs(30, 2, 2000))


def test_training_improves_retrieval_on_images_never_seen(monitor):
    model = small_model()
    before = monitor.measure(model)
    history = fit(model, batches_of(blobs()), epochs=3, learning_rate=0.01, monitor=monitor, verbose=0)
    assert history.history["recall_at_1"][-1] > max(0.7, before["recall_at_1"])
    assert history.history["map_at_r"][-1] > before["map_at_r"] + 0.1
    assert len(history.history["loss"]) == 3


def test_the_monitor_measures_what_it_says(monitor):
    model = small_model()
    search = SimilaritySearch(model)
    search.add(monitor.gallery)
    neighbors = search.lookup(monitor.queries, k=30)
    labels = monitor.queries.labels
    assert monitor.measure(model) == {
        "recall_at_1": recall_at_k(neighbors, labels, 1),
        "map_at_r": map_at_r(neighbors, labels, monitor.gallery.labels),
    }


def test_other_callbacks_and_the_progress_line_see_the_figures(monitor, capsys):
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    history = fit(small_model(), batches_of(blobs()), epochs=2, monitor=monitor, callbacks=look, verbose=2)
    assert [logs["recall_at_1"] for logs in seen] == history.history["recall_at_1"]
    printed = capsys.readouterr().out
    assert all(f"recall_at_1: {logs['recall_at_1']:.4f}" in printed for logs in seen)
    assert all(f"map_at_r: {logs['map_at_r']:.4f}" in printed for logs in seen)


def test_the_same_seed_gives_the_same_weights():
    def weights(seed):
        model = small_model(dropout=0.5)
        fit(model, batches_of(blobs()), epochs=1, seed=seed, verbose=0)
        return model.get_weights()[0]

    first = weights(1)
    np.testing.assert_allclose(weights(1), first, atol=1e-6)
    assert not np.allclose(weights(2), first, atol=1e-3)


def test_no_global_generator_is_touched():
    before, of_python = np.random.get_state()[1].copy(), random.getstate()
    fit(small_model(dropout=0.5), batches_of(blobs()), loss=MIX, verbose=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert random.getstate() == of_python


def test_plain_compile_and_fit_do_just_as_well():
    ours, plain = small_model(), small_model()
    fit(ours, batches_of(blobs()), schedule="constant", learning_rate=0.01, epochs=2, verbose=0)
    plain.compile(optimizer=keras.optimizers.Adam(0.01), loss=MultiSimilarityLoss())
    plain.fit(batches_of(blobs()), epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_loss_and_optimizer_can_be_chosen():
    model = small_model()
    optimizer = keras.optimizers.SGD(0.5)
    fit(model, batches_of(blobs()), loss=TripletLoss(margin=0.5), optimizer=optimizer, verbose=0)
    assert model.optimizer is optimizer
    assert isinstance(model.loss, TripletLoss)
    assert float(model.optimizer.learning_rate) == 0.5


def test_an_interrupted_fit_keeps_the_weights_of_its_last_step(capsys):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 70:
                raise KeyboardInterrupt

    model, whole = small_model(), small_model()
    start = model.get_weights()[0]
    options = {"epochs": 4, "verbose": 0, "schedule": "constant"}
    with pytest.raises(KeyboardInterrupt):
        fit(model, batches_of(blobs()), callbacks=[Interrupt()], **options)
    assert "Interrupted after 2 of 4 epochs. The model keeps the weights" in capsys.readouterr().out
    assert len(model.history.history["loss"]) == 2
    assert not np.array_equal(model.get_weights()[0], start)
    batches = batches_of(blobs(), steps_per_epoch=70)
    fit(whole, batches, **{**options, "epochs": 1})
    np.testing.assert_allclose(model.get_weights()[0], whole.get_weights()[0], atol=1e-4)
    fit(model, batches_of(blobs()), verbose=0)


MIX = [NormalizedSoftmaxLoss(temperature=0.1), MultiSimilarityLoss()]


class CountsTracing(TripletLoss):
    """Python runs once each time that TensorFlow traces a step."""

    traced = 0

    def call(self, y_true, y_pred):
        """Count."""
        CountsTracing.traced += 1
        return super().call(y_true, y_pred)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the graphs are TensorFlow's")
@pytest.mark.parametrize("optimizer", ["adam", "muon", "scaled"])
def test_the_graph_of_a_step_goes_with_its_model(optimizer):
    from tensorflow.python.framework.func_graph import FuncGraph

    def graphs_after_training():
        chosen = (
            keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
            if optimizer == "scaled"
            else optimizer
        )
        fit(small_model(), batches_of(blobs()), optimizer=chosen, verbose=0)
        gc.collect()
        return sum(type(each) is FuncGraph for each in gc.get_objects())

    first = graphs_after_training()
    assert graphs_after_training() <= first
    assert graphs_after_training() <= first


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts how often TensorFlow traces")
def test_the_step_is_traced_once():
    CountsTracing.traced = 0
    fit(small_model(), batches_of(blobs(), steps_per_epoch=3), loss=CountsTracing(), epochs=2, verbose=0)
    assert CountsTracing.traced == 1


@pytest.mark.parametrize("loss", [TripletLoss(), NormalizedSoftmaxLoss()], ids=["pairs", "proxies"])
def test_a_model_that_has_seen_no_image_is_built_first(loss, tmp_path):
    model = keras.Sequential([keras.layers.Flatten(), MetricEmbedding(8)])
    batches = batches_of(blobs(), steps_per_epoch=2)
    history = fit(model, batches, loss=loss, verbose=0, checkpoint=tmp_path / "training.npz")
    assert np.isfinite(history.history["loss"]).all()
    assert model.output_shape == (None, 8)


def test_a_mix_of_losses_trains_the_embedder_and_the_proxies(monitor):
    model = small_model()
    before = monitor.measure(model)
    history = fit(
        model,
        batches_of(blobs()),
        loss=MIX,
        loss_weights=[1.0, 0.3],
        epochs=3,
        learning_rate=0.01,
        monitor=monitor,
        verbose=0,
    )
    assert history.history["recall_at_1"][-1] > max(0.7, before["recall_at_1"])
    assert history.history["recall_at_1"][-1] == monitor.measure(model)["recall_at_1"]


def test_a_metric_model_adds_its_weighted_losses_and_maps_labels_to_proxies():
    examples, embedder = blobs(6), small_model()
    labels = np.array([7, 40, 3, 7, 3, 40])
    mixed = MetricModel(embedder, MIX, weights=[2.0, 0.5], classes=[40, 3, 7], seed=5)
    # Through NumPy, since PyTorch warns where a tensor with a gradient becomes a number.
    to_numpy = keras.ops.convert_to_numpy
    embeddings = to_numpy(embedder(examples.images))
    similarities = to_numpy(mixed.proxies(embeddings))
    total = float(to_numpy(mixed.compute_loss(y=labels, y_pred=embeddings)))
    positions = np.array([1, 2, 0, 1, 0, 2])
    expected = 2.0 * float(MIX[0](positions, similarities)) + 0.5 * float(MIX[1](labels, embeddings))
    assert total == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(to_numpy(mixed(examples.images)), embeddings, atol=1e-6)
    assert len(mixed.trainable_variables) == len(embedder.trainable_variables) + 1


class Kill(keras.callbacks.Callback):
    """Ends a training in the middle of an epoch, like a kill: nothing is caught or tidied up."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == self.step:
            raise RuntimeError("killed")


class Alternating(keras.utils.PyDataset):
    """A data set of one's own, whose batches depend on how many epochs are over."""

    def __init__(self, examples):
        super().__init__()
        self.examples, self.over = examples, 0

    def __len__(self):
        return 4

    def __getitem__(self, i):
        part = slice(16 * i + self.over, 16 * (i + 1) + self.over)
        return self.examples.images[part], self.examples.labels[part]

    def on_epoch_end(self):
        self.over += 1


def test_a_training_that_no_longer_improves_ends_with_its_best_weights(monitor):
    class Worse(RetrievalMonitor):
        recalls = iter([0.3, 0.8, 0.5, 0.6, 0.7])

        def measure(self, model):
            return {"recall_at_1": next(self.recalls), "map_at_r": 0.0}

    kept = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: kept.append(model.get_weights()[0]))
    model, falling = small_model(), Worse(monitor.queries, monitor.gallery)
    batches = batches_of(blobs(), steps_per_epoch=5)
    history = fit(model, batches, epochs=5, monitor=falling, patience=2, callbacks=keep, verbose=0)
    assert history.history["recall_at_1"] == [0.3, 0.8, 0.5, 0.6]
    np.testing.assert_array_equal(model.get_weights()[0], kept[1])
    assert not np.array_equal(kept[3], kept[1])


def test_a_loss_of_nan_ends_the_training_and_leaves_the_last_good_weights():
    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations == 12:
                self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])

    model = small_model()
    start = model.get_weights()[0]
    message = (
        r"the loss became nan in step 13 at a learning rate of 0\.01; the model has the weights of step 0"
    )
    with pytest.raises(FloatingPointError, match=message):
        fit(
            model,
            batches_of(blobs()),
            schedule="constant",
            learning_rate=0.01,
            callbacks=Poison(),
            verbose=0,
        )
    np.testing.assert_array_equal(model.get_weights()[0], start)


def test_the_step_of_a_loss_of_nan_is_counted_from_the_beginning_of_the_training(tmp_path):
    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations == 27:
                self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])

    def run(*callbacks):
        batches = batches_of(blobs(), steps_per_epoch=10)
        options = {"epochs": 4, "checkpoint": tmp_path / "run.npz", "verbose": 0}
        fit(small_model(), batches, callbacks=callbacks, **options)

    with pytest.raises(RuntimeError, match="killed"):
        run(Kill(22))
    with pytest.raises(FloatingPointError, match=r"in step 28 .* the weights of step 25 again"):
        run(Poison())


def test_averaged_weights_are_what_the_monitor_measures_and_what_remains(monitor):
    measured = []

    class Recording(RetrievalMonitor):
        def measure(self, model):
            measured.append(model.get_weights()[0].copy())
            return super().measure(model)

    model, plain = small_model(), small_model()
    watch = Recording(monitor.queries, monitor.gallery)
    options = {"epochs": 2, "schedule": "constant", "learning_rate": 0.01, "verbose": 0}
    fit(model, batches_of(blobs()), monitor=watch, average=0.9, **options)
    fit(plain, batches_of(blobs()), **options)
    np.testing.assert_array_equal(model.get_weights()[0], measured[-1])
    assert not np.allclose(model.get_weights()[0], plain.get_weights()[0], atol=1e-4)


def test_one_cycle_rises_to_its_peak_and_falls_to_zero():
    rate = one_cycle(0.5, 100, warmup=0.2)
    values = [float(rate(step)) for step in range(101)]
    assert np.argmax(values) == 20
    assert max(values) == pytest.approx(0.5)
    assert values[0] == pytest.approx(0.05)
    assert values[10] == pytest.approx(0.275)
    assert values[60] == pytest.approx(0.25)
    assert values[100] == pytest.approx(0, abs=1e-6)
    assert float(one_cycle(0.5, 100, warmup=0)(0)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("option", "lack"),
    [("examples_per_class", "pair of one class"), ("classes_per_batch", "pair of two classes")],
)
def test_batches_without_pairs_are_refused_for_losses_over_pairs_alone(option, lack):
    batches = batches_of(blobs(), **{option: 1, "steps_per_epoch": 2})
    with pytest.raises(
        ValueError, match=f"{option} must be 2 or more for TripletLoss, .* there is no {lack}"
    ):
        fit(small_model(), batches, loss=[NormalizedSoftmaxLoss(), TripletLoss()])
    with pytest.raises(ValueError, match=f"{option} must be 2 or more for MultiSimilarityLoss"):
        fit(small_model(), batches)
    with pytest.raises(ValueError, match=f"{option} must be 2 or more for TripletLoss"):
        fit(MetricModel(small_model(), TripletLoss()), batches)
    for loss in (NormalizedSoftmaxLoss(), CrossBatchMemory(TripletLoss(), 30, 8)):
        for learner, options in (
            (small_model(), {"loss": loss}),
            (MetricModel(small_model(), loss, classes=range(3)), {}),
        ):
            before = learner.get_weights()[0]
            fit(learner, batches, verbose=0, **options)
            assert not np.array_equal(learner.get_weights()[0], before)


def test_bad_input_is_named():
    examples, other = blobs(), blobs(30, 1, 1000)
    with pytest.raises(
        ValueError, match=r"queries must not be in the gallery, but 30 ids are in both, .* id 0"
    ):
        RetrievalMonitor(examples[:30], examples)
    renamed = from_arrays(other.images, other.labels, class_names=["2", "1", "0"], ids=other.ids)
    with pytest.raises(ValueError, match=r"must have the same class names, got '2', '1', '0' and '0', '1'"):
        RetrievalMonitor(renamed, examples)
    unlabelled = dataclasses.replace(other, labels=np.full(30, UNKNOWN))
    with pytest.raises(
        ValueError, match="queries of a monitor needs examples with labels, but none of the 30"
    ):
        RetrievalMonitor(unlabelled, examples)
    with pytest.raises(ValueError, match="gallery of a monitor needs examples with labels"):
        RetrievalMonitor(examples, unlabelled)
    with pytest.raises(ValueError, match="gallery must hold every class of the queries, but lacks class 2"):
        RetrievalMonitor(other, examples.only([0, 1]))
    with pytest.raises(ValueError, match="queries must hold at least one example"):
        RetrievalMonitor(other[:0], examples)
    with pytest.raises(ValueError, match="epochs must be an integer of at least 1, got 0"):
        fit(small_model(), batches_of(examples), epochs=0)
    with pytest.raises(ValueError, match="batches must be BalancedBatches or another PyDataset, got tuple"):
        fit(small_model(), (examples.images, examples.labels))
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got None"):
        fit(small_model(), batches_of(examples), seed=None)
    with pytest.raises(ValueError, match="schedule must be one of constant, cosine, one_cycle; got 'step'"):
        fit(small_model(), batches_of(examples), schedule="step")
    with pytest.raises(ValueError, match="optimizer must be one of adam, muon; got 'sgd'"):
        fit(small_model(), batches_of(examples), optimizer="sgd")
    with pytest.raises(ValueError, match="weight_decay must be set in the optimizer that was passed"):
        fit(small_model(), batches_of(examples), optimizer=keras.optimizers.Adam(), weight_decay=0.1)
    for rate in (-1.0, 0, float("nan"), "fast"):
        with pytest.raises(ValueError, match="learning_rate must be a number above 0, got"):
            fit(small_model(), batches_of(examples), learning_rate=rate)
    with pytest.raises(
        ValueError, match=r"loss must be a loss of simnb.losses, or a list of them, got 'mse'"
    ):
        fit(small_model(), batches_of(examples), loss=[TripletLoss(), "mse"])
    with pytest.raises(ValueError, match=r"Alternating does not name: pass simnb\.training\.MetricModel"):
        fit(small_model(), Alternating(examples), loss=NormalizedSoftmaxLoss())
    with pytest.raises(ValueError, match="patience needs a monitor"):
        fit(small_model(), batches_of(examples), patience=2)
    with pytest.raises(ValueError, match="average must be a number of at least 0 and below 1, got 1"):
        fit(small_model(), batches_of(examples), average=1)
    with pytest.raises(ValueError, match="classes must be given for a proxy loss"):
        MetricModel(small_model(), NormalizedSoftmaxLoss())
    with pytest.raises(ValueError, match="weights must be one a loss, got 1 for 2 losses"):
        MetricModel(small_model(), [TripletLoss(), TripletLoss()], weights=[1])
    with pytest.raises(ValueError, match=r"losses must be losses of simnb.losses, got \['triplet'\]"):
        MetricModel(small_model(), "triplet")
    with pytest.raises(ValueError, match="warmup must be a number of at least 0 and below 1, got 1"):
        one_cycle(0.1, 10, warmup=1)
