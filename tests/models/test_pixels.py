"""Images of another range than the model expects, wherever images meet a model that knows its range."""

import keras
import numpy as np
import pytest

from simnb import models, tfsim
from simnb.layers import MetricEmbedding
from simnb.losses import NormalizedSoftmaxLoss, TripletLoss
from simnb.models._pixels import expects_bytes
from simnb.samplers import BalancedBatches
from simnb.search import SimilaritySearch
from simnb.training import MetricModel, fit

LABELS = np.arange(24) % 3
BYTES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
ZERO_TO_ONE = (BYTES / 255).astype("float32")
SYMMETRIC = (BYTES / 127.5 - 1).astype("float32")


def small(*first):
    layers = [keras.Input((32, 32, 3)), *first, keras.layers.GlobalAveragePooling2D(), MetricEmbedding(4)]
    return keras.Sequential(layers)


def of_0_to_255():
    yield models.tutorial_convnet(embedding_size=8)
    yield models.fast_resnet(widths=(4, 4), embedding_size=8)
    yield models.pretrained("cifar10")
    yield models.pretrained("cifar10", mirror=False)
    yield small(keras.layers.Rescaling(1 / 255))
    yield small(
        keras.layers.RandomFlip(), keras.layers.Resizing(16, 16), keras.layers.Rescaling(1 / 127.5, -1)
    )
    for name in (
        "ResNet50",
        "DenseNet121",
        "MobileNetV2",
        "MobileNetV3Small",
        "EfficientNetB0",
        "ConvNeXtTiny",
    ):
        yield models.backbone(name, input_shape=(32, 32, 3))


def of_other_or_unknown_range():
    yield small()
    yield small(keras.layers.Rescaling(255.0), keras.layers.Rescaling(1 / 255))
    yield small(keras.layers.Rescaling(2.0, offset=-1.0))
    yield small(keras.layers.Rescaling(1 / 65535))
    yield small(keras.layers.Conv2D(3, 1), keras.layers.Rescaling(1 / 255))
    yield small(keras.layers.Normalization(mean=[0.5] * 3, variance=[0.1] * 3))
    yield small(keras.layers.Normalization())
    yield models.backbone("ResNet50", input_shape=(32, 32, 3), preprocess=False)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs * 255.0))
    yield keras.Model(inputs, MetricEmbedding(4)(x))


def test_a_model_knows_its_range_and_keeps_it_when_it_is_saved(tmp_path):
    for model in of_0_to_255():
        assert expects_bytes(model), model.name
    for model in of_other_or_unknown_range():
        assert not expects_bytes(model), [layer.name for layer in model.layers]
    models.pretrained("cifar10").save(tmp_path / "model.keras")
    assert expects_bytes(keras.models.load_model(tmp_path / "model.keras"))


@pytest.fixture(scope="module")
def model():
    return models.fast_resnet(widths=(4, 4), embedding_size=8)


WRONG = [
    (ZERO_TO_ONE, r"0 to 255 here, got float32 of 0 to 1, .* nearly black: pass {name} \* 255; .* as uint8"),
    (ZERO_TO_ONE.astype("float64"), r"got float64 of 0 to 1, .* pass {name} \* 255;"),
    (ZERO_TO_ONE.astype("float16"), r"got float16 of 0 to 1, .* pass {name} \* 255;"),
    (SYMMETRIC, r"got float32 of -1 to 1, which is nearly black: pass \({name} \+ 1\) \* 127\.5;"),
]


@pytest.mark.parametrize(("images", "message"), WRONG)
def test_images_of_another_range_are_refused_wherever_they_meet_the_model(model, images, message):
    said = message.format(name="images")
    with pytest.raises(ValueError, match=said):
        models.embed(model, images)
    search = SimilaritySearch(model)
    with pytest.raises(ValueError, match=said):
        search.add(images, LABELS)
    assert len(search.index) == 0
    search.add(BYTES, LABELS)
    with pytest.raises(ValueError, match=said):
        search.lookup(images[:1])
    with pytest.raises(ValueError, match=message.format(name="whiten")):
        models.fast_resnet(widths=(4, 4), whiten=images)
    before = model.get_weights()
    for loss in (TripletLoss(), NormalizedSoftmaxLoss()):
        batches = BalancedBatches(images, LABELS, classes_per_batch=3, examples_per_class=2)
        with pytest.raises(ValueError, match=said):
            fit(model, batches, loss=loss)
    with pytest.raises(ValueError, match=said):
        fit(MetricModel(model, TripletLoss()), batches)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_augmentation_that_rescales_is_noticed_and_a_tf_data_stream_is(model):
    scaled = BalancedBatches(
        BYTES, LABELS, classes_per_batch=3, examples_per_class=2, augment=lambda images, rng: images / 255.0
    )
    with pytest.raises(ValueError, match="got float64 of 0 to 1"):
        fit(model, scaled)
    tf = pytest.importorskip("tensorflow")
    stream = tf.data.Dataset.from_tensor_slices((ZERO_TO_ONE, LABELS)).batch(6)
    with pytest.raises(ValueError, match="got float32 of 0 to 1"):
        fit(model, stream)


@pytest.mark.parametrize(
    "images",
    [
        BYTES.astype("float32"),
        np.zeros((3, 32, 32, 3), "float32"),
        np.ones((3, 32, 32, 3), np.uint8),
        BYTES.astype("float32") / 127.5,
        (BYTES.astype("float32") - 120) / 60,
        ZERO_TO_ONE * 1.1,
    ],
    ids=["bytes as floats", "black", "dark bytes", "0 to 2", "standardized", "a little above 1"],
)
def test_other_images_are_taken(model, images):
    assert models.embed(model, images[:3], progress=False).shape == (3, 8)


def test_models_of_another_or_an_unknown_range_take_what_they_are_given():
    for any_model in of_other_or_unknown_range():
        assert len(models.embed(any_model, ZERO_TO_ONE[:2])) == 2
    assert len(models.embed(lambda batch: batch.reshape(len(batch), -1), ZERO_TO_ONE)) == 24


def test_the_augmenters_of_tfsim_have_the_same_rule():
    augmenter = tfsim.augmenters.SimCLRAugmenter(32, 32)
    with pytest.raises(ValueError, match=r"got float32 of 0 to 1, .* pass images \* 255"):
        augmenter.augment(ZERO_TO_ONE)
    assert (augmenter.augment(np.zeros((2, 32, 32, 3), "float32"))[0] == 0).all()
