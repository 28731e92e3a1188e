"""An embedder, its preprocessing included, as one ONNX file."""

import os
import warnings
from typing import Any

import numpy as np

from simnb._files import replace_whole
from simnb._keras import keras, ops
from simnb._terminal import quiet_stderr
from simnb._types import AnyPath, KerasObject, Tensor

__all__ = ["export"]

TOLERANCE = 1e-4  # the largest difference of any number in the embeddings
_SIDES = 61, 47  # of images to check with, where a model takes any


def export(model: KerasObject, path: AnyPath) -> None:
    """Write an embedder, its preprocessing included, as an ONNX file, for servers without Python or Keras.

    The file takes a batch of images named ``images``, float32, as the embedder does, and gives their
    embeddings. It is run under onnxruntime once it is written, and kept only if it gives the same vectors.

    Args:
        model: An embedder, a Keras model that computes in float32.
        path: Name of the file, such as ``embedder.onnx``. One that is there is replaced.

    Raises:
        ValueError: If the model is no Keras model of images, has an operation that cannot be written as
            ONNX, or the file gives other vectors, by more than 0.0001; what was at ``path`` is then as
            before.
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
    inputs = getattr(model, "inputs", None) if isinstance(model, keras.Model) else None
    shapes = [tuple(x.shape) for x in inputs or []]
    if [len(shape) for shape in shapes] != [4]:
        raise ValueError(
            "model must be a Keras model that takes images, [batch, height, width, channels], got "
            f"{type(model).__name__} of {shapes or 'no known input'}; for PyTorch there is torch.onnx.export"
        )
    with replace_whole(path) as part:
        _write(model, part, shapes[0])
        _check_same(model, part, shapes[0], path)


def _write(model, file, shape):
    signature = [keras.InputSpec(shape=(None, *shape[1:]), dtype="float32", name="images")]
    try:
        with warnings.catch_warnings(), quiet_stderr():
            warnings.simplefilter("ignore")  # of tf2onnx, about NumPy
            _exportable(model).export(str(file), format="onnx", verbose=False, input_signature=signature)
            _session(file)  # tf2onnx writes operations, too, that there are none of
    except ImportError as error:
        raise ImportError(f'export needs {error.name}: pip install "simnb[onnx]"') from error
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"the model {model.name!r} cannot be written as ONNX: {reason}") from error


def _session(file):
    import onnxruntime

    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def _check_same(model, file, shape, path):
    """Refuse a file that gives other vectors than its model."""
    sides = [given or side for given, side in zip(shape[1:3], _SIDES, strict=True)]
    images = np.random.default_rng(0).integers(0, 256, (3, *sides, shape[3] or 3)).astype(np.float32)
    wanted = ops.convert_to_numpy(model.predict_on_batch(images))
    got = _session(file).run(None, {"images": images})[0]
    apart = np.abs(wanted - got).max() if got.shape == wanted.shape else np.inf
    if not apart <= TOLERANCE:
        raise ValueError(
            f"{os.fspath(path)} is not written: under onnxruntime it gives other vectors than the model, by "
            f"up to {apart:.2g}; a model that computes in 16 bits has to be made in float32 first"
        )


def _exportable(model):
    """The model with its resizing in operations that ONNX has; all other layers are the model's own."""
    with_resizing = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Resizing)]
    if not with_resizing:
        return model
    return keras.models.clone_model(model, clone_function=_written_out, recursive=True)


def _written_out(layer):
    known = isinstance(layer, keras.layers.Resizing) and layer.interpolation in _KERNELS
    if not known or layer.data_format != "channels_last" or layer.fill_value:
        return layer
    return _Resizing(layer)


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
        self.resizing = resizing

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.resizing.height, self.resizing.width, input_shape[3])

    def call(self, inputs: Tensor) -> Tensor:
        wanted = (self.resizing.height, self.resizing.width)
        got = ops.shape(inputs)[1:3]
        images = ops.transpose(inputs, (0, 3, 1, 2))
        covered = self._covered(got, wanted)
        rows, columns = (self._matrix(*sides) for sides in zip(got, covered, wanted, strict=True))
        return ops.transpose(ops.matmul(ops.matmul(rows, images), ops.transpose(columns)), (0, 2, 3, 1))

    def _covered(self, got, wanted):
        """Sides of the part of the images, or of the images with a border, that is resized."""
        fitting = [
            ops.cast(ops.cast(got[1 - i] * wanted[i], "float32") / wanted[1 - i], "int32") for i in (0, 1)
        ]
        if self.resizing.crop_to_aspect_ratio:
            return [ops.maximum(ops.minimum(got[i], fitting[i]), 1) for i in (0, 1)]
        if self.resizing.pad_to_aspect_ratio:
            return [got[i] + ops.maximum(fitting[i] - got[i], 0) // 2 * 2 for i in (0, 1)]
        return got

    def _matrix(self, got, covered, wanted):
        """Weight of each of ``got`` positions, of which ``covered`` count, in each of ``wanted``."""
        cut, border = ops.maximum(got - covered, 0) // 2, ops.maximum(covered - got, 0) // 2
        step = ops.cast(covered, "float32") / wanted
        centers = (ops.arange(wanted, dtype="float32") + 0.5) * step - 0.5
        if self.resizing.interpolation == "bicubic" and not self.resizing.antialias:
            centers = ops.round(centers * 1024) / 1024  # TensorFlow looks its weights up in a table
        width = ops.maximum(step, 1.0) if self.resizing.antialias else 1.0
        kernel = _KERNELS[self.resizing.interpolation]
        positions = ops.arange(ops.maximum(got, covered), dtype="float32") - ops.cast(cut, "float32")
        apart = ops.abs(centers[:, None] - positions[None, :]) / width
        counts = ops.logical_and(positions >= 0, positions < ops.cast(covered, "float32"))
        weights = ops.where(counts[None, :], kernel(apart), 0.0)
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        return weights[:, border : border + got]
