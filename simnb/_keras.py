"""Keras, imported without TensorFlow's start-up log."""

import os
import platform

from simnb import _triton
from simnb._terminal import quiet_stderr

__all__ = ["keras", "ops"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if platform.machine().lower() in ("x86_64", "amd64"):
    # TensorFlow leaves oneDNN off where there is no AVX512-VNNI, and then trains convolutions half as fast.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
_triton.load_apart()
try:
    with quiet_stderr():
        import keras
        from keras import ops
except ModuleNotFoundError as error:
    if error.name not in ("keras", "tensorflow"):
        raise
    raise ModuleNotFoundError(
        f"this part of simnb needs Keras and TensorFlow, and {error.name} is not installed: "
        "pip install simnb",
        name=error.name,
    ) from error
