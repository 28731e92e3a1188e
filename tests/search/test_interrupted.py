"""Kills, full disks and other processes; without Keras, for which a stand-in writes a number."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from simnb import _snapshot
from simnb.search import SimilaritySearch

from .conftest import QUERY, contents, flat, searched

KILLS = int(os.environ.get("SIMNB_KILLS", "25"))  # a long run: 200

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
sys.modules["simnb.models"].TorchEmbedder = type("TorchEmbedder", (), {})  # no model here is one

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
    read = _snapshot._read_manifest
    looked = []

    def and_then_save(path):
        manifest = read(path)
        looked.append(manifest["version"])
        if len(looked) == 1:
            larger = searched()
            larger.add(QUERY)
            monkeypatch.setattr(_snapshot, "_read_manifest", read)
            larger.save(path, model=False)
            monkeypatch.setattr(_snapshot, "_read_manifest", and_then_save)
        return manifest

    monkeypatch.setattr(_snapshot, "_read_manifest", and_then_save)
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
