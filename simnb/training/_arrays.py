"""What checkpoints and guards share: the arrays of variables, and whether they are sound."""

import numpy as np

from simnb._keras import keras


def array_of(variable):
    """The values of a variable in NumPy, as a file can hold them."""
    array = np.asarray(keras.ops.convert_to_numpy(variable))
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def all_finite(arrays):
    """Whether no array holds NaN or infinity."""
    with np.errstate(invalid="ignore", over="ignore"):
        # One pass, and nothing as large as the array is made.
        return all(np.isfinite(np.sum(array, dtype=np.float64)) for array in arrays)


def sums(arrays):
    """A number for each array that tells it from others, though not from one that differs by rounding.

    Signs do not count: the principal components that ``whiten`` sets have one or the other by chance.
    """
    flat = (np.abs(np.ravel(array).astype(np.float32)) for array in arrays)
    # Weighted, so that an array whose values have changed places has another sum.
    return [float(one @ (1 + np.arange(one.size, dtype=np.float32) / max(one.size, 1))) for one in flat]


def same_sums(one, other):
    """Whether sums are of arrays that differ by rounding alone."""
    return len(one) == len(other) and np.allclose(one, other, rtol=1e-4, atol=1e-6)


def list_in(arrays, prefix, like):
    """The arrays ``prefix0``, ``prefix1``, ... of a dict, or [] if there are none.

    Raises:
        ValueError: If there are not as many as in ``like``, and of the same shapes.
    """
    found = {name: array.shape for name, array in arrays.items() if name.startswith(prefix)}
    if not found:
        return []
    wanted = {f"{prefix}{i}": tuple(np.shape(one)) for i, one in enumerate(like)}
    for name in sorted(wanted | found):
        if wanted.get(name) != found.get(name):
            expected = f"have shape {wanted[name]}" if name in wanted else "not be there"
            raise ValueError(f"{name} must {expected}, got {found.get(name, 'nothing')}")
    return [arrays[name] for name in wanted]
