"""Callbacks that keep the right weights: averaged ones, the best ones, those before the loss was NaN."""

import math

import numpy as np

from simnb._keras import keras
from simnb.training._arrays import all_finite, array_of, list_in


class AverageWeights(keras.callbacks.Callback):
    """Puts averaged weights into the model at the end of each epoch, and takes them out as the next begins.

    An update every ``every`` steps keeps ``decay ** every`` of the average. Keras's ``SwapEMAWeights`` is not
    used: a training that a callback ends early is left with the weights of its last step (Keras 3.15).
    """

    def __init__(self, decay, every=10):
        super().__init__()
        self.kept = decay**every
        self.every = every
        self._average = self._trained = None
        self._step = 0

    def on_epoch_begin(self, epoch, logs=None):
        if self._trained is not None:
            self._put(self._trained)
            self._trained = None

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self._step % self.every == 0:
            weights = self._take()
            if self._average is None:
                self._average = weights
            for average, weight in zip(self._average, weights, strict=True):
                average += (1 - self.kept) * (weight - average)

    def on_epoch_end(self, epoch, logs=None):
        if self._average is not None:
            self._trained = self._take()
            self._put(self._average)

    def state(self):
        arrays = {f"average_{i}": array for i, array in enumerate(self._average or ())}
        return {"step": np.array(self._step), **arrays}

    def restore(self, arrays, model):
        average = list_in(arrays, "average_", model.trainable_variables)
        self._step, self._average = int(arrays["step"]), average or None

    def _take(self):
        return [np.array(keras.ops.convert_to_numpy(v)) for v in self.model.trainable_variables]

    def _put(self, arrays):
        for variable, array in zip(self.model.trainable_variables, arrays, strict=True):
            variable.assign(array)


class StopWhenWorse(keras.callbacks.EarlyStopping):
    """Ends a training when R@1 has not improved for ``patience`` epochs, with the weights of the best one."""

    def __init__(self, patience):
        super().__init__("recall_at_1", patience=patience, mode="max", restore_best_weights=True)
        super().on_train_begin()

    def on_train_begin(self, logs=None):
        pass  # forgets nothing: what is known may come from a checkpoint

    def state(self):
        weights = {f"weight_{i}": w for i, w in enumerate(self.best_weights or ())}
        best = -1.0 if self.best is None else self.best
        return {"best": np.array(best), "waited": np.array(self.wait), **weights}

    def restore(self, arrays, model):
        if arrays:  # the epochs before may have been trained without a patience
            weights = list_in(arrays, "weight_", model.weights)
            self.best, self.wait = float(arrays["best"]), int(arrays["waited"])
            self.best_weights = weights or None


class StopWhenNotFinite(keras.callbacks.Callback):
    """Raises where loss or weights have become NaN or infinite, after going back to weights that were good.

    A copy of the weights is taken every ``every`` steps, and counts as good once the loss of the step after
    it is finite. The weights themselves are looked at where no step follows: at the end of an epoch.
    """

    def __init__(self, every=25):
        super().__init__()
        self.every = every
        self._good = self._candidate = None
        self._step = 0

    def on_train_begin(self, logs=None):
        self._step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        self._candidate = (self._step, self.model.get_weights())

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if not math.isfinite(logs["loss"]):  # the mean of the epoch: one that is not finite stays so
            self._stop(f"the loss became {logs['loss']}")
        if self._candidate is not None:
            self._good, self._candidate = self._candidate, None
        if self._step % self.every == 0:
            self._candidate = (self._step, self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        variables = [*self.model.weights, *self.model.optimizer.variables]
        if not all_finite(map(array_of, variables)):
            self._stop("the weights or the optimizer's state became NaN or infinite")

    def _stop(self, what):
        step, weights = self._good or self._candidate
        self.model.set_weights(weights)
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise FloatingPointError(
            f"{what} in step {self._step} at a learning rate of {rate:.3g}; the model has "
            f"the weights of step {step} again. Try a lower learning rate or clipnorm=1.0 in the optimizer, "
            "and look whether the images hold NaN and every label is one of the classes"
        )
