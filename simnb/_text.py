"""Text that can be stored and shown: valid Unicode, whatever bytes a name on a disk was made of."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def shown(text) -> str:
    r"""Escape what is no character: a lone surrogate, as Python makes of a file name that is not UTF-8.

    Args:
        text: Any string.

    Returns:
        The same text, a byte that is not UTF-8 as ``\xe9`` and any other lone surrogate as ``\ud800``.

    Example:
        >>> import os
        >>> print(shown(os.fsdecode(b"caf\xe9")))
        caf\xe9
    """
    return _SURROGATE.sub(_escaped, text)


def _escaped(match):
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
