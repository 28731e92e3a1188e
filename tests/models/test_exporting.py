import logging
import sys

import keras
import numpy as np
import pytest

from simnb.models import backbone, embed, export, exporting, mirrored, tutorial_convnet
from simnb.models.exporting import _Resizing

to_numpy = keras.ops.convert_to_numpy

onnxruntime = pytest.importorskip("onnxruntime", reason='export needs pip install "simnb[onnx]"')
pytest.importorskip("tf2onnx", reason='export needs pip install "simnb[onnx]"')
if keras.backend.backend() != "tensorflow":
    pytest.skip("tf2onnx reads graphs of TensorFlow", allow_module_level=True)


def pixels(height, width, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def served(path):
    """The embedder of a file, as a server without Keras runs it."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(x.name, x.type) for x in session.get_inputs()] == [("images", "tensor(float)")]
    return lambda images: session.run(None, {"images": images.astype(np.float32)})[0]


def resizing_embedder(seed=0, **options):
    layers = keras.layers
    start = keras.initializers.GlorotUniform(seed=seed)
    inputs = keras.Input((None, None, 3))
    x = layers.Resizing(12, 10, **options)(inputs)
    x = layers.Rescaling([0.01, 0.02, 0.015], [-1.0, -1.2, -0.8])(x)
    x = layers.Normalization(mean=[0.3, 0.4, 0.5], variance=[0.2, 0.3, 0.4])(x)
    x = layers.Conv2D(6, 3, groups=3, kernel_initializer=start)(x)
    return keras.Model(inputs, layers.UnitNormalization()(layers.Flatten()(x)), name="resizing")


def test_a_file_gives_the_vectors_of_its_model_for_any_number_of_images(tmp_path):
    model = tutorial_convnet()
    export(model, tmp_path / "embedder.onnx")
    embedder = served(tmp_path / "embedder.onnx")
    for count in (1, 4):
        images = pixels(32, 32, count)
        np.testing.assert_allclose(embedder(images), embed(model, images), atol=1e-4)


def test_resizing_is_in_the_file_also_below_a_model_around_it(tmp_path):
    options = {"crop_to_aspect_ratio": True, "interpolation": "bicubic", "antialias": True}
    model = mirrored(resizing_embedder(**options))
    export(model, str(tmp_path / "embedder.onnx"))
    embedder = served(tmp_path / "embedder.onnx")
    for images in (pixels(12, 10), pixels(50, 31), pixels(9, 24)):
        np.testing.assert_allclose(embedder(images), embed(model, images), atol=1e-4)


def test_resizing_within_the_network_of_an_embedder_is_in_the_file(tmp_path):
    inner = resizing_embedder(interpolation="bilinear", antialias=True)
    model = backbone(inner)
    export(model, tmp_path / "embedder.onnx")
    images = pixels(50, 31)
    np.testing.assert_allclose(served(tmp_path / "embedder.onnx")(images), embed(model, images), atol=1e-4)
    assert inner.layers[1] in model.get_layer("backbone").network.layers  # the model is as it was


def test_resizing_that_onnx_has_not_is_named(tmp_path):
    model = resizing_embedder(interpolation="lanczos3", antialias=True)
    with pytest.raises(
        ValueError,
        match=r"cannot be written .* no operation for resizing as here \(resizing.* by lanczos3",
    ):
        export(model, tmp_path / "embedder.onnx")


def test_tf2onnx_is_afterwards_as_it_was(tmp_path):
    import tf2onnx

    logger = logging.getLogger("tf2onnx")
    before = tf2onnx.convert.from_function, logger.level
    export(tutorial_convnet(), tmp_path / "embedder.onnx")
    assert (tf2onnx.convert.from_function, logger.level) == before


class Means(keras.layers.Layer):
    """Means over the positions, with a flaw where images are wide."""

    def __init__(self, flaw=0.0):
        super().__init__()
        self.flaw = flaw

    def compute_output_shape(self, shape):
        return shape[0], shape[3]

    def call(self, images):
        wide = keras.ops.cast(keras.ops.shape(images)[2] > 400, "float32")
        return keras.ops.mean(images, axis=(1, 2)) + self.flaw * wide


def test_a_file_is_tried_with_large_images_too(tmp_path, monkeypatch):
    inputs = keras.Input((None, None, 3))
    right, wrong = (keras.Model(inputs, layer(inputs)) for layer in (Means(), Means(flaw=1.0)))
    monkeypatch.setattr(exporting, "_exportable", lambda model: wrong)
    with pytest.raises(ValueError, match=r"other vectors .* for images of 600 x 431"):
        export(right, tmp_path / "embedder.onnx")


WAYS = [{}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}]


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("way", WAYS, ids=["stretches", "crops", "pads"])
def test_resizing_written_out_is_that_of_keras(way, interpolation, antialias):
    layer = keras.layers.Resizing(12, 10, interpolation=interpolation, antialias=antialias, **way)
    for sides in ((12, 10), (51, 31), (9, 24), (7, 5)):
        images = pixels(*sides).astype("float32")
        ours, theirs = to_numpy(_Resizing(layer)(images)), to_numpy(layer(images))
        np.testing.assert_allclose(ours, theirs, atol=0.02)  # of 255: 1e-4


def test_a_preset_of_kerashub_is_exported_with_its_preprocessing(tmp_path):
    hub = pytest.importorskip("keras_hub", reason='presets need KerasHub: pip install "simnb[hub]"')
    size = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 24}
    folder = str(tmp_path / "preset")
    shapes = {"image_shape": (16, 16, 3), "position_embedding_shape": (24, 24, 3)}
    hub.models.DINOV2Backbone(patch_size=8, **shapes, **size).save_to_preset(folder)
    wants = {"image_size": (16, 16), "scale": [0.011, 0.012, 0.013], "offset": [-1.5, -1.4, -1.3]}
    ways = {"interpolation": "bicubic", "antialias": True}
    hub.layers.DINOV2ImageConverter(**wants, **ways).save_to_preset(folder)
    model = backbone(folder)
    export(model, tmp_path / "embedder.onnx")
    embedder = served(tmp_path / "embedder.onnx")
    for images in (pixels(16, 16), pixels(50, 31)):
        np.testing.assert_allclose(embedder(images), embed(model, images), atol=1e-4)


@keras.saving.register_keras_serializable(package="simnb_tests")
class Unwritable(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.fft2((inputs[..., 0], inputs[..., 1]))[0]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "embedder.onnx"
    path.write_text("the old one")
    model = resizing_embedder()
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "_exportable", lambda model: resizing_embedder(seed=1))
        with pytest.raises(
            ValueError, match=r"embedder.onnx is not written: .* other vectors .* up to 0\.\d"
        ):
            export(model, path)
    inputs = keras.Input((8, 8, 3))
    half = keras.layers.Dense(5, dtype="mixed_float16")(keras.layers.Flatten()(inputs))
    with pytest.raises(
        ValueError, match=r"must compute in float32, got 'half' of float16: make it once more"
    ):
        export(keras.Model(inputs, half, name="half"), path)
    odd = keras.Model(inputs, keras.layers.Flatten()(Unwritable()(inputs)), name="odd")
    with pytest.raises(ValueError, match=r"the model 'odd' cannot be written as ONNX: .*Complex"):
        export(odd, path)
    with pytest.raises(ValueError, match=r"model must be a Keras model that takes images, .* got function"):
        export(test_resizing_is_in_the_file_also_below_a_model_around_it, path)
    assert [file.name for file in tmp_path.iterdir()] == ["embedder.onnx"]
    assert path.read_text() == "the old one"


def test_other_backends_than_tensorflow_are_told_what_helps(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="export needs Keras on TensorFlow, and this is jax: save the model"):
        export(tutorial_convnet, tmp_path / "embedder.onnx")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'export needs onnxruntime: pip install "simnb\[onnx\]"'):
        export(tutorial_convnet(), tmp_path / "embedder.onnx")
