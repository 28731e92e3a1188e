"""What a file of rows survives: kills, full disks, other writers, damage."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from simnb.index import MemoryIndex, _sqlite_file, _sqlite_metadata, open_index

from .conftest import run, small, vectors

KILLS = int(os.environ.get("SIMNB_KILLS", "20"))  # SIMNB_KILLS=200 for the long run


# Each step is acknowledged by a line; a row's embedding, label and metadata all say which step wrote it last.
WRITER = """
import sys, numpy as np
from simnb.index import MemoryIndex, open_index
path, work = sys.argv[1:]
rows = 300
def of(step, ids):
    embeddings = np.repeat(np.float32(step + 1), len(ids) * 16).reshape(len(ids), 16)
    return dict(embeddings=embeddings, labels=[step] * len(ids), metadata={"step": [step] * len(ids)})
index = open_index(path, distance="euclidean")
print("ready", flush=True)
for step in range(1000):
    if work == "add":
        index.add(**of(step, range(rows)))
    elif work == "update":
        if not len(index):
            index.add(**of(step, range(rows)))
        index.update(np.arange(rows), **of(step, range(rows)))
    elif work == "remove":
        first = index.add(**of(step, range(rows)))
        print("added", step, flush=True)
        index.remove(first)
    else:
        memory = MemoryIndex(distance="euclidean")
        memory.add(**of(step, range(rows)))
        memory.save(path)
    print("done", step, flush=True)
"""


def killed(path, work, moment):
    """Start a writer, kill it a moment after it began; return the lines it printed."""
    if work == "save":
        open_index(path, distance="euclidean").close()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), work],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout.readline() == "ready\n"
        time.sleep(moment)
    finally:
        writer.send_signal(signal.SIGKILL)
        printed, errors = writer.communicate(timeout=60)
    assert errors == ""
    return printed.splitlines()


def steps_of(index):
    """Which step wrote each row: embedding, label and metadata agree."""
    rows = index.get()
    steps = rows.labels
    np.testing.assert_array_equal(rows.embeddings, np.repeat(steps[:, None] + 1, 16, axis=1))
    assert [row["step"] for row in rows.metadata] == steps.tolist()
    return steps


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
@pytest.mark.parametrize("work", ["add", "update", "remove", "save"])
def test_what_was_acknowledged_is_there_after_a_kill_and_the_rest_is_wholly_absent(tmp_path, work):
    moments = random.Random(work)
    for trial in range(max(1, KILLS // 4)):
        path = tmp_path / f"{trial}.sqlite"
        printed = killed(path, work, moments.uniform(0.0, 0.25))
        done = sum(line.startswith("done") for line in printed)
        with open_index(path) as index:
            steps, counts = np.unique(steps_of(index), return_counts=True) if len(index) else ([], [])
            assert all(count == 300 for count in counts)
            if work == "add":  # the last may have been written and not acknowledged
                assert list(steps) in (list(range(done)), list(range(done + 1)))
            elif work in ("update", "save"):
                last = done - 1
                assert list(steps) in ([last], [last + 1]) if done else list(steps) in ([], [0])
            else:
                assert list(steps) in ([], [done])
            index.add(np.ones((1, 16)))


def test_the_long_run_of_kills_is_as_many_as_promised():
    assert KILLS >= 20


OTHER = """
import sys, numpy as np
from simnb.index import open_index
path, first = sys.argv[1], int(sys.argv[2])
index = open_index(path)
for i in range(30):
    index.add(np.eye(4, dtype="float32")[[i % 4]] + first + i, [first + i], {"by": [first]})
"""


def test_two_processes_write_one_file_and_each_sees_the_other(tmp_path):
    path = tmp_path / "shared.sqlite"
    with open_index(path) as index:
        index.add(np.ones((1, 4)), [7], {"by": [0]})
        others = [
            subprocess.Popen([sys.executable, "-c", OTHER, str(path), str(first)]) for first in (100, 200)
        ]
        seen = set()
        while any(other.poll() is None for other in others):
            seen.add(len(index))
        assert [other.returncode for other in others] == [0, 0]
        assert len(index) == 61
        assert sorted(index.ids.tolist()) == list(range(61))
        assert sorted(index.labels.tolist()) == [7, *range(100, 130), *range(200, 230)]
        assert len(seen) > 2  # rows came while the others ran
        nobody = index.search(np.ones((1, 4)), k=61, where={"by": 100}).labels[0]
        assert set(nobody[:30].tolist()) == set(range(100, 130))
        assert index.add(np.ones((1, 4))).tolist() == [61]


def test_changes_by_another_are_seen_whatever_they_are(tmp_path):
    here, there = open_index(tmp_path / "g.sqlite"), open_index(tmp_path / "g.sqlite")
    here.add(vectors(5), ["a", "b", "a", "b", "c"], {"n": [0, 1, 2, 3, 4]})
    assert len(there) == 5
    there.search(vectors(1), k=2)
    here.remove([1])
    assert there.ids.tolist() == [0, 2, 3, 4]
    assert there.search(vectors(5), k=1).ids[1, 0] != 1
    here.update([0], embeddings=-vectors(1), labels=["d"], metadata=[{"n": 9}])
    assert there.class_names == ("a", "b", "c", "d")
    assert there.get([0]).metadata.tolist() == [{"n": 9}]
    assert there.search(-vectors(1), k=1).ids.tolist() == [[0]]
    here.add(vectors(1), ids=[5])
    with pytest.raises(ValueError, match="ids must be new, but the index already holds id 5"):
        there.add(vectors(1), ids=[5])
    MemoryIndex().save(tmp_path / "g.sqlite")
    assert (len(here), len(there), here.class_names) == (0, 0, None)
    here.close()
    there.close()


def test_a_second_writer_waits_and_then_says_so(tmp_path, monkeypatch):
    index = small(tmp_path / "g.sqlite")
    monkeypatch.setattr(index._file._db, "_patience", 0.2)
    other = sqlite3.connect(tmp_path / "g.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError, match=r"has been using the file for more than 0\.2 s; try again"):
        index.add(np.ones((1, 4)))
    assert len(index) == 12  # reading goes on
    other.execute("COMMIT")
    other.close()
    assert index.add(np.ones((1, 4))).tolist() == [12]
    index.close()


def test_a_closed_index_says_so_and_another_distance_is_taken_over(tmp_path):
    index = small(tmp_path / "g.sqlite")
    with MemoryIndex(distance="euclidean") as memory:
        memory.add(np.zeros((2, 3)))
        memory.save(tmp_path / "g.sqlite")
    assert index.search(np.zeros((1, 3)), k=1).distance == "euclidean"
    index.close()
    with pytest.raises(ValueError, match="is closed: open it again"):
        len(index)


def damaged_answers(path, whole, damage):
    """Damage the file in turn; what opening it and reading everything gave: 'right' or the refusal."""
    with open_index(path) as index:
        expected = index.get()
        nearest = index.search(vectors(5, 4, seed=1), k=3).ids
        filtered = index.search(vectors(5, 4, seed=1), k=3, where={"source": "s1"}).ids
    for position in range(0, len(whole), 1):
        for changed in damage(position):
            path.write_bytes(changed)
            try:
                with open_index(path) as index:
                    got = index.get()
                    ids = index.search(vectors(5, 4, seed=1), k=3).ids
                    some = index.search(vectors(5, 4, seed=1), k=3, where={"source": "s1"}).ids
            except (ValueError, OSError) as error:
                yield position, str(error)
                continue
            assert got.ids.tolist() == expected.ids.tolist(), position
            np.testing.assert_array_equal(got.embeddings, expected.embeddings)
            assert got.names.tolist() == expected.names.tolist(), position
            assert got.metadata.tolist() == expected.metadata.tolist(), position
            np.testing.assert_array_equal(ids, nearest)
            np.testing.assert_array_equal(some, filtered)
            yield position, "right"
            for left in (Path(f"{path}-wal"), Path(f"{path}-shm")):
                left.unlink(missing_ok=True)


def used(whole):
    """Positions of bytes that are not in a run of zeros: a page of SQLite is mostly empty here."""
    data = np.frombuffer(whole, np.uint8)
    return set(np.flatnonzero(np.convolve(data != 0, np.ones(17), "same") > 0).tolist())


def test_a_file_with_a_flipped_byte_is_refused_or_right(tmp_path):
    path = tmp_path / "g.sqlite"
    small(path).close()
    whole = path.read_bytes()
    wanted, rng = used(whole), random.Random(0)

    def flips(position):
        if position in wanted and rng.random() < SHARE:
            yield (
                whole[:position] + bytes([whole[position] ^ (1 << rng.randrange(8))]) + whole[position + 1 :]
            )

    answers = [answer for _, answer in damaged_answers(path, whole, flips)]
    refused = sum(answer != "right" for answer in answers)
    assert refused > 0.3 * len(answers)
    assert all(str(path) in answer for answer in answers if answer != "right")


SHARE = float(os.environ.get("SIMNB_FLIPS", "0.15"))  # SIMNB_FLIPS=1 tries every byte


def test_a_file_that_was_cut_is_refused(tmp_path):
    path = tmp_path / "g.sqlite"
    small(path).close()
    whole = path.read_bytes()
    step = max(1, int(16 / SHARE))

    def cuts(position):
        if position % step == 1:
            yield whole[:position]

    answers = dict(damaged_answers(path, whole, cuts))
    assert len(answers) > 50
    assert "right" not in answers.values()


FULL = """
import resource, signal, sys, numpy as np
from simnb.index import MemoryIndex, open_index
path, work = sys.argv[1:]
index = open_index(path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
memory = MemoryIndex()
memory.add(np.ones((20_000, 4)))
try:
    index.add(np.ones((20_000, 4))) if work == "add" else memory.save(path)
except OSError as error:
    print(type(error).__name__, error)
print(len(index), index.search(np.ones((1, 4)), k=1).ids.tolist()[0][0] >= 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files, which Windows cannot")
@pytest.mark.parametrize("work", ["add", "save"])
def test_a_full_disk_leaves_the_index_as_it_was(tmp_path, work):
    path = tmp_path / "g.sqlite"
    small(path).close()
    done = run(FULL, path, work)
    first, second = done.stdout.splitlines()
    assert str(path) in first, done.stderr
    assert second == "12 True"
    with open_index(path) as index:
        assert len(index.get()) == 12
        index.add(np.ones((20_000, 4)))


SMALL_DISK = """
import os, sys, numpy as np
from simnb.index import MemoryIndex, open_index
folder = sys.argv[1]
path, new, filler = f"{folder}/g.sqlite", f"{folder}/new.sqlite", f"{folder}/filler"
memory = MemoryIndex()
memory.add(np.ones((4_000, 16)), metadata={"n": range(4_000)})
for room in range(0, 200_000, 10_000):
    disk = os.statvfs(folder)
    with open(filler, "wb") as file:
        file.write(bytes(disk.f_bavail * disk.f_frsize - room))
    for work in (lambda: memory.save(path), lambda: memory.save(new), lambda: memory.save(path)):
        try:
            work()
        except OSError as error:
            print(error.errno, error.strerror)
    os.remove(filler)
    with open_index(path) as index:
        print(len(index.get()), sorted(os.listdir(folder)))
"""


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    mounted = sys.platform == "linux" and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root can mount a small disk, on Linux")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_is_called_full_wherever_it_fills_up(small_disk):
    small(small_disk / "g.sqlite").close()
    done = run(SMALL_DISK, small_disk)
    lines = done.stdout.splitlines()
    assert len(lines) == 20 * 4, done.stderr
    assert set(lines) == {"28 the disk is full; the index is as it was before", "12 ['g.sqlite']"}


def test_a_first_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    index = MemoryIndex()
    index.add(vectors(5))

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_sqlite_file.GalleryFile, "append", fails)
    with pytest.raises(OSError, match="No space left"):
        index.save(tmp_path / "g.sqlite")
    assert list(tmp_path.iterdir()) == []


AS_NOBODY = """
import os, sys, numpy as np
from simnb.index import open_index
os.setuid(65534)
try:
    with open_index(sys.argv[1]) as index:
        print(len(index.get()), index.search(np.ones((1, 4)), k=1).ids[0, 0] >= 0)
        index.add(np.ones((1, 4)))
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become somebody else"
)
def test_a_folder_that_cannot_be_written_to_is_read_and_left_alone(tmp_path):
    path = tmp_path / "g.sqlite"
    small(path).close()
    before = path.read_bytes()
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o555)
    tmp_path.chmod(0o555)
    path.chmod(0o444)
    done = run(AS_NOBODY, path)
    first, second = done.stdout.splitlines()
    assert first == "12 True", done.stderr
    assert second.startswith("PermissionError")
    assert "cannot be written to" in second
    assert path.read_bytes() == before


def test_what_is_no_index_is_refused(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(ValueError, match="is an SQLite file, but not an index of simnb; choose another name"):
        open_index(other)
    with pytest.raises(ValueError, match="not an index of simnb"):
        MemoryIndex().save(other)
    text = tmp_path / "text.sqlite"
    text.write_text("hello " * 1000)
    with pytest.raises(ValueError, match="is not an index: it is not an SQLite file"):
        open_index(text)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        open_index(tmp_path / "missing" / "g.sqlite")
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(OSError, match=r"folder\.sqlite"):
        open_index(tmp_path / "folder.sqlite")
    index = small(tmp_path / "g.sqlite")
    with pytest.raises(ValueError, match="is the file of this index: every change is in it already"):
        index.save(tmp_path / "g.sqlite")
    with pytest.raises(ValueError, match=r"class_names must be that of .*'class 1'\), got \('x', 'y'\)"):
        open_index(tmp_path / "g.sqlite", class_names=["x", "y"])
    index.close()
    with sqlite3.connect(tmp_path / "g.sqlite") as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(ValueError, match=r"has format 2, this simnb reads format 1: update it"):
        open_index(tmp_path / "g.sqlite")


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TRIGGER more AFTER INSERT ON blocks BEGIN DELETE FROM blocks; END",
        "ALTER TABLE blocks RENAME TO kept; CREATE VIEW blocks AS SELECT * FROM kept",
        "CREATE  virtual TABLE more USING fts5(text)",
    ],
)
def test_a_file_that_would_have_sqlite_run_something_is_refused_and_left_as_it_is(tmp_path, statements):
    path = tmp_path / "g.sqlite"
    small(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(statements)
    before = path.read_bytes()
    for use in (open_index, MemoryIndex().save):
        with pytest.raises(
            ValueError, match=r"g\.sqlite is not used: it holds '(more|blocks)', which simnb never"
        ):
            use(path)
    assert path.read_bytes() == before


def test_the_file_is_one_file_once_it_is_closed(tmp_path):
    small(tmp_path / "g.sqlite").close()
    assert [path.name for path in tmp_path.iterdir()] == ["g.sqlite"]


def test_the_digest_of_a_file_changed_step_by_step_is_that_of_its_rows(tmp_path):
    path = tmp_path / "g.sqlite"
    index = small(path)
    index.update([3, 5], labels=["class 2", "class 0"], metadata=[{"year": 1}, {"source": None}])
    index.remove([0, 7])
    index.add(vectors(2, 4, seed=3), ids=[4, 40], existing="replace")
    index.update([4], embeddings=-vectors(1, 4))
    index.close()
    with open_index(path) as again:  # compares it
        assert len(again) == 11
        assert again.search(vectors(1, 4), k=2, where={"year": 1}).ids.tolist() == [[3, -1]]


def test_metadata_are_not_compared_again_after_a_change_of_ones_own(tmp_path, monkeypatch):
    compared, check = [], _sqlite_metadata.MetadataTable.check
    monkeypatch.setattr(
        _sqlite_metadata.MetadataTable, "check", lambda *rows: compared.append(1) or check(*rows)
    )
    index, query = small(tmp_path / "g.sqlite"), vectors(1, 4)
    assert index.search(query, k=12, where={"year": {">=": 2011}}).ids[0, :2].tolist() == [11, -1]
    index.add(query, metadata=[{"year": 2012}])
    index.update([3], metadata=[{"year": 2013}])
    index.remove([11])
    assert sorted(index.search(query, k=12, where={"year": {">=": 2011}}).ids[0, :2]) == [3, 12]
    assert len(compared) == 1
    with open_index(tmp_path / "g.sqlite") as other:
        other.update([3], metadata=[{"year": 1900}])
    assert index.search(query, k=12, where={"year": {">=": 2011}}).ids[0, :2].tolist() == [12, -1]
    assert len(compared) == 2
    index.close()
