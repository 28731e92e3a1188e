import pytest

from simnb.index import open_index


def test_open_index_names_what_it_does_not_know():
    for uri in ("here.npz", "", None, 3):
        with pytest.raises(ValueError, match='uri must be "memory:"'):
            open_index(uri)
    for option, message in (
        ({"distance": "l2"}, "distance must be one of"),
        ({"search": "ivf"}, "search must be one of exact, hnsw; got 'ivf'"),
        ({"recall": 1.5}, "recall must be a number above 0 and at most 1, got 1.5"),
        ({"class_names": "cat"}, "class_names must be a list of different strings, got 'cat'"),
        ({"class_names": [1, 2]}, "class_names must be different strings"),
    ):
        with pytest.raises(ValueError, match=message):
            open_index(**option)
