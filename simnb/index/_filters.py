"""Conditions on rows, ``where={...}``: read once, then met by arrays, or said in another language."""

import operator
from dataclasses import dataclass

import numpy as np

from simnb import _checks
from simnb.index._validation import kind, plain, scalar

COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Condition:
    """One condition: ``key`` is one of ``values``, or stands in ``comparison`` to its only value."""

    key: str
    values: tuple
    comparison: str | None = None


def conditions(where, class_names=None):
    """Read ``where`` as a list of ``Condition``, in which labels are integers.

    ``class_names`` are those of the index, for conditions that name a label.
    """
    if where is None:
        return []
    if not hasattr(where, "items"):
        raise ValueError(f'where must be a dict such as {{"label": 3}}, got {where!r}')
    result = []
    for key, wanted in where.items():
        if not isinstance(key, str):
            raise ValueError(f"where must have names as keys, got {key!r}")
        if hasattr(wanted, "items"):
            result += _ranges(key, wanted)
        else:
            result.append(Condition(key, _values(key, wanted, class_names)))
    return result


def mask(wanted, ids, labels, metadata):
    """Which rows meet all that ``conditions`` gave: shape [n] bool."""
    result = np.ones(len(ids), bool)
    for condition in wanted:
        column = {"id": ids, "label": labels}.get(condition.key)
        if column is None:
            meets = _test(condition)
            for i in np.flatnonzero(result):
                result[i] = meets(metadata[i].get(condition.key))
        elif condition.comparison is None:
            held = [value for value in condition.values if -(2**63) <= value < 2**63]
            result &= np.isin(column, np.array(held, np.int64))
        else:
            result &= COMPARISONS[condition.comparison](column, condition.values[0])
    return result


def _test(condition):
    """What says whether a value of metadata meets a condition; None, for no value, never does."""
    if condition.comparison is None:
        wanted = {(kind(value), value) for value in condition.values}
        return lambda value: (kind(value), value) in wanted
    compare, bound = COMPARISONS[condition.comparison], condition.values[0]
    return lambda value: kind(value) == kind(bound) and compare(value, bound)


def check_keys(wanted, known):
    """Raise ValueError where a condition is on a name that no row has: most likely it is misspelled."""
    for condition in wanted:
        if condition.key not in ("id", "label") and condition.key not in known:
            names = _checks.listed(sorted(known)) or "none"
            raise ValueError(
                f"where must name id, label or metadata of the index ({names}), got {condition.key!r}"
            )


def _values(key, wanted, class_names):
    wanted = scalar(wanted)
    axes = wanted.ndim if isinstance(wanted, np.ndarray) else 0
    several = axes or isinstance(wanted, list | tuple | set | frozenset)
    values = [scalar(value) for value in (wanted if several else [wanted])]
    if any(value is None for value in values):
        raise ValueError(f"where {key!r} must be a value, got None")
    if key == "label":
        values = [_label(value, class_names) for value in values]
    return tuple(_read(key, value) for value in values)


def _label(value, class_names):
    if not isinstance(value, str):
        return value
    value = plain(value, name="label")
    if value not in (class_names or ()):
        names = _checks.listed(class_names) if class_names else "none: labels are integers"
        raise ValueError(f"where label must be one of the index's class names ({names}), got {value!r}")
    return class_names.index(value)


def _ranges(key, wanted):
    if not wanted:
        raise ValueError(f"where {key!r} must have at least one of {', '.join(COMPARISONS)}; got none")
    result = []
    for comparison, value in wanted.items():
        _checks.one_of(comparison, tuple(COMPARISONS), name=f"comparison of {key!r}")
        value = _read(key, value)
        if kind(value) not in ("number", "str"):
            raise ValueError(f"where {key!r} can be compared with a number or a string, got {value!r}")
        result.append(Condition(key, (value,), comparison))
    return result


def _read(key, value):
    """A value as metadata have it; of ids and labels an integer of any size, even one that is too large."""
    value = scalar(value)
    if key not in ("id", "label"):
        return plain(value, name=key)
    if isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64):
        return int(value)
    value = plain(value, name=key)
    if kind(value) != "number" or value != int(value):
        raise ValueError(f"where {key!r} must be an integer, got {value!r}")
    return int(value)
