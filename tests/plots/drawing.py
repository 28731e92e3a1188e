"""Reading back what a figure shows."""

import io
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

NAMES = ("airplane", "bird", "cat", "dog")


def paint(shown):
    """Draw for real, so that warnings of the renderer fail the test; return the picture."""
    figure = shown if isinstance(shown, plt.Figure) else shown.figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


def examples(labels, ids, *, class_names=NAMES, shape=(4, 4, 3)):
    """Images whose every pixel holds 4 times the id, which display keeps apart."""
    ids = np.asarray(ids)
    images = np.broadcast_to((ids * 4).astype(np.uint8)[:, None, None, None], (len(ids), *shape))
    return SimpleNamespace(images=images, labels=np.asarray(labels), class_names=class_names, ids=ids)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def shown_ids(ax):
    """Ids of the drawn images, in drawing order, read back from their pixels."""
    return [int(np.asarray(image.get_array()).ravel()[0]) >> 2 for image in ax.images]


def drawn(ax, gid):
    (artist,) = [artist for artist in ax.get_children() if artist.get_gid() == gid]
    return artist


def gids(ax):
    return {artist.get_gid() for artist in ax.get_children()} - {None}


def points(ax, gid):
    return drawn(ax, gid).get_xydata().tolist()


def intervals(ax):
    """Ends of each interval, in drawing order."""
    return [segment.tolist() for segment in drawn(ax, "intervals").get_segments()]


def bars(ax, gid):
    """Height of each bin above its row, and the edges."""
    heights, edges, baseline = drawn(ax, gid).get_data()
    return np.asarray(heights) - (baseline or 0), edges


def title(ax):
    return " ".join(ax.get_title(loc="left").split())


def words(ax):
    return " ".join(" ".join(text.get_text() for text in ax.texts).split())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def tick_names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]
