"""What a corpus is made of: image files, or rows of Parquet files."""

import itertools
import os
from pathlib import Path

import numpy as np

from simnb._terminal import progress_bar
from simnb.data import list_images
from simnb.scale.embedder import check_columns, stable_ids


def open_corpus(source, root, embedder, progress):
    """The corpus at a folder, a list of files or Parquet files; keys and labels are read, no image is."""
    if isinstance(source, str | os.PathLike):
        if "://" in str(source) or Path(source).suffix == ".parquet":
            return ParquetCorpus(source, embedder, progress)
        path = Path(source).expanduser()
        tables = sorted(path.glob("*.parquet")) if path.is_dir() else []
        if tables:
            return ParquetCorpus(tables, embedder, progress)
        found = list_images(path, class_names=embedder.class_names)
        skipped = [(file.relative_to(path).as_posix(), reason) for file, reason in found.skipped]
        return FileCorpus(found.files, path, embedder, found.class_names, skipped)
    files = [Path(file) for file in source]
    if files and all(file.suffix == ".parquet" for file in files):
        return ParquetCorpus(files, embedder, progress)
    return FileCorpus(files, root, embedder)


class FileCorpus:
    """Image files, each named by its path below the folder of the corpus, ``root``.

    Where there is no root, paths count as they are, and there are no labels. ``names`` are those of the
    classes, by default those of the files; ``unreadable`` is (key, reason) of what could not be listed.
    """

    def __init__(self, files, root, embedder, names=None, unreadable=()):
        self._embedder, self.unreadable = embedder, list(unreadable)
        self._files, self._keys, self._labels = [], [], []
        folder = None if root is None else Path(root).expanduser()
        for file in files:
            if folder is not None and not file.is_relative_to(folder):
                raise ValueError(f"the files must lie below root {folder}, got {file}")
            below = file if folder is None else file.relative_to(folder)
            key = below.as_posix()
            if key.encode(errors="replace").decode() != key:
                self.unreadable.append((ascii(key), "the name is no UTF-8"))
                continue
            self._files.append(str(file.absolute()))
            self._keys.append(key)
            self._labels.append(None if folder is None or len(below.parts) == 1 else below.parts[0])
        self.class_names = tuple(sorted(names or set(self._labels) - {None})) or None
        self.ids = stable_ids(self._keys)

    def key(self, row):
        """The name of a file."""
        return self._keys[row]

    def batches(self, wanted, size):
        """Batches of the files at the positions where ``wanted`` is true."""
        rows = np.flatnonzero(wanted).tolist()
        for start in range(0, len(rows), size):
            yield self._columns(rows[start : start + size])

    def dataset(self, wanted, workers):
        """The same as a ``ray.data.Dataset`` of paths, in parts of which every worker gets several."""
        import pyarrow
        import ray.data

        size = min(10_000, max(1, -(-int(wanted.sum()) // (4 * workers))))
        kinds = pyarrow.schema([(name, pyarrow.string()) for name in self._columns([])])
        tables = [pyarrow.Table.from_pydict(part, schema=kinds) for part in self.batches(wanted, size)]
        return ray.data.from_arrow(tables)

    def _columns(self, rows):
        columns = {self._embedder.key: self._keys, self._embedder.image: self._files}
        if self._embedder.label is not None:
            columns[self._embedder.label] = self._labels
        return {name: [values[row] for row in rows] for name, values in columns.items()}


class ParquetCorpus:
    """Rows of Parquet files: of a path or URL, or of several."""

    def __init__(self, source, embedder, progress):
        try:
            import pyarrow.dataset
        except ImportError as error:
            raise ImportError('Parquet files need Apache Arrow: pip install "simnb[ray]"') from error
        paths = [_absolute(path) for path in source] if isinstance(source, list) else _absolute(source)
        dataset = pyarrow.dataset.dataset(paths, format="parquet")
        self._schema, self._filesystem, self._embedder = dataset.schema, dataset.filesystem, embedder
        check_columns(embedder, dataset.schema.names, of="the Parquet files")
        files = progress_bar(list(dataset.get_fragments()), desc="Reading keys", unit="file", shown=progress)
        self._parts = [part for file in files for part in file.split_by_row_group()]
        self.unreadable, self._names, ids = [], set(), []
        for part in progress_bar(self._parts, desc="Reading keys", unit="part", shown=progress):
            ids.append(self._ids(part))
        self._starts = np.cumsum([0, *map(len, ids)])
        self.ids = np.concatenate([np.empty(0, np.int64), *ids])
        self.class_names = tuple(sorted(self._names)) or None

    def key(self, row):
        """The key of a row."""
        part = int(np.searchsorted(self._starts, row, "right")) - 1
        keys = self._parts[part].to_table(schema=self._schema, columns=[self._embedder.key])
        return keys.column(0)[row - int(self._starts[part])].as_py()

    def batches(self, wanted, size):
        """Batches of the rows where ``wanted`` is true; parts without any are not read."""
        for part, start, end in zip(self._parts, self._starts, self._starts[1:], strict=False):
            mask, row = wanted[start:end], 0
            if not mask.any():
                continue
            columns = list(self._embedder.columns)
            for batch in part.to_batches(schema=self._schema, columns=columns, batch_size=size):
                rows = np.flatnonzero(mask[row : row + len(batch)])
                row += len(batch)
                if len(rows):
                    yield batch.take(rows).to_pydict()

    def dataset(self, wanted, workers):
        """The same as a ``ray.data.Dataset``; files without any wanted row are not read."""
        import ray.data

        has = [wanted[start:end].any() for start, end in itertools.pairwise(self._starts)]
        files = dict.fromkeys(part.path for part, some in zip(self._parts, has, strict=True) if some)
        data = ray.data.read_parquet(list(files), filesystem=self._filesystem)
        data = data.select_columns(list(self._embedder.columns))
        if wanted.all():
            return data
        done = {"key": self._embedder.key, "done": ray.put(np.sort(self.ids[~wanted]))}
        return data.map_batches(_without, fn_kwargs=done, batch_format="pyarrow")

    def _ids(self, part):
        columns = [name for name in (self._embedder.key, self._embedder.label) if name is not None]
        table = part.to_table(schema=self._schema, columns=columns)
        if self._embedder.label is not None:
            values = table.column(self._embedder.label).unique().to_pylist()
            self._names.update(value for value in values if isinstance(value, str))
        return stable_ids(table.column(self._embedder.key).to_pylist())


def among(ids, sorted_ids):
    """Which of the ids are in a sorted array: shape [len(ids)] bool."""
    if len(sorted_ids) == 0:
        return np.zeros(len(ids), bool)
    places = np.minimum(np.searchsorted(sorted_ids, ids), len(sorted_ids) - 1)
    return sorted_ids[places] == ids


def _without(table, key, done):
    """The rows of an Arrow table that are not done: in Ray's workers, which share the ids of a machine."""
    import ray

    return table.filter(~among(stable_ids(table.column(key).to_pylist()), ray.get(done)))


def _absolute(path):
    """A path as workers can read it, wherever they run; addresses such as s3://... stay."""
    return str(path) if "://" in str(path) else str(Path(path).expanduser().absolute())
