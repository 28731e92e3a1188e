"""What the training monitor shows, as HTML: progress, curves and a small map."""

import numpy as np

from simnb.plots.styling import CLASS_COLORS
from simnb.widgets._html import text

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 300, 170, 54, 34, 20, 10
_MAP = 170
_MOST_POINTS = 300
# Around (0, 0), about 3 pixels wide.
_MARKS = (
    "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0",
    "M-2.7,-2.7h5.4v5.4h-5.4z",
    "M0,-3.4L3.2,2.4H-3.2z",
    "M0,-3.6L3.6,0L0,3.6L-3.6,0z",
)


def progress(epoch, epochs, step, steps, seconds_left, words=""):
    """A bar, and how far it is."""
    total = epochs * (steps or 1)
    done = (epoch - 1) * (steps or 1) + step if steps else epoch
    left = "" if seconds_left is None else f", {_duration(seconds_left)} left"
    of = f" of {steps:,}" if steps else ""
    return (
        f'<div class="simnb"><progress value="{done}" max="{total}" style="width:220px"></progress> '
        f"epoch {epoch} of {epochs}, step {step:,}{of}{left} <b>{text(words)}</b></div>"
    )


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def curve(x, y, *, xlabel, ylabel, color, whole=False):
    """A line over x as SVG, with its last value; of many points every so-manieth."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    parts = [f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">']
    parts.append(f'<text x="4" y="12">{text(ylabel)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{text(xlabel)}</text>')
    if len(x):
        parts += _line(x, y, color, whole)
    return _svg_style() + f'<div class="simnb">{"".join(parts)}</svg></div>'


def _line(x, y, color, whole):
    keep = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).round().astype(int))
    low, high = (0.0, 1.0) if whole else (float(y.min()), float(y.max()))
    high = high if high > low else low + (abs(low) or 1.0)
    first, last = float(x[0]), float(x[-1]) if x[-1] > x[0] else float(x[0]) + 1
    across = _LEFT + (x - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)
    up = _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
    points = " ".join(f"{across[i]:.1f},{up[i]:.1f}" for i in keep)
    for value, height in ((low, _HEIGHT - _BOTTOM), (high, _TOP)):
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height}" y2="{height}"/>'
        yield f'<text x="{_LEFT - 5}" y="{height + 4}" text-anchor="end">{value:.3g}</text>'
    for value, anchor, at in ((first, "start", _LEFT), (last, "end", _WIDTH - _RIGHT)):
        yield f'<text x="{at}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="{anchor}">{value:.3g}</text>'
    yield f'<polyline points="{points}" style="stroke:{color};fill:none;stroke-width:1.8"/>'
    yield f'<circle cx="{across[-1]:.1f}" cy="{up[-1]:.1f}" r="3" style="fill:{color}"/>'
    yield f'<text x="{_WIDTH - _RIGHT}" y="12" text-anchor="end">{y[-1]:.3f}</text>'


def small_map(points, positions, names):
    """Points in the unit square as SVG, with a colour and a mark for each class, and a legend."""
    marks = "".join(
        f'<path d="{_MARKS[p % 4]}" transform="translate({_MAP * (0.04 + 0.92 * x):.0f},'
        f'{_MAP * (0.96 - 0.92 * y):.0f})" style="fill:{CLASS_COLORS[p % len(CLASS_COLORS)]}"/>'
        for (x, y), p in zip(points, positions, strict=True)
    )
    box = '<svg width="9" height="9" viewBox="-4.5 -4.5 9 9">'
    legend = "".join(
        f'<span style="white-space:nowrap">{box}<path d="{_MARKS[p % 4]}" '
        f'style="fill:{CLASS_COLORS[p % len(CLASS_COLORS)]}"/></svg> {text(name)}</span>'
        for p, name in enumerate(names[:10])
    )
    more = f"<span>and {len(names) - 10} more</span>" if len(names) > 10 else ""
    # The colours are those of light figures: on a ground of their own they are seen in the dark too.
    return (
        '<div class="simnb" style="display:flex;gap:8px">'
        f'<svg width="{_MAP}" height="{_MAP}" style="background:#fafafa;border-radius:4px" role="img" '
        f'aria-label="map of the queries">{marks}</svg>'
        '<div style="display:flex;flex-direction:column;font-size:11px;line-height:1.4;background:#fafafa;'
        f'color:#222;padding:4px 6px;border-radius:4px">{legend}{more}</div></div>'
    )


def _svg_style():
    return (
        "<style>.simnb svg text { font-size: 11px; fill: currentColor; } "
        ".simnb svg .grid { stroke: var(--faint); }</style>"
    )
