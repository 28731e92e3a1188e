"""Augmenters by their old names, over ``simnb.augmentation``."""

import numpy as np

from simnb._checks import one_of, pixels
from simnb.augmentation import Augment
from simnb.tfsim._left_out import missing

__all__ = ["Augmenter", "ContrastiveAugmenter", "SimCLRAugmenter", "BarlowAugmenter"]

__getattr__ = missing(__name__)


class Augmenter:
    """Makes views of a batch; subclass it and write ``augment``."""

    def augment(self, x, y, num_augmentations_per_example, is_warmup):
        """Views and labels of a batch."""
        raise NotImplementedError

    def __call__(self, x, y, num_augmentations_per_example=1, is_warmup=True):
        """Views and labels of a batch."""
        return self.augment(x, y, num_augmentations_per_example, is_warmup)


class ContrastiveAugmenter(Augmenter):
    """Views by a function of one example."""

    def __init__(self, process, num_cpu=None):
        """Take ``process(example) -> example``; ``num_cpu`` is without effect."""
        self.process = process

    def augment(self, x, y, num_views, is_warmup=False):
        """A list of ``num_views`` arrays [batch, ...], and y."""
        return [np.stack([np.asarray(self.process(example)) for example in x]) for _ in range(num_views)]


class _Views(Augmenter):
    """Views by ``simnb.augmentation.Augment``, of images that come as 0 to 255 and leave as 0 to 1."""

    def __init__(self, height, width, augment, seed):
        self.height, self.width = height, width
        self._augment, self._rng = augment, np.random.default_rng(seed)

    def augment(self, x, y=None, num_augmentations_per_example=2, is_warmup=True):
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
        height: Of the images.
        width: Of the images.
        is_training: Views for training; without it images are only brought to 0 to 1.
        color_distort: Whether colors vary.
        jitter_stength: How much; 1 is the paper's for large images, here 0.8 in brightness, contrast and
            saturation.
        crop: Whether images are shifted.
        eval_crop_proportion: Without effect: nothing is cut off for evaluation.
        flip: Whether half of the images are mirrored.
        version: ``v1`` or ``v2``, without effect.
        num_cpu: Without effect.
        seed: Of the views.
    """

    def __init__(
        self,
        height,
        width,
        is_training=True,
        color_distort=True,
        jitter_stength=1.0,
        crop=True,
        eval_crop_proportion=0.875,
        flip=True,
        version="v2",
        num_cpu=None,
        *,
        seed=0,
    ):
        """Choose what varies."""
        one_of(version, ("v1", "v2"), name="version")
        on = is_training and color_distort
        augment = Augment(
            crop=max(1, min(height, width) // 8) if crop and is_training else 0,
            flip=flip and is_training,
            color=min(1.0, 0.8 * jitter_stength) if on else 0.0,
            grayscale=0.2 if on else 0.0,
        )
        super().__init__(height, width, augment, seed)


class BarlowAugmenter(_Views):
    """Crops, mirror images and colors, as Barlow Twins makes views, without blur and solarization.

    Args:
        width: Of the images.
        height: Of the images.
        flip_probability: 0.5, or 0 for no mirror images.
        brightness_multiplier: How much colors vary.
        greyscale_probability: Share of images that lose their color.
        num_cpu: Without effect.
        seed: Of the views.
        **left_out: Of blur, solarization and the other multipliers.

    Raises:
        ValueError: If an option is given that was left out.
    """

    def __init__(
        self,
        width,
        height,
        flip_probability=0.5,
        brightness_multiplier=0.8,
        greyscale_probability=0.2,
        num_cpu=None,
        *,
        seed=0,
        **left_out,
    ):
        """Choose what varies."""
        if left_out:
            raise ValueError(
                f"BarlowAugmenter has no {', '.join(left_out)}; use Keras layers in "
                "simnb.samplers.TwoViewBatches(augment=[keras.layers.RandomGaussianBlur(...), ...])"
            )
        if flip_probability not in (0, 0.5):
            raise ValueError(f"flip_probability must be 0.5, or 0 for none; got {flip_probability}")
        augment = Augment(
            crop=max(1, min(height, width) // 8),
            flip=flip_probability > 0,
            color=brightness_multiplier,
            grayscale=greyscale_probability,
        )
        super().__init__(height, width, augment, seed)
