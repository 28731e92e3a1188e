"""Going on after a kill, as if nothing had happened."""

import json
import os
from pathlib import Path

import numpy as np

from simnb._keras import keras

FORMAT = 2


class Checkpoint(keras.callbacks.Callback):
    """Writes all that a training needs to go on, after each epoch, into one file.

    The file is replaced whole: a process killed while writing leaves the one of the epoch before.

    Args:
        path: The file, ``.npz``.
        variables: The variables of model and optimizer, in a fixed order.
        settings: What must be the same for a training to be the same one: a dict of plain values.
        keepers: Objects with ``state() -> dict of arrays`` and ``restore(dict)``, by name.
    """

    def __init__(self, path, variables, settings, keepers):
        """Nothing is written yet."""
        super().__init__()
        self.path = Path(path)
        self.settings = {"format": FORMAT, **settings, "variables": _signature(variables)}
        self.history = {}
        self.epochs = 0
        self.done = False
        self._variables = variables
        self._keepers = keepers

    def restore(self):
        """Read the file where there is one: afterwards ``epochs`` says how many are done.

        Raises:
            ValueError: If the file is of another training or is damaged; it is left as it is.
        """
        if not self.path.exists():
            return
        what_to_do = f"pass another path, or delete {self.path} to start anew"
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
            meta = json.loads(str(arrays.pop("meta")))
        except Exception as error:
            raise ValueError(f"checkpoint {self.path} cannot be read ({error}); {what_to_do}") from error
        changed = [
            k for k, v in self.settings.items() if meta["settings"].get(k) != json.loads(json.dumps(v))
        ]
        if changed:
            raise ValueError(
                f"checkpoint {self.path} is of another training: {', '.join(changed)} differ; {what_to_do}"
            )
        for i, variable in enumerate(self._variables):
            variable.assign(arrays[f"variable_{i}"])
        for name, keeper in self._keepers.items():
            prefix = f"{name}/"
            keeper.restore({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)})
        self.epochs, self.history, self.done = meta["epochs"], meta["history"], meta["done"]

    def on_epoch_begin(self, epoch, logs=None):
        """Write what the epochs before have led to, unless it is there."""
        # Not at an epoch's end: averaged weights are in the model then, in place of the trained ones.
        if epoch > self.epochs:
            self._write(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Keep the figures of the epoch."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def on_train_end(self, logs=None):
        """Write that the training is done, so that running it again changes nothing."""
        self.done = True
        self._write(max(map(len, self.history.values()), default=0))

    def _write(self, epochs):
        _ = self.model  # asking for it brings the variables up to date on the JAX backend
        self.epochs = epochs
        arrays = {f"variable_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(self._variables)}
        for name, keeper in self._keepers.items():
            arrays |= {f"{name}/{key}": value for key, value in keeper.state().items()}
        meta = {"settings": self.settings, "epochs": epochs, "history": self.history, "done": self.done}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.part")
        with open(part, "wb") as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)


def _signature(variables):
    # Paths are not stable: Keras numbers layers of one kind through the life of a process.
    return [[list(v.shape), keras.backend.standardize_dtype(v.dtype)] for v in variables]
