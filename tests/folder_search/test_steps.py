"""From a folder to a search: what is read, asked, promised and said, in folders large, small and odd."""

import shutil

import numpy as np
import pytest
from scipy.stats import beta

from simnb import data
from simnb.distances import pairwise
from simnb.folder_search import image_size, search_folder, steps


def facts_of(found):
    return dict(found.facts)


def smaller(folder, **left):
    """Keep so many images of each class, and no class that is not named."""
    for path in sorted(folder.iterdir()):
        for file in sorted(path.iterdir())[left.get(path.name, 0) :]:
            file.unlink()
        if path.name not in left:
            path.rmdir()
    return folder


@pytest.fixture(scope="module")
def found(pictures):
    from tests.folder_search.conftest import Pixels

    return search_folder(pictures, Pixels())


def test_what_is_asked_is_not_indexed_and_what_is_indexed_knows_its_file(found, pictures):
    rows = found.search.index.get()
    assert len(found.examples) == 120
    assert sorted([*rows.ids.tolist(), *found.asked.tolist()]) == found.examples.ids.tolist()
    assert np.bincount(rows.labels).min() >= 18
    names = found.examples.class_names
    for one, label, about in zip(rows.ids, rows.labels, rows.metadata, strict=True):
        row = found.examples.ids.tolist().index(one)
        assert pictures / about["file"] == found.files[row]
        assert found.files[row].parent.name == names[label]
        image = data.read_image(found.files[row], image_size=(16, 16))
        np.testing.assert_array_equal(image, found.examples.images[row])


def test_recall_is_counted_again_by_a_loop_and_its_interval_is_exact(found):
    asked = np.isin(found.examples.ids, found.asked)
    distances = pairwise(found.embeddings[asked], found.embeddings[~asked], "cosine")
    labels = found.examples.labels
    right = sum(
        labels[~asked][row.argmin()] == label for row, label in zip(distances, labels[asked], strict=True)
    )
    count = int(asked.sum())
    assert found.recall.value == right / count
    assert 0.8 < found.recall.value < 1
    expected = beta.ppf(0.025, right, count - right + 1), beta.ppf(0.975, right + 1, count - right)
    np.testing.assert_allclose((found.recall.low, found.recall.high), expected, atol=1e-9)
    assert f"{100 * right / count:.1f}% of {count} images" in facts_of(found)["Right at first"]


def test_unknown_queries_let_in_are_counted_again_by_a_loop(found):
    asked, labels = np.isin(found.examples.ids, found.asked), found.examples.labels
    distances, given = pairwise(found.embeddings[asked], found.embeddings[~asked], "cosine"), 0
    for row, label in zip(distances, labels[asked], strict=True):
        given += row[labels[~asked] != label].min() <= np.float32(found.search.calibration.threshold)
    assert found.let_in == given / asked.sum()
    assert found.let_in > 0
    assert f"{100 * found.let_in:.0f}% of those asked" in facts_of(found)["Other classes"]


def test_a_promise_that_is_kept_is_the_first_cutpoint(pictures, pixels):
    found = search_folder(pictures, pixels, promise="precision >= 0.7")
    calibration = found.search.calibration
    assert calibration.cutpoint.name == "promise"
    assert calibration.cutpoint.confidence == 0.95
    assert list(calibration.cutpoints) == ["promise", "optimal"]
    facts = facts_of(found)
    assert facts["Promise"].startswith("precision >= 0.7 with confidence 0.95: at least 70% of the names")
    assert "At most 5 of 100 thresholds" in facts["Promise"]
    assert facts["Threshold"].startswith(f"{calibration.threshold:.3g} cosine distance")


def test_a_promise_that_takes_more_images_says_how_many_and_best_f1_takes_its_place(pictures, pixels):
    found = search_folder(pictures, pixels, promise="precision >= 0.99")
    assert found.search.calibration.cutpoint.name == "optimal"
    assert not found.search.calibration["promise"].met
    promise = facts_of(found)["Promise"]
    assert promise.startswith("None. No threshold keeps precision >= 0.99 with confidence 0.95")
    assert "at least about 373 answers" in promise
    assert f"{len(found.asked)} images were asked" in promise


@pytest.mark.parametrize(
    ("promise", "message"),
    [
        ("precise", "metric, >= or <=, and a share"),
        ("f1 >= 0.9", "metric of target 'promise' must be one of"),
        ("false_acceptance <= 0.1", "needs queries of unknown classes"),
    ],
)
def test_a_promise_that_cannot_be_made_is_refused_before_anything_is_read(promise, message, pixels):
    with pytest.raises(ValueError, match=message):
        search_folder("no such folder", pixels, promise=promise)


@pytest.mark.parametrize("promise", ["accuracy >= 0.5", "recall >= 0.5", "coverage >= 0.5"])
def test_other_promises_are_said_in_words(promise, pictures, pixels):
    said = facts_of(search_folder(pictures, pixels, promise=promise))["Promise"]
    assert said.startswith(f"{promise} with confidence 0.95: at least 50% of new images")


def test_the_draw_depends_on_the_seed_alone(pictures, pixels, found):
    again, other = (search_folder(pictures, pixels, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.asked, found.asked)
    assert set(other.asked) != set(found.asked)


def test_files_that_cannot_be_read_are_counted_and_named_and_nothing_else_is_lost(odd, pixels, found):
    with_odd = search_folder(odd, pixels)
    assert {file for file, _ in with_odd.left_out} == {"nine/broken.jpg", "three/cut.jpg", "three/empty.png"}
    assert "truncated" in dict(with_odd.left_out)["three/cut.jpg"]
    assert len(with_odd.examples) == len(with_odd.files) == len(with_odd.embeddings) == 120
    for file, row in zip(with_odd.files, with_odd.embeddings, strict=True):
        image = data.read_image(file, image_size=(16, 16))
        np.testing.assert_array_equal(row, found.search.embed(image[None])[0])
    said = facts_of(with_odd)["Not read"]
    assert said.startswith("3 files: ")
    assert "three/empty.png (an empty file)" in said
    assert "notes.txt" not in repr(with_odd)


@pytest.mark.parametrize("options", [{}, {"kept": "features.sqlite", "known_as": "pixels"}])
def test_of_a_batch_of_which_several_are_cut_each_is_found_at_once(
    options, odd, pixels, tmp_path, monkeypatch
):
    cut = (odd / "three" / "cut.jpg").read_bytes()
    for number in range(20):
        (odd / "one more").mkdir(exist_ok=True)
        (odd / "one more" / f"{number}.jpg").write_bytes(cut)
    tries, embed = [], steps.embed
    monkeypatch.setattr(steps, "embed", lambda *given, **options: tries.append(1) or embed(*given, **options))
    monkeypatch.chdir(tmp_path)
    found = search_folder(odd, pixels, **options)
    assert 1 < len(tries) <= 4  # 143 files in three batches of 64
    assert len(found.left_out) == 23
    assert len(found.examples) == 120
    assert pixels.embedded == 120  # none of them twice


def test_a_damaged_file_costs_no_other_a_second_time(odd, pixels):
    found = search_folder(odd, pixels, batch_size=8)
    assert len(found.examples) == pixels.embedded == 120


def test_a_file_that_appears_in_between_moves_no_name(folder, pixels, monkeypatch):
    read = steps.read_lazily

    def later(files, *options):
        shutil.copy(files[-1], folder / "nine" / "00 new.png")
        return read(files, *options)

    monkeypatch.setattr(steps, "read_lazily", later)
    found = search_folder(folder, pixels)
    assert len(found.files) == len(found.examples) == 120
    for file, image in zip(found.files, found.examples.images[:], strict=True):
        np.testing.assert_array_equal(data.read_image(file, image_size=(16, 16)), image)


def test_a_name_of_the_embedder_is_refused_where_nothing_is_kept(pictures, pixels):
    with pytest.raises(ValueError, match="pass kept="):
        search_folder(pictures, pixels, known_as="pixels")


def test_a_folder_of_nothing_but_damage_is_refused(odd, pixels):
    smaller(odd, three=99)
    for file in (odd / "three").iterdir():
        if file.name != "cut.jpg":
            file.unlink()
    with pytest.raises(ValueError, match=r"holds no image that can be read: three/cut\.jpg \("):
        search_folder(odd, pixels)


def test_near_duplicates_are_indexed_and_none_of_them_is_asked(folder, pixels, found):
    asked = [file for file, one in zip(found.files, found.examples.ids, strict=True) if one in found.asked]
    copies = [file for file in asked if file.suffix == ".png"][:4]
    for file in copies:
        shutil.copy(folder / file.parent.name / file.name, folder / file.parent.name / f"copy of {file.name}")
    again = search_folder(folder, pixels)
    assert len(again.duplicates.ids) == 8
    assert not np.isin(again.duplicates.ids, again.asked).any()
    assert np.isin(again.duplicates.ids, again.search.index.ids).all()
    drawn = again.leaks.sizes["asked"]
    assert drawn > len(again.asked)
    facts = facts_of(again)
    assert facts["Near-duplicates"].startswith("8 images in 4 groups within cosine distance ")
    assert "copy of " in facts["Near-duplicates"]
    assert facts["Leaks"].startswith(f"{len(again.leaks)} of {drawn} images drawn to be asked")


def test_a_wrong_label_is_named(folder, pixels):
    file = sorted((folder / "nine").glob("*.png"))[3]
    file.rename(folder / "three" / "is a nine.png")
    said = facts_of(search_folder(folder, pixels))["Labels"]
    assert "three/is a nine.png (rather nine)" in said


def test_a_second_run_embeds_only_what_is_new(folder, pixels, tmp_path):
    kept = {"kept": tmp_path / "features.sqlite", "known_as": "pixels"}
    first = search_folder(folder, pixels, **kept)
    assert pixels.embedded == 120
    again = search_folder(folder, pixels, **kept)
    assert pixels.embedded == 120
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    assert repr(again) == repr(first)
    data_of = (folder / "nine" / "03.png").read_bytes()
    (folder / "nine" / "99.png").write_bytes(data_of + b"\0")
    search_folder(folder, pixels, **kept)
    assert pixels.embedded == 120  # the same pixels in another file
    (folder / "nine" / "04.png").replace(folder / "nine" / "98.png")
    search_folder(folder, pixels, **kept)
    assert pixels.embedded == 120


def test_an_interrupt_keeps_the_batches_before_it(folder, pixels, tmp_path):
    def interrupted(images):
        if pixels.embedded >= 64:
            raise KeyboardInterrupt
        return pixels(images)

    interrupted.input_shape = pixels.input_shape
    kept = {"kept": tmp_path / "features.sqlite", "known_as": "pixels", "batch_size": 32}
    with pytest.raises(KeyboardInterrupt):
        search_folder(folder, interrupted, **kept)
    assert pixels.embedded == 64
    search_folder(folder, pixels, **kept)
    assert pixels.embedded == 120


def test_few_images_a_class_give_figures_and_no_promise(folder, pixels):
    found = search_folder(smaller(folder, nine=3, three=3, пять=2), pixels)
    assert (len(found.search.index), len(found.asked)) == (5, 3)
    assert found.mislabelled.k == 4  # a row of a class of three is not outvoted by two of its own
    facts = facts_of(found)
    assert facts["Images"] == "8 images of 3 classes: nine (3), three (3), пять (2)."
    assert "nothing tells what is near by chance" in facts["Near-duplicates"]
    assert "interval 29.2 to 100.0" in facts["Right at first"] or found.recall.value < 1
    assert "takes at least about 36 answers, all of them right" in facts["Promise"]
    assert "here 3 images were asked" in facts["Promise"]


def test_a_class_of_one_image_is_indexed_and_not_asked(folder, pixels):
    found = search_folder(smaller(folder, nine=4, three=1), pixels)
    names = found.search.index.get().names.tolist()
    assert names.count("three") == 1
    assert len(found.asked) == 2


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ({"nine": 5}, "need two classes or more"),
        ({"nine": 1}, "need two classes or more"),
        ({"nine": 1, "three": 1}, "need classes of two images or more"),
    ],
)
def test_where_nothing_can_be_asked_it_is_said_why_and_all_is_indexed(left, why, folder, pixels):
    found = search_folder(smaller(folder, **left), pixels)
    assert len(found.search.index) == len(found.examples) == sum(left.values())
    assert found.search.calibration is None
    assert found.recall is found.let_in is found.leaks is None
    facts = facts_of(found)
    assert why in facts["Right at first"]
    assert not {"Threshold", "Promise", "Other classes", "Leaks"} & set(facts)
    assert found.search.lookup(found.examples, k=1).ids[:, 0].tolist() == found.examples.ids.tolist()


def test_where_all_are_copies_nothing_is_left_to_ask(folder, pixels):
    smaller(folder, nine=1, three=1)
    for name in ("nine", "three"):
        (file,) = (folder / name).iterdir()
        for number in range(3):
            shutil.copy(file, folder / name / f"copy {number}{file.suffix}")
    found = search_folder(folder, pixels)
    assert len(found.asked) == 0
    assert len(found.search.index) == 8
    assert "need images to ask that are no near-duplicates" in facts_of(found)["Right at first"]


def test_an_embedder_that_finds_nothing_gives_no_threshold(folder, pixels):
    found = search_folder(smaller(folder, nine=5, three=5), pixels)
    asked, nine = np.isin(found.examples.ids, found.asked), found.examples.labels == found.examples.labels[-1]
    seen = [image.tobytes() for image in found.examples.images[:]]

    def against(images):  # what is asked lies among what is indexed of the other class
        rows = [seen.index(image.tobytes()) for image in images]
        return np.stack([asked == nine, asked != nine, 0.01 * np.arange(10)], axis=1)[rows].astype(np.float32)

    against.input_shape = pixels.input_shape
    found = search_folder(folder, against)
    assert found.recall.value == 0
    assert np.isneginf(found.search.calibration.threshold)
    facts = facts_of(found)
    assert facts["Threshold"].startswith("None: no image that was asked finds its own class")
    assert facts["Promise"].startswith("None.")
    assert "0% of those asked would get a wrong name" in facts["Other classes"]


@pytest.fixture
def loose(folder):
    """Twelve images that lie in no sub-folder."""
    for file in sorted((folder / "nine").iterdir())[:12]:
        file.rename(folder / file.name)
    for name in ("nine", "three", "пять", "八"):
        shutil.rmtree(folder / name)
    return folder


def test_images_without_labels_can_be_searched_and_it_is_said_what_labels_are_for(loose, pixels):
    found = search_folder(loose, pixels)
    facts = facts_of(found)
    assert facts["Images"] == "12 images, without labels."
    assert "need labels: one sub-folder for each class" in facts["Right at first"]
    assert found.search.calibration is found.mislabelled is None
    assert found.search.lookup(found.examples, k=1).ids[:, 0].tolist() == found.examples.ids.tolist()
    assert found.search.index.get().metadata[0] == {"file": found.files[0].name}


def test_sub_folders_need_not_be_classes(folder, pixels):
    found = search_folder(folder, pixels, labelled=False)
    assert facts_of(found)["Images"] == "120 images, without labels."
    assert found.files[-1].parent.parent == folder
    assert len(found.search.index) == 120


def test_class_folders_without_images_are_named(folder, pixels):
    (folder / "nothing").mkdir()
    for file in (folder / "nine").iterdir():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    said = facts_of(search_folder(folder, pixels))["Images"]
    assert said.startswith("90 images of 3 classes: ")
    assert said.endswith("No image in nine, nothing.")


def test_it_shows_itself_in_sentences_whose_text_is_escaped(folder, pixels):
    (folder / "nine").rename(folder / "<b>nine")
    found = search_folder(folder, pixels)
    lines = repr(found).splitlines()
    assert len(lines) == len(found.facts)
    assert lines[0].startswith("Images: 120 images of 4 classes: ")
    html = found._repr_html_()
    assert "&lt;b&gt;nine (30)" in html
    assert "<b>nine" not in html


def test_images_are_as_large_as_the_embedder_takes(pixels):
    assert image_size(pixels) == (16, 16)
    assert image_size(lambda images: images) == (224, 224)
    pixels.input_shape = (None, None, 96, 3)
    assert image_size(pixels) == (224, 96)
