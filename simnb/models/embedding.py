"""Embeds images with any embedder, and with their mirror images."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb._keras import keras, ops
from simnb._terminal import progress_bar
from simnb._types import AnyPath, KerasObject
from simnb.models import _kept
from simnb.models._batches import reading
from simnb.models._pixels import check_pixels

__all__ = ["check_output", "embed", "mirrored"]


def embed(
    model: KerasObject,
    images: Any,
    *,
    batch_size: int = 64,
    progress: bool = True,
    kept: AnyPath | None = None,
    known_as: str | None = None,
) -> NDArray[np.float32]:
    """Embed images, or read from a file what was embedded before.

    Args:
        model: A Keras model or any function from a batch of images to a batch of vectors.
        images: Shape [num_examples, height, width, channels]: an array, a memory map, or anything else
            that can be sliced.
        batch_size: Images at a time; more take more memory.
        progress: Show a progress bar when it takes more than five seconds.
        kept: Name of a file, ``.sqlite``, that keeps the embeddings: what it has of these images is read,
            what is new is embedded and added, batch by batch, so that an interrupt or a kill loses the batch
            it came in. Images are known by their pixels, and the lazy ones of a folder by path, size and time
            of change, so that a file is decoded again only if it was changed or moved. Nothing is ever
            removed. Several processes may use one file; it holds the embeddings of one embedder.
        known_as: Name of the embedder in that file, and of its version. By default a Keras model is known by
            its layers and weights; with a name, by that and the weights. What runs code of your own needs
            one, be it no Keras model or one with your own layers: give it another name when that changes. So
            does an embedder of ``from_torch``, by its name here and its weights: the weights do not say how
            it resizes, normalizes and pools.

    Returns:
        Unit vectors, shape [num_examples, dim] float32.

    Raises:
        ValueError: If the images have the wrong rank or do not fit the model, there are none, they are
            floats of 0 to 1 where the model rescales pixels of 0 to 255, or the model gives something
            other than one vector per image, NaN, infinity or an all-zero vector; if the file ``kept`` is
            damaged, of another embedder or something else, or ``known_as`` is missing.
        OSError: If an image or the file cannot be read, or the file not be written.

    Example:
        >>> import numpy as np
        >>> from simnb import models
        >>> images = np.zeros((3, 32, 32, 3), np.uint8)
        >>> models.embed(models.pretrained("cifar10"), images).shape
        (3, 128)
    """
    images = _checks.not_empty(_checks.images(images), name="images")
    batch_size = _checks.positive_int(batch_size, name="batch_size")
    _check_fits(model, images)
    if kept is not None:
        if isinstance(model, keras.Model) and not model.built:  # it has no weights to be known by
            model.predict_on_batch(np.asarray(images[:1]))
        who, vectors_of = _kept.identity(model, known_as), partial(_vectors, model)
        return _kept.embedded(kept, who, images, vectors_of, batch_size=batch_size, progress=progress)
    if known_as is not None:
        raise ValueError("known_as names the embedder in a file of embeddings: pass kept='...sqlite' too")
    result = np.empty((0, 0), np.float32)
    starts = range(0, len(images), batch_size)
    bar = progress_bar(starts, desc="Embedding", unit="batch", shown=progress)
    with reading(images, [slice(start, start + batch_size) for start in starts]) as batches:
        for start, batch in zip(bar, batches, strict=True):
            vectors = _vectors(model, batch, check=start == 0)
            if start == 0:
                result = np.empty((len(images), vectors.shape[1]), np.float32)
            result[start : start + len(batch)] = vectors
    return result


def mirrored(model: KerasObject) -> KerasObject:
    """An embedder that averages the embedding of each image with that of its mirror image.

    What differs between the two says little about the class, and averaging takes part of it away. Nothing is
    trained, embedding takes twice as long, and an image and its mirror image get the same embedding: not
    for images where left and right matter, such as text.

    Args:
        model: An embedder, [batch, height, width, channels] -> [batch, dim] of unit norm. Its weights are
            shared with the result, not copied.

    Returns:
        A ``keras.Model`` of the same input and output. It can be saved, loaded and trained like any other.

    Raises:
        ValueError: If the model is not a Keras model that takes one batch of images.

    References:
        Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012, section 4.1.
    """
    shape = getattr(model, "input_shape", None)
    if not (isinstance(model, keras.Model) and isinstance(shape, tuple) and len(shape) == 4):
        raise ValueError(
            "model must be a Keras model that takes images, [batch, height, width, channels], "
            f"got {type(model).__name__}" + (f" with input shape {shape}" if shape else "")
        )
    images = keras.Input(shape[1:])
    both = model(images) + model(ops.flip(images, axis=2))
    mean = keras.layers.UnitNormalization(dtype="float32", name="unit")(both)
    return keras.Model(images, mean, name=f"mirrored_{model.name}")


def _check_fits(model, images):
    wanted = getattr(model, "input_shape", None)
    if not isinstance(wanted, tuple) or len(wanted) != 4:
        return
    if any(w not in (None, got) for w, got in zip(wanted[1:], images.shape[1:], strict=True)):
        raise ValueError(
            f"images must have shape [num_examples, {', '.join(map(str, wanted[1:]))}] for this model, "
            f"got {tuple(images.shape)}"
        )


def check_output(output):
    """Raise ValueError unless a model's output, given as values or only as shape, is one [batch, dim]."""
    hint = (
        "make one that gives the vectors alone, such as "
        'keras.Model(model.inputs, model.get_layer("embedding").output)'
    )
    if isinstance(output, dict):
        got = f"a dict of {_checks.listed(output)}"
    elif isinstance(output, list | tuple) and any(len(np.shape(one)) > 1 for one in output):
        got = f"a {type(output).__name__} of {len(output)}"
    else:
        got = tuple(np.shape(output))
        if len(got) == 2:
            return
        layers = "keras.layers.GlobalAveragePooling2D() or Flatten(), or simnb.layers.MetricEmbedding(dim)"
        hint = f"end it with {layers}"
    raise ValueError(f"the model must give one vector per image, shape [batch, dim], got {got}; {hint}")


def _vectors(model, batch, *, check=True):
    """Unit vectors of a batch; ``check`` says whether its pixels are looked at."""
    if check:
        check_pixels(model, batch)
    # predict_on_batch keeps one compiled function; model(x) would run op by op.
    vectors = _unit((model.predict_on_batch if isinstance(model, keras.Model) else model)(batch))
    if len(vectors) != len(batch):
        raise ValueError(f"the model must give one vector per image, got {len(vectors)} for {len(batch)}")
    return vectors


def _unit(vectors):
    check_output(vectors)
    if isinstance(vectors, np.ndarray):  # of PyTorch, say: TensorFlow would take memory of the GPU for it
        with np.errstate(over="ignore"):  # infinity is refused below
            vectors = np.asarray(vectors, np.float32)
    else:
        vectors = ops.convert_to_numpy(ops.cast(vectors, "float32"))  # NumPy has no bfloat16 of its own
    vectors = _checks.embeddings(vectors, name="the model's output", nonzero=True)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / norms).astype(np.float32)
