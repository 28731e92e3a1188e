"""An embedder, its preprocessing included, as one ONNX file."""

import contextlib
import functools
import logging
import os
import warnings
from typing import Any

import numpy as np

from simnb._files import replace_whole
from simnb._keras import keras, ops
from simnb._terminal import quiet_stderr
from simnb._types import AnyPath, KerasObject, Tensor
from simnb.models.backbone import Backbone

__all__ = ["export"]

TOLERANCE = 1e-4  # the largest difference of any number in the embeddings
_SIDES = (61, 47), (600, 431)  # of images to check with, where a model takes any


def export(model: KerasObject, path: AnyPath) -> None:
    """Write an embedder, its preprocessing included, as an ONNX file, for servers without Python or Keras.

    The file takes a batch of images named ``images``, float32, as the embedder does, and gives their
    embeddings. It is run under onnxruntime once it is written, and kept only if it gives the same vectors.

    Args:
        model: An embedder, a Keras model that computes in float32.
        path: Name of the file, such as ``embedder.onnx``. One that is there is replaced.

    Raises:
        ValueError: If the model is no Keras model of images, computes in 16 bits or has an operation that
            cannot be written as ONNX, the file gives other vectors, by more than 0.0001, or Keras runs on
            something other than TensorFlow; what was at ``path`` is then as before.
        ImportError: If the packages for it are not installed: ``pip install "simnb[onnx]"``.
        OSError: If the file cannot be written.

    References:
        https://keras.io/api/models/model_saving_apis/export/
        https://onnxruntime.ai/docs/
    """
    try:
        import onnxruntime  # noqa: F401  before the long work
    except ImportError as error:
        raise ImportError('export needs onnxruntime: pip install "simnb[onnx]"') from error
    if (backend := keras.backend.backend()) != "tensorflow":
        raise ValueError(
            f"export needs Keras on TensorFlow, and this is {backend}: save the model, and load it where "
            "KERAS_BACKEND is tensorflow"
        )
    inputs = getattr(model, "inputs", None) if isinstance(model, keras.Model) else None
    shapes = [tuple(x.shape) for x in inputs or []]
    if [len(shape) for shape in shapes] != [4]:
        raise ValueError(
            "model must be a Keras model that takes images, [batch, height, width, channels], got "
            f"{type(model).__name__} of {shapes or 'no known input'}; for PyTorch there is torch.onnx.export"
        )
    short = {layer.compute_dtype for layer in model._flatten_layers()} & {"float16", "bfloat16"}
    if short:
        raise ValueError(
            f"model must compute in float32, got {model.name!r} of {' and '.join(sorted(short))}: make it "
            "once more in float32, and take the weights over, other.set_weights(model.get_weights())"
        )
    with replace_whole(path) as part:
        _write(model, part, shapes[0])
        _check_same(model, part, shapes[0], path)


def _write(model, file, shape):
    signature = [keras.InputSpec(shape=(None, *shape[1:]), dtype="float32", name="images")]
    try:
        _teach_tf2onnx()
        with warnings.catch_warnings(), quiet_stderr(), _inlined(), _without_constants():
            warnings.simplefilter("ignore")  # of tf2onnx, about NumPy
            _exportable(model).export(str(file), format="onnx", verbose=False, input_signature=signature)
            _session(file)  # tf2onnx writes operations, too, that there are none of
    except ImportError as error:
        raise ImportError(f'export needs {error.name}: pip install "simnb[onnx]"') from error
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        odd = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Resizing) and not _known(x)]
        if odd:
            ways = ", ".join(f"{x.name} by {x.interpolation}, {x.data_format}" for x in odd)
            reason = f"it has no operation for resizing as here ({ways}): {reason}"
        raise ValueError(f"the model {model.name!r} cannot be written as ONNX: {reason}") from error


@contextlib.contextmanager
def _inlined():
    """Functions within a graph written out in it: Keras compiles grouped convolutions, as ConvNeXt's."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@functools.cache
def _teach_tf2onnx():
    """Teach it what it lacks, so that transformers and networks with constants can be written."""
    from tf2onnx.handler import tf_op
    from tf2onnx.utils import make_name, map_onnx_to_numpy_type

    @tf_op("Erfc")  # what TensorFlow makes exact GELU of: 1 - erf(x)
    class _Erfc:
        @classmethod
        def version_9(cls, ctx, node, **kwargs):
            shapes, dtypes = node.output_shapes, node.output_dtypes
            ctx.remove_node(node.name)
            erf = ctx.make_node("Erf", node.input).output[0]
            one = ctx.make_const(make_name("one"), np.array(1, map_onnx_to_numpy_type(dtypes[0]))).output[0]
            ctx.make_node(
                "Sub", [one, erf], name=node.name, outputs=node.output, shapes=shapes, dtypes=dtypes
            )


@contextlib.contextmanager
def _without_constants():
    """A silent tf2onnx without constants of layers, such as those of Normalization, as inputs of the file."""
    import tf2onnx

    convert, logger = tf2onnx.convert.from_function, logging.getLogger("tf2onnx")
    level = logger.level

    @functools.wraps(convert)
    def from_function(function, input_signature=None, **options):
        graph = function.get_concrete_function(*input_signature).graph
        graph.inputs = [tensor for tensor in graph.inputs if tensor.op.type == "Placeholder"]
        return convert(function, input_signature, **options)

    tf2onnx.convert.from_function = from_function
    logger.setLevel(logging.CRITICAL)  # what cannot be written, we say ourselves
    try:
        yield
    finally:
        tf2onnx.convert.from_function = convert
        logger.setLevel(level)


def _session(file):
    import onnxruntime

    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def _check_same(model, file, shape, path):
    """Refuse a file that gives other vectors than its model."""
    session = _session(file)
    for height, width in dict.fromkeys((shape[1] or height, shape[2] or width) for height, width in _SIDES):
        size = (3, height, width, shape[3] or 3)
        images = np.random.default_rng(0).integers(0, 256, size).astype(np.float32)
        wanted = ops.convert_to_numpy(model.predict_on_batch(images))
        got = session.run(None, {"images": images})[0]
        apart = np.abs(wanted - got).max() if got.shape == wanted.shape else np.inf
        if not apart <= TOLERANCE:
            raise ValueError(
                f"{os.fspath(path)} is not written: under onnxruntime it gives other vectors than the model, "
                f"by up to {apart:.2g}, for images of {height} x {width}"
            )


def _exportable(model):
    """The model with its resizing in operations that ONNX has; all other layers are the model's own."""
    if not any(isinstance(layer, keras.layers.Resizing) for layer in model._flatten_layers()):
        return model
    return keras.models.clone_model(model, clone_function=_written_out, recursive=True)


def _written_out(layer):
    if isinstance(layer, Backbone):
        return Backbone(_exportable(layer.network), name=layer.name, trainable=layer.trainable)
    return _Resizing(layer) if isinstance(layer, keras.layers.Resizing) and _known(layer) else layer


def _known(resizing):
    channels_last = resizing.data_format == "channels_last"
    return resizing.interpolation in _KERNELS and channels_last and not resizing.fill_value


def _triangle(x):
    return ops.maximum(1.0 - x, 0.0)


def _cubic(x):
    """Keys's kernel with a = -0.5, as TensorFlow and Pillow have it."""
    near, far = (1.5 * x - 2.5) * x * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return ops.where(x < 1.0, near, ops.where(x < 2.0, far, 0.0))


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic}


class _Resizing(keras.layers.Layer):
    """What ``keras.layers.Resizing`` does, as two products with matrices: tf2onnx knows no antialiasing."""

    def __init__(self, resizing: KerasObject, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.sides = resizing.height, resizing.width
        self.crops, self.pads = resizing.crop_to_aspect_ratio, resizing.pad_to_aspect_ratio
        self.interpolation, self.antialias = resizing.interpolation, resizing.antialias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.sides, input_shape[3])

    def call(self, inputs: Tensor) -> Tensor:
        got = ops.shape(inputs)[1:3]
        images = ops.transpose(inputs, (0, 3, 1, 2))
        covered = self._covered(got, self.sides)
        rows, columns = (self._matrix(*sides) for sides in zip(got, covered, self.sides, strict=True))
        return ops.transpose(ops.matmul(ops.matmul(rows, images), ops.transpose(columns)), (0, 2, 3, 1))

    def _covered(self, got, wanted):
        """Sides of the part of the images, or of the images with a border, that is resized."""
        fitting = [
            ops.cast(ops.cast(got[1 - i] * wanted[i], "float32") / wanted[1 - i], "int32") for i in (0, 1)
        ]
        if self.crops:
            return [ops.maximum(ops.minimum(got[i], fitting[i]), 1) for i in (0, 1)]
        if self.pads:
            return [got[i] + ops.maximum(fitting[i] - got[i], 0) // 2 * 2 for i in (0, 1)]
        return got

    def _matrix(self, got, covered, wanted):
        """Weight of each of ``got`` positions, of which ``covered`` count, in each of ``wanted``."""
        cut, border = ops.maximum(got - covered, 0) // 2, ops.maximum(covered - got, 0) // 2
        step = ops.cast(covered, "float32") / wanted
        centers = (ops.arange(wanted, dtype="float32") + 0.5) * step - 0.5
        if self.interpolation == "bicubic" and not self.antialias:
            centers = ops.round(centers * 1024) / 1024  # TensorFlow looks its weights up in a table
        width = ops.maximum(step, 1.0) if self.antialias else 1.0
        kernel = _KERNELS[self.interpolation]
        positions = ops.arange(ops.maximum(got, covered), dtype="float32") - ops.cast(cut, "float32")
        apart = ops.abs(centers[:, None] - positions[None, :]) / width
        counts = ops.logical_and(positions >= 0, positions < ops.cast(covered, "float32"))
        weights = ops.where(counts[None, :], kernel(apart), 0.0)
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        return weights[:, border : border + got]
