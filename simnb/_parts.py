"""The parts of a saved search that are more than plain values: its embedder and its gallery."""

import contextlib
import errno
import io
import warnings
import zipfile
from pathlib import Path

from simnb._keras import keras
from simnb.index import open_index
from simnb.index.opening import names_a_file

MODEL = "model.keras"
GALLERY = "gallery.sqlite"


def check_savable(model):
    """Refuse an embedder that is a plain function: only Keras knows how to write what it computes."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"model must be a Keras model to be saved, got {type(model).__name__}; save(path, model=False) "
            "keeps all the rest, and load(path, model=...) takes the embedder"
        )


def write_model(model, folder):
    """Write a Keras model, and see that it can be loaded: nobody wants to find out later."""
    try:
        with warnings.catch_warnings():
            # Of a loss, which is not loaded; what a Lambda layer would run is refused below.
            warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
            keras.saving.save_model(model, folder / MODEL)
        _load(folder / MODEL)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"the model {model.name!r} could not be saved and loaded again ({error}); replace what cannot "
            "be, such as Lambda layers, by layers registered with keras.saving."
            "register_keras_serializable, or use save(path, model=False) and load(path, model=...)"
        ) from error


def read_model(folder, path):
    """The Keras model of a folder; ``path`` is what messages call it."""
    with explained(MODEL, folder, path, hint="; define its own layers first, or pass load(path, model=...)"):
        check_archive(folder / MODEL)
        return _load(folder / MODEL)


def check_archive(file):
    """Refuse a ``.keras`` file that becomes larger when it is read; no array is read for this check."""
    if not zipfile.is_zipfile(file):  # Keras raises its own error
        return
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        # Keras compresses nothing; what is compressed may be a thousand times as large, whatever it says.
        packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise ValueError(f"{packed[0]!r} in it is compressed, which Keras does not do")
        _check_size("its parts", sum(part.file_size for part in parts), file.stat().st_size)
        for part in parts:
            if part.filename.endswith(".h5"):
                weights = archive.read(part)
                _check_size(f"the arrays of {part.filename!r}", _array_bytes(weights), len(weights))


def _array_bytes(weights):
    """How many bytes the arrays of an HDF5 file have once they are read; none is read here."""
    import h5py

    sizes = []
    with h5py.File(io.BytesIO(weights), "r") as opened:
        opened.visititems(lambda _, part: sizes.append(getattr(part, "nbytes", 0)))
    return sum(sizes)


def _check_size(what, inside, size):
    if inside > size:
        raise ValueError(f"{what} have {inside:,} bytes, but the file has {size:,}: Keras compresses nothing")


def write_gallery(index, folder):
    """Write the rows of an index, wherever it lives; return what is in the file."""
    index.save(folder / GALLERY)
    with open_index(folder / GALLERY) as saved:  # others may have changed the index meanwhile
        facts = _facts(saved)
    if any(folder.glob(f"{GALLERY}-*")):  # SQLite says nothing where it could not fold its log into the file
        raise OSError(errno.ENOSPC, "there is no room for all rows", str(folder / GALLERY))
    return facts


def _facts(index):
    return {"distance": index.distance, "dim": index.dim, "rows": len(index)}


def read_gallery(folder, path, *, facts, uri, search, recall):
    """Bring the rows of a folder into a new index.

    Args:
        folder: Where the file is that was checked.
        path: What messages call it.
        facts: What ``write_gallery`` returned, among others; None where that is not known.
        uri: Where the rows are to live: what ``open_index`` takes; there must be none yet.
        search: As in ``open_index``.
        recall: As in ``open_index``.

    Returns:
        The index.

    Raises:
        ValueError: If there are rows at ``uri``, or the file cannot be read or does not match the facts.
    """
    with contextlib.ExitStack() as stack:
        with explained(GALLERY, folder, path):
            saved = stack.enter_context(open_index(folder / GALLERY))
            found = _facts(saved)
            expected = found if facts is None else {name: facts.get(name) for name in found}
            if found != expected:
                raise ValueError(f"it should have {expected}, but has {found}")
        if names_a_file(str(uri)):
            if Path(uri).exists():
                raise ValueError(_taken(uri))
            open_index(search=search, recall=recall)  # refuses what is wrong before there is a file
            with explained(GALLERY, folder, path):
                saved.save(uri)
            return open_index(uri, search=search, recall=recall)
        options = {"search": search, "recall": recall, "class_names": saved.class_names}
        with explained(GALLERY, folder, path):
            rows = saved.get()
        index = open_index(uri, distance=saved.distance, **options)
        if len(index):
            index.close()
            raise ValueError(_taken(uri))
        try:
            if len(rows):
                index.add(rows.embeddings, rows.labels, rows.metadata, ids=rows.ids)
        except BaseException:
            index.close()
            raise
        if uri == "memory:":
            index.number_from(saved.next_id)  # ids of removed rows are not given out again
        return index


@contextlib.contextmanager
def explained(name, folder, path, *, hint=""):
    """Say which part it is that cannot be read, and call it by its own place, not that of the copy."""
    try:
        yield
    except Exception as error:
        # HDF5 raises OSError for damaged content too, but then without an errno.
        if isinstance(error, OSError) and (error.errno or name == GALLERY):
            raise
        text = str(error).replace(str(folder), str(path))
        raise ValueError(f"{name} of {path} cannot be read: {text}{hint}") from error


def _load(file):
    return keras.saving.load_model(file, compile=False, safe_mode=True)


def _taken(uri):
    return f"uri must name a new index, but there is one at {uri!r}: choose another, or remove it"
