"""A corpus into an index, in a loop: folders, lists of files and Parquet files."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from simnb import data
from simnb.index import UNKNOWN, open_index
from simnb.models import embed
from simnb.scale import CorpusReport, Embedder, embed_corpus, sources

from .conftest import needs_arrow, png, rows_of, write_digits, write_parquet

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
    with pytest.raises(ValueError, match=r"must be among class_names 'zebra'.*got 'digit-0'"):
        embed_corpus(photos, embedder)
    assert not Path(embedder.uri).exists()


def test_a_folder_above_the_class_folders_is_refused_and_the_right_one_named(photos, model_path, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train").symlink_to(photos)
    embedder = Embedder(model_path, tmp_path / "gallery.sqlite")
    inner = tmp_path / "corpus" / "train"
    with pytest.raises(ValueError, match=rf"'train' in it holds only .* Read '{inner}' instead"):
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
    with pytest.raises(ValueError, match=r"hollow must hold JPEG.* images in its class folders, found none"):
        embed_corpus(tmp_path / "hollow", embedder)
    file = next(photos.rglob("*.png"))
    with pytest.raises(ValueError, match=r"keys must be unique.* 1 of 2 came before, such as 'digit-\d/"):
        embed_corpus([file, file], embedder, root=photos)
    assert not Path(embedder.uri).exists()


# Parquet


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
    take = sources.ParquetCorpus.batches
    monkeypatch.setattr(
        sources.ParquetCorpus, "batches", lambda *a: (batches.append(b["name"]) or b for b in take(*a))
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
    corpus = sources.ParquetCorpus(sorted(tables.glob("*.parquet")), row_embedder, False)
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
