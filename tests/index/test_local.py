import numpy as np

from simnb.index import open_index

from .conftest import vectors


def test_ids_are_the_next_free_ones_and_never_used_again():
    index = open_index()
    assert index.add(vectors(2)).tolist() == [0, 1]
    assert index.add(vectors(1), ids=[10]).tolist() == [10]
    index.remove([10])
    assert index.add(vectors(2)).tolist() == [11, 12]
    assert index.ids.tolist() == [0, 1, 11, 12]


def test_a_small_id_given_later_does_not_set_the_next_ones_back():
    index = open_index()
    index.add(vectors(10), ids=range(100, 110))
    index.add(vectors(1), ids=[1])
    assert index.add(vectors(1)).tolist() == [110]


def test_ids_and_labels_are_copies():
    index = open_index()
    index.add(vectors(3), [1, 2, 3])
    index.ids[:] = 0
    index.labels[:] = 0
    assert (index.ids.tolist(), index.labels.tolist()) == ([0, 1, 2], [1, 2, 3])


def test_one_id_may_be_given_as_a_number():
    index = open_index()
    index.add(np.eye(3))
    assert index.get(2).ids.tolist() == [2]


def test_adding_after_a_search_is_seen_by_the_next():
    index = open_index()
    index.add([[1.0, 0.0]])
    index.search([[0.0, 1.0]], k=1)
    index.add([[0.0, 1.0]])
    assert index.search([[0.0, 1.0]], k=1).ids.tolist() == [[1]]
