"""What the search box shows, as HTML: the answer in words, and the neighbors beside the query."""

import numpy as np

from simnb.plots import styling
from simnb.widgets._html import image, text


def answer(result, *, calibrated):
    """The match or Unknown, with its probability, its distance and the threshold."""
    words = []
    if result.probability is not None:
        likely = f"right with probability {result.probability:.0%}"
        words.append(likely if result.accepted else f"an answer would be {likely}")
    distance = (
        f"distance {styling.number(result.distance)}" if np.isfinite(result.distance) else "no neighbor"
    )
    if np.isfinite(result.threshold):
        side = "within" if result.accepted else "beyond"
        distance += f", {side} the threshold {styling.number(result.threshold)}"
    elif not calibrated:
        distance += "; the search is not calibrated, so that every query gets an answer"
    words.append(distance)
    if result.true_label is not None:
        words.append(f"it is {result.name_of(result.true_label)}")
    return (
        f'<div class="simnb" style="font-size:15px"><b>{text(result.answer)}</b> '
        f'<span class="muted">{text("; ".join(words))}</span></div>'
    )


def cards(result, picture_of, most):
    """The query, then its neighbors, each with its class, its distance and whether it is right.

    Args:
        result: A ``Result``.
        picture_of: Gives the image at a place of the neighbors, or None where there is none.
        most: How many neighbors to show.
    """
    asked = (
        f'<figure><span class="frame">{image(result.image, alt=result.name)}</span><figcaption>'
        f'<b>{text(result.name)}</b><br><span class="muted">as embedded</span></figcaption></figure>'
    )
    found = "".join(_card(result, place, picture_of(place)) for place in result.places(most))
    return f'<div class="simnb"><div class="cards">{asked}{found}</div></div>'


def _card(result, place, picture):
    verdict, name = result.verdict(place), result.class_of(place)
    shown = '<span class="muted">no image</span>' if picture is None else image(picture, alt=name)
    distance = styling.number(float(result.neighbors.distances[0, place]))
    return (
        f'<figure><span class="frame {verdict or ""}">{shown}</span><figcaption>'
        f'<b class="{verdict or ""}">{styling.symbol(verdict) if verdict else ""}</b> {text(name)}<br>'
        f'<span class="muted">{distance}{" beyond" if result.beyond(place) else ""}</span>'
        "</figcaption></figure>"
    )
