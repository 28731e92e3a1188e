"""What a network finds after some epochs on one's own images, and nothing of it left behind."""

import numpy as np
from numpy.typing import NDArray

from simnb._types import KerasObject
from simnb.data import Examples

_CLASSES, _EACH = 8, 4  # of a batch: 32 images of common sizes fit the memory of most machines


def check(network: KerasObject) -> None:
    """Raise ValueError unless a network can be fine-tuned; of one that is not built yet it cannot be told."""
    # Not at the top: this half of the library needs no Keras.
    from simnb._keras import keras

    if not isinstance(network, keras.Model):
        raise ValueError(f"fine_tune trains a network that is a Keras model, got {type(network).__name__}")
    if network.built and not network.trainable_weights:
        raise ValueError(
            "fine_tune trains what is trainable of the network, but nothing is: "
            "simnb.models.set_trainable chooses some of its layers"
        )


def fine_tuned(
    network: KerasObject,
    head: KerasObject,
    train: Examples,
    test: Examples,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    progress: bool,
) -> NDArray[np.float32]:
    """Embeddings of the test images after network and head were trained together; both are then as before.

    Batch normalization does not train: statistics of small batches would spoil what the others have learned.
    """
    # Not at the top: this half of the library needs no Keras.
    from simnb._keras import keras
    from simnb.losses import SupervisedContrastiveLoss
    from simnb.models import chain, embed
    from simnb.samplers import BalancedBatches
    from simnb.training import fit

    check(network)
    model = chain(network, head)
    batches = BalancedBatches(
        train.images,
        train.labels,
        classes_per_batch=min(_CLASSES, len(np.unique(train.labels))),
        examples_per_class=_EACH,
        small_classes="repeat",
        seed=seed,
    )
    before = model.get_weights()
    norms = [x for x in network._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    norms = [layer for layer in norms if layer.trainable]
    try:
        for layer in norms:
            layer.trainable = False
        fit(
            model,
            batches,
            # Every pair counts. A loss over hard pairs finds none after the head, which holds them apart.
            loss=SupervisedContrastiveLoss(),
            epochs=epochs,
            learning_rate=learning_rate,
            seed=seed,
            verbose="auto" if progress else 0,
        )
        return embed(model, test.images, progress=progress)
    finally:
        for layer in norms:
            layer.trainable = True
        model.set_weights(before)
