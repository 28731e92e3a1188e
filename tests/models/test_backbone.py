import random
from pathlib import Path

import keras
import numpy as np
import pytest

from simnb.layers import MetricEmbedding
from simnb.losses import TripletLoss
from simnb.models import backbone, embed, set_trainable
from simnb.models._applications import FAMILIES, find, preprocessing
from simnb.models.backbone import Backbone

to_numpy = keras.ops.convert_to_numpy

SHAPE = (32, 32, 3)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def small(name="MobileNetV3Small", **options):
    return backbone(name, **{"input_shape": SHAPE, "embedding_size": 5, "pooling": "average", **options})


def network_of(model):
    return model.get_layer("backbone").network


def pixels(count=3, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def entering(model):
    """The part of the model before the network."""
    return keras.Model(model.input, model.get_layer("backbone").input)


def trained_parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.fixture(scope="module")
def mobile():
    return small()


def test_every_network_of_keras_applications_has_its_family():
    names = [name for name in dir(keras.applications) if name[0].isupper()]
    assert len(names) >= 40
    for name in names:
        module = getattr(keras.applications, name).__module__.rpartition(".")[2]
        assert find(name) == find(name.upper()) == (name, module)
    assert {find(name)[1] for name in names} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_preprocessing_is_the_familys_own(family):
    ours = images = pixels().astype("float32")
    for layer in preprocessing(family):
        ours = layer(ours)
    theirs = getattr(keras.applications, family).preprocess_input(images.copy())
    np.testing.assert_allclose(to_numpy(ours), theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "family"),
    [("MobileNet", "mobilenet"), ("DenseNet121", "densenet"), ("VGG16", "vgg16")],
)
def test_preprocessing_stands_before_the_network_and_survives_saving(name, family, tmp_path):
    before, images = entering(small(name)), pixels()
    theirs = getattr(keras.applications, family).preprocess_input(images.astype("float32"))
    np.testing.assert_allclose(before.predict_on_batch(images), theirs, atol=1e-4)
    before.save(tmp_path / "before.keras")
    loaded = keras.models.load_model(tmp_path / "before.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(images), theirs, atol=1e-4)


def test_images_that_are_preprocessed_already_are_left_alone():
    before = entering(small("VGG16", preprocess=False))
    np.testing.assert_array_equal(before.predict_on_batch(pixels()), pixels())


def test_a_network_that_preprocesses_inside_gets_the_pixels_as_they_are(mobile):
    np.testing.assert_array_equal(entering(mobile).predict_on_batch(pixels()), pixels())
    assert type(network_of(mobile).layers[1]).__name__ == "Rescaling"


def test_a_saved_embedder_loads_with_its_freezing_and_gives_the_same_embeddings(mobile, tmp_path):
    set_trainable(mobile, 2)
    mobile.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    wanted = embed(mobile, pixels())
    assert (wanted.shape, wanted.dtype) == ((3, 5), np.float32)
    np.testing.assert_allclose(embed(loaded, pixels().astype("float32")), wanted, atol=1e-5)
    flags = [[layer.trainable for layer in network_of(model).layers[1:]] for model in (mobile, loaded)]
    assert flags[0] == flags[1]
    assert trained_parameters(loaded) == trained_parameters(mobile)


def test_the_same_seed_gives_the_same_weights_and_touches_no_global_generator(mobile):
    state = random.getstate()
    same, other = small(), small(seed=1)
    assert random.getstate() == state
    for ours, theirs in zip(mobile.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(network_of(other).get_weights()[0], network_of(mobile).get_weights()[0])
    assert not np.array_equal(other.get_weights()[-2], mobile.get_weights()[-2])


def test_pooling_is_the_one_asked_for():
    features = np.random.default_rng(0).random((2, 3, 4, 512)).astype("float32") + 0.1
    pool = {name: small("VGG16", pooling=name).get_layer("pooling") for name in ("gem", "average", "max")}
    np.testing.assert_allclose(to_numpy(pool["average"](features)), features.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(to_numpy(pool["max"](features)), features.max((1, 2)), rtol=1e-5)
    gem = (features.astype("float64") ** 3).mean((1, 2)) ** (1 / 3)
    np.testing.assert_allclose(to_numpy(pool["gem"](features)), gem, rtol=1e-4)
    assert len(pool["gem"].trainable_weights) == 1


def test_what_trains_is_counted_in_parameters(mobile):
    head = 576 * 5 + 5
    layers = network_of(mobile).layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    set_trainable(mobile, "head")
    assert trained_parameters(mobile) == head
    set_trainable(mobile, 1)  # conv_1: 1 x 1, 96 channels to 576
    assert trained_parameters(mobile) == head + 96 * 576
    set_trainable(mobile, 2)  # expanded_conv_10_project: 1 x 1, 576 channels to 96
    assert trained_parameters(mobile) == head + 96 * 576 + 576 * 96
    set_trainable(mobile, "expanded_conv_10_project")
    assert trained_parameters(mobile) == head + 96 * 576 + 576 * 96
    set_trainable(mobile, "all")
    assert trained_parameters(mobile) == mobile.count_params() - sum(
        2 * norm.gamma.shape[0] for norm in norms
    )
    set_trainable(mobile, layers[1].name)  # every layer, but no batch normalization
    assert trained_parameters(mobile) == mobile.count_params() - sum(
        4 * norm.gamma.shape[0] for norm in norms
    )


def test_everything_trains_over_random_weights_and_the_head_over_others(mobile, tmp_path):
    network_of(mobile).save_weights(tmp_path / "mobile.weights.h5")
    loaded = small(weights=tmp_path / "mobile.weights.h5", seed=1)
    for ours, theirs in zip(network_of(mobile).get_weights(), network_of(loaded).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert trained_parameters(loaded) == 576 * 5 + 5
    assert all(layer.trainable for layer in network_of(small("VGG16")).layers)


def tiny():
    """Two stages of convolution and batch normalization, with dropout between."""
    layers = keras.layers
    inputs = x = keras.Input((4, 4, 3))
    for stage in ("one", "two"):
        x = layers.Conv2D(4, 1, name=f"{stage}_conv")(x)
        x = layers.BatchNormalization(name=f"{stage}_norm", momentum=0.5)(x)
        x = layers.Dropout(0.5, name=f"{stage}_drop")(x)
    network = keras.Model(inputs, x, name="tiny")
    inputs = keras.Input((4, 4, 3))
    x = layers.Flatten()(Backbone(network, name="backbone")(inputs))
    return keras.Model(inputs, MetricEmbedding(3, name="embedding")(x))


@pytest.mark.parametrize(
    ("trainable", "changing"),
    [
        ("head", {"dense"}),
        (1, {"dense", "two_conv"}),
        ("one", {"dense", "one_conv", "two_conv"}),
        ("all", {"dense", "one_conv", "two_conv", "one_norm", "two_norm"}),
    ],
)
def test_a_training_step_changes_neither_weights_nor_statistics_of_frozen_layers(trainable, changing):
    model, rng = tiny(), np.random.default_rng(0)
    set_trainable(model, trainable)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=TripletLoss(margin=1.0), run_eagerly=True)
    before = {w.path: to_numpy(w) for w in model.weights}
    model.train_on_batch(rng.normal(size=(8, 4, 4, 3)), np.repeat(np.arange(4), 2))
    changed = {w.path for w in model.weights if not np.array_equal(to_numpy(w), before[w.path])}
    assert {path.split("/")[-2] for path in changed} == changing
    statistics = {path.split("/")[-1] for path in changed if "norm" in path}
    assert statistics == (
        {"gamma", "beta", "moving_mean", "moving_variance"} if trainable == "all" else set()
    )


def test_a_frozen_network_drops_nothing_and_a_trained_one_does():
    model, images = tiny(), np.random.default_rng(0).normal(size=(8, 4, 4, 3))
    set_trainable(model, "head")
    wanted = keras.ops.convert_to_numpy(model(images, training=False))
    np.testing.assert_array_equal(to_numpy(model(images, training=True)), wanted)
    set_trainable(model, 1)
    assert not np.allclose(to_numpy(model(images, training=True)), wanted, atol=0.01)


def test_downloaded_weights_that_cannot_be_had_are_named(monkeypatch):
    def fail(*args, **options):
        raise Exception("URL fetch failure on https://example.org/vgg16_notop.h5: None -- no route")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    with pytest.raises(
        OSError, match=r"of VGG16 could not be downloaded \(URL .*notop.*pass weights=its path"
    ):
        small("vgg16", weights="imagenet")


def test_files_that_do_not_fit_are_named(mobile, tmp_path):
    network_of(mobile).save_weights(tmp_path / "mobile.weights.h5")
    (tmp_path / "text.weights.h5").write_text("no weights")
    (tmp_path / "text.txt").write_text("no weights")
    for name in ("mobile.weights.h5", "text.weights.h5", "text.txt"):
        with pytest.raises(
            ValueError, match=rf"weights of VGG16 without its classifier .*/{name} does not fit:"
        ):
            small("VGG16", weights=tmp_path / name)
    with pytest.raises(ValueError, match=r"None, 'imagenet' or the path of a file, got 'image_net'"):
        small("VGG16", weights="image_net")


@pytest.mark.parametrize("in_file", [STD, STD**2])
def test_efficientnet_files_that_hold_the_deviation_as_variance_are_read_right(
    in_file, tmp_path, monkeypatch
):
    def start_of_efficientnet(*, include_top, weights, input_shape):
        inputs = keras.Input(input_shape)
        x = keras.layers.Rescaling(1 / 255)(inputs)
        return keras.Model(inputs, keras.layers.Normalization(axis=3)(x))

    monkeypatch.setattr(keras.applications, "EfficientNetB0", start_of_efficientnet)
    published = start_of_efficientnet(include_top=False, weights=None, input_shape=SHAPE)
    published.layers[-1].set_weights([MEAN, in_file, np.array(0)])
    published.save_weights(tmp_path / "file.weights.h5")
    network = network_of(small("EfficientNetB0", weights=tmp_path / "file.weights.h5"))
    np.testing.assert_allclose(to_numpy(network(pixels())), (pixels() / 255 - MEAN) / STD, atol=1e-4)


def test_mixed_precision_preprocesses_and_embeds_in_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small("VGG16", pooling="gem")
    finally:
        keras.config.set_dtype_policy(policy)
    assert network_of(model).output.dtype == "bfloat16"
    assert (model.get_layer("pooling").output.dtype, model.output.dtype) == ("float32", "float32")
    theirs = keras.applications.vgg16.preprocess_input(pixels().astype("float32"))
    np.testing.assert_allclose(entering(model).predict_on_batch(pixels()), theirs, atol=1e-4)


def own(features, name="own"):
    """A model of somebody's own that ends with the layers of ``features``."""
    x = keras.layers.Conv2D(5, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))
    return keras.Sequential(
        [keras.Input((8, 6, 1)), keras.layers.Rescaling(1 / 255), x, *features], name=name
    )


@pytest.mark.parametrize(
    ("features", "pooling"),
    [([], None), ([], "max"), ([keras.layers.Reshape((24, 5))], None), ([keras.layers.Flatten()], None)],
    ids=["map", "map, max", "tokens", "vectors"],
)
def test_a_model_of_ones_own_is_pooled_and_ends_in_unit_vectors(features, pooling, tmp_path):
    network, images = own(features), pixels(shape=(8, 6, 1))
    model = backbone(network, pooling=pooling)
    wanted = to_numpy(network(images)).astype("float64")
    wanted = wanted.reshape(3, *((-1, 5) if not features or wanted.ndim == 3 else (1, -1)))
    wanted = wanted.max(1) if pooling else wanted.mean(1)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_on_batch(images), wanted, atol=1e-5)
    assert network_of(model) is network
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(embed(loaded, images), wanted, atol=1e-5)


def test_a_model_of_ones_own_is_frozen_under_a_head_until_it_is_set_free():
    model = backbone(own([]), embedding_size=3, pooling="gem")
    assert (model.output_shape, trained_parameters(model)) == ((None, 3), 1 + 5 * 3 + 3)
    set_trainable(model, "all")
    assert trained_parameters(model) == 1 + 5 * 3 + 3 + 9 * 5 + 5


def test_a_model_that_cannot_be_a_backbone_is_named():
    vectors = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="of_vectors")
    with pytest.raises(ValueError, match=r"must be a built model .* 'of_vectors': .* to \[\(None, 2\)\]"):
        backbone(vectors)
    with pytest.raises(ValueError, match=r"got the model 'unbuilt': \[\] to \[\]"):
        backbone(keras.Sequential([keras.layers.Flatten()], name="unbuilt"))
    with pytest.raises(ValueError, match=r"input_shape must be None for the model 'own', which has its own"):
        backbone(own([]), input_shape=SHAPE)
    with pytest.raises(ValueError, match=r"weights must be None for the model 'own', which has its own, got"):
        backbone(own([]), weights="imagenet")
    with pytest.raises(ValueError, match=r"pooling must be None for own, which gives one vector per image"):
        backbone(own([keras.layers.Flatten()]), pooling="average")
    with pytest.raises(ValueError, match=r"pooling must not be 'class_token' for own, which has no such"):
        backbone(own([]), pooling="class_token")


def test_a_network_is_meant_by_its_name_also_where_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mobilenetv3small").mkdir()
    assert small("mobilenetv3small").name == "MobileNetV3Small_embedder"


def test_bad_input_is_named(mobile):
    with pytest.raises(ValueError, match=r"got 'EfficentNet-B0'; did you mean EfficientNetB0 or"):
        small("EfficentNet-B0")
    with pytest.raises(
        ValueError, match=r"name must be a network of keras.applications, got 'x'; it has Conv"
    ):
        small("x")
    with pytest.raises(ValueError, match=r"got a Module; simnb.models.from_torch takes modules of PyTorch$"):
        small(type("Module", (), {"__repr__": lambda self: 1000 * "layer "})())
    for path in ("weights/dinov2", Path("ResNet50"), "~/dinov2"):
        with pytest.raises(
            ValueError, match=rf"there is no folder '.*{Path(path).name}'; .* begin with hf://"
        ):
            small(path)
    with pytest.raises(ValueError, match=r"got 'vit_small.dino'; .* from_torch\(timm.create_model\('vit_sm"):
        small("vit_small.dino")
    with pytest.raises(ValueError, match=r"must be \(height, width, 3\), got \(32, 32, 1\); np.repeat"):
        small(input_shape=(32, 32, 1))
    with pytest.raises(ValueError, match=r"input_shape must be \(height, width, 3\), got 32"):
        small(input_shape=32)
    with pytest.raises(ValueError, match="height of input_shape must be an integer of at least 1, got None"):
        small(input_shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"must be at least 32x32.*\(16, 16, 3\)"):
        small("VGG16", input_shape=(16, 16, 3))
    with pytest.raises(ValueError, match="pooling must be one of average, class_token, gem, max; got 'avg'"):
        small(pooling="avg")
    with pytest.raises(ValueError, match="embedding_size must be an integer of at least 0, got -1"):
        small(embedding_size=-1)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        small(seed=-1)
    with pytest.raises(
        ValueError, match=r"'head', a number or the beginning of a layer's name .* got 'conv5'"
    ):
        set_trainable(mobile, "conv5")
    for wrong in (True, 0, 1.5, None):
        with pytest.raises(ValueError, match=rf"must be an integer of at least 1, got {wrong}"):
            set_trainable(mobile, wrong)
    with pytest.raises(ValueError, match=r"trainable must be at most \d+, the number of layers .* got 1000"):
        set_trainable(mobile, 1000)
    with pytest.raises(
        ValueError, match=r"model must be one that simnb.models.backbone has made, got 'plain'"
    ):
        set_trainable(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain"), "all")
