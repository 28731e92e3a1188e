"""Heads over kept features."""

import random

import keras
import numpy as np
import pytest

from simnb.evaluation import unseen_classes
from simnb.losses import (
    CrossBatchMemory,
    MultiSimilarityLoss,
    NormalizedSoftmaxLoss,
    SupervisedContrastiveLoss,
    TripletLoss,
)
from simnb.samplers import BalancedBatches
from simnb.training import fit, fit_head, head

DIM = 24


def rows(count=120, seed=0, classes=6):
    """Features whose classes differ in six coordinates, under noise that is louder in all others."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    noise = rng.normal(size=(count, DIM)) * np.where(np.arange(DIM) < 6, 0.4, 1.5)
    features = noise + np.eye(DIM)[labels]
    return (features + np.linspace(0, 2, DIM)).astype(np.float32), labels


def recall(features, labels):
    figures = unseen_classes({"own": features}, labels, ways=(), k=1, resamples=10).figures
    return figures["recall@1"]["own"].value


def trained(model, features):
    return keras.ops.convert_to_numpy(model(features))


LOSSES = {
    "pairs": {},
    "proxies": {"loss": NormalizedSoftmaxLoss()},
    "a mix": {"loss": [NormalizedSoftmaxLoss(), SupervisedContrastiveLoss()], "loss_weights": [1, 0.5]},
    "memory": {"loss": CrossBatchMemory(MultiSimilarityLoss(), 60, 8)},
    "two layers": {"hidden": 32},
}


@pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)
def test_a_head_finds_new_rows_better_than_their_features(options):
    model = fit_head(*rows(), embedding_size=8, steps=60, learning_rate=0.01, **options)
    features, labels = rows(seed=1)
    assert recall(trained(model, features), labels) > recall(features, labels) + 0.1
    assert model.output_shape == (None, 8)


@pytest.mark.parametrize("loss", [MultiSimilarityLoss(), NormalizedSoftmaxLoss()], ids=["pairs", "proxies"])
def test_it_takes_the_steps_that_fit_would(loss):
    features, labels = rows()
    options = {"classes_per_batch": 3, "examples_per_class": 4}
    model = fit_head(features, labels, loss=loss, steps=30, seed=3, learning_rate=0.01, **options)
    plain = head._head(features, 128, None, 3)
    batches = BalancedBatches(features, labels, steps_per_epoch=30, seed=3, **options)
    fit(plain, batches, loss=loss, learning_rate=0.01, seed=3, verbose=0)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_head_is_the_formula():
    features, labels = rows()
    model = fit_head(features, labels, embedding_size=5, hidden=7, steps=2)
    kernels = {layer.name: [np.asarray(w) for w in layer.get_weights()] for layer in model.layers}

    def unit(x):
        return x / np.sqrt((x**2).sum(axis=1, keepdims=True))

    mean, spread = unit(features).mean(axis=0), unit(features).std(axis=0)
    new = rows(seed=1)[0] * np.linspace(0.1, 9, 120)[:, None]
    x = (unit(new) - mean) / spread
    x = np.maximum(0, x @ kernels["hidden"][0] + kernels["hidden"][1])
    x = unit(x @ kernels["embedding"][0] + kernels["embedding"][1])
    np.testing.assert_allclose(trained(model, new), x, atol=1e-4)


def test_a_feature_that_was_always_the_same_does_not_drown_the_others():
    features, labels = rows()
    features[:, 0] = 0
    model = fit_head(features, labels, steps=2)
    lit = rows(seed=1)[0]
    lit[:, 0] = 0
    before = trained(model, lit)
    lit[:, 0] = 0.1
    assert (np.sum(before * trained(model, lit), axis=1) > 0.5).all()


def test_the_same_seed_gives_the_same_head_and_no_global_generator_is_touched():
    before, of_python = np.random.get_state()[1].copy(), random.getstate()

    def kernel(seed):
        model = fit_head(*rows(), steps=30, seed=seed, loss=NormalizedSoftmaxLoss(), hidden=4)
        return model.get_weights()[-2]

    first = kernel(1)
    np.testing.assert_allclose(kernel(1), first, atol=1e-6)
    assert not np.allclose(kernel(2), first, atol=1e-3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert random.getstate() == of_python


def test_labels_can_be_any_integers_and_small_classes_are_repeated():
    features, labels = rows(25, classes=4)
    single = np.where(np.arange(25) == 7, 4, labels)
    options = {"steps": 5, "loss": NormalizedSoftmaxLoss(), "embedding_size": 4}
    expected = fit_head(features, single, **options).get_weights()
    numbers = np.array([3, 10, 2**40, 2**40 + 1, 2**61])
    for ours, theirs in zip(
        fit_head(features, numbers[single], **options).get_weights(), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_it_can_be_interrupted(monkeypatch):
    learners, watched = [], head._Watch.on_train_batch_end

    def interrupted(self, batch, logs=None):
        watched(self, batch, logs)
        if self.bar.n == 50:
            learners.append(self.model)
            raise KeyboardInterrupt

    monkeypatch.setattr(head._Watch, "on_train_batch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_head(*rows(), steps=80)
    assert int(learners[0].optimizer.iterations) == 50
    assert learners[0].train_function is None


@pytest.mark.parametrize("loss", [TripletLoss(), NormalizedSoftmaxLoss()], ids=["pairs", "proxies"])
def test_a_loss_that_is_not_finite_is_refused(loss):
    with pytest.raises(
        FloatingPointError, match=r"became .* within \d+ of 60 steps; try a lower learning_rate"
    ):
        fit_head(*rows(), steps=60, learning_rate=1e38, loss=loss)


def test_a_head_is_saved_and_loaded_and_embeds_features_alone(tmp_path):
    features, labels = rows()
    model = fit_head(features, labels, hidden=6, steps=5)
    model.save(tmp_path / "head.keras")
    loaded = keras.saving.load_model(tmp_path / "head.keras")
    np.testing.assert_array_equal(trained(loaded, features), trained(model, features))


def test_bad_input_is_named():
    features, labels = rows()
    with pytest.raises(ValueError, match="labels must be of two classes or more, got 1"):
        fit_head(features, np.zeros(120, int))
    with pytest.raises(ValueError, match="labels and features must have the same length, got 120 and 119"):
        fit_head(features[:-1], labels)
    with pytest.raises(ValueError, match="features must be finite, got NaN"):
        fit_head(np.where(features > 2, np.nan, features), labels)
    with pytest.raises(ValueError, match="features must not be all zero"):
        fit_head(features * (np.arange(120) > 3)[:, None], labels)
    with pytest.raises(ValueError, match="labels must be 0 or above, got -1"):
        fit_head(features, labels - 1)
    with pytest.raises(ValueError, match="classes_per_batch must be at most the number of classes, 6, got 7"):
        fit_head(features, labels, classes_per_batch=7)
    with pytest.raises(ValueError, match="classes_per_batch must be an integer of at least 1, got 0"):
        fit_head(features, labels, classes_per_batch=0)
    with pytest.raises(ValueError, match="examples_per_class must be 2 or more for MultiSimilarityLoss"):
        fit_head(features, labels, examples_per_class=1)
    for name in ("steps", "embedding_size", "hidden"):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
            fit_head(features, labels, **{name: 0})
    with pytest.raises(ValueError, match=r"loss must be a loss of simnb\.losses"):
        fit_head(features, labels, loss="mse")
    with pytest.raises(ValueError, match="learning_rate must be a number above 0, got 0"):
        fit_head(features, labels, learning_rate=0)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got None"):
        fit_head(features, labels, seed=None)
