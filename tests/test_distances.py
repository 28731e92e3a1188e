import math

import keras
import numpy as np
import pytest

from simnb.distances import DISTANCES, paired, pairwise


def by_hand(a, b, distance):
    """Each distance once more, for one pair of vectors, in plain Python floats."""
    a, b = [float(x) for x in a], [float(x) for x in b]
    pairs = list(zip(a, b, strict=True))
    product = sum(x * y for x, y in pairs)
    squared = sum((x - y) ** 2 for x, y in pairs)
    if distance == "cosine":
        return 1 - product / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))
    if distance == "snr":
        noise = [x - y for x, y in pairs]

        def variance(v):
            return sum((x - sum(v) / len(v)) ** 2 for x in v) / len(v)

        return variance(noise) / variance(a)
    return {
        "euclidean": math.sqrt(squared),
        "squared_euclidean": squared,
        "manhattan": sum(abs(x - y) for x, y in pairs),
        "inner_product": -product,
    }[distance]


def two_sets(seed=0, offset=0.5):
    rng = np.random.default_rng(seed)
    return rng.normal(offset, 1, (7, 5)).astype("float32"), rng.normal(0, 2, (4, 5)).astype("float32")


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_distance_is_its_formula(distance):
    a, b = two_sets()
    expected = [[by_hand(x, y, distance) for y in b] for x in a]
    np.testing.assert_allclose(pairwise(a, b, distance), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_row_by_row_is_the_formula_too(distance):
    a, b = two_sets()
    expected = [by_hand(x, y, distance) for x, y in zip(a, b, strict=False)]
    found = paired(a[: len(b)], b, distance)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert paired(a[:0], b[:0], distance).shape == (0,)


@pytest.mark.parametrize("distance", sorted(set(DISTANCES) - {"inner_product"}))
def test_equal_rows_are_at_0_wherever_they_lie(distance):
    a, _ = two_sets(offset=1000)
    np.testing.assert_array_equal(paired(a, a.copy(), distance), np.zeros(len(a)))


def zero_rows():
    a, b = two_sets(2)
    a[3], b[0] = 0, 0
    return a, b


# No two points coincide: there what is left of Euclidean distances is rounding, about 1e-3 in both.
SETS = {
    "asymmetric": two_sets(1),
    "wide": np.split(np.random.default_rng(3).normal(size=(13, 128)).astype("float32"), [9]),
    "far from zero": tuple(x + np.float32(1000) for x in two_sets(1)),
    "zero rows": zero_rows(),
    "one row": (two_sets(4)[0][:1], two_sets(4)[1]),
}


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", SETS)
def test_keras_and_numpy_agree(distance, name):
    a, b = SETS[name]
    in_keras = pairwise(
        keras.ops.convert_to_tensor(a), keras.ops.convert_to_tensor(b), distance, ops=keras.ops
    )
    assert keras.backend.standardize_dtype(in_keras.dtype) == "float32"
    in_numpy = pairwise(a, b, distance)
    assert in_numpy.dtype == np.float32
    assert np.isfinite(in_numpy).all()
    np.testing.assert_allclose(keras.ops.convert_to_numpy(in_keras), in_numpy, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_distance_is_its_formula_in_keras_too(distance):
    a, b = two_sets()
    in_keras = pairwise(
        keras.ops.convert_to_tensor(a), keras.ops.convert_to_tensor(b), distance, ops=keras.ops
    )
    expected = [[by_hand(x, y, distance) for y in b] for x in a]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(in_keras), expected, rtol=1e-5, atol=1e-5)


def test_snr_is_not_symmetric():
    a, b = two_sets()
    assert not np.allclose(pairwise(a, b, "snr"), pairwise(b, a, "snr").T, rtol=0.1)


# Values that TensorFlow Similarity's public tests expect, restated.
def test_values_of_the_field_hold():
    cosine = pairwise([[0.1, 0.3, 0.2]], [[0.0, 0.1, 0.5]], "cosine")
    np.testing.assert_allclose(cosine, [[0.31861484]], atol=1e-6)
    euclidean = pairwise([[0, 1], [0, 1], [1, 1]], [[2, 1], [1, 1]], "euclidean")
    np.testing.assert_allclose(euclidean, [[2, 1], [2, 1], [1, 0]], atol=1e-6)
    manhattan = pairwise([[0, 0], [0, 1], [1, 1], [3, 0]], [[0, 1], [1, 1], [3, 0]], "manhattan")
    np.testing.assert_allclose(manhattan, [[1, 2, 3], [0, 1, 4], [1, 0, 3], [4, 3, 0]])


def test_euclidean_distance_survives_data_far_from_zero():
    a, b = two_sets()
    near, far = pairwise(a, b, "euclidean"), pairwise(a + 1000, b + 1000, "euclidean")
    np.testing.assert_allclose(far, near, rtol=1e-3)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "squared_euclidean", "manhattan"])
def test_the_distance_to_itself_is_zero_and_never_negative(distance):
    a, _ = two_sets()
    distances = pairwise(a, a, distance)
    assert distances.min() >= 0
    np.testing.assert_allclose(np.diag(distances), 0, atol=2e-3 if distance == "euclidean" else 1e-5)


def test_an_empty_side_gives_an_empty_matrix():
    assert pairwise(np.zeros((0, 3)), np.ones((2, 3))).shape == (0, 2)


def test_rows_that_are_no_pairs_are_named():
    a, b = two_sets()
    with pytest.raises(ValueError, match="a and b must have the same length, got 7 and 4"):
        paired(a, b)
    with pytest.raises(ValueError, match="a and b must have the same dim, got 5 and 3"):
        paired(a[:4], b[:, :3])
    with pytest.raises(ValueError, match="distance must be one of"):
        paired(a, a, "hamming")


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"distance must be one of cosine, .*; got 'cos'"):
        pairwise(np.eye(2), np.eye(2), "cos")
    with pytest.raises(ValueError, match=r"a and b must have the same dim, got 2 and 3"):
        pairwise(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match=r"a must have shape \[num_examples, dim\], got \(2,\); for one"):
        pairwise(np.ones(2), np.eye(2))
    with pytest.raises(ValueError, match=r"b must be finite, got NaN.* in 1 of 2 rows, first in row 1"):
        pairwise(np.eye(2), [[0, 1], [np.nan, 0]])


@pytest.mark.parametrize("scale", [1e-20, 1e-13, 1e17])
def test_cosine_does_not_depend_on_length(scale):
    a, b = two_sets()
    np.testing.assert_allclose(pairwise(a * scale, b, "cosine"), pairwise(a, b, "cosine"), atol=1e-6)


def test_zero_rows_stay_finite():
    assert pairwise(np.zeros((1, 3)), np.eye(3), "cosine").tolist() == [[1.0, 1.0, 1.0]]
    assert np.isfinite(pairwise(np.zeros((1, 3)), np.eye(3), "snr")).all()


# Values at both ends of float32, whose squares do not fit it: how large, and how many dimensions.
ENDS = {"1e-20": (1e-20, 5), "1e-30": (1e-30, 5), "subnormal": (1e-43, 5), "1e17": (1e17, 4096)}


def two_sets_at(end, seed=5):
    size, dim = ENDS[end]
    rng = np.random.default_rng(seed)
    return (size * rng.uniform(-1, 1, (count, dim)).astype("float32") for count in (6, 4))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("end", ENDS)
def test_distances_at_the_ends_of_float32_are_their_formula(distance, end):
    a, b = two_sets_at(end)
    expected = np.array([[by_hand(x, y, distance) for y in b] for x in a])
    # A product may be far smaller than its parts; and the smallest number of float32 is 1.4e-45.
    rounding = 3e-7 * np.abs(expected).max() + 1.5e-45
    np.testing.assert_allclose(pairwise(a, b, distance), expected, rtol=1e-5, atol=rounding)
    found = paired(a[:4], b, distance)
    assert found.dtype == pairwise(a, b, distance).dtype == np.float32
    np.testing.assert_allclose(found, np.diag(expected), rtol=1e-5, atol=rounding)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "inner_product", "snr"])
def test_small_rows_keep_their_digits_among_others(distance):
    a, b = two_sets()
    a[:2] *= np.float32(1e-25)
    b[:2] *= np.float32(1e-25)
    if distance == "snr":
        b[2:] *= np.float32(1e-15)  # else what the power of the small rows divides does not fit float32
    expected = [[by_hand(x, y, distance) for y in b] for x in a]
    found = paired(a[:4], b, distance)
    np.testing.assert_allclose(found, np.diag(expected), rtol=1e-5, atol=1.5e-45)
    np.testing.assert_allclose(pairwise(a, b, distance), expected, rtol=1e-4, atol=1e-6)
    one, other = np.float32([[1, 1e-25]]), np.float32([[1, 3e-25]])  # alike but for what is small
    np.testing.assert_allclose(paired(one, other, "euclidean"), [2e-25], rtol=1e-6)


@pytest.mark.parametrize("distance", ["squared_euclidean", "inner_product"])
def test_distances_that_float32_cannot_hold_are_refused(distance):
    a = np.full((2, 4096), 9e17, "float32")
    b = a if distance == "inner_product" else -a
    message = rf"{distance} distances must fit float32, 3.4e\+38 at most, got .*values from 1e-15 to 1e15"
    for measure in (pairwise, paired):
        with pytest.raises(ValueError, match=message):
            measure(a, b, distance)
    np.testing.assert_allclose(paired(a, -a, "euclidean"), 2 * 9e17 * 64, rtol=1e-6)


def test_rows_that_do_not_vary_stay_finite_under_snr():
    a = np.float32([[0, 0, 0], [0.1, 0.1, 0.1], [5, 5, 5], [1e-7, 2e-7, 4e-7]])
    b = np.float32([[1, 2, 4]])
    for found in (pairwise(a, b, "snr")[:, 0], paired(a, np.repeat(b, 4, axis=0), "snr")):
        assert np.isfinite(found).all()
        assert (found[:3] > 1e11).all()
        np.testing.assert_allclose(found[3], by_hand(a[3], b[0], "snr"), rtol=1e-5)
