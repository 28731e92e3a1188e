"""Who else touches a file of rows: forked processes, other users, copies in its place, earlier versions."""

import contextlib
import copy
import os
import pickle
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simnb.index import MemoryIndex, open_index
from simnb.index._sqlite_file import GalleryFile

from .conftest import beside, run, small, vectors
from .test_sqlite import SHARE

BEFORE = Path(__file__).parent / "written_before"  # by the version that wrote ahead, into -wal
as_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become somebody else"
)


READER = """
import os, sys, numpy as np
from simnb.index import open_index
os.setuid(65534)
index = open_index(sys.argv[1])
for line in sys.stdin:
    rows = index.get()
    some = index.search(rows.embeddings[:1], k=50, where={"year": {">": 0}}).ids[0]
    print(len(index), len(rows), (some >= 0).sum(), flush=True)
"""


@as_root
@pytest.mark.parametrize("written", ["now", "before"])
def test_a_reader_who_may_not_write_sees_what_others_wrote(tmp_path, written):
    path = tmp_path / "g.sqlite"
    if written == "now":
        small(path, count=4).close()
    else:
        shutil.copy(BEFORE / "closed.sqlite", path)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o555)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=-1, stdout=-1, stderr=-1, text=True
    )

    def count():
        reader.stdin.write("\n")
        reader.stdin.flush()
        return reader.stdout.readline()

    try:
        assert count() == "4 4 4\n"
        with open_index(path) as index:
            for number in range(5, 9):
                index.add(vectors(1, 4), metadata={"year": [2020]})
                assert count() == f"{number} {number} {number}\n"
        with open_index(path) as index:
            index.remove([0, 1])
        assert count() == "6 6 6\n"
        MemoryIndex().save(path)
        with open_index(path) as index:
            index.add(np.ones((1, 4)), metadata={"year": [2020]})
        assert count() == "1 1 1\n"
    finally:
        _, errors = reader.communicate(timeout=60)
    assert errors == ""


def other_rows(path):
    """An index of three other rows in a file."""
    with open_index(path, distance="euclidean") as index:
        index.add(vectors(3, 4, seed=5), ["x", "y", "z"], {"source": ["s9"] * 3})


def test_a_file_put_in_the_place_of_an_open_one_is_read(tmp_path):
    path, other = tmp_path / "g.sqlite", tmp_path / "other.sqlite"
    index, again = small(path), open_index(path)
    other_rows(other)
    os.replace(other, path)
    for one in (index, again):
        assert (len(one), one.class_names, one.distance) == (3, ("x", "y", "z"), "euclidean")
        assert one.search(vectors(3, 4, seed=5), k=1, where={"source": "s9"}).ids[:, 0].tolist() == [0, 1, 2]
    assert index.add(vectors(1, 4)).tolist() == [3]
    assert again.get([3]).ids.tolist() == [3]
    index.close()
    again.close()
    with open_index(path) as third:
        assert len(third) == 4
    assert beside(path) == ["g.sqlite"]


def test_a_copy_of_before_may_be_put_back_under_an_open_index(tmp_path):
    path, older = tmp_path / "g.sqlite", tmp_path / "older.sqlite"
    index = small(path)
    shutil.copy(path, older)
    index.add(vectors(2, 4), ["class 0"] * 2, {"year": [1, 2]})
    index.update([0], labels=["class 1"])
    shutil.copyfile(older, path)  # into the same file
    assert len(index) == 12
    assert index.add(vectors(1, 4, seed=8)).tolist() == [12]
    shutil.copy(older, tmp_path / "again.sqlite")
    os.replace(tmp_path / "again.sqlite", path)  # another file
    assert index.ids.tolist() == list(range(12))
    assert index.get([0]).names.tolist() == ["class 0"]
    index.close()


def test_rows_of_a_branch_are_not_mixed_with_those_of_another(tmp_path):
    path, branch = tmp_path / "g.sqlite", tmp_path / "branch.sqlite"
    index = small(path)
    shutil.copy(path, branch)
    index.add(vectors(1, 4, seed=1))
    with open_index(branch) as other:
        other.add(vectors(2, 4, seed=2))
    shutil.copyfile(branch, path)
    np.testing.assert_array_equal(index.get([12, 13]).embeddings, vectors(2, 4, seed=2))
    index.close()


def test_a_file_that_was_deleted_is_missed_and_its_rows_can_still_be_saved(tmp_path):
    path = tmp_path / "g.sqlite"
    index = small(path)
    expected = index.get()
    shutil.copy(path, tmp_path / "copy.sqlite")
    path.unlink()
    for verb in (lambda: index.add(np.ones((1, 4))), lambda: len(index), lambda: index.get()):
        with pytest.raises(FileNotFoundError, match=r"is gone; put it back, or write the rows .*save"):
            verb()
    index.save(tmp_path / "saved.sqlite")
    with open_index(tmp_path / "saved.sqlite") as saved:
        assert saved.get().metadata.tolist() == expected.metadata.tolist()
    os.replace(tmp_path / "copy.sqlite", path)
    assert index.add(np.ones((1, 4))).tolist() == [12]
    index.close()


def test_what_was_written_to_a_file_that_is_gone_is_not_acknowledged(tmp_path):
    path, other = tmp_path / "g.sqlite", tmp_path / "other.sqlite"
    small(path).close()
    other_rows(other)
    with contextlib.closing(GalleryFile(path)) as file:
        with pytest.raises(
            OSError, match="was replaced while it was written to: the change is in the old file only"
        ):
            file.writing(lambda _: os.replace(other, path))
        assert file.reading(lambda settings: settings.rows) == 3


WAITING = """
import sys, numpy as np
from simnb.index import open_index
index = open_index(sys.argv[1])
for i in range(25):
    index.add(np.full((10, 4), i + 1.0), [f"class {i}"] * 10, {"year": [i] * 10})
print("done", flush=True)
sys.stdin.read()
"""


def kill_with(code, path):
    """Run code until it says so, and kill it."""
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=-1, stdout=-1, text=True)
    try:
        assert process.stdout.readline() == "done\n"
    finally:
        process.kill()
        process.communicate()


def test_after_a_kill_the_file_alone_holds_all_that_was_acknowledged(tmp_path):
    path = tmp_path / "g.sqlite"
    kill_with(WAITING, path)
    assert beside(path) == ["g.sqlite"]
    (tmp_path / "elsewhere").mkdir()
    copied = shutil.copy(path, tmp_path / "elsewhere" / "copy.sqlite")
    with open_index(copied) as index:
        assert len(index.get()) == 250
        assert (index.search(np.ones((1, 4)), k=20, where={"year": 24}).ids >= 240).sum() == 10


# So small a cache that the file is changed long before the end; every row would be another one.
KILLED_IN_A_CHANGE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE blocks SET embeddings = zeroblob(length(embeddings))")
db.execute("UPDATE metadata SET value = 'changed'")
db.execute("UPDATE simnb SET settings = 'changed'")
db.execute("CREATE TABLE more AS SELECT zeroblob(4096) FROM blocks, metadata LIMIT 100")
print("done", flush=True)
sys.stdin.read()
"""


def changed_and_killed(path, code=KILLED_IN_A_CHANGE):
    """A file in the midst of a change, and the journal beside it."""
    whole = path.read_bytes()
    kill_with(code, path)
    assert beside(path) == [path.name, f"{path.name}-journal"]
    assert path.read_bytes() != whole
    return Path(f"{path}-journal")


def test_what_a_killed_process_had_begun_is_undone(tmp_path):
    path = tmp_path / "g.sqlite"
    with small(path, count=200) as index:
        expected = index.get()
    changed_and_killed(path)
    with open_index(path) as index:
        rows = index.get()
    np.testing.assert_array_equal(rows.embeddings, expected.embeddings)
    assert rows.metadata.tolist() == expected.metadata.tolist()
    assert beside(path) == ["g.sqlite"]


def test_a_copy_put_back_after_a_kill_is_not_undone_by_what_was_left(tmp_path):
    path, older = tmp_path / "g.sqlite", tmp_path / "older.sqlite"
    with small(path, count=200) as index:
        index.save(older)
        index.remove(range(100))
        index.add(vectors(150, 4, seed=3))
    changed_and_killed(path)
    shutil.copyfile(older, path)
    with open_index(path) as index:
        assert index.get().ids.tolist() == list(range(200))
        assert index.add(np.ones((1, 4))).tolist() == [200]
    assert beside(path) == ["g.sqlite"]


def test_a_journal_with_a_flipped_byte_leads_to_a_refusal_or_to_the_right_rows(tmp_path):
    path = tmp_path / "g.sqlite"
    with small(path, count=200) as index:
        expected = index.get()
    journal = changed_and_killed(path)
    half, left, rng, answers = path.read_bytes(), journal.read_bytes(), random.Random(0), []
    for position in rng.sample(range(len(left)), int(min(len(left), 400 * SHARE))):
        path.write_bytes(half)
        flipped = bytes([left[position] ^ (1 << rng.randrange(8))])
        journal.write_bytes(left[:position] + flipped + left[position + 1 :])
        try:
            with open_index(path) as index:
                rows = index.get()
        except (ValueError, OSError) as error:
            answers.append(str(error))
            journal.unlink(missing_ok=True)
            continue
        np.testing.assert_array_equal(rows.embeddings, expected.embeddings)
        assert rows.metadata.tolist() == expected.metadata.tolist()
        answers.append("right")
    assert "right" in answers
    assert all(str(path) in answer for answer in answers if answer != "right")


def test_damage_is_said_with_what_to_do_about_the_files_beside(tmp_path):
    path = tmp_path / "g.sqlite"
    small(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE blocks SET embeddings = zeroblob(length(embeddings))")
    with pytest.raises(ValueError, match=r"g\.sqlite is damaged: .*with no file .* -journal, -wal or -shm"):
        open_index(path)


def test_only_the_content_of_a_file_is_called_damaged(tmp_path):
    index = small(tmp_path / "g.sqlite")

    def within(settings):
        index._file._db.db.execute("BEGIN")

    with pytest.raises(OSError, match=r"cannot be read or written now .*within a transaction.*try again"):
        index._file.reading(within)
    assert len(index) == 12
    index.close()


@pytest.mark.parametrize("name", ["closed", "killed"])
def test_a_file_of_before_is_opened_and_becomes_one_of_now(tmp_path, name):
    path = tmp_path / "g.sqlite"
    for file in BEFORE.glob(f"{name}.sqlite*"):
        shutil.copy(file, tmp_path / file.name.replace(name, "g"))
    assert path.read_bytes()[18] == 2  # it writes ahead
    for _ in range(2):
        with open_index(path) as index:
            assert index.ids.tolist() == [0, 1, 2, 4]
            assert index.distance == "euclidean"
            rows = index.get()
            assert rows.names.tolist() == ["cat", "dog", "cat", "eel"]
            assert rows.metadata[1] == {"year": 2001, "file": "1.png", "thumb": b"\x89PNG"}
            expected = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
            np.testing.assert_array_equal(rows.embeddings, expected[[0, 1, 2, 4]])
        assert path.read_bytes()[18] == 1
        assert beside(path) == ["g.sqlite"]


def test_a_file_of_before_that_is_in_use_goes_on_as_it_is(tmp_path):
    path = tmp_path / "g.sqlite"
    shutil.copy(BEFORE / "closed.sqlite", path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as earlier:
        earlier.execute("SELECT count(*) FROM blocks").fetchall()
        with open_index(path) as index:
            assert index.add(np.ones((1, 4))).tolist() == [5]
            assert earlier.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with open_index(path) as index:
        assert len(index) == 5
    assert path.read_bytes()[18] == 1


@pytest.mark.parametrize("name", ["file:x.sqlite", "a?b=c&d#e%20f.sqlite", "üñ ☃.sqlite", b"caf\xe9.sqlite"])
def test_a_name_is_a_name_whatever_is_in_it(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name)
    with open_index(name) as index:
        index.add(np.eye(3))
        monkeypatch.chdir("/")
        index.add(np.eye(3))
    assert os.listdir(tmp_path) == [name]
    with open_index(tmp_path / name) as index:
        assert len(index) == 6


@pytest.mark.parametrize("place", ["memory:", "g.sqlite"])
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_an_index_can_be_copied(tmp_path, place, how):
    index = open_index(place if place == "memory:" else tmp_path / place, distance="euclidean")
    index.add(vectors(5, 4), ["a", "b", "a", "b", "c"], {"n": range(5)})
    index.remove([4])
    other = how(index)
    assert other.get().metadata.tolist() == [{"n": i} for i in range(4)]
    assert (other.class_names, other.distance) == (("a", "b", "c"), "euclidean")
    assert other.add(vectors(1, 4)).tolist() == [5]
    other.update([0], labels=["c"], metadata=[{"n": 7}])
    same_file = place != "memory:"
    assert len(index) == (5 if same_file else 4)
    assert index.get([0]).metadata.tolist() == [{"n": 7 if same_file else 0}]
    index.close()
    other.close()
    with pytest.raises(ValueError, match="is closed: open it again"):
        how(index).add(vectors(1, 4))


def test_a_file_may_have_two_names(tmp_path):
    path, other = tmp_path / "g.sqlite", tmp_path / "other.sqlite"
    index = small(path)
    os.link(path, other)
    with open_index(other) as again:
        again.add(np.ones((1, 4)))
        assert len(index) == 13
        index.add(np.ones((1, 4)))
        assert len(again) == 14
    index.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_a_graph_file_and_rows_agree_after_the_file_is_replaced(tmp_path):
    pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
    path = tmp_path / "g.sqlite"
    index = open_index(path, search="hnsw")
    index.add(vectors(300, 8))
    index.search(vectors(2, 8), k=3)
    with open_index(tmp_path / "other.sqlite") as other:
        other.add(vectors(200, 8, seed=4))
    os.replace(tmp_path / "other.sqlite", path)
    found = index.search(vectors(200, 8, seed=4), k=1).ids[:, 0]
    assert (found == np.arange(200)).mean() > 0.9
    index.close()


@pytest.mark.parametrize("place", ["memory:", "g.sqlite"])
def test_rows_for_which_there_is_no_memory_are_not_added(tmp_path, monkeypatch, place):
    index = open_index(place if place == "memory:" else tmp_path / place)
    index.add(np.eye(4))

    def too_many(*_):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr("simnb.index._rows.Table.with_room", too_many)
        with pytest.raises(MemoryError, match="no room"):
            index.add(np.eye(4))
    assert index.ids.tolist() == [0, 1, 2, 3]
    assert index.add(np.eye(4)).tolist() == [4, 5, 6, 7]
    index.close()
    if place != "memory:":
        with open_index(tmp_path / place) as again:
            assert len(again) == 8


def test_a_read_that_was_broken_off_holds_up_nobody(tmp_path, monkeypatch):
    path = tmp_path / "g.sqlite"
    small(path, count=200).close()
    unpacked, calls = "simnb.index._sqlite_file._unpacked", []

    def interrupted(*_):
        calls.append(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(unpacked, interrupted)
        with pytest.raises(KeyboardInterrupt) as kept:
            open_index(path)
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
    assert calls
    assert kept.value is not None  # its traceback held what was being read


def test_an_index_stays_at_its_place_when_the_current_folder_changes(tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    index = open_index("g.sqlite", search="hnsw")
    index.add(vectors(100, 8))
    monkeypatch.chdir(tmp_path / "other")
    assert len(copy.deepcopy(index)) == 100
    index.search(vectors(1, 8), k=1)
    with pytest.raises(ValueError, match="is the file of this index"):
        index.save(tmp_path / "g.sqlite")
    index.close()
    assert os.listdir(tmp_path / "other") == []
    assert beside(tmp_path / "g.sqlite") == ["g.sqlite", "g.sqlite.hnsw"]


def test_a_pickled_index_whose_file_is_gone_is_missed(tmp_path):
    index = small(tmp_path / "g.sqlite")
    pickled = pickle.dumps(index)
    index.close()
    (tmp_path / "g.sqlite").unlink()
    with pytest.raises(FileNotFoundError, match="the file of this index is gone"):
        pickle.loads(pickled)
    assert os.listdir(tmp_path) == []


LINKED = """
import os, sys
from simnb.index import open_index
os.setuid(65534)
try:
    print(len(open_index(sys.argv[1])))
except OSError as error:
    print(type(error).__name__, error)
"""


@as_root
@pytest.mark.parametrize("linked", [False, True])
def test_rows_that_only_the_owner_can_bring_home_are_not_left_out_silently(tmp_path, linked):
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in BEFORE.glob("killed.sqlite*"):
        shutil.copy(file, folder)
    path = folder / "killed.sqlite"
    if linked:
        path = tmp_path / "link.sqlite"
        path.symlink_to(folder / "killed.sqlite")
    for parent in (folder, *folder.parents[:-2]):
        parent.chmod(parent.stat().st_mode | 0o555)
    folder.chmod(0o555)
    done = run(LINKED, path)
    assert done.stdout.startswith("PermissionError"), done.stderr
    assert "left rows in the file beside it that ends in -wal; open it once as a user who may" in done.stdout


# The journal holds all pages that change. Many of them become free ones.
KILLED_IN_A_REMOVAL = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA synchronous = OFF")
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("DELETE FROM bytes")
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("seed", range(12))
def test_a_file_of_which_any_pages_were_written_is_undone_or_whole(tmp_path, seed):
    # SQLite writes the pages of a change in no order that a kill would respect.
    path, rng, size = tmp_path / "g.sqlite", random.Random(seed), 4096
    with small(path, count=300) as index:
        index.update(range(0, 300, 2), metadata={"thumb": [bytes(3000)] * 150})
        expected = index.get()
    before, copied = path.read_bytes(), shutil.copy(path, tmp_path / "copy")
    changed_and_killed(path, KILLED_IN_A_REMOVAL)
    with contextlib.closing(sqlite3.connect(copied)) as db:
        db.execute("DELETE FROM bytes")
        db.commit()
    after = copied.read_bytes()
    copied.unlink()
    pages = len(after) // size
    # At first only page 1, where SQLite keeps which pages are free; then any.
    written = {0} if seed == 0 else {page for page in range(pages) if rng.random() < seed / 12}
    sources = [after if page in written else before for page in range(pages)]
    parts = [source[page * size : (page + 1) * size] for page, source in enumerate(sources)]
    path.write_bytes(b"".join(parts))
    with open_index(path) as index:
        assert index.get().metadata.tolist() == expected.metadata.tolist()
        for _ in range(3):
            index.add(vectors(40, 4), ["class 0"] * 40, {"thumb": [bytes(3000)] * 40})
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert beside(path) == ["g.sqlite"]
