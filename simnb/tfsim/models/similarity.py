"""A Keras model that can search by what it embeds."""

import functools
import shutil
from pathlib import Path

import numpy as np

from simnb import _replicas, models
from simnb._keras import keras
from simnb.tfsim.distances import distance_canonicalizer
from simnb.tfsim.models._indexing import Indexing


class _Kept:
    """What both kinds of models have of Keras's: training, and saving together with the index.

    What is saved takes the place of what was there only once it is written.
    """

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **options):
        """Train as Keras does, without its leak of memory."""
        with _replicas.without_leak(getattr(self, "optimizer", None)):
            return super().fit(*args, **options)

    def save(
        self, filepath, save_index=True, compression=True, overwrite=True, include_optimizer=True, **options
    ):
        """Write model, index and calibration; ``keras.models.load_model`` reads all of them again.

        Args:
            filepath: A ``.keras`` file, or a folder.
            save_index: Whether the index is kept too.
            compression: Without effect.
            overwrite: Whether something saved there before is replaced.
            include_optimizer: Must be True: Keras keeps the optimizer of a compiled model.
            **options: ``save_format="tf"`` or ``"keras"``, without effect: the ending says it.

        Raises:
            ValueError: If something is in the way, or another format is asked for.
        """
        save_format = options.pop("save_format", None)
        options = {name: value for name, value in options.items() if value not in (None, True)}
        if options:
            raise ValueError(
                f"save takes none of {', '.join(options)}: they belong to TensorFlow's SavedModel"
            )
        path = Path(filepath)
        if path.suffix in (".h5", ".hdf5") or save_format not in (None, "tf", "keras"):
            raise ValueError(f'filepath must end in ".keras" or be a folder, got {str(filepath)!r}')
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists: pass overwrite=True to replace it")
        zipped = path.suffix == ".keras"
        if path.is_dir() and any(path.iterdir()) and not (path / "config.json").exists():
            raise ValueError(f"{path} is a folder of something else: choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.stem}.part{path.suffix}")
        self._with_index = save_index
        if self.compiled and self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)  # else Keras cannot load it without a warning
        try:
            # Absolute, or Keras writes the index of a folder somewhere else and removes it.
            keras.saving.save_model(self, part.absolute(), zipped=zipped)
            _replace(part, path)
        finally:
            self._with_index = True
            _remove(part)

    def get_compile_config(self):
        """Keras's, and the distance."""
        config = super().get_compile_config()
        if config and self._gallery is not None:
            config["distance"], config["search"] = self._gallery.index.distance, self._gallery.search
        return config

    def compile_from_config(self, config):
        """Compile a loaded model as it was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


def _replace(part, path):
    if part.is_dir() and path.exists():
        before = path.with_name(f"{path.name}.before")
        _remove(before)
        path.rename(before)
        part.rename(path)
        _remove(before)
    else:
        part.replace(path)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class SimilarityModel(Indexing, _Kept, keras.Model):
    """A functional Keras model, of inputs and outputs, that indexes, looks up, calibrates and matches.

    Everything that Keras's model has is there too. ``simnb.search.SimilaritySearch`` does the same around any
    embedder, and is what new code should use.
    """

    def __init__(self, *args, **kwargs):
        """Make the model, as ``keras.Model``."""
        super().__init__(*args, **kwargs)

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        metrics=None,
        loss_weights=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        distance="auto",
        embedding_output=None,
        kv_store="memory",
        search="nmslib",
        evaluator="memory",
        stat_buffer_size=1000,
        **kwargs,
    ):
        """Set the model up for training, and begin an empty index.

        Args:
            optimizer: This, and what else ``keras.Model.compile`` takes, goes to it.
            loss: A loss of ``tfsim.losses`` or of Keras, or several for several outputs.
            metrics: For Keras.
            loss_weights: For Keras.
            weighted_metrics: For Keras.
            run_eagerly: For Keras.
            steps_per_execution: For Keras.
            distance: Of the index: name, alias, ``Distance``, or ``auto``, that of the (first) loss, and
                ``cosine`` without a loss.
            embedding_output: This and the following as in ``create_index``.
            kv_store: As in ``create_index``.
            search: As in ``create_index``.
            evaluator: As in ``create_index``.
            stat_buffer_size: As in ``create_index``.
            **kwargs: For Keras.

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
