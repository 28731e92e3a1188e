"""Digits as a corpus: in folders of images and in Parquet files."""

import contextlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from simnb.index import open_index
from simnb.scale import Embedder, stable_ids
from simnb.scale import embedder as embedder_module

needs_arrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None,
    reason='Parquet files need Apache Arrow: pip install "simnb[ray]"',
)


def write_digits(root, rows, *, prefix=""):
    """Write digits as PNG into a folder for each class; returns their names in the corpus, sorted."""
    digits = load_digits()
    for row in rows:
        file = root / f"digit-{digits.target[row]}" / f"{prefix}{row:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[row] * 15.9).astype(np.uint8)).save(file)
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A model with one of our layers, as training would save it."""
    from simnb._keras import keras
    from simnb.layers import MetricEmbedding

    keras.utils.set_random_seed(0)
    body = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    path = tmp_path_factory.mktemp("model") / "embedder.keras"
    keras.Sequential([*body, MetricEmbedding(6)]).save(path)
    return str(path)


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    write_digits(root, range(24))
    return root


@pytest.fixture
def embedder(model_path, tmp_path):
    return Embedder(model_path, str(tmp_path / "gallery.sqlite"))


@pytest.fixture
def reads(monkeypatch):
    """Names of the image files that are read, in a list."""
    read, files = embedder_module._read, []

    def recorded(value, *args):
        files.append(Path(value).name if isinstance(value, str) else value)
        return read(value, *args)

    monkeypatch.setattr(embedder_module, "_read", recorded)
    return files


def opened(embedder):
    return open_index(embedder.uri, **embedder.index_options)


def rows_of(embedder):
    """All rows of an embedder's index, by key."""
    with contextlib.closing(opened(embedder)) as index:
        rows = index.get()
    keys = [row[embedder.key] for row in rows.metadata]
    assert rows.ids.tolist() == stable_ids(keys).tolist()
    names = rows.names if rows.class_names else rows.labels
    return {key: (name, vector) for key, name, vector in zip(keys, names, rows.embeddings, strict=True)}


def png(pixels):
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()


def write_parquet(path, rows, *, images=None, labels=None, row_group_size=4):
    """Write digits as a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    digits = load_digits()
    columns = {
        "name": [f"n{row}" for row in rows],
        "jpeg": images or [png((digits.images[row] * 15.9).astype(np.uint8)) for row in rows],
        "class": labels or [f"digit-{digits.target[row]}" for row in rows],
        "year": [None if row % 5 == 0 else 2000 + row for row in rows],
        "unused": [0.5] * len(rows),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    write_parquet(folder / "a.parquet", range(10))
    write_parquet(folder / "b.parquet", range(10, 17))
    (folder / "readme.txt").write_text("not Parquet")
    return folder


@pytest.fixture
def row_embedder(model_path, tmp_path):
    names = {"key": "name", "image": "jpeg", "label": "class", "metadata": ("name", "year")}
    return Embedder(model_path, tmp_path / "rows.sqlite", **names)
