"""One embedder of a network and a head that was trained on its features."""

from simnb._keras import keras
from simnb._types import KerasObject
from simnb.models.pytorch import TorchEmbedder

__all__ = ["chain"]


def chain(embedder: KerasObject, head: KerasObject) -> KerasObject:
    """Make one embedder of a network and a head over its features.

    It is a model like any other: it can be saved as ``.keras``, loaded, mirrored, trained on, and
    ``set_trainable`` chooses what trains of a network of ``backbone``.

    Args:
        embedder: A Keras model, images to features [batch, dim].
        head: A Keras model, features [batch, dim] to embeddings, such as ``simnb.training.fit_head`` makes.
            Their weights are shared with the result, not copied.

    Returns:
        A ``keras.Model`` of the input of the embedder and the output of the head.

    Raises:
        ValueError: If one is no Keras model made of layers, or the head takes features of another length.

    Example:
        >>> import keras
        >>> from simnb.models import chain, tutorial_convnet
        >>> features = keras.Input((256,))
        >>> head = keras.Model(features, keras.layers.Dense(8)(features))
        >>> chain(tutorial_convnet(), head).output_shape
        (None, 8)
    """
    for name, model in {"embedder": embedder, "head": head}.items():
        shapes = [getattr(model, side, None) for side in ("input_shape", "output_shape")]
        if not isinstance(model, keras.Model) or not all(isinstance(shape, tuple) for shape in shapes):
            raise ValueError(
                f"{name} must be a Keras model made of layers, of one input and one output, got "
                f"{type(model).__name__}; "
                + (
                    "a function does for one of PyTorch: lambda images: head(embedder(images))"
                    if isinstance(model, TorchEmbedder)
                    else "wrap it: keras.Model(inputs, model(inputs))"
                )
            )
    given, wanted = embedder.output_shape, head.input_shape
    if len(given) != 2 or len(wanted) != 2 or given[1] != wanted[1]:
        raise ValueError(
            f"head must take the features of the embedder, [batch, dim]: it takes {wanted}, and the embedder "
            f"gives {given}"
        )
    name = f"{embedder.name}_{head.name}"
    if head.name in {layer.name for layer in embedder.layers}:  # of a chain that gets a second head
        head = keras.Model(head.inputs, head.outputs, name=name)
    return keras.Model(embedder.inputs, head(embedder.outputs[0]), name=name)
