"""The names and signatures of TensorFlow Similarity, over simnb's rooms, for people who come from it.

``from simnb import tfsim`` in the place of ``import tensorflow_similarity as tfsim``; the rest of a script
stays. Everything here is an adapter: what it computes is computed by the rest of simnb, which the notebook
``10_from_tensorflow_similarity`` shows. ``notebooks/MIGRATION.md`` has the new name of each, and what behaves
differently and why. What was left out raises an error that says what to use instead.
"""

from simnb import __version__
from simnb.tfsim import (
    _left_out,
    architectures,
    augmenters,
    callbacks,
    classification_metrics,
    distances,
    layers,
    losses,
    matchers,
    models,
    retrieval_metrics,
    samplers,
    schedules,
    training_metrics,
    types,
    utils,
    visualization,
)

__all__ = [
    "__version__",
    "samplers",
    "augmenters",
    "layers",
    "architectures",
    "distances",
    "losses",
    "models",
    "schedules",
    "callbacks",
    "training_metrics",
    "matchers",
    "classification_metrics",
    "retrieval_metrics",
    "visualization",
    "types",
    "utils",
]

__getattr__ = _left_out.missing(__name__)
__path__ += _left_out.PATH
