"""What a folder gives back, and which folders are written."""

import hashlib
import os

import numpy as np
import pytest

from simnb.data import from_arrays
from simnb.index import open_index
from simnb.models import backbone, from_torch
from simnb.search import SimilaritySearch

from .conftest import (
    CALIBRATION,
    PARTS,
    QUERY,
    check_same,
    contents,
    examples,
    flat,
    manifest_of,
    put,
    searched,
    version_of,
)

# What comes back


def test_what_comes_back_is_what_was_saved(tmp_path):
    search = searched(distance="euclidean")
    search.save(tmp_path / "search", model=False)
    loaded = SimilaritySearch.load(tmp_path / "search", model=flat)
    check_same(search, loaded)
    assert loaded.index.distance == "euclidean"
    assert repr(loaded) == repr(search)


def test_the_manifest_says_what_is_there(saved):
    manifest = manifest_of(saved)
    assert (manifest["format"], manifest["simnb"]) == (1, "0.1.0")
    assert (manifest["rows"], manifest["dim"], manifest["distance"]) == (4, 2, "cosine")
    assert sorted(manifest["files"]) == PARTS
    for name, part in manifest["files"].items():
        data = (version_of(saved) / name).read_bytes()
        assert part == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert sorted(os.listdir(saved)) == [".lock", "manifest.json", manifest["version"]]


def test_examples_and_class_names_are_still_known(tmp_path):
    search = searched()
    search.add(QUERY.images, QUERY.labels)  # ids 4 to 6 of no Examples
    search.save(tmp_path / "search", model=False)
    loaded = SimilaritySearch.load(tmp_path / "search", model=flat)
    with pytest.raises(ValueError, match="calibration images must not be indexed, but 4 of 7 are"):
        loaded.calibrate(examples([2, 12, 88, 104, 1, 2, 3], [0, 0, 1, 1, 0, 0, 0]))
    other = from_arrays(QUERY.images, QUERY.labels, class_names=["b", "c", "d"], ids=[50, 51, 52])
    with pytest.raises(
        ValueError, match="must have the same class names, got 'b', 'c', 'd' and 'a', 'b', 'ç'"
    ):
        loaded.add(other)


def test_names_metadata_and_removed_ids_come_back(tmp_path):
    index = open_index()
    index.add(
        np.eye(3), ["cat", None, "dog"], [{"year": 2019, "raw": b"\0x"}, None, {"new": True}], ids=[5, 2, 9]
    )
    index.remove([9])
    SimilaritySearch(flat, index=index).save(tmp_path / "search", model=False)
    loaded = SimilaritySearch.load(tmp_path / "search", model=flat)
    rows = loaded.index.get()
    assert rows.ids.tolist() == [5, 2]
    assert rows.names.tolist() == ["cat", None]
    assert rows.metadata.tolist() == [{"year": 2019, "raw": b"\0x"}, {}]
    assert loaded.index.class_names == ("cat", "dog")
    assert loaded.calibration is None
    assert loaded.index.add(np.eye(3)[:1]).tolist() == [10]  # 9 was given away once


def test_an_empty_search_comes_back_empty(tmp_path):
    SimilaritySearch(flat, distance="snr").save(tmp_path / "search", model=False)
    loaded = SimilaritySearch.load(tmp_path / "search", model=flat)
    assert (len(loaded.index), loaded.index.dim, loaded.index.distance) == (0, None, "snr")
    assert manifest_of(tmp_path / "search")["rows"] == 0


def test_rows_of_a_file_elsewhere_are_copied(tmp_path):
    with open_index(tmp_path / "live.sqlite", distance="euclidean") as index:
        search = searched(index=index)
        search.save(tmp_path / "search", model=False)
        index.remove([0])
        loaded = SimilaritySearch.load(tmp_path / "search", model=flat)
    assert loaded.index.ids.tolist() == [0, 1, 2, 3]
    assert type(loaded.index).__name__ == "MemoryIndex"


def test_rows_can_be_brought_into_a_file(saved, tmp_path):
    search = SimilaritySearch.load(saved, model=flat, uri=tmp_path / "live.sqlite")
    check_same(searched(), search)
    search.add(QUERY)
    search.index.close()
    with open_index(tmp_path / "live.sqlite") as index:
        assert len(index) == 7
    with pytest.raises(ValueError, match=r"uri must name a new index, but there is one at .*live.sqlite"):
        SimilaritySearch.load(saved, model=flat, uri=tmp_path / "live.sqlite")


def test_wrong_options_leave_no_file(saved, tmp_path):
    for options in ({"search": "fast"}, {"recall": 2}):
        with pytest.raises(ValueError, match=r"search must be one of exact, hnsw|recall must be a number"):
            SimilaritySearch.load(saved, model=flat, uri=tmp_path / "live.sqlite", **options)
    assert os.listdir(tmp_path) == []


def test_graph_search_can_be_asked_for(saved):
    pytest.importorskip("faiss")
    search = SimilaritySearch.load(saved, model=flat, search="hnsw", recall=0.9)
    assert search.index.recall.recall >= 0.9


def test_loading_and_using_it_leaves_the_folder_as_it_was(copy):
    before = contents(copy)
    search = SimilaritySearch.load(copy)
    search.add(QUERY)
    search.calibrate(CALIBRATION)
    assert contents(copy) == before
    search.save(copy)
    assert len(SimilaritySearch.load(copy).index) == 7
    assert sorted(os.listdir(copy)) == [".lock", "manifest.json", version_of(copy).name]


def test_the_probability_is_kept_and_a_folder_without_one_loads(tmp_path):
    search = searched()
    search.save(tmp_path / "without", model=False)
    assert SimilaritySearch.load(tmp_path / "without", model=flat).probability is None
    search.fit_probability(CALIBRATION)
    search.save(tmp_path / "with", model=False)
    loaded = SimilaritySearch.load(tmp_path / "with", model=flat)
    assert loaded.probability.to_json() == search.probability.to_json()


# Models


def _network(name):
    from simnb import models

    if name == "backbone":
        return models.backbone("MobileNet", input_shape=(32, 32, 3), weights=None)
    if name == "pretrained, mirrored":
        return models.pretrained("cifar10-8")
    model = models.fast_resnet(widths=(8, 8), embedding_size=8)
    model.compile("adam", loss=lambda labels, embeddings: embeddings[:, 0], run_eagerly=True)
    model.fit(np.ones((2, 32, 32, 3)), np.zeros(2), verbose=0)
    return model


@pytest.mark.parametrize("name", ["fast_resnet, trained", "pretrained, mirrored", "backbone"])
def test_a_network_comes_back(name, tmp_path):
    images = np.random.default_rng(3).integers(0, 255, (12, 32, 32, 3), dtype=np.uint8)
    photos = from_arrays(images, [i % 3 for i in range(12)], class_names=["a", "b", "c"])
    search = SimilaritySearch(_network(name))
    search.add(photos[:6])
    search.calibrate(photos[6:])
    search.save(tmp_path / "search")
    loaded = SimilaritySearch.load(tmp_path / "search")
    assert loaded.model is not search.model
    check_same(search, loaded, query=photos)


def test_a_plain_function_is_left_out_or_refused(tmp_path):
    search = searched()
    message = r"model must be a Keras model to be saved, got function; save\(path, model=False\) keeps all"
    with pytest.raises(ValueError, match=message):
        search.save(tmp_path / "search")
    assert not (tmp_path / "search").exists()
    search.save(tmp_path / "search", model=False)
    assert not list(tmp_path.rglob("*.keras"))
    with pytest.raises(
        ValueError, match=r"was saved without its model: pass the embedder, load\(path, model"
    ):
        SimilaritySearch.load(tmp_path / "search")
    assert SimilaritySearch.load(tmp_path / "search", model=flat).model is flat


def test_a_model_that_would_run_code_is_refused_when_it_is_saved_and_loaded(copy, tmp_path):
    import keras

    pixels = keras.Input((1, 1, 2))
    model = keras.Model(pixels, keras.layers.Lambda(lambda x: x[:, 0, 0])(pixels), name="lambda")
    before = contents(copy)
    with pytest.raises(
        ValueError, match=r"model 'lambda' could not be saved and loaded again .*arbitrary code"
    ):
        searched(model).save(copy)
    assert contents(copy) == before
    model.save(tmp_path / "lambda.keras")
    put(copy, "model.keras", (tmp_path / "lambda.keras").read_bytes())
    with pytest.raises(ValueError, match=r"model.keras of .* cannot be read: .*arbitrary code.*model=\.\.\."):
        SimilaritySearch.load(copy)
    assert SimilaritySearch.load(copy, model=flat).model is flat


# A closed index


@pytest.mark.parametrize("place", ["memory:", "live.sqlite"])
def test_every_verb_of_a_closed_index_says_so_and_a_saved_search_stays(copy, place, tmp_path):
    search = searched(index=open_index(place if place == "memory:" else tmp_path / place))
    search.index.close()
    before = contents(copy)
    for verb in (
        lambda: search.save(copy, model=False),
        lambda: search.save(tmp_path / "new", model=False),
        lambda: search.add(QUERY),
        lambda: search.lookup(QUERY),
        lambda: search.calibrate(CALIBRATION),
        lambda: search.fit_probability(CALIBRATION),
        lambda: search.match(QUERY),
        lambda: search.match(QUERY, threshold=0.5),
    ):
        with pytest.raises(ValueError, match="is closed"):
            verb()
    assert contents(copy) == before
    assert not (tmp_path / "new").exists()
    assert search.calibration is not None


# Folders of others


def test_a_version_of_somebody_else_is_never_deleted(tmp_path):
    name = f"version-{'0123456789abcdef'}"
    for others in ([name], [name, ".lock"], [name, "manifest.json.part"], [".lock"], ["manifest.json.part"]):
        folder = tmp_path / "-".join(others)
        folder.mkdir()
        for other in others:
            if other == name:
                (folder / name).mkdir()
                (folder / name / "theirs.txt").write_text("theirs")
            else:
                (folder / other).write_text("theirs")
        before = contents(folder)
        with pytest.raises(
            ValueError, match=r"folder of something else: it holds|damaged, or belongs to something"
        ):
            searched().save(folder, model=False)
        assert contents(folder) == before
    (tmp_path / "empty" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=f"folder of something else: it holds '{name}'"):
        searched().save(tmp_path / "empty", model=False)
    assert os.listdir(tmp_path / "empty") == [name]


# Embedders of other libraries


def test_a_pytorch_module_is_kept_by_its_name_and_weights_and_given_again(tmp_path):
    torch = pytest.importorskip("torch", reason='PyTorch modules need PyTorch: pip install "simnb[torch]"')
    wanted = {"mean": [0.5, 0.5], "std": [0.5, 0.5]}

    def embedder(name="mine", weight=2.0):
        scaled = torch.nn.PReLU(init=weight)
        return from_torch(torch.nn.Sequential(torch.nn.Flatten(), scaled), name=name, **wanted)

    module = embedder()
    search = SimilaritySearch(module)
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 1, 2), dtype=np.uint8)
    search.add(images, [0, 0, 1, 1])
    for kept in (True, False):
        search.save(tmp_path / "search", model=kept)
        with pytest.raises(
            ValueError, match=r"was saved with the PyTorch module 'mine'. Of PyTorch modules the"
        ):
            SimilaritySearch.load(tmp_path / "search")
        with pytest.raises(ValueError, match=r"module 'mine', not with 'yours'\. .*, name='mine'\)\)"):
            SimilaritySearch.load(tmp_path / "search", model=embedder("yours"))
        with pytest.raises(ValueError, match=r"module 'mine', not with one of other weights\. "):
            SimilaritySearch.load(tmp_path / "search", model=embedder(weight=3.0))
        loaded = SimilaritySearch.load(tmp_path / "search", model=embedder())
        np.testing.assert_array_equal(loaded.lookup(images, k=2).ids, search.lookup(images, k=2).ids)
    assert "model.keras" not in manifest_of(tmp_path / "search")["files"]


def test_an_embedder_of_kerashub_is_kept_whole(tmp_path):
    hub = pytest.importorskip("keras_hub", reason='presets need KerasHub: pip install "simnb[hub]"').models
    size = {"num_layers": 1, "hidden_dim": 8, "num_heads": 2, "intermediate_dim": 8}
    network = hub.DINOV2Backbone(
        patch_size=4, image_shape=(8, 8, 3), position_embedding_shape=(8, 8, 3), **size
    )
    search = SimilaritySearch(backbone(network, preprocess=False))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    search.add(images, [0, 0, 1, 1])
    search.save(tmp_path / "search")
    loaded = SimilaritySearch.load(tmp_path / "search")
    np.testing.assert_allclose(loaded.embed(images), search.embed(images), atol=1e-6)
