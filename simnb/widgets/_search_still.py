"""What the search box showed last, as a picture for where no widget can run."""

import io

import numpy as np

from simnb._text import visible
from simnb.plots import styling

_CELL = 1.1  # inches that an image and its caption have


def still(result, picture_of, most, title):
    """PNG of the query and its neighbors.

    Args:
        result: A ``Result``, None where nothing was searched.
        picture_of: Gives the image at a place of the neighbors, or None where there is none.
        most: How many neighbors to show.
        title: Above the picture.
    """
    from matplotlib.figure import Figure

    places = [] if result is None else list(result.places(most))
    figure = Figure(figsize=(_CELL * (max(len(places), 4) + 1), 2.2), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    first, *others = figure.subplots(1, len(places) + 1, squeeze=False)[0]
    if result is None:
        first.text(0, 0.5, "nothing was searched yet", fontsize=9)
        first.axis("off")
    else:
        _draw(first, result.image, f"{result.name}\n→ {result.answer}", styling.INK)
    for place, ax in zip(places, others, strict=True):
        verdict = result.verdict(place)
        sign = styling.symbol(verdict) if verdict else ""
        distance = styling.number(float(result.neighbors.distances[0, place]))
        caption = f"{sign} {result.class_of(place)}\n{distance}"
        _draw(ax, picture_of(place), caption, styling.verdict_color(verdict or "unknown"))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()


def _draw(ax, image, caption, color):
    from simnb.plots.grids import displayable

    ax.axis("off")
    if image is not None:
        pixels = displayable(np.asarray(image)[None])[0]
        pixels = pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels
        ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    look = {"fontsize": 8, "color": color, "parse_math": False, "family": styling.SYMBOL_FONT}
    lines = [styling.shorten(visible(line), 0.85 * _CELL, 8) for line in caption.split("\n")]
    ax.set_title("\n".join(lines), **look)
