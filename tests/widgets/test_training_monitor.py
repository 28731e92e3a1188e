import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import losses, samplers, training
from simnb._keras import keras
from simnb.data import Examples
from simnb.widgets import TrainingMonitor, training_monitor

NAMES = ("cat", "<img src=x onerror=alert(1)>")


def examples(count, first_id=0):
    labels = np.arange(count) % 2
    rng = np.random.default_rng(first_id)
    images = rng.normal(size=(count, 4, 4, 1)).astype("float32") + labels[:, None, None, None]
    return Examples(images, labels, NAMES, np.arange(count) + first_id)


TRAIN, QUERIES, GALLERY = examples(40), examples(24, 100), examples(20, 200)


def network():
    return keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(0)),
        ]
    )


def batches():
    return samplers.BalancedBatches(
        TRAIN.images, TRAIN.labels, classes_per_batch=2, examples_per_class=4, steps_per_epoch=4, seed=0
    )


def fit(monitor, epochs=3, **options):
    given = {"loss": losses.TripletLoss(), "epochs": epochs, "verbose": 0} | options
    return training.fit(network(), batches(), monitor=monitor, **given)


def test_it_measures_what_the_monitor_without_pictures_does(monkeypatch):
    monkeypatch.setattr(training_monitor, "_EVERY", 0)
    monitor = TrainingMonitor(QUERIES, GALLERY)
    history = fit(monitor).history
    plain = fit(training.RetrievalMonitor(QUERIES, GALLERY)).history
    assert history["recall_at_1"] == plain["recall_at_1"]
    assert monitor.recalls == history["recall_at_1"]
    assert len(monitor.losses) == 3 * 5  # four steps and the end of each epoch
    assert monitor.losses[-1][0] == 3
    assert [loss for at, loss in monitor.losses if at == int(at)][-1] == pytest.approx(history["loss"][-1])


def test_among_the_callbacks_of_plain_fit_it_works_too():
    monitor, model = TrainingMonitor(QUERIES, GALLERY), network()
    model.compile(loss=losses.TripletLoss(), optimizer="adam")
    history = model.fit(batches(), epochs=2, callbacks=[monitor], verbose=0, shuffle=False)
    assert history.history["recall_at_1"] == monitor.recalls
    assert len(monitor.recalls) == 2


def test_it_shows_progress_curves_and_a_map_with_names_as_text():
    monitor = TrainingMonitor(QUERIES, GALLERY, map_size=10)
    assert "appear here" in monitor._progress.value
    fit(monitor)
    assert re.search(r"epoch 3 of 3, step 4 of 4 <b>done</b>", monitor._progress.value)
    assert "<polyline" in monitor._loss.value
    assert f"{monitor.recalls[-1]:.3f}" in monitor._recall.value
    assert monitor._map.value.count('transform="translate') == 10
    assert "<img" not in monitor._map.value
    assert "&lt;img src=x onerror=alert(1)&gt;" in monitor._map.value


def test_a_second_training_begins_anew():
    monitor = TrainingMonitor(QUERIES, GALLERY)
    fit(monitor, epochs=3)
    fit(monitor, epochs=1)
    assert len(monitor.recalls) == 1
    assert "epoch 1 of 1" in monitor._progress.value


def test_it_is_updated_a_few_times_a_second_at_most(monkeypatch):
    monitor = TrainingMonitor(QUERIES, GALLERY)
    monitor.set_params({"epochs": 1, "steps": 100})
    monitor.on_train_begin()
    clock = iter(np.arange(1, 1000) * 0.01)
    monkeypatch.setattr(training_monitor.time, "perf_counter", lambda: next(clock))
    shown = []
    monkeypatch.setattr(monitor, "_show_progress", lambda: shown.append(1))
    monitor._drawn = 0.0
    for step in range(100):  # one second
        monitor.on_train_batch_end(step, {"loss": 1.0})
    assert len(shown) == 4


def test_long_trainings_stay_small():
    monitor = TrainingMonitor(QUERIES, GALLERY)
    monitor.set_params({"epochs": 3000, "steps": 1})
    monitor.on_train_begin()
    for epoch in range(3000):
        monitor._epoch, monitor._step = epoch + 1, 1
        monitor._take_loss({"loss": 1 / (epoch + 1)})
        monitor.recalls.append(0.5)
    monitor._show_progress()
    monitor._show_recall()
    assert len(monitor.losses) <= 2000
    assert max(len(monitor._loss.value), len(monitor._recall.value)) < 10_000


def test_a_loss_that_is_no_number_is_said():
    monitor = TrainingMonitor(QUERIES, GALLERY)
    monitor.set_params({"epochs": 1, "steps": 2})
    monitor.on_train_begin()
    monitor._take_loss({"loss": float("nan")})
    monitor._show_progress()
    assert "the loss is nan" in monitor._progress.value


def test_an_interrupted_training_leaves_what_was_seen():
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    monitor = TrainingMonitor(QUERIES, GALLERY)
    with pytest.raises(KeyboardInterrupt):
        fit(monitor, epochs=5, callbacks=[Interrupt()])
    assert len(monitor.recalls) == 2
    assert "epoch 2 of 5" in monitor._progress.value


def test_the_map_turns_as_little_as_it_can():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(30, 2)).astype("f") * (3, 1)
    mirrored = before[:, ::-1] * (1, -1) + rng.normal(size=(30, 2)) * 0.01
    np.testing.assert_allclose(training_monitor._turned(mirrored, before), before, atol=0.1)


def test_in_a_script_it_prints_nothing():
    code = (
        "from tests.widgets.test_training_monitor import *\nfit(TrainingMonitor(QUERIES, GALLERY), epochs=1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_where_no_widget_runs_there_is_a_picture_and_no_figure_is_left_open():
    before = plt.get_fignums()
    monitor = TrainingMonitor(QUERIES, GALLERY)
    assert repr(monitor) == "TrainingMonitor(24 queries, 20 gallery images)"
    for _ in range(2):
        data = monitor._repr_mimebundle_()
        assert data["image/png"].startswith(b"\x89PNG")
        assert data["text/plain"] == repr(monitor)
        assert "application/vnd.jupyter.widget-view+json" in data
        fit(monitor, epochs=1)
    assert plt.get_fignums() == before


def test_where_the_training_displays_it_a_saved_notebook_keeps_the_picture_of_its_end(monkeypatch):
    kept = []

    class Handle:
        def update(self, monitor):
            kept.append(monitor._still())

    monkeypatch.setattr(training_monitor, "get_ipython", lambda: type("Shell", (), {"kernel": object()}))
    monkeypatch.setattr(training_monitor, "display", lambda monitor, display_id: Handle())
    fit(TrainingMonitor(QUERIES, GALLERY))
    (figure,) = kept
    assert figure.get_suptitle().startswith("epoch 3 of 3")
    _, recall, small = figure.axes
    assert recall.get_ylim() == (0, 1)
    assert len(small.collections) == 2
