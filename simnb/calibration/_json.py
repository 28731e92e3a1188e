"""A calibration as JSON text, and back."""

import json
from dataclasses import asdict

import numpy as np

from simnb import _checks
from simnb.calibration.curves import METRICS, Curves
from simnb.calibration.cutpoints import Cutpoint, Goal, NotMet
from simnb.index.results import check_distances
from simnb.matching import MATCHERS

_FORMAT = 2
_FACTS = ("matcher", "k", "distance", "seed", "gallery")
#: What reading a text raises where a part is missing, of another type or out of range.
MALFORMED = (KeyError, TypeError, AttributeError, ValueError, OverflowError)
_COUNTS = ("accepted_right", "accepted_wrong", "accepted_unknown")


def write(calibration):
    """The text of a ``Calibration``."""
    curves = {name: getattr(calibration.curves, name) for name in Curves.__dataclass_fields__}
    curves["dtype"] = curves["distances"].dtype.name
    curves["distances"] = [_plain(value) for value in curves["distances"]]
    curves |= {name: curves[name].tolist() for name in _COUNTS}
    text = {"format": _FORMAT, **{name: getattr(calibration, name) for name in _FACTS}}
    text["cutpoints"] = [_fields(chosen) for chosen in calibration.cutpoints.values()]
    return json.dumps({**text, "curves": curves}, allow_nan=False)


def read(text, kind):
    """A ``Calibration``, which ``kind`` is, from its text; ValueError where that is none."""
    try:
        fields = json.loads(text)
        version = fields.pop("format")
    except (*MALFORMED, RecursionError) as error:
        raise ValueError("the text is not a calibration, as Calibration.to_json writes it") from error
    if type(version) is not int or version != _FORMAT:
        raise ValueError(
            f"the calibration must be of format {_FORMAT}, got {version!r}, of another version of simnb; "
            "install that one, or calibrate again"
        )
    try:
        curves = _curves(**fields.pop("curves"))
        cutpoints = [_cutpoint(**parts) for parts in fields.pop("cutpoints")]
        calibration = kind({one.name: one for one in cutpoints}, curves, **fields)
        _check(calibration, len(cutpoints))
        return calibration
    except MALFORMED as error:
        raise ValueError(
            f"the text is not a whole calibration of format {_FORMAT}, as Calibration.to_json writes it"
        ) from error


def _fields(chosen):
    by_class = chosen.by_class and {str(c): _plain(t) for c, t in chosen.by_class.items()}
    return {
        **asdict(chosen.goal),
        "met": chosen.met,
        "threshold": _plain(chosen.threshold),
        "rates": {name: _plain(rate) for name, rate in chosen.rates.items()},
        "confidence": chosen.confidence,
        "by_class": by_class,
    }


def _cutpoint(*, name, metric, target, met, threshold, rates, confidence, by_class):
    _checks.one_of(metric, METRICS, name="metric")
    if not isinstance(name, str) or not isinstance(met, bool):
        raise ValueError(f"name and met must be a string and a boolean, got {name!r} and {met!r}")
    for share in (target, confidence, *rates.values()):
        if share is not None and not 0 <= number(share) <= 1:
            raise ValueError(f"targets, confidence and rates must be from 0 to 1, got {share!r}")
    return (Cutpoint if met else NotMet)(
        Goal(name, metric, target),
        number(threshold, infinite=True),
        {name: np.nan if rates[name] is None else float(rates[name]) for name in METRICS},
        confidence,
        None
        if by_class is None
        else {int(label): number(value, infinite=True) for label, value in by_class.items()},
    )


def _curves(*, dtype, distances, num_known, num_unknown, **counts):
    dtype = np.dtype(_checks.one_of(dtype, ("float32", "float64"), name="dtype"))
    distances = check_distances(numbers(distances, infinite=True)).astype(dtype)
    if (np.diff(distances) <= 0).any():
        raise ValueError("distances must rise")
    known, unknown = _counts([num_known, num_unknown]).tolist()
    right, wrong, of_unknown = counts = [_counts(counts[name]) for name in _COUNTS]
    if any(len(n) != len(distances) + 1 or n[0] or (np.diff(n) < 0).any() for n in counts):
        raise ValueError("counts must rise from 0, one a candidate")
    if right[-1] + wrong[-1] > known or of_unknown[-1] > unknown:
        raise ValueError("more queries are accepted than there are")
    return Curves(distances, *counts, known, unknown)


def _counts(values):
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError(f"counts must be integers, got {values!r}")
    return np.array(values, np.int64)


def numbers(values, *, infinite=False):
    """A list of them, shape [n] float64."""
    if not isinstance(values, list):
        raise ValueError(f"numbers must be a list, got {values!r}")
    return np.array([number(value, infinite=infinite) for value in values], np.float64)


def number(value, *, infinite=False):
    """A number of a text as a float; infinite ones, where allowed, are the strings "inf" and "-inf"."""
    if infinite and value in ("inf", "-inf"):
        return float(value)
    if type(value) not in (int, float) or not np.isfinite(float(value)) or float(value) != value:
        raise ValueError(f"numbers must be finite, got {value!r}")
    return float(value)


def _check(calibration, cutpoints):
    """Raise where a part is missing or of another type."""
    if not 0 < cutpoints == len(calibration.cutpoints):
        raise ValueError("there must be cutpoints, all with different names")
    _checks.one_of(calibration.matcher, MATCHERS, name="matcher")
    _checks.positive_int(calibration.k, name="k")
    _checks.seed(calibration.seed)
    for value in (calibration.distance, calibration.gallery):
        if not isinstance(value, str | None):
            raise ValueError(f"names must be strings, got {value!r}")
    repr(calibration)


def _plain(value):
    return None if np.isnan(value) else float(value) if np.isfinite(value) else str(float(value))
