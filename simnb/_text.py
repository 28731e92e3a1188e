"""Text from outside, such as file names, made fit to be stored and shown."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def shown(text: str) -> str:
    r"""Escape lone surrogates: of a byte that is not UTF-8, as in file names, ``\xe9``; of others ``\ud800``.

    Example:
        >>> import os
        >>> print(shown(os.fsdecode(b"caf\xe9")))
        caf\xe9
    """
    return _SURROGATE.sub(_escaped, text)


def visible(text: str) -> str:
    r"""Escape control characters too, which fonts cannot show: NUL as ``\x00``; ends of lines stay."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", shown(text))


def _escaped(match):
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
