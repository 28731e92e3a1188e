import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from simnb.data import Examples
from simnb.index import UNKNOWN
from simnb.search import SimilaritySearch
from simnb.widgets import SearchBox

NAMES = ("red", "<img src=x onerror=alert(1)>", "blue")
HOSTILE = "<b>photo</b>.png"


def mean_colour(images):
    return np.asarray(images, np.float64).mean(axis=(1, 2)) + 1


def examples(labels, first_id=0, noise=30):
    labels = np.asarray(labels)
    rng = np.random.default_rng(first_id)
    images = rng.integers(0, noise, (len(labels), 8, 8, 3), dtype=np.uint8)
    images[np.arange(len(labels)), :, :, labels] += 200
    return Examples(images, labels, NAMES, np.arange(len(labels)) + first_id)


GALLERY, QUERIES = examples(np.arange(30) % 2), examples(np.arange(20) % 3, 1000)


@pytest.fixture
def search():
    made = SimilaritySearch(mean_colour)
    made.add(GALLERY)
    targets = {"strict": "false_acceptance <= 0.01", "dream": "recall >= 1.0"}
    tuning = examples(np.arange(60) % 3, 2000, noise=50)
    made.calibrate(tuning, maximize="f1", targets=targets)
    made.fit_probability(tuning)
    return made


@pytest.fixture
def box(search):
    return SearchBox(search, GALLERY, queries=QUERIES, k=4)


def offered(box):
    return [name for _, name in box.cutpoints.options]


def file_of(color, kind="PNG", size=(20, 10), **options):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind, **options)
    return file.getvalue()


def test_the_first_query_is_searched_at_once_and_the_answer_is_that_of_the_search(box, search):
    for position in (0, 2, 7):
        result = box.search_query(position)
        one = QUERIES[[position]]
        assert box.result is result
        np.testing.assert_array_equal(result.neighbors.ids, search.lookup(one, k=4).ids)
        assert result.label == search.match(one).labels[0]
        assert result.probability == search.probability(search.match(one).distances)[0]
        assert result.true_label == QUERIES.labels[position]
        assert result.name == f"query {position}"
    assert SearchBox(search, GALLERY).result is None


def test_the_verdict_says_answer_probability_distance_and_threshold(box, search):
    box.search_query(0)
    assert "<b>red</b>" in box.verdict.value
    assert "right with probability" in box.verdict.value
    assert "within the threshold" in box.verdict.value
    box.search_query(2)
    assert "<b>Unknown</b>" in box.verdict.value
    assert "an answer would be right with probability" in box.verdict.value
    assert "beyond the threshold" in box.verdict.value
    assert "it is blue" in box.verdict.value


def test_neighbors_are_marked_right_wrong_or_beyond(box):
    box.search_query(0)
    assert box.shown.value.count('class="frame right"') == 4
    box.search_query(2)
    assert box.shown.value.count('class="frame unknown"') == 4
    box.cutpoints.value = offered(box)[0]
    assert box.shown.value.count("<figure>") == 5


def test_another_cutpoint_answers_anew_without_embedding_anew(search):
    calls = []
    search.model = lambda images: calls.append(len(images)) or mean_colour(images)
    box = SearchBox(search, GALLERY, queries=QUERIES)
    assert offered(box) == [n for n, c in search.calibration.cutpoints.items() if c.met]
    limits = {name: search.calibration[name].threshold for name in offered(box)}
    for name, limit in limits.items():
        box.cutpoints.value = name
        assert box.result.threshold == limit
    assert calls == [1]
    with pytest.raises(ValueError, match="cutpoint must be one of"):
        SearchBox(search, GALLERY, cutpoint="dreams")


def test_a_file_is_resized_searched_and_named_as_text(box, tmp_path):
    result = box.search_file(file_of("red", "JPEG"), name=HOSTILE)
    assert result.image.shape == (8, 8, 3)
    assert result.name == HOSTILE
    assert result.true_label is None
    assert "&lt;b&gt;photo&lt;/b&gt;.png" in box.shown.value
    assert "<b>photo" not in box.shown.value
    path = tmp_path / "red.png"
    path.write_bytes(file_of("red"))
    assert box.search_file(path).name == "red.png"
    assert box.search_file(io.BytesIO(file_of("red"))).name == "a file"


def test_the_size_is_that_of_the_model_where_it_has_one(search):
    def model(images):
        assert images.shape[1:] == (5, 7, 3)
        return mean_colour(images)

    model.input_shape = (None, 5, 7, 3)
    search.model = model
    assert SearchBox(search, GALLERY).search_file(file_of("red")).image.shape == (5, 7, 3)


def test_gray_galleries_get_gray_images():
    gray = Examples(GALLERY.images[..., :1], GALLERY.labels, NAMES, GALLERY.ids)
    made = SimilaritySearch(lambda images: images.reshape(len(images), -1) + 1.0)
    made.add(gray)
    result = SearchBox(made, gray).search_file(file_of((255, 0, 0)))
    assert result.image.shape == (8, 8, 1)
    assert set(result.image.ravel()) == {76}


def test_class_names_are_text(box):
    box.search_query(1)
    shown = box.verdict.value + box.shown.value
    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"hello", "this is not a JPEG, PNG"),
        (file_of("red", size=(30, 30))[:70], "damaged or incomplete"),
        (file_of("red", size=(40, 40)), "more than max_pixels=1000"),
        (b"\x89PNG" + b"0" * 5000, "more than max_bytes=4000"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence_and_the_last_result_stays(search, content, words):
    box = SearchBox(search, GALLERY, queries=QUERIES, max_bytes=4000, max_pixels=1000)
    before = box.result, box.verdict.value
    with pytest.raises(ValueError, match=words):
        box.search_file(content)
    box.drop._received(box.drop, {"kind": "file", "name": HOSTILE}, [memoryview(content)])
    assert words in box.message.value
    assert "&lt;b&gt;photo" in box.message.value
    assert (box.result, box.verdict.value) == before
    box.search_query(1)
    assert "no JPEG" not in box.message.value


def test_a_file_that_the_browser_held_back_is_told(box):
    box.drop._received(box.drop, {"kind": "refused", "name": "big.png", "size": 30_000_000}, [])
    assert "big.png: 30.0 MB are more than the 20.0 MB" in box.message.value


def test_of_an_animation_the_first_frame_is_searched_and_said(box):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert box.search_file(file.getvalue()).image[0, 0].tolist() == [255, 0, 0]
    assert "the first of several frames" in box.message.value


def test_a_model_that_fails_is_shown_and_the_box_stays(box, search):
    def fails(images):
        raise RuntimeError("out of <memory>")

    working, search.model = search.model, fails
    box.drop._received(box.drop, {"kind": "file", "name": "a.png"}, [memoryview(file_of("red"))])
    assert "a.png: out of &lt;memory&gt;" in box.message.value
    search.model = working
    assert box.search_query(0).accepted


def test_without_calibration_neighbors_are_shown_and_it_is_said():
    made = SimilaritySearch(mean_colour)
    made.add(GALLERY)
    box = SearchBox(made, GALLERY, queries=QUERIES)
    assert box.result.accepted
    assert box.result.probability is None
    assert "not calibrated" in box.verdict.value


def test_images_that_are_not_at_hand_leave_a_gap(search):
    box = SearchBox(search, GALLERY[:3], queries=QUERIES, k=20)
    assert "no image" in box.shown.value
    assert box._repr_mimebundle_()["image/png"].startswith(b"\x89PNG")


def test_queries_are_picked_page_by_page(box):
    first = [button.tooltip for pick in box.picks.children[:-1] for button in pick.children[1:]]
    assert first == [f"query {i}" for i in range(12)]
    box.picks.children[3].children[1].click()
    assert box.result.name == "query 3"
    box.picks.children[-1].click()
    assert box.picks.children[0].children[1].tooltip == "query 12"
    box.picks.children[-1].click()
    assert box.picks.children[0].children[1].tooltip == "query 0"


def test_images_without_labels_are_searched_and_judged_neither_right_nor_wrong():
    unlabelled = [Examples(part.images, [UNKNOWN] * len(part), (), part.ids) for part in (GALLERY, QUERIES)]
    search = SimilaritySearch(mean_colour)
    search.add(unlabelled[0])
    box = SearchBox(search, unlabelled[0], queries=unlabelled[1], k=4)
    assert (box.result.true_label, box.result.verdict(0), box.result.class_of(0)) == (None, None, "unknown")
    assert box.result.neighbors.ids.tolist() == search.lookup(QUERIES[0], k=4).ids.tolist()


def test_bad_use_is_refused(search, box):
    with pytest.raises(ValueError, match="index is empty"):
        SearchBox(SimilaritySearch(mean_colour), GALLERY)
    with pytest.raises(ValueError, match="position must be below the 20 queries, got 20"):
        box.search_query(20)
    with pytest.raises(ValueError, match="no queries to pick from"):
        SearchBox(search, GALLERY).search_query(0)
    with pytest.raises(FileNotFoundError):
        box.search_file("missing.png")


def test_where_no_widget_runs_there_is_a_picture_and_no_figure_is_left_open(box, search):
    before = plt.get_fignums()
    assert repr(box) == "SearchBox(30 images, k=4)"
    for one in (box, SearchBox(search, GALLERY)):
        data = one._repr_mimebundle_()
        assert data["image/png"].startswith(b"\x89PNG")
        assert data["text/plain"] == repr(one)
    assert plt.get_fignums() == before


def test_long_names_do_not_run_into_one_another_in_the_picture(monkeypatch, box):
    from matplotlib.axes import Axes

    captions, set_xlabel = [], Axes.set_xlabel
    monkeypatch.setattr(
        Axes, "set_xlabel", lambda ax, *text, **look: captions.append(ax) or set_xlabel(ax, *text, **look)
    )
    box.search_query(1)  # of the class with the long name
    box._repr_mimebundle_()
    boxes = [ax.xaxis.label.get_window_extent() for ax in captions]
    assert len(boxes) == 5
    assert all(one.x1 <= other.x0 for one, other in itertools.pairwise(boxes))


def test_the_picture_says_what_the_widget_says_and_frames_neighbors_as_it_does(box):
    figure = box._still()
    assert figure.get_suptitle().startswith(f"{box.result.answer}: ")
    frames = [ax.spines["left"].get_linestyle() for ax in figure.axes if ax.spines["left"].get_visible()]
    assert len(frames) == len(box.result.places(4))
    assert "run the cell" not in figure.get_suptitle()
