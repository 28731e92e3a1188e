"""Self-supervised training: SimSiam, SimCLR, Barlow Twins and VICReg."""

import numpy as np

from simnb._keras import keras, ops
from simnb.tfsim.layers import ActivationStdLoggingLayer
from simnb.tfsim.models._indexing import Indexing
from simnb.tfsim.models.similarity import _Kept

ALGORITHMS = ("simsiam", "simclr", "barlow", "vicreg")


def _dense(x, units, **options):
    return keras.layers.Dense(units, use_bias=False, kernel_initializer="lecun_uniform", **options)(x)


def get_projector(input_dim, dim=512, activation="relu", num_layers=3):
    """A network from features to what a contrastive loss compares; logs its spread as ``proj_std``."""
    x = inputs = keras.Input((input_dim,))
    for _ in range(num_layers - 1):
        x = keras.layers.BatchNormalization(epsilon=1.001e-5)(_dense(x, dim))
        x = keras.layers.Activation(activation)(x)
    x = keras.layers.BatchNormalization(epsilon=1.001e-5, center=False, scale=False)(_dense(x, dim))
    return keras.Model(inputs, ActivationStdLoggingLayer("proj_std")(x), name="projector")


def get_predictor(input_dim, hidden_dim=512, activation="relu"):
    """A network from the projection of one view to that of the other, for SimSiam; logs ``pred_std``."""
    inputs = keras.Input((input_dim,))
    x = keras.layers.BatchNormalization(epsilon=1.001e-5)(_dense(inputs, hidden_dim))
    x = keras.layers.Activation(activation)(x)
    x = keras.layers.Dense(input_dim, kernel_initializer="lecun_uniform")(x)
    return keras.Model(inputs, ActivationStdLoggingLayer("pred_std")(x), name="predictor")


def create_contrastive_model(*, backbone, projector=None, predictor=None, algorithm="simsiam", **kwargs):
    """A ``ContrastiveModel`` over a backbone, with a projector and, for SimSiam, a predictor.

    Args:
        backbone: A Keras model from images to features, shape [batch, features].
        projector: From features to projections; two dense layers when left out.
        predictor: From projections to predictions, for SimSiam alone; made when left out.
        algorithm: ``simsiam``, ``simclr``, ``barlow`` or ``vicreg``.
        **kwargs: ``name`` and the like.
    """
    if projector is None:
        projector = get_projector(backbone.output_shape[-1], num_layers=2)
    if predictor is None and algorithm == "simsiam":
        predictor = get_predictor(projector.output_shape[-1])
    return ContrastiveModel(
        backbone=backbone, projector=projector, predictor=predictor, algorithm=algorithm, **kwargs
    )


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class ContrastiveModel(Indexing, _Kept, keras.Model):
    """Trains on two views of every image, and then indexes what its projector gives.

    ``fit`` takes batches of (view 1, view 2), from a data set or a sampler.

    Args:
        backbone: A Keras model from images to features.
        projector: From features to projections.
        predictor: From projections to predictions, for SimSiam.
        algorithm: ``simsiam``, ``simclr``, ``barlow`` or ``vicreg``.
        **kwargs: ``name`` and the like.

    Raises:
        ValueError: If there is no such algorithm, or SimSiam has no predictor.
    """

    def __init__(self, backbone, projector, predictor=None, algorithm="simsiam", **kwargs):
        """Keep the parts."""
        super().__init__(**kwargs)
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}; got {algorithm!r}")
        if algorithm == "simsiam" and predictor is None:
            raise ValueError("simsiam needs a predictor: create_contrastive_model makes one")
        self.backbone, self.projector, self.predictor = backbone, projector, predictor
        self.algorithm = algorithm

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        distance="cosine",
        kv_store="memory",
        search="nmslib",
        evaluator="memory",
        stat_buffer_size=1000,
        **kwargs,
    ):
        """Set the model up for training, and begin an empty index; arguments as of ``SimilarityModel``."""
        self.create_index(distance, search, kv_store, evaluator, None, stat_buffer_size)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.built = True  # the parts are

    def build(self, input_shape):
        """The parts are built already."""
        self.built = True

    def call(self, inputs, training=None):
        """Projections of images; of a pair of views, those of each."""
        if isinstance(inputs, list | tuple):
            return [self.call(view, training=training) for view in inputs]
        return self.projector(self.backbone(inputs, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
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
        return self._compile_loss.call(one, other) if self._compile_loss.built else self._first(one, other)

    def _first(self, one, other):
        self._compile_loss.build(one, other)
        return self._compile_loss.call(one, other)

    def train_step(self, data):
        """One step on (view 1, view 2)."""
        return super().train_step((_views(data), None))

    def test_step(self, data):
        """The loss of (view 1, view 2)."""
        return super().test_step((_views(data), None))

    def predict(self, x, batch_size=None, verbose=0, **kwargs):
        """Projections of images as unit vectors, shape [num_images, dim]."""
        found = super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        return np.asarray(ops.normalize(found, axis=1))

    def _embed(self, x):
        return self.predict(np.asarray(x))

    def get_config(self):
        """The parts."""
        parts = {"backbone": self.backbone, "projector": self.projector, "predictor": self.predictor}
        saved = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        return {**saved, "algorithm": self.algorithm, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make it again."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("backbone", "projector", "predictor")
        }
        return cls(**{**config, **parts})


def _views(data):
    """The two views in a batch: (view 1, view 2), or one batch of images for both."""
    data = data if isinstance(data, list | tuple) else (data,)
    return [data[0], data[1] if len(data) > 1 else data[0]]
