"""Folders that are not as they were written, by accident or on purpose."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tracemalloc
import zipfile

import numpy as np
import pytest

from simnb import _snapshot
from simnb.index import open_index
from simnb.search import SimilaritySearch

from .conftest import (
    PARTS,
    check_same,
    contents,
    flat,
    manifest_of,
    put,
    searched,
    version_of,
    write_manifest,
)

# What is not as it was


@pytest.mark.parametrize("name", PARTS)
def test_a_changed_byte_is_refused(copy, name):
    file = version_of(copy) / name
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for position in {0, len(whole) - 1, *rng.integers(0, len(whole), 60).tolist()}:
        data = bytearray(whole)
        data[position] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)
        with pytest.raises(ValueError, match=f"{name} of .*copy is damaged, .*put back a copy of the folder"):
            SimilaritySearch.load(copy)
    file.write_bytes(whole)
    check_same(SimilaritySearch.load(copy), searched())


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_cut_longer_or_missing_is_refused(copy, name):
    file = version_of(copy) / name
    whole = file.read_bytes()
    for data in (whole[:0], whole[:1], whole[: len(whole) // 2], whole[:-1], whole + b"\n"):
        file.write_bytes(data)
        message = f"{name} of .*copy has {len(data)} bytes, not the {len(whole)} that were saved: put back"
        with pytest.raises(ValueError, match=message):
            SimilaritySearch.load(copy)
    file.unlink()
    with pytest.raises(ValueError, match=f"{name} of .*copy is missing: put back"):
        SimilaritySearch.load(copy)
    file.mkdir()
    with pytest.raises(ValueError, match=f"{name} of .*copy is not a file: put back"):
        SimilaritySearch.load(copy)
    shutil.rmtree(version_of(copy))
    with pytest.raises(ValueError, match=r"calibration.json of .*copy is missing: put back"):
        SimilaritySearch.load(copy)


def test_every_byte_of_the_manifest_counts(copy):
    file = copy / "manifest.json"
    whole = file.read_bytes()
    bad = [whole[:length] for length in range(0, len(whole), 50)] + [whole + b" ", b"[]", b"[" * 100_000]
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << (5 if position % 2 else position // 2 % 8)  # 5: that of upper and lower case
        bad.append(bytes(data))
    for data in bad:
        file.write_bytes(data)
        with pytest.raises(
            ValueError, match=r"manifest.json of .*copy is damaged, or belongs to something else: put"
        ):
            SimilaritySearch.load(copy)
    file.write_bytes(whole)
    check_same(SimilaritySearch.load(copy), searched())


def test_a_later_format_is_refused_and_not_overwritten(copy):
    write_manifest(copy, format=2)
    for do in (SimilaritySearch.load, lambda path: searched().save(path, model=False)):
        with pytest.raises(
            ValueError, match=r"manifest.json of .* has format 2, this simnb reads format 1: update"
        ):
            do(copy)


def test_a_part_of_a_later_format_is_named(copy):
    with sqlite3.connect(version_of(copy) / "gallery.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    put(copy, "gallery.sqlite", (version_of(copy) / "gallery.sqlite").read_bytes())
    with pytest.raises(
        ValueError, match=r"gallery.sqlite of .*copy cannot be read: .*copy.gallery.sqlite has format 99"
    ):
        SimilaritySearch.load(copy)
    put(copy, "calibration.json", b'{"format": 99}')
    with pytest.raises(
        ValueError,
        match=r"calibration.json of .*copy cannot be read: .* must be of format 2, got 99",
    ):
        SimilaritySearch.load(copy)


def test_a_manifest_cannot_name_files_outside(copy, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    part = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    write_manifest(copy, files={**manifest_of(copy)["files"], "../../secret": part})
    with pytest.raises(ValueError, match="names files outside it"):
        SimilaritySearch.load(copy)
    write_manifest(copy, files={}, version="..")
    with pytest.raises(ValueError, match="names files outside it"):
        SimilaritySearch.load(copy)


@pytest.mark.parametrize("name", ["gallery.sqlite", "search.json"])
def test_a_manifest_that_lacks_a_part_is_refused(copy, name):
    files = manifest_of(copy)["files"]
    files.pop(name)
    write_manifest(copy, files=files)
    with pytest.raises(ValueError, match=r"copy is not a saved search: it has no gallery.sqlite or no"):
        SimilaritySearch.load(copy)


def test_what_is_no_saved_search_is_not_loaded(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        SimilaritySearch.load(tmp_path / "nothing")
    (tmp_path / "file").write_text("text")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match=r"holds nothing that was saved: it has no manifest.json"):
            SimilaritySearch.load(path)


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json", "version-1"])
def test_a_folder_of_something_else_is_not_written_over(name, tmp_path):
    (tmp_path / name).write_text('{"name": "a web page"}')
    with pytest.raises(
        ValueError, match=r"folder of something else: it holds|damaged, or belongs to something"
    ):
        searched().save(tmp_path, model=False)
    assert contents(tmp_path) == {name: b'{"name": "a web page"}'}
    with pytest.raises(ValueError, match="is a file: choose another name for the folder"):
        searched().save(tmp_path / name, model=False)
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        searched().save(tmp_path / "no" / "search", model=False)


def test_what_else_lies_beside_a_saved_search_stays(copy):
    (copy / "notes.txt").write_text("mine")
    searched().save(copy, model=False)
    assert (copy / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_being_saved_into_is_waited_for(copy, monkeypatch):
    monkeypatch.setattr(_snapshot, "SECONDS_TO_WAIT", 0.05)
    before = contents(copy)
    with _snapshot._locked(copy), pytest.raises(OSError, match="another process is saving there"):
        searched().save(copy, model=False)
    assert contents(copy) == before
    searched().save(copy, model=False)


# What somebody changed, and gave the right checksums


ODD = [None, -1, 0, 0.5, True, "x", "../x", [], {}, [None], {"x": 1}, 10**30, "[" * 100]


def places(value, place=()):
    """Every place in a value; of long lists the first two."""
    yield place
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for key, part in list(inner):
        yield from places(part, (*place, key))


def changed(value, place, new, *, delete=False):
    """A copy with another value at a place, or without it."""
    value = at = json.loads(json.dumps(value))
    for key in place[:-1]:
        at = at[key]
    if delete:
        del at[place[-1]]
    else:
        at[place[-1]] = new
    return value


def variants(whole, *, skip=()):
    for place in places(whole):
        if place and place[0] not in skip:
            yield from (changed(whole, place, new) for new in ODD)
            yield changed(whole, place, None, delete=True)
    yield from (odd for odd in ODD if odd != whole)


def test_a_tampered_state_is_taken_as_it_is_or_named(copy):
    whole = json.loads((version_of(copy) / "search.json").read_text())
    refused = 0
    for text in [*map(json.dumps, variants(whole)), '{"batch_size": 1e999}', "[" * 100_000, "\ufeff{}", ""]:
        put(copy, "search.json", text.encode())
        try:
            search = SimilaritySearch.load(copy, model=flat)
        except ValueError as error:
            refused += "search.json of " in str(error) and "cannot be read: " in str(error)
            continue
        names = search._class_names
        names = None if names is None else list(names)
        state = [search.batch_size, names, sorted(search._indexed_examples)]
        fields = json.loads(text)
        ids = sorted(set(fields["indexed_examples"]))
        assert state == [fields["batch_size"], fields["class_names"], ids]
        assert not isinstance(fields["batch_size"], bool)
    assert refused > 30


def test_a_tampered_manifest_is_named_or_does_no_harm(copy):
    whole = manifest_of(copy)
    whole.pop("sha256")
    refused = []
    for fields in variants(whole, skip=("simnb",)):
        text = json.dumps(fields, indent=1)
        if isinstance(fields, dict):
            digest = hashlib.sha256(text.encode()).hexdigest()
            text = json.dumps({**fields, "sha256": digest}, indent=1) + "\n"
        (copy / "manifest.json").write_text(text)
        try:
            search = SimilaritySearch.load(copy)
        except ValueError as error:
            refused.append(str(error))
            continue
        if "calibration.json" in fields["files"]:
            check_same(search, searched())
    expected = (
        "it should have {'distance'",
        "manifest.json of ",
        "no gallery.sqlite",
        "is missing: ",
        "was saved without its model",
        " bytes, not",
        "SHA-256 is not that of",
    )
    assert len(refused) > 100
    assert [message for message in refused if not any(part in message for part in expected)] == []


@pytest.mark.parametrize("name", ["calibration.json", "model.keras", "gallery.sqlite", "probability.json"])
def test_a_part_of_something_else_is_named(copy, name, tmp_path):
    open_index(tmp_path / "other.sqlite").close()
    with sqlite3.connect(tmp_path / "notes.sqlite") as db:
        db.execute("CREATE TABLE notes (text)")
    db.close()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("model.weights.h5", "no weights")
        archive.writestr("config.json", "[1]")
    files = [tmp_path / "notes.sqlite", tmp_path / "other.zip", version_of(copy) / "search.json"]
    for data in [b"", b"{}", b"[" * 100_000, b"\xff" * 100, *(file.read_bytes() for file in files)]:
        put(copy, name, data)
        with pytest.raises(ValueError, match=f"{name} of .*copy cannot be read: "):
            SimilaritySearch.load(copy)


@pytest.mark.parametrize("part", [*PARTS, "manifest.json"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_in_the_place_of_a_part_is_refused_and_not_waited_for(copy, part):
    file = copy / part if part == "manifest.json" else version_of(copy) / part
    file.unlink()
    os.mkfifo(file)
    for use in (SimilaritySearch.load, lambda path: searched().save(path, model=False)):
        if use is SimilaritySearch.load or part == "manifest.json":
            with pytest.raises(ValueError, match=f"{part} of .*copy is not a file: put back"):
                use(copy)
    searched().save(copy.with_name("other"), model=False)


def test_a_link_to_the_very_file_is_followed(copy):
    file = version_of(copy) / "search.json"
    shutil.move(file, copy.with_name("elsewhere"))
    file.symlink_to(copy.with_name("elsewhere"))
    check_same(SimilaritySearch.load(copy), searched())


@pytest.mark.parametrize("lie", [False, True])
def test_a_model_that_inflates_is_refused_before_it_does(copy, lie):
    """Of 200 MB of zeros 200 kB are left; a file may also say that it has less."""
    packed = copy.with_name("packed.keras")
    with zipfile.ZipFile(version_of(copy) / "model.keras") as whole, zipfile.ZipFile(packed, "w") as other:
        for part in ("config.json", "metadata.json"):
            other.writestr(part, whole.read(part))
        other.writestr("model.weights.h5", bytes(200_000_000), zipfile.ZIP_DEFLATED)
    data = packed.read_bytes()
    if lie:
        data = data.replace((200_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    put(copy, "model.keras", data)
    tracemalloc.start()
    message = "model.keras of .*copy cannot be read: 'model.weights.h5' in it is compressed, which Keras"
    with pytest.raises(ValueError, match=message):
        SimilaritySearch.load(copy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize("how", ["compressed", "never written", "overlapping"])
def test_weights_that_are_more_than_their_file_are_refused(copy, how, tmp_path):
    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        options = {"chunks": (5000, 5000), "compression": "gzip"} if how == "compressed" else {}
        shape = (2, 2) if how == "overlapping" else (5000, 5000)
        made = file.create_dataset("layers/dense/vars/0", shape, "float32", **options)
        if how != "never written":
            made[:1] = 1.0
    packed = tmp_path / "packed.keras"
    with zipfile.ZipFile(version_of(copy) / "model.keras") as whole, zipfile.ZipFile(packed, "w") as other:
        for part in ("config.json", "metadata.json"):
            other.writestr(part, whole.read(part))
        other.writestr("model.weights.h5", weights.getvalue())
        if how == "overlapping":
            other.filelist += 100 * [other.filelist[-1]]
    put(copy, "model.keras", packed.read_bytes())
    with pytest.raises(
        ValueError, match=r"model.keras of .*copy cannot be read: .* bytes, but the file has [\d,]+: Keras"
    ):
        SimilaritySearch.load(copy)
