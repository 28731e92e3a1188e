"""What simnb has in the place of names that were left out.

A room's ``__getattr__`` says it for ``from simnb.tfsim import stores``. Python asks none where a module is
imported by its path, as in ``from simnb.tfsim.stores import MemoryStore``: it asks the finders of what is on
the ``__path__`` of the package. So this file is on it, with a finder that says the same.
"""

import sys

_OWN_LOSS = "derive from keras.losses.Loss; call(labels, embeddings) gives one loss an example"
_OWN_VIEWS = "simnb.augmentation.Augment, or Keras's layers, such as keras.layers.RandAugment"
_INDEX = "the index belongs to the model (model.index, model.lookup); alone: simnb.index.open_index()"
_ROWS = "rows live in memory or, by simnb.index.open_index(uri), in a SQLite file or in Milvus"
_LOADED = "simnb.tfsim.models, and keras.models.load_model for what was saved"
_INSTEAD = {
    "indexer": _INDEX,
    "Indexer": _INDEX,
    "search": 'choose by compile(search="exact" or "hnsw"); alone: simnb.index.open_index(search=...)',
    "NMSLibSearch": 'compile(search="hnsw"), with pip install "simnb[ann]"',
    "stores": _ROWS,
    "MemoryStore": _ROWS,
    "evaluators": "model.calibrate and model.evaluate_retrieval; alone: simnb.calibration and simnb.metrics",
    "MemoryEvaluator": "model.calibrate and model.evaluate_retrieval; alone: simnb.calibration",
    "algebra": "keras.ops; distances are in simnb.distances",
    "resnet18": "simnb.tfsim.architectures.ResNet18Sim(..., include_top=False, pooling=None)",
    "distance_metrics": "simnb.tfsim.training_metrics",
    "losses.MetricLoss": _OWN_LOSS,
    "losses.metric_loss": _OWN_LOSS,
    "architectures.ConvNeXtSim": 'simnb.models.backbone("ConvNeXtTiny"), and SimilarityModel over it',
    "augmenters.augmentation_utils": _OWN_VIEWS,
    "augmenters.simclr": f"SimCLRAugmenter; its parts: {_OWN_VIEWS}",
    "augmenters.RandAugment": _OWN_VIEWS,
    "samplers.RandAugment": _OWN_VIEWS,
    "samplers.memory_samplers": "its samplers are in simnb.tfsim.samplers",
    "models.contrastive_model": _LOADED,
    "models.similarity_model": _LOADED,
}


def missing(room):
    """The ``__getattr__`` of a room, which says what to use in the place of what it lacks."""

    def __getattr__(name):
        _Finder.find_spec(f"{room}.{name}")
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    return __getattr__


class _Finder:
    """Of what Python calls a path entry: asked for modules that are nowhere else."""

    @staticmethod
    def find_spec(module, target=None):
        room, _, name = module.rpartition(".")
        instead = _INSTEAD.get(module.removeprefix("simnb.tfsim."))
        if instead:
            # No AttributeError: of one, `from room import name` drops what it says.
            raise ImportError(f"{room} has no {name}: {instead}")


#: For the ``__path__`` of packages.
PATH = [__file__]
sys.path_importer_cache[__file__] = _Finder
