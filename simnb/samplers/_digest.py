"""What tells images, labels and an augmentation from others: short texts that a checkpoint can hold."""

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import textwrap
import types

import numpy as np

from simnb._keras import keras

#: Images that are read: enough to notice another data set, few enough for files on a slow disk.
_SAMPLE = 4
_SCALAR = (bool, int, float, str, type(None))
# Keras numbers layers through the life of a process, and the sampler seeds them itself.
_NOT_TELLING = ("name", "seed")


def of_array(values):
    """Digest of an array: of its values, shape and dtype."""
    array = np.ascontiguousarray(values)
    return _digest(f"{array.dtype} {array.shape}".encode(), array.data.cast("B") if array.size else b"")


def of_images(images):
    """Shape and dtype of the images, and the digest of a few of them, as a dict; only those are read."""
    if not len(images):
        return {}
    some = np.asarray(images[np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(np.int64))])
    told = {"image shape": list(some.shape[1:]), "image dtype": str(some.dtype)}
    return told if some.dtype.kind == "O" else {**told, "images": of_array(some)}


def of_augment(augment):
    """Digest of how an augment is configured; None for None.

    Of functions it is their source, and the numbers and texts that they use from outside; of other objects
    the numbers and texts among their public attributes. Of what cannot be looked into, only the name counts.
    """
    return None if augment is None else _digest(json.dumps(_described(augment), sort_keys=True).encode())


def _digest(*parts):
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _described(value):
    """A value in lists, dicts, numbers and texts."""
    if isinstance(value, _SCALAR):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return of_array(value)
    if isinstance(value, list | tuple):
        return [_described(one) for one in value]
    if isinstance(value, dict):
        return {str(k): _described(one) for k, one in value.items() if k not in _NOT_TELLING}
    if isinstance(value, keras.layers.Layer):
        return [type(value).__name__, _described(value.get_config())]
    if isinstance(value, functools.partial):
        return [_described(value.func), _described(value.args), _described(value.keywords)]
    if isinstance(value, types.MethodType):
        return [_described(value.__func__), _described(value.__self__)]
    if isinstance(value, types.FunctionType):
        used = inspect.getclosurevars(value)
        return [value.__qualname__, _source(value), _scalars(used.nonlocals), _scalars(used.globals)]
    name = type(value).__qualname__
    if dataclasses.is_dataclass(value):
        return [name, {f.name: _described(getattr(value, f.name)) for f in dataclasses.fields(value)}]
    return [name, _scalars(getattr(value, "__dict__", {}))]


def _scalars(names):
    """Those that do not change by being used, as lists and generators do."""
    return {k: v for k, v in names.items() if isinstance(v, _SCALAR) and not k.startswith("_")}


def _source(function):
    """The code of a function without its comments and layout; None where it cannot be had."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # there is no file, or a lambda begins in the middle of a statement
        return None
    if str(function.__module__).startswith("simnb."):  # had no types when the first checkpoints were written
        tree = _Untyped().visit(tree)
    if function.__name__ != "<lambda>":
        return ast.unparse(tree)
    # What stands around a lambda is not part of it.
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return found[0] if len(found) == 1 else None


class _Untyped(ast.NodeTransformer):
    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node
