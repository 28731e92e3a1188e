"""The best embedder that is at hand: nothing is downloaded."""

import importlib.util
import os
from pathlib import Path

from simnb._types import KerasObject
from simnb.models.backbone import backbone
from simnb.models.pretrained import pretrained

__all__ = ["best_on_disk"]

#: Of KerasHub, the best first, but no larger than one waits for without a GPU.
_PRESETS = (
    "dinov3_vit_base_lvd1689m",
    "dinov3_vit_small_plus_lvd1689m",
    "dinov3_vit_small_lvd1689m",
    "dinov2_with_registers_base",
    "dinov2_base",
    "dinov2_with_registers_small",
    "dinov2_small",
    "siglip2_base_patch16_224",
    "siglip2_base_patch16_256",
    "siglip_base_patch16_224",
    "siglip_base_patch16_256",
    "clip_vit_base_patch16",
    "clip_vit_base_patch32",
)
_SIDE = 224  # of images for those that take several
_FILES = ("config.json", "image_converter.json", "model.weights.h5")  # of a preset

#: Of ``keras.applications``, the best first, and how Keras calls the files of their weights.
_NETWORKS = {
    **{f"ConvNeXt{size}": f"convnext_{size.lower()}" for size in ("Base", "Small", "Tiny")},
    **{f"EfficientNetV2{size}": f"efficientnetv2-{size.lower()}" for size in ("S", "B3", "B2", "B1", "B0")},
    **{f"EfficientNetB{size}": f"efficientnetb{size}" for size in (4, 3, 2, 1, 0)},
    **{f"ResNet{size}": f"resnet{size}_weights_tf_dim_ordering_tf_kernels" for size in (152, 101, 50)},
}


def best_on_disk() -> tuple[KerasObject, str]:
    """The best embedder that is installed and whose weights are on this disk; nothing is downloaded.

    It is the first of these that is there, and ready to search without any training:

    1. a preset of KerasHub that was downloaded before, from Kaggle or Hugging Face: DINOv3, DINOv2, SigLIP
       or CLIP, of the sizes small and base; DINO's see images of 224 x 224;
    2. a network of ``keras.applications`` whose weights of ImageNet Keras downloaded before: ConvNeXt,
       EfficientNet V2, EfficientNet or ResNet, by the average of its features;
    3. ``pretrained("cifar10")``, which ships with simnb, for photographs of 32 x 32 pixels.

    Returns:
        The embedder, and one line that says what it is and how to get a better one.

    Raises:
        ValueError: If what is on the disk is damaged: the message names it.

    Example:
        >>> from simnb import models
        >>> embedder, what_it_is = models.best_on_disk()
    """
    if importlib.util.find_spec("keras_hub"):
        for name in _PRESETS:
            if folder := _folder_of(name):
                shape = (_SIDE, _SIDE, 3) if name.startswith("dino") else None
                return backbone(folder, input_shape=shape), f"the preset {name} of KerasHub, from this disk"
    better = 'pip install "simnb[hub]" and models.backbone("dinov2_small"), once with a network'
    for name, file in _NETWORKS.items():
        path = _keras_home() / "models" / f"{file}_notop.h5"
        if path.is_file():
            model = backbone(name, weights=path, embedding_size=0, pooling="average")
            return model, f"{name}, trained on ImageNet, from this disk; a better one: {better}"
    return pretrained("cifar10"), (
        f'"cifar10", the small network that ships with simnb, for images of 32 x 32; a better one: {better}'
    )


def _folder_of(preset):
    """The folder of a preset that was downloaded, with all that an embedder needs of it; or None."""
    of_kaggle = [f for f in _kaggle_home().glob(f"models/keras/*/keras/{preset}/*") if f.name.isdecimal()]
    for folder in sorted(of_kaggle, key=lambda folder: int(folder.name), reverse=True):
        # Kaggle's files lie in their place while they are downloaded; a mark says that one is whole, or all.
        marks = folder.parent / ".complete" / folder.name
        each = all((marks / f"{file}.complete").is_file() for file in _FILES)
        if each or folder.with_name(f"{folder.name}.complete").is_file():
            return folder
    if importlib.util.find_spec("huggingface_hub"):
        from huggingface_hub import try_to_load_from_cache

        files = [try_to_load_from_cache(f"keras/{preset}", file) for file in _FILES]
        if all(isinstance(file, str) for file in files):
            return Path(files[0]).parent
    return None


def _keras_home():
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _kaggle_home():
    return Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub")
