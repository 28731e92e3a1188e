import numpy as np
import pytest

from simnb.collection import leaks
from simnb.index import open_index

from .conftest import PLAIN, between, distances, rows


def finds(found):
    """(part, id, other part, id there) of each find."""
    columns = (found.part, found.ids, found.other, found.other_ids)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("distance", PLAIN)
@pytest.mark.parametrize("share", [0.0, 0.05, 0.6])
def test_each_image_leaks_from_the_nearest_image_of_each_earlier_part(distance, share):
    parts = {name: rows(count, seed) for seed, (name, count) in enumerate([("a", 30), ("b", 1), ("c", 25)])}
    parts["c"][4] = parts["a"][9]
    every = {
        (later, earlier): distances(parts[later], parts[earlier], distance)
        for later, earlier in (("b", "a"), ("c", "a"), ("c", "b"))
    }
    threshold = between(np.concatenate([block.ravel() for block in every.values()])[1:], share)
    expected = [
        (later, i, earlier, int(own.argmin()), own.min())
        for (later, earlier), block in every.items()
        for i, own in enumerate(block)
        if own.min() <= threshold
    ]
    found = leaks(parts, threshold, distance=distance)
    assert finds(found) == [find[:4] for find in expected]
    np.testing.assert_allclose(found.distances, [find[4] for find in expected], rtol=1e-4, atol=2e-6)
    assert (found.distance, found.threshold, found.sizes) == (distance, threshold, {"a": 30, "b": 1, "c": 25})


def test_an_index_gives_its_ids_and_its_distance(tmp_path):
    train, query = rows(40, 0), rows(20, 1)
    query[3] = train[8]
    with open_index(tmp_path / "train.sqlite", distance="euclidean") as index:
        index.add(train, ids=np.arange(40) + 100)
        found = leaks({"train": index, "query": query})
        assert finds(found) == [("query", 3, "train", 108)]
        assert found.distance == "euclidean"
        with pytest.raises(ValueError, match="compared by one distance, got 'cosine', 'euclidean'"):
            leaks({"train": index, "query": query}, distance="cosine")


def test_what_an_image_can_leak_from_is_what_comes_before_it():
    found = leaks({"a": rows(100), "b": rows(60, seed=1), "c": rows(40, seed=2)})
    expected = np.repeat([0, 100 / 199, 160 / 199], [100, 60, 40])  # of the 199 others of an image
    np.testing.assert_allclose(found.chance.weights, expected)


def test_as_many_leaks_are_by_chance_as_it_says():
    found = []
    for seed in range(20):
        angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (500, 4))
        images = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        parts = {"train": images[:300], "gallery": images[300:400], "query": images[400:]}
        result = leaks(parts, chance_pairs=5)
        assert result.chance_pairs == pytest.approx(5)
        found.append(len(result))
    assert 5 / 3.5 < np.mean(found) < 5.5


def test_parts_may_be_small_or_empty():
    index = open_index()
    none = leaks({"train": index, "query": np.empty((0, 4), "float32"), "more": rows(3)})
    assert (len(none), none.threshold, none.chance) == (0, 0.0, None)
    assert "n/a" in repr(none)
    copies = leaks({"train": rows(3), "query": rows(3)[1:]})
    assert finds(copies) == [("query", 0, "train", 1), ("query", 1, "train", 2)]
    assert np.isnan(leaks({"a": rows(3), "b": rows(3)}, 0.1).chance_pairs)


def test_the_table_has_a_row_for_every_two_parts():
    train = rows(60)
    found = leaks(
        {"train": train, "<i>": rows(40, 1), "query": np.concatenate([rows(9, 2), train[5:6]])}, 1e-5
    )
    lines = repr(found).splitlines()
    assert lines[0].startswith(
        "1 leak within cosine distance 1e-05; pairs of different images expected there"
    )
    assert [line.split()[:5] for line in lines[2:]] == [
        ["<i>", "train", "0", "40", "0.00%"],
        ["query", "train", "1", "10", "10.00%"],
        ["query", "<i>", "0", "10", "0.00%"],
    ]
    assert lines[3].endswith(" 9")
    assert "<i>" not in found._repr_html_()


def test_what_is_malformed_is_named():
    for parts, message in (
        ({"train": rows(3)}, "two parts or more by name, got 1 of them"),
        ([rows(3), rows(3)], "two parts or more by name, got list"),
        ({1: rows(3), "b": rows(3)}, "names of parts must be strings, got 1, 'b'"),
        ({"a": rows(3), "b": rows(3, dim=5)}, r"one model and one dim, got \{'a': 4, 'b': 5\}"),
        ({"a": rows(3), "b": np.full((3, 4), np.nan)}, r"parts\['b'\] must be finite"),
        ({"a": rows(3), "b": np.zeros((3, 4))}, r"parts\['b'\] must not be all zero"),
    ):
        with pytest.raises(ValueError, match=message):
            leaks(parts)
    both = {"a": rows(3), "b": rows(3)}
    with pytest.raises(ValueError, match="0 between equal images, got 'inner_product'"):
        leaks(both, distance="inner_product")
    with pytest.raises(ValueError, match="distance must be one of"):
        leaks(both, distance="hamming")
    with pytest.raises(ValueError, match="threshold must be a number of at least 0"):
        leaks(both, -0.5)
