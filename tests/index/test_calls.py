"""Calls that have to be kept apart: of threads, from within one another, and of forked processes."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from simnb.index import open_index

from .conftest import beside, run

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")


def test_threads_may_share_an_index(tmp_path):
    index = open_index(tmp_path / "g.sqlite")
    threads = [
        threading.Thread(target=lambda: [index.add(np.ones((1, 4))) for _ in range(20)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(index.ids.tolist()) == list(range(80))
    index.close()


@pytest.mark.parametrize("place", ["memory:", "g.sqlite"])
def test_threads_may_search_while_others_add_and_remove(tmp_path, place):
    index, problems = open_index(place if place == "memory:" else tmp_path / place), []
    rows = np.eye(60, dtype=np.float32)
    index.add(rows, ids=range(60))

    def change():
        for i in range(30):
            index.remove([i])
            index.add(rows[i : i + 1], ids=[100 + i])

    def search():
        for _ in range(60):
            found = index.search(rows[30:], k=1).ids[:, 0].tolist()
            if found != list(range(30, 60)):
                problems.append(found)

    threads = [threading.Thread(target=work) for work in (change, search, search)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert index.search(rows[:30], k=1).ids[:, 0].tolist() == list(range(100, 130))
    index.close()


class Calling(list):
    """Labels that call the index that they are added to."""

    def __init__(self, call):
        super().__init__([1, 1, 1, 1])
        self.call = call

    def __iter__(self):
        self.call()
        return super().__iter__()


@pytest.mark.parametrize("place", ["memory:", "g.sqlite"])
def test_a_call_from_within_a_call_is_refused_and_changes_nothing(tmp_path, place):
    index = open_index(place if place == "memory:" else tmp_path / place)
    index.add(np.eye(4))
    for call in (lambda: len(index), lambda: index.add(np.eye(4)), lambda: index.distance):
        with pytest.raises(ValueError, match="was called from within one of its own calls"):
            index.add(np.eye(4), Calling(call))
    assert index.ids.tolist() == [0, 1, 2, 3]
    index.add(np.eye(4), metadata=({"n": len(index)} for _ in range(4)))  # a generator is run before
    assert index.get().metadata[4:].tolist() == [{"n": 4}] * 4
    index.close()


FORK = """
import os, sys, numpy as np
from simnb.index import open_index
index = open_index(sys.argv[1])
index.add(np.eye(4, dtype="float32"))
child = os.fork()
if child == 0:
    print(index.add(np.eye(4, dtype="float32")).tolist(), flush=True)
    for _ in range(20):
        index.add(np.ones((1, 4)))
    os._exit(0)
for _ in range(20):
    index.add(np.ones((1, 4)))
assert os.waitpid(child, 0)[1] == 0
print(len(index), flush=True)
index.close()
"""


@forks
def test_a_fork_loses_nothing_that_parent_or_child_was_told_is_there(tmp_path):
    path = tmp_path / "g.sqlite"
    done = run(FORK, path)
    assert done.returncode == 0, done.stderr
    answer, count = done.stdout.splitlines()
    assert len(eval(answer)) == 4
    assert count == "48"
    with open_index(path) as index:
        assert sorted(index.ids.tolist()) == list(range(48))
    assert beside(path) == ["g.sqlite"]


FORK_AND_CLOSE = """
import os, sys, numpy as np
from simnb.index import open_index
index = open_index(sys.argv[1])
index.add(np.eye(4, dtype="float32"))
ended, end = os.pipe()
child = os.fork()
if child == 0:
    os.close(end)
    for _ in range(int(sys.argv[2])):
        index.add(np.eye(4, dtype="float32"))
    print("added", flush=True)
    os.read(ended, 1)  # until the parent has closed
    for _ in range(int(sys.argv[2])):
        index.add(np.eye(4, dtype="float32"))
    print("added", flush=True)
    os._exit(0)
sys.stdin.readline()
index.close()
os.close(end)
os.waitpid(child, 0)
"""


@forks
@pytest.mark.parametrize("times", [1, 5])
def test_what_a_child_was_told_is_there_stays_when_the_parent_closes(tmp_path, times):
    path = tmp_path / "g.sqlite"
    command = [sys.executable, "-c", FORK_AND_CLOSE, str(path), str(times)]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    assert process.stdout.readline() == "added\n"
    rest, _ = process.communicate("close\n", timeout=60)
    assert rest == "added\n"
    with open_index(path) as index:
        assert len(index.get()) == 4 + 8 * times
    assert beside(path) == ["g.sqlite"]


FORK_DURING_SEARCH = """
import os, signal, sys, threading, numpy as np
from simnb.index import open_index
index = open_index(sys.argv[1])
index.add(np.random.default_rng(0).normal(size=(20_000, 160)).astype("float32"))
index.search(index.get([0]).embeddings, k=3)  # imports what searches; a fork waits for a search, not for that
stop = threading.Event()
def search():
    while not stop.is_set():
        index.search(index.get(range(200)).embeddings, k=3)
thread = threading.Thread(target=search)
thread.start()
codes = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        right = len(index) == 20_000 and index.search(index.get([7]).embeddings, k=1).ids[0, 0] == 7
        os._exit(0 if right else 1)
    codes.append(os.waitpid(child, 0)[1])
stop.set()
thread.join()
print(codes, len(index))
"""


@forks
@pytest.mark.parametrize("place", ["memory:", "g.sqlite"])
def test_a_child_forked_while_a_thread_searches_is_answered(tmp_path, place):
    done = run(FORK_DURING_SEARCH, place if place == "memory:" else tmp_path / place)
    assert done.stdout == f"{[0] * 10} 20000\n", done.stderr


FORK_IN_USE = """
import os, sys, threading, numpy as np
from simnb.index import open_index
from simnb.index._sqlite_file import GalleryFile
place = sys.argv[1]
index = open_index(place)
index.add(np.eye(4, dtype="float32"))
used, go_on = threading.Event(), threading.Event()
class Slow(np.ndarray):  # its conversion takes long, in the midst of the call
    def __array__(self, *args, **options):
        used.set()
        go_on.wait()
        return np.ones((1, 4))
class Queries:
    __array__ = Slow.__array__
thread = threading.Thread(target=lambda: index.search(Queries(), k=1))
thread.start()
used.wait()
child = os.fork()
if child == 0:
    attempts = [lambda: len(index), lambda: index.add(np.ones((1, 4)))]
    attempts += [lambda: open_index(place)] if place != "memory:" else []
    for attempt in attempts:
        try:
            print(attempt())
        except (ValueError, OSError) as error:
            print(type(error).__name__, error)
    sys.stdout.flush()
    sys.exit(0)
os.waitpid(child, 0)
go_on.set()
thread.join()
print(index.add(np.ones((1, 4))).tolist(), flush=True)
"""


@forks
@pytest.mark.parametrize("place", ["memory:", "g.sqlite"])
def test_a_child_that_cannot_use_an_index_in_use_says_so_and_harms_nothing(tmp_path, place):
    done = run(FORK_IN_USE, place if place == "memory:" else tmp_path / place)
    assert done.returncode == 0, done.stderr
    *refused, after = done.stdout.splitlines()
    assert after == "[4]"
    assert len(refused) == (2 if place == "memory:" else 3)
    for line in refused[:2]:
        assert line.startswith("ValueError the index")
        assert "was in use when this process was forked: only the parent process can use it" in line
    if place != "memory:":
        assert "OSError [Errno 16] this process was forked while another thread used the file" in refused[2]
        with open_index(tmp_path / place) as index:
            assert len(index) == 5


FORK_AFTER_FAILURES = """
import os, sys, numpy as np
from simnb.index import open_index
memory, file = open_index(), open_index(sys.argv[2])
memory.add(np.eye(4))
file.add(np.eye(4))
kept = []
for failing in (lambda: open_index(sys.argv[1]), lambda: file.get([99]), lambda: memory.get([99])):
    try:
        failing()
    except ValueError as error:
        kept.append(error)  # as a notebook does, and so the index it came from
child = os.fork()
if child:
    os.waitpid(child, 0)
print(len(memory), len(file), flush=True)
os._exit(0)
"""


def test_a_fork_after_a_failed_open_and_a_refused_call_leaves_every_index_usable(tmp_path):
    (tmp_path / "bad.sqlite").write_text("no index " * 1000)
    done = run(FORK_AFTER_FAILURES, tmp_path / "bad.sqlite", tmp_path / "g.sqlite")
    assert done.stdout == "4 4\n4 4\n", done.stderr
    assert done.stderr == ""
