"""Going on after a kill or an interrupt, as if nothing had happened."""

import json
import weakref
from pathlib import Path

import numpy as np

from simnb._files import replace_whole
from simnb._keras import keras
from simnb.training._arrays import all_finite, array_of, list_in, same_sums, sums

FORMAT = 3
#: Formats that are read. Those of format 2 do not identify data and starting weights.
_READ = (2, FORMAT)
#: Of each model that a checkpoint was made for: the file, and the sums of the weights as they were left.
_LEFT: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Checkpoint(keras.callbacks.Callback):
    """Writes all that a training needs to go on, before the first epoch and after each, into one file.

    It goes on with a model that has the weights the training began with, those in the file, or those that an
    earlier training with this file has left in it, in this process.

    Args:
        path: The file, ``.npz``.
        model: The model that was passed to ``fit``.
        variables: Those of model, proxies and optimizer, in a fixed order.
        settings: What must be the same for a training to be the same one: a dict of plain values.
        keepers: Objects with ``state() -> dict of arrays`` and ``restore(dict, model)``, by name.
        first_epoch: Epoch of the batches that the training begins with.
    """

    def __init__(self, path, model, variables, settings, keepers, first_epoch):
        super().__init__()
        self.path = Path(path)
        self.settings = json.loads(json.dumps({**settings, "variables": _signature(variables)}))
        self.first_epoch = first_epoch
        self.history = {}
        self.epochs = 0
        self.done = self.restored = False
        self._given = model
        self._variables = variables
        self._keepers = keepers
        self._start = self._given_sums()

    def restore(self):
        """Read the file where there is one: afterwards ``epochs`` says how many are done.

        Raises:
            ValueError: If it is of another training or damaged; it and the model are left as they are.
        """
        if not self.path.exists():
            return
        what_to_do = f"pass another path, or delete {self.path} to start anew"
        try:
            meta, arrays = self._read()
        except Exception as error:
            raise ValueError(f"checkpoint {self.path} cannot be read ({error}); {what_to_do}") from error
        changed = _differences(self.settings, meta["settings"])
        if not changed and not self._goes_on_from(meta["start"], arrays):
            changed = ["starting weights"]
            what_to_do += ", or build the model as it was when the training began"
        if changed and meta["epochs"] == 0:
            return  # no epoch is done, so none is lost
        if changed:
            raise ValueError(
                f"checkpoint {self.path} is of another training: {', '.join(changed)} differ; {what_to_do}"
            )
        try:
            self._take(meta, arrays)
        except (KeyError, ValueError) as error:
            raise ValueError(f"checkpoint {self.path} is damaged ({error}); {what_to_do}") from error
        if meta["unchecked"]:
            print(
                f"{self.path} was written by an earlier version of simnb. It could not be checked whether "
                f"these are the same: {', '.join(meta['unchecked'])}."
            )

    def remember(self):
        """Remember the weights that the model has now: with these the same ``fit`` goes on from the file."""
        _ = self.model  # asking for it brings the variables up to date on the JAX backend
        _LEFT[self._given] = self.path.resolve(), self._given_sums()

    def on_train_begin(self, logs=None):
        if not self.restored:
            self._write(0)

    def on_epoch_begin(self, epoch, logs=None):
        # Not at an epoch's end: averaged weights are in the model then, in place of the trained ones.
        if epoch > self.epochs:
            self._write(epoch)

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def on_train_end(self, logs=None):
        self.done = True
        self._write(_length(self.history))

    def _write(self, epochs):
        _ = self.model
        arrays = {f"variable_{i}": array_of(v) for i, v in enumerate(self._variables)}
        for name, keeper in self._keepers.items():
            arrays |= {f"{name}/{key}": value for key, value in keeper.state().items()}
        if not all_finite(arrays.values()):
            raise FloatingPointError(
                f"the weights hold NaN or infinity after {epochs} epochs, so they are not written into the "
                f"checkpoint {self.path}, which keeps those after {self.epochs} epochs"
            )
        self.epochs = epochs
        meta = {
            "format": FORMAT,
            "settings": self.settings,
            "start": self._start,
            "first_epoch": self.first_epoch,
            "epochs": epochs,
            "history": self.history,
            "done": self.done,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replace_whole(self.path) as part, open(part, "wb") as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)

    def _read(self):
        """What the file says, and its arrays; each is checked by itself."""
        with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        meta = json.loads(str(arrays.pop("meta")))
        settings = meta["settings"]
        written = settings.pop("format", meta.get("format"))
        if written not in _READ:
            raise ValueError(f"it has format {written}, and this version of simnb reads 2 and 3")
        meta["unchecked"] = []
        if written == 2:
            unknown = _fill(settings, self.settings)
            meta |= {"first_epoch": settings.pop("first_epoch"), "start": self._start}
            meta["unchecked"] = [*unknown, "starting weights"]
        epochs, most, history = meta["epochs"], settings["epochs"], meta["history"]
        if type(epochs) is not int or not 0 <= epochs <= most:
            raise ValueError(f"it says that {epochs!r} epochs of {most} are done")
        # Figures of your own need not be of every epoch.
        if {_length(history), len(history.get("loss", range(epochs)))} != {epochs}:
            raise ValueError(f"it does not have the figures of the {epochs} epochs that it says are done")
        if meta["done"] not in (False, epochs > 0):
            raise ValueError(f"it says {meta['done']!r} where it should say whether the training is done")
        if not all_finite(arrays.values()):
            raise ValueError("it holds weights that are NaN or infinite")
        return meta, arrays

    def _take(self, meta, arrays):
        """Go on from the file; the model is changed once all of it fits."""
        variables = list_in(arrays, "variable_", self._variables)
        for name, keeper in self._keepers.items():
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            keeper.restore(own, self.model)
        try:
            for variable, array in zip(self._variables, variables, strict=True):
                variable.assign(array)
        finally:
            self.remember()
        self.epochs, self.history, self.done = meta["epochs"], meta["history"], meta["done"]
        self.first_epoch, self._start, self.restored = meta["first_epoch"], meta["start"], True

    def _goes_on_from(self, start, arrays):
        """Whether the model has weights that belong to this training."""
        of_model = {id(weight) for weight in self._given.weights}
        positions = [i for i, variable in enumerate(self._variables) if id(variable) in of_model]
        known = [start, sums(arrays.get(f"variable_{i}", np.nan) for i in positions)]
        path, left = _LEFT.get(self._given, (None, None))
        if path == self.path.resolve():
            known.append(left)
        return any(same_sums(self._given_sums(), one) for one in known)

    def _given_sums(self):
        return sums(map(array_of, self._given.weights))


def _signature(variables):
    # Paths are not stable: Keras numbers layers of one kind through the life of a process.
    return [[list(v.shape), keras.backend.standardize_dtype(v.dtype)] for v in variables]


def _length(history):
    return max(map(len, history.values()), default=0)


def _differences(ours, theirs):
    """Names of the settings that differ, with what differs within those that are dicts."""
    names = []
    for name in _differing(ours, theirs):
        one, other = ours.get(name), theirs.get(name)
        both = isinstance(one, dict) and isinstance(other, dict)
        names.append(f"{name} ({', '.join(_differing(one, other))})" if both else name)
    return names


def _differing(one, other):
    return [name for name in one | other if one.get(name) != other.get(name)]


def _fill(theirs, ours):
    """Take over what settings lack, and return its names."""
    added = [name for name in ours if name not in theirs]
    theirs |= {name: ours[name] for name in added}
    for name, inner in theirs.items():
        if isinstance(inner, dict) and isinstance(ours.get(name), dict):
            added += _fill(inner, ours[name])
    return added
