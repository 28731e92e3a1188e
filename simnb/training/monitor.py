"""Retrieval, measured while a model is trained."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb._keras import keras
from simnb._types import KerasObject
from simnb.data import Examples
from simnb.index import open_index
from simnb.metrics import map_at_r, recall_at_k
from simnb.models import embed


class RetrievalMonitor(keras.callbacks.Callback):
    """Measures R@1 and MAP@R at the end of each epoch, on images the model is not trained on.

    They are written into Keras's logs as ``recall_at_1`` and ``map_at_r``. Unlike the value of a loss over
    pairs they can be compared between shapes of batches.

    Args:
        queries: ``Examples`` to search with.
        gallery: ``Examples`` to search in; it must hold every class of the queries.
        distance: One of ``simnb.distances.DISTANCES``.
        batch_size: Images embedded at a time.

    Attributes:
        query_embeddings: Embeddings of the queries at the last measurement, shape [num_queries, dim]; None
            before the first.

    Raises:
        ValueError: If a query is in the gallery too, either is empty or has an example without a label, their
            class names differ or a class is missing in the gallery.
    """

    def __init__(
        self, queries: Examples, gallery: Examples, *, distance: str = "cosine", batch_size: int = 64
    ) -> None:
        super().__init__()
        _checks.not_empty(queries, name="queries")
        _checks.not_empty(gallery, name="gallery")
        shared = set(queries.ids.tolist()) & set(gallery.ids.tolist())
        if shared:
            raise ValueError(
                f"queries must not be in the gallery, but {len(shared)} ids are in both, "
                f"for example id {min(shared)}; if they are other images that were numbered alike, number "
                "them anew: from_folder(..., first_id=...), from_arrays(..., ids=...)"
            )
        _checks.same_class_names(queries.class_names, gallery.class_names, of="queries and gallery")
        for name, part in {"queries": queries, "gallery": gallery}.items():
            _checks.labelled(part.labels, f"{name} of a monitor")
        absent = sorted(set(queries.labels.tolist()) - set(gallery.labels.tolist()))
        if absent:
            raise ValueError(f"gallery must hold every class of the queries, but lacks class {absent[0]}")
        self.queries, self.gallery = queries, gallery
        self.distance, self.batch_size = distance, batch_size
        self.query_embeddings: NDArray[np.float32] | None = None

    def measure(self, model: KerasObject) -> dict[str, float]:
        """R@1 and MAP@R of a model now, as a dict of floats."""
        options: dict[str, Any] = {"batch_size": self.batch_size, "progress": False}
        index = open_index(distance=self.distance)
        index.add(embed(model, self.gallery.images, **options), self.gallery.labels)
        largest_class = int(np.unique(self.gallery.labels, return_counts=True)[1].max())
        self.query_embeddings = embed(model, self.queries.images, **options)
        neighbors = index.search(self.query_embeddings, k=largest_class)
        labels = self.queries.labels
        return {
            "recall_at_1": recall_at_k(neighbors, labels, 1),
            "map_at_r": map_at_r(neighbors, labels, self.gallery.labels),
        }

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, and add the figures to the logs."""
        if logs is not None:
            logs.update(self.measure(getattr(self.model, "embedder", self.model)))
