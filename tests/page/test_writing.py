import numpy as np
import pytest

from simnb.collection import leaks, mislabelled, near_duplicates
from simnb.data import Examples, LazyImages, from_arrays
from simnb.distances import pairwise
from simnb.index import open_index
from simnb.page import write_page, writing

from .conftest import Page, collection, unlabelled

HOSTILE = "</script><script>document.title = 'run'</script><img src=x onerror=alert(1)>"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "page.html"


def index_of(examples, embeddings, rows=slice(None), **options):
    index = open_index(**options)
    index.add(embeddings[rows], examples.labels[rows], ids=examples.ids[rows])
    return index


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product", "snr"])
def test_neighbors_are_those_that_an_index_finds_without_the_image_itself(path, distance):
    examples, embeddings = collection()
    page = Page(write_page(path, examples, embeddings, distance=distance))
    found = page.array("_neighbors", np.int32).reshape(40, 20)
    far = page.array("_neighbor_distances", np.float32).reshape(40, 20)
    index = open_index(distance=distance)
    index.add(embeddings)
    by_index = index.search(embeddings, k=21).without(np.arange(40))
    np.testing.assert_array_equal(found, by_index.ids)
    np.testing.assert_array_equal(far, by_index.distances)
    for i, row in enumerate(pairwise(embeddings, embeddings, distance)):
        others = [j for j in np.argsort(row, kind="stable") if j != i]
        assert found[i].tolist() == others[:20]
        np.testing.assert_allclose(far[i], row[others[:20]], rtol=1e-4, atol=1e-5)


def test_a_mistake_is_a_nearest_neighbor_of_another_class(path):
    examples, embeddings = collection()
    page = Page(write_page(path, examples, embeddings))
    nearest = page.array("_neighbors", np.int32).reshape(40, 20)[:, 0]
    right = page.array("_verdicts", np.uint8)
    assert right.tolist() == (examples.labels[nearest] == examples.labels).astype(int).tolist()
    assert set(right) == {0, 1}


def test_text_of_others_cannot_become_part_of_the_page(path):
    examples, embeddings = collection()
    plain = Page(write_page(path, examples, embeddings))
    names = (HOSTILE, "犬 собака", "caf\udce9\x00")
    hostile = Examples(examples.images, examples.labels, names, examples.ids)
    details, facts = [f"{HOSTILE} {i}" for i in range(40)], [(HOSTILE, f"{HOSTILE} & 猫")]
    page = Page(write_page(path, hostile, embeddings, names=details, facts=facts, title=HOSTILE))
    assert page.tags == plain.tags
    assert page.texts["title"] == [HOSTILE]
    assert page.texts["script"][1] == plain.texts["script"][1]
    assert [one["name"] for one in page.state["_classes"]] == [HOSTILE, "犬 собака", "caf\\xe9\\x00"]
    assert page.state["_details"] == details
    assert page.state["facts"] == [list(facts[0])]


def test_a_page_names_nothing_outside_of_it(path):
    page = Page(write_page(path, *collection()))
    assert page.tags.count("script") == 2
    assert not set(page.tags) & {"link", "img", "iframe", "base", "object"}
    assert "default-src 'none'" in page.text
    assert "http:" not in page.text
    assert "https:" not in page.text
    assert str(writing.__file__).rpartition("/")[0] not in page.text  # nor where it was made


def test_what_was_found_is_told_by_positions(path):
    examples, embeddings = collection()
    embeddings[7], embeddings[30] = embeddings[2], embeddings[9] * 1.00001
    index = index_of(examples, embeddings)
    parts = {
        "train": index_of(examples, embeddings, slice(0, 20)),
        "test": index_of(examples, embeddings, slice(20, None)),
    }
    candidates = mislabelled(index, k=3)
    page = Page(
        write_page(
            path,
            examples,
            embeddings,
            duplicates=near_duplicates(index, threshold=1e-5),
            leaks=leaks(parts, threshold=1e-5),
            mislabelled=candidates,
        )
    )
    found = page.state["found"]
    assert sorted(sorted(image for image, _ in group) for group in found["duplicates"]["groups"]) == [
        [2, 7],
        [9, 30],
    ]
    ((image, part, other, earlier, near),) = found["leaks"]["finds"]
    assert (image, part, other, earlier) == (30, "test", 9, "train")
    assert near < 1e-5
    names = examples.class_names
    assert found["mislabelled"]["candidates"] == [
        [int(np.flatnonzero(examples.ids == i)[0]), names[label], *votes]
        for i, label, votes in zip(
            candidates.ids, candidates.suggested, candidates.votes.tolist(), strict=True
        )
    ]
    assert len(candidates) > 1


def test_nothing_found_is_an_empty_list_and_nothing_looked_for_is_none(path):
    examples, embeddings = collection()
    index = index_of(examples, embeddings)
    duplicates = near_duplicates(index, threshold=0)
    page = Page(write_page(path, examples, embeddings, duplicates=duplicates))
    assert page.state["found"] == {
        "duplicates": {"sentence": page.state["found"]["duplicates"]["sentence"], "groups": []}
    }
    assert "At most 0 apart by cosine distance" in page.state["found"]["duplicates"]["sentence"]


def test_images_without_labels_have_neighbors_but_no_classes_and_no_mistakes(path):
    examples, embeddings = collection()
    page = Page(write_page(path, unlabelled(examples), embeddings))
    assert [one["unknown"] for one in page.state["_classes"]] == [True]
    assert set(page.array("_verdicts", np.uint8)) == {2}
    assert page.state["color"] == "distance"
    assert (page.array("_neighbors", np.int32) >= 0).all()


def test_an_image_beside_one_without_a_label_is_no_mistake(path):
    examples, _ = collection(4, classes=2)
    some = Examples(examples.images, [0, 0, 1, -1], examples.class_names, examples.ids)
    embeddings = [[0.0], [2.1], [9.0], [3.0]]  # the nearest of the second has no label
    page = Page(write_page(path, some, embeddings, distance="euclidean"))
    assert page.array("_verdicts", np.uint8).tolist() == [1, 2, 2, 2]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images_have_as_many_neighbors_as_there_are(path, count):
    examples, embeddings = collection(count, classes=1)
    page = Page(write_page(path, examples, embeddings))
    found = page.array("_neighbors", np.int32).reshape(count, -1)
    expected = [[j for j in range(count) if j != i] or [-1] for i in range(count)]
    assert np.sort(found, axis=1).tolist() == expected


@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (5, 30, 70, 4), (5, 300, 200, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_every_kind_are_shown(path, shape, dtype):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    page = Page(write_page(path, from_arrays(images, np.zeros(5, int)), np.eye(5)))
    assert page.state["_sprite"]["size"] == {8: 32, 30: 64, 300: 256}[shape[1]]
    assert len(page.state["_sheets"]) == 1


BAD = {
    "nan": ({"embeddings": np.full((40, 6), np.nan)}, "embeddings must be finite, got NaN"),
    "zero": ({"embeddings": np.zeros((40, 6))}, "must not be all zero"),
    "length": ({"embeddings": np.ones((39, 6))}, "embeddings and examples must have the same length, got 39"),
    "distance": ({"distance": "far"}, "distance must be one of"),
    "names": ({"names": ["a"]}, "names and examples must have the same length, got 1 and 40"),
    "facts": ({"facts": ["one"]}, "facts must be pairs of a label and a sentence, got 'one'"),
    "numbers": ({"facts": [("R@1", 0.5)]}, r"facts must be pairs .* got \('R@1', 0.5\)"),
    "examples": ({"examples": np.zeros((40, 8, 8, 3))}, "examples must be Examples.* got ndarray"),
    "none": ({"examples": collection()[0][:0]}, "examples must hold at least one example"),
    "calibration": ({"calibration": 0.3}, "calibration must be a Calibration or None, got float"),
    "duplicates": ({"duplicates": [[1, 2]]}, "duplicates must be NearDuplicates or None, got list"),
    "channels": (
        {"examples": from_arrays(np.zeros((40, 8, 8, 2)), np.zeros(40, int))},
        "images must have 1, 3 or 4 channels, got 2",
    ),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(path, options, message):
    examples, embeddings = collection()
    given = {"examples": examples, "embeddings": embeddings} | options
    with pytest.raises(ValueError, match=message):
        write_page(path, **given)
    assert not path.parent.exists()


def test_more_images_than_a_page_holds_are_refused(path, monkeypatch):
    monkeypatch.setattr(writing, "MOST_IMAGES", 39)
    with pytest.raises(ValueError, match="a page holds 39 images at most, got 40; choose some"):
        write_page(path, *collection())


def test_what_was_found_elsewhere_is_refused(path):
    examples, embeddings = collection()
    embeddings[30] = embeddings[9]
    elsewhere = open_index()
    elsewhere.add(embeddings, examples.labels)  # by its own ids
    with pytest.raises(ValueError, match=r"duplicates must be found among these examples.* got id \d"):
        write_page(path, examples, embeddings, duplicates=near_duplicates(elsewhere, threshold=1e-5))
    with pytest.raises(ValueError, match="mislabelled must be found among these examples"):
        write_page(path, examples, embeddings, mislabelled=mislabelled(elsewhere, k=3))
    first = Examples(examples.images, examples.labels, examples.class_names, np.arange(40))
    of_arrays = leaks({"train": embeddings[:20], "test": embeddings[20:]}, threshold=1e-5)
    assert len(of_arrays) == 1
    with pytest.raises(ValueError, match="leaks must name these examples by their ids"):
        write_page(path, first, embeddings, leaks=of_arrays)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="path must be that of a file to write"):
        write_page(tmp_path, *collection())


def test_breaking_off_leaves_the_page_that_was_there(path):
    examples, embeddings = collection()
    write_page(path, examples, embeddings)
    before = path.read_bytes()

    def read(rows):
        raise KeyboardInterrupt

    images = LazyImages(read, 40, (8, 8, 3))
    lazy = Examples(images, examples.labels, examples.class_names, examples.ids)
    with pytest.raises(KeyboardInterrupt):
        write_page(path, lazy, embeddings, title="another")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_5000_images_are_within_10_megabytes(path):
    # Noise, of which no JPEG makes little.
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (256, 48, 48, 3), dtype=np.uint8)
    images = LazyImages(lambda rows: noise[rows % 256], 5000, (48, 48, 3))
    examples = Examples(images, np.arange(5000) % 20, tuple(f"class {i}" for i in range(20)), np.arange(5000))
    names = [f"a/folder/of/some/depth/image-{i:05d}.jpg" for i in range(5000)]
    written = write_page(path, examples, rng.normal(size=(5000, 16)), names=names)
    assert 4e6 < written.stat().st_size < 10e6
