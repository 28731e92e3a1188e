"""A moving average of the weights, which retrieves better than the weights of the last step."""

import numpy as np

from simnb._keras import keras
from simnb.training._arrays import list_in


class AverageWeights(keras.callbacks.Callback):
    """Puts averaged weights into the model at the end of each epoch, and takes them out as the next begins.

    Keras's ``SwapEMAWeights`` is not used: a training that a callback ends early is left with the weights of
    its last step instead (Keras 3.15).

    Args:
        decay: Share of the average that is kept at each step.
        every: Steps between two updates; each then keeps ``decay ** every``.
    """

    def __init__(self, decay, every=10):
        """Nothing is averaged yet."""
        super().__init__()
        self.kept = decay**every
        self.every = every
        self._average = self._trained = None
        self._step = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Go on with the trained weights."""
        if self._trained is not None:
            self._put(self._trained)
            self._trained = None

    def on_train_batch_end(self, batch, logs=None):
        """Update."""
        self._step += 1
        if self._step % self.every == 0:
            weights = self._take()
            if self._average is None:
                self._average = weights
            for average, weight in zip(self._average, weights, strict=True):
                average += (1 - self.kept) * (weight - average)

    def on_epoch_end(self, epoch, logs=None):
        """Show the averaged weights to whatever measures now, and to whoever uses the model in the end."""
        if self._average is not None:
            self._trained = self._take()
            self._put(self._average)

    def state(self):
        """What a checkpoint must hold: a dict of arrays."""
        arrays = {f"average_{i}": array for i, array in enumerate(self._average or ())}
        return {"step": np.array(self._step), **arrays}

    def restore(self, arrays, model):
        """Go on from what ``state`` gave, of a model whose variables have these shapes."""
        average = list_in(arrays, "average_", model.trainable_variables)
        self._step, self._average = int(arrays["step"]), average or None

    def _take(self):
        return [np.array(keras.ops.convert_to_numpy(v)) for v in self.model.trainable_variables]

    def _put(self, arrays):
        for variable, array in zip(self.model.trainable_variables, arrays, strict=True):
            variable.assign(array)
