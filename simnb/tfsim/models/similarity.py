"""A Keras model that can search by what it embeds."""

from typing import Any

import numpy as np

from simnb import models
from simnb._keras import keras
from simnb._types import KerasObject
from simnb.tfsim.distances import Distance, distance_canonicalizer
from simnb.tfsim.models._indexing import Indexing


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class SimilarityModel(Indexing, keras.Model):
    """A functional Keras model, of inputs and outputs, that indexes, looks up, calibrates and matches.

    Everything that Keras's model has is there too. ``simnb.search.SimilaritySearch`` does the same around any
    embedder, and is what new code should use.
    """

    def compile(
        self,
        optimizer: KerasObject = "rmsprop",
        loss: KerasObject = None,
        metrics: KerasObject = None,
        loss_weights: KerasObject = None,
        weighted_metrics: KerasObject = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        distance: str | Distance = "auto",
        embedding_output: int | None = None,
        kv_store: str = "memory",
        search: str = "nmslib",
        evaluator: str = "memory",
        stat_buffer_size: int = 1000,
        **kwargs: Any,
    ) -> None:
        """Set the model up for training, and begin an empty index.

        Args:
            optimizer: This and the following six are those of ``keras.Model.compile``.
            loss: A loss of ``tfsim.losses`` or of Keras, or several for several outputs.
            metrics: Such as ``tfsim.training_metrics``.
            distance: Distance of the index: its name, an alias, a ``Distance``, or ``auto`` for that of the
                (first) loss, and ``cosine`` without a loss.
            embedding_output: This and the following four are those of ``create_index``.
            **kwargs: What else ``keras.Model.compile`` takes.

        Raises:
            ValueError: If the distance is ``auto`` and the first loss has none, or as in ``create_index``.
        """
        if distance == "auto":
            first = next(iter(loss.values()), None) if isinstance(loss, dict) else loss
            first = first[0] if isinstance(first, list | tuple) else first
            found = "cosine" if first is None else getattr(first, "distance", None)
            if found is None:
                raise ValueError(f'distance="auto" needs a metric loss, got {loss!r}; pass distance="cosine"')
            distance = distance_canonicalizer(found)
            print(f"Distance metric automatically set to {distance}; use the distance arg to override.")
        self.create_index(distance, search, kv_store, evaluator, embedding_output, stat_buffer_size)
        given = loss if isinstance(loss, list | tuple) else [loss]
        for each in given:
            if getattr(each, "memory", self) is None:  # an XBM whose memory is still to be made
                each.build(self.outputs[self._embedding_output].shape[-1])
        super().compile(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            loss_weights=loss_weights,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            **kwargs,
        )

    def _embed(self, x):
        x = np.asarray(x)
        if len(self.outputs) == 1 and x.ndim == 4:
            return models.embed(self, x, progress=False)
        found = self.predict(x, verbose=0)
        found = list(found.values()) if isinstance(found, dict) else found
        return found[self._embedding_output] if isinstance(found, list | tuple) else found
