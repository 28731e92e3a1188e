"""Self-supervised training by the old names."""

import numpy as np
import pytest

from simnb import data, metrics, models, tfsim
from simnb._keras import keras
from simnb.losses import two_views
from simnb.search import SimilaritySearch

LOSSES = {
    "simsiam": tfsim.losses.SimSiamLoss,
    "simclr": tfsim.losses.SimCLRLoss,
    "barlow": tfsim.losses.Barlow,
    "vicreg": tfsim.losses.VicReg,
}


@pytest.fixture(scope="module")
def images():
    return data.load("digits").images[:64]


def new_model(algorithm):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 5, 4, activation="relu")(inputs)
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    projector = tfsim.models.contrastive.get_projector(8, dim=16, num_layers=2)
    model = tfsim.models.create_contrastive_model(backbone=backbone, projector=projector, algorithm=algorithm)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=LOSSES[algorithm]())
    return model


@pytest.mark.parametrize("algorithm", LOSSES)
def test_it_trains_indexes_and_is_saved(algorithm, images, tmp_path):
    model = new_model(algorithm)
    augmenter = tfsim.augmenters.SimCLRAugmenter(32, 32)
    one, other = augmenter.augment(images, None, 2)
    assert one.shape == images.shape
    assert np.abs(one - other).max() > 0
    before = [weight.copy() for weight in model.get_weights()]
    history = model.fit(one, other, batch_size=32, epochs=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["proj_std"]) > 0.01  # nothing collapsed
    assert any(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))
    # evaluating changes nothing, and tells two views of an image from unrelated rows
    weights = [weight.copy() for weight in model.get_weights()]
    paired, unpaired = (model.evaluate(one, view, verbose=0) for view in (one, np.roll(one, 7, axis=0)))
    assert paired < unpaired
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    model.index(one, np.arange(64), verbose=0)
    assert [row[0].label for row in model.lookup(one[:5], k=1)] == list(range(5))
    np.testing.assert_allclose(np.linalg.norm(model.predict(one), axis=1), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.lookup(one[:5], k=2) == model.lookup(one[:5], k=2)


def test_the_spread_of_activations_is_logged(images, tmp_path):
    keras.utils.set_random_seed(0)
    log = tfsim.layers.ActivationStdLoggingLayer
    backbone = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(8)])
    projector = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), log("proj_std")])
    predictor = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), log("pred_std")])
    model = tfsim.models.ContrastiveModel(backbone, projector, predictor)
    model.compile(optimizer="sgd", loss=tfsim.losses.SimSiamLoss())
    history = model.fit(images, images, batch_size=32, epochs=2, verbose=0).history
    assert len(history["proj_std"]) == len(history["pred_std"]) == 2
    rows = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    layer = log("spread")
    assert np.array_equal(layer(rows), rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert float(layer.spread.result()) == pytest.approx(unit.std(axis=0).mean(), rel=1e-5)
    layer.spread.reset_state()
    layer(np.repeat(rows[:1], 50, axis=0))
    assert float(layer.spread.result()) == pytest.approx(0, abs=1e-6)
    model.save(tmp_path / "model.keras")
    assert "proj_std" in keras.models.load_model(tmp_path / "model.keras").evaluate(
        images, images, verbose=0, return_dict=True
    )


@pytest.mark.parametrize(("algorithm", "options", "epochs"), [
    ("simclr", {"temperature": 0.2}, 4), ("vicreg", {}, 4), ("barlow", {}, 4), ("simsiam", {}, 6),
])  # fmt: skip
def test_without_labels_a_network_learns_what_is_alike_in_cifar10(algorithm, options, epochs):
    if data.default_name() != "cifar10":
        pytest.skip("CIFAR-10 is not prepared on this machine, and there is no way to get it")
    images = data.load(split="train").images[:2000]
    parts = data.load(split="test").split(train=0, gallery=0.3, calibration=0, query=0.2, seed=0)
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((32, 32, 3)),
        keras.layers.Rescaling(255.0),
        models.fast_resnet(widths=(16, 32, 64)),
    ]
    backbone = keras.Sequential(layers)
    network = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), backbone])

    def recall():
        search = SimilaritySearch(network, batch_size=500)
        search.add(parts.gallery)
        return metrics.recall_at_k(search.lookup(parts.query, k=1), parts.query.labels, 1)

    model = tfsim.models.create_contrastive_model(backbone=backbone, algorithm=algorithm)
    sgd = algorithm == "simsiam"  # as in its paper
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9) if sgd else keras.optimizers.Adam(0.002)
    model.compile(optimizer=optimizer, loss=LOSSES[algorithm](**options))
    augmenter = tfsim.augmenters.SimCLRAugmenter(32, 32)
    before = recall()
    for _ in range(epochs):  # other views in each
        model.fit(*augmenter.augment(images, None, 2), batch_size=100, verbose=0)
    assert recall() > before + 0.01


def test_wrong_options(images):
    backbone = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="algorithm must be one of"):
        tfsim.models.create_contrastive_model(backbone=backbone, algorithm="moco")
    with pytest.raises(ValueError, match="resize"):
        tfsim.augmenters.SimCLRAugmenter(16, 16).augment(images, None, 2)
    with pytest.raises(ValueError, match=r"pass images \* 255"):
        tfsim.augmenters.SimCLRAugmenter(32, 32).augment(images / 255, None, 2)
    with pytest.raises(ValueError, match="solarize_probability"):
        tfsim.augmenters.BarlowAugmenter(32, 32, solarize_probability=0.1)


def test_barlow_twins_is_its_equation():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 20, 4))
    c = np.corrcoef(one.T, other.T)[:4, 4:]
    expected = sum((1 - c[i, i]) ** 2 if i == j else 0.005 * c[i, j] ** 2 for i in range(4) for j in range(4))
    assert float(two_views.barlow_twins_loss(one, other)) == pytest.approx(expected, rel=1e-4)


def test_vicreg_is_its_equations():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 20, 4)) * [0.5, 1, 2, 0.1]
    expected = 25 * ((one - other) ** 2).mean()
    for view in (one, other):
        covariance = np.cov(view.T)
        expected += 25 * np.maximum(0, 1 - np.sqrt(np.diag(covariance) + 1e-4)).mean()
        expected += (covariance**2 - np.diag(np.diag(covariance) ** 2)).sum() / 4
    assert float(two_views.vicreg_loss(one, other)) == pytest.approx(expected, rel=1e-4)


def test_simsiam_is_a_cosine_and_stops_the_gradient():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    one, other = (tf.Variable(rng.normal(size=(5, 3)), dtype="float32") for _ in range(2))
    with tf.GradientTape() as tape:
        loss = two_views.simsiam_loss(one, other)
    a, b = one.numpy(), other.numpy()
    expected = -(a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    gradients = tape.gradient(loss, [one, other])
    assert gradients[0] is None
    assert np.abs(gradients[1]).max() > 0
    with pytest.raises(ValueError, match="same shape"):
        two_views.simsiam_loss(a, b[:, :2])


def test_two_sets_are_compared_row_by_row():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 6, 4)).astype("float32")
    unit = [view / np.linalg.norm(view, axis=1, keepdims=True) for view in (one, other)]
    one, other = unit
    scores = one @ other.T * 20
    expected = np.log(np.exp(scores - np.diag(scores)[:, None]).sum(axis=1)).mean()
    assert float(tfsim.losses.MultiNegativesRankLoss()(one, other)) == pytest.approx(expected, rel=1e-4)
    both = np.concatenate(unit)
    scores = both @ both.T / 0.05
    np.fill_diagonal(scores, -np.inf)
    right = scores[np.arange(12), np.roll(np.arange(12), 6)]
    expected = (np.log(np.exp(scores).sum(axis=1)) - right).mean()
    assert float(tfsim.losses.SimCLRLoss()(one, other)) == pytest.approx(expected, rel=1e-4)
