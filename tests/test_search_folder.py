import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from simnb import _folder
from simnb.data import from_arrays
from simnb.index import open_index
from simnb.search import SimilaritySearch

KILLS = int(os.environ.get("SIMNB_KILLS", "25"))  # a long run: 200
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


def test_the_probability_is_kept_and_a_folder_without_one_loads(tmp_path):
    search = searched()
    search.save(tmp_path / "without", model=False)
    assert SimilaritySearch.load(tmp_path / "without", model=flat).probability is None
    search.fit_probability(CALIBRATION)
    search.save(tmp_path / "with", model=False)
    loaded = SimilaritySearch.load(tmp_path / "with", model=flat)
    assert loaded.probability.to_json() == search.probability.to_json()


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
        with pytest.raises(ValueError, match=r"search must be one of exact, hnsw|recall must be a share"):
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
    monkeypatch.setattr(_folder, "SECONDS_TO_WAIT", 0.05)
    before = contents(copy)
    with _folder._locked(copy), pytest.raises(OSError, match="another process is saving there"):
        searched().save(copy, model=False)
    assert contents(copy) == before
    searched().save(copy, model=False)


# Kills, full disks and other processes; without Keras, for which a stand-in writes a number.

WORKER = '''
import json, os, random, shutil, signal, sys, threading, time, types
from pathlib import Path
from tqdm.auto import tqdm

class Model:
    name = "number"
    def __init__(self, number): self.number = number

def save_model(model, path): path.write_text(str(model.number) * 1000)
def load_model(path, **_): return Model(int(path.read_text()[: len(path.read_text()) // 1000]))

saving = types.SimpleNamespace(save_model=save_model, load_model=load_model)
sys.modules["simnb._keras"] = types.ModuleType("simnb._keras")
sys.modules["simnb._keras"].keras = types.SimpleNamespace(Model=Model, saving=saving)
sys.modules["simnb.models"] = types.ModuleType("simnb.models")
sys.modules["simnb.models"].embed = None

import numpy as np
from simnb.calibration import calibrate
from simnb.index import Neighbors, open_index
from simnb.search import SimilaritySearch
assert not {"keras", "tensorflow"} & set(sys.modules)

# tqdm's own lock is shared with forked processes: one that is killed would keep it for ever.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0

def search(number):
    index = open_index()
    index.add(np.full((50 + number, 32), number), ["name %d" % number] * (50 + number))
    result = SimilaritySearch(Model(number), index=index, batch_size=number)
    distances = np.array([[number], [number + 1]], np.float32)
    result.calibration = calibrate(Neighbors(distances, [[0], [0]], [[0], [1]]), [0, 0])
    return result

def load(path):
    """The number of the search in a folder, if all of it is of one number; 0 for nothing."""
    if not os.path.exists(path / "manifest.json"):
        return 0
    loaded = SimilaritySearch.load(path)
    rows = loaded.index.get()
    numbers = {loaded.model.number, loaded.batch_size, len(rows) - 50, *rows.embeddings.ravel().tolist()}
    numbers |= {loaded.calibration.curves.threshold[-1] - 1, int(rows.names[0].split()[1])}
    (number,) = numbers
    return int(number)

def forked(do):
    pid = os.fork()
    if pid:
        return pid
    try:
        do()
    except OSError as error:
        os._exit(3 if error.errno and error.filename else 4)
    except BaseException:
        import traceback; traceback.print_exc()
        os._exit(5)
    os._exit(0)

def code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def versions(path):
    return sum(name.startswith("version-") for name in os.listdir(path)) if path.exists() else 0

def at_step(step, act):
    """Act when a file is about to be opened, renamed, removed... for the step-th time."""
    count = 0
    def hook(event, args):
        nonlocal count
        if event.startswith(("open", "os.", "shutil.", "sqlite3.")):
            count += 1
            act(count, event) if count >= step else None
    sys.addaudithook(hook)

def kill(count, event):
    os.kill(os.getpid(), signal.SIGKILL)

def full(count, event):
    raise OSError(28, "No space left on device", "disk")

def every_step(path, act, old):
    """Save another number over the old one (0: over nothing), and be killed or raise at each step in turn.

    Returns how each ended, 9 where there was no such step, what is there afterwards and how many versions.
    """
    results = []
    for step in range(1, 1000):
        if load(path) != old:
            search(old).save(path)
        new, acted = search(2), []

        def once(count, event):
            if count == step:
                acted.append(event)
                act(count, event)

        def do():
            at_step(step, once)
            new.save(path)
            os._exit(0 if acted else 9)

        ended = code(forked(do))
        results.append([ended, load(path), versions(path)])
        if ended == 9:
            break
        if not old:
            shutil.rmtree(path, ignore_errors=True)
    search(3).save(path)  # over what was left
    assert (load(path), versions(path), len(os.listdir(path))) == (3, 1, 3)
    return results
'''


def run_worker(script, *, timeout=120):
    if not hasattr(os, "fork"):
        pytest.skip("processes are forked")
    code = f"{WORKER}\n{script}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def disk(tmp_path):
    """A folder in memory where there is such a disk: it is faster, and a kill leaves the same on it."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.mark.parametrize("old", [1, 0])
def test_a_save_killed_at_any_step_leaves_the_old_search_or_the_new_one(disk, old):
    script = f"print(json.dumps(every_step(Path({str(disk)!r}) / 'search', kill, {old})))"
    *killed, unharmed = run_worker(script)
    ended, found, versions = zip(*killed, strict=True)
    assert set(ended) == {-9}
    assert unharmed == [9, 2, 1]
    # One step is the one that counts, and it is among the last.
    switch = found.index(2)
    assert found == (old,) * switch + (2,) * (len(found) - switch)
    assert 20 < switch < len(found)
    assert max(versions) == 1 + bool(old)


def test_an_error_at_any_step_leaves_the_old_search_and_nothing_beside_it(disk):
    script = f"print(json.dumps(every_step(Path({str(disk)!r}) / 'search', full, 1)))"
    *met, unharmed = run_worker(script)
    assert unharmed == [9, 2, 1]
    refused = [(found, versions) for ended, found, versions in met if ended]
    assert {ended for ended, _, _ in met} == {0, 3}
    assert {found for found, _ in refused} == {1}
    assert {found for ended, found, _ in met if not ended} == {2}
    assert len(refused) > 20
    # Only where the last rename itself fails is a version left, for the next save to remove.
    assert sum(versions - 1 for _, versions in refused) <= 1


def test_a_save_killed_at_a_random_moment_leaves_the_old_search_or_the_new_one(disk):
    script = f"""
path = Path({str(disk)!r}) / "search"
search(1).save(path)
start = time.perf_counter()
for _ in range(5): code(forked(lambda: search(1).save(path)))
seconds = (time.perf_counter() - start) / 5
chance, old, results = random.Random(7), 1, []
for number in range(2, {KILLS} + 2):
    new = search(number)
    pid = forked(lambda: new.save(path))
    time.sleep(chance.uniform(0, 1.2 * seconds))
    os.kill(pid, signal.SIGKILL)
    results.append([old, number, code(pid), load(path), versions(path)])
    old = load(path)
print(json.dumps(results))
"""
    results = run_worker(script, timeout=60 + 2 * KILLS)
    assert len(results) == KILLS
    assert all(found in (old, new) for old, new, _, found, _ in results)
    assert all(ended == -9 or found == new for _, new, ended, found, _ in results)
    assert any(versions == 2 for *_, versions in results)  # killed amid a save
    assert all(versions <= 2 for *_, versions in results)


def test_who_reads_while_others_save_gets_a_whole_search(disk):
    script = f"""
path = Path({str(disk)!r}) / "search"
search(1).save(path)
searches = [search(number) for number in range(1, 31)]
def save():
    for each in searches: each.save(path)
saving, found = forked(save), []
while os.waitpid(saving, os.WNOHANG) == (0, 0): found.append(load(path))
ended = [code(writer) for writer in [forked(save), forked(save)]]
print(json.dumps([found, ended, load(path), versions(path)]))
"""
    found, ended, last, versions = run_worker(script)
    assert found == sorted(found)
    assert len(set(found)) > 2
    assert (ended, last, versions) == ([0, 0], 30, 1)


def test_a_save_between_looking_and_opening_is_noticed(saved, tmp_path, monkeypatch):
    path = Path(shutil.copytree(saved, tmp_path / "copy"))
    read = _folder._read_manifest
    looked = []

    def and_then_save(path):
        manifest = read(path)
        looked.append(manifest["version"])
        if len(looked) == 1:
            larger = searched()
            larger.add(QUERY)
            monkeypatch.setattr(_folder, "_read_manifest", read)
            larger.save(path, model=False)
            monkeypatch.setattr(_folder, "_read_manifest", and_then_save)
        return manifest

    monkeypatch.setattr(_folder, "_read_manifest", and_then_save)
    assert len(SimilaritySearch.load(path, model=flat).index) == 7
    assert len(set(looked)) == 2


def test_a_full_disk_leaves_the_old_search(disk):
    script = f"""
import resource
path = Path({str(disk)!r}) / "search"
search(1).save(path)
new, results = search(2), []
for limit in (0, 300, 3_000, 20_000, 25_000, 30_000, 1_000_000):
    def do():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        new.save(path)
    results.append([code(forked(do)), load(path), versions(path)])
print(json.dumps(results))
"""
    *full, enough = run_worker(script)
    assert enough == [0, 2, 1]
    assert all(result == [3, 1, 1] for result in full), full


def test_rows_that_are_not_all_in_the_file_are_noticed(copy, monkeypatch):
    search, before = searched(), contents(copy)
    save = search.index.save

    def save_without_room(path):
        save(path)
        path.with_name(f"{path.name}-left").touch()  # as SQLite leaves its log on a full disk

    monkeypatch.setattr(search.index, "save", save_without_room)
    with pytest.raises(OSError, match=r"there is no room for all rows: .*gallery.sqlite"):
        search.save(copy, model=False)
    assert contents(copy) == before


def test_a_read_only_folder_can_be_loaded_and_is_not_changed(tmp_path):
    script = f"""
os.mkdir({str(tmp_path / "open")!r}, 0o755)
os.chdir({str(tmp_path / "open")!r})  # another user may not come here by its whole name
path = Path("search")
search(1).save(path)
load(path)
new = search(2)
for name in [*path.rglob("*"), path]: name.chmod(0o555 if name.is_dir() else 0o444)
def do():
    if os.getuid() == 0: os.setuid(65534)
    assert load(path) == 1
    try: new.save(path)
    except PermissionError as error: os._exit(7)
ended = code(forked(do))
for name in [path, *path.iterdir()]: name.chmod(0o755)
print(json.dumps([ended, load(path), versions(path)]))
"""
    assert run_worker(script) == [7, 1, 1]


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


def test_what_a_killed_first_save_left_is_its_own(disk):
    script = f"""
path = Path({str(disk)!r}) / "search"
foreign, left = path / ("version-" + 16 * "0"), []
for step in range(1, 1000):
    acted = []
    def once(count, event):
        if count == step:
            acted.append(event)
            kill(count, event)
    def do():
        at_step(step, once)
        search(2).save(path)
        os._exit(9)
    if code(forked(do)) == 9:
        break
    left.append([load(path), versions(path)])
    if path.exists() and not load(path):
        foreign.mkdir()  # beside it, what is not its own
        try: search(3).save(path)
        except ValueError as error: assert "holds 'version-0000" in str(error), error
        else: raise AssertionError("saved")
        assert foreign.exists() and versions(path) == left[-1][1] + 1
        foreign.rmdir()
    search(3).save(path)
    assert (load(path), versions(path), len(os.listdir(path))) == (3, 1, 3), os.listdir(path)
    shutil.rmtree(path)
print(json.dumps(left))
"""
    left = run_worker(script)
    assert [0, 1] in left
    assert [2, 1] in left
