"""A text that somebody changed: what is read is what it says, or a ValueError says that it is none."""

import copy
import json

import numpy as np
import pytest

from simnb.calibration import Calibration, MatchProbability, calibrate, fit_probability
from simnb.index import Neighbors
from simnb.matching import match

INFINITE, NESTED = "1e999", "[" * 100_000
ODD = [None, -1, 0, 0.5, 2, True, "x", "inf", [], {}, [None], {"x": 1}, 10**30, -(10**400), [1, [2, [3]]]]


def neighbors():
    rng = np.random.default_rng(0)
    distances = np.sort(rng.uniform(0, 1, (60, 1)).astype(np.float32), axis=0)
    labels = (np.arange(60)[:, None] + (rng.uniform(size=(60, 1)) < distances)) % 3
    return Neighbors(distances, np.arange(60)[:, None], labels, "cosine"), np.arange(60) % 3


def texts():
    found, labels = neighbors()
    options = {"known_labels": [0, 1], "gallery": "3 rows, 0123456789abcdef"}
    targets = {"careful": "precision >= 0.5", "never": "false_acceptance <= 0"}
    calibration = calibrate(found, labels, maximize="f1", targets=targets, **options)
    by_class = calibrate(found, labels, maximize="f1", per_class=True, **options)
    probabilities = [
        fit_probability(match(found), labels, known_labels=[0, 1], method=method)
        for method in ("isotonic", "platt")
    ]
    return [(type(made), made.to_json()) for made in (calibration, by_class, *probabilities)]


def places(value, place=()):
    """Every place in a value, from the outside in; of long lists the first two and the last."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = list(inner)
    for key, part in (
        [*inner[:12], *inner[12:][-1:]] if isinstance(value, dict) else [*inner[:2], *inner[2:][-1:]]
    ):
        yield from places(part, (*place, key))


def changed(value, place, new=None, *, delete=False):
    """A copy with another value at a place, or none."""
    if not place:
        return new
    value = copy.deepcopy(value)
    at = value
    for key in place[:-1]:
        at = at[key]
    if delete:
        del at[place[-1]]
    else:
        at[place[-1]] = new
    return value


def tampered(text):
    whole = json.loads(text)
    for place in places(whole):
        for new in ODD:
            yield json.dumps(changed(whole, place, new))
        mark = json.dumps(changed(whole, place, "MARK"))
        yield mark.replace('"MARK"', INFINITE)
        yield mark.replace('"MARK"', "NaN")
        yield mark.replace('"MARK"', NESTED)
        if place:
            yield json.dumps(changed(whole, place, delete=True))


@pytest.mark.parametrize(("kind", "text"), texts(), ids=["calibration", "by class", "isotonic", "platt"])
def test_a_changed_text_is_read_as_it_is_or_refused(kind, text):
    assert kind.from_json(text).to_json() == text
    refused, read = [], 0
    for other in tampered(text):
        try:
            made = kind.from_json(other)
        except ValueError as error:
            refused.append(str(error))
            continue
        read += 1
        missing = {"gallery": None} if kind is Calibration else {}  # texts of before had none
        assert json.loads(made.to_json()) == missing | json.loads(other), other
        assert repr(made)
        if kind is Calibration:
            made.curves.rates(0.5)
        else:
            assert ((made([0.0, 0.5, np.inf]) >= 0) & (made([0.0, 0.5, np.inf]) <= 1)).all()
    assert all("the text is not a" in message or "must be of format" in message for message in refused)
    assert len(refused) > 10 * len(json.loads(text))
    assert read > 0


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "null", "[" * 100_000, '{"format": 2}', '{"format": true}', 3, None, b"\xff"]
)
def test_what_is_no_text_of_it_is_refused(text):
    for kind in (Calibration, MatchProbability):
        with pytest.raises(ValueError, match=r"the text is not a|must be of format"):
            kind.from_json(text)
