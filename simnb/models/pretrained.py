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
PRETRAINED = ("cifar10", "cifar10-8")


def pretrained(name: str, *, mirror: bool = True, precision: str | None = None) -> KerasObject:
    """A trained embedder of 32 x 32 colour images; nothing is downloaded.

    Args:
        name: ``cifar10``, trained on the 50,000 training images of CIFAR-10, or ``cifar10-8``, trained on
            those of eight classes, without ``provenance(name)["unknown"]``: for work on unknown classes.
        mirror: Average the embedding of each image with that of its mirror image
            (``simnb.models.mirrored``), as the published figures are. Without it embedding takes half the
            time, and R@1 is a little lower: ``provenance(name)["figures_without_mirror"]``.
        precision: As in ``fast_resnet``; the weights are the same.

    Returns:
        A ``keras.Model``, [batch, 32, 32, 3] pixels from 0 to 255 -> [batch, dim] of unit norm.

    Raises:
        ValueError: If there is no such name.
    """
    model = fast_resnet(**provenance(name)["model"], precision=precision)
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as stored:
        model.set_weights([stored[f"weight_{i}"].astype(np.float32) for i in range(len(stored))])
    return mirrored(model) if mirror else model


def provenance(name: str) -> dict[str, Any]:
    """How a trained embedder was made, and its measured figures.

    Args:
        name: Name of a trained embedder, as in ``pretrained``.

    Returns:
        A dict: ``model`` (arguments of ``fast_resnet``), ``command``, ``seed``, ``data``, ``unknown`` (names
        of classes left out), ``figures`` (over the test images), ``figures_without_mirror``, ``date``,
        ``versions`` and more.

    Raises:
        ValueError: If there is no such name.
    """
    _checks.one_of(name, PRETRAINED, name="name")
    return json.loads((WEIGHTS / f"{name}.json").read_text())
