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

    - ``"cifar10"``: trained on the 50,000 training images of CIFAR-10.
    - ``"cifar10-8"``: trained on those of eight classes; what ``provenance(name)["unknown"]`` names was left
      out, for work on unknown classes.

    Args:
        name: One of the names above.
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
        set_weights(model, [stored[f"weight_{i}"] for i in range(len(stored))])
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


def set_weights(model, weights):
    """Set the weights of a model, or raise ValueError where they do not fit; then none is set.

    Args:
        model: A Keras model.
        weights: Arrays in the order of ``model.get_weights()``, of any float dtype.
    """
    wanted = [tuple(weight.shape) for weight in model.weights]
    got = [np.shape(weight) for weight in weights]
    if wanted != got:
        differing = [i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b]
        detail = f"{len(got)} arrays where the model has {len(wanted)}"
        if differing:
            i = differing[0]
            detail = f"array {i} of shape {got[i]} where {model.weights[i].path} has {wanted[i]}"
        raise ValueError(f"weights must fit the model {model.name!r}, got {detail}")
    model.set_weights([np.asarray(weight, np.float32) for weight in weights])
