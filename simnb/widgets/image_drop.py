"""A place in a notebook to drop an image file on."""

from collections.abc import Callable

import anywidget
import traitlets

from simnb.widgets._page import FOLDER, script


class ImageDrop(anywidget.AnyWidget):
    """A drop zone: calls a function with the name and the bytes of each file.

    A file of more than ``max_bytes`` is not sent; the other function is called with its name and size.
    """

    _esm = script("image_drop.js")
    _css = FOLDER / "image_drop.css"

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
