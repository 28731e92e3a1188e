"""Ids that are the same on every machine."""

import hashlib
import numbers
from pathlib import PurePath

import numpy as np


def stable_ids(keys):
    """Ids of things that have a name: the first 62 bits of the SHA-256 of each name.

    Whoever computes them, whenever, gets the same ones; so a row that is written twice replaces itself. Of a
    hundred million keys, two have the same id with a probability of 1 in 900.

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
