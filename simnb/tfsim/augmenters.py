"""Augmenters by their old names, over ``simnb.augmentation``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb._checks import one_of, pixels
from simnb.augmentation import Augment
from simnb.tfsim._left_out import missing

__all__ = ["Augmenter", "ContrastiveAugmenter", "SimCLRAugmenter", "BarlowAugmenter"]

__getattr__ = missing(__name__)


class Augmenter:
    """Makes views of a batch; subclass it and write ``augment``."""

    def augment(self, x: Any, y: Any, num_augmentations_per_example: int, is_warmup: bool) -> Any:
        """What a sampler hands on in the place of the batch x, y."""
        raise NotImplementedError

    def __call__(self, x: Any, y: Any, num_augmentations_per_example: int = 1, is_warmup: bool = True) -> Any:
        """What ``augment`` gives."""
        return self.augment(x, y, num_augmentations_per_example, is_warmup)


class ContrastiveAugmenter(Augmenter):
    """Views by a function of one example.

    Args:
        process: ``process(example) -> example``, which makes one view.
        num_cpu: Has no effect.
    """

    def __init__(self, process: Callable[[Any], ArrayLike], num_cpu: int | None = None) -> None:
        self.process = process

    def augment(
        self, x: ArrayLike, y: ArrayLike | None, num_views: int, is_warmup: bool = False
    ) -> list[NDArray]:
        """A list of ``num_views`` arrays [batch, ...]."""
        return [
            np.stack([np.asarray(self.process(each)) for each in np.asarray(x)]) for _ in range(num_views)
        ]


class _Views(Augmenter):
    """Views by ``simnb.augmentation.Augment``, of images that come as 0 to 255 and leave as 0 to 1."""

    def __init__(self, height, width, *, crop, seed, **options):
        self.height, self.width = height, width
        self._augment = Augment(crop=max(1, min(height, width) // 8) if crop else 0, **options)
        self._rng = np.random.default_rng(seed)

    def augment(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        num_augmentations_per_example: int = 2,
        is_warmup: bool = True,
    ) -> list[NDArray[np.float32]]:
        """A list of views of a batch, each of shape [batch, height, width, channels] float32, 0 to 1.

        Raises:
            ValueError: If images have another size than the augmenter was made for, or values of 0 to 1.
        """
        images = np.asarray(x)
        if images.shape[1:3] != (self.height, self.width):
            raise ValueError(
                f"images must be {self.height} x {self.width} as the augmenter was told, got "
                f"{images.shape[1]} x {images.shape[2]}: resize them first (keras.layers.Resizing)"
            )
        pixels(images)
        images = images.astype(np.uint8)
        views = [self._augment(images, self._rng) for _ in range(num_augmentations_per_example)]
        return [view.astype(np.float32) / 255 for view in views]


class SimCLRAugmenter(_Views):
    """Crops, mirror images and colors, as SimCLR makes views.

    Crops are shifted by up to an eighth of the image and not rescaled: the pixels of small images are all
    that there is. ``keras.layers.RandomCrop`` and its like make others, in ``simnb.samplers.TwoViewBatches``.

    Args:
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        is_training: Whether to make views for training; if not, images are only scaled to 0 to 1.
        color_distort: Whether colors vary.
        jitter_stength: How much; 1 is 0.8 in brightness, contrast and saturation.
        crop: Whether images are shifted.
        flip: Whether half of the images are mirrored.
        version: ``v1`` or ``v2``; has no effect, as ``eval_crop_proportion`` and ``num_cpu``.
        seed: Seed of the random generator that varies the views.
    """

    def __init__(
        self,
        height: int,
        width: int,
        is_training: bool = True,
        color_distort: bool = True,
        jitter_stength: float = 1.0,
        crop: bool = True,
        eval_crop_proportion: float = 0.875,
        flip: bool = True,
        version: str = "v2",
        num_cpu: int | None = None,
        *,
        seed: int = 0,
    ) -> None:
        one_of(version, ("v1", "v2"), name="version")
        colors = is_training and color_distort
        super().__init__(
            height,
            width,
            crop=crop and is_training,
            flip=flip and is_training,
            color=min(1.0, 0.8 * jitter_stength) if colors else 0.0,
            grayscale=0.2 if colors else 0.0,
            seed=seed,
        )


class BarlowAugmenter(_Views):
    """Crops, mirror images and colors, as Barlow Twins makes views, without blur and solarization.

    Args:
        width: Width of the images, in pixels.
        height: Height of the images, in pixels.
        flip_probability: Share of images that are mirrored: 0.5, or 0 for none.
        brightness_multiplier: How much colors vary.
        greyscale_probability: Share of images that lose their color.
        num_cpu: Has no effect.
        seed: Seed of the random generator that varies the views.
        **left_out: Options of blur, solarization and the other multipliers, which are refused.

    Raises:
        ValueError: If an option is given that was left out.
    """

    def __init__(
        self,
        width: int,
        height: int,
        flip_probability: float = 0.5,
        brightness_multiplier: float = 0.8,
        greyscale_probability: float = 0.2,
        num_cpu: int | None = None,
        *,
        seed: int = 0,
        **left_out: object,
    ) -> None:
        if left_out:
            raise ValueError(
                f"BarlowAugmenter has no {', '.join(left_out)}; use Keras layers in "
                "simnb.samplers.TwoViewBatches(augment=[keras.layers.RandomGaussianBlur(...), ...])"
            )
        if flip_probability not in (0, 0.5):
            raise ValueError(f"flip_probability must be 0.5, or 0 for none; got {flip_probability}")
        options = {"color": brightness_multiplier, "grayscale": greyscale_probability}
        super().__init__(height, width, crop=True, flip=flip_probability > 0, seed=seed, **options)
