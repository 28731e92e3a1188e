"""Embedders over pretrained networks, and which of their layers train."""

from typing import Any

from simnb import _checks
from simnb._keras import keras
from simnb._types import AnyPath, KerasObject, Tensor
from simnb.layers import MetricEmbedding
from simnb.models import _applications, _hub
from simnb.models._features import POOLINGS, Source, pool, pooling_layer  # noqa: F401  tfsim pools so too

__all__ = ["Backbone", "backbone", "set_trainable"]


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
        for layer in network.layers:
            if not layer.trainable:
                _train(layer, False)
        return super().from_config({**config, "network": network})


def backbone(
    name: str | AnyPath | KerasObject = "EfficientNetB0",
    *,
    input_shape: tuple[int, int, int] | None = None,
    embedding_size: int | None = None,
    weights: AnyPath | None = None,
    trainable: str | int | None = None,
    pooling: str | None = None,
    preprocess: bool = True,
    seed: int = 0,
) -> KerasObject:
    """An embedder over a network of ``keras.applications``, a preset of KerasHub or a Keras model of yours.

    Preprocessing is included: the embedder takes pixels from 0 to 255, integers or floats, RGB. The network
    itself is ``model.get_layer("backbone").network``. The usual fine-tuning has two stages: train the
    embedding over frozen pretrained weights, then ``set_trainable`` the last layers and train on at a much
    lower learning rate.

    **Presets of KerasHub** (``pip install "simnb[hub]"``), such as DINOv2, DINOv3, SigLIP, CLIP or ViT, are
    good embedders without any training: their pretrained features are the embedding. Images may have any
    size; the embedder resizes and normalizes them as the preset's own ``ImageConverter`` does floats
    (integers it would round after resizing, by up to half a level of 255). Of a preset with a tower for
    texts the one for images is taken.

    **A Keras model** of yours, images to vectors, to tokens or to a map of features, takes the images that
    it takes by itself. Its weights are shared with the embedder, not copied, and so is what trains.

    Args:
        name: Name of a network of ``keras.applications``, such as ``ResNet50``, in upper or lower case; a
            preset such as ``dinov2_small``, ``kaggle://...``, ``hf://...``, or a folder that holds one; or a
            ``keras.Model``.
        input_shape: Height, width and 3 channels of the images; by default (224, 224, 3). For a preset the
            shape to which images are resized, where its network can do with another one than its own:
            smaller is faster. A Keras model has its own.
        embedding_size: Length of the embedding, which a dense layer to be trained makes of the features: by
            default 128 over ``keras.applications``. 0 leaves the layer out, the default over others: the
            features are the embedding, for use without training.
        weights: Weights of a network of ``keras.applications``: None for random ones, ``imagenet`` to
            download those of Keras, or the path of a file of weights without classifier, such as
            ``network.save_weights`` writes. Presets and models bring theirs.
        trainable: What trains beside pooling and embedding, as in ``set_trainable``; None for ``all``
            over random weights and ``head`` over others.
        pooling: ``gem`` (generalized mean, with a trained exponent), ``average`` or ``max`` of a map of
            features or of the tokens of all patches, or ``class_token``. By default ``gem`` over
            ``keras.applications``; otherwise what the network was trained with: the class token of DINOv2,
            DINOv3, ViT and DeiT, the average of a map and of tokens without class token. CLIP and SigLIP
            give one vector by themselves. ``gem`` counts features below 0 as 0; about half of a ConvNeXt's
            are, and many of a transformer's: take ``average`` there.
        preprocess: Whether the model preprocesses pixels; False if your images are preprocessed already. A
            Keras model of yours does what it does, whatever this says.
        seed: The same seed gives the same initial weights.

    Returns:
        A ``keras.Model``, [batch, height, width, 3] -> [batch, dim] of unit norm, float32.

    Raises:
        ValueError: If a name is unknown, the images are too small for the network, the weights do not
            fit it, or a preset is not one of images.
        OSError: If the weights of ImageNet or a preset cannot be downloaded.
        ImportError: If a preset is asked for where KerasHub is not installed.

    References:
        https://keras.io/api/applications/
        https://keras.io/keras_hub/presets/
        https://keras.io/guides/transfer_learning/
        Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2019.
        https://arxiv.org/abs/1711.02512
        Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2023.
        https://arxiv.org/abs/2304.07193

    Example:
        >>> from simnb.models.backbone import backbone, set_trainable
        >>> embedder = backbone("MobileNetV3Small", input_shape=(32, 32, 3), embedding_size=16)
        >>> set_trainable(embedder, "head")
        >>> embedder.output_shape
        (None, 16)
    """
    if embedding_size is not None:
        embedding_size = _checks.not_negative_int(embedding_size, name="embedding_size")
    if pooling is not None:
        _checks.one_of(pooling, POOLINGS, name="pooling")
    seed = _checks.seed(seed)
    source = _source(name, input_shape=input_shape, weights=weights, preprocess=preprocess, seed=seed)
    inputs = x = keras.Input(source.input_shape)
    for layer in source.preprocessing:
        x = layer(x)
    x = pool(Backbone(source.network, name="backbone")(x), source, pooling)
    size = source.embedding_size if embedding_size is None else embedding_size
    if not size:
        outputs = keras.layers.UnitNormalization(dtype="float32", name="embedding")(x)
    else:
        start = keras.initializers.GlorotUniform(seed=seed)
        outputs = MetricEmbedding(size, kernel_initializer=start, name="embedding")(x)
    model = keras.Model(inputs, outputs, name=f"{source.name}_embedder")
    set_trainable(model, source.trainable if trainable is None else trainable)
    return model


def _source(name, *, input_shape, weights, preprocess, seed):
    """The network of whatever ``backbone`` is given, and what it wants."""
    shape = None if input_shape is None else _rgb(input_shape)
    if isinstance(name, keras.Model) or _hub.is_preset(name):
        if weights is not None:
            raise ValueError(f"weights must be None for {_named(name)}, which has its own, got {weights!r}")
        if isinstance(name, keras.Model):
            return _of_model(name, shape, preprocess)
        return _hub.of_preset(name, input_shape=shape, preprocess=preprocess)
    name, family = _applications.find(name)
    shape = shape or (224, 224, 3)
    return Source(
        name,
        _applications.build(name, family, input_shape=shape, weights=weights, seed=seed),
        shape,
        "gem",
        preprocessing=_applications.preprocessing(family) if preprocess else [],
        embedding_size=128,
        trainable="all" if weights is None else "head",
    )


def _of_model(model, input_shape, preprocess):
    """The source of an embedder, of a model of the caller's."""
    if input_shape is not None:
        raise ValueError(f"input_shape must be None for {_named(model)}, which has its own")
    if _hub.is_backbone(model):
        if preprocess:
            raise ValueError(
                f"{_named(model)} is a backbone of KerasHub, which does not say what pixels it takes: pass "
                "its preset, by name or folder, or preprocess=False if your images are preprocessed already"
            )
        return _hub.of_backbone(model)
    taken, given = (
        [tuple(x.shape) for x in getattr(model, end, None) or []] for end in ("inputs", "outputs")
    )
    if [len(shape) for shape in taken] != [4] or [len(shape) for shape in given] not in ([2], [3], [4]):
        raise ValueError(
            "name must be a built model from images, [batch, height, width, channels], to vectors, tokens "
            f"or a map of features, got {_named(model)}: {taken} to {given}"
        )
    return Source(model.name, model, taken[0][1:], None if len(given[0]) == 2 else "average")


def _named(name):
    return f"the model {name.name!r}" if isinstance(name, keras.Model) else repr(str(name))


def set_trainable(model: KerasObject, trainable: str | int) -> None:
    """Choose what trains in an embedder of ``backbone``; pooling and embedding always do.

    A frozen layer keeps its weights and, where it is batch normalization, its moving statistics, which it
    then normalizes by in training too. Batch normalization trains only under ``all``: the statistics of the
    small batches of fine-tuning would spoil what the other layers have learned. While nothing of the network
    trains, its dropout is off too.

    What counts is a layer of the network. Of many transformers, such as those of DINOv2 and ViT, the whole
    encoder is one: its blocks cannot be freed one by one, since Keras would not keep that in a saved model.

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
        _train(inner, inner in trained)


def _train(layer, trainable):
    """Set it for all layers within a layer, too.

    Keras loads those of a frozen one as trained, and sets nothing within a layer that has the value already.
    """
    for part in layer._flatten_layers():
        part.trainable = trainable


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
