"""The networks of ``keras.applications``: their names, the pixels they expect, their weights."""

import difflib
import os
import random
import warnings

import numpy as np

from simnb._keras import keras

__all__ = ["FAMILIES", "ReverseChannels", "build", "find", "is_known", "is_misspelled", "preprocessing"]

# The modules of keras.applications by the mode of their preprocess_input. That of "inside" does nothing: the
# networks begin with layers of their own that do it.
_MODES = {
    "caffe": "resnet vgg16 vgg19",
    "inside": "convnext efficientnet efficientnet_v2 mobilenet_v3",
    "tf": "inception_resnet_v2 inception_v3 mobilenet mobilenet_v2 nasnet resnet_v2 xception",
    "torch": "densenet",
}
FAMILIES = {family: mode for mode, families in _MODES.items() for family in families.split()}
_FAMILY = {
    name: family
    for name, network in vars(keras.applications).items()
    if (family := getattr(network, "__module__", "").rpartition(".")[2]) in FAMILIES
}

_MEAN = np.array([0.485, 0.456, 0.406])
_STD = np.array([0.229, 0.224, 0.225])
_MEAN_BGR = [103.939, 116.779, 123.68]


@keras.saving.register_keras_serializable(package="simnb")
class ReverseChannels(keras.layers.Layer):
    """The channels in reverse order: RGB to BGR and back."""

    def call(self, inputs):
        return keras.ops.flip(inputs, axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape


def find(name):
    """The name of a network as ``keras.applications`` spells it, and its family; or raise ValueError."""
    if not isinstance(name, str):
        raise ValueError(
            "name must be a network of keras.applications, a preset or a keras.Model, got a "
            f"{type(name).__name__}; simnb.models.from_torch takes modules of PyTorch"
        )
    spelled = {known.lower(): known for known in _FAMILY}
    lower = name.lower()
    if lower in spelled:
        return spelled[lower], _FAMILY[spelled[lower]]
    close = [spelled[match] for match in difflib.get_close_matches(lower, spelled)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(sorted(_FAMILY))}"
    raise ValueError(f"name must be a network of keras.applications, got {name!r}; {hint}")


def is_known(name):
    """Whether a name is that of a network, in upper or lower case."""
    return name.lower() in {known.lower() for known in _FAMILY}


def is_misspelled(name):
    """Whether a name is that of a network but for underscores and hyphens."""
    return is_known(name.replace("_", "").replace("-", ""))


def preprocessing(family):
    """The layers that do what the ``preprocess_input`` of a family does, in float32."""
    mode = FAMILIES[family]
    if mode == "tf":
        return [keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")]
    if mode == "torch":
        mean, variance = (255 * _MEAN).tolist(), ((255 * _STD) ** 2).tolist()
        return [keras.layers.Normalization(mean=mean, variance=variance, dtype="float32")]
    if mode == "caffe":
        centered = keras.layers.Normalization(mean=_MEAN_BGR, variance=[1.0] * 3, dtype="float32")
        return [ReverseChannels(dtype="float32"), centered]
    return []


def build(name, family, *, input_shape, weights, seed):
    """A network without its classifier, with weights as ``backbone`` takes them."""
    application, download = getattr(keras.applications, name), weights == "imagenet"
    # Keras draws the seeds of initializers and dropout that have none from Python's global generator.
    state = random.getstate()
    random.seed(seed)
    try:
        network = application(
            include_top=False, weights="imagenet" if download else None, input_shape=input_shape
        )
    except Exception as error:  # Keras raises a plain Exception where a download fails
        if isinstance(error, ValueError) or not download:
            raise
        raise OSError(
            f"the ImageNet weights of {name} could not be downloaded ({error}); download that file where "
            "there is a network and pass weights=its path, or pass weights=None to start from random weights"
        ) from error
    finally:
        random.setstate(state)
    if weights is not None and not download:
        _load(network, weights, name=name)
        if family == "efficientnet":
            _correct_variance(network)
    return network


def _load(network, path, *, name):
    if not os.path.isfile(path):
        raise ValueError(f"weights must be None, 'imagenet' or the path of a file, got {os.fspath(path)!r}")
    try:
        with warnings.catch_warnings():
            # The error that follows says more.
            warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)
            network.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        reason = " ".join(str(error).partition("List of objects")[0].split())
        raise ValueError(
            f"weights must be a file of weights of {name} without its classifier ('notop'), but "
            f"{os.fspath(path)} does not fit: {reason}"
        ) from error


def _correct_variance(network):
    # The files that Keras publishes for EfficientNet hold the standard deviation of ImageNet where the
    # layer wants the variance. Keras makes up for it, but only under weights="imagenet".
    # https://github.com/tensorflow/tensorflow/issues/49930
    layer = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    mean, variance, count = layer.get_weights()
    if np.allclose(variance, _STD, atol=1e-3):
        layer.set_weights([mean, variance**2, count])
        layer.finalize_state()
