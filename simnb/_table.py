"""A small table of strings, as aligned text and as HTML."""

from collections.abc import Collection, Sequence
from html import escape


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str] = ()) -> str:
    """Lines of columns that are aligned to the right, but for those that ``left`` names."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if name in left else cell.rjust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    )
    return "\n".join(lines)


def as_html(head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """A ``<table>``, whose text is escaped."""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{title}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
