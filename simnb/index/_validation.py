"""What is checked of rows before any engine sees them: most engines take NaN and doubled ids silently."""

import numbers
import re

import numpy as np

from simnb import _checks
from simnb._text import shown
from simnb.index.results import UNKNOWN

EXISTING = ("refuse", "replace", "skip")
SEARCHES = ("exact", "hnsw")
RESERVED = ("id", "label", "embedding", "metadata")
LEAST_NORM, LARGEST_NORM = 1e-15, 9e18  # between them, squared distances fit float32
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_embeddings(embeddings, *, index, name="embeddings", in_float32=False):
    """Finite float32 rows of the index's dim, whose distances fit float32; not all zero under cosine.

    ``index`` has ``dim`` and ``distance``; ``in_float32`` says that its engine computes squares in float32.
    """
    distance = index.distance
    rows = _checks.embeddings(embeddings, name=name, dim=index.dim, nonzero=distance == "cosine")
    if not in_float32:
        if distance not in ("squared_euclidean", "inner_product"):
            return rows
        largest = max(rows.max(initial=0.0), -rows.min(initial=0.0))
        if float(largest) * np.sqrt(rows.shape[1]) <= LARGEST_NORM:
            return rows
    least = LEAST_NORM if in_float32 else 0.0
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    bad = ((norms < least) & (norms > 0)) | (norms > LARGEST_NORM)
    if bad.any():
        allowed = f"from {least:g} to {LARGEST_NORM:g}" if least else f"of at most {LARGEST_NORM:g}"
        raise ValueError(
            f"{name} must have a norm {allowed} here, so that {distance} distances fit float32, "
            f"got {norms[bad][0]:.2g} in row {bad.argmax()}; scale all rows by one factor"
        )
    return rows


def check_ids(ids, *, count=None, unique=True):
    """Int64 ids in range; one id may come as a number."""
    ids = np.asarray(ids)
    ids = _checks.labels(ids[None] if ids.ndim == 0 else ids, count=count, name="ids")
    if ((ids < 0) | (ids >= 2**62)).any():
        raise ValueError(f"ids must be from 0 to 2**62 - 1, got {ids.min()} to {ids.max()}")
    values, counts = np.unique(ids, return_counts=True)
    if unique and len(values) < len(ids):
        raise ValueError(f"ids must be unique, got {values[counts > 1][0]} more than once")
    return ids


def encode_labels(labels, count, class_names, *, labelled):
    """Labels as integers, shape [count], and the class names: those of the index, new ones after them.

    ``labelled`` says whether a row of the index has a label.
    """
    if labels is None:
        return np.full(count, UNKNOWN, np.int64), class_names
    strings = _strings(labels)
    if strings is None:
        labels = _checks.labels(labels, count=count)
        beyond = (labels < UNKNOWN) | (labels >= len(class_names or ()))
        if class_names is not None and beyond.any():
            raise ValueError(
                f"labels must be positions in the index's {len(class_names)} class names, or its names, "
                f"got {labels[beyond][0]}"
            )
        return labels, class_names
    if len(strings) != count:
        raise ValueError(f"labels and embeddings must have the same length, got {len(strings)} and {count}")
    if class_names is None and labelled:
        raise ValueError("labels must be integers like those of the rows in the index, got strings")
    known = list(class_names or ())
    known += sorted(set(strings) - {None} - set(known))
    position = {name: label for label, name in enumerate(known)} | {None: UNKNOWN}
    return np.array([position[name] for name in strings], np.int64).reshape(-1), tuple(known)


def check_class_names(names):
    if names is None:
        return None
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise ValueError(f"class_names must be a list of different strings, got {names!r}")
    names = tuple(names)
    plain_names = tuple(shown(str(name)) for name in names if isinstance(name, str))
    if len(set(plain_names)) < len(names):
        raise ValueError(f"class_names must be different strings, got {_checks.listed(names)}")
    return plain_names


def check_metadata(metadata, *, count, removing=False):
    """Metadata, a list of dicts or a dict of columns, as one dict a row: shape [count] object.

    A value of None stands for no value; it is kept where it says that one is to be removed.
    """
    result, wrong = np.empty(count, object), "metadata must be a list of dicts or a dict of columns, got "
    if metadata is None:
        result[:] = [{} for _ in range(count)]
        return result
    if hasattr(metadata, "items"):
        columns = {_key(key): _column(key, values, count) for key, values in metadata.items()}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        rows = rows or [{}] * count
    elif hasattr(metadata, "__iter__"):
        rows = [{} if row is None else row for row in metadata]
    else:
        raise ValueError(wrong + type(metadata).__name__)
    if len(rows) != count:
        raise ValueError(f"metadata and embeddings must have the same length, got {len(rows)} and {count}")
    for i, row in enumerate(rows):
        if not hasattr(row, "items"):
            raise ValueError(wrong + type(row).__name__)
        pairs = ((_key(key), plain(value, name=key)) for key, value in row.items())
        result[i] = {key: value for key, value in pairs if removing or value is not None}
    return result


def merged(old, new):
    """Metadata after an update: new values over old ones, and without those that became None."""
    result = np.empty(len(old), object)
    for i, (before, after) in enumerate(zip(old, new, strict=True)):
        result[i] = {key: value for key, value in {**before, **after}.items() if value is not None}
    return result


def plain(value, *, name):
    """A value of metadata as Python's own type, or ValueError; text as every engine can hold it."""
    value = scalar(value)
    if value is None:
        return None
    if isinstance(value, str):
        return shown(str(value))
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral) and not isinstance(value, np.timedelta64):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"metadata {name!r} must fit 64 bits, got {value}")
        return int(value)
    if isinstance(value, float | np.floating):
        value = float(value)
        if not np.isfinite(value):
            raise ValueError(f"metadata {name!r} must be finite, got {value}; leave it out, or pass None")
        return value
    raise ValueError(f"metadata {name!r} must be str, int, float, bool or bytes, got {type(value).__name__}")


def scalar(value):
    """What an array without axes holds; anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def kind(value):
    """What a value can be compared with: a boolean is no number here."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def check_new(ids, held):
    if held.any():
        raise ValueError(
            f"ids must be new, but the index already holds id {ids[held][0]}; "
            'existing="replace" puts the new rows in their place, existing="skip" leaves the old ones'
        )


def check_held(ids, held):
    """Raise ValueError where an index does not hold one of the ids; ``held`` says which it does."""
    if not held.all():
        raise ValueError(
            f"ids must be in the index, but {(~held).sum()} of {len(ids)} are not, "
            f"for example id {ids[~held][0]}"
        )


def next_ids(ids, count, first):
    """The ids given, checked, or ``count`` new ones from ``first``."""
    if ids is not None:
        return check_ids(ids, count=count)
    if first + count > 2**62:
        raise ValueError("no ids are left above those of the index, 2**62 - 1 at most: pass ids=...")
    return np.arange(first, first + count, dtype=np.int64)


def check_same(given, stored, *, of):
    """Raise ValueError where an option that is given, and is not None, differs from what is stored."""
    for name, value in given.items():
        if value is not None and value != stored[name]:
            raise ValueError(f"{name} must be that of {of}, {stored[name]!r}, got {value!r}; leave it out")


def check_recall(value, *, name="recall"):
    return _checks.number(value, name=name, above=0, at_most=1)


def check_graph(verb, *, search, count):
    """Raise ValueError where an index of ``count`` rows has no graph, which a verb is about."""
    if search != "hnsw":
        raise ValueError(f'{verb} needs open_index(..., search="hnsw"): exact search always finds all')
    if count == 0:
        raise ValueError(f"{verb} needs rows, but the index is empty: call add(...) first")


def collected(values):
    """Values of a generator, which might call the index, before anything is begun."""
    return list(values) if hasattr(values, "__next__") else values


def _key(key):
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key in RESERVED:
        raise ValueError(
            "names of metadata must be letters, digits and _, at most 64, not beginning with a digit, and "
            f"none of {', '.join(RESERVED)}; got {key!r}"
        )
    return key


def _column(key, values, count):
    values = scalar(values)
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise ValueError(f"metadata {key!r} must be a list of {count} values, got {values!r}")
    if len(values) != count:
        raise ValueError(f"metadata {key!r} must have one value a row, got {len(values)} for {count} rows")
    return values


def _strings(labels):
    """A list of strings and None where labels are that, else None."""
    if isinstance(labels, str | bytes):
        raise ValueError(f"labels must have shape [num_examples], got the string {labels!r}")
    if not hasattr(labels, "__iter__"):
        return None
    array = np.asarray(labels) if hasattr(labels, "dtype") else np.asarray(list(labels), object)
    if array.dtype.kind not in "UTO" or array.ndim != 1:
        return None
    values = array.tolist()
    if not any(isinstance(value, str) for value in values):
        return None
    others = [value for value in values if not (value is None or isinstance(value, str))]
    if others:
        raise ValueError(f"labels must be all strings or all integers, got {others[0]!r} among strings")
    return [None if value is None else shown(str(value)) for value in values]
