import keras
import numpy as np
import pytest

from simnb import models
from simnb.models import fast_resnet, mirrored


@pytest.fixture(scope="module")
def model():
    return fast_resnet((12, 10, 3), embedding_size=5, widths=(4, 6))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)


def test_it_is_the_unit_mean_of_the_embeddings_of_an_image_and_its_mirror_image(model, images):
    mean = models.embed(model, images) + models.embed(model, images[:, :, ::-1])
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    assert not np.allclose(mean, models.embed(model, images), atol=1e-3)
    both = mirrored(model)
    assert both.output_shape == model.output_shape
    np.testing.assert_allclose(models.embed(both, images), mean, atol=1e-5)
    np.testing.assert_allclose(models.embed(both, images[:, :, ::-1]), mean, atol=1e-5)


def test_upside_down_is_not_the_same(model, images):
    both = mirrored(model)
    assert not np.allclose(models.embed(both, images[:, ::-1]), models.embed(both, images), atol=1e-3)


def test_its_weights_are_those_of_the_model(model):
    assert all(a is b for a, b in zip(mirrored(model).weights, model.weights, strict=True))


def test_it_is_saved_and_loaded_in_safe_mode(model, images, tmp_path):
    both = mirrored(model)
    both.save(tmp_path / "both.keras")
    loaded = keras.models.load_model(tmp_path / "both.keras", safe_mode=True)
    np.testing.assert_allclose(models.embed(loaded, images), models.embed(both, images), atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda images: images, "function"),
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), r"\(None, 4\)"),
    ],
)
def test_what_does_not_take_images_is_refused(wrong, got):
    with pytest.raises(ValueError, match=f"model must be a Keras model that takes images, .* got .*{got}"):
        mirrored(wrong)
