"""Every metric of one set of queries in one table."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks, _table
from simnb.index import UNKNOWN, Neighbors
from simnb.metrics import open_set
from simnb.metrics.intervals import Bootstrap, curve_intervals, groups_of, rate_intervals
from simnb.metrics.matches import known_queries, outcomes
from simnb.metrics.ranking import Ranking

if TYPE_CHECKING:
    import pandas

#: The settings of ``fpr_at_recall`` and ``detection_and_identification_rate`` in a report.
RECALL, FALSE_ACCEPTANCE = 0.95, 0.01
_ROWS = 200  # rows that are shown; all are in the columns


class Answers(Protocol):
    """What is read of ``Matches``, which stand on a higher floor."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Label given to each query, shape [num_queries]."""


#: Columns of words.
_LEFT = ("metric", "average", "class")


@dataclass(frozen=True, eq=False, repr=False)
class Report(Mapping[str, np.ndarray]):
    """Metrics as one table, a mapping from the names of its columns to arrays of equal length.

    Attributes:
        columns: ``metric`` (name), ``average`` (``micro``, ``macro`` or ``class``), ``class`` (label of a row
            by class, where ``UNKNOWN`` is all unknown queries; ``UNKNOWN`` in other rows), ``value``, ``low``
            and ``high`` (NaN without intervals), ``num_queries`` (that the value is of).
        confidence: Confidence of the intervals; None without intervals.
        class_names: Name of each label, where the index has names.
    """

    columns: dict[str, np.ndarray]
    confidence: float | None = None
    class_names: tuple[str, ...] | None = None

    __eq__, __hash__ = object.__eq__, object.__hash__  # arrays do not compare as a whole

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def value(self, metric: str, average: str = "micro", label: int | None = None) -> float:
        """One figure, such as ``report.value("recall@1")``; ValueError if there is no such row.

        Args:
            metric: Name of the metric.
            average: ``micro`` or ``macro``; does not matter with a label.
            label: Class of a row by class; ``UNKNOWN`` for the unknown queries.
        """
        rows = self["metric"] == metric
        if not rows.any():
            names = ", ".join(dict.fromkeys(self["metric"].tolist()))
            raise ValueError(f"metric must be one of {names}; got {metric!r}")
        if label is None:
            wanted, rows = f"average {average!r}", rows & (self["average"] == average) & (average != "class")
        else:
            wanted, rows = f"class {label}", rows & (self["average"] == "class") & (self["class"] == label)
        if not rows.any():
            raise ValueError(f"{metric} must be asked for an average or a class it has, got {wanted}")
        return float(self["value"][rows.argmax()])

    def to_pandas(self) -> "pandas.DataFrame":
        """The table as a ``pandas.DataFrame``; ImportError if pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("Report.to_pandas needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.columns)

    def __repr__(self) -> str:
        table = _table.as_text(*self._shown(), left=_LEFT)
        return "\n".join([table, *self._more()])

    def _repr_html_(self) -> str:
        return _table.as_html(*self._shown(), left=_LEFT) + "".join(f"<p>{line}</p>" for line in self._more())

    def _shown(self):
        """Names of the columns that are shown, and their cells as text."""
        shown = {"metric": self["metric"], "average": self["average"]}
        if (self["average"] == "class").any():
            shown["class"] = [
                self._class(label) if average == "class" else ""
                for label, average in zip(self["class"], self["average"], strict=True)
            ]
        shown["value"] = ["n/a" if np.isnan(value) else f"{value:.3f}" for value in self["value"]]
        if self.confidence is not None:
            shown[f"{100 * self.confidence:g}% interval"] = [
                "n/a" if np.isnan(low) else f"[{low:.3f}, {high:.3f}]"
                for low, high in zip(self["low"], self["high"], strict=True)
            ]
        shown["num_queries"] = self["num_queries"]
        return list(shown), [list(map(str, row)) for row in list(zip(*shown.values(), strict=True))[:_ROWS]]

    def _class(self, label):
        if label == UNKNOWN:
            return "UNKNOWN"
        names = self.class_names
        return names[label] if names is not None and 0 <= label < len(names) else f"{label}"

    def _more(self):
        count = len(self["metric"])
        return [f"... {count - _ROWS} more rows"] if count > _ROWS else []


def report(
    neighbors: Neighbors,
    labels: ArrayLike,
    *,
    gallery_labels: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    known_labels: Collection[int] | int | None = None,
    matches: Answers | None = None,
    k: int | Sequence[int] | NDArray[np.integer] | None = None,
    confidence: float | None = None,
    resamples: int = 1_000,
    seed: int = 0,
    by_class: bool = False,
) -> Report:
    """Measure queries in every way their neighbors and answers allow.

    - The metrics of ``retrieval_scores``, but for ``first_rank``, over the queries of known classes that have
      something to find: the mean over queries (``micro``) and over classes (``macro``). map@k and ndcg@k need
      ``gallery_labels``; r_precision and map@r besides that as many neighbors as the largest class has rows.
    - The rates of ``evaluate_matches`` over all queries, where ``matches`` are given.
    - Where some queries are of unknown classes, how well the distance of the nearest neighbor tells them
      apart: ``auroc``, ``aupr_known``, ``aupr_unknown``, ``fpr@0.95`` (``fpr_at_recall``) and ``dir@0.01``
      (``detection_and_identification_rate``).

    Args:
        neighbors: ``Neighbors`` of the queries.
        labels: True class of each query, shape [num_queries].
        gallery_labels: Label of every gallery row, shape [num_gallery].
        query_ids, k: As in ``retrieval_scores``.
        known_labels: The known classes. None for those of ``gallery_labels``; without these for all but
            ``UNKNOWN``.
        matches: ``Matches`` of the queries, from ``simnb.matching`` or a calibration; its labels are read.
        confidence: Confidence of the interval around every value, such as 0.95; None for no intervals.
            Queries are drawn anew within each class, so that each class keeps its number of queries.
        resamples, seed: As in ``bootstrap_mean``.
        by_class: Whether to add a row for each metric and class: the retrieval metrics, and with ``matches``
            recall and coverage. All unknown queries together are the class ``UNKNOWN``, with its
            false_acceptance.

    Raises:
        ValueError: If there is no query of a known class that has something to find, and where
            ``retrieval_scores`` and ``evaluate_matches`` raise.

    Example:
        >>> import numpy as np
        >>> from simnb.index import Neighbors
        >>> from simnb.metrics import report
        >>> neighbors = Neighbors(np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0, 1], [1, 0]]),
        ...                       np.array([[5, 6], [6, 5]]))
        >>> report(neighbors, [5, 5], k=1).value("recall@1")
        0.5
    """
    ranking = Ranking(neighbors, labels, gallery_labels, query_ids)
    if known_labels is None and gallery_labels is not None:
        known_labels = np.unique(gallery_labels)
    known = known_queries(ranking.labels, known_labels)
    groups = np.where(known, ranking.labels, UNKNOWN)
    scores = ranking.scores(k)
    bootstrap = Bootstrap() if confidence is None else Bootstrap.of(confidence, resamples, seed)
    rows = _retrieval(scores, groups, bootstrap, by_class)
    if matches is not None:
        _checks.same_length(matches.labels, groups, "matches and neighbors")
        counted = outcomes(matches.labels, ranking.labels, known_labels)
        rows += _answers(counted, groups, bootstrap, by_class)
    if not known.all():
        distances, nearest = ranking.nearest()
        curves = open_set.Curves(distances, known, nearest == ranking.labels)
        formulas = open_set.formulas(RECALL, FALSE_ACCEPTANCE)
        measured = curve_intervals(curves, formulas, groups, bootstrap)
        rows += [_row(name, "micro", UNKNOWN, value, len(known)) for name, value in measured.items()]
    names = ("metric", "average", "class", "value", "low", "high", "num_queries")
    columns = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return Report(columns, confidence, neighbors.class_names)


def _row(metric, average, label, interval, count):
    return metric, average, int(label), interval.value, interval.low, interval.high, int(count)


def _retrieval(scores, groups, bootstrap, by_class):
    """Rows of the scores of each query: their means over queries, over classes, and of each class."""
    metrics = [name for name in scores if name != "first_rank"]
    table = np.stack([scores[name] for name in metrics], axis=1)
    counted = (groups != UNKNOWN) & ~np.isnan(table[:, 0])
    if not counted.any():
        raise ValueError(
            "report needs at least one query of a known class that has something to find, got none "
            f"among {len(groups)}; are the labels those of the gallery?"
        )
    table, labels = table[counted], groups[counted]
    classes, sizes = np.unique(labels, return_counts=True)
    means, of_class = [], []
    micro, macro = np.zeros((2, bootstrap.resamples, len(metrics)))
    for members, sums in bootstrap.strata_sums(table, labels):
        means.append(table[members].mean(axis=0))
        micro += sums / len(table)
        macro += sums / (len(members) * len(classes))
        if by_class:
            intervals = bootstrap.intervals(means[-1], sums / len(members))
            of_class.append(("class", labels[members[0]], intervals, len(members)))
    count = len(table)
    averages = [
        ("micro", UNKNOWN, bootstrap.intervals(sizes @ np.stack(means) / count, micro), count),
        ("macro", UNKNOWN, bootstrap.intervals(np.mean(means, axis=0), macro), count),
        *of_class,
    ]
    return [
        _row(metric, average, label, intervals[column], size)
        for column, metric in enumerate(metrics)
        for average, label, intervals, size in averages
    ]


def _answers(counted, groups, bootstrap, by_class):
    """Rows of the rates of ``match_rates``, from the counts that each query is in."""
    measured = rate_intervals(counted, groups, bootstrap)
    known = np.count_nonzero(groups != UNKNOWN)
    totals = dict.fromkeys(measured, len(groups))
    totals |= {"recall": known, "coverage": known, "false_acceptance": len(groups) - known}
    rows = [
        _row(name, "micro", UNKNOWN, value, totals[name]) for name, value in measured.items() if totals[name]
    ]
    for members in groups_of(groups, len(groups)) if by_class else ():
        label, of_class = groups[members[0]], rate_intervals(counted[:, members], None, bootstrap)
        wanted = ("false_acceptance",) if label == UNKNOWN else ("recall", "coverage")
        rows += [_row(name, "class", label, of_class[name], len(members)) for name in wanted]
    return rows
