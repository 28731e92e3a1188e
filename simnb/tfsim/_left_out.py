"""What simnb has in the place of names that were left out."""

import importlib.abc
import sys

_ROOT = "simnb.tfsim"
_OWN_LOSS = "derive from keras.losses.Loss; call(labels, embeddings) gives one loss an example"
_OWN_VIEWS = "simnb.augmentation.Augment, or Keras's layers, such as keras.layers.RandAugment"
_INSTEAD = {
    "indexer": "the index belongs to the model (model.index, model.lookup); alone: simnb.index.open_index()",
    "Indexer": "the index belongs to the model (model.index, model.lookup); alone: simnb.index.open_index()",
    "search": 'choose by compile(search="exact" or "hnsw"); alone: simnb.index.open_index(search=...)',
    "NMSLibSearch": 'compile(search="hnsw"), with pip install "simnb[ann]"',
    "stores": "rows live in memory or, by simnb.index.open_index(uri), in a SQLite file or in Milvus",
    "MemoryStore": "rows live in memory or, by simnb.index.open_index(uri), in a SQLite file or in Milvus",
    "evaluators": "model.calibrate and model.evaluate_retrieval; alone: simnb.calibration and simnb.metrics",
    "MemoryEvaluator": "model.calibrate and model.evaluate_retrieval; alone: simnb.calibration",
    "algebra": "keras.ops; distances are in simnb.distances",
    "distance_metrics": "simnb.tfsim.training_metrics",
    "losses.MetricLoss": _OWN_LOSS,
    "losses.metric_loss": _OWN_LOSS,
    "architectures.ConvNeXtSim": 'simnb.models.backbone("ConvNeXtTiny"), and SimilarityModel over it',
    "augmenters.augmentation_utils": _OWN_VIEWS,
    "augmenters.simclr": f"SimCLRAugmenter; its parts: {_OWN_VIEWS}",
    "augmenters.RandAugment": _OWN_VIEWS,
    "samplers.RandAugment": _OWN_VIEWS,
    "samplers.memory_samplers": "its samplers are in simnb.tfsim.samplers",
    "models.contrastive_model": "simnb.tfsim.models, and keras.models.load_model for what was saved",
    "models.similarity_model": "simnb.tfsim.models, and keras.models.load_model for what was saved",
}


def missing(room):
    """The ``__getattr__`` of a room, which says what to use in the place of what it lacks."""

    def __getattr__(name):
        _say_instead(f"{room}.{name}")
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    return __getattr__


def _say_instead(path):
    instead = _INSTEAD.get(path.removeprefix(f"{_ROOT}."))
    if instead and path.startswith(f"{_ROOT}."):
        # No AttributeError: of one, `from room import name` drops what it says.
        room, _, name = path.rpartition(".")
        raise ImportError(f"{room} has no {name}: {instead}")


class _Finder(importlib.abc.MetaPathFinder):
    """Asked last for modules, says what to use in the place of those that were left out."""

    @staticmethod
    def find_spec(fullname, path, target=None):
        """Find nothing."""
        _say_instead(fullname)


sys.meta_path.append(_Finder)
