import keras
import numpy as np
import pytest

from simnb.data import from_arrays
from simnb.layers import MetricEmbedding
from simnb.losses import MultiSimilarityLoss, TripletLoss
from simnb.metrics import map_at_r, recall_at_k
from simnb.samplers import BalancedBatches
from simnb.search import SimilaritySearch
from simnb.training import RetrievalMonitor, fit, one_cycle


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
    before = np.random.get_state()[1].copy()
    fit(small_model(dropout=0.5), batches_of(blobs()), verbose=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


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


def test_bad_input_is_named():
    examples, other = blobs(), blobs(30, 1, 1000)
    with pytest.raises(
        ValueError, match=r"queries must not be in the gallery, but 30 ids are in both, .* id 0"
    ):
        RetrievalMonitor(examples[:30], examples)
    renamed = from_arrays(other.images, other.labels, class_names=["2", "1", "0"], ids=other.ids)
    with pytest.raises(ValueError, match=r"must have the same class names, got '2', '1', '0' and '0', '1'"):
        RetrievalMonitor(renamed, examples)
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
    with pytest.raises(ValueError, match="schedule must be one of constant, one_cycle; got 'cosine'"):
        fit(small_model(), batches_of(examples), schedule="cosine")
    with pytest.raises(ValueError, match="warmup must be at least 0 and below 1, got 1"):
        one_cycle(0.1, 10, warmup=1)
