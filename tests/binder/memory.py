"""Processes that together may hold so much memory and no more.

Where the machine allows it the kernel sees to that, with a memory control group; elsewhere their resident
memory is looked at several times a second, and they are killed when it is too much.
"""

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path

import psutil

MB = 1_000_000
LOOKS = 0.2  # seconds between two looks at the memory of all processes

# Files of a memory control group, by version: the limit, that of swap, and the count of processes killed.
FILES = {
    1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control"),
    2: ("memory.max", "memory.swap.max", "memory.events"),
}


class Limited:
    """Starts processes under one limit; when its ``with`` block is left, all of them are ended.

    Args:
        megabytes: What all of them together may hold.
        by_kernel: Have the kernel enforce it where it can; False looks on and kills in any case.

    Attributes:
        by: Who enforces the limit, in words.
        peak: Megabytes resident at most, as far as looking on has told.
        exceeded: Whether processes were killed because they held too much.
    """

    def __init__(self, megabytes, *, by_kernel=True):
        self.megabytes = megabytes
        self.peak, self.exceeded = 0.0, False
        self._group = Group.new(megabytes * MB) if by_kernel else None
        self.by = f"the kernel (control groups v{self._group.version})" if self._group else "looking on"
        self._started = []
        self._left = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._watch.start()
        return self

    def __exit__(self, *_):
        self._left.set()
        self._watch.join()
        kill(self._processes())
        if self._group is not None:
            self.exceeded = self._group.kills() > 0
            self._group.remove()
        for started in self._started:
            started.wait()

    def start(self, command, **options):
        """Start a process; whatever it starts counts with it."""
        if self._group is not None:
            command = self._group.entering(command)
        self._started.append(subprocess.Popen(command, **options))
        return self._started[-1]

    def _processes(self):
        """All that run of those started, and what these have started."""
        found = []
        for started in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(started.pid)
                found += [process, *process.children(recursive=True)]
        return found

    def _look(self):
        while not self._left.wait(LOOKS):
            processes = self._processes()
            held = sum(map(resident, processes)) / MB
            self.peak = max(self.peak, held)
            if self._group is None and held > self.megabytes:
                self.exceeded = True
                kill(processes)


class Group:
    """A control group of the kernel, with a limit on memory."""

    def __init__(self, folder, version):
        self.folder, self.version = folder, version

    @classmethod
    def new(cls, limit):
        """Make a group with a limit in bytes; None where this machine or this user cannot."""
        for parent, version in parents():
            group = cls(parent / f"simnb-binder-{os.getpid()}", version)
            try:
                group.folder.mkdir()
            except OSError:
                continue
            memory, swap, kills = (group.folder / name for name in FILES[version])
            try:
                memory.write_text(str(limit))
                if swap.exists():
                    swap.write_text(
                        str(limit if version == 1 else 0)
                    )  # version 1 counts memory and swap as one
                kills.read_text()
            except OSError:
                group.folder.rmdir()
                continue
            return group
        return None

    def entering(self, command):
        """The same command, run in the group from its start."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *command]

    def kills(self):
        """How many processes the kernel has killed for want of memory."""
        lines = (self.folder / FILES[self.version][2]).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def remove(self):
        """Kill what still runs in the group, and remove it."""
        for _ in range(50):
            try:
                pids = [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]
                kill(psutil.Process(pid) for pid in pids if psutil.pid_exists(pid))
                self.folder.rmdir()
                return
            except (OSError, psutil.NoSuchProcess):  # it is busy until the last process is gone
                time.sleep(0.1)
        print(f"left behind, because it is still busy: {self.folder}")


def parents(mounts=Path("/proc/self/mounts"), owned=Path("/proc/self/cgroup")):
    """Control groups in which a group of ours may be possible, with their version, the best first."""
    try:
        mounts = [line.split() for line in mounts.read_text().splitlines()]
        owned = [line.split(":", 2) for line in owned.read_text().splitlines()]
    except OSError:  # this is not Linux
        return
    for _, controllers, path in owned:
        for _, mount, kind, options, *_ in mounts:
            own = Path(mount) / path.lstrip("/")
            own = own if own.is_dir() else Path(mount)  # in a container the names of the host mean nothing
            if kind == "cgroup" and "memory" in controllers.split(",") and "memory" in options.split(","):
                yield own, 1
            elif kind == "cgroup2" and not controllers:
                # There a group with processes of its own cannot divide its memory; the one above it may.
                for folder in (own, *own.parents):
                    if folder.is_relative_to(mount) and _divides_memory(folder):
                        yield folder, 2


def _divides_memory(folder):
    file = folder / "cgroup.subtree_control"
    return file.exists() and "memory" in file.read_text().split()


def resident(process):
    """Bytes of a process in memory; where that is known, its part of what it shares with others."""
    try:
        memory = process.memory_full_info()
        return getattr(memory, "pss", 0) or memory.rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def kill(processes):
    """Kill processes, whichever of them still run."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
