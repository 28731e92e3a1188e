"""A calibration: its cutpoints, what they were counted on, and where they may be used."""

import json
import warnings
from dataclasses import asdict, dataclass
from html import escape

import numpy as np

from simnb import _checks
from simnb.calibration.curves import METRICS, Curves
from simnb.calibration.cutpoints import Cutpoint, Goal, NotMet
from simnb.calibration.drift import ALARM, FEWEST, compare_distances
from simnb.calibration.guarantees import fewest
from simnb.matching import match

_FORMAT = 2


@dataclass(frozen=True, eq=False)
class Calibration:
    """Thresholds, what they did on the calibration queries, and every other one they could have been.

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
        """Threshold of the first cutpoint.

        Raises:
            ValueError: If its target is not met.
        """
        return self._usable(None).threshold

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

    def __getitem__(self, name) -> Cutpoint:
        """A cutpoint by its name."""
        if name not in self.cutpoints:
            raise ValueError(f"cutpoint must be one of {', '.join(self.cutpoints)}; got {name!r}")
        return self.cutpoints[name]

    def limits(self, name=None):
        """Threshold of a cutpoint, or a dict of one for each label: what ``simnb.matching.match`` takes.

        Raises:
            ValueError: If its target is not met, or there is no such cutpoint.
        """
        chosen = self._usable(name)
        return chosen.threshold if chosen.by_class is None else chosen.by_class

    def match(self, neighbors, cutpoint=None, *, gallery=None):
        """Give each query the label it matches at a cutpoint, or ``UNKNOWN``.

        Args:
            neighbors: ``Neighbors`` from the same gallery, by the same distance; with at least the k
                neighbors that were calibrated with, of which the first k are used.
            cutpoint: Name of a cutpoint; the first when left out.
            gallery: ``index.fingerprint`` of the gallery as it is now.

        Returns:
            ``Matches``.

        Warns:
            RuntimeWarning: If the gallery is not the one that was calibrated with, or the distances of the
                queries are spread otherwise than those of the calibration queries (``compare_distances``).

        Raises:
            ValueError: If the distance is another one, neighbors are too few, the target of the cutpoint is
                not met, or there is no such cutpoint.
        """
        limits = self.limits(cutpoint)
        if None not in (neighbors.distance, self.distance) and neighbors.distance != self.distance:
            raise ValueError(
                f"neighbors must be by {self.distance} distance as calibrated, got {neighbors.distance}"
            )
        if neighbors.k < self.k:
            raise ValueError(
                f"neighbors must have the {self.k} a query that were calibrated with, got {neighbors.k}; "
                f"search with k={self.k}"
            )
        self.check_gallery(gallery)
        if neighbors.k > self.k:
            neighbors = neighbors.first(self.k)
        matches = match(neighbors, limits, matcher=self.matcher)
        self._warn_of_drift(matches.distances)
        return matches

    def check_gallery(self, gallery):
        """Warn where a gallery, by its fingerprint, is not the one that was calibrated with."""
        if gallery is None or self.gallery is None:
            return
        # "60,000 rows" or "60,000 rows, 0123456789abcdef": an engine may know only their number.
        now, then = gallery.split(", "), self.gallery.split(", ")
        if any(one != other for one, other in zip(now, then, strict=False)):
            changed = f"{then[0]} then, {now[0]} now" if now[0] != then[0] else f"{now[0]}, but not the same"
            warnings.warn(
                f"the gallery is not the one of the calibration ({changed}): rates and promises may not "
                "carry over; calibrate again",
                RuntimeWarning,
                stacklevel=3,
            )

    def compare_distances(self, neighbors):
        """Compare the distances that queries are decided by with those of the calibration queries.

        Args:
            neighbors: ``Neighbors`` of the queries.

        Returns:
            A ``Drift``.
        """
        if neighbors.k > self.k:
            neighbors = neighbors.first(self.k)
        return compare_distances(self._distances(), match(neighbors, matcher=self.matcher).distances)

    def _warn_of_drift(self, distances):
        if len(distances) < FEWEST or len(self.curves) == 1:
            return
        drift = compare_distances(self._distances(), distances)
        if drift.p_value < ALARM:
            warnings.warn(
                f"these queries are not like those of the calibration: {drift}; "
                "rates and promises may not carry over (simnb.plots.distance_shift shows it)",
                RuntimeWarning,
                stacklevel=4,
            )

    def _distances(self):
        """Distance of every calibration query, ascending; inf where there was no neighbor."""
        curves = self.curves
        accepted = curves.accepted_right + curves.accepted_wrong + curves.accepted_unknown
        missing = curves.num_known + curves.num_unknown - accepted[-1]
        infinite = np.full(missing, np.inf, curves.distances.dtype)
        return np.concatenate([np.repeat(curves.distances, np.diff(accepted)), infinite])

    def _usable(self, name):
        chosen = self.cutpoint if name is None else self[name]
        if not chosen.met:
            metric, hint = chosen.goal.metric, ""
            if chosen.confidence is not None and (count := fewest(chosen.goal, chosen.confidence)):
                hint = f" (that promise takes {count} queries at the least, all of them right)"
            raise ValueError(
                f"cutpoint {chosen.name!r} is not met: no threshold keeps {chosen}{hint}; the best is "
                f"{metric} {chosen.rates[metric]:.4g} at {chosen.threshold:.4g}. Name another cutpoint, or "
                "pass that threshold to simnb.matching.match"
            )
        return chosen

    def __repr__(self) -> str:
        """Print the small table."""
        head, rows = self._table()
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in (head, *rows))
        return "\n".join([self._caption(), *lines])

    def _repr_html_(self) -> str:
        head, rows = self._table()
        cells = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in head)
        body = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in row)}</tr>" for row in rows)
        return (
            f"<table><caption>{escape(self._caption())}</caption>"
            f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _table(self):
        rows = []
        for name, chosen in self.cutpoints.items():
            rates = (_percent(chosen.rates[metric]) for metric in METRICS)
            goal = f"{chosen}" if chosen.met else f"NOT MET: {chosen}"
            threshold = f"{chosen.threshold:.4g}" if chosen.by_class is None else "by class"
            rows.append([name, goal, threshold, *rates])
        return ["cutpoint", "goal", "threshold", *METRICS], rows

    def _caption(self) -> str:
        distance, chosen = f"{self.distance} distance" if self.distance else "distance", self.cutpoint
        queries = (
            f"{self.num_known} known and {self.num_unknown} unknown queries ({self.matcher}, k={self.k})"
        )
        if not chosen.met:
            return f"No threshold keeps {chosen} on {queries}"
        limit = "the threshold of its class" if chosen.by_class else f"{chosen.threshold:.4g}"
        return f"Match where {distance} <= {limit}: {chosen} on {queries}"

    def to_json(self) -> str:
        """Everything as strict JSON; infinite numbers become strings, undefined ones null."""
        cutpoints = []
        for chosen in self.cutpoints.values():
            by_class = chosen.by_class and {str(c): _plain(t) for c, t in chosen.by_class.items()}
            cutpoints.append(
                {
                    **asdict(chosen.goal),
                    "met": chosen.met,
                    "threshold": _plain(chosen.threshold),
                    "rates": {name: _plain(rate) for name, rate in chosen.rates.items()},
                    "confidence": chosen.confidence,
                    "by_class": by_class,
                }
            )
        curves = {name: getattr(self.curves, name) for name in Curves.__dataclass_fields__}
        curves["dtype"] = self.curves.distances.dtype.name
        curves["distances"] = [_plain(value) for value in self.curves.distances]
        for name in ("accepted_right", "accepted_wrong", "accepted_unknown"):
            curves[name] = curves[name].tolist()
        facts = {name: getattr(self, name) for name in ("matcher", "k", "distance", "seed", "gallery")}
        return json.dumps(
            {"format": _FORMAT, **facts, "cutpoints": cutpoints, "curves": curves}, allow_nan=False
        )

    @classmethod
    def from_json(cls, text) -> "Calibration":
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: If the text is not such a calibration, or from another version of simnb.
        """
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
            curves = fields.pop("curves")
            dtype = np.dtype(_checks.one_of(curves.pop("dtype"), ("float32", "float64"), name="dtype"))
            curves["distances"] = np.array([float(value) for value in curves["distances"]], dtype)
            for name in ("accepted_right", "accepted_wrong", "accepted_unknown"):
                curves[name] = np.array(curves[name], np.int64)
            curves = Curves(**curves)
            if any(len(count) != len(curves.distances) + 1 for count in curves.counts):
                raise ValueError("the curves differ in length")
            cutpoints = [_cutpoint(**parts) for parts in fields.pop("cutpoints")]
            result = cls({one.name: one for one in cutpoints}, curves, **fields)
            repr(result)  # everything is there and of its type
            return result
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, StopIteration) as error:
            raise ValueError(
                f"the text is not a whole calibration of format {_FORMAT}, as Calibration.to_json writes it"
            ) from error


def _cutpoint(*, name, metric, target, met, threshold, rates, confidence, by_class):
    kind = Cutpoint if met else NotMet
    return kind(
        Goal(name, metric, target),
        float(threshold),
        {metric: np.nan if rate is None else float(rate) for metric, rate in rates.items()},
        confidence,
        by_class and {int(label): float(value) for label, value in by_class.items()},
    )


def _percent(value):
    return "n/a" if np.isnan(value) else f"{value:.1%}"


def _plain(value):
    return None if np.isnan(value) else float(value) if np.isfinite(value) else str(float(value))
