"""Self-supervised training: SimSiam, SimCLR, Barlow Twins and VICReg."""

import functools
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._keras import keras, ops
from simnb._types import KerasObject, Tensor
from simnb.tfsim.distances import Distance
from simnb.tfsim.layers import ActivationStdLoggingLayer
from simnb.tfsim.models._indexing import Indexing

ALGORITHMS = ("simsiam", "simclr", "barlow", "vicreg")
_PARTS = ("backbone", "projector", "predictor")


def _dense(x, units, **options):
    """A dense layer and batch normalization."""
    x = keras.layers.Dense(units, use_bias=False, kernel_initializer="lecun_uniform")(x)
    return keras.layers.BatchNormalization(epsilon=1.001e-5, **options)(x)


def get_projector(
    input_dim: int, dim: int = 512, activation: str = "relu", num_layers: int = 3
) -> KerasObject:
    """A network from features to what a contrastive loss compares; logs its spread as ``proj_std``."""
    x = inputs = keras.Input((input_dim,))
    for _ in range(num_layers - 1):
        x = keras.layers.Activation(activation)(_dense(x, dim))
    x = _dense(x, dim, center=False, scale=False)
    return keras.Model(inputs, ActivationStdLoggingLayer("proj_std")(x), name="projector")


def get_predictor(input_dim: int, hidden_dim: int = 512, activation: str = "relu") -> KerasObject:
    """A network from the projection of one view to that of the other, for SimSiam; logs ``pred_std``."""
    inputs = keras.Input((input_dim,))
    x = keras.layers.Activation(activation)(_dense(inputs, hidden_dim))
    x = keras.layers.Dense(input_dim, kernel_initializer="lecun_uniform")(x)
    return keras.Model(inputs, ActivationStdLoggingLayer("pred_std")(x), name="predictor")


def create_contrastive_model(
    *,
    backbone: KerasObject,
    projector: KerasObject = None,
    predictor: KerasObject = None,
    algorithm: str = "simsiam",
    **kwargs: Any,
) -> "ContrastiveModel":
    """A ``ContrastiveModel`` over a backbone, with a projector and, for SimSiam, a predictor.

    Args:
        backbone: A Keras model from images to features, shape [batch, features].
        projector: A Keras model from features to projections; None for two dense layers.
        predictor: A Keras model from projections to predictions, for SimSiam alone; None for one of
            ``get_predictor``.
        algorithm: ``simsiam``, ``simclr``, ``barlow`` or ``vicreg``.
        **kwargs: Options of ``keras.Model``, such as ``name``.
    """
    if projector is None:
        projector = get_projector(backbone.output_shape[-1], num_layers=2)
    if predictor is None and algorithm == "simsiam":
        predictor = get_predictor(projector.output_shape[-1])
    return ContrastiveModel(
        backbone=backbone, projector=projector, predictor=predictor, algorithm=algorithm, **kwargs
    )


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class ContrastiveModel(Indexing, keras.Model):
    """Trains on two views of every image, and then indexes what its projector gives.

    ``fit`` takes batches of (view 1, view 2), from a data set or a sampler. The arguments are those of
    ``create_contrastive_model``, but nothing is made for None.

    Raises:
        ValueError: If there is no such algorithm, or SimSiam has no predictor.
    """

    def __init__(
        self,
        backbone: KerasObject,
        projector: KerasObject,
        predictor: KerasObject = None,
        algorithm: str = "simsiam",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _checks.one_of(algorithm, ALGORITHMS, name="algorithm")
        if algorithm == "simsiam" and predictor is None:
            raise ValueError("simsiam needs a predictor: create_contrastive_model makes one")
        self.backbone, self.projector, self.predictor = backbone, projector, predictor
        self.algorithm = algorithm

    def compile(
        self,
        optimizer: KerasObject = "rmsprop",
        loss: KerasObject = None,
        distance: str | Distance = "cosine",
        kv_store: str = "memory",
        search: str = "nmslib",
        evaluator: str = "memory",
        stat_buffer_size: int = 1000,
        **kwargs: Any,
    ) -> None:
        """Set the model up for training, and begin an empty index, as ``SimilarityModel.compile`` does."""
        self.create_index(distance, search, kv_store, evaluator, None, stat_buffer_size)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.built = True  # the parts are

    def build(self, input_shape: Any) -> None:
        """The parts are built already."""
        self.built = True

    def call(self, inputs: Tensor | list[Tensor], training: bool | None = None) -> Tensor | list[Tensor]:
        """Projections of images; of a pair of views, those of each."""
        if isinstance(inputs, list | tuple):
            return [self.call(view, training=training) for view in inputs]
        return self.projector(self.backbone(inputs, training=training), training=training)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """The loss of two views, and the regularization of the parts."""
        one, other = y_pred
        if self.algorithm == "simsiam":
            predicted = [self.predictor(view, training=training) for view in (one, other)]
            loss = self._loss(ops.stop_gradient(one), predicted[1])
            loss += self._loss(ops.stop_gradient(other), predicted[0])
        else:
            loss = self._loss(one, other)
        return loss + sum(self.losses, 0.0)

    def _loss(self, one, other):
        if not self._compile_loss.built:
            self._compile_loss.build(one, other)
        return self._compile_loss.call(one, other)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step on (view 1, view 2)."""
        return super().train_step((_views(data), None))

    def test_step(self, data: Any) -> dict[str, Any]:
        """The loss of (view 1, view 2)."""
        return super().test_step((_views(data), None))

    def predict(
        self, x: ArrayLike, batch_size: int | None = None, verbose: int = 0, **kwargs: Any
    ) -> NDArray[np.float32]:
        """Projections of images as unit vectors, shape [num_images, dim]."""
        found = super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        return np.asarray(ops.normalize(found, axis=1))

    def _embed(self, x):
        return self.predict(np.asarray(x))

    def get_config(self) -> dict[str, Any]:
        """The parts and the options it was made with."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        return {**parts, "algorithm": self.algorithm, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Make it again."""
        load = functools.partial(keras.saving.deserialize_keras_object, custom_objects=custom_objects)
        return cls(**{**config, **{name: load(config[name]) for name in _PARTS}})


def _views(data):
    """The two views in a batch: (view 1, view 2), or one batch of images for both."""
    data = data if isinstance(data, list | tuple) else (data,)
    return [data[0], data[1] if len(data) > 1 else data[0]]
