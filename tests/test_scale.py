"""A corpus into an index: ids, the worker, the plain loop; and Ray on two machines, one of which is lost."""

import contextlib
import hashlib
import importlib.util
import io
import os
import pickle
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePosixPath, PureWindowsPath
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from simnb import data
from simnb.index import UNKNOWN, open_index
from simnb.models import embed
from simnb.scale import CorpusReport, Embedder, embed_corpus, sources, stable_ids
from simnb.scale import embedder as embedder_module

from .index import milvus_server

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


# A folder, in a loop


def test_a_folder_becomes_rows_with_labels_and_names(photos, embedder):
    report = embed_corpus(photos, embedder, batch_size=7)
    assert report == CorpusReport(embedded=24, present=0)
    assert repr(report) == "CorpusReport(embedded=24, present=0, unreadable=0)"
    examples = data.from_folder(photos, image_size=(8, 8))
    expected = embed(embedder.model, examples.images)
    rows = rows_of(embedder)
    keys = write_digits(photos, ())  # in the order of from_folder
    assert sorted(rows) == keys
    np.testing.assert_allclose([rows[key][1] for key in keys], expected, atol=1e-6)
    assert [rows[key][0] for key in keys] == [examples.class_names[label] for label in examples.labels]
    with contextlib.closing(open_index(embedder.uri)) as index:
        assert index.class_names == examples.class_names


def test_after_an_interrupt_only_the_rest_is_read(photos, embedder, reads, monkeypatch):
    from simnb.index.sqlite import SqliteIndex

    add, calls = SqliteIndex.add, []

    def interrupted(index, *args, **options):
        calls.append(len(options["ids"]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return add(index, *args, **options)

    monkeypatch.setattr(SqliteIndex, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embed_corpus(photos, embedder, batch_size=5)
    assert (calls, len(reads)) == ([5, 5, 5], 15)
    written = set(rows_of(embedder))
    assert len(written) == 10

    reads.clear()
    assert embed_corpus(photos, embedder, batch_size=5) == CorpusReport(embedded=14, present=10)
    assert len(reads) == 14
    assert not set(reads) & {Path(key).name for key in written}
    assert sorted(rows_of(embedder)) == write_digits(photos, ())
    reads.clear()
    assert embed_corpus(photos, embedder) == CorpusReport(embedded=0, present=24)
    assert reads == []


def test_new_files_and_a_new_class_come_behind_what_is_there(photos, embedder, reads):
    embed_corpus(photos, embedder)
    before = rows_of(embedder)
    reads.clear()
    write_digits(photos, [24], prefix="new-")
    (photos / "a-letter").mkdir()
    new = next(photos.rglob("new-*"))
    (photos / "a-letter" / "a.png").write_bytes(new.read_bytes())
    assert embed_corpus(photos, embedder) == CorpusReport(embedded=2, present=24)
    assert sorted(reads) == ["a.png", "new-0024.png"]
    after = rows_of(embedder)
    assert after["a-letter/a.png"][0] == "a-letter"
    assert {key: after[key][0] for key in before} == {key: name for key, (name, _) in before.items()}


def test_replace_embeds_everything_again(photos, model_path, tmp_path, reads):
    embedder = Embedder(model_path, tmp_path / "gallery.sqlite", existing="replace")
    embed_corpus(photos, embedder)
    assert embed_corpus(photos, embedder) == CorpusReport(embedded=24, present=0)
    assert len(reads) == 48
    assert len(rows_of(embedder)) == 24


def test_what_cannot_be_read_is_reported_and_tried_again(photos, embedder):
    good = next(photos.rglob("*.png"))
    broken = {
        "empty.png": (b"", "an empty file"),
        "text.jpg": (b"not an image", "not a JPEG, PNG, WebP, BMP"),
        "cut.png": (good.read_bytes()[:-40], "truncated|broken|premature"),
        "large.png": (png(np.zeros((40, 50), np.uint8)), "50 x 40 pixels are more than max_pixels=1000"),
    }
    for name, (content, _) in broken.items():
        (photos / "digit-0" / name).write_bytes(content)
    embedder = Embedder(embedder.model_path, embedder.uri, max_pixels=1000)
    with pytest.warns(UserWarning, match=r"4 of 28 images could not be read: digit-0/.* and 1 more"):
        report = embed_corpus(photos, embedder, batch_size=3)
    assert (report.embedded, report.present) == (24, 0)
    reasons = dict(report.unreadable)
    assert set(reasons) == {f"digit-0/{name}" for name in broken}
    for name, (_, reason) in broken.items():
        assert any(part in reasons[f"digit-0/{name}"] for part in reason.split("|")), reasons
    assert not set(reasons) & set(rows_of(embedder))

    for name in broken:
        (photos / "digit-0" / name).write_bytes(good.read_bytes())
    assert embed_corpus(photos, embedder) == CorpusReport(embedded=4, present=24)
    assert set(reasons) < set(rows_of(embedder))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not text")
def test_a_name_that_is_no_text_is_reported(photos, embedder):
    name = os.fsencode(photos / "digit-0") + b"/\xff.png"
    with open(name, "wb") as file:
        file.write(next(photos.rglob("*.png")).read_bytes())
    with pytest.warns(UserWarning, match="1 of 25 images could not be read: .*the name is no UTF-8"):
        report = embed_corpus(photos, embedder)
    assert report.embedded == 24
    assert report.unreadable == (("'digit-0/\\udcff.png'", "the name is no UTF-8"),)


def test_a_list_of_files_is_a_part_of_a_corpus_or_has_names_of_its_own(photos, model_path, tmp_path):
    files = sorted(photos.rglob("*.png"))
    part = Embedder(model_path, tmp_path / "part.sqlite")
    assert embed_corpus(files[:5], part, root=photos).embedded == 5
    assert sorted(rows_of(part)) == write_digits(photos, ())[:5]
    assert {name for name, _ in rows_of(part).values()} == {file.parent.name for file in files[:5]}
    assert embed_corpus(photos, part) == CorpusReport(embedded=19, present=5)

    own = Embedder(model_path, tmp_path / "own.sqlite")
    assert embed_corpus([str(file) for file in files[:2]], own).embedded == 2
    assert sorted(rows_of(own)) == [file.as_posix() for file in files[:2]]
    assert {label for label, _ in rows_of(own).values()} == {UNKNOWN}
    with pytest.raises(ValueError, match="the files must lie below root"):
        embed_corpus(files, own, root=tmp_path / "elsewhere")


def test_class_names_given_come_first_and_have_to_hold_every_class(photos, model_path, tmp_path):
    names = ["zebra", *(f"digit-{n}" for n in range(9, -1, -1))]
    embedder = Embedder(model_path, tmp_path / "gallery.sqlite", class_names=names)
    embed_corpus(photos, embedder)
    with contextlib.closing(open_index(embedder.uri)) as index:
        assert index.class_names == tuple(names)
    assert all(key.startswith(f"{name}/") for key, (name, _) in rows_of(embedder).items())
    embedder = Embedder(model_path, tmp_path / "other.sqlite", class_names=names[:5])
    with pytest.raises(ValueError, match=r"labels must be among class_names 'zebra'.*got 'digit-0'"):
        embed_corpus(photos, embedder)
    assert not Path(embedder.uri).exists()


def test_a_folder_above_the_class_folders_is_refused_and_the_call_named(photos, model_path, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train").symlink_to(photos)
    embedder = Embedder(model_path, tmp_path / "gallery.sqlite")
    inner = tmp_path / "corpus" / "train"
    with pytest.raises(ValueError, match=rf"'train' in it holds only .* Call embed_corpus\('{inner}', ...\)"):
        embed_corpus(tmp_path / "corpus", embedder)
    assert embed_corpus(inner, embedder).embedded == 24
    named = Embedder(model_path, tmp_path / "other.sqlite", class_names=["train"])
    assert embed_corpus(tmp_path / "corpus", named).embedded == 24


def test_what_is_not_there_is_said_before_anything_is_made(photos, model_path, embedder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model .*nothing\.keras"):
        embed_corpus(photos, Embedder(tmp_path / "nothing.keras", embedder.uri))
    with pytest.raises(FileNotFoundError, match=r"no folder .*nothing"):
        embed_corpus(tmp_path / "nothing", embedder)
    (tmp_path / "hollow" / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match="source must hold images, found none in"):
        embed_corpus(tmp_path / "hollow", embedder)
    file = next(photos.rglob("*.png"))
    with pytest.raises(ValueError, match=r"keys must be unique.* 1 of 2 came before, such as 'digit-\d/"):
        embed_corpus([file, file], embedder, root=photos)
    assert not Path(embedder.uri).exists()


# Parquet


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


@needs_arrow
def test_rows_of_parquet_files_are_what_the_same_images_in_a_folder_are(tables, row_embedder, tmp_path):
    assert embed_corpus(tables, row_embedder, batch_size=3) == CorpusReport(embedded=17, present=0)
    rows = rows_of(row_embedder)
    write_digits(tmp_path / "same", range(17))
    examples = data.from_folder(tmp_path / "same", image_size=(8, 8))
    expected = embed(row_embedder.model, examples.images)
    for file, vector in zip(write_digits(tmp_path / "same", ()), expected, strict=True):
        name, found = rows[f"n{int(Path(file).stem)}"]
        np.testing.assert_allclose(found, vector, atol=1e-6)
        assert name == Path(file).parent.name
    with contextlib.closing(open_index(row_embedder.uri)) as index:
        metadata = {row["name"]: row for row in index.get().metadata}
        assert index.class_names == tuple(f"digit-{n}" for n in range(10))
    assert metadata["n3"] == {"name": "n3", "year": 2003}
    assert metadata["n5"] == {"name": "n5"}


@needs_arrow
def test_only_row_groups_with_missing_rows_are_read(tables, row_embedder, reads, monkeypatch):
    first = Embedder(**{**row_embedder.options, "label": None, "uri": row_embedder.uri})
    with contextlib.closing(first):
        digits = load_digits().images[:6]
        first(
            {
                "name": [f"n{row}" for row in range(6)],
                "jpeg": [png((image * 15.9).astype(np.uint8)) for image in digits],
                "year": [1] * 6,
            }
        )
    reads.clear()
    batches = []
    take = sources.ParquetRows.batches
    monkeypatch.setattr(
        sources.ParquetRows, "batches", lambda *a: (batches.append(b["name"]) or b for b in take(*a))
    )
    assert embed_corpus(tables, row_embedder, batch_size=100) == CorpusReport(embedded=11, present=6)
    # Row groups of 4 rows: of the first three, one is done and one is done by half.
    assert batches == [
        ["n6", "n7"],
        ["n8", "n9"],
        ["n10", "n11", "n12", "n13"],
        ["n14", "n15", "n16"],
    ]
    assert len(reads) == 11
    assert len(rows_of(row_embedder)) == 17


@needs_arrow
def test_a_row_group_of_which_nothing_is_wanted_is_not_opened(tables, row_embedder):
    corpus = sources.ParquetRows(sorted(tables.glob("*.parquet")), row_embedder, False)
    corpus._parts[1] = None
    wanted = np.arange(17) % 3 == 1
    wanted[4:8] = False
    names = [batch["name"] for batch in corpus.batches(wanted, 2)]
    assert names == [["n1"], ["n10"], ["n13"], ["n16"]]
    wanted[5] = True
    with pytest.raises(AttributeError, match="to_batches"):
        list(corpus.batches(wanted, 2))


@needs_arrow
def test_images_of_rows_may_be_paths_or_dicts_and_what_is_not_there_is_reported(row_embedder, tmp_path):
    write_digits(tmp_path / "same", range(2))
    file = str(next((tmp_path / "same").rglob("*.png")))
    encoded = Path(file).read_bytes()
    dicts = [{"bytes": encoded, "path": "x"}, {"bytes": None, "path": "x"}, {"bytes": b"", "path": "x"}]
    write_parquet(tmp_path / "dicts.parquet", range(3), images=dicts, labels=[3, None, 4])
    paths = [file, None, "nowhere.png"]
    write_parquet(tmp_path / "paths.parquet", range(3, 6), images=paths, labels=[5, 6, 7])
    message = r"2 of 3 images could not be read: n1 \(there is no image\), n2 \(there is no image\)$"
    with pytest.warns(UserWarning, match=message):
        embed_corpus([tmp_path / "dicts.parquet"], row_embedder)
    with pytest.warns(UserWarning, match="2 of 3 images"):
        report = embed_corpus(str(tmp_path / "paths.parquet"), row_embedder)
    assert dict(report.unreadable) == {"n4": "there is no image", "n5": "No such file or directory"}
    assert {key: int(label) for key, (label, _) in rows_of(row_embedder).items()} == {"n0": 3, "n3": 5}


@needs_arrow
def test_malformed_rows_are_refused_before_anything_is_made(tables, row_embedder):
    with pytest.raises(ValueError, match="but have name, jpeg, class, year, unused: no 'path'"):
        embed_corpus(tables, Embedder(row_embedder.model_path, row_embedder.uri))
    write_parquet(tables / "c.parquet", [20, 3, 21])
    with pytest.raises(ValueError, match=r"keys must be unique in a corpus, but 1 of 20 .* such as 'n3'"):
        embed_corpus(tables, row_embedder)
    assert not Path(row_embedder.uri).exists()


# What it takes


def test_missing_packages_are_named_with_how_to_install_them(photos, embedder, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'needs Ray: pip install "simnb\[ray\]"$'):
        embed_corpus(photos, embedder, workers=2)
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(ImportError, match=r'need Apache Arrow: pip install "simnb\[ray\]"$'):
        embed_corpus(tmp_path / "rows.parquet", embedder)
    assert not Path(embedder.uri).exists()


def test_importing_it_loads_neither_ray_nor_tensorflow():
    code = "import sys; from simnb import scale; scale.Embedder('m', 'g.sqlite'); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(said.stdout.split())
    assert "simnb.scale.running" in loaded
    assert not loaded & {"ray", "pyarrow", "tensorflow", "keras", "jax", "torch"}


# With Ray

RAY_TOKEN = secrets.token_hex(32)  # Ray reads it once in a process


def with_ray(test):
    """A test that takes a minute, and a package that is not always there."""
    missing = importlib.util.find_spec("ray") is None
    skip = pytest.mark.skipif(missing, reason='several workers need Ray: pip install "simnb[ray]"')
    # Ray's own data context reads what Ray deprecates.
    quiet = pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning")
    return pytest.mark.server(skip(quiet(test)))


@pytest.fixture
def at_home(monkeypatch):
    """Ray tells nobody, answers nobody and writes nothing into the user's home."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", RAY_TOKEN)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def two_machines(at_home, monkeypatch):
    """A cluster of two nodes with one CPU each, on the loopback interface: the first is the driver's."""
    import ray
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    # Else Ray takes 127.0.0.1 for this machine's address in the network, where nobody listens.
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        ray.init(address=cluster.address, _node_ip_address="127.0.0.1", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def milvus():
    """The address of a real Milvus Standalone."""
    pytest.importorskip("pymilvus", reason='Milvus needs pymilvus: pip install "simnb[milvus]"')
    if not milvus_server.runs_here():
        pytest.skip("the Milvus server on PyPI is for Linux on x86-64")
    # Beside a Ray that starts and dies it may have to wait: its roles are not to give one another up.
    with mock.patch.dict(milvus_server.SETTINGS, {"common.session.ttl": 60}):
        server = milvus_server.MilvusServer()
    try:
        server.start()
        yield server.uri
    finally:
        server.stop()


class Removal(threading.Thread):
    """Removes the second node of a cluster, with all its processes, when an index has some rows."""

    def __init__(self, cluster, embedder, rows):
        super().__init__(daemon=True)
        self.cluster, self.embedder, self.rows = cluster, embedder, rows
        self.found = self.workers = None  # at that time

    def run(self):
        (node,) = self.cluster.worker_nodes
        with contextlib.closing(opened(self.embedder)) as index:
            while (found := len(index)) < self.rows:
                time.sleep(0.1)
        self.found, self.workers = found, workers_on(node)
        self.cluster.remove_node(node, allow_graceful=False)


def workers_on(node):
    """How many embedders live on a node."""
    from ray._private.state import actors

    return sum(
        "MapWorker" in actor["ActorClassName"]
        and actor["State"] == "ALIVE"
        and actor["Address"]["NodeID"] == node.node_id
        for actor in actors().values()
    )


@with_ray
def test_nothing_is_lost_or_doubled_when_a_machine_is(two_machines, milvus, model_path, tmp_path):
    root = tmp_path / "photos"
    keys = write_digits(root, range(900))
    (root / "digit-0" / "broken.png").write_bytes(b"broken")
    embedder = Embedder(model_path, milvus, index_options={"collection": "photos"})
    with pytest.raises(ValueError, match="workers must leave CPUs for reading, got 2 workers x 1 CPUs of 2"):
        embed_corpus(root, embedder, workers=2, cpus_per_worker=1)

    removal = Removal(two_machines, embedder, rows=60)
    removal.start()
    with pytest.warns(UserWarning, match=r"1 of 901 images could not be read: digit-0/broken\.png"):
        report = embed_corpus(root, embedder, workers=2, batch_size=5)
    removal.join()

    assert 60 <= removal.found < 800, "the node has to go in the middle"
    assert removal.workers == 1
    assert (report.embedded, report.present) == (900, 0)
    rows = rows_of(embedder)
    assert sorted(rows) == keys
    assert all(key.startswith(f"{name}/") for key, (name, _) in rows.items())
    (root / "digit-0" / "broken.png").unlink()
    examples = data.from_folder(root, image_size=(8, 8))
    expected = embed(embedder.model, examples.images)
    np.testing.assert_allclose([rows[key][1] for key in keys], expected, atol=1e-5)


@needs_arrow
@with_ray
def test_ray_reads_only_the_rows_that_are_missing(at_home, tables, row_embedder):
    import ray

    embed_corpus([tables / "a.parquet"], row_embedder)
    with contextlib.closing(open_index(row_embedder.uri)) as index:
        index.remove(stable_ids(["n0", "n7"]))
    report = embed_corpus(tables, row_embedder, workers=2, batch_size=3, cpus_per_worker=0.25)
    assert report == CorpusReport(embedded=9, present=8)
    assert not ray.is_initialized()
    targets = load_digits().target
    names = {key: name for key, (name, _) in rows_of(row_embedder).items()}
    assert names == {f"n{row}": f"digit-{targets[row]}" for row in range(17)}
    with contextlib.closing(open_index(row_embedder.uri)) as index:
        metadata = {row["name"]: row for row in index.get().metadata}
    assert metadata["n16"] == {"name": "n16", "year": 2016}
    assert metadata["n15"] == {"name": "n15"}
