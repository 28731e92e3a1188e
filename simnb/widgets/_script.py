"""JavaScript of the package, joined into one module: a widget is given to the browser as a single text."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(?P<file>[a-z_]+\.js)";\n', re.MULTILINE)


def script(*names):
    """Join files of this folder into one ES module.

    Args:
        names: File names, each after those that it imports. The last one keeps what it exports.

    Returns:
        The text of the module, which imports nothing.

    Raises:
        ValueError: If a file imports one that does not stand before it.
    """
    parts = []
    for position, name in enumerate(names):
        text = (FOLDER / name).read_text(encoding="utf-8")
        for imported in _IMPORT.finditer(text):
            if imported["file"] not in names[:position]:
                raise ValueError(f"{name} imports {imported['file']}, which must stand before it in {names}")
        text = _IMPORT.sub("", text)
        if name != names[-1]:
            text = re.sub(r"^export (?=const|function|class)", "", text, flags=re.MULTILINE)
        parts.append(f"// {name}\n{text}")
    return "\n".join(parts)
