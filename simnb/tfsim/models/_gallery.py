"""What a model has indexed: rows, the data given with them, and the calibration."""

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from simnb import _saving, _snapshot
from simnb.calibration import Calibration
from simnb.index import UNKNOWN, open_index

FOLDER = "index"
_CALIBRATION, _DATA, _STATE = _saving.CALIBRATION, "data.npy", "state.json"


class Gallery:
    """An index of simnb, with an object for each row beside it.

    Attributes:
        index: The ``simnb.index`` of the embeddings.
        calibration: The ``simnb.calibration.Calibration``, or None.
    """

    def __init__(self, distance, search="exact"):
        self.search = search
        self.index = open_index(distance=distance, search=search)
        self.calibration = None
        self._data = {}

    def add(self, embeddings, labels, data):
        """Index rows; ``data`` is None or has an item for each."""
        if data is not None and len(data) != len(embeddings):
            raise ValueError(f"data must have an item for each example, {len(embeddings)}, got {len(data)}")
        ids = self.index.add(embeddings, labels)
        if data is not None:
            self._data.update(zip(ids.tolist(), data, strict=True))

    @property
    def known_labels(self):
        """The classes of its rows."""
        known = np.unique(self.index.labels)
        return known[known != UNKNOWN]

    def data(self, row_id):
        """What was given with a row, or None."""
        return self._data.get(row_id)

    def write(self, folder):
        """Write all of it into files of a folder."""
        folder = Path(folder)
        state = {"distance": self.index.distance, "search": self.search, "data": sorted(self._data)}
        facts = _saving.write_gallery(self.index, folder) if len(self.index) else {}
        if self._data:
            np.save(folder / _DATA, self._stacked(state["data"]), allow_pickle=False)
        if self.calibration is not None:
            (folder / _CALIBRATION).write_text(self.calibration.to_json(), encoding="utf-8")
        (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")
        return facts

    def _stacked(self, ids):
        try:
            stacked = np.stack([np.asarray(self._data[row]) for row in ids])
        except ValueError as error:
            raise ValueError(f"data of all rows must have one shape to be saved: {error}") from error
        if stacked.dtype == object:
            raise ValueError("data must be arrays, numbers or strings to be saved; pickles would run code")
        return stacked

    @classmethod
    def read(cls, folder, path, *, facts=None):
        """Read what ``write`` wrote; ``facts`` is what it returned, ``path`` the name in messages."""
        folder = Path(folder)
        for part in folder.iterdir():
            if not part.is_file():  # reading a pipe would wait for ever
                raise ValueError(f"{part.name} of {path} is not a file")
        with _saving.explained(_STATE, folder, path):
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            gallery, ids = cls(state["distance"], state["search"]), state["data"]
            if not isinstance(ids, list) or not all(type(one) is int for one in ids):
                raise ValueError(f"data must be a list of ids, got {ids!r}")
        if (folder / _saving.GALLERY).exists():
            options = {"uri": "memory:", "search": state["search"], "recall": 0.95}
            gallery.index = _saving.read_gallery(folder, path, facts=facts, **options)
        if (folder / _DATA).exists():
            with _saving.explained(_DATA, folder, path):
                rows = np.load(folder / _DATA, allow_pickle=False)
                gallery._data = dict(zip(ids, rows, strict=True))
        if (folder / _CALIBRATION).exists():
            gallery.calibration = _saving.read_text(_CALIBRATION, folder, path, Calibration.from_json)
        return gallery

    def save(self, path):
        """Replace the folder ``index`` in ``path`` in one step."""
        Path(path).mkdir(parents=True, exist_ok=True)
        _snapshot.write(Path(path) / FOLDER, self.write)

    @classmethod
    def load(cls, path):
        """Read what ``save`` wrote, or the index in what ``model.save`` wrote."""
        path = Path(path)
        if (path / FOLDER / _snapshot.MANIFEST).exists():
            with _snapshot.opened(path / FOLDER) as (manifest, folder):
                return cls.read(folder, path, facts=manifest)
        if (path / "assets" / FOLDER / _STATE).exists():
            return cls.read(path / "assets" / FOLDER, path)
        if path.is_file() and zipfile.is_zipfile(path):
            _saving.check_archive(path)
            with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
                names = [name for name in archive.namelist() if name.startswith(f"assets/{FOLDER}/")]
                archive.extractall(folder, names)
                if names:
                    return cls.read(Path(folder) / "assets" / FOLDER, path)
        raise ValueError(f"{path} holds no index: save_index(path) or save(path) writes one")
