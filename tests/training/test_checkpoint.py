"""A training that goes on from its file, and files that are refused."""

import json

import keras
import numpy as np
import pytest

from simnb import data
from simnb.augmentation import Augment
from simnb.layers import MetricEmbedding
from simnb.losses import CrossBatchMemory, MultiSimilarityLoss, TripletLoss
from simnb.samplers import BalancedBatches, TwoViewBatches
from simnb.training import RetrievalMonitor, fit
from tests.training.test_recipe import MIX, Alternating, Kill, batches_of, blobs, small_model


def watch(kind=RetrievalMonitor):
    return kind(blobs(30, 1, 1000), blobs(30, 2, 2000))


@pytest.mark.parametrize(
    "extra",
    [
        dict,
        lambda: {"loss": MIX, "optimizer": "muon", "average": 0.9},
        lambda: {"loss": CrossBatchMemory(TripletLoss(), 50, 8)},
    ],
    ids=["defaults", "mix", "memory"],
)
def test_a_killed_training_goes_on_to_the_same_end(tmp_path, extra):
    monitor = watch()

    def options(path):
        return {"epochs": 4, "seed": 3, "verbose": 0, "checkpoint": path, "patience": 9, "monitor": monitor}

    def run(path, **more):
        model, batches = small_model(dropout=0.3), batches_of(blobs(), steps_per_epoch=10)
        return model, fit(model, batches, **options(path), **extra(), **more)

    whole, whole_history = run(tmp_path / "whole.npz")
    for step in (4, 25):  # in the first epoch, of which the file has the start, and in the third
        with pytest.raises(RuntimeError, match="killed"):
            run(tmp_path / "killed.npz", callbacks=Kill(step))
    resumed, history = run(tmp_path / "killed.npz")
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert history.epoch == [0, 1, 2, 3]
    for name, figures in whole_history.history.items():
        np.testing.assert_allclose(history.history[name], figures, rtol=1e-4)
    again, history = run(tmp_path / "killed.npz", callbacks=Kill(1))
    np.testing.assert_array_equal(again.get_weights()[0], resumed.get_weights()[0])
    assert len(history.history["loss"]) == 4


def test_a_data_set_of_ones_own_goes_on_too(tmp_path):
    def run(name, **options):
        model = small_model()
        options |= {"epochs": 3, "verbose": 0, "checkpoint": tmp_path / name}
        fit(model, Alternating(blobs(70)), loss=TripletLoss(), **options)
        return model.get_weights()

    with pytest.raises(RuntimeError, match="killed"):
        run("killed", callbacks=Kill(10))
    for resumed, whole in zip(run("killed"), run("whole"), strict=True):
        np.testing.assert_allclose(resumed, whole, atol=1e-5)


def test_a_checkpoint_is_replaced_whole_and_never_used_for_another_training(tmp_path, monkeypatch):
    path = tmp_path / "new folder" / "run.npz"

    def run(path, **options):
        batches = batches_of(blobs(), steps_per_epoch=3)
        fit(small_model(), batches, **{"epochs": 2, "verbose": 0, "checkpoint": path, **options})

    run(path)
    kept = path.read_bytes()
    with pytest.raises(
        ValueError,
        match=r"run.npz is of another training: epochs, optimizer \(learning_rate\) differ; pass",
    ):
        run(path, epochs=3)
    with pytest.raises(ValueError, match="is of another training: seed, losses, variables differ"):
        run(path, loss=MIX, seed=1)
    with pytest.raises(ValueError, match=r"is of another training: losses, optimizer .* differ"):
        run(path, loss=TripletLoss(), learning_rate=0.5)
    with pytest.raises(ValueError, match="is of another training: losses differ"):
        run(path, loss=MultiSimilarityLoss(alpha=3.0))
    with pytest.raises(ValueError, match="is of another training: average differ"):
        run(path, average=0.9)
    with pytest.raises(ValueError, match=r"is of another training: batches \(seed\) differ"):
        fit(small_model(), batches_of(blobs(), steps_per_epoch=3, seed=7), epochs=2, checkpoint=path)
    assert path.read_bytes() == kept
    path.write_bytes(kept[:500])
    with pytest.raises(ValueError, match=r"run.npz cannot be read \(.*\); pass another path, or delete"):
        run(path)
    assert path.read_bytes() == kept[:500]

    def full_disk(*names):
        raise OSError("no space left")

    path.write_bytes(kept)
    other = path.with_name("other.npz")
    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        run(other)
    assert not other.exists()


def rewrite(path, change):
    """Write a checkpoint anew with its meta and arrays changed."""
    with np.load(path) as stored:
        arrays = dict(stored)
    meta = json.loads(str(arrays.pop("meta")))
    change(meta, arrays)
    np.savez(path, meta=np.array(json.dumps(meta)), **arrays)


def as_format_2(meta, arrays):
    """What version 2 of the format did not have goes."""
    meta["settings"] |= {"format": 2, "first_epoch": meta.pop("first_epoch")}
    of_batches = meta["settings"]["batches"]
    meta["settings"]["batches"] = {
        name: of_batches[name] for name in ("seed", "batch_size", "num_examples", "examples_per_class")
    }
    del meta["format"], meta["start"]


def go_on_as_in_a_notebook(path, model, batches, **options):
    """The cell that people run again and again: the model and the batches are those of the kernel."""
    return fit(model, batches, epochs=4, verbose=0, checkpoint=path, average=0.9, **options)


class InterruptAt(keras.callbacks.Callback):
    """Ctrl-C after a step; nothing once the training has gone on behind it."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == self.step:
            raise KeyboardInterrupt


class InterruptedMonitor(RetrievalMonitor):
    """Ctrl-C while it measures after the second epoch, which the file has not been told of then."""

    calls = 0

    def on_epoch_end(self, epoch, logs=None):
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt
        super().on_epoch_end(epoch, logs)


@pytest.mark.parametrize("interrupt", [4, 10, 25, 40, "monitor"])
def test_the_same_cell_goes_on_after_an_interrupt_and_then_gives_the_finished_model(
    tmp_path, interrupt, capsys
):
    def cell(path, model, batches, callback=None):
        return go_on_as_in_a_notebook(path, model, batches, monitor=watched, callbacks=callback)

    watched, whole = watch(), small_model(dropout=0.3)
    figures = cell(tmp_path / "whole.npz", whole, batches_of(blobs(), steps_per_epoch=10)).history
    model, batches = small_model(dropout=0.3), batches_of(blobs(), steps_per_epoch=10)
    callback = None if interrupt == "monitor" else InterruptAt(interrupt)
    watched = watch(InterruptedMonitor) if interrupt == "monitor" else watched
    with pytest.raises(KeyboardInterrupt):
        cell(tmp_path / "run.npz", model, batches, callback)
    capsys.readouterr()
    history = cell(tmp_path / "run.npz", model, batches)
    assert capsys.readouterr().out == ""
    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for name in figures:
        np.testing.assert_allclose(history.history[name], figures[name], rtol=1e-4)
    assert batches.epoch == 4
    before = model.get_weights()
    again = cell(tmp_path / "run.npz", model, batches, Kill(1))
    printed = capsys.readouterr().out
    assert "run.npz holds this training, finished after 4 epochs: the model has its weights" in printed
    assert printed.count("\n") == 1
    assert (again.epoch, again.history) == (history.epoch, history.history)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert batches.epoch == 4


def test_batches_that_have_been_used_before_go_on_from_where_the_training_began(tmp_path):
    def trained(name, **options):
        model, batches = small_model(), batches_of(blobs(), steps_per_epoch=10)
        batches.go_to_epoch(3)
        go_on_as_in_a_notebook(tmp_path / name, model, batches, **options)
        return model, batches

    whole, batches = trained("whole")
    assert batches.epoch == 7
    with pytest.raises(RuntimeError, match="killed"):
        trained("killed", callbacks=Kill(25))
    resumed, fresh = small_model(), batches_of(blobs(), steps_per_epoch=10)
    go_on_as_in_a_notebook(tmp_path / "killed", resumed, fresh)
    assert fresh.epoch == 7
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def permuted(examples, seed=0):
    order = np.random.default_rng(seed).permutation(len(examples))
    return data.from_arrays(examples.images, examples.labels[order])


def with_few(examples):
    """The same images, but classes 0 and 1 have most and class 2 two of them."""
    labels = np.arange(len(examples)) % 2
    labels[:2] = 2
    return data.from_arrays(examples.images, labels)


OTHER_DATA = {
    r"batches \(labels\)": lambda: batches_of(permuted(blobs()), **STEPS),
    r"batches \(images\)": lambda: batches_of(blobs(seed=5), **STEPS),
    r"batches \(augmentation\)": lambda: batches_of(blobs(), augment=Augment(crop=1), **STEPS),
    r"batches \(classes\)": lambda: batches_of(blobs(), classes=[0, 1], **STEPS),
    r"batches \(image dtype, images\)": lambda: BalancedBatches(
        blobs().images.astype("float32"), blobs().labels, examples_per_class=4, **STEPS
    ),
    r"batches \(num_examples, images, labels\)": lambda: batches_of(blobs(63), **STEPS),
    r"batches \(sampler, batch_size, .*\)": lambda: TwoViewBatches(
        blobs().images, batch_size=12, augment=Augment(crop=1), steps_per_epoch=3
    ),
}
STEPS = {"steps_per_epoch": 3, "classes_per_batch": 2}


@pytest.mark.parametrize("done", [True, False], ids=["finished", "half-done"])
def test_a_checkpoint_is_not_taken_for_other_data_or_other_starting_weights(tmp_path, done):
    path = tmp_path / "run.npz"

    def run(model, batches, **options):
        fit(model, batches, loss=TripletLoss(), epochs=2, verbose=0, checkpoint=path, **options)

    if done:
        run(small_model(), batches_of(blobs(), **STEPS))
    else:
        with pytest.raises(RuntimeError, match="killed"):
            run(small_model(), batches_of(blobs(), **STEPS), callbacks=Kill(4))
    kept = path.read_bytes()
    for what, batches in OTHER_DATA.items():
        model = small_model()
        before = model.get_weights()
        with pytest.raises(ValueError, match=rf"another training: {what} differ; pass another path, or del"):
            run(model, batches())
        for a, b in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)
    other = small_model(seed=5)
    with pytest.raises(ValueError, match=r"starting weights differ; .* or build the model as it was when"):
        run(other, batches_of(blobs(), **STEPS))
    assert path.read_bytes() == kept
    model = small_model()
    run(model, batches_of(blobs(), **STEPS))
    model.set_weights(other.get_weights())  # what fit has left is no longer in it
    with pytest.raises(ValueError, match="starting weights differ"):
        run(model, batches_of(blobs(), **STEPS))


def test_small_classes_make_another_training_where_there_are_any(tmp_path):
    def run(examples, small_classes):
        batches = batches_of(examples, small_classes=small_classes, **STEPS)
        fit(small_model(), batches, epochs=1, verbose=0, checkpoint=path)

    path = tmp_path / "run.npz"
    run(with_few(blobs()), "repeat")
    with (
        pytest.warns(UserWarning, match="dropped: 1 of 3 classes"),
        pytest.raises(ValueError, match=r"another training: batches \(classes\) differ"),
    ):
        run(with_few(blobs()), "drop")
    path = tmp_path / "other.npz"
    run(blobs(), "repeat")
    run(blobs(), "drop")


def test_of_a_first_epoch_that_was_not_finished_nothing_is_kept_for_another_training(tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(RuntimeError, match="killed"):
        fit(small_model(), batches_of(blobs(), **STEPS), epochs=2, checkpoint=path, callbacks=Kill(2))
    model, plain = small_model(), small_model()
    for one, options in ((model, {"checkpoint": path}), (plain, {})):
        fit(one, batches_of(permuted(blobs()), **STEPS), epochs=1, verbose=0, **options)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], atol=1e-6)


class Poison(keras.callbacks.Callback):
    """Makes weights NaN after the step, whose own loss is finite."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == self.step:
            self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])


def test_nan_of_the_last_step_of_an_epoch_is_neither_written_nor_left_in_the_model(tmp_path):
    path, model = tmp_path / "run.npz", small_model()

    def run(model, step, **options):
        batches = batches_of(blobs(), steps_per_epoch=10)
        fit(model, batches, epochs=4, verbose=0, callbacks=Poison(step), **options)

    with pytest.raises(
        FloatingPointError,
        match=r"the weights or the optimizer's state became NaN or infinite in step 30 .* of step 25 again",
    ):
        run(model, 30, checkpoint=path)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    with np.load(path) as stored:
        assert json.loads(str(stored["meta"]))["epochs"] == 2
    whole = small_model()
    fit(whole, batches_of(blobs(), steps_per_epoch=10), epochs=4, verbose=0)
    fit(model, batches_of(blobs(), steps_per_epoch=10), epochs=4, verbose=0, checkpoint=path)
    np.testing.assert_allclose(model.get_weights()[0], whole.get_weights()[0], atol=1e-5)
    with pytest.raises(FloatingPointError, match="in step 40"):
        run(small_model(), 40)


def test_a_callback_that_spoils_the_weights_at_the_end_of_an_epoch_does_not_spoil_the_file(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.set_weights([np.full_like(w, np.inf) for w in self.model.get_weights()])

    def run(**options):
        options |= {"epochs": 3, "verbose": 0, "checkpoint": tmp_path / "run.npz"}
        fit(small_model(), batches_of(blobs(), **STEPS), **options)

    with pytest.raises(FloatingPointError, match=r"hold NaN or infinity after 2 epochs, .* after 1 epochs"):
        run(callbacks=Spoil())
    run()


def spoil(name, value):
    def change(meta, arrays):
        arrays[name] = value(arrays[name])

    return change


DAMAGE = {
    r"cannot be read \(it says that 1000000 epochs of 2 are done\)": lambda m, a: m.update(epochs=10**6),
    r"cannot be read \(it says that -1 epochs of 2 are done\)": lambda m, a: m.update(epochs=-1),
    r"cannot be read \(it does not have the figures of the 2 epochs .*\)": lambda m, a: m["history"].update(
        loss=[0.5]
    ),
    r"cannot be read \('history'\)": lambda m, a: m.pop("history"),
    r"cannot be read \(it says 'yes' where .*\)": lambda m, a: m.update(done="yes"),
    r"cannot be read \(it has format 4, and this version of simnb reads 2 and 3\)": lambda m, a: m.update(
        format=4
    ),
    r"cannot be read \(it holds weights that are NaN or infinite\)": spoil(
        "variable_3", lambda w: np.full_like(w, np.nan)
    ),
    r"damaged \(variable_2 must have shape \(16, 8\), got \(8, 16\)\)": spoil("variable_2", np.transpose),
    r"damaged \(variable_4 must have shape .*, got nothing\)": lambda m, a: a.pop("variable_4"),
    r"damaged \(weight_1 must have shape \(16,\), got \(16, 1\)\)": spoil(
        "stopper/weight_1", lambda w: w[:, None]
    ),
    r"damaged \('step'\)": lambda m, a: a.pop("average/step"),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_a_damaged_file_is_named_and_nothing_of_it_is_taken(tmp_path, message):
    path = tmp_path / "run.npz"

    def run(model):
        batches = batches_of(blobs(), **STEPS)
        options = {"patience": 9, "monitor": watch(), "average": 0.9}
        fit(model, batches, epochs=2, verbose=0, checkpoint=path, **options)

    run(small_model())
    rewrite(path, DAMAGE[message])
    kept, model = path.read_bytes(), small_model()
    before = model.get_weights()
    with pytest.raises(ValueError, match=rf"run\.npz (is )?{message}; pass another path, or delete"):
        run(model)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert path.read_bytes() == kept


def test_a_pickle_in_a_file_is_not_read(tmp_path):
    path, batches = tmp_path / "run.npz", batches_of(blobs(), **STEPS)
    fit(small_model(), batches, epochs=1, verbose=0, checkpoint=path)
    rewrite(path, lambda meta, arrays: arrays.update(more=np.array([Marks(tmp_path / "ran")], object)))
    with pytest.raises(ValueError, match=r"run\.npz cannot be read \(Object arrays cannot be loaded when"):
        fit(small_model(), batches, epochs=1, verbose=0, checkpoint=path)
    assert not (tmp_path / "ran").exists()


class Marks:
    """Its pickle makes a file when it is read."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return type(self.file).touch, (self.file,)


def test_a_file_of_format_2_goes_on_and_says_what_it_cannot_tell(tmp_path, capsys):
    path = tmp_path / "run.npz"

    def run(examples, **options):
        model = small_model(dropout=0.3)
        fit(model, batches_of(examples, **STEPS), epochs=4, verbose=0, checkpoint=path, **options)
        return model

    whole = run(blobs())
    path.unlink()
    with pytest.raises(RuntimeError, match="killed"):
        run(blobs(), callbacks=Kill(7))
    rewrite(path, as_format_2)
    with pytest.raises(ValueError, match="another training: seed differ"):
        run(blobs(), seed=7)
    capsys.readouterr()
    resumed = run(blobs())
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "run.npz was written by an earlier version of simnb. It could not be checked" in printed
    for word in ("labels", "classes", "augmentation", "images", "starting weights"):
        assert word in printed
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    with pytest.raises(ValueError, match=r"batches \(labels\) differ"):
        run(permuted(blobs()))


def test_a_model_of_bfloat16_weights_goes_on_too(tmp_path):
    def run(**options):
        inputs = keras.Input((6, 6, 1))
        start = keras.initializers.GlorotUniform(seed=1)
        x = keras.layers.Dense(8, kernel_initializer=start, dtype="bfloat16")(keras.layers.Flatten()(inputs))
        model = keras.Model(inputs, MetricEmbedding(8, kernel_initializer=start)(x))
        options |= {"epochs": 2, "verbose": 0, "checkpoint": tmp_path / "run.npz"}
        fit(model, batches_of(blobs(), **STEPS), **options)
        return keras.ops.convert_to_numpy(keras.ops.cast(model.weights[0], "float32"))

    with pytest.raises(RuntimeError, match="killed"):
        run(callbacks=Kill(4))
    resumed = run()
    (tmp_path / "run.npz").unlink()
    np.testing.assert_allclose(run(), resumed, atol=1e-3)
