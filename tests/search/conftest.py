"""A small search, saved in a folder."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from simnb.data import from_arrays
from simnb.search import SimilaritySearch

PARTS = ["calibration.json", "gallery.sqlite", "model.keras", "search.json"]


def flat(images):
    return images.reshape(len(images), -1)


def examples(directions, labels, first_id=0):
    """Images of one pixel and two channels, in the given directions (degrees)."""
    angles = np.radians(directions)
    images = np.stack([np.cos(angles), np.sin(angles)], axis=1).reshape(-1, 1, 1, 2)
    ids = np.arange(first_id, first_id + len(labels))
    return from_arrays(images.astype("float32"), labels, class_names=["a", "b", "ç"], ids=ids)


GALLERY = examples([0, 10, 90, 100], [0, 0, 1, 1])
CALIBRATION = examples([2, 12, 88, 104, 45, 50], [0, 0, 1, 1, 2, 2], first_id=10)
QUERY = examples([5, 95, 47], [0, 1, 2], first_id=20)


def searched(model=flat, **options):
    search = SimilaritySearch(model, batch_size=3, **options)
    search.add(GALLERY)
    search.calibrate(CALIBRATION, k=2, maximize="accuracy")
    return search


def check_same(one, other, *, query=QUERY):
    """Everything a search gives is the same, to the bit."""
    np.testing.assert_array_equal(one.embed(query), other.embed(query))
    for name in ("distances", "ids", "labels"):
        np.testing.assert_array_equal(getattr(one.lookup(query), name), getattr(other.lookup(query), name))
    for name in ("labels", "distances"):
        np.testing.assert_array_equal(getattr(one.match(query), name), getattr(other.match(query), name))
    assert one.calibration.to_json() == other.calibration.to_json()
    assert one.calibration.gallery == one.index.fingerprint == other.index.fingerprint
    assert (one.batch_size, one.index.distance) == (other.batch_size, other.index.distance)
    assert one.index.class_names == other.index.class_names
    rows, others = one.index.get(), other.index.get()
    for name in ("ids", "embeddings", "labels", "metadata"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(others, name))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with all four parts; the model is one multiplication."""
    import keras

    pixels = keras.Input((1, 1, 2))
    model = keras.Model(pixels, keras.layers.Flatten()(pixels), name="flat")
    path = tmp_path_factory.mktemp("saved") / "search"
    searched(model).save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def version_of(path):
    (version,) = path.glob("version-*")
    return version


def manifest_of(path):
    return json.loads((path / "manifest.json").read_text())


def write_manifest(path, **changes):
    """Write a manifest with a checksum that is right."""
    fields = {**manifest_of(path), **changes}
    fields.pop("sha256")
    text = json.dumps(fields, indent=1)
    fields["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(fields, indent=1) + "\n")


def put(path, name, data):
    """Write another part, and say so in the manifest."""
    (version_of(path) / name).write_bytes(data)
    part = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_manifest(path, files={**manifest_of(path)["files"], name: part})


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
