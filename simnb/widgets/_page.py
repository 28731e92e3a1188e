"""What the browser gets: the scripts of a widget as one module, and the widget as a page of its own."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from string import Template

from simnb._files import replace_whole
from simnb._text import visible

FOLDER = Path(__file__).parent
#: The scripts of a map, in order.
MAP = ("geometry.js", "colors.js", "raster.js", "sprites.js", "projector.js")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\.{1,2}/(?:[a-z_]+/)?(?P<file>[a-z_]+\.js)";\n', re.MULTILINE)


def script(*files: str | Path, folder: Path = FOLDER) -> str:
    """Join JavaScript files, each after those that it imports, into one ES module that imports nothing.

    A widget is given to the browser as a single text. The last file keeps what it exports. Files lie in the
    folder, or where their path says.
    """
    parts, names = [], [Path(file).name for file in files]
    for position, name in enumerate(names):
        text = (folder / files[position]).read_text(encoding="utf-8")
        for imported in _IMPORT.finditer(text):
            if imported["file"] not in names[:position]:
                raise ValueError(f"{name} imports {imported['file']}, which must stand before it in {names}")
        text = _IMPORT.sub("", text)
        if name != names[-1]:
            text = re.sub(r"^export (?=const|function|class)", "", text, flags=re.MULTILINE)
        parts.append(f"// {name}\n{text}")
    return "\n".join(parts)


def text_of(state: Mapping[str, object], *, title: str, esm: str, css: str) -> str:
    """The page of a widget, from its traits by name and an ES module that ends in exporting ``render``."""

    def encoded(value):
        return {"base64": base64.b64encode(value).decode()}

    text = json.dumps(state, default=encoded, separators=(",", ":"), ensure_ascii=False)
    kernel = (FOLDER / "page.js").read_text(encoding="utf-8")
    return Template((FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(visible(title)),
        css=css,
        # So that no string can end the element.
        state=text.replace("<", "\\u003c"),
        script=esm.replace("export default", "const widget =") + "\n" + kernel,
    )


def write(path: Path, page: Callable[[], str]) -> Path:
    """Write a page, which is made once it is known that the file can be written.

    Folders are made where they are missing, and a file that is there is replaced once the new one is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_whole(path) as new:
        new.touch()
        new.write_text(page(), encoding="utf-8")
    return path
