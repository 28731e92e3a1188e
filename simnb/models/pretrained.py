"""Embedders that come trained, and what is known of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from simnb import _checks
from simnb._types import KerasObject
from simnb.models.embedding import mirrored
from simnb.models.fast import fast_resnet

WEIGHTS = Path(__file__).parent / "weights"
PRETRAINED = ("cifar10", "cifar10-8", "digits-8", "omniglot", "glyphs")


def pretrained(name: str, *, mirror: bool | None = None, precision: str | None = None) -> KerasObject:
    """A trained embedder of small images; nothing is downloaded.

    - ``"cifar10"``, 32 x 32: trained on the 50,000 training images of CIFAR-10;
    - ``"cifar10-8"``, 32 x 32: on those of eight classes, without ``provenance(name)["unknown"]``;
    - ``"digits-8"``, 32 x 32: on eight of the bundled digits, without ``provenance(name)["unknown"]``:
      small, and wrong now and then, to stand in for ``"cifar10-8"`` without a network;
    - ``"omniglot"``, 28 x 28: on 964 drawn characters, for others:
      ``data.load("omniglot", split="test", image_size=(28, 28))``;
    - ``"glyphs"``, 32 x 32: on Latin and Cyrillic print, for other scripts:
      ``data.load("glyphs", split="test")``.

    Args:
        name: One of these.
        mirror: Average the embedding of each image with that of its mirror image
            (``simnb.models.mirrored``); None for what the published figures are of: True for CIFAR-10,
            False for digits and characters, whose mirror images are others. Without it embedding takes half
            the time, and R@1 of CIFAR-10 is a little lower: ``provenance(name)["figures_without_mirror"]``.
        precision: As in ``fast_resnet``; the weights are the same.

    Returns:
        A ``keras.Model``, [batch, height, width, 3] pixels from 0 to 255 -> [batch, dim] of unit norm. The
        characters are dark on white.

    Raises:
        ValueError: If there is no such name.
    """
    made = provenance(name)
    if mirror is None:
        mirror = "figures_without_mirror" in made
    model = fast_resnet(**made["model"], precision=precision)
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as stored:
        model.set_weights([stored[f"weight_{i}"].astype(np.float32) for i in range(len(stored))])
    return mirrored(model) if mirror else model


def provenance(name: str) -> dict[str, Any]:
    """How a trained embedder was made, and its measured figures.

    Args:
        name: Name of a trained embedder, as in ``pretrained``.

    Returns:
        A dict: ``model`` (arguments of ``fast_resnet``), ``command``, ``seed``, ``data``, ``unknown`` (names
        of classes left out), ``figures`` (over the test images), ``date``, ``versions`` and more. Of CIFAR-10
        also ``figures_without_mirror``; of characters, whose figures are those of
        ``simnb.evaluation.unseen_classes``, also ``baselines``, the figures of pixels and of the untrained
        network.

    Raises:
        ValueError: If there is no such name.
    """
    _checks.one_of(name, PRETRAINED, name="name")
    return json.loads((WEIGHTS / f"{name}.json").read_text())
