"""Text of others inside HTML of ours, images inside it, and the few styles that the widgets share.

Every label, file name and message goes through ``text``: a class called ``<img onerror=...>`` is shown, and
not run.
"""

import base64
import io
from html import escape

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from simnb._text import visible
from simnb.plots.grids import to_bytes

#: JupyterLab's colours in light and dark, and what stands in for them elsewhere.
STYLE = """<style>
.simnb {
  color: var(--jp-ui-font-color1, #222);
  font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif);
  --right: #0072B2; --wrong: #D55E00; --faint: #8884; --ink: var(--jp-ui-font-color1, #222);
  --muted: var(--jp-ui-font-color2, #5f5f5f);
}
[data-jp-theme-light="false"] .simnb { --right: #56B4E9; --wrong: #F28C3A; }
.simnb .muted { color: var(--muted); }
.simnb table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0; }
.simnb td, .simnb th {
  padding: 1px 7px; text-align: right; color: inherit; background: none; border: 0; font-size: 12px;
}
.simnb th { font-weight: 600; }
.simnb .cards { display: flex; flex-wrap: wrap; gap: 10px; }
.simnb figure { margin: 0; width: 78px; text-align: center; font-size: 12px; line-height: 1.25; }
.simnb figure.pair { width: 140px; }
.simnb figure img {
  width: 64px; height: 64px; object-fit: contain; image-rendering: pixelated; vertical-align: top;
}
.simnb .frame { display: inline-flex; gap: 2px; border: 2px solid var(--muted); padding: 1px; }
.simnb .frame.right { border-color: var(--right); }
.simnb .frame.wrong { border: 2px dashed var(--wrong); }
.simnb .frame.unknown { border: 2px dotted var(--muted); }
.simnb-pick { position: relative; }
.simnb-pick .simnb-thumb img { width: 44px; height: 44px; object-fit: cover; image-rendering: pixelated; }
.simnb-pick button {
  position: absolute; inset: 0; background: none !important; border: 1px solid #8884;
}
.simnb-pick button:hover { outline: 2px solid #56b4e9; }
.simnb figcaption { overflow-wrap: anywhere; }
.simnb b.right { color: var(--right); }
.simnb b.wrong { color: var(--wrong); }
</style>"""
_LARGEST = 128  # pixels a side of an image inside a page


def text(value: object) -> str:
    """``value`` as HTML that shows it."""
    return escape(visible(str(value)), quote=True)


def image(pixels: ArrayLike, *, alt: str = "") -> str:
    """An image, shape [height, width, channels], as an ``<img>`` that holds its own data."""
    shown = Image.fromarray(_rgb(to_bytes(np.asarray(pixels)[None])[0]))
    shown.thumbnail((_LARGEST, _LARGEST))
    file = io.BytesIO()
    shown.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{text(alt)}">'


def png(figure: Figure, *, dpi: int) -> bytes:
    """A figure as a PNG file: what a widget shows where none can run."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def _rgb(pixels):
    return pixels if pixels.shape[-1] > 1 else np.repeat(pixels, 3, axis=-1)
