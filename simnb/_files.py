"""Writing a file so that it is there whole, or as it was before."""

import contextlib
import errno
import glob
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

_LEFT = 24 * 3600  # seconds after which nobody still writes a file


@contextlib.contextmanager
def replace_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of a new file, which takes the place of ``path`` once the ``with`` block has ended well.

    The new file lies in the same folder, and the disk is told to keep it before it is renamed. If the block
    raises an exception, or the process is killed, the file that was there before is unchanged. What a process
    that was killed has left is removed by the next one, after a day.
    """
    path = Path(path)
    _remove_left(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        sync(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the file is in its place; not every system can sync a folder
        sync(path.parent)


def _remove_left(path):
    for part in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
        with contextlib.suppress(OSError):  # another process has removed it, or it cannot be removed
            if time.time() - part.stat().st_mtime > _LEFT:
                part.unlink()


def sync(path: str | os.PathLike[str]) -> None:
    """Have the disk keep a file, or the names in a folder, also if the power fails."""
    path = Path(path)
    if not path.is_dir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    elif os.name != "nt":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what some shared disks say to a folder
                raise
        finally:
            os.close(handle)
