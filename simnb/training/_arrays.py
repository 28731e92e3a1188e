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
    return [float(np.abs(np.ravel(a).astype(np.float32)) @ _ramp(np.size(a))) for a in arrays]


def same_sums(one, other):
    """Whether sums are of arrays that differ by rounding alone."""
    return len(one) == len(other) and np.allclose(one, other, rtol=1e-4, atol=1e-6)


def list_in(arrays, prefix, like):
    """The arrays ``prefix0``, ``prefix1``, ... of a dict, of the shapes of ``like``, or [] if there are none.

    Raises:
        ValueError: If some are missing, too many or of other shapes.
    """
    found = [name for name in arrays if name.startswith(prefix)]
    wanted = {f"{prefix}{i}": tuple(np.shape(one)) for i, one in enumerate(like)}
    if not found:
        return []
    for name in sorted(wanted.keys() | set(found)):
        if name not in arrays or name not in wanted or arrays[name].shape != wanted[name]:
            got = arrays[name].shape if name in arrays else "nothing"
            expected = f"have shape {wanted[name]}" if name in wanted else "not be there"
            raise ValueError(f"{name} must {expected}, got {got}")
    return [arrays[name] for name in wanted]


def _ramp(size):
    # An array whose values have changed places has another sum.
    return 1 + np.arange(size, dtype=np.float32) / max(size, 1)
