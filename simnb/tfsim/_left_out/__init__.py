"""What simnb has in the place of names that were left out.

Python asks no ``__getattr__`` where a module is imported by its path, as ``simnb.tfsim.stores`` is in
``from simnb.tfsim.stores import MemoryStore``. So there is a module here for each that was left out, and the
rooms have this folder on their ``__path__``.
"""

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
        _say_instead(room, name)
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    return __getattr__


def refuse(module):
    """Called by a module that was left out as it is imported: raise what says what to use in its place."""
    room, _, name = module.rpartition(".")
    _say_instead(room, name)
    raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def _say_instead(room, name):
    instead = _INSTEAD.get(f"{room}.{name}".removeprefix(f"{_ROOT}."))
    if instead:
        # No AttributeError: of one, `from room import name` drops what it says.
        raise ImportError(f"{room} has no {name}: {instead}")
