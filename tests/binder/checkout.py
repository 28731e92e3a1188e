"""A copy of the checkout as somebody gets it who clones it: without what was built here."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Where there is no git, as in an unpacked sdist: what .gitignore names, and git's own folder.
IGNORED = (
    [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    if (ROOT / ".gitignore").exists()
    else []
)


def copy_to(folder):
    """Copy the files that git tracks, or would track, into a new folder; return how many there are."""
    names = _tracked()
    if names is None:
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", *IGNORED))
        return sum(path.is_file() for path in folder.rglob("*"))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return len(names)


def _tracked():
    """The names of these files, or None where git does not know them."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        return None
    # What was deleted and is not committed yet is still listed.
    return sorted(name for name in set(listed.stdout.split("\0")) if name and (ROOT / name).is_file())
