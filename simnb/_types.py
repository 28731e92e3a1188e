"""Names for what public functions take and give, where NumPy and Python have none."""

import os
from typing import Any, Final, TypeAlias

#: An array, or a tensor of the backend that Keras uses. Keras has no types of its own to check against.
Tensor: TypeAlias = Any
#: A Keras model, layer, loss, optimizer or callback, for the same reason.
KerasObject: TypeAlias = Any
#: The path of a file or folder.
AnyPath: TypeAlias = str | os.PathLike[str]
#: Label of what belongs to no known class, of what has no label, and of a neighbor that does not exist.
UNKNOWN: Final = -1
