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


def as_html(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", left: Collection[str] = ()
) -> str:
    """A ``<table>`` of escaped text, which is aligned to the right but in the columns that ``left`` names."""

    def line(cells: Sequence[str], tag: str) -> str:
        sides = [' style="text-align: left"' if name in left else "" for name in head]
        return "".join(
            f"<{tag}{side}>{escape(cell)}</{tag}>" for side, cell in zip(sides, cells, strict=True)
        )

    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table>{title}<thead><tr>{line(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"
