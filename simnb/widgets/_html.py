"""What the widgets share: text of others inside HTML of ours, images, styles, and still pictures.

Every label, file name and message goes through ``text``: a class called ``<img onerror=...>`` is shown, and
not run.
"""

import base64
import io
from html import escape

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from simnb._text import visible
from simnb.plots.pictures import to_bytes
from simnb.widgets._page import FOLDER

STYLE = f"<style>\n{(FOLDER / 'shared.css').read_text(encoding='utf-8')}</style>"
_LARGEST = 128  # pixels a side of an image inside a page


def text(value: object) -> str:
    """``value`` as HTML that shows it."""
    return escape(visible(str(value)), quote=True)


def image(pixels: ArrayLike, *, alt: str = "") -> str:
    """An image, shape [height, width, channels], as an ``<img>`` that holds its own data."""
    shown = to_bytes(np.asarray(pixels)[None])[0]
    shown = Image.fromarray(shown if shown.shape[-1] > 1 else np.repeat(shown, 3, axis=-1))
    shown.thumbnail((_LARGEST, _LARGEST))
    file = io.BytesIO()
    shown.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{text(alt)}">'


def with_still(bundle, widget):
    """What displays a widget, with its text and a picture of its ``_still`` figure where none can run."""
    file = io.BytesIO()
    widget._still().savefig(file, format="png", dpi="figure")
    data, *metadata = bundle if isinstance(bundle, tuple) else (bundle,)
    data = {**data, "text/plain": repr(widget), "image/png": file.getvalue()}
    return (data, *metadata) if metadata else data


def named(widget, name):
    """The widget, with a name for style sheets."""
    widget.add_class(f"simnb-{name}")
    return widget
