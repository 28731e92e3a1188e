"""What simnb has in the place of names that were left out."""

INSTEAD = {
    "indexer": "the index belongs to the model (model.index, model.lookup); alone: simnb.index.open_index()",
    "Indexer": "the index belongs to the model (model.index, model.lookup); alone: simnb.index.open_index()",
    "search": 'choose by compile(search="exact" or "hnsw"); alone: simnb.index.open_index(search=...)',
    "NMSLibSearch": 'compile(search="hnsw"), with pip install "simnb[ann]"',
    "stores": "rows live in memory or, by simnb.index.open_index(uri), in a SQLite file or in Milvus",
    "MemoryStore": "rows live in memory or, by simnb.index.open_index(uri), in a SQLite file or in Milvus",
    "evaluators": "model.calibrate and model.evaluate_retrieval; alone: simnb.calibration and simnb.metrics",
    "MemoryEvaluator": "model.calibrate and model.evaluate_retrieval; alone: simnb.calibration",
    "algebra": "keras.ops; distances are in simnb.distances",
}
