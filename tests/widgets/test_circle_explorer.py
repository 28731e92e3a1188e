import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from simnb.losses import batch_all_triplet_loss
from simnb.widgets import CircleExplorer
from simnb.widgets._page import FOLDER

HOSTILE = "<img src=x onerror=alert(1)></script>"
ANGLES = np.array([0.3, 1.9, -2.0, 2.2, -1.1, 3.1, 0.9])
LABELS = np.array([4, 4, 4, 1, 1, 2, 2])


def unit(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def made(**options):
    names = ("ant", "bee", "cat", "dog", "eel")
    return CircleExplorer(3 * unit(ANGLES), LABELS, **{"class_names": names, "margin": 0.6} | options)


@pytest.mark.parametrize("margin", [0, 0.3, 1.5])
def test_the_loss_is_that_of_all_triplets_and_the_gradient_its_derivative(margin):
    shown = made(margin=margin)

    def loss(angles):
        return float(np.mean(batch_all_triplet_loss(LABELS, unit(angles), margin=margin)))

    assert shown.loss == pytest.approx(loss(ANGLES), abs=1e-6)
    gradient = shown.gradient
    for i in range(len(ANGLES)):
        ends = []
        for by in (1e-5, -1e-5):
            shown.angles = (ANGLES + by * (np.arange(len(ANGLES)) == i)).tolist()
            ends.append(shown.loss)
        assert gradient[i] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node runs the JavaScript, and is not installed")
@pytest.mark.parametrize("margin", [0, 0.6, 1.5])
def test_the_browser_computes_the_same(margin):
    shown = made(margin=margin)
    values = json.dumps([shown.angles, shown._labels, margin])
    code = f"""import {{ measured }} from "{(FOLDER / "triplets.js").as_uri()}";
        console.log(JSON.stringify(measured(...{values})));"""
    command = ["node", "--input-type=module", "--eval", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["loss"] == pytest.approx(shown.loss)
    np.testing.assert_allclose(np.array(seen["pull"]) + seen["push"], -shown.gradient, atol=1e-12)


def test_points_may_be_moved_and_everything_follows():
    shown = made()
    np.testing.assert_allclose(shown.embeddings, unit(ANGLES))
    before, seen = shown.loss, []
    shown.observe(lambda change: seen.append(change["new"]), "angles")
    shown.angles = [0.0] * 7
    assert seen == [[0.0] * 7]
    assert shown.loss == pytest.approx(0.6) != before  # a heap: the margin
    np.testing.assert_allclose(shown.gradient, 0)
    shown.margin = 0.2
    assert shown.loss == pytest.approx(0.2)


def test_without_a_triplet_there_is_no_loss():
    assert CircleExplorer(unit(ANGLES), np.zeros(7, int)).loss == 0
    assert not CircleExplorer(unit(ANGLES), np.arange(7)).gradient.any()


@pytest.mark.parametrize(("options", "message"), [
    ({"margin": -0.1}, r"margin must be .*, got -0.1"),
    ({"margin": 2.1}, r"margin must be .*, got 2.1"),
    ({"rate": 0}, r"rate must be .*, got 0"),
    ({"class_names": ("a", "b")}, r"class_names must name every one of the labels"),
])  # fmt: skip
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        made(**options)


def test_wrong_embeddings_are_refused():
    with pytest.raises(ValueError, match=r"embeddings must have shape \[60 at most, 2\], got \(5, 3\)"):
        CircleExplorer(np.ones((5, 3)), np.zeros(5, int))
    with pytest.raises(ValueError, match=r"\(61, 2\)"):
        CircleExplorer(np.ones((61, 2)), np.zeros(61, int))


@pytest.mark.parametrize("angles", [[0.0] * 6, [0.0] * 6 + [float("nan")]])
def test_angles_that_cannot_be_are_refused(angles):
    shown = made()
    with pytest.raises(ValueError, match="angles must be 7 finite numbers"):
        shown.angles = angles
    with pytest.raises(ValueError, match="selected must be a position below 7, got 7"):
        shown.selected = 7


def test_it_shows_itself_as_text_and_picture_where_nothing_can_run():
    shown = made()
    assert repr(shown) == "CircleExplorer(7 points, 3 classes, margin 0.6)"
    data, *_ = shown._repr_mimebundle_()
    assert data["text/plain"] == repr(shown)
    assert data["image/png"].startswith(b"\x89PNG")
    (ax,) = shown._still().axes
    assert ax.get_title(loc="left") == f"Loss {shown.loss:.3f} at a margin of 0.6"
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {
        *("bee", "cat", "eel"), *("pull", "push", "sum"),
    }  # fmt: skip


def test_the_page_is_whole_small_and_names_stay_text(tmp_path):
    names = ("ant", HOSTILE, "cat", "dog", "eel")
    path = made(class_names=names).to_html(tmp_path / "new" / "circle.html", title=HOSTILE)
    page = path.read_text()
    assert len(page) < 40_000
    assert HOSTILE not in page
    state = json.loads(re.search(r'id="state">(.*?)</script>', page)[1])
    assert state["_classes"] == [HOSTILE, "cat", "eel"]
    np.testing.assert_allclose(state["angles"], ANGLES)
    assert state["_labels"] == [2, 2, 2, 0, 0, 1, 1]
    assert not re.search(r'(src|href)="http', page)
