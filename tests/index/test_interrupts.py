"""Every verb of an index, interrupted at any bytecode and at any moment, changes everything or nothing."""

import contextlib
import gc
import os
import random
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

import simnb.index
from simnb.index import MemoryIndex, open_index

from .conftest import vectors

INTERRUPTS = int(os.environ.get("SIMNB_INTERRUPTS", "300"))  # SIMNB_INTERRUPTS=2000 for the long run
OURS = str(Path(simnb.index.__file__).parent)


def filled(index):
    """The rows that every verb starts from."""
    metadata = [{"n": i, "name": f"row {i}"} for i in range(9)]
    index.add(vectors(9, 4), [f"class {i % 3}" for i in range(9)], metadata)
    index.remove([3])
    return index


def seen(index):
    """All that can be seen of an index, as plain values."""
    rows = index.get()
    parts = (rows.ids, rows.embeddings, rows.labels, rows.metadata)
    listed = [part.tolist() for part in parts]
    found = index.search(rows.embeddings, k=2, where={"n": {">=": 0}}).ids if len(rows) else rows.ids
    return repr([*listed, index.class_names, index.fingerprint, found.tolist(), len(index)])


def add(index, _):
    index.add(vectors(3, 4, seed=1), ["class 1", "new", None], {"n": [20, 21, 22]})


def replace(index, _):
    index.add(vectors(3, 4, seed=2), ["class 0"] * 3, {"n": [1, 2, 3]}, ids=[1, 3, 5], existing="replace")


def update(index, _):
    changes = {
        "embeddings": vectors(2, 4, seed=3),
        "labels": ["class 2", "other"],
        "metadata": [{"n": -1}, {}],
    }
    index.update([6, 2], **changes)


def remove(index, _):
    index.remove([0, 7, 4])


def search(index, _):
    index.search(vectors(3, 4, seed=4), k=3, where={"n": [1, 2, 5, 6], "label": "class 1"})


def save(index, folder):
    index.save(folder / "saved.sqlite")


def save_over(index, folder):
    index.save(folder / "other.sqlite")


VERBS = (add, replace, update, remove, search, save, save_over)


class Places:
    """Indexes with the rows of ``filled``, in memory or in copies of one file."""

    def __init__(self, folder):
        self.template = folder / "template.sqlite"
        filled(MemoryIndex()).save(self.template)
        self.other = folder / "template_of_other.sqlite"
        memory = MemoryIndex()
        memory.add(vectors(2, 4, seed=9), metadata={"n": [1, 2]})
        memory.save(self.other)
        self.folder, self.number = folder, 0

    def fresh(self, place):
        """An index and a folder of its own, in which ``other.sqlite`` holds other rows."""
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir()
        shutil.copy(self.other, folder / "other.sqlite")
        if place == "memory":
            return filled(MemoryIndex()), folder
        shutil.copy(self.template, folder / "g.sqlite")
        return open_index(folder / "g.sqlite"), folder


def interrupted(function, at=None):
    """Call a function, and raise before the ``at``-th bytecode that it runs in simnb.index.

    Returns:
        How many bytecodes were run there.
    """
    count, done = 0, False

    def trace(frame, event, _):
        nonlocal count, done
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not done:
            if count == at:
                done = True
                raise KeyboardInterrupt
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        assert done
    finally:
        sys.settrace(before)
    return count


def check_files(folder, rows, other):
    """Files that were saved to are whole, and nobody holds a lock."""
    allowed = {"g.sqlite": None, "other.sqlite": (rows, other), "saved.sqlite": (rows,)}
    for file in folder.iterdir():
        assert file.name in allowed, file
        with contextlib.closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
        if allowed[file.name] is not None:
            with open_index(file) as saved:
                assert seen(saved) in allowed[file.name]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("place", ["memory", "file"])
def test_an_interrupt_before_any_bytecode_leaves_all_of_a_call_or_nothing(tmp_path, place, verb):
    places, rng = Places(tmp_path), random.Random(f"{place} {verb.__name__}")
    index, folder = places.fresh(place)
    before = seen(index)
    with open_index(folder / "other.sqlite") as other:
        other = seen(other)
    count = interrupted(lambda: verb(index, folder))
    after = seen(index)
    trials = max(10, INTERRUPTS // (2 * len(VERBS)))
    moments = range(count) if trials >= count else sorted(rng.sample(range(count), trials))
    results = []
    for moment in moments:
        index, folder = places.fresh(place)
        ran = interrupted(lambda: verb(index, folder), moment)  # noqa: B023
        # How long a call is differs by a few, with the indexes of before that are not collected yet: one that
        # ended before its moment has changed everything.
        assert ran == moment or count - 20 < ran < moment
        check_files(folder, before, other)
        now = seen(index)
        assert now in (before, after), f"interrupted before bytecode {moment} of {count}"
        if place == "file":
            with open_index(folder / "g.sqlite") as another:
                assert seen(another) == now
        results.append(now == after)
        assert index.add(vectors(1, 4)).tolist() == [12 if verb is add and results[-1] else 9]
        index.close()
        shutil.rmtree(folder)
    if before != after and verb not in (save, save_over):
        assert not all(results), "no interrupt came before the change"


class Alarm:
    """A real signal after some seconds, which raises as Ctrl-C does.

    It may come while garbage is collected, and callbacks of that (hypothesis has one) cannot pass it on.
    So there are none meanwhile.
    """

    def __enter__(self):
        self.armed = False
        self.callbacks = gc.callbacks[:]
        gc.callbacks.clear()
        self.before = signal.signal(signal.SIGALRM, self.ring)
        return self

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)
        gc.callbacks[:] = self.callbacks

    def ring(self, *_):
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def during(self, function, seconds):
        """Whether the alarm rang in the function."""
        try:
            self.armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            function()
            self.armed = False
        except KeyboardInterrupt:
            return True
        return False


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timers that send signals")
@pytest.mark.parametrize("place", ["memory", "file"])
def test_signals_at_random_moments_leave_all_of_a_call_or_nothing(tmp_path, place):
    rng = random.Random(place)
    index = MemoryIndex() if place == "memory" else open_index(tmp_path / "g.sqlite")
    model = filled(MemoryIndex())
    filled(index)
    rang = 0
    with Alarm() as alarm:
        for number in range(INTERRUPTS):
            ids = model.ids.tolist()
            some = rng.sample(ids, min(len(ids), 3))
            rows = {"embeddings": vectors(3, 4, seed=number), "metadata": {"n": [number] * 3}}
            changes = [
                lambda it, rows=rows: it.add(**rows, ids=range(1000 + 3 * number, 1003 + 3 * number)),  # noqa: B023
                lambda it, rows=rows, some=some: it.update(
                    some, embeddings=rows["embeddings"][: len(some)], metadata=[{"n": -1}] * len(some)
                ),
                lambda it, some=some: it.remove(some),
                lambda it: it.search(vectors(2, 4), k=3, where={"n": {">": 0}}),
                lambda it: it.save(tmp_path / "saved.sqlite"),
            ]
            change = rng.choice(changes if len(ids) < 60 else changes[2:3])
            before = seen(model)
            rang += alarm.during(
                lambda change=change: change(index), rng.uniform(0.0, 0.004 if place == "file" else 0.0006)
            )
            if seen(index) != before:
                change(model)
            assert seen(index) == seen(model), f"after {number} calls"
    assert rang > INTERRUPTS // 10
    index.close()
    if place == "file":
        with open_index(tmp_path / "g.sqlite") as again:
            assert seen(again) == seen(model)
