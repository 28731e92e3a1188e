"""Presets of KerasHub: their image towers, and the resizing and normalization that they were trained with."""

import contextlib
import difflib
import importlib.util
import inspect
import os
import sys
from dataclasses import replace

from simnb import _checks
from simnb._keras import keras
from simnb.models import _applications
from simnb.models._features import Source

__all__ = ["is_backbone", "is_preset", "layers_of", "of_backbone", "of_preset"]

_SECONDS = 10  # to wait for an answer from a hub
_HF = "hf://"


def is_preset(name):
    """Whether a name means a preset, rather than a network of ``keras.applications``."""
    if not isinstance(name, str | os.PathLike):
        return False
    if isinstance(name, str) and _applications.is_known(name):  # also where a folder is called so
        return False
    path = not isinstance(name, str) or bool(set(name) & {os.sep, os.altsep})
    name = os.path.expanduser(name)
    located = "://" in name or os.path.isdir(name)
    if path and not located:
        raise ValueError(f"there is no folder {name!r}; presets of Hugging Face begin with hf://")
    if "." in name and not located:
        raise ValueError(
            f"name must be a network of keras.applications or a preset of KerasHub, got {name!r}; of timm it "
            f"would be from_torch(timm.create_model({name!r}, pretrained=True, num_classes=0))"
        )
    # No network of keras.applications has an underscore in its name, but people write one.
    if not located and ("_" not in name or _applications.is_misspelled(name)):
        return False
    if importlib.util.find_spec("keras_hub") is None:
        raise ImportError(f'{name!r} as a preset of KerasHub needs KerasHub: pip install "simnb[hub]"')
    if located:
        return True
    known = _keras_hub().models.Backbone.presets
    if name not in known:
        close = difflib.get_close_matches(name, known)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            "name must be a network of keras.applications, a preset of KerasHub or the folder of one, "
            f"got {name!r}; {hint}print(*keras_hub.models.Backbone.presets) shows them all"
        )
    return True


def is_backbone(model):
    """Whether a model is one of KerasHub's own, which has no preprocessing."""
    return "keras_hub" in sys.modules and isinstance(model, _keras_hub().models.Backbone)


def of_preset(preset, *, input_shape, preprocess):
    """The source of an embedder, of a preset: its weights, and its preprocessing if that is wanted."""
    preset, hub = os.path.expanduser(preset), _keras_hub()
    with _explained(preset):
        _probe(preset)
        converter = _converter(hub, preset) if preprocess else None
        size = input_shape[:2] if input_shape else getattr(converter, "image_size", None)
        resizable = converter is None or _takes_image_shape(converter)
        if input_shape and not resizable:
            raise ValueError("input_shape must be None, its network has a size of its own")
        options = {"image_shape": (*size, 3)} if size and resizable else {}
        source = of_backbone(hub.models.Backbone.from_preset(preset, **options), name=preset)
    if converter is None:
        return source
    shape = (None, None, source.input_shape[2]) if size else source.input_shape
    return replace(source, input_shape=shape, preprocessing=layers_of(converter, size))


def of_backbone(backbone, *, name=None):
    """The source of an embedder, of a backbone of KerasHub, without preprocessing."""
    name, features = name or backbone.name, None
    if hasattr(backbone, "get_vision_embeddings"):  # a tower for images and one for texts, side by side
        inputs, features = _image_tower(backbone)
    elif len(backbone.inputs) == 1:
        inputs, features = backbone.inputs[0], backbone.output
    if features is None or len(inputs.shape) != 4 or len(getattr(features, "shape", ())) not in (2, 3, 4):
        raise ValueError(
            f"{name} must be a network from images to features, it is a {type(backbone).__name__}: "
            f"{_checks.listed(x.name for x in backbone.inputs)} to {_shapes(backbone.output)}"
        )
    extra = _extra_tokens(backbone)
    pooling = {2: None, 3: "class_token" if extra else "average", 4: "average"}[len(features.shape)]
    network = keras.Model(inputs, features, name=backbone.name)
    return Source(backbone.name, network, tuple(inputs.shape[1:]), pooling, extra_tokens=extra)


def _keras_hub():
    import keras_hub

    return keras_hub


def _image_tower(backbone):
    """Images and embeddings of a network of two towers, by the layers of the first alone.

    Its layers become layers of the new network, so that the last of them can be trained.
    """
    images = keras.Input(backbone.vision_encoder.image_shape)
    whole = keras.Model(images, backbone.get_vision_embeddings(images))
    features = backbone.vision_encoder.output
    for layer in whole.layers:
        if layer is not backbone.vision_encoder and not isinstance(layer, keras.layers.InputLayer):
            features = layer(features)
    return backbone.vision_encoder.inputs[0], features


def _extra_tokens(backbone):
    """How many tokens stand before those of the patches: class token, registers, the one for distillation."""
    if hasattr(backbone, "num_register_tokens"):  # DINOv2 and DINOv3
        return 1 + backbone.num_register_tokens
    if isinstance(backbone, _keras_hub().models.DeiTBackbone):
        return 2
    return int(getattr(backbone, "use_class_token", False))  # ViT


def _shapes(output):
    return keras.tree.map_structure(lambda x: tuple(x.shape), output)


def _converter(hub, preset):
    """The layer of KerasHub that makes of images what a preset takes."""
    try:
        converter = hub.layers.ImageConverter.from_preset(preset)
    except FileNotFoundError:
        converter = None
    if converter is None:
        raise ValueError(
            "it does not say what pixels it takes, for want of an image_converter.json; save one beside it, "
            "such as keras_hub.layers.ImageConverter(image_size, scale, offset).save_to_preset(folder), or "
            "pass preprocess=False if your images are preprocessed already"
        )
    return converter


def _takes_image_shape(converter):
    return "image_shape" in inspect.signature(converter.backbone_cls.__init__).parameters


def layers_of(converter, size):
    """What a converter of KerasHub does, in layers of Keras and in float32: images, then pixels as wanted."""
    layers = []
    if size:
        options = ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "interpolation", "antialias")
        resizing = {name: getattr(converter, name) for name in options}
        layers.append(keras.layers.Resizing(*size, **resizing, dtype="float32"))
    scale, offset = converter.scale, converter.offset
    if scale is not None or offset is not None:
        scale, offset = 1.0 if scale is None else scale, 0.0 if offset is None else offset
        layers.append(keras.layers.Rescaling(scale, offset, dtype="float32"))
    return layers


def _probe(preset):
    """Have a preset of Hugging Face that cannot be had fail at once: KerasHub would try for half a minute."""
    if preset.startswith(_HF):
        import huggingface_hub

        name = preset.removeprefix(_HF)
        if not isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str):
            huggingface_hub.HfApi().model_info(name, timeout=_SECONDS)


@contextlib.contextmanager
def _explained(preset):
    """Say which preset it is that cannot be had or read, and what helps."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        damaged = type(error) is OSError and error.errno is None  # a file of weights, so HDF5 says it
        if os.path.isdir(preset) or damaged or isinstance(error, ValueError | TypeError):
            raise ValueError(f"the preset {preset!r} cannot be used: {reason}") from error
        raise OSError(
            f"the preset {preset!r} could not be downloaded ({reason}); run {_download(preset)} where there "
            "is a network, and pass the folder that it names"
        ) from error


def _download(preset):
    if preset.startswith(_HF):
        return f"huggingface_hub.snapshot_download({preset.removeprefix(_HF)!r})"
    known = _keras_hub().models.Backbone.presets
    handle = known[preset]["kaggle_handle"] if preset in known else preset
    return f"kagglehub.model_download({handle.removeprefix('kaggle://')!r})"
