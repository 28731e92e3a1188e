"""A calibration: its cutpoints, what they were counted on, and where they may be used."""

import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from simnb import _checks, _table
from simnb._checks import warn
from simnb.calibration.curves import METRICS, Curves
from simnb.calibration.cutpoints import Cutpoint, Goal, NotMet
from simnb.calibration.drift import ALARM, FEWEST, Drift, compare_distances
from simnb.calibration.guarantees import fewest
from simnb.index import Index, Neighbors
from simnb.index.results import check_distances
from simnb.matching import MATCHERS, Matches, accept, check_neighbors, match

_FORMAT = 2
_COUNTS = ("accepted_right", "accepted_wrong", "accepted_unknown")
# What reading a text raises where a part is missing, of another type or out of range.
_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, OverflowError)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Thresholds, what they did on the calibration queries, and every other one they could have been.

    ``calibration[name]`` is a cutpoint.

    Attributes:
        cutpoints: Each ``Cutpoint`` by its name, a target that no threshold meets (``NotMet``) among them.
        curves: ``Curves``.
        matcher: Name of the matcher the distances came from.
        k: How many neighbors the matcher saw.
        distance: Name of the distance, or None where it was not known.
        seed: Seed of the split of the queries that promises are tested with.
        gallery: What names the rows of the gallery (``index.fingerprint``), or None where it was not given.
    """

    cutpoints: dict[str, Cutpoint]
    curves: Curves
    matcher: str
    k: int
    distance: str | None
    seed: int
    gallery: str | None = None

    @property
    def cutpoint(self) -> Cutpoint:
        """The first cutpoint, which is used where none is named."""
        return next(iter(self.cutpoints.values()))

    @property
    def threshold(self) -> float:
        """Threshold of the first cutpoint; ValueError if its target is not met or each class has its own."""
        chosen = self._usable(None)
        if chosen.by_class is not None:
            raise ValueError("each class has a threshold of its own: use limits(), or cutpoint.by_class")
        return chosen.threshold

    @property
    def rates(self) -> dict[str, float]:
        """Every metric at the first cutpoint, on the calibration queries."""
        return self.cutpoint.rates

    @property
    def num_known(self) -> int:
        """Calibration queries of known classes."""
        return self.curves.num_known

    @property
    def num_unknown(self) -> int:
        """Calibration queries of unknown classes."""
        return self.curves.num_unknown

    def __getitem__(self, name: str) -> Cutpoint:
        if name not in self.cutpoints:
            raise ValueError(f"cutpoint must be one of {', '.join(self.cutpoints)}; got {name!r}")
        return self.cutpoints[name]

    def limits(self, name: str | None = None) -> float | dict[int, float]:
        """Threshold of a cutpoint, or a dict of one for each label: what ``simnb.matching.match`` takes.

        ValueError if its target is not met, or there is no such cutpoint.
        """
        chosen = self._usable(name)
        return chosen.threshold if chosen.by_class is None else chosen.by_class

    def match(
        self, neighbors: Neighbors, cutpoint: str | None = None, *, gallery: Index | str | None = None
    ) -> Matches:
        """Give each query the label it matches at a cutpoint, or ``UNKNOWN``.

        Args:
            neighbors: ``Neighbors`` from the same gallery, by the same distance. A majority vote needs the k
                neighbors that were calibrated with; of more the first k are used.
            cutpoint: Name of a cutpoint; None for the first.
            gallery: The index that was searched, or its ``fingerprint``.

        Warns:
            RuntimeWarning: If the gallery is not the one that was calibrated with, or the distances of the
                queries are spread otherwise than those of the calibration queries (``compare_distances``).

        Raises:
            ValueError: If the distance is another one, neighbors are too few, the target of the cutpoint is
                not met, or there is no such cutpoint.
        """
        limits, found = self.limits(cutpoint), self._matched(neighbors)
        self.check_gallery(gallery)
        enough = len(found) >= FEWEST and len(self.curves) > 1
        if enough and (drift := self._drift(found)).p_value < ALARM:
            warn(
                f"these queries are not like those of the calibration: {drift}; rates and promises may not "
                "carry over (simnb.plots.distance_shift shows it)"
            )
        return accept(found, limits)

    def check_gallery(self, gallery: Index | str | None) -> None:
        """Warn where an index, or its fingerprint, is not the one that was calibrated with."""
        if gallery is None or self.gallery is None:
            return
        fingerprint = gallery if isinstance(gallery, str) else gallery.fingerprint
        # "60,000 rows" or "60,000 rows, 0123456789abcdef": an engine may know only their number.
        now, then = fingerprint.split(", "), self.gallery.split(", ")
        if any(one != other for one, other in zip(now, then, strict=False)):
            changed = f"{then[0]} then, {now[0]} now" if now[0] != then[0] else f"{now[0]}, but not the same"
            warn(
                f"the gallery is not the one of the calibration ({changed}): rates and promises may not "
                "carry over; calibrate again"
            )

    def compare_distances(self, neighbors: Neighbors) -> Drift:
        """Compare the distances that queries are decided by with those of the calibration queries.

        Args:
            neighbors: ``Neighbors`` of the queries, as ``match`` takes them.

        Raises:
            ValueError: If there is no query, the distance is another one or neighbors are too few.
        """
        return self._drift(self._matched(neighbors))

    def _drift(self, found):
        return compare_distances(self._distances(), np.where(found.accepted, found.distances, np.inf))

    def _matched(self, neighbors):
        """What the matcher answers without a threshold."""
        check_neighbors(neighbors)
        if None not in (neighbors.distance, self.distance) and neighbors.distance != self.distance:
            raise ValueError(
                f"neighbors must be by {self.distance} distance as calibrated, got {neighbors.distance}"
            )
        needed = 1 if self.matcher == "nearest" else self.k
        if neighbors.k < needed:
            raise ValueError(
                f"neighbors must have the {needed} a query that were calibrated with, got {neighbors.k}; "
                f"search with k={needed}"
            )
        return match(neighbors if neighbors.k == needed else neighbors.first(needed), matcher=self.matcher)

    def _distances(self):
        """Distance of every calibration query, ascending; inf where no neighbor with a label decided."""
        curves = self.curves
        accepted = curves.accepted_right + curves.accepted_wrong + curves.accepted_unknown
        missing = curves.num_known + curves.num_unknown - accepted[-1]
        infinite = np.full(missing, np.inf, curves.distances.dtype)
        return np.concatenate([np.repeat(curves.distances, np.diff(accepted)), infinite])

    def _usable(self, name):
        chosen = self.cutpoint if name is None else self[name]
        if chosen.met:
            return chosen
        reached = f"{chosen.goal.metric} {chosen.rates[chosen.goal.metric]:.4g}"
        hint = "" if chosen.confidence is None else f" ({fewest(chosen.goal, chosen.confidence)})"
        why = (
            f"no threshold keeps {chosen}{hint}; the best on the calibration queries is {reached} at "
            f"{chosen.threshold:.4g}. Name another cutpoint, or pass that threshold to simnb.matching.match"
        )
        if chosen.by_class is not None:
            why = f"no thresholds by class were found that keep {chosen}; together these reach {reached}"
        if len(self.curves) == 1:
            why = f"no query has a neighbor with a label, so that nothing can keep {chosen}"
        raise ValueError(f"cutpoint {chosen.name!r} is not met: {why}")

    def __repr__(self) -> str:
        return f"{self._caption()}\n{_table.as_text(*self._rows())}"

    def _repr_html_(self) -> str:
        head, rows = self._rows()
        names = [name.replace("_", " ") for name in head]
        return _table.as_html(names, rows, caption=self._caption(), left=("cutpoint", "goal"))

    def _rows(self):
        rows = []
        for name, chosen in self.cutpoints.items():
            values = (chosen.rates[metric] for metric in METRICS)
            rates = ("n/a" if np.isnan(value) else f"{value:.1%}" for value in values)
            goal = f"{chosen}" if chosen.met else f"NOT MET: {chosen}"
            threshold = f"{chosen.threshold:.4g}" if chosen.by_class is None else "by class"
            rows.append([name, goal, threshold, *rates])
        return ["cutpoint", "goal", "threshold", *METRICS], rows

    def _caption(self) -> str:
        chosen, counts = self.cutpoint, f"{self.num_known} known and {self.num_unknown} unknown queries"
        on = f"{chosen} on {counts} ({self.matcher}, k={self.k})"
        if not chosen.met:
            return f"No threshold keeps {on}"
        distance = f"{self.distance} distance" if self.distance else "distance"
        limit = "the threshold of its class" if chosen.by_class is not None else f"{chosen.threshold:.4g}"
        return f"Match where {distance} <= {limit}: {on}"

    def to_json(self) -> str:
        """Everything as strict JSON; infinite numbers become strings, undefined ones null."""
        return json.dumps({"format": _FORMAT, **self._fields()}, allow_nan=False)

    def _fields(self):
        curves = {name: getattr(self.curves, name) for name in Curves.__dataclass_fields__}
        curves["dtype"] = curves["distances"].dtype.name
        curves["distances"] = [_plain(value) for value in curves["distances"].tolist()]
        curves |= {name: curves[name].tolist() for name in _COUNTS}
        facts = {name: getattr(self, name) for name in ("matcher", "k", "distance", "seed", "gallery")}
        return {**facts, "cutpoints": [_fields(one) for one in self.cutpoints.values()], "curves": curves}

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Read what ``to_json`` wrote; ValueError if it is no such text, or from another version of simnb."""
        return read_json(text, _FORMAT, cls, _restored)


def read_json(text, version, kind, build):
    """The object of a ``kind`` whose ``to_json`` wrote a text, or ValueError.

    ``build`` makes it of the fields. As it has to give the same ``_fields`` again, ``build`` may simply
    convert what ought to be a number or a name, whatever it is.
    """
    name = kind.__name__
    try:
        fields = json.loads(text)
        found = fields.pop("format")
    except (*_MALFORMED, RecursionError) as error:
        raise ValueError(f"the text is not a {name}, as its to_json writes it") from error
    if type(found) is not int or found != version:
        raise ValueError(
            f"the {name} must be of format {version}, got {found!r}, of another version of simnb; "
            f"install that version, or make the {name} again"
        )
    try:
        made = build(kind, **fields)
        if not fields.items() <= made._fields().items():
            raise ValueError("it has other fields or values than such a text")
    except _MALFORMED as error:
        raise ValueError(
            f"the text is not a whole {name} of format {version}, as its to_json writes it"
        ) from error
    return made


def _restored(kind, *, cutpoints, curves, matcher, k, distance, seed, gallery=None):
    chosen = {one["name"]: _cutpoint(**one) for one in _checks.not_empty(cutpoints, name="cutpoints")}
    return kind(
        chosen,
        _curves(**curves),
        _checks.one_of(matcher, MATCHERS, name="matcher"),
        _checks.positive_int(k, name="k"),
        None if distance is None else str(distance),
        _checks.seed(seed),
        None if gallery is None else str(gallery),
    )


def _cutpoint(*, name, metric, target, met, threshold, rates, confidence, by_class):
    for share in (target, confidence, *rates.values()):
        if share is not None:
            _checks.number(share, name="a target, confidence or rate", at_least=0, at_most=1)
    if by_class is not None:
        by_class = {int(label): float(limit) for label, limit in by_class.items()}
    return (Cutpoint if met else NotMet)(
        Goal(str(name), _checks.one_of(metric, METRICS, name="metric"), target),
        float(threshold),
        {name: np.nan if rates[name] is None else float(rates[name]) for name in METRICS},
        confidence,
        by_class,
    )


def _curves(*, dtype, distances, num_known, num_unknown, **counts):
    dtype = _checks.one_of(dtype, ("float32", "float64"), name="dtype")
    distances = check_distances(np.array([float(value) for value in distances])).astype(dtype)
    if (np.diff(distances) <= 0).any():
        raise ValueError("distances must rise")
    right, wrong, unknown = counts = [np.array([int(n) for n in counts[name]], np.int64) for name in _COUNTS]
    if any(len(n) != len(distances) + 1 or n[0] or (np.diff(n) < 0).any() for n in counts):
        raise ValueError("counts must rise from 0, one a candidate")
    totals = np.array([int(num_known), int(num_unknown)], np.int64).tolist()
    if right[-1] + wrong[-1] > totals[0] or unknown[-1] > totals[1]:
        raise ValueError("more queries are accepted than there are")
    return Curves(distances, *counts, *totals)


def _fields(chosen):
    return {
        **asdict(chosen.goal),
        "met": chosen.met,
        "threshold": _plain(chosen.threshold),
        "rates": {name: _plain(rate) for name, rate in chosen.rates.items()},
        "confidence": chosen.confidence,
        "by_class": chosen.by_class and {str(c): _plain(t) for c, t in chosen.by_class.items()},
    }


def _plain(value):
    return float(value) if math.isfinite(value) else None if math.isnan(value) else str(float(value))
