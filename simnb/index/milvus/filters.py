"""Conditions in the language of Milvus: ``Condition`` in, expressions out; and what rows look like there."""

import base64
import itertools
import json

import numpy as np

from simnb.index._filters import COMPARISONS
from simnb.index._validation import kind

# Numbers, strings and booleans each lie in a part of their own: Milvus Lite would take True for 1.
KINDS = {"number": "number", "str": "string", "boolean": "boolean"}
MEMBERS = 10_000  # of a list, in one expression
_JSON_BYTES = 65_536  # of one JSON field
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_INT64 = 2**63


def expressions(wanted, codes, *, lists=True):
    """Filters of Milvus that together select the rows that meet conditions; no row meets two of them.

    ``codes`` maps the labels of the index to those in Milvus, and is None where they are the same. ``lists``
    says whether values in JSON can be compared with a list, as all but Milvus Lite can.
    """
    parts = [_alternatives(condition, codes, lists) for condition in wanted]
    return [" and ".join(f"({part})" for part in chosen) for chosen in itertools.product(*parts)]


def among(ids, key="id"):
    """Expressions for rows by id, ``MEMBERS`` in each."""
    ids = np.asarray(ids).tolist()
    return [f"{key} in {some}" for some in _chunks(ids)]


def packed(metadata):
    """Metadata as pairs of JSON fields (values by their kind, and bytes), and how large the largest is.

    Raises:
        ValueError: If a row has more bytes than a field can hold.
    """
    rows, largest = [], 0
    for number, row in enumerate(metadata):
        plain, raw = {}, {}
        for key, value in row.items():
            if isinstance(value, bytes):
                raw[key] = base64.b64encode(value).decode()
            else:
                plain.setdefault(KINDS[kind(value)], {})[key] = value
        texts = [json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in (plain, raw)]
        sizes = [len(text.encode()) for text in texts]
        if max(sizes) > _JSON_BYTES:
            raise ValueError(
                f"metadata of a row must take {_JSON_BYTES} bytes at most in Milvus (as JSON, bytes as "
                f"base64), got {max(sizes)} in row {number}; keep large values in files, and their names here"
            )
        rows.append((plain, raw))
        largest = max(largest, sum(sizes))
    return rows, largest


def unpacked(plain, raw):
    """Metadata from the two fields."""
    result = {key: value for part in plain.values() for key, value in part.items()}
    result.update((key, base64.b64decode(value)) for key, value in raw.items())
    return result


def _alternatives(condition, codes, lists):
    if condition.key in ("id", "label"):
        return _of_column(condition, codes if condition.key == "label" else None)
    if condition.comparison is None:
        return _of_members(condition, lists)
    value = condition.values[0]
    return [f"{_path(condition.key, value)} {condition.comparison} {_literal(value)}"]


def _of_column(condition, codes):
    values = [int(value) for value in condition.values]
    if condition.comparison is not None:
        if codes is None:
            bound = max(min(values[0], _INT64 - 1), 1 - _INT64)
            return [f"{condition.key} {condition.comparison} {bound}"]
        meets = COMPARISONS[condition.comparison]
        values = [label for label in codes if meets(label, values[0])]
    if codes is not None:
        values = [codes[label] for label in values if label in codes]
    return among(sorted({value for value in values if -_INT64 < value < _INT64}), condition.key)


def _of_members(condition, lists):
    """Lists of one type each: Milvus refuses 1 and 2.5 in one."""
    groups = {}
    for value in condition.values:
        literal = _literal(value)
        groups.setdefault((_path(condition.key, value), literal.lstrip("-").isdigit()), {})[literal] = None
    result = []
    for (path, _), literals in groups.items():
        if lists:
            result += [f"{path} in [{', '.join(some)}]" for some in _chunks(list(literals))]
        else:
            result.append(" or ".join(f"{path} == {literal}" for literal in literals))
    return result


def _chunks(values):
    return [values[start : start + MEMBERS] for start in range(0, len(values), MEMBERS)]


def _path(key, value):
    if isinstance(value, bytes):
        return f'bytes["{key}"]'
    return f'metadata["{KINDS[kind(value)]}"]["{key}"]'


def _literal(value):
    """A value as Milvus reads it, and never as anything but a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if value == int(value) and -_INT64 < value < _INT64:
        return str(int(value))  # 2016.0 as well: whole numbers are compared exactly
    return repr(float(value))
