"""Metric learning for image similarity search: a small library behind runnable notebooks.

Import the modules you need, for example ``from simnb import data, losses, samplers``. Importing
``simnb`` itself loads neither TensorFlow nor Keras.
"""

__version__ = "0.1.0"
