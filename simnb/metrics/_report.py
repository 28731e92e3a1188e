"""The table that ``report`` gives, and how it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from simnb.index import UNKNOWN

_ROWS = 200  # rows that are shown; all are in the columns


@dataclass(frozen=True, eq=False, repr=False)
class Report(Mapping):
    """Metrics as one table, a mapping from the names of its columns to arrays of equal length.

    Attributes:
        columns: ``metric`` (name), ``average`` (``micro``, ``macro`` or ``class``), ``class`` (label of a row
            by class, where ``UNKNOWN`` is all unknown queries; ``UNKNOWN`` in other rows), ``value``, ``low``
            and ``high`` (NaN without intervals), ``num_queries`` (that the value is of).
        confidence: Of the intervals; None without.
        class_names: Name of each label, where the index has names.
    """

    columns: dict[str, np.ndarray]
    confidence: float | None = None
    class_names: tuple[str, ...] | None = None

    __eq__, __hash__ = (
        object.__eq__,
        object.__hash__,
    )  # arrays do not compare as a whole

    def __getitem__(self, name) -> np.ndarray:
        """A column by its name."""
        return self.columns[name]

    def __iter__(self):
        """The names of the columns."""
        return iter(self.columns)

    def __len__(self) -> int:
        """How many columns."""
        return len(self.columns)

    def value(self, metric, average="micro", label=None) -> float:
        """One figure, such as ``report.value("recall@1")``.

        Args:
            metric: Name of the metric.
            average: ``micro`` or ``macro``; does not matter with a label.
            label: Class of a row by class; ``UNKNOWN`` for the unknown queries.

        Returns:
            A float.

        Raises:
            ValueError: If there is no such row.
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

    def to_pandas(self):
        """The table as a ``pandas.DataFrame``.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("Report.to_pandas needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.columns)

    def __repr__(self) -> str:
        """Print the table."""
        head, rows = self._table()
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        left = ("metric", "average", "class")
        lines = (
            "  ".join(
                cell.ljust(width) if name in left else cell.rjust(width)
                for name, cell, width in zip(head, row, widths, strict=True)
            ).rstrip()
            for row in (head, *rows)
        )
        return "\n".join([*lines, *self._more()])

    def _repr_html_(self) -> str:
        head, rows = self._table()
        cells = "".join(f"<th>{escape(name)}</th>" for name in head)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
        return table + "".join(f"<p>{escape(line)}</p>" for line in self._more())

    def _table(self):
        """Names of the columns that are shown, and their cells as text."""
        shown = {"metric": self["metric"], "average": self["average"]}
        if (self["average"] == "class").any():
            shown["class"] = [
                self._class(label) if average == "class" else ""
                for label, average in zip(self["class"], self["average"], strict=True)
            ]
        shown["value"] = [_figure(value) for value in self["value"]]
        if self.confidence is not None:
            shown[f"{100 * self.confidence:g}% interval"] = [
                "n/a" if np.isnan(low) else f"[{low:.3f}, {high:.3f}]"
                for low, high in zip(self["low"], self["high"], strict=True)
            ]
        shown["num_queries"] = [f"{count}" for count in self["num_queries"]]
        return list(shown), [list(map(str, row)) for row in list(zip(*shown.values(), strict=True))[:_ROWS]]

    def _class(self, label):
        if label == UNKNOWN:
            return "UNKNOWN"
        names = self.class_names
        return names[label] if names is not None and 0 <= label < len(names) else f"{label}"

    def _more(self):
        count = len(self["metric"])
        return [f"... {count - _ROWS} more rows"] if count > _ROWS else []


def _figure(value):
    return "n/a" if np.isnan(value) else f"{value:.3f}"
