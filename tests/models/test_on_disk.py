import importlib.util
import socket
import sys

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from simnb.models import backbone, best_on_disk, embed, on_disk

FILES = ("config.json", "image_converter.json", "model.weights.h5")


@pytest.fixture(autouse=True)
def disk(monkeypatch, tmp_path):
    """A disk without weights, on a machine without network."""

    def fail(*args, **options):
        raise AssertionError("a name was looked up in the network")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    if importlib.util.find_spec("huggingface_hub"):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """What is asked for, which is not built; KerasHub counts as installed."""
    monkeypatch.setitem(sys.modules, "keras_hub", importlib.util)  # any module that there is
    monkeypatch.setattr(on_disk, "backbone", lambda name, **options: (str(name), options))
    monkeypatch.setattr(on_disk, "pretrained", lambda name: (name, {}))
    return lambda: best_on_disk()[0]


def kaggle(disk, name, version="1", family="dinov2", marked=FILES):
    """The folder of a preset as Kaggle's client leaves it, of which the files ``marked`` are whole."""
    folder = disk / "kaggle/models/keras" / family / "keras" / name / version
    folder.mkdir(parents=True)
    for file in marked:
        mark = folder.parent / ".complete" / version / f"{file}.complete"
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return folder


def of_keras(disk, file):
    path = disk / "keras/models" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def pixels(height, width, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_with_nothing_on_the_disk_it_is_the_network_that_ships():
    embedder, what = best_on_disk()
    assert embedder.input_shape == (None, 32, 32, 3)
    assert what.startswith('"cifar10", the small network that ships with simnb, for images of 32 x 32; a bet')
    assert 'pip install "simnb[hub]" and models.backbone("dinov2_small"), once with a network' in what
    assert "\n" not in what


def test_weights_that_keras_downloaded_are_used_by_the_average_of_their_features(disk):
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(224, 224, 3))
    path = of_keras(disk, "efficientnetb0_notop.h5")
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    embedder, what = best_on_disk()
    features = keras.ops.convert_to_numpy(network(pixels(224, 224), training=False)).mean((1, 2))
    wanted = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(embedder, pixels(224, 224)), wanted, atol=1e-4)
    assert what.startswith("EfficientNetB0, trained on ImageNet, from this disk; a better one: pip install")


def test_the_best_network_comes_first_and_a_preset_before_all(disk, asked):
    of_keras(disk, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5")
    path = of_keras(disk, "efficientnetv2-b0_notop.h5")
    options = {"weights": path, "embedding_size": 0, "pooling": "average"}
    assert asked() == ("EfficientNetV2B0", options)
    clip = kaggle(disk, "clip_vit_base_patch16", "3", family="clip")
    assert asked() == (str(clip), {"input_shape": None})
    dino = kaggle(disk, "dinov2_small")
    assert asked() == (str(dino), {"input_shape": (224, 224, 3)})
    assert best_on_disk()[1] == "the preset dinov2_small of KerasHub, from this disk"


def test_without_kerashub_its_presets_do_not_count(disk, asked, monkeypatch):
    kaggle(disk, "dinov2_small")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert asked()[0] == "cifar10"


def test_a_preset_of_kaggle_counts_once_all_of_it_was_downloaded(disk, asked):
    folder = kaggle(disk, "dinov2_small", marked=FILES[:2])
    (folder / FILES[2]).write_bytes(b"half of it")
    assert asked()[0] == "cifar10"
    folder.with_name("1.complete").touch()  # all files, not each
    assert asked()[0] == str(folder)
    newest = [kaggle(disk, "dinov2_small", version) for version in ("9", "10")][1]
    kaggle(disk, "dinov2_small", "11", marked=())
    kaggle(disk, "dinov2_small", "no_version")
    assert asked()[0] == str(newest)


def test_a_preset_of_hugging_face_counts_once_all_of_it_was_downloaded(disk, asked):
    pytest.importorskip("huggingface_hub", reason="KerasHub brings it")
    repository = disk / "hf/models--keras--dinov2_small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0a1b")
    folder = repository / "snapshots/0a1b"
    folder.mkdir(parents=True)
    for file in FILES:
        assert asked()[0] == "cifar10"
        (folder / file).touch()
    assert asked()[0] == str(folder)


def test_a_preset_on_the_disk_embeds_images_of_any_size(disk):
    hub = pytest.importorskip("keras_hub", reason='presets need KerasHub: pip install "simnb[hub]"')
    folder = kaggle(disk, "dinov2_small")
    size = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 24}
    shapes = {"image_shape": (28, 28, 3), "position_embedding_shape": (28, 28, 3)}
    hub.models.DINOV2Backbone(patch_size=14, **shapes, **size).save_to_preset(str(folder))
    wants = {"image_size": (28, 28), "scale": 0.01, "offset": -1.0}
    hub.layers.DINOV2ImageConverter(**wants).save_to_preset(str(folder))
    embedder, _ = best_on_disk()
    wanted = embed(backbone(folder, input_shape=(224, 224, 3)), pixels(30, 50))
    np.testing.assert_allclose(embed(embedder, pixels(30, 50)), wanted, atol=1e-6)
    assert set(on_disk._PRESETS) <= set(hub.models.Backbone.presets)
    for name in on_disk._PRESETS:  # where Kaggle's client puts it
        handle = hub.models.Backbone.presets[name]["kaggle_handle"].removeprefix("kaggle://")
        assert (disk / "kaggle/models" / handle).match(f"kaggle/models/keras/*/keras/{name}/*")


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetV2B0", "EfficientNetB0", "ResNet50"])
def test_weights_are_looked_for_under_the_name_that_keras_gives_them(name, monkeypatch):
    class Asked(Exception):
        pass

    def get_file(file, *args, **options):
        raise Asked(file, options["cache_subdir"])

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", get_file)
    with pytest.raises(Asked) as error:
        getattr(keras.applications, name)(include_top=False, input_shape=(64, 64, 3))
    assert error.value.args == (f"{on_disk._NETWORKS[name]}_notop.h5", "models")
