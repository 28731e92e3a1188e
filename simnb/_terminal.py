"""What is shown while something runs: progress bars, and not TensorFlow's start-up log."""

import contextlib
import os
import re
import sys
import tempfile

from tqdm.auto import tqdm

# "I0000 00:00:1795 port.cc:153] ...", the line that announces those, and the second line of one.
_LOG_LINE = re.compile(
    rb"[IWE]\d{4} |WARNING: All log messages before absl|To enable the following instr|\s*$"
)


def progress_bar(iterable=None, *, shown=True, **options):
    """A tqdm bar that appears where something takes more than five seconds, and leaves no trace.

    ``TQDM_DISABLE=1`` in the environment switches all of them off.
    """
    # Left out rather than False where a bar is wanted: only then does tqdm look into the environment.
    quiet = {} if shown else {"disable": True}
    return tqdm(iterable, delay=5, leave=False, **quiet, **options)


@contextlib.contextmanager
def quiet_stderr():
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
