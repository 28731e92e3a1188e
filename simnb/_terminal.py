"""What is shown while something runs: progress bars, and not TensorFlow's start-up log."""

import contextlib
import os
import sys
import tempfile

from tqdm.auto import tqdm


def progress_bar(iterable=None, *, shown=True, **options):
    """A tqdm bar that appears where something takes more than five seconds, and leaves no trace.

    ``TQDM_DISABLE=1`` in the environment switches all of them off.
    """
    # Left out rather than False where a bar is wanted: only then does tqdm look into the environment.
    quiet = {} if shown else {"disable": True}
    return tqdm(iterable, delay=5, leave=False, **quiet, **options)


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what is written to the terminal's stderr; show it only if something goes wrong.

    TensorFlow writes about ten lines there as it starts, whatever its log level, and notebooks keep them
    as a red block.
    """
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (AttributeError, OSError, ValueError):  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
