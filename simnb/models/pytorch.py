"""PyTorch modules as embedders: of timm, transformers, open_clip or one's own."""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._types import Tensor

__all__ = ["TorchEmbedder", "from_torch"]


class TorchEmbedder:
    """A PyTorch module as an embedder, which ``from_torch`` makes: a function from images to unit vectors.

    Attributes:
        name: What it is called in a saved ``SimilaritySearch``.
        module: The module.
        device: Where it computes.
        half: Whether it computes in 16 bits where that is safe.
    """

    def __init__(
        self, module: Any, *, name: str, prepare: Callable, forward: Callable, device: Any, half: bool
    ) -> None:
        self.name, self.module, self.device, self.half = name, module, device, half
        self._prepare, self._forward = prepare, forward

    def __repr__(self) -> str:
        return f"TorchEmbedder({self.name!r}, device={str(self.device)!r}, half={self.half})"

    @property
    def digest(self) -> str:
        """The weights in 16 digits: those of other weights differ."""
        import torch

        digest = hashlib.sha256()
        for name, weight in self.module.state_dict().items():
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def __call__(self, images: ArrayLike) -> NDArray[np.float32]:
        """Embed: [batch, height, width, channels] pixels from 0 to 255 -> [batch, dim] of unit norm."""
        import torch

        self.module.eval()
        with torch.inference_mode():
            pixels = self._prepare(_checked(images), self.device)
            vectors = self._vectors(pixels)
            if self.half and not bool(torch.isfinite(vectors).all()):  # too large for 16 bits
                self.half = False
                vectors = self._vectors(pixels)
            return torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()

    def _vectors(self, pixels):
        import torch

        weights = (w.dtype for w in self.module.parameters() if w.is_floating_point())
        pixels = pixels.to(next(weights, pixels.dtype))
        # Sums, norms and softmax stay in float32 under autocast. float16 tells apart more than bfloat16.
        with torch.autocast(self.device.type, dtype=torch.float16, enabled=self.half):
            vectors = self._forward(self.module, pixels)
        shape = tuple(getattr(vectors, "shape", ()))
        if len(shape) != 2 or shape[0] != len(pixels):
            raise ValueError(
                "the module must give one vector per image, shape [batch, dim], got "
                f"{shape or type(vectors).__name__} for {len(pixels)}; say what to take of it, such as the "
                "class token, forward=lambda module, pixels: module(pixels).last_hidden_state[:, 0]"
            )
        return vectors.float()


def from_torch(
    module: Any,
    *,
    name: str | None = None,
    preprocess: Callable | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    image_size: tuple[int, int] | None = None,
    forward: Callable[[Any, Tensor], Tensor] | None = None,
    device: str | None = None,
    half: bool | None = None,
) -> TorchEmbedder:
    """An embedder of a PyTorch module: of timm, transformers, open_clip or your own.

    It is a function from images to unit vectors, for ``simnb.models.embed`` and ``SimilaritySearch``; Keras
    has no part in it. The module is put into evaluation mode and on its device, and no gradients are kept.
    A saved ``SimilaritySearch`` keeps its name and a digest of its weights: load that with
    ``load(path, model=from_torch(...))``.

    TensorFlow 2.20 and 2.21 end Python where Triton, a part of PyTorch for CUDA, is loaded after them
    (https://github.com/tensorflow/tensorflow/issues/124205). ``simnb.models`` keeps the two apart where it is
    imported before what loads Triton: timm, torchvision, an optimizer.

    Pixels are resized and normalized in one of three ways:

    - A module of **timm** needs nothing: timm's own transform for its ``pretrained_cfg`` does it.
    - ``preprocess``, such as the one of ``open_clip.create_model_and_transforms`` or an image processor of
      **transformers**. Floats are rounded to whole levels for both, and for timm.
    - ``mean``, ``std`` and ``image_size``: the shorter side is resized (bicubic, antialiased), and the middle
      is cut out.

    Args:
        module: A ``torch.nn.Module``.
        name: What to call it; by default timm's or transformers' name of its weights (of a folder its last
            part), or that of its class.
        preprocess: A function from a ``PIL.Image`` to a tensor [channels, height, width], or an image
            processor of transformers.
        mean: Mean of each channel in pixels from 0 to 1, such as ``processor.image_mean``.
        std: Standard deviation of each channel, likewise.
        image_size: ``(height, width)`` that the module takes; None for images as they are.
        forward: A function from the module and pixels [batch, channels, height, width] to vectors. By default
            what stands before the classifier in timm, ``encode_image`` in open_clip, the image embedding or
            else ``pooler_output`` in transformers (projected, of CLIP and SigLIP; of ViT and DeiT the class
            token before the dense layer of their pooler, which many checkpoints lack, so that it would be
            random), and the output of others, of a map its average. Take the classifier off others first.
        device: Such as ``cuda:1``; by default a GPU where there is one.
        half: Whether to compute in float16 under ``torch.autocast``; by default on CUDA alone. Where that
            overflows, the embedder computes in float32 from then on.

    Returns:
        The embedder, [batch, height, width, channels] pixels from 0 to 255 -> [batch, dim] of unit norm.

    Raises:
        ValueError: If the module is none, nothing says how pixels are to be normalized, or an argument is
            malformed; and later, if the module gives something other than one vector per image.
        ImportError: If PyTorch is not installed.

    References:
        https://huggingface.co/docs/timm/feature_extraction
        https://docs.pytorch.org/docs/stable/amp.html

    Example:
        A module of timm, which brings its normalization; and one of your own, whose pixels are given::

            embedder = models.from_torch(timm.create_model("resnet50", pretrained=True))
            half = (0.5, 0.5, 0.5)
            embedder = models.from_torch(mine, mean=half, std=half, image_size=(224, 224))
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError('from_torch needs PyTorch: pip install "simnb[torch]"') from error
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    if name is not None and not (isinstance(name, str) and name):
        raise ValueError(f"name must be a text, such as 'dinov2 small, 224 pixels', got {name!r}")
    wanted = {"mean": mean, "std": std, "image_size": image_size}
    prepare = _prepare(module, preprocess, {name: x for name, x in wanted.items() if x is not None})
    place = torch.device(device or ("cuda" if _has_cuda() else "cpu"))
    return TorchEmbedder(
        module.to(place),
        name=name or _name(module),
        prepare=prepare,
        forward=forward or _vectors_of,
        device=place,
        half=place.type == "cuda" if half is None else half,
    )


def _has_cuda():
    import torch

    with warnings.catch_warnings():
        # Without a driver, TensorFlow's stand-in for it answers.
        warnings.filterwarnings("ignore", "CUDA initialization: .* Error 302: Error loading CUDA libraries")
        return torch.cuda.is_available()


def _name(module):
    cfg = getattr(module, "pretrained_cfg", None) or {}
    timm = ".".join(cfg[part] for part in ("architecture", "tag") if cfg.get(part))
    path = getattr(getattr(module, "config", None), "_name_or_path", "")
    own = os.path.basename(os.path.abspath(path)) if os.path.isdir(path) else path
    return timm or own or type(module).__name__


def _checked(images):
    images = np.asarray(images)
    if images.dtype == np.uint8 or not images.size:
        return images
    low, high = images.min(), images.max()
    if not -0.5 < low <= high < 255.5:  # so that they round to levels; never so with NaN
        raise ValueError(
            f"images must be finite and have values of 0 to 255, got {images.dtype} of {low:.6g} to "
            f"{high:.6g}: scale them, such as images / 257 those of 16 bits, (images + 1) * 127.5 those of "
            "-1 to 1, or take np.clip(images, 0, 255) where resizing has gone beyond"
        )
    return images


def _vectors_of(module, pixels):
    """The vectors of a module by its library's custom; see ``from_torch``."""
    if hasattr(module, "forward_features") and hasattr(module, "forward_head"):  # timm
        return module.forward_head(module.forward_features(pixels), pre_logits=True)
    if hasattr(module, "encode_image"):  # open_clip
        return module.encode_image(pixels)
    output = getattr(module, "get_image_features", module)(pixels)
    if hasattr(getattr(module, "pooler", None), "dense") and hasattr(output, "last_hidden_state"):
        return output.last_hidden_state[:, 0]
    for name in ("image_embeds", "pooler_output"):  # transformers
        if getattr(output, name, None) is not None:
            return getattr(output, name).flatten(1)
    return output.mean((2, 3)) if len(getattr(output, "shape", ())) == 4 else output


def _prepare(module, preprocess, wanted):
    """A function from images and a device to the pixels that a module takes."""
    if preprocess is not None:
        if wanted:
            raise ValueError(f"preprocess does what {', '.join(wanted)} would: pass the one or the other")
        processor = getattr(preprocess, "image_processor", preprocess)  # of one for images and texts
        of_transformers = hasattr(processor, "model_input_names")
        return _by_processor(processor) if of_transformers else _by_image(preprocess)
    for part, limits in {"mean": {"at_least": 0}, "std": {"above": 0}}.items():
        if part in wanted:
            wanted[part] = _per_channel(wanted[part], part, **limits)
    if {"mean", "std"} <= set(wanted):
        _checks.same_length(wanted["mean"], wanted["std"], "mean and std")
    if getattr(module, "pretrained_cfg", None):
        from timm.data import create_transform, resolve_model_data_config

        own = resolve_model_data_config(module)
        if "image_size" in wanted:
            wanted["input_size"] = (own["input_size"][0], *_checks.image_size(wanted.pop("image_size")))
        return _by_image(create_transform(**{**own, **wanted}, is_training=False))
    if not {"mean", "std"} <= set(wanted):
        raise ValueError(
            f"{type(module).__name__} does not say how pixels are to be normalized: pass preprocess=, the "
            "transform or image processor that its weights come with, or mean= and std= of each channel"
        )
    return _by_numbers(**wanted)


def _by_image(transform):
    def prepare(images, device):
        import torch

        ready = [transform(image) for image in _pictures(images)]
        shapes = {tuple(one.shape) if torch.is_tensor(one) else type(one).__name__ for one in ready}
        if len(shapes) != 1 or not isinstance(next(iter(shapes)), tuple):
            raise ValueError(
                "preprocess must make tensors of one shape, [channels, height, width], of PIL images, "
                f"got {' and '.join(map(str, shapes))}"
            )
        return torch.stack(ready).to(device)

    return prepare


def _by_processor(processor):
    def prepare(images, device):
        return processor(images=_pictures(images), return_tensors="pt")["pixel_values"].to(device)

    return prepare


def _pictures(images):
    from PIL import Image

    if images.shape[-1] != 3:
        raise ValueError(
            f"images must have 3 channels here, got {images.shape[-1]}; "
            "np.repeat(images, 3, axis=-1) makes three of one"
        )
    levels = images if images.dtype == np.uint8 else np.rint(images).astype(np.uint8)
    return [Image.fromarray(image) for image in levels]


def _per_channel(values, name, **limits):
    if not np.iterable(values):
        raise ValueError(
            f"{name} must have a number for each channel, such as [0.5, 0.4, 0.3], got {values!r}"
        )
    return [_checks.number(x, name=name, at_most=1, **limits) for x in values]


def _by_numbers(mean, std, image_size=None):
    size = None if image_size is None else _checks.image_size(image_size)

    def prepare(images, device):
        import torch

        if images.shape[-1] != len(mean):
            raise ValueError(f"images must have {len(mean)} channels, as mean has, got {images.shape[-1]}")
        levels = images if images.dtype == np.uint8 else images.astype(np.float32)
        pixels = torch.tensor(levels, device=device).permute(0, 3, 1, 2).float() / 255
        shift, scale = (torch.tensor(x, device=device)[:, None, None] for x in (mean, std))
        return (_resized(pixels, size) - shift) / scale

    return prepare


def _resized(pixels, size):
    """Pixels [batch, channels, height, width] of the shape ``size``: resized to cover it, and cut out."""
    if size is None or pixels.shape[2:] == size:
        return pixels
    from torch.nn.functional import interpolate

    sides = pixels.shape[2:]
    wanted, got = max(zip(size, sides, strict=True), key=lambda pair: pair[0] / pair[1])
    covering = [side * wanted // got for side in sides]
    pixels = interpolate(pixels, covering, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = ((c - s) // 2 for c, s in zip(covering, size, strict=True))
    return pixels[:, :, top : top + size[0], left : left + size[1]]
