"""Embeddings kept in a file: what was embedded once is read, what is new is embedded and added.

The file is an index, which survives a kill and notices damage. A row of it is an image: the id says which,
the label what it shows, the row with id 0 which embedder they all come from. Id and label are the first 62
bits of digests; among a million images two have the same with a probability of 1 in 9 million. A file on the
disk has its stamp for id, so that it need not be read again; any other image has its pixels.
"""

import contextlib
import hashlib
import json
import os
import warnings
from functools import partial

import numpy as np

from simnb._keras import keras, ops
from simnb._terminal import progress_bar
from simnb.data import LazyImages
from simnb.index import open_index
from simnb.index.opening import names_a_file
from simnb.models._batches import reading
from simnb.models.pytorch import TorchEmbedder

_EMBEDDER = 0  # an id
_AT_ONCE = 10_000  # rows read
#: Parts of a model's config that copies of it need not share.
_NOT_TELLING = ("trainable", "build_config", "compile_config", "shared_object_id")
#: Where a config names a layer of the model: all other strings are options.
_REFERENCES = ("name", "keras_history", "input_layers", "output_layers")


def identity(model, known_as):
    """The embedder in one line: a Keras model by layers and weights, a PyTorch module by name and weights.

    Any other is known by the name it is given.
    """
    if known_as is not None and not (isinstance(known_as, str) and known_as):
        raise ValueError(f"known_as must be a name, such as 'dinov2 small, 224 pixels', got {known_as!r}")
    if known_as is None:
        odd = next((one for one in _parts(model) if not _known_by_config(one)), None)
        if odd is not None:
            raise ValueError(
                "kept needs known_as=..., a name of this embedder and its version, since only Keras models "
                f"of the layers of Keras and simnb can be told apart without one, got {type(odd).__name__}"
            )
    if isinstance(model, TorchEmbedder):
        return f"{known_as}, {model.digest}"
    if not isinstance(model, keras.Model):
        return known_as
    digest = hashlib.sha256(_config(model).encode() if known_as is None else b"")
    for weight in model.weights:
        array = np.ascontiguousarray(ops.convert_to_numpy(weight))
        digest.update(f"{array.dtype.name} {array.shape}".encode())
        digest.update(array.tobytes())
    return f"{known_as or type(model).__name__}, {digest.hexdigest()[:16]}"


def embedded(kept, who, images, vectors_of, *, batch_size, progress):
    """Embeddings of images, shape [num_examples, dim]: those of the file ``kept`` where it has them.

    ``vectors_of(batch, check=...)`` embeds the others, and ``who`` is the identity of what does. Each batch
    is written when it is embedded.
    """
    if not isinstance(kept, str | os.PathLike) or not names_a_file(kept):
        raise ValueError(f"kept must be the name of a file, such as 'features.sqlite', got {str(kept)!r}")
    with contextlib.closing(_opened(kept, who)) as index:
        with _explained(kept):
            known = dict(zip(index.labels.tolist(), index.ids.tolist(), strict=True))
        stamps = images.stamps() if isinstance(images, LazyImages) else [None] * len(images)
        kind = f"{images.dtype.str} {tuple(images.shape[1:])} " if isinstance(images, LazyImages) else ""
        ids = np.array([0 if stamp is None else _key(_bytes(kind + stamp)) for stamp in stamps])
        missing = np.flatnonzero((ids == 0) | ~np.isin(ids, index.ids))
        pieces = [missing[start : start + batch_size] for start in range(0, len(missing), batch_size)]
        bar = progress_bar(pieces, desc="Embedding", unit="batch", shown=progress)
        with reading(images, [_key_of(rows) for rows in pieces]) as batches:
            for at, (rows, batch) in enumerate(zip(bar, batches, strict=True)):
                contents = [_key(f"{one.dtype.str} {one.shape}".encode(), one.tobytes()) for one in batch]
                vectors = _vectors(index, known, contents, batch, partial(vectors_of, check=at == 0))
                ids[rows] = _added(index, kept, who, known, ids[rows].tolist(), contents, vectors)
        starts = range(0, len(ids), _AT_ONCE)
        return np.concatenate([index.get(ids[start : start + _AT_ONCE]).embeddings for start in starts])


def _key_of(rows):
    """A slice where it can be: not everything that can be sliced takes positions; what has stamps does."""
    return slice(rows[0], rows[-1] + 1) if len(rows) == rows[-1] - rows[0] + 1 else rows


def _vectors(index, known, contents, batch, vectors_of):
    """The embedding of each content: from the file where it is there, as of an image that only moved."""
    first = {content: row for row, content in reversed(list(enumerate(contents)))}
    new = [content for content in first if content not in known]
    old = [content for content in first if content in known]
    vectors = dict(zip(new, vectors_of(batch[[first[one] for one in new]]), strict=True)) if new else {}
    if old:
        vectors |= dict(zip(old, index.get([known[one] for one in old]).embeddings, strict=True))
    return vectors


def _added(index, kept, who, known, ids, contents, vectors):
    """Write the rows of a batch that the file lacks; return the ids, with those that were 0."""
    with _explained(kept):
        if len(index) == 0:
            nothing = np.zeros((1, len(vectors[contents[0]])), np.float32)
            index.add(nothing, metadata=[{"embedder": who}], ids=[_EMBEDDER], existing="skip")
        _check_embedder(index, who)  # another process may have been faster
        ids = [one or known.get(content, content) for one, content in zip(ids, contents, strict=True)]
        rows = {one: content for one, content in zip(ids, contents, strict=True) if one != known.get(content)}
        if rows:
            values = np.stack([vectors[content] for content in rows.values()])
            index.add(values, list(rows.values()), ids=list(rows), existing="skip")
    known |= {content: one for one, content in rows.items() if content not in known}
    return ids


def _opened(kept, who):
    """The index in the file, which is made where there is none."""
    with _explained(kept):
        index = open_index(kept, distance="euclidean")
        try:
            if len(index):
                _check_embedder(index, who)
        except BaseException:
            index.close()
            raise
    return index


def _check_embedder(index, who):
    whose = index.get([_EMBEDDER]).metadata[0].get("embedder") if _EMBEDDER in index.ids else None
    if whose is None:
        raise ValueError("it holds other rows than embeddings kept by embed")
    if whose != who:
        raise ValueError(f"it holds embeddings by another embedder: {whose}, while this one is {who}")


@contextlib.contextmanager
def _explained(kept):
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"kept={str(kept)!r} cannot be used: {error}; name another file, or delete it to embed all anew"
        ) from error


def _key(*parts):
    """From 1 to 2**62 - 1, by a digest."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return max(1, int.from_bytes(digest.digest(), "big") >> 2)


def _bytes(text):
    """Also of a path that is no valid Unicode."""
    return text.encode(errors="surrogatepass")


def _parts(model):
    """A model and all that is in it; of anything else only itself."""
    yield model
    if isinstance(model, keras.Model):
        yield from model._flatten_layers(include_self=False)


def _known_by_config(part):
    """Whether all that a layer computes is in its config and weights: not where it runs code of one's own."""
    rooms = type(part).__module__.partition(".")[0]
    code = isinstance(part, keras.layers.Lambda)
    return isinstance(part, keras.Layer) and rooms in ("keras", "keras_hub", "simnb") and not code


def _config(model):
    """Layers and options of a Keras model as text, in which names are numbered: Keras counts names on."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
            config = keras.saving.serialize_keras_object(model)
        numbers = {}
        return json.dumps(_numbered(config, numbers))
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"kept needs known_as=..., a name of the embedder {model.name!r} and its version, since Keras "
            f"cannot say what its layers are ({error})"
        ) from error


def _numbered(part, numbers, names=False):
    """A part of a config; ``numbers`` are those of the names that came before it."""
    if isinstance(part, dict):
        if "DTypePolicy" in str(part.get("class_name")):  # whose name says what it is
            return part
        if isinstance(part.get("name"), str):
            numbers.setdefault(part["name"], f"name {len(numbers)}")
        return {
            key: _numbered(one, numbers, key in _REFERENCES)
            for key, one in part.items()
            if key not in _NOT_TELLING
        }
    if isinstance(part, list | tuple):
        return [_numbered(one, numbers, names) for one in part]
    return numbers.get(part, part) if names and isinstance(part, str) else part
