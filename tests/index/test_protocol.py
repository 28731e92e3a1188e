import numpy as np
import pytest

from simnb.index import Neighbors


def test_neighbors_check_their_shapes_and_refuse_nan():
    ids = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=r"distances must have shape \[num_queries, k\], got \(3,\)"):
        Neighbors(np.zeros(3), ids, ids)
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(2, 3\) like distances"):
        Neighbors(np.zeros((2, 3)), ids, ids[:1])
    with pytest.raises(ValueError, match="distances must not be NaN, got 6 of them"):
        Neighbors(np.full((2, 3), np.nan), ids, ids)


def test_neighbors_can_be_cut_by_query():
    neighbors = Neighbors(
        np.arange(6.0).reshape(3, 2), np.arange(6).reshape(3, 2), np.zeros((3, 2), int), "snr"
    )
    assert neighbors[1].ids.tolist() == [[2, 3]]
    assert neighbors[1:].ids.tolist() == [[2, 3], [4, 5]]
    part = neighbors[np.array([True, False, True])]
    assert (len(part), part.k, part.distance) == (2, 2, "snr")
