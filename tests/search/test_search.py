import dataclasses

import numpy as np
import pytest

from simnb.calibration import fit_probability
from simnb.data import from_arrays
from simnb.index import UNKNOWN, Reranker, open_index
from simnb.matching import match
from simnb.search import SimilaritySearch

from .conftest import CALIBRATION, GALLERY, QUERY, examples, flat


@pytest.fixture
def search():
    search = SimilaritySearch(flat)
    search.add(GALLERY)
    return search


def test_the_four_verbs_in_a_row(search):
    calibration = search.calibrate(CALIBRATION)
    assert (calibration.num_known, calibration.num_unknown) == (4, 2)
    assert calibration.rates["accuracy"] == 1.0
    assert search.match(QUERY).labels.tolist() == [0, 1, UNKNOWN]
    neighbors = search.lookup(QUERY, k=2)
    assert [set(row) for row in neighbors.ids.tolist()] == [{0, 1}, {2, 3}, {1, 2}]
    assert neighbors.labels[:, 0].tolist() == [0, 1, 0]
    assert repr(search).startswith(
        "SimilaritySearch(MemoryIndex(4 rows, dim=2, distance='cosine'), threshold 0."
    )


def test_examples_bring_what_is_known_of_their_classes():
    known = dataclasses.replace(GALLERY, class_metadata={"legs": [4, 6, 8][: len(GALLERY.class_names)]})
    search = SimilaritySearch(flat)
    search.add(known)
    six = search.index.search(flat(QUERY.images), k=2, where={"legs": 6})
    assert six.labels.tolist() == [[1, 1]] * 3


def test_examples_bring_their_ids_and_arrays_may():
    search = SimilaritySearch(flat)
    assert search.add(CALIBRATION).tolist() == [10, 11, 12, 13, 14, 15]
    assert search.add(QUERY.images, QUERY.labels).tolist() == [16, 17, 18]
    assert search.add(QUERY, ids=[1, 2, 3]).tolist() == [1, 2, 3]
    assert search.index.labels.tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2, 0, 1, 2]


def test_an_index_of_ones_own_is_used():
    index = open_index(distance="euclidean")
    search = SimilaritySearch(flat, index=index)
    search.add(GALLERY)
    assert len(index) == 4
    assert search.lookup(QUERY, k=1).distance == "euclidean"


def test_the_distance_is_that_of_the_index():
    index = open_index(distance="euclidean")
    assert SimilaritySearch(flat, distance="euclidean", index=index).index is index
    assert SimilaritySearch(flat, distance="snr").index.distance == "snr"
    with pytest.raises(ValueError, match="distance must be that of the index, 'euclidean', got 'cosine'"):
        SimilaritySearch(flat, distance="cosine", index=index)


def test_ids_that_the_index_made_up_are_not_taken_for_images():
    search = SimilaritySearch(flat)
    search.add(GALLERY.images, GALLERY.labels)  # ids 0 to 3, whatever the images
    search.calibrate(examples([2, 12, 88, 104], [0, 0, 1, 1], first_id=0))
    assert search.calibration.rates["recall"] == 1.0


def test_match_uses_the_matcher_and_k_that_were_calibrated(search):
    search.add(examples([44], [2], first_id=30))
    search.calibrate(CALIBRATION, k=5, matcher="majority_vote", maximize="coverage")
    # The nearest neighbor of 47 degrees is of class 2, most of its five neighbors are not.
    assert search.match(QUERY, threshold=2.0).labels.tolist()[2] != 2
    search.calibrate(CALIBRATION)
    assert search.match(QUERY, threshold=2.0).labels.tolist()[2] == 2


def test_a_threshold_given_goes_before_the_calibrated_one(search):
    search.calibrate(CALIBRATION)
    assert search.match(QUERY, threshold=2.0).accepted.all()
    assert not search.match(QUERY, threshold=0.0).accepted.any()


def test_what_is_missing_is_named():
    empty = SimilaritySearch(flat)
    with pytest.raises(ValueError, match=r"lookup needs indexed images, but the index is empty: call add"):
        empty.lookup(QUERY)
    with pytest.raises(ValueError, match="calibrate needs indexed images"):
        empty.calibrate(CALIBRATION)
    with pytest.raises(ValueError, match=r"match needs a threshold: call calibrate\(\.\.\.\) first"):
        empty.match(QUERY)
    with pytest.raises(ValueError, match="lookup needs indexed images"):
        empty.match(QUERY, threshold=0.1)
    unlabelled = SimilaritySearch(flat)
    unlabelled.add(GALLERY.images)
    with pytest.raises(ValueError, match="calibrate needs a labelled index"):
        unlabelled.calibrate(CALIBRATION)
    with pytest.raises(ValueError, match="calibrate needs the labels of the images"):
        unlabelled.calibrate(CALIBRATION.images)


def unlabelled(angles, first_id=50, class_names=()):
    """Examples of which none has a label."""
    of_angles = examples(angles, [0] * len(angles), first_id)
    return dataclasses.replace(of_angles, labels=[UNKNOWN] * len(angles), class_names=class_names)


def test_examples_without_labels_are_added_and_looked_up_and_the_rest_asks_for_labels():
    search = SimilaritySearch(flat)
    assert search.add(unlabelled([30, 40, 120])).tolist() == [50, 51, 52]
    neighbors = search.lookup(unlabelled([38], first_id=60), k=3)
    assert neighbors.ids.tolist() == [[51, 50, 52]]
    assert neighbors.names.tolist() == [[None] * 3]
    for verb, ask in {
        "calibrate": lambda: search.calibrate(CALIBRATION),
        "fit_probability": lambda: search.fit_probability(CALIBRATION),
        "match": lambda: search.match(QUERY, threshold=2.0),
    }.items():
        message = f"{verb} needs a labelled index, but it was filled without labels; lookup needs none"
        with pytest.raises(ValueError, match=message):
            ask()
    assert search.add(GALLERY).tolist() == [0, 1, 2, 3]  # no class names were taken that could differ
    assert search.lookup(QUERY, k=1).names.tolist() == [["a"], ["b"], [None]]


def test_an_index_in_which_some_rows_have_labels_is_matched(search):
    search.add(unlabelled([46]))
    matches = search.match(QUERY, threshold=2.0)
    assert matches.names.tolist() == ["a", "b", "Unknown"]
    only_unlabelled = search.match(QUERY[2], threshold=2.0)
    assert only_unlabelled.names.tolist() == ["Unknown"]


def test_calibration_examples_must_all_have_labels(search):
    calibration = search.calibrate(CALIBRATION)
    some = dataclasses.replace(CALIBRATION, labels=[UNKNOWN, *CALIBRATION.labels[1:]])
    for verb in (search.calibrate, search.fit_probability):
        with pytest.raises(
            ValueError, match=rf"{verb.__name__} needs examples with labels, but 1 of 6 have n"
        ):
            verb(some)
        with pytest.raises(
            ValueError, match="needs examples with labels, but none of the 2 has one; a folder"
        ):
            verb(unlabelled([1, 2]))
    assert search.calibration is calibration
    assert search.calibrate(some, some.labels).num_unknown == 3  # whoever gives labels says what they mean


def test_calibrating_on_indexed_images_is_refused_and_the_old_calibration_kept(search):
    calibration = search.calibrate(CALIBRATION)
    with pytest.raises(ValueError, match="calibration images must not be indexed, but 4 of 4 are"):
        search.calibrate(GALLERY)
    with pytest.raises(ValueError, match=r"at least one query of a known class, got none \(2 unknown"):
        search.calibrate(CALIBRATION.only("ç"))
    assert search.calibration is calibration


def test_labels_of_two_sources_must_mean_the_same(search):
    other = from_arrays(QUERY.images, QUERY.labels, class_names=["b", "c", "d"], ids=[50, 51, 52])
    message = (
        "indexed examples must have the same class names, got 'b', 'c', 'd' and 'a', 'b', 'ç'; pass class_"
    )
    for verb in (search.calibrate, search.add):
        with pytest.raises(ValueError, match=message):
            verb(other)
        assert verb(other, other.labels) is not None  # whoever gives labels says what they mean


def test_images_that_are_numbered_alike_are_told_how_to_differ(search):
    message = r"If they are other images .*: from_folder\(..., first_id=...\), from_arrays\(..., ids=...\)"
    with pytest.raises(ValueError, match=message):
        search.calibrate(examples([2, 12, 88, 104], [0, 0, 1, 1], first_id=0))


def test_a_bad_add_leaves_the_index_as_it_was(search):
    with pytest.raises(ValueError, match="ids must be new, but the index already holds id 0"):
        search.add(GALLERY)
    with pytest.raises(ValueError, match="labels and embeddings must have the same length, got 2 and 3"):
        search.add(QUERY.images, [0, 1])
    with pytest.raises(ValueError, match=r"images must have shape .* got \(1, 1, 2\); for one image"):
        search.add(QUERY.images[0], [0])
    assert len(search.index) == 4


def test_cutpoints_are_matched_with_by_name(search):
    targets = {"strict": "false_acceptance <= 0", "all": "coverage >= 1"}
    calibration = search.calibrate(CALIBRATION, maximize="f1", targets=targets)
    assert list(calibration.cutpoints) == ["optimal", "strict", "all"]
    assert calibration.gallery == search.index.fingerprint
    far = examples([0, 90, 20], [0, 1, 0], first_id=30)
    for name in calibration.cutpoints:
        expected = search.match(far, threshold=calibration[name].threshold).labels
        np.testing.assert_array_equal(search.match(far, name).labels, expected)
    with pytest.raises(ValueError, match="match takes a cutpoint or a threshold, got both"):
        search.match(far, "strict", threshold=0.1)
    with pytest.raises(ValueError, match="cutpoint must be one of optimal, strict, all; got 'loose'"):
        search.match(far, "loose")


def test_promises_and_thresholds_by_class_are_asked_for_as_of_calibrate(search):
    calibration = search.calibrate(CALIBRATION, targets={"precision": 0.99}, confidence=0.95)
    assert not calibration.cutpoint.met
    assert "precision >= 0.99 with confidence 0.95 not met" in repr(search)
    with pytest.raises(ValueError, match="cutpoint 'precision' is not met"):
        search.match(QUERY)
    search.calibrate(CALIBRATION, per_class=True, shrinkage=1)
    assert "threshold by class" in repr(search)
    assert search.match(QUERY).labels.tolist() == [0, 1, UNKNOWN]


def test_a_gallery_that_has_changed_since_the_calibration_warns_at_the_users_line(search):
    search.calibrate(CALIBRATION)
    search.match(QUERY)  # warnings are errors
    search.add(examples([180], [1], first_id=40))
    with pytest.warns(RuntimeWarning, match=r"4 rows then, 5 rows now.*calibrate again") as caught:
        search.match(QUERY)
    assert caught[0].filename == __file__


# how probably an answer is right


def test_the_probability_is_that_of_the_matcher_on_fresh_images():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (np.eye(3)[labels] + rng.normal(size=(60, 3)) * 0.4).reshape(60, 3, 1, 1)
    search = SimilaritySearch(lambda x: x.reshape(len(x), -1))
    search.add(images[:30], labels=labels[:30])
    fitted = search.fit_probability(images[30:], labels[30:])
    expected = fit_probability(match(search.lookup(images[30:], k=1)), labels[30:], known_labels=[0, 1, 2])
    assert search.probability is fitted
    assert fitted.to_json() == expected.to_json()
    search.calibrate(images[30:], labels[30:], k=5, matcher="majority_vote")
    assert search.fit_probability(images[30:], labels[30:], method="platt").matcher == "majority_vote"
    with pytest.raises(ValueError, match="fit_probability needs the labels of the images, got none"):
        search.fit_probability(images[30:])
    with pytest.raises(ValueError, match="fit_probability needs indexed images"):
        SimilaritySearch(lambda x: x).fit_probability(images, labels)


def test_answers_have_the_names_of_the_examples_that_were_indexed(search):
    search.calibrate(CALIBRATION)
    assert search.match(QUERY).names.tolist() == ["a", "b", "Unknown"]
    assert search.lookup(QUERY, k=2).names.tolist() == [["a", "a"], ["b", "b"], ["a", "b"]]
    search.add(QUERY.images[2:], labels=[3])
    with pytest.raises(ValueError, match="label 3 has no name: there are 3 class names"):
        search.match(QUERY.images, threshold=1.0).names  # noqa: B018


def test_lookup_can_rerank_and_match_does_not():
    directions = np.random.default_rng(0).uniform(0, 360, 60)
    search = SimilaritySearch(flat)
    search.add(examples(directions[:50], np.arange(50) % 3))
    queries = examples(directions[50:], np.arange(10) % 3, first_id=100)
    search.calibrate(queries)
    plain, reranked = search.lookup(queries, k=50), search.lookup(queries, k=50, rerank=True)
    expected = Reranker(search.index).search(flat(queries.images), k=50)
    np.testing.assert_array_equal(reranked.ids, expected.ids)
    np.testing.assert_array_equal(reranked.distances, expected.distances)
    assert (plain.distance, reranked.distance) == ("cosine", "reranked cosine")
    assert (plain.ids != reranked.ids).any()
    assert reranked.names.tolist() == np.array(["a", "b", "ç"])[reranked.labels].tolist()
    nearest = search.index.search(flat(queries.images), k=1)
    np.testing.assert_array_equal(search.match(queries, threshold=2.0).labels, nearest.labels[:, 0])
    with pytest.raises(ValueError, match="by cosine distance as calibrated, got reranked cosine"):
        search.calibration.match(reranked)


def test_lookup_reranks_the_rows_there_are(monkeypatch):
    made = []
    monkeypatch.setattr("simnb.search.Reranker", lambda index: made.append(index) or Reranker(index))
    search = SimilaritySearch(flat)
    with pytest.raises(ValueError, match="lookup needs indexed images"):
        search.lookup(QUERY, rerank=True)
    search.add(GALLERY)
    for _ in range(2):
        assert set(search.lookup(QUERY, rerank=True).ids.ravel().tolist()) == {-1, 0, 1, 2, 3}
    assert len(made) == 1
    search.index.remove([0])
    assert set(search.lookup(QUERY, rerank=True).ids.ravel().tolist()) == {-1, 1, 2, 3}
    assert len(made) == 2
