"""The worker: reads a batch of images, embeds them and writes them into an index."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import math
import numbers
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb._threads import in_threads, processors
from simnb._types import AnyPath, KerasObject
from simnb.data.image_file import decoded, reason
from simnb.index import UNKNOWN, Index, open_index


@dataclass(frozen=True)
class Embedder:
    """Embeds batches of images into an index, wherever it is sent to.

    It is pickled as names and numbers; where it arrives, it loads the model and opens the index when the
    first batch comes. It runs under Ray Data, Dask, Beam or in a loop, and writes by ``stable_ids``: a batch
    that is sent again, because a machine was lost, changes nothing.

    Several workers need an index that several processes can open.

    Args:
        model_path: The embedder, a ``.keras`` file that every worker can read. It is loaded in Keras's safe
            mode.
        uri: Where the index is; see ``simnb.index.open_index``.
        key: Column with the name of each image, unique in the index, from which its id is made.
        image: Column with the paths of image files, or with encoded images: bytes, or a dict that holds
            them as ``"bytes"``.
        label: Column with labels: strings, or integers; None for images without labels.
        metadata: Columns kept as metadata; by default that of the keys.
        class_names: Name of each label, in order. Workers that write at the same time need the same ones.
        index_options: Arguments of ``open_index``, such as ``{"search": "hnsw", "collection": "cats"}``.
        existing: What to do where the index holds the id: ``skip`` leaves the old row, ``replace`` writes the
            new one.
        image_size: ``(height, width)``, for models that take images of any size; others know theirs.
        max_pixels: Larger images count as unreadable, before they are decoded.
        batch_size: How many images the model sees at a time.

    Raises:
        ValueError: If an argument is malformed, or the index lives in memory.

    Example:
        >>> from simnb.scale import Embedder
        >>> Embedder("embedder.keras", "gallery.sqlite", key="name", label=None).metadata
        ('name',)
    """

    model_path: AnyPath
    uri: AnyPath
    _: KW_ONLY
    key: str = "path"
    image: str = "image"
    label: str | None = "label"
    metadata: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    index_options: Mapping[str, Any] = field(default_factory=dict, repr=False)  # a token may be among them
    existing: str = "skip"
    image_size: tuple[int, int] | None = None
    max_pixels: int = 50_000_000
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.uri == "memory:":
            raise ValueError(
                'uri must be a file or a server, such as "gallery.sqlite": other processes cannot see an '
                f"index in the memory of one; got {self.uri!r}"
            )
        _checks.one_of(self.existing, ("skip", "replace"), name="existing")
        if not set(self.index_options).isdisjoint({"uri", "class_names"}):
            raise ValueError(f"uri and class_names are arguments of their own, got {self.index_options}")
        metadata = (self.key,) if self.metadata is None else self.metadata
        if isinstance(metadata, str):
            raise ValueError(f"metadata must be a sequence of columns, got the string {metadata!r}")
        plain = {
            "model_path": os.fspath(self.model_path),
            "uri": os.fspath(self.uri),
            "metadata": tuple(metadata),
            "class_names": None if self.class_names is None else tuple(self.class_names),
            "image_size": None if self.image_size is None else _checks.image_size(self.image_size),
            "max_pixels": _checks.positive_int(self.max_pixels, name="max_pixels"),
            "batch_size": _checks.positive_int(self.batch_size, name="batch_size"),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return self.options  # neither the model nor the index

    @property
    def options(self) -> dict[str, Any]:
        """The arguments, by name: ``Embedder(**embedder.options)`` is another one like it."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that a batch has to have."""
        names = (self.key, self.image, self.label, *(self.metadata or ()))
        return tuple(dict.fromkeys(name for name in names if name))

    @functools.cached_property
    def model(self) -> KerasObject:
        """The Keras model, loaded when it is first asked for."""
        from simnb import models  # noqa: F401  so that our layers can be loaded
        from simnb._keras import keras

        return keras.saving.load_model(self.model_path, compile=False, safe_mode=True)

    @functools.cached_property
    def index(self) -> Index:
        """The index, opened when it is first asked for."""
        try:
            return open_index(self.uri, **self.index_options, class_names=self.class_names)
        except ValueError:
            # One that is there keeps its names, in its order; labels go to it as names.
            return open_index(self.uri, **self.index_options)

    def close(self) -> None:
        """Let go of the index; the next batch opens it again."""
        index = self.__dict__.pop("index", None)
        if index is not None:
            index.close()

    def __call__(self, batch: Any) -> dict[str, NDArray]:
        """Read, embed and write a batch.

        Args:
            batch: A dict of columns, shape [num_examples], or an Arrow table: a row for each image.

        Returns:
            A dict of columns, shape [num_examples]: ``id`` (int64), ``key``, and ``error``, which is empty
            where the image is in the index now, and says why where it could not be read.

        Raises:
            ValueError: If a column is missing, keys or labels are malformed, or the model does not fit.
            OSError: If the index cannot be reached or written. The same batch again writes what is missing.
        """
        columns = self._checked(batch)
        keys = columns[self.key]
        ids, index = stable_ids(keys), self.index
        images, errors = self._images(columns[self.image])
        rows = [row for row, error in enumerate(errors) if not error]
        if rows:
            from simnb.models import embed

            embeddings = embed(self.model, images[rows], batch_size=self.batch_size, progress=False)
            labels = None if self.label is None else self._labels([columns[self.label][row] for row in rows])
            metadata = {name: [columns[name][row] for row in rows] for name in self.metadata or ()}
            index.add(embeddings, labels, metadata, ids=ids[rows], existing=self.existing)
        return {"id": ids, "key": np.array([str(key) for key in keys], str), "error": np.array(errors, str)}

    def _checked(self, batch):
        """The columns as lists of Python's own values, None where there is none."""
        columns = batch.to_pydict() if hasattr(batch, "to_pydict") else dict(batch)
        check_columns(self, columns, of="batches")
        return {name: _values(columns[name]) for name in self.columns}

    def _images(self, values):
        """Images, shape [num_examples, height, width, 3] uint8, and why each could not be read, or ""."""
        height, width = self._image_size()
        images = np.zeros((len(values), height, width, 3), np.uint8)

        def read(row):
            try:
                images[row] = _read(values[row], (height, width), self.max_pixels)
            except Exception as error:  # decoders raise whatever a damaged file leads them to
                return reason(error, _source(values[row]))
            return ""

        reading = in_threads(read, len(values), processors())
        with warnings.catch_warnings(), contextlib.closing(reading) as errors:
            warnings.filterwarnings("ignore", module="PIL")  # of what is refused or mended
            return images, list(errors)

    def _image_size(self):
        shape = self.model.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (None, 3):
            raise ValueError(
                f"the model must take images of shape [batch, height, width, 3], got the input shape {shape}"
            )
        size = self.image_size or shape[1:3]
        if None in size:
            raise ValueError(f"the model takes images of any size: pass image_size, got {self.image_size}")
        return size

    def _labels(self, values):
        """Labels as the index takes them: by name where there are names, which it may order otherwise."""
        if self.class_names is not None:
            values = [self._name(value) for value in values]
        if all(value is None for value in values):
            return None
        if any(isinstance(value, str) for value in values):
            return values
        return [UNKNOWN if value is None else value for value in values]

    def _name(self, label):
        if label is None or label == UNKNOWN:
            return None
        if isinstance(label, int) and 0 <= label < len(self.class_names):
            return self.class_names[label]
        if label in self.class_names:
            return label
        raise ValueError(
            f"labels must be among class_names {_checks.listed(self.class_names)}, or positions in them, "
            f"got {label!r}"
        )


def check_columns(embedder, columns, *, of):
    """Raise ValueError where columns that an embedder needs are missing."""
    missing = [name for name in embedder.columns if name not in columns]
    if missing:
        raise ValueError(
            f"{of} must have the columns {', '.join(embedder.columns)}, but have {', '.join(columns)}: "
            f"no {missing[0]!r}; Embedder(..., key=..., image=..., label=..., metadata=...) names them"
        )


def stable_ids(keys: Iterable[str | int | PurePath]) -> NDArray[np.int64]:
    """Ids of things that have a name: the first 62 bits of the SHA-256 of each name.

    So a row that is written twice replaces itself, whoever writes it. Of a hundred million keys, two have the
    same id with a probability of 1 in 900.

    Args:
        keys: Strings, integers or paths, shape [num_examples]. Paths count as they are written with ``/``;
            an integer counts as its decimal digits.

    Returns:
        Integers from 0 to 2**62 - 1, shape [num_examples] int64.

    Raises:
        ValueError: If a key is none of these.

    Example:
        >>> from simnb.scale import stable_ids
        >>> stable_ids(["cat/1.png", "cat/2.png"])
        array([1913714347253371268, 2026387044218911835])
    """
    if isinstance(keys, str | bytes):
        raise ValueError(f"keys must have shape [num_examples], got the single key {keys!r}")
    return np.fromiter((_stable_id(key) for key in keys), np.int64)


def _stable_id(key):
    if isinstance(key, PurePath):
        key = key.as_posix()
    elif isinstance(key, numbers.Integral) and not isinstance(key, bool | np.bool_):
        key = str(int(key))
    elif not isinstance(key, str):
        raise ValueError(f"keys must be strings, integers or paths, got {key!r}")
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 2


def _read(value, size, max_pixels):
    source = _source(value)
    if not source:
        raise ValueError("there is no image")
    if not isinstance(source, str | bytes):
        raise ValueError(f"an image must be a path or encoded bytes, got {type(source).__name__}")
    return decoded(io.BytesIO(source) if isinstance(source, bytes) else source, size, max_pixels)


def _source(value):
    """What a column of images holds: a path or bytes, which ``datasets`` puts into a dict."""
    return value.get("bytes") if isinstance(value, dict) else value


def _values(column):
    values = column.tolist() if hasattr(column, "tolist") else list(column)
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]
