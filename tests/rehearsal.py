"""What rehearsals of Binder and of a release share: stages, one after the other, each with its seconds."""

import subprocess
import time


class Failed(Exception):
    """What went wrong, in words."""


def run(command, **options):
    """Run a command; return what it printed, stdout and stderr together."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise Failed(f"{tail(done.stdout)}\nexit status {done.returncode} of: {' '.join(map(str, command))}")
    return done.stdout


def tail(text, lines=25):
    """The end of what was printed, where the reason is."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def files_of(package):
    """The files of a package, as paths within it."""
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(package) for path in files}


def rehearse(stages):
    """Go through named stages; print each with its seconds. Return the one that failed and why, or None."""
    for name, stage in stages.items():
        print(f"{name:20}", end="", flush=True)
        start = time.perf_counter()
        try:
            note = stage()
        except Failed as failure:
            print(f"{time.perf_counter() - start:6.1f} s  FAILED")
            return f"{name}\n{failure}"
        print(f"{time.perf_counter() - start:6.1f} s  {note}", flush=True)
    return None
