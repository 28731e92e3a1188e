"""A place in a notebook to drop an image file on."""

from collections.abc import Callable

import anywidget
import traitlets

from simnb.widgets._page import script

_CSS = """
.simnb-drop {
  display: flex; align-items: center; justify-content: center; gap: 8px; box-sizing: border-box;
  min-height: 74px; padding: 10px 14px; border: 2px dashed var(--jp-border-color1, #999); border-radius: 8px;
  cursor: pointer;
  color: var(--jp-ui-font-color2, #5f5f5f); font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
  text-align: center; overflow-wrap: anywhere;
}
.simnb-drop[data-over="true"] { border-color: #56b4e9; background: #56b4e922; }
.simnb-drop:focus-within { outline: 2px solid #56b4e9; }
.simnb-drop input { position: absolute; width: 1px; height: 1px; opacity: 0; }
"""


class ImageDrop(anywidget.AnyWidget):
    """A drop zone: calls a function with the name and the bytes of each file.

    Args:
        on_file: Called with (name, bytes).
        on_refused: Called with (name, size) of a file that has more than ``max_bytes`` and is not sent.
        max_bytes: Size of the largest file that is accepted, in bytes.
    """

    _esm = script("image_drop.js")
    _css = _CSS

    words = traitlets.Unicode("Drop an image file here, or click to choose one").tag(sync=True)
    max_bytes = traitlets.Int().tag(sync=True)

    def __init__(
        self, on_file: Callable[[str, bytes], None], on_refused: Callable[[str, int], None], *, max_bytes: int
    ) -> None:
        super().__init__(max_bytes=max_bytes)
        self._on_file, self._on_refused = on_file, on_refused
        self.on_msg(self._received)

    def _received(self, widget, message, buffers):
        if message.get("kind") == "file" and len(buffers) == 1:
            self._on_file(str(message.get("name", "")), bytes(buffers[0]))
        elif message.get("kind") == "refused":
            self._on_refused(str(message.get("name", "")), int(message.get("size", 0)))

    def __repr__(self) -> str:  # without the number that ipywidgets gives it
        return f"ImageDrop(max_bytes={self.max_bytes})"
