"""Keras layers as the ``augment`` of a sampler."""

import threading

from simnb._keras import keras, ops


def as_augment(augment):
    """Return ``augment(images, rng) -> images``, given one, a Keras layer, a list of layers, or None."""
    layers = list(augment) if isinstance(augment, list | tuple) else [augment]
    if layers and all(isinstance(layer, keras.layers.Layer) for layer in layers):
        return LayerAugment(layers)
    if augment is None or (callable(augment) and not isinstance(augment, type)):
        return augment
    raise ValueError(
        "augment must be a function (images, rng) -> images, a Keras layer or a list of Keras layers, "
        f"got {augment!r}"
    )


class LayerAugment:
    """Keras layers, one after the other, seeded anew for each batch.

    Layers draw from generators of their own, which go on from call to call. Before each batch those are
    set from the batch's own generator, so that neither the order of the batches nor the threads matter.
    """

    def __init__(self, layers):
        """Keep the layers."""
        self.layers = list(layers)
        self._layers = keras.layers.Pipeline(layers)
        self._lock = threading.Lock()

    def __call__(self, images, rng):
        """Transform images [batch, height, width, channels]; the layers choose the dtype, float32 mostly."""
        with self._lock:
            for state in self._layers.variables:
                if state.path.endswith("seed_generator_state"):
                    # Below 2**31, because the backends differ in the dtype of the state.
                    state.assign(ops.cast(rng.integers(0, 2**31, 2), state.dtype))
            return ops.convert_to_numpy(self._layers(images, training=True))

    def __getstate__(self):
        """Leave the lock behind."""
        return {"layers": self.layers, "_layers": self._layers}

    def __setstate__(self, state):
        """Restore, with a new lock."""
        self.__dict__.update(state)
        self._lock = threading.Lock()
