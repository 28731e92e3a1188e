"""Keras, imported without TensorFlow's start-up log.

TensorFlow writes about ten lines to the terminal while it is imported, whatever its log level, and
notebooks keep them as a red block. They are held back here; if the import fails they are shown.
"""

import contextlib
import os
import sys
import tempfile

__all__ = ["keras", "ops"]


@contextlib.contextmanager
def _hold_back_stderr():
    if "tensorflow" in sys.modules:
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
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


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _hold_back_stderr():
    import keras
    from keras import ops
