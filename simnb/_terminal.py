"""What is shown while something runs: progress bars, and not TensorFlow's start-up log."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm.auto import tqdm

_T = TypeVar("_T")
# "I0000 00:00:1795 port.cc:153] ...", the line that announces those, and the second line of one.
_LOG_LINE = re.compile(
    rb"[IWE]\d{4} |WARNING: All log messages before absl|To enable the following instr|\s*$"
)


def progress_bar(
    iterable: Iterable[_T] | None = None, *, shown: bool = True, delay: float = 5, **options: Any
) -> "tqdm[_T]":
    """A tqdm bar that appears where something takes more than ``delay`` seconds, and leaves no trace.

    ``TQDM_DISABLE=1`` in the environment switches all of them off.
    """
    # In notebooks tqdm does not look into the environment itself.
    off = not shown or os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    return tqdm(iterable, delay=delay, leave=False, disable=off, **options)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Leave TensorFlow's log out of what is written to the terminal's stderr, unless something goes wrong.

    It writes about ten lines there as it starts, whatever its log level, and notebooks keep them as a red
    block. Other lines are shown afterwards.
    """
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (AttributeError, OSError, ValueError):  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(stderr, 2)
            held.seek(0)
            os.write(stderr, b"".join(line for line in held if failed or not _LOG_LINE.match(line)))
            os.close(stderr)
