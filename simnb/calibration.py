"""Choose the distance up to which a neighbor counts as a match."""

import json
from dataclasses import dataclass
from html import escape

import numpy as np

from simnb import _checks
from simnb.matching import match
from simnb.metrics import known_queries, match_rates

__all__ = ["Calibration", "Curves", "calibrate"]

#: What ``calibrate`` can maximize.
METRICS = ("f1", "precision", "recall", "accuracy", "coverage")
_COLUMNS = ("precision", "recall", "f1", "accuracy", "coverage", "false_acceptance")


@dataclass(frozen=True, eq=False)
class Curves:
    """Every candidate threshold and what it would do, arrays of shape [num_thresholds].

    The first candidate is ``-inf`` (reject everything), the last the largest distance that was seen
    (accept every calibration query); the others lie midway between consecutive distances.
    ``distance`` holds the thresholds; ``simnb.metrics.match_rates`` defines the metrics.
    """

    distance: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    accuracy: np.ndarray
    coverage: np.ndarray
    false_acceptance: np.ndarray

    def __len__(self) -> int:
        """How many candidates."""
        return len(self.distance)


@dataclass(frozen=True, eq=False)
class Calibration:
    """A threshold, what it did on the calibration queries, and every other one it could have been.

    Attributes:
        threshold: Largest distance that matches.
        maximize: The metric it was chosen for.
        matcher: Name of the matcher the distances came from.
        k: How many neighbors the matcher saw.
        distance: Name of the distance, or None where it was not known.
        num_known: Calibration queries of known classes.
        num_unknown: Calibration queries of unknown classes.
        curves: ``Curves``.
    """

    threshold: float
    maximize: str
    matcher: str
    k: int
    distance: str | None
    num_known: int
    num_unknown: int
    curves: Curves

    @property
    def cutpoint(self) -> dict[str, float]:
        """The metrics at the threshold, on the calibration queries."""
        at = int(np.flatnonzero(self.curves.distance == self.threshold)[0])
        return {name: float(getattr(self.curves, name)[at]) for name in _COLUMNS}

    def __repr__(self) -> str:
        """Print the small table."""
        cells = self._cells()
        widths = [max(len(name), len(value)) for name, value in cells]
        lines = ("  ".join(c[i].rjust(w) for c, w in zip(cells, widths, strict=True)) for i in (0, 1))
        return "\n".join([self._caption(), *lines])

    def _repr_html_(self) -> str:
        cells = self._cells()
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name, _ in cells)
        body = "".join(f"<td>{escape(value)}</td>" for _, value in cells)
        return (
            f"<table><caption>{escape(self._caption())}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table>"
        )

    def _cells(self):
        rates = ((name, _percent(rate)) for name, rate in self.cutpoint.items())
        return [("threshold", f"{self.threshold:.4g}"), *rates]

    def _caption(self) -> str:
        distance = f"{self.distance} distance" if self.distance else "distance"
        return (
            f"Match where {distance} <= {self.threshold:.4g}: best {self.maximize} on "
            f"{self.num_known} known and {self.num_unknown} unknown queries ({self.matcher}, k={self.k})"
        )

    def to_json(self) -> str:
        """Everything as strict JSON; infinite numbers become strings, undefined ones null."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "curves"}
        curves = {n: _plain(getattr(self.curves, n)) for n in self.curves.__dataclass_fields__}
        fields["threshold"] = _plain([self.threshold])[0]
        return json.dumps({"format": 1, **fields, "curves": curves}, allow_nan=False)

    @classmethod
    def from_json(cls, text) -> "Calibration":
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: If the text is not such a calibration, or from a newer version.
        """
        try:
            fields = json.loads(text)
            if fields.pop("format") != 1:
                raise KeyError("format")
            curves = {name: _numbers(values) for name, values in fields.pop("curves").items()}
            fields["threshold"] = float(fields["threshold"])
            return cls(**fields, curves=Curves(**curves))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                "the text is not a calibration of format 1, as Calibration.to_json writes it"
            ) from error


def calibrate(neighbors, labels, *, known_labels=None, matcher="nearest", maximize="f1"):
    """Choose the distance threshold on queries that were neither trained on nor indexed.

    Every candidate that can change an answer is tried. Of equally good ones the most precise is taken,
    and of those the one that answers most queries.

    Args:
        neighbors: ``Neighbors`` of the calibration queries.
        labels: True class of each, shape [num_queries].
        known_labels: The classes of the gallery; queries of any other class are unknown and ought to
            be rejected. When left out, only queries labelled ``UNKNOWN`` are.
        matcher: ``nearest`` or ``majority_vote``.
        maximize: ``f1``, ``precision``, ``recall``, ``accuracy`` or ``coverage``. Precision alone may be
            best where hardly anything is answered, or nothing.

    Returns:
        A ``Calibration``. Where no query finds its own class at any distance, every F1 is 0 and the
        threshold is ``-inf``: reject everything.

    Raises:
        ValueError: If there is no query of a known class, lengths differ or a name is unknown.

    Example:
        >>> import numpy as np
        >>> from simnb.calibration import calibrate
        >>> from simnb.index import Neighbors
        >>> neighbors = Neighbors(np.array([[0.1], [0.2], [0.9]]), np.array([[0], [1], [2]]),
        ...                       np.array([[5], [6], [5]]))
        >>> round(calibrate(neighbors, [5, 6, -1]).threshold, 6)
        0.55
    """
    _checks.one_of(maximize, METRICS, name="maximize")
    _checks.not_empty(neighbors, name="neighbors")
    labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
    known = known_queries(labels, known_labels)
    if not known.any():
        raise ValueError(
            "calibrate needs at least one query of a known class, got none "
            f"({len(labels)} unknown queries); are the labels those of the gallery?"
        )
    matches = match(neighbors, matcher=matcher)
    right = known & (matches.labels == labels)
    thresholds, counts = _count(matches.distances, matches.accepted, known, right)
    curves = Curves(thresholds, **match_rates(*counts))
    best = int(np.lexsort((thresholds, curves.precision, getattr(curves, maximize)))[-1])
    return Calibration(
        threshold=float(thresholds[best]),
        maximize=maximize,
        matcher=matcher,
        k=neighbors.k,
        distance=neighbors.distance,
        num_known=int(known.sum()),
        num_unknown=int((~known).sum()),
        curves=curves,
    )


def _count(distances, answered, known, right):
    """Candidate thresholds and the five counts A, W, R, U, V at each of them."""
    distances, position = np.unique(distances[answered], return_inverse=True)
    bins = len(distances)

    def accepted(these):
        counts = np.bincount(position[these[answered]], minlength=bins) if bins else []
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    a, w, u = accepted(right), accepted(known & ~right), accepted(~known)
    counts = (a, w, known.sum() - a - w, u, (~known).sum() - u)
    return _candidates(distances), counts


def _candidates(distances):
    below, above = distances[:-1], distances[1:]
    middle = below + (above - below) / 2
    # Between neighboring floats the middle rounds to one of them; it must not accept the upper one.
    middle = np.where(middle < above, middle, below)
    return np.concatenate([np.array([-np.inf], distances.dtype), middle, distances[-1:]])


def _percent(value):
    return "n/a" if np.isnan(value) else f"{value:.1%}"


def _plain(values):
    return [
        None if np.isnan(v) else float(v) if np.isfinite(v) else str(float(v)) for v in np.asarray(values)
    ]


def _numbers(values):
    return np.array([np.nan if v is None else float(v) for v in values])
