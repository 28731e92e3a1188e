import importlib.util
import socket
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from simnb.models import backbone, chain, embed, set_trainable
from simnb.models._features import pool
from simnb.models._hub import layers_of, of_backbone, of_preset
from simnb.models._pixels import expects_bytes
from simnb.training import fit_head

keras_hub = pytest.importorskip("keras_hub", reason='presets need KerasHub: pip install "simnb[hub]"')
hub, converters = keras_hub.models, keras_hub.layers
to_numpy = keras.ops.convert_to_numpy

TRANSFORMER = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2}
DEEP = {**TRANSFORMER, "intermediate_dim": 24}
WANTS = {"image_size": (16, 16), "scale": [0.011, 0.012, 0.013], "offset": [-1.5, -1.4, -1.3]}


def two_towers(backbone_class, vision, text, **options):
    words = {"vocabulary_size": 9, "embedding_dim": 16, "max_sequence_length": 5}
    return backbone_class(
        vision_encoder=vision(patch_size=8, image_shape=(16, 16, 3), **DEEP),
        text_encoder=text(**words, **DEEP),
        **options,
    )


def clip():
    return two_towers(hub.CLIPBackbone, hub.CLIPVisionEncoder, hub.CLIPTextEncoder, projection_dim=12)


def siglip():
    return two_towers(hub.SigLIPBackbone, hub.SigLIPVisionEncoder, hub.SigLIPTextEncoder)


def dinov2():
    size = {"image_shape": (16, 16, 3), "position_embedding_shape": (24, 24, 3)}
    return hub.DINOV2Backbone(patch_size=8, num_register_tokens=3, **size, **DEEP)


def dinov3():
    return hub.DINOV3Backbone(patch_size=8, num_register_tokens=3, image_shape=(16, 16, 3), **DEEP)


def vit():
    return hub.ViTBackbone(patch_size=8, image_shape=(16, 16, 3), mlp_dim=24, **TRANSFORMER)


def deit():
    return hub.DeiTBackbone(patch_size=8, image_shape=(16, 16, 3), **DEEP)


def resnet():
    return hub.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )


def features(network, images):
    """What a network gives, which may want its images under a name."""
    named = isinstance(network.input, dict)
    return network({name: images for name in network.input} if named else images)


def average(maps):
    return keras.ops.mean(maps, axis=(1, 2))


# The converter of each, what its paper takes as the feature of an image, and how many tokens are of no patch.
FAMILIES = {
    dinov2: (converters.DINOV2ImageConverter, lambda net, x: features(net, x)[:, 0], 4),
    dinov3: (converters.DINOV3ImageConverter, lambda net, x: features(net, x)[:, 0], 4),
    deit: (converters.DeiTImageConverter, lambda net, x: features(net, x)[:, 0], 2),
    clip: (converters.CLIPImageConverter, lambda net, x: net.get_vision_embeddings(x), 0),
    siglip: (converters.SigLIPImageConverter, lambda net, x: net.get_vision_embeddings(x), 0),
    resnet: (
        converters.ResNetImageConverter,
        lambda net, x: keras.ops.mean(features(net, x), axis=(1, 2)),
        0,
    ),
}


def randomized(network):
    """The network with all weights drawn: those that start at 0 or 1 would hide what reads them."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if "seed" not in weight.path:
            weight.assign(rng.normal(1.0 if "variance" in weight.path else 0.0, 0.2, weight.shape) ** 2 + 0.1)
    return network


def save(folder, build, converter=None, **options):
    network = randomized(build())
    network.save_to_preset(str(folder))
    if converter is not None:
        converter(**{**WANTS, **options}).save_to_preset(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """The folder of a small random preset of each family."""
    made = {}

    def folder_of(build):
        if build not in made:
            made[build] = save(tmp_path_factory.mktemp(build.__name__), build, FAMILIES[build][0])
        return made[build]

    return folder_of


def pixels(height=21, width=33, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def unit(vectors):
    vectors = to_numpy(vectors).astype("float64")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def entering(model):
    return keras.Model(model.input, model.get_layer("backbone").input)


@pytest.mark.parametrize("build", FAMILIES)
def test_a_preset_embeds_as_kerashubs_own_converter_and_network_do(build, presets):
    folder, (_, feature, extra_tokens) = presets(build), FAMILIES[build]
    converter, network = converters.ImageConverter.from_preset(folder), hub.Backbone.from_preset(folder)
    assert of_backbone(network).extra_tokens == extra_tokens
    wanted = unit(feature(network, converter(pixels().astype("float32"))))
    model = backbone(folder)
    embeddings = embed(model, pixels())
    np.testing.assert_allclose(embeddings, wanted, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(model.predict_on_batch(pixels()), axis=1), 1, atol=1e-5)
    assert len(np.unique(np.round(embeddings, 3), axis=0)) == 3  # or any vector would do


@pytest.mark.parametrize("build", [dinov2, siglip])
def test_a_saved_embedder_of_a_preset_gives_the_same_embeddings_for_images_of_any_size(
    build, presets, tmp_path
):
    model = backbone(presets(build))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    for images in (pixels(), pixels(16, 16)):
        np.testing.assert_allclose(embed(loaded, images), embed(model, images), atol=1e-6)


CONVERTERS = {
    "crops": {"crop_to_aspect_ratio": True},
    "stretches": {"crop_to_aspect_ratio": False, "interpolation": "bicubic", "antialias": True},
    "pads": {"crop_to_aspect_ratio": False, "pad_to_aspect_ratio": True},
    "one number": {"scale": 1 / 127.5, "offset": -1.0},
    "scales alone": {"offset": None},
    "shifts alone": {"scale": None},
    "leaves as it is": {"scale": None, "offset": None},
}


@pytest.mark.parametrize("options", CONVERTERS.values(), ids=CONVERTERS)
def test_preprocessing_is_that_of_kerashubs_converter(options):
    converter = converters.ViTImageConverter(**{**WANTS, **options})
    for images in (pixels(), pixels(40, 9)):
        ours = images.astype("float32")
        for layer in layers_of(converter, converter.image_size):
            ours = layer(ours)
        theirs = to_numpy(converter(images.astype("float32")))
        np.testing.assert_allclose(to_numpy(ours), theirs, atol=1e-4)


def test_a_model_of_a_preset_takes_pixels_from_0_to_255(tmp_path):
    folder = save(tmp_path / "vit", vit, converters.ViTImageConverter)
    model = backbone(folder)
    assert of_backbone(hub.Backbone.from_preset(folder)).extra_tokens == 1
    assert expects_bytes(model)
    with pytest.raises(ValueError, match="images must have values of 0 to 255 here, got float64 of 0 to 1"):
        embed(model, pixels() / 255)
    theirs = converters.ImageConverter.from_preset(folder)(pixels().astype("float32"))
    np.testing.assert_allclose(entering(model).predict_on_batch(pixels()), to_numpy(theirs), atol=1e-4)


def test_without_an_image_size_images_have_that_of_the_network(tmp_path):
    folder = save(tmp_path / "vit", vit, converters.ViTImageConverter, image_size=None)
    model = backbone(folder)
    assert model.input_shape == (None, 16, 16, 3)
    theirs = converters.ImageConverter.from_preset(folder)(pixels(16, 16).astype("float32"))
    np.testing.assert_allclose(entering(model).predict_on_batch(pixels(16, 16)), to_numpy(theirs), atol=1e-4)


def test_the_patches_are_pooled_without_class_token_and_registers(presets):
    source = of_preset(presets(dinov2), input_shape=None, preprocess=True)
    tokens = np.random.default_rng(0).random((3, 1 + 3 + 4, 16)).astype("float32")
    assert source.network.output.shape[1:] == tokens.shape[1:]
    patches = tokens[:, 4:].astype("float64")
    wanted = {
        None: tokens[:, 0],
        "class_token": tokens[:, 0],
        "average": patches.mean(1),
        "max": patches.max(1),
        "gem": (patches**3).mean(1) ** (1 / 3),
    }
    for pooling, vectors in wanted.items():
        np.testing.assert_allclose(to_numpy(pool(tokens, source, pooling)), vectors, rtol=1e-4)


def test_a_smaller_input_shape_is_what_images_are_resized_to(presets):
    folder = presets(dinov2)
    model = backbone(folder, input_shape=(8, 8, 3))
    converter = converters.ImageConverter.from_preset(folder)
    converter.image_size = (8, 8)
    network = hub.Backbone.from_preset(folder, image_shape=(8, 8, 3))
    wanted = unit(features(network, converter(pixels().astype("float32")))[:, 0])
    np.testing.assert_allclose(embed(model, pixels()), wanted, atol=1e-4)
    with pytest.raises(ValueError, match=r"clip.*' cannot be used: input_shape must be None, its network"):
        backbone(presets(clip), input_shape=(8, 8, 3))


def test_a_head_is_trained_over_a_frozen_preset_until_its_layers_are_freed(presets):
    bare, model = backbone(presets(clip)), backbone(presets(clip), embedding_size=5, seed=1)
    assert (bare.output_shape, model.output_shape) == ((None, 12), (None, 5))
    assert (len(bare.trainable_weights), len(model.trainable_weights)) == (0, 2)
    set_trainable(model, 1)  # the projection
    assert {w.path.split("/")[0] for w in model.trainable_weights} == {"vision_projection", "embedding"}
    assert not any("text" in weight.path for weight in model.weights)


@pytest.mark.parametrize(("trainable", "count"), [("head", 2), (1, 4)])
def test_what_is_frozen_in_a_preset_is_so_once_it_is_loaded(trainable, count, presets, tmp_path):
    model = backbone(presets(dinov2), embedding_size=5, trainable=trainable)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert len(model.trainable_weights) == len(loaded.trainable_weights) == count
    set_trainable(loaded, 2)  # the encoder and what norms its output
    assert len(loaded.trainable_weights) > count
    set_trainable(loaded, trainable)
    assert len(loaded.trainable_weights) == count


def test_a_preset_and_a_head_trained_on_its_features_are_one_embedder_that_saves_and_loads(presets, tmp_path):
    network, images, labels = backbone(presets(clip)), pixels(count=12), np.arange(12) % 3
    features = embed(network, images)
    head = fit_head(features, labels, embedding_size=4, steps=3, progress=False)
    whole = chain(network, head)
    np.testing.assert_allclose(embed(whole, images), unit(head(features)), atol=1e-3)
    whole.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(embed(loaded, images), embed(whole, images), atol=1e-6)
    with pytest.raises(ValueError, match=r"it takes \(None, 12\), and the embedder gives \(None, 16\)"):
        chain(backbone(presets(siglip)), head)


def test_features_in_a_file_are_of_one_preset(presets, tmp_path):
    file = tmp_path / "features.sqlite"
    features = embed(backbone(presets(clip)), pixels(), kept=file)
    again = embed(backbone(presets(clip)), pixels(), kept=file)  # the same weights, loaded once more
    np.testing.assert_array_equal(again, features)
    with pytest.raises(ValueError, match="it holds embeddings by another embedder"):
        embed(backbone(presets(siglip)), pixels(), kept=file)


def test_a_backbone_of_kerashub_needs_a_preset_to_know_its_pixels(presets):
    network = hub.Backbone.from_preset(presets(dinov2))
    with pytest.raises(ValueError, match=r"is a backbone of KerasHub, .*: pass its preset, by name"):
        backbone(network)
    ready = np.random.default_rng(0).normal(size=(3, 16, 16, 3)).astype("float32")
    wanted = unit(features(network, ready)[:, 0])
    for source in (network, presets(dinov2)):
        np.testing.assert_allclose(embed(backbone(source, preprocess=False), ready), wanted, atol=1e-5)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def fail(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("preset", "remedy"),
    [
        ("dinov2_small", r"kagglehub.model_download\('keras/dinov2/keras/dinov2_small/\d+'\)"),
        ("kaggle://keras/vit/keras/none/1", r"kagglehub.model_download\('keras/vit/keras/none/1'\)"),
        ("hf://keras/not_there", r"huggingface_hub.snapshot_download\('keras/not_there'\)"),
    ],
)
def test_a_preset_that_cannot_be_downloaded_says_so_within_seconds(preset, remedy, no_network):
    start = time.monotonic()
    message = rf"{preset}' could not be downloaded \(.*\); run {remedy} where there is a network, and"
    with pytest.raises(OSError, match=message):
        backbone(preset)
    assert time.monotonic() - start < 10


def test_a_damaged_copy_on_the_disk_is_not_said_to_be_undownloadable(no_network, tmp_path):
    from kagglehub import cache, handle

    known = handle.parse_model_handle("keras/vit/keras/none/1")
    folder = Path(cache.get_cached_path(known))
    save(folder, vit, converters.ViTImageConverter)
    for file in folder.iterdir():
        cache.Cache().mark_as_complete(known, file.name)
    assert backbone("kaggle://keras/vit/keras/none/1").output_shape == (None, 16)
    (folder / "model.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"none/1' cannot be used: "):
        backbone("kaggle://keras/vit/keras/none/1")


def test_the_home_folder_is_known_as_in_a_shell(tmp_path, monkeypatch):
    save(tmp_path / "vit", vit, converters.ViTImageConverter)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert backbone("~/vit").output_shape == backbone(Path("~/vit")).output_shape == (None, 16)


def test_folders_that_are_no_preset_of_images_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no config.json"):
        backbone(tmp_path)
    save(tmp_path / "bare", vit)
    with pytest.raises(ValueError, match=r"bare' cannot be used: it does not say .* image_converter.json"):
        backbone(tmp_path / "bare")
    words = {"vocabulary_size": 9, "max_sequence_length": 5}
    save(tmp_path / "words", lambda: hub.BertBackbone(**words, **DEEP))
    with pytest.raises(ValueError, match=r"words' cannot be used: .* ImageConverter .* with BertBackbone"):
        backbone(tmp_path / "words")
    with pytest.raises(ValueError, match=r"must be a network from images to features, it is a BertB"):
        backbone(tmp_path / "words", preprocess=False)
    save(tmp_path / "damaged", vit, converters.ViTImageConverter)
    (tmp_path / "damaged" / "model.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"damaged' cannot be used: "):
        backbone(tmp_path / "damaged")


def test_bad_options_are_named(presets):
    with pytest.raises(ValueError, match=r"got 'dinov2_smal'; did you mean dinov2_small"):
        backbone("dinov2_smal")
    with pytest.raises(ValueError, match=r"got 'efficientnet_b0'; did you mean EfficientNetB0"):
        backbone("efficientnet_b0")
    with pytest.raises(
        ValueError, match=r"weights must be None for .*clip.*', which has its own, got 'image"
    ):
        backbone(presets(clip), weights="imagenet")
    with pytest.raises(
        ValueError, match=r"pooling must be None for clip_backbone\w*, which gives one vector"
    ):
        backbone(presets(clip), pooling="average")
    with pytest.raises(
        ValueError, match=r"must not be 'class_token' for res_net_backbone\w*, which has no such"
    ):
        backbone(presets(resnet), pooling="class_token")
    with pytest.raises(ValueError, match=r"deit.*' cannot be used: .*divisible by patch size"):
        backbone(presets(deit), input_shape=(20, 20, 3))


@pytest.mark.parametrize("name", ["dinov2_small", "hf://keras/dinov2_small"])
def test_where_kerashub_is_missing_the_extra_is_named(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'small\' as .* needs KerasHub: pip install "simnb\[hub\]"'):
        backbone(name)
    with pytest.raises(ValueError, match="got 'Resnet'; did you mean ResNet"):
        backbone("Resnet")
