"""A folder of files that is replaced whole, and checked before it is read.

The files lie in a folder inside it, ``version-...``, and ``manifest.json`` names that, with the size and
SHA-256 of each file. A save writes another version beside it and then renames a new manifest over the old
one. Every system does that in one step, where hardly any can put a folder in the place of one that is not
empty; so whoever reads sees the version before or the one after, wherever a save was killed.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from simnb._files import sync
from simnb._types import AnyPath

FORMAT = 1
MANIFEST = "manifest.json"
SECONDS_TO_WAIT = 30  # for another process that saves into the same folder
_LOCK = ".lock"
_CLAIM = f"{MANIFEST}.part"  # names the version of a first save, which may be killed
_VERSION = re.compile(r"version-[0-9a-f]{16}")
_BLOCK = 2**20
_REMEDY = "put back a copy of the folder from before, or delete it and save anew"


def write(path: AnyPath, fill: Callable[[Path], Mapping[str, object]]) -> None:
    """Write a folder, or replace one that was written before; the one it lies in must exist.

    ``fill`` is called with an empty folder, writes the files and returns plain values for the manifest.

    Raises:
        ValueError: If there is something else at ``path``.
        OSError: If it cannot be written; what was there is then as before.
    """
    path = Path(path)
    _check_ours(path)
    path.mkdir(exist_ok=True)
    with _locked(path):
        _tidy(path, keep=_check_ours(path))  # what a save that was killed has left
        new = path / f"version-{secrets.token_hex(8)}"
        try:
            _prepare(path, new, fill)
        except BaseException as error:
            shutil.rmtree(new, ignore_errors=True)
            with contextlib.suppress(OSError):
                (path / _CLAIM).unlink()
            if isinstance(error, OSError) and error.errno and error.filename is None:
                error.filename = str(path)  # "No space left on device": where
            raise
        # Outside the try: once this is done the new version is in use, even if an exception follows.
        os.replace(new / MANIFEST, path / MANIFEST)
        with contextlib.suppress(OSError):  # unless the new one is sure to last, the old one is kept
            (path / _CLAIM).unlink()
            sync(path)
            _tidy(path, keep=new.name)


def _prepare(path, new, fill):
    """Write a version and the manifest that names it, and have the disk keep them."""
    manifest = {"format": FORMAT, "version": new.name, "files": {}}
    (path / _CLAIM).write_bytes(_text(manifest).encode())
    sync(path / _CLAIM)
    new.mkdir()
    manifest.update(fill(new))
    manifest["files"] = {file.name: _signature(file) for file in sorted(new.iterdir())}
    (new / MANIFEST).write_bytes(_text(manifest).encode())
    for written in (*new.iterdir(), new, path):
        sync(written)


@contextlib.contextmanager
def opened(path: AnyPath) -> Iterator[tuple[dict, Path]]:
    """Read a folder that ``write`` wrote; nothing in it is touched, so it may be read-only.

    Gives the manifest and a temporary folder with copies of the files: those that were checked are those that
    are read, even if the folder is replaced meanwhile.

    Raises:
        ValueError: If it is no such folder, of a later format, or a file is not the one that was written.
        OSError: If it cannot be read, or there is no room for the copies.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix="simnb-", ignore_cleanup_errors=True) as copies:
        while True:
            manifest = _read_manifest(path)
            with contextlib.ExitStack() as stack:
                files = _open_files(path, manifest, stack)
                if files is not None:
                    for name, file in files.items():
                        _copy(file, Path(copies) / name, manifest["files"][name], path)
                    break
        yield manifest, Path(copies)


def _open_files(path, manifest, stack):
    """Open all files, which then last even if they are removed; None where a save has removed one already."""
    files = {}
    for name in manifest["files"]:
        try:
            files[name] = stack.enter_context(_open(path / manifest["version"] / name, path))
        except (FileNotFoundError, NotADirectoryError) as error:
            if _read_manifest(path) != manifest:
                return None
            raise ValueError(f"{name} of {path} is missing: {_REMEDY}") from error
    return files


def _open(file, path):
    """Open a part for reading, if it is a file: opening a pipe would wait for ever."""
    if file.is_dir():  # which Windows cannot even open
        raise ValueError(f"{file.name} of {path} is not a file: {_REMEDY}")
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError(f"{file.name} of {path} is not a file: {_REMEDY}")
    return os.fdopen(handle, "rb")


def _copy(file, to, expected, path):
    digest, size = hashlib.sha256(), 0
    with open(to, "wb") as copy:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            copy.write(block)
    wrong = None
    if size != expected["bytes"]:
        wrong = f"has {size} bytes, not the {expected['bytes']} that were saved"
    elif digest.hexdigest() != expected["sha256"]:
        wrong = "is damaged, its SHA-256 is not that of what was saved"
    if wrong:
        raise ValueError(f"{to.name} of {path} {wrong}: {_REMEDY}")


def _signature(file):
    with open(file, "rb") as opened_file:
        digest = hashlib.file_digest(opened_file, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _text(manifest):
    """The manifest as it is written: its own checksum last. Later formats must keep to this."""
    text = json.dumps(manifest, indent=1)
    return json.dumps({**manifest, "sha256": hashlib.sha256(text.encode()).hexdigest()}, indent=1) + "\n"


def _read_manifest(path, name=MANIFEST):
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path))
    try:
        with _open(path / name, path) as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path} holds nothing that was saved: it has no {name}") from None
    try:
        manifest = json.loads(text)
        manifest.pop("sha256")
        undamaged = _text(manifest).encode() == text
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        undamaged = False
    if not undamaged:  # every byte counts, also a space
        raise ValueError(f"{name} of {path} is damaged, or belongs to something else: {_REMEDY}")
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{name} of {path} has format {manifest.get('format')}, this simnb reads format {FORMAT}: "
            'update it with pip install --upgrade "simnb"'
        )
    _check_files(manifest, name, path)
    return manifest


def _check_files(manifest, name, path):
    """Refuse a manifest that is not as ``write`` makes it, though its checksum is right."""
    files, version = manifest.get("files"), manifest.get("version")
    whole = isinstance(files, dict) and isinstance(version, str)
    for part in files.values() if whole else ():
        whole &= isinstance(part, dict) and set(part) == {"bytes", "sha256"}
        whole &= whole and type(part["bytes"]) is int and isinstance(part["sha256"], str)
    if not whole:
        raise ValueError(f"{name} of {path} names no version, or does not say what is in it: {_REMEDY}")
    inside = [Path(file).name == file and "\0" not in file and file != ".." for file in files]
    if not all(inside) or not _VERSION.fullmatch(version):
        raise ValueError(f"{name} of {path} names files outside it: {_REMEDY}")


def _check_ours(path):
    """Refuse what ``write`` did not write; return the name of the version in use, or None."""
    if not path.exists():
        return None
    if not path.is_dir():
        raise ValueError(f"{path} is a file: choose another name for the folder")
    names = set(os.listdir(path))
    if MANIFEST in names:
        return _read_manifest(path)["version"]
    # Without a manifest, only what a killed first save leaves: a lock, a claim, and what it claims.
    ours = {name for name in (_LOCK, _CLAIM) if _is_empty(path / name)}
    if _CLAIM in names - ours:
        ours |= {_CLAIM, _read_manifest(path, _CLAIM)["version"]}
    if names - ours:
        other = min(names - ours)
        raise ValueError(f"{path} is a folder of something else: it holds {other!r}; choose another name")
    return None


def _is_empty(file):
    return file.is_file() and file.stat().st_size == 0


def _tidy(path, *, keep):
    for name in os.listdir(path):
        if _VERSION.fullmatch(name) and name != keep:
            shutil.rmtree(path / name, ignore_errors=True)  # Windows keeps what is being read: the next save


@contextlib.contextmanager
def _locked(path):
    """Have one process at a time save. SQLite can lock a file on every system, and a kill lets go of it."""
    (path / _LOCK).touch()
    lock = sqlite3.connect(path / _LOCK, timeout=SECONDS_TO_WAIT, isolation_level=None)
    try:
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")  # no file beside it
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise OSError(errno.EBUSY, f"another process is saving there ({error})", str(path)) from error
        yield
    finally:
        lock.close()
