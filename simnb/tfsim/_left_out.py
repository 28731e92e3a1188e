"""What simnb has in the place of names that were left out."""

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
    "losses.MetricLoss": "derive from keras.losses.Loss; call(labels, embeddings) gives one loss an example",
    "losses.metric_loss": "derive from keras.losses.Loss; call(labels, embeddings) gives one loss an example",
    "architectures.ConvNeXtSim": 'simnb.models.backbone("ConvNeXtTiny"), and SimilarityModel over it',
}


def missing(room):
    """The ``__getattr__`` of a room, which says what to use in the place of what it lacks."""
    prefix = room.removeprefix("simnb.tfsim").removeprefix(".")

    def __getattr__(name):
        path = f"{prefix}.{name}" if prefix else name
        if path in _INSTEAD:  # no AttributeError: of one, `from room import name` drops what it says
            raise ImportError(f"{room} has no {name}: {_INSTEAD[path]}")
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    return __getattr__
