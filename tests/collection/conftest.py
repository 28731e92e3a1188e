"""Small collections, and what is to be found in them by plain loops."""

import numpy as np

# One pair at a time, query first.
PLAIN = {
    "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
    "euclidean": lambda a, b: np.sqrt(sum((a - b) ** 2)),
    "squared_euclidean": lambda a, b: sum((a - b) ** 2),
    "manhattan": lambda a, b: sum(abs(a - b)),
    "snr": lambda a, b: np.var(a - b) / np.var(a),
}


def rows(count, seed=0, dim=4):
    """Random rows of several lengths and around a point that is not 0, shape [count, dim] float32."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0.5, 1, (count, dim)) * rng.uniform(0.5, 2, (count, 1))).astype("float32")


def distances(one, other, distance):
    """Every distance in float64, query first: shape [num_one, num_other]."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return np.array([[PLAIN[distance](a, b) for b in other] for a in one])


def between(values, share):
    """A threshold at a quantile of some distances, far enough from each of them for any rounding."""
    ordered = np.unique(values)
    at = int(share * (len(ordered) - 2))
    widest = at + np.argmax(np.diff(ordered[at : at + 5]))
    return float(ordered[widest : widest + 2].mean())
