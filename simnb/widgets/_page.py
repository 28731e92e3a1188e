"""A widget as one HTML page: its state, its script, and a stand-in for the kernel."""

import base64
import json
import os
from html import escape
from string import Template

from simnb._text import visible
from simnb.widgets._script import FOLDER


def write(path, state, *, title, esm, css):
    """Write the page beside its place, then put it there.

    Args:
        path: Where; folders are made where they are missing.
        state: What the model holds, by name; bytes become base64.
        title: Of the page, as text.
        esm: An ES module that ends in ``export default { render };``.
        css: Its style sheet.

    Returns:
        The path.
    """
    text = json.dumps(state, default=_encode, separators=(",", ":"))
    kernel = (FOLDER / "page.js").read_text(encoding="utf-8")
    page = Template((FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(visible(title)),
        css=css,
        # So that no string can end the element.
        state=text.replace("<", "\\u003c"),
        script=esm.replace("export default", "const widget =") + "\n" + kernel,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _encode(value):
    return {"base64": base64.b64encode(value).decode()}
