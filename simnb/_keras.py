"""Keras, imported without TensorFlow's start-up log."""

import os

from simnb._terminal import quiet_stderr

__all__ = ["keras", "ops"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_stderr():
    import keras
    from keras import ops
