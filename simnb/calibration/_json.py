"""A calibration as JSON text, and back."""

import json
from dataclasses import asdict

import numpy as np

from simnb import _checks
from simnb.calibration.curves import METRICS, Curves
from simnb.calibration.cutpoints import Cutpoint, Goal, NotMet
from simnb.matching import MATCHERS

_FORMAT = 2
_FACTS = ("matcher", "k", "distance", "seed", "gallery")
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
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("the text is not a calibration, as Calibration.to_json writes it") from error
    if version != _FORMAT:
        raise ValueError(
            f"the calibration must be of format {_FORMAT}, got {version!r}, of another version of simnb; "
            "install that one, or calibrate again"
        )
    try:
        curves = _curves(**fields.pop("curves"))
        cutpoints = [_cutpoint(**parts) for parts in fields.pop("cutpoints")]
        calibration = kind({one.name: one for one in cutpoints}, curves, **fields)
        _check(calibration)
        return calibration
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, StopIteration) as error:
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
    return (Cutpoint if met else NotMet)(
        Goal(name, metric, target),
        float(threshold),
        {name: np.nan if rates[name] is None else float(rates[name]) for name in METRICS},
        confidence,
        by_class and {int(label): float(value) for label, value in by_class.items()},
    )


def _curves(*, dtype, distances, num_known, num_unknown, **counts):
    dtype = np.dtype(_checks.one_of(dtype, ("float32", "float64"), name="dtype"))
    distances = np.array([float(value) for value in distances], dtype)
    if (np.diff(distances) <= 0).any():
        raise ValueError("distances must rise")
    counts = [np.array(counts[name], np.int64) for name in _COUNTS]
    if any(len(n) != len(distances) + 1 or n[0] or (np.diff(n) < 0).any() for n in counts):
        raise ValueError("counts must rise from 0, one a candidate")
    return Curves(distances, *counts, num_known, num_unknown)


def _check(calibration):
    """Raise where a part is missing or of another type."""
    _checks.one_of(calibration.matcher, MATCHERS, name="matcher")
    _checks.positive_int(calibration.k, name="k")
    _checks.seed(calibration.seed)
    for value in (calibration.distance, calibration.gallery):
        if not isinstance(value, str | None):
            raise ValueError(f"names must be strings, got {value!r}")
    repr(calibration)


def _plain(value):
    return None if np.isnan(value) else float(value) if np.isfinite(value) else str(float(value))
