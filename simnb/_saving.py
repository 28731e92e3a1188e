"""A search in one folder: the files it is made of, and how each is written and read."""

import contextlib
import errno
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from simnb import __version__, _checks, _snapshot
from simnb._keras import keras
from simnb._types import AnyPath
from simnb.calibration import Calibration, MatchProbability
from simnb.index import Index, open_index
from simnb.index.opening import names_a_file
from simnb.models import TorchEmbedder

MODEL = "model.keras"
GALLERY = "gallery.sqlite"
STATE = "search.json"
CALIBRATION = "calibration.json"
PROBABILITY = "probability.json"

_T = TypeVar("_T")


def save(search, path, *, with_model):
    """Write a search into a folder, or replace one; see ``SimilaritySearch.save``."""
    by_name = isinstance(search.model, TorchEmbedder)
    if with_model and not by_name and not isinstance(search.model, keras.Model):
        raise ValueError(
            f"model must be a Keras model to be saved, got {type(search.model).__name__}; "
            "save(path, model=False) keeps all the rest, and load(path, model=...) takes the embedder"
        )
    batch_size = _checks.positive_int(search.batch_size, name="batch_size")
    len(search.index)  # a closed index says so before there is a folder

    def fill(folder):
        facts = {"simnb": __version__, **write_gallery(search.index, folder)}
        state = {
            "batch_size": batch_size,
            "class_names": search._class_names,
            "indexed_examples": sorted(search._indexed_examples),
        }
        if by_name:
            state["embedder"] = {"name": search.model.name, "weights": search.model.digest}
        texts = {STATE: json.dumps(state)}
        if search.calibration is not None:
            texts[CALIBRATION] = search.calibration.to_json()
        if search.probability is not None:
            texts[PROBABILITY] = search.probability.to_json()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        if with_model and not by_name:
            _write_model(search.model, folder)
        return facts

    _snapshot.write(path, fill)


def load(kind, path, *, model, uri, search, recall):
    """A ``kind`` of search of what ``save`` wrote; see ``SimilaritySearch.load``."""
    with _snapshot.opened(path) as (manifest, folder):
        names = set(manifest["files"])
        if not {GALLERY, STATE} <= names:
            raise ValueError(f"{path} is not a saved search: it has no {GALLERY} or no {STATE}")
        batch_size, class_names, indexed_examples, by_name = read_text(STATE, folder, path, _checked_state)
        _check_embedder(model, path, by_name=by_name, kept=MODEL in names)
        calibration = probability = None
        if CALIBRATION in names:
            calibration = read_text(CALIBRATION, folder, path, Calibration.from_json)
        if PROBABILITY in names:
            probability = read_text(PROBABILITY, folder, path, MatchProbability.from_json)
        if model is None:
            hint = "; define its own layers first, or pass load(path, model=...)"
            with explained(MODEL, folder, path, hint=hint):
                check_archive(folder / MODEL)
                model = _load(folder / MODEL)
        index = read_gallery(folder, path, facts=manifest, uri=uri, search=search, recall=recall)
    loaded = kind(model, index=index, batch_size=batch_size)
    loaded._class_names, loaded._indexed_examples = class_names, indexed_examples
    loaded.calibration, loaded.probability = calibration, probability
    return loaded


def _check_embedder(model, path, *, by_name, kept):
    """Refuse to load a search without its embedder, or with another PyTorch module than it had."""
    if by_name is not None and (model is None or isinstance(model, TorchEmbedder)):
        name, given = by_name["name"], ""
        if model is not None:
            if {"name": model.name, "weights": model.digest} == by_name:
                return
            given = ", not with " + ("one of other weights" if model.name == name else repr(model.name))
        raise ValueError(
            f"{path} was saved with the PyTorch module {name!r}{given}. Of PyTorch modules the name and a "
            "digest of the weights are kept: make it again with the same weights, and "
            f"load(path, model=from_torch(module, name={name!r}))"
        )
    if model is None and not kept:
        raise ValueError(f"{path} was saved without its model: pass the embedder, load(path, model=...)")


def read_text(name: str, folder: Path, path: AnyPath, parse: Callable[[str], _T]) -> _T:
    """What ``parse`` makes of a text file in ``folder``, which messages call ``path``."""
    with explained(name, folder, path):
        return parse((folder / name).read_text(encoding="utf-8"))


def _checked_state(text):
    """Batch size, class names, indexed examples and any PyTorch module, of the text of ``search.json``."""
    state = json.loads(text)
    if not isinstance(state, dict):
        raise ValueError(f"it must hold an object, got {type(state).__name__}")
    missing = {"batch_size", "class_names", "indexed_examples"} - set(state)
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    size = _checks.positive_int(state["batch_size"], name="batch_size")
    names, ids = state["class_names"], state["indexed_examples"]
    if names is not None and not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
        raise ValueError(f"class_names must be a list of strings or null, got {names!r}")
    if not isinstance(ids, list) or not all(type(one) is int and 0 <= one < 2**62 for one in ids):
        raise ValueError(f"indexed_examples must be a list of ids, got {ids!r}")
    embedder = state.get("embedder")  # searches of Keras models have none, nor those of earlier versions
    known = isinstance(embedder, dict) and all(isinstance(embedder.get(x), str) for x in ("name", "weights"))
    if embedder is not None and not known:
        raise ValueError(f"embedder must hold name and weights, or be null, got {embedder!r}")
    return size, None if names is None else tuple(names), set(ids), embedder


def _write_model(model, folder):
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


def check_archive(file: Path) -> None:
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


def write_gallery(index: Index, folder: Path) -> dict[str, object]:
    """Write the rows of an index, wherever it lives; return what is in the file."""
    index.save(folder / GALLERY)
    # Those of the file: others may have changed the index meanwhile.
    with contextlib.closing(open_index(folder / GALLERY)) as saved:
        facts = _facts(saved)
    if any(folder.glob(f"{GALLERY}-*")):  # SQLite says nothing where it could not fold its log into the file
        raise OSError(errno.ENOSPC, "there is no room for all rows", str(folder / GALLERY))
    return facts


def _facts(index):
    return {"distance": index.distance, "dim": index.dim, "rows": len(index)}


def read_gallery(folder, path, *, facts, uri, search, recall):
    """Bring the rows in ``folder``, which messages call ``path``, into a new index.

    ``facts`` hold what ``write_gallery`` returned, or are None. At ``uri`` there must be no rows yet.
    """
    with contextlib.ExitStack() as stack:
        with explained(GALLERY, folder, path):
            saved = stack.enter_context(contextlib.closing(open_index(folder / GALLERY)))
            found = _facts(saved)
            expected = found if facts is None else {name: facts.get(name) for name in found}
            if found != expected:
                raise ValueError(f"it should have {expected}, but has {found}")
        if names_a_file(uri):
            if Path(uri).exists():
                raise ValueError(_taken(uri))
            open_index(search=search, recall=recall)  # refuses what is wrong before there is a file
            with explained(GALLERY, folder, path):
                saved.save(uri)
            return open_index(uri, search=search, recall=recall)
        with explained(GALLERY, folder, path):
            rows = saved.get()
        return _filled(uri, rows, saved, {"search": search, "recall": recall})


def _filled(uri, rows, saved, options):
    """A new index at ``uri`` with the rows of a saved one."""
    index = open_index(uri, distance=saved.distance, class_names=saved.class_names, **options)
    try:
        if len(index):
            raise ValueError(_taken(uri))
        if len(rows):
            index.add(rows.embeddings, rows.labels, rows.metadata, ids=rows.ids)
    except BaseException:
        index.close()
        raise
    if uri == "memory:":
        index.number_from(saved.next_id)  # ids of removed rows are not given out again
    return index


@contextlib.contextmanager
def explained(name: str, folder: Path, path: AnyPath, *, hint: str = "") -> Iterator[None]:
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
