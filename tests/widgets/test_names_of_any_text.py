"""Names that are no Unicode, as a folder of old can have them, in everything that a widget sends or draws."""

import json

import numpy as np
import pytest

from simnb.calibration import calibrate
from simnb.data import Examples
from simnb.index import open_index
from simnb.search import SimilaritySearch
from simnb.widgets import Projector, SearchBox, ThresholdExplorer, TrainingMonitor

ODD = "caf\udce9\ud800\x00\x1f"
SHOWN = "caf\\xe9\\ud800\\x00\\x1f"
NAMES = (ODD, "dog", f"{ODD} too")


def examples(count, first_id=0):
    """Examples whose class names are as odd as those of others' objects may be."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(first_id).integers(0, 30, (count, 6, 6, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 200
    made = Examples(images, labels, ("a", "b", "c"), np.arange(count) + first_id)
    object.__setattr__(made, "class_names", NAMES)
    return made


def mean_colour(images):
    return np.asarray(images, np.float64).mean(axis=(1, 2)) + 1


GALLERY, QUERIES = examples(30), examples(30, 1000)


def searched():
    index = open_index(class_names=("a", "b", "c"))
    index.add(mean_colour(GALLERY.images), GALLERY.labels, ids=GALLERY.ids)
    neighbors = index.search(mean_colour(QUERIES.images), k=3)
    targets = {ODD: "coverage >= 0.5", f"{ODD} unmet": "false_acceptance <= 0.0"}
    return neighbors, calibrate(neighbors, QUERIES.labels, known_labels=[0, 1], targets=targets)


def projector():
    details = [f"{ODD} {row}" for row in range(30)]
    embeddings = mean_colour(QUERIES.images)
    return Projector(embeddings, QUERIES.labels, images=QUERIES.images, class_names=NAMES, details=details)


def threshold_explorer():
    neighbors, calibration = searched()
    return ThresholdExplorer(QUERIES, neighbors, GALLERY, calibration=calibration)


def search_box():
    search = SimilaritySearch(mean_colour)
    search.index.add(mean_colour(GALLERY.images), GALLERY.labels, ids=GALLERY.ids)
    search.calibration = searched()[1]
    box = SearchBox(search, GALLERY, queries=QUERIES)
    box.drop._received(box.drop, {"kind": "file", "name": ODD}, [memoryview(b"no image")])
    box.result = box._answer(ODD, QUERIES.images[0], box.result.neighbors, 0)
    box._show()
    return box


def training_monitor():
    monitor = TrainingMonitor(QUERIES, GALLERY)
    monitor.query_embeddings = mean_colour(QUERIES.images)
    monitor.losses = [(0.0, 1.0), (1.0, 0.5)]
    monitor._show_map()
    return monitor


WIDGETS = [projector, threshold_explorer, search_box, training_monitor]
each_widget = pytest.mark.parametrize("make", WIDGETS)


def states(widget):
    """What a widget and its parts send to the browser, but for bytes."""
    yield json.dumps(widget.get_state(), default=lambda value: None, ensure_ascii=False)
    for part in getattr(widget, "children", ()):
        yield from states(part)


@each_widget
def test_what_goes_to_the_browser_is_unicode_and_shows_the_bytes(make):
    widget = make()
    sent = "".join(states(getattr(widget, "view", widget)))
    assert sent.encode("utf-8").decode("utf-8") == sent
    assert json.dumps(SHOWN)[1:-1] in sent


@each_widget
def test_the_still_picture_can_be_drawn(make):
    bundle = make()._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["image/png"].startswith(b"\x89PNG")


def test_a_page_of_its_own_is_unicode_and_its_title_shows_the_bytes(tmp_path):
    page = projector().to_html(tmp_path / "page.html", title=ODD).read_text(encoding="utf-8")
    assert f"<title>{SHOWN}</title>" in page
    assert json.dumps(SHOWN)[1:-1] in page
    assert "\\udce9" not in page
