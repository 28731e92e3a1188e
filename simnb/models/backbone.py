"""Embedders over the networks of ``keras.applications``, and which of their layers train."""

from typing import Any

from simnb import _checks
from simnb._keras import keras
from simnb._types import AnyPath, KerasObject, Tensor
from simnb.layers import GeneralizedMeanPooling2D, MetricEmbedding
from simnb.models import _applications

__all__ = ["Backbone", "backbone", "set_trainable"]

_POOLINGS = {
    "gem": GeneralizedMeanPooling2D,
    "average": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


@keras.saving.register_keras_serializable(package="simnb")
class Backbone(keras.layers.Layer):
    """A network as a layer that runs in inference mode while it is frozen.

    Keras runs a frozen batch normalization on its moving statistics, but dropout inside a frozen network
    would go on.

    Args:
        network: A ``keras.Model``, images to a map of features.
        **kwargs: ``name`` and the like, of ``keras.layers.Layer``.
    """

    def __init__(self, network: KerasObject, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Apply the network."""
        return self.network(inputs, training=training if self.trainable else False)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the network's output."""
        return self.network.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The network, so that a saved model can be loaded."""
        return {**super().get_config(), "network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> KerasObject:
        """Make the layer of a config, with new weights."""
        network = keras.saving.deserialize_keras_object(config["network"])
        return super().from_config({**config, "network": network})


def backbone(
    name: str = "EfficientNetB0",
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    embedding_size: int = 128,
    weights: AnyPath | None = None,
    trainable: str | int | None = None,
    pooling: str = "gem",
    preprocess: bool = True,
    seed: int = 0,
) -> KerasObject:
    """An embedder over any network of ``keras.applications``, preprocessing included.

    The network itself is ``model.get_layer("backbone").network``. The usual fine-tuning has two stages: train
    the embedding over frozen weights of ImageNet, then ``set_trainable`` the last layers and train on at a
    much lower learning rate.

    Args:
        name: Name of the network, such as ``ResNet50`` or ``ConvNeXtTiny``, in upper or lower case.
        input_shape: Height, width and 3 channels, RGB; pixels from 0 to 255, integers or floats.
        embedding_size: Length of the embedding.
        weights: Weights of the network: None for random ones, ``imagenet`` to download those of Keras, or
            the path of a file of weights without classifier, such as ``network.save_weights`` writes.
        trainable: What trains beside pooling and embedding, as in ``set_trainable``; None for ``all``
            over random weights and ``head`` over others.
        pooling: ``gem`` (generalized mean, with a trained exponent), ``average`` or ``max``. ``gem`` counts
            features below 0 as 0; about half of a ConvNeXt's are: take ``average`` there.
        preprocess: Whether the model preprocesses pixels; False if your images are preprocessed already.
        seed: The same seed gives the same initial weights.

    Returns:
        A ``keras.Model``, [batch, height, width, 3] -> [batch, embedding_size] of unit norm, float32.

    Raises:
        ValueError: If a name is unknown, the images are too small for the network, or the weights do not
            fit it.
        OSError: If the weights of ImageNet cannot be downloaded.

    References:
        https://keras.io/api/applications/
        https://keras.io/guides/transfer_learning/
        Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2019.
        https://arxiv.org/abs/1711.02512
    """
    name, family = _applications.find(name)
    input_shape = _rgb(input_shape)
    embedding_size = _checks.positive_int(embedding_size, name="embedding_size")
    _checks.one_of(pooling, _POOLINGS, name="pooling")
    seed = _checks.seed(seed)
    network = _applications.build(name, family, input_shape=input_shape, weights=weights, seed=seed)
    inputs = x = keras.Input(input_shape)
    for layer in _applications.preprocessing(family) if preprocess else ():
        x = layer(x)
    x = Backbone(network, name="backbone")(x)
    x = pooling_layer(pooling)(x)
    start = keras.initializers.GlorotUniform(seed=seed)
    outputs = MetricEmbedding(embedding_size, kernel_initializer=start, name="embedding")(x)
    model = keras.Model(inputs, outputs, name=f"{name}_embedder")
    if trainable is None:
        trainable = "all" if weights is None else "head"
    set_trainable(model, trainable)
    return model


def set_trainable(model: KerasObject, trainable: str | int) -> None:
    """Choose what trains in an embedder of ``backbone``; pooling and embedding always do.

    A frozen layer keeps its weights and, where it is batch normalization, its moving statistics, which it
    then normalizes by in training too. Batch normalization trains only under ``all``: the statistics of the
    small batches of fine-tuning would spoil what the other layers have learned. While nothing of the network
    trains, its dropout is off too.

    A change takes effect when the model is compiled again, as ``simnb.training.fit`` does.

    Args:
        model: A model that ``backbone`` has made; it is changed.
        trainable: ``head`` for nothing of the network; a number for its last layers with weights, batch
            normalization not counted; the beginning of a layer's name for the first layer so called and all
            after it, such as ``conv5`` of a ResNet50 or ``block7`` of an EfficientNetB0; ``all`` for every
            layer, batch normalization included.

    Raises:
        ValueError: If the model has no backbone, or its network no such layers.
    """
    layer = next((layer for layer in model.layers if isinstance(layer, Backbone)), None)
    if layer is None:
        raise ValueError(f"model must be one that simnb.models.backbone has made, got {model.name!r}")
    trained = _trained(layer.network, trainable)
    layer.trainable = len(trained) > 0
    for inner in layer.network.layers:
        inner.trainable = inner in trained


def _trained(network, trainable):
    """The layers of a network that a value of ``trainable`` stands for."""
    if trainable == "all":
        return network.layers
    if trainable == "head":
        return []
    without_norm = [x for x in network.layers if not isinstance(x, keras.layers.BatchNormalization)]
    if isinstance(trainable, str):
        found = [i for i, x in enumerate(network.layers) if x.name.startswith(trainable)]
        if not found or not trainable:
            raise ValueError(
                f"trainable must be 'all', 'head', a number or the beginning of a layer's name in "
                f"{network.name}, got {trainable!r}; its last layers are "
                f"{', '.join(repr(x.name) for x in without_norm[-5:])}"
            )
        return [x for x in network.layers[found[0] :] if x in without_norm]
    count = _checks.positive_int(trainable, name="trainable (neither 'all', 'head' nor a layer's name)")
    weighted = [x for x in without_norm if x.weights and not isinstance(x, keras.layers.Normalization)]
    if count > len(weighted):
        raise ValueError(
            f"trainable must be at most {len(weighted)}, the number of layers with weights in "
            f"{network.name}, got {count}"
        )
    return weighted[-count:]


def _rgb(input_shape):
    try:
        height, width, channels = input_shape
    except (TypeError, ValueError):
        raise ValueError(f"input_shape must be (height, width, 3), got {input_shape!r}") from None
    if channels != 3:
        raise ValueError(
            f"input_shape must be (height, width, 3), got {tuple(input_shape)}; "
            "np.repeat(images, 3, axis=-1) makes three channels of one"
        )
    return *_checks.image_size((height, width), name="input_shape"), 3


def pooling_layer(name):
    """The layer of ``gem``, ``average`` or ``max``."""
    # In float32 under every policy: sums over positions lose digits in 16 bits.
    return _POOLINGS[name](dtype="float32", name="pooling")
