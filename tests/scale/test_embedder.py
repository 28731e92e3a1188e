"""Ids, and the worker."""

import contextlib
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from PIL import Image

from simnb.index import UNKNOWN, open_index
from simnb.models import embed
from simnb.scale import Embedder, stable_ids

from .conftest import rows_of

# Ids


def test_an_id_is_the_first_62_bits_of_a_sha256():
    keys = ["cat/1.png", "cat/2.png", "", "日本/é.png"]
    bits = [f"{int(hashlib.sha256(key.encode()).hexdigest(), 16):0256b}" for key in keys]
    assert stable_ids(keys).tolist() == [int(one[:62], 2) for one in bits]
    assert stable_ids(keys).dtype == np.int64
    assert stable_ids([]).shape == (0,)
    many = stable_ids(range(20_000))
    assert len(set(many.tolist())) == 20_000
    assert 0 <= many.min() < 2**50
    assert 2**61 < many.max() < 2**62


def test_ids_are_the_same_in_another_process_and_with_other_separators():
    code = "from simnb.scale import stable_ids; print(*stable_ids(['cat/1.png', '7']))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert said.stdout.split() == [str(n) for n in stable_ids(["cat/1.png", "7"]).tolist()]
    paths = [PureWindowsPath(r"cat\1.png"), PurePosixPath("cat/1.png"), "cat/1.png"]
    assert len(set(stable_ids(paths).tolist())) == 1
    assert stable_ids([7, np.int32(7)]).tolist() == stable_ids(["7", np.str_("7")]).tolist()


@pytest.mark.parametrize("key", [None, b"cat", 1.5, True, np.bool_(True), ("a",)])
def test_other_keys_are_refused(key):
    with pytest.raises(ValueError, match="keys must be strings, integers or paths, got"):
        stable_ids(["cat", key])


def test_one_string_is_not_taken_for_its_letters():
    with pytest.raises(ValueError, match="got the single key 'cat'"):
        stable_ids("cat")


# The worker


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uri": "memory:"}, "uri must be a file or a server.*got 'memory:'"),
        ({"existing": "refuse"}, "existing must be one of replace, skip; got 'refuse'"),
        ({"metadata": "path"}, "metadata must be a sequence of columns, got the string 'path'"),
        ({"image_size": 8}, r"image_size must be \(height, width\), got 8"),
        ({"max_pixels": 0}, "max_pixels must be an integer of at least 1, got 0"),
        ({"index_options": {"class_names": ["a"]}}, "uri and class_names are arguments of their own, got"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
    ],
)
def test_malformed_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Embedder(**{"model_path": "m.keras", "uri": "g.sqlite"} | options)


def test_a_pickle_holds_names_and_numbers_before_and_after_use(embedder, photos):
    batch = {"path": ["a"], "image": [str(next(photos.rglob("*.png")))], "label": ["x"]}
    before = pickle.dumps(embedder)
    assert embedder(batch)["error"].tolist() == [""]
    assert {"model", "index"} <= set(vars(embedder))
    after = pickle.dumps(embedder)
    assert after == before
    assert len(after) < 1000
    again = pickle.loads(after)
    assert again == embedder
    assert not {"model", "index"} & set(vars(again))
    assert again({**batch, "path": ["b"]})["id"].tolist() == stable_ids(["b"]).tolist()
    again.close()
    embedder.close()
    assert set(rows_of(embedder)) == {"a", "b"}


def test_a_batch_that_is_sent_again_changes_nothing_or_replaces_itself(model_path, tmp_path, photos):
    files = sorted(str(file) for file in photos.rglob("*.png"))[:2]
    for existing, expected in {"skip": files[0], "replace": files[1]}.items():
        embedder = Embedder(model_path, tmp_path / f"{existing}.sqlite", label=None, existing=existing)
        for file in files:
            embedder({"path": np.array(["a"]), "image": np.array([file])})
        embedder({"path": [], "image": []})
        rows = embedder.index.get()
        embedder.close()
        assert rows.labels.tolist() == [UNKNOWN]
        image = np.asarray(Image.open(expected).convert("RGB"))
        np.testing.assert_allclose(rows.embeddings, embed(embedder.model, image[None]), atol=1e-6)


def test_labels_go_by_name_into_an_index_that_orders_them_otherwise(model_path, tmp_path, photos):
    uri, file = tmp_path / "gallery.sqlite", str(next(photos.rglob("*.png")))
    open_index(uri, class_names=["dog", "cat"]).close()
    embedder = Embedder(model_path, uri, class_names=["cat", "dog", "emu"])
    labels = [0, 1, 2, "cat", None, float("nan"), UNKNOWN]
    embedder({"path": list("abcdefg"), "image": [file] * 7, "label": labels})
    rows = embedder.index.get()
    assert rows.class_names == ("dog", "cat", "emu")
    assert rows.names.tolist() == ["cat", "dog", "emu", "cat", None, None, None]
    with pytest.raises(ValueError, match=r"among class_names 'cat', 'dog', 'emu'.*got 3"):
        embedder({"path": ["h"], "image": [file], "label": [3]})
    embedder.close()


def test_a_missing_column_is_named(embedder):
    message = "must have the columns path, image, label, but have path: no 'image'"
    with pytest.raises(ValueError, match=message):
        embedder({"path": ["a"]})


def test_a_model_that_brings_code_is_not_loaded(tmp_path, photos):
    from simnb._keras import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x[:, 0, 0])]
    keras.Sequential(layers).save(tmp_path / "m.keras")
    embedder = Embedder(tmp_path / "m.keras", tmp_path / "gallery.sqlite", label=None)
    with contextlib.closing(embedder), pytest.raises(ValueError, match="arbitrary code execution"):
        embedder({"path": ["a"], "image": [str(next(photos.rglob("*.png")))]})


def test_models_that_take_something_else_are_refused(tmp_path, photos):
    from simnb._keras import keras

    file = str(next(photos.rglob("*.png")))
    for shape, options, message in [
        ((8, 8, 1), {}, r"must take images of shape \[batch, height, width, 3\], got the input shape"),
        ((None, None, 3), {}, "the model takes images of any size: pass image_size, got None"),
        ((None, None, 3), {"image_size": (4, 6)}, None),
    ]:
        pooled = keras.layers.GlobalAveragePooling2D()
        keras.Sequential([keras.Input(shape), keras.layers.Rescaling(1.0, 1.0), pooled]).save(
            tmp_path / "m.keras"
        )
        embedder = Embedder(tmp_path / "m.keras", tmp_path / "gallery.sqlite", label=None, **options)
        with contextlib.closing(embedder), contextlib.ExitStack() as stack:
            if message:
                stack.enter_context(pytest.raises(ValueError, match=message))
            assert embedder({"path": ["a"], "image": [file]})["error"].tolist() == [""]
