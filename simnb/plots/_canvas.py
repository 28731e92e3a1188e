"""Sheets of images: one pair of axes, in units of an image's width, with captions and borders."""

import matplotlib.pyplot as plt
import numpy as np

from simnb import _checks
from simnb.plots import _style

GAP = 0.08  # between images, in cells
CAPTION = 8.5  # points
LINE = CAPTION * 1.4 / 72  # inches
_MARGIN = 0.06  # around the figure, in inches


def displayable(images):
    """Return ``images`` as ``to_bytes`` does, in 64 levels.

    Nobody sees the difference to 256 levels, and the PNG in the notebook is a third smaller.
    """
    pixels = to_bytes(_checks.not_empty(_checks.images(images), name="images"))
    return ((pixels >> 2).astype(np.uint16) * 255 // 63).astype(np.uint8)


def to_bytes(images):
    """Return ``images`` as uint8 of shape [num_examples, height, width, 1, 3 or 4].

    Integers are taken for 0 to 255; floats for 0 to 1, or -1 to 1 where any is negative, or 0 to 255 where
    any exceeds 2.
    """
    pixels = np.asarray(images)
    if pixels.shape[-1] not in (1, 3, 4):
        raise ValueError(f"images must have 1, 3 or 4 channels, got {pixels.shape[-1]}")
    if pixels.dtype.kind in "iu":
        return np.clip(pixels, 0, 255).astype(np.uint8)
    pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError("images must be finite, got NaN or infinity")
    if pixels.max(initial=0) > 2:
        pixels = pixels / 255
    elif pixels.min(initial=0) < 0:
        pixels = pixels / 2 + 0.5
    return (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)


def canvas(width, height, cell, *, least=4.5):
    """Axes without frame, in units of one image's width, which is ``cell`` inches; y grows downwards."""
    inches = max(width * cell, least)
    _, ax = plt.subplots(figsize=(inches + 2 * _MARGIN, height * cell))
    ax.set(xlim=(0, inches / cell), ylim=(height, 0), aspect="equal", anchor="NW")
    ax.axis("off")
    return ax


def headed(ax, title, note=""):
    """Write title and note, and size the figure to canvas and heading; return the figure."""
    figure = ax.figure
    width = figure.get_figwidth()
    images = ax.get_ylim()[0] * cell_of(ax)
    height = images + _style.heading(ax, title, note, inches=width - 2 * _MARGIN) / 72 + _MARGIN
    figure.set_size_inches(width, height)
    ax.set_position([_MARGIN / width, _MARGIN / height, 1 - 2 * _MARGIN / width, images / height])
    return figure


def cell_of(ax):
    """Width of an image, in inches."""
    return (ax.figure.get_figwidth() - 2 * _MARGIN) / ax.get_xlim()[1]


def cell_height(images):
    """Height of an image whose width is 1."""
    return images.shape[1] / images.shape[2]


def draw(ax, image, box, *, faded=False):
    """Fit ``image`` into ``box`` (left, top, width, height), keeping its proportions."""
    left, top, width, height = box
    scale = min(width / image.shape[1], height / image.shape[0])
    dx, dy = (width - scale * image.shape[1]) / 2, (height - scale * image.shape[0]) / 2
    extent = (left + dx, left + width - dx, top + height - dy, top + dy)
    if faded:
        image = 255 - (255 - image) // 5 * 2
    gray = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    # Small images: blocks, which compress; smooth ones make the notebook's file four times as large.
    smooth = "nearest" if max(image.shape) <= 64 else "auto"
    ax.imshow(image[..., 0] if gray else image, extent=extent, aspect="equal", interpolation=smooth, **gray)


def caption(ax, text, box, *, line=0, above=False, color=_style.INK, weight="normal"):
    """Write ``text`` above ``box``, or on a line below it, cut to its width."""
    left, top, width, height = box
    cell = cell_of(ax)
    y = top - 0.03 / cell if above else top + height + (0.05 + line * LINE) / cell
    ax.text(
        left + width / 2,
        y,
        _style.shorten(text, (width + GAP) * cell, CAPTION),
        ha="center",
        va="bottom" if above else "top",
        fontsize=CAPTION,
        color=_style.MUTED if line == 1 else color,
        fontweight=weight,
        family=_style.SYMBOL_FONT,
    )
