import base64
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from simnb.distances import pairwise
from simnb.plots import styling
from simnb.projection import in_unit_square
from simnb.widgets import Projector, projector

HOSTILE = "<img src=x onerror=alert(1)></script>"


@pytest.fixture
def points():
    """60 embeddings of three classes, the last 15 of them queries; class 2 is not in the gallery."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    embeddings = (rng.normal(size=(3, 6))[labels] + rng.normal(size=(60, 6)) * 0.8).astype("f")
    is_query = (np.arange(60) >= 45) | (labels == 2)
    return embeddings, labels, is_query


def made(given_points, **options):
    embeddings, labels, is_query = given_points
    given = {"is_query": is_query, "class_names": ("cat", "dog", "eel"), "k": 4}
    return Projector(embeddings, labels, **given | options)


def array(value, dtype):
    return np.frombuffer(value, dtype)


def test_neighbors_are_the_nearest_gallery_points_but_the_point_itself(points):
    embeddings, _, is_query = points
    shown = made(points, distance="euclidean")
    found = array(shown._neighbors, np.int32).reshape(60, 4)
    distances = array(shown._neighbor_distances, np.float32).reshape(60, 4)
    for i in range(60):
        far = pairwise(embeddings[[i]], embeddings, "euclidean")[0]
        others = [j for j in np.argsort(far, kind="stable") if j != i and not is_query[j]]
        assert found[i].tolist() == others[:4]
        np.testing.assert_allclose(distances[i], far[others[:4]], rtol=1e-4)


def test_right_is_a_nearest_neighbor_of_the_same_class_and_unknown_a_class_without_gallery(points):
    _, labels, _ = points
    shown = made(points)
    nearest = array(shown._neighbors, np.int32).reshape(60, 4)[:, 0]
    verdicts = array(shown._verdicts, np.uint8)
    for i in range(60):
        expected = 2 if labels[i] == 2 else int(labels[nearest[i]] == labels[i])
        assert verdicts[i] == expected
    assert set(verdicts) == {0, 1, 2}


def test_a_gallery_of_fewer_than_k_is_padded(points):
    embeddings, labels, _ = points
    shown = Projector(embeddings[:3], labels[:3], k=5)
    found = array(shown._neighbors, np.int32).reshape(3, 5)
    assert (np.sort(found[:, :2], axis=1) == [[1, 2], [0, 2], [0, 1]]).all()
    assert (found[:, 2:] == -1).all()
    assert (array(shown._verdicts, np.uint8) == 2).all()  # each is alone in its class


def test_equal_embeddings_are_neighbors_of_each_other_and_not_of_themselves():
    shown = Projector(np.ones((6, 3)), np.zeros(6, int), k=2)
    found = array(shown._neighbors, np.int32).reshape(6, 2)
    assert all(i not in found[i] for i in range(6))


def test_more_points_get_their_neighbors_when_they_are_asked_for(points, monkeypatch):
    expected = array(made(points, k=3)._neighbors, np.int32).reshape(60, 3)
    monkeypatch.setattr(projector, "EAGER", 10)
    shown = made(points, k=3)
    assert shown._neighbors == b""
    sent = []
    shown.send = sent.append
    shown._answer(shown, {"kind": "neighbors", "point": 7}, [])
    assert sent[0]["point"] == 7
    assert sent[0]["neighbors"] == expected[7].tolist()
    assert shown._neighbors == b""
    shown._answer(shown, {"kind": "nearest"}, [])
    np.testing.assert_array_equal(array(shown._neighbors, np.int32).reshape(60, 3), expected)


def test_a_selection_comes_back_ascending_and_each_once(points):
    shown = made(points)
    seen = []
    shown.observe(lambda change: seen.append(change["new"].tolist()), "selection")
    shown.selection = [5, 3, 3, 59]
    assert shown.selection.tolist() == [3, 5, 59]
    assert shown.selection.dtype == np.int64
    shown.selection = np.arange(60) < 2
    assert shown.selection.tolist() == [0, 1]
    shown.selection = []
    assert shown.selection.shape == (0,)
    assert seen == [[3, 5, 59], [0, 1], []]


def test_a_selection_from_the_browser_is_the_same(points):
    shown = made(points)
    shown.set_state({"selection": memoryview(np.array([2, 40], np.int32)).cast("B")})
    assert shown.selection.tolist() == [2, 40]
    sent = shown.get_state(["selection"])["selection"]
    assert np.frombuffer(sent, np.int32).tolist() == [2, 40]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ([60], "positions from 0 to 59, got 60"),
        ([-1], "positions from 0 to 59, got -1"),
        ([0.5], "selection must be positions, or booleans"),
        (np.ones(59, bool), r"got bool of shape \(59,\)"),
    ],
)
def test_a_selection_that_is_none_is_refused_and_the_last_one_kept(points, selection, message):
    shown = made(points)
    shown.selection = [1]
    with pytest.raises(ValueError, match=message):
        shown.selection = selection
    assert shown.selection.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"is_query": np.ones(60, bool)}, "must leave points for the gallery, got all 60"),
        ({"is_query": np.zeros(59, bool)}, r"is_query must be booleans of shape \(60,\)"),
        ({"details": ["a"]}, "details and embeddings must have the same length, got 1 and 60"),
        ({"images": np.zeros((59, 4, 4, 3))}, "images and embeddings must have the same length"),
        ({"method": "isomap"}, "method must be one of"),
        ({"color": "blue"}, "color must be one of"),
        ({"color": "accepted"}, "needs a threshold"),
        ({"class_names": ("cat",)}, "class_names must name every one of the labels"),
        ({"k": 0}, "k must be"),
        ({"distance": "far"}, "distance must be one of"),
        ({"points": np.zeros((60, 3))}, "points must have shape"),
    ],
)
def test_bad_options_are_refused(points, options, message):
    with pytest.raises(ValueError, match=message):
        made(points, **options)


@pytest.mark.parametrize(
    "threshold", [0.3, np.float32(0.3), np.float64(0.3), np.array(0.3), 1, np.int64(1), -2]
)
def test_a_threshold_is_any_number(points, threshold):
    shown = made(points, threshold=threshold)
    assert type(shown.threshold) is float
    assert np.float32(shown.threshold) == np.float32(threshold)


@pytest.mark.parametrize("threshold", ["0.3", np.nan, [0.3], True])
def test_a_threshold_that_is_no_number_is_refused_and_the_last_one_kept(points, threshold):
    with pytest.raises(ValueError, match="threshold must be one number or None, got"):
        made(points, threshold=threshold)
    shown = made(points, threshold=0.2)
    with pytest.raises(ValueError, match="threshold must be one number or None, got"):
        shown.threshold = threshold
    assert shown.threshold == 0.2


@pytest.mark.parametrize("threshold", [-np.inf, np.inf])
def test_a_threshold_that_rejects_or_accepts_everything_is_one_in_the_browser_too(
    points, threshold, tmp_path
):
    shown = made(points, threshold=threshold)
    assert shown.threshold == threshold
    sent = shown.get_state(["threshold"])["threshold"]
    json.dumps(sent, allow_nan=False)
    with np.errstate(over="ignore"):
        assert np.float32(sent) == threshold  # what Math.fround makes of it
    assert state_of(shown.to_html(tmp_path / "page.html"))["threshold"] == sent


def test_accepted_is_a_colour_only_where_there_is_a_threshold(points):
    shown = made(points)
    with pytest.raises(ValueError, match='color="accepted" needs a threshold, got None'):
        shown.color = "accepted"
    shown.threshold = 0.2
    shown.color = "accepted"
    assert shown.color == "accepted"
    shown.threshold = None
    assert shown.color == "label"


def test_a_height_that_is_none_is_refused_later_too(points):
    shown = made(points)
    with pytest.raises(ValueError, match="height must be an integer of at least 1, got -5"):
        shown.height = -5


def test_images_may_be_a_list(points):
    shown = made(points, images=[np.zeros((8, 8, 3), np.uint8)] * 60)
    assert shown._repr_mimebundle_()[0]["image/png"].startswith(b"\x89PNG")


def test_its_repr_is_the_same_every_time(points):
    assert repr(made(points)) == "Projector(60 points, 3 classes, pca, 30 queries)"
    assert repr(Projector(points[0])) == "Projector(60 points, 1 class, pca)"


def test_where_no_widget_runs_there_is_a_picture_and_no_figure_is_left_open(points):
    before = plt.get_fignums()
    data, _ = made(points)._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "Projector(60 points, 3 classes, pca, 30 queries)"
    assert "application/vnd.jupyter.widget-view+json" in data
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("color", "words"),
    [
        ("label", ["class  ▾", "gallery", "query", "cat", "dog", "eel", "20"]),
        ("right", ["right / wrong  ▾", "✓ right", "✗ wrong", "? unknown"]),
        ("distance", ["distance to the nearest neighbor  ▾"]),
        ("accepted", ["accepted / rejected  ▾", "accepted", "rejected"]),
    ],
)
def test_the_picture_looks_like_the_widget(points, color, words):
    shown = made(points, color=color, threshold=0.3)
    shown.selection = [3, 7]
    figure = shown._still()
    written = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert set(words) <= set(written)
    assert "2 selected" in written
    gallery, queries, selected = figure.axes[1].collections
    assert (len(gallery.get_offsets()), len(queries.get_offsets())) == (30, 30)
    assert (gallery.get_paths()[0] == queries.get_paths()[0]) is False
    np.testing.assert_array_equal(selected.get_offsets(), in_unit_square(shown.points)[[3, 7]])


def test_the_colours_of_the_picture_are_those_of_right_and_wrong(points):
    shown = made(points, color="right")
    gallery = shown._still().axes[1].collections[0]
    verdicts = array(shown._verdicts, np.uint8)[~points[2]]
    expected = [to_rgba({0: styling.WRONG, 1: styling.RIGHT, 2: "#9a9a9a"}[verdict]) for verdict in verdicts]
    np.testing.assert_allclose(gallery.get_facecolors(), expected)


def state_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="state">(.*?)</script>', text, re.S)[1])


def test_a_page_holds_everything_and_asks_nobody(points, tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "EAGER", 10)
    shown = made(points, images=np.zeros((60, 8, 8, 1)), details=[f"file {i}" for i in range(60)])
    shown.selection = [4]
    path = shown.to_html(tmp_path / "new" / "page.html", title="A & B")
    state = state_of(path)
    assert state["details" if "details" in state else "_details"][59] == "file 59"
    neighbors = np.frombuffer(base64.b64decode(state["_neighbors"]["base64"]), np.int32)
    assert neighbors.shape == (240,)
    assert np.frombuffer(base64.b64decode(state["selection"]["base64"]), np.int32).tolist() == [4]
    text = path.read_text()
    assert "<title>A &amp; B</title>" in text
    assert not re.search(r'(src|href)="', text)
    assert "import " not in re.sub(r"//.*", "", text.split('<script type="module">')[1])
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_names_are_text_on_a_page_too(points, tmp_path):
    names = (HOSTILE, "dog", "eel")
    path = made(points, class_names=names, details=[HOSTILE] * 60).to_html(tmp_path / "p.html", title=HOSTILE)
    assert "<img" not in path.read_text()
    state = state_of(path)
    assert state["_classes"][0]["name"] == HOSTILE
    assert state["_details"][0] == HOSTILE


def test_a_page_that_cannot_be_written_leaves_the_old_one(points, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        made(points).to_html(path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_ten_thousand_points_send_is_small():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 10_000)
    embeddings = rng.normal(size=(10_000, 8))
    coarse = rng.integers(0, 256, (500, 8, 8, 3), dtype=np.uint8)  # enlarged: about as smooth as photographs
    smooth = np.stack([np.asarray(Image.fromarray(image).resize((32, 32))) for image in coarse])
    images = np.tile(smooth, (20, 1, 1, 1))
    shown = Projector(embeddings, labels, images=images)
    state = shown.get_state()
    size = len(b"".join(state["_sheets"]))
    size += sum(memoryview(v).nbytes for v in state.values() if isinstance(v, bytes | memoryview))
    assert size < 4_000_000


def test_too_many_thumbnails_warn_and_the_first_are_shown(points, monkeypatch):
    monkeypatch.setattr(projector, "MOST_THUMBNAILS", 50)
    with pytest.warns(UserWarning, match="thumbnails are shown of the first 50 points, not of all 60"):
        shown = made(points, images=np.zeros((60, 4, 4, 3), np.uint8))
    assert len(shown._sheets) == 1


def test_points_without_label_and_few_points_have_a_map():
    shown = Projector(np.eye(3), [-1, 0, 0])
    assert [c["name"] for c in shown._classes] == ["unknown", "0"]
    assert array(shown._verdicts, np.uint8)[0] == 2
    assert Projector(np.ones((1, 4))).trust is None
