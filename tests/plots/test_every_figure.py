"""What holds for every figure: labelled axes, any text in it, and saved as pixels and as lines."""

import inspect
import io
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import plots
from simnb.calibration import calibrate
from simnb.data import Examples
from simnb.index import Tuning, open_index
from simnb.matching import Matches, match
from simnb.metrics import Interval
from simnb.plots import styling

from .drawing import paint, title

#: Names that mean something to a renderer, one that is no Unicode, and one that is far too long.
NAMES = (
    "$x_1^2$ & <b>",
    "a_b\\frac caf\udce9\x00\t\x85\n\ud800",
    "ключ 100 %",
    "a very long name of a class that nobody could read " * 2,
)


@pytest.fixture(scope="module")
def given():
    """A small search with mistakes, unknown queries and names that are hard to draw."""
    rng = np.random.default_rng(0)

    def examples(count, classes, first_id):
        labels = np.arange(count) % classes
        images = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
        return Examples(images, labels, NAMES, np.arange(count) + first_id)

    gallery, queries = examples(60, 3, 0), examples(80, 4, 1000)
    centers = rng.normal(size=(4, 5))
    rows = {part: centers[part.labels] + rng.normal(size=(len(part), 5)) for part in (gallery, queries)}
    index = open_index(class_names=NAMES)
    index.add(rows[gallery], gallery.labels, ids=gallery.ids)
    neighbors = index.search(rows[queries], k=4)
    known = np.unique(gallery.labels)
    calibration = calibrate(
        neighbors, queries.labels, known_labels=known, targets={"$a_b\udce9\x00$": "coverage >= 0.8"}
    )
    return {
        "gallery": gallery,
        "queries": queries,
        "rows": rows[queries],
        "neighbors": neighbors,
        "matches": match(neighbors),
        "calibration": calibration,
        "known": known,
    }


FIGURES = {
    "image_grid": lambda g: plots.image_grid(g["queries"].images, g["queries"].labels, class_names=NAMES),
    "training_curves": lambda g: plots.training_curves(
        [{"loss_$a_b\udce9\x00": [2.0, 1.5, 1.0 + seed], "recall_at_1": [0.1, 0.5, 0.6]} for seed in range(3)]
    ),
    "spread": lambda g: plots.spread({NAMES[1]: [0.1, 0.2], NAMES[2]: [0.3, 0.1]}, chance=0.1),
    "pair_distances": lambda g: plots.pair_distances(g["rows"], g["queries"].labels),
    "embedding_map": lambda g: plots.embedding_map(
        g["rows"], g["queries"].labels, images=g["queries"].images, class_names=NAMES, method="pca"
    ),
    "embedding_circle": lambda g: plots.embedding_circle(
        g["rows"][:12, :2], g["queries"].labels[:12], class_names=NAMES, turns={NAMES[0]: np.ones(12)}
    ),
    "mining_arcs": lambda g: plots.mining_arcs(
        g["rows"][:12, :2], g["queries"].labels[:12], anchor=0, positive=4, margin=0.3, class_names=NAMES
    ),
    "mining_rings": lambda g: plots.mining_rings(
        g["rows"], g["queries"].labels, anchor=0, positive=4, margin=0.3
    ),
    "class_graph": lambda g: plots.class_graph(g["rows"], g["queries"].labels, class_names=NAMES),
    "neighbor_grid": lambda g: plots.neighbor_grid(g["queries"], g["neighbors"], g["gallery"], threshold=0.1),
    "compare_neighbors": lambda g: plots.compare_neighbors(
        g["queries"], {NAMES[1]: g["neighbors"], NAMES[0]: g["neighbors"]}, g["gallery"]
    ),
    "metric_curves": lambda g: plots.metric_curves(g["calibration"]),
    "precision_recall": lambda g: plots.precision_recall(g["calibration"]),
    "match_distances": lambda g: plots.match_distances(
        g["matches"], g["queries"].labels, known_labels=g["known"], threshold=0.1, distance="cosine"
    ),
    "match_outcomes": lambda g: plots.match_outcomes(
        g["queries"], g["neighbors"], match(g["neighbors"], 0.1), g["gallery"]
    ),
    "outcome_shares": lambda g: plots.outcome_shares(g["calibration"], log=True),
    "thresholds_by_class": lambda g: plots.thresholds_by_class(
        {0: 0.1, 1: 0.2, 2: 0.15}, 0.12, class_names=NAMES, distance="cosine"
    ),
    "promise_kept": lambda g: plots.promise_kept(
        {NAMES[1]: [0.8, 0.9, 0.95], "b": [0.9, 0.99, 0.97]}, target=0.9, confidence=0.95
    ),
    "distance_shift": lambda g: plots.distance_shift(
        g["matches"].distances[:40], g["matches"].distances[40:], names=NAMES[:2], distance="cosine"
    ),
    "reliability_diagram": lambda g: plots.reliability_diagram(
        np.linspace(0.1, 0.9, 80), g["matches"].labels == g["queries"].labels
    ),
    "rates_by_class": lambda g: plots.rates_by_class([0, 1, 2], [0.5, 0.7, 0.9], class_names=NAMES),
    "confusion_matrix": lambda g: plots.confusion_matrix(
        g["queries"].labels, g["matches"].labels, class_names=NAMES, known_labels=g["known"]
    ),
    "rejected_grid": lambda g: plots.rejected_grid(
        g["queries"], g["neighbors"], match(g["neighbors"], 0.05), g["gallery"]
    ),
    "confused_pairs": lambda g: plots.confused_pairs(g["queries"], g["neighbors"], g["gallery"]),
    "hubness": lambda g: plots.hubness(g["neighbors"], len(g["gallery"])),
    "graph_walk": lambda g: plots.graph_walk(
        g["rows"][:3, :2], [[1], [0, 2], [1]], [0.0, 0.0], title=NAMES[1]
    ),
    "recall_against_time": lambda g: plots.recall_against_time(
        {NAMES[1]: [Tuning(16, 0.8, 0.01), Tuning(32, 0.9, 0.02)]}, target=0.85
    ),
    "rates_by_size": lambda g: plots.rates_by_size([10, 100], {NAMES[1]: [0.1, 0.5]}),
    "few_shot_errors": lambda g: plots.few_shot_errors(
        {"5-way 1-shot": {name: Interval(0.9, 0.8, 0.95, 0.95) for name in NAMES}},
        published={"$a_b$": {"5-way 1-shot": 0.97}},
    ),
    "rates_by_shots": lambda g: plots.rates_by_shots([1, 5], {NAMES[1]: [[0.1, 0.2], [0.5, 0.6]]}),
    "similar_parts": lambda g: plots.similar_parts(
        *g["queries"].images[:2], np.linspace(-0.1, 0.2, 36).reshape(6, 6), np.zeros((6, 6)), similarity=0.5
    ),
}

each_figure = pytest.mark.parametrize("name", FIGURES)


def draw(name, given):
    drawn = FIGURES[name](given)
    return drawn if isinstance(drawn, plt.Figure) else drawn.figure


def saved(figure, kind):
    file = io.BytesIO()
    no_date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(file, format=kind, dpi=40, metadata=no_date[kind])
    return file.getvalue()


def test_every_figure_is_tried():
    functions = {name for name in plots.__all__ if inspect.isfunction(getattr(plots, name))}
    assert functions == set(FIGURES)


@each_figure
def test_a_figure_with_any_text_can_be_saved_as_pixels_and_as_lines(name, given):
    figure = draw(name, given)
    assert saved(figure, "png").startswith(b"\x89PNG")
    assert saved(figure, "pdf").startswith(b"%PDF")
    assert b"<svg" in saved(figure, "svg")


@each_figure
def test_a_title_of_any_text_can_be_saved(name, given, monkeypatch):
    monkeypatch.setattr(plots, name, partial(getattr(plots, name), title="of caf\udce9\x00\nand \ud800"))
    assert saved(draw(name, given), "png").startswith(b"\x89PNG")


@each_figure
def test_axes_are_labelled_or_hold_nothing_but_images_or_what_a_legend_names_under_a_title(name, given):
    figure = draw(name, given)
    assert figure.axes
    for ax in figure.axes:
        if ax.get_label() == "<colorbar>":
            assert ax.get_ylabel()
        elif ax.axison:
            assert ax.get_xlabel()
            assert ax.get_ylabel() or any(label.get_text() for label in ax.get_yticklabels())
        else:
            assert ax.images or ax.texts or ax.get_legend()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert any(titles) or figure.get_suptitle()


@each_figure
def test_a_figure_can_be_drawn_under_the_style_sheet(name, given):
    with plots.style():
        assert saved(draw(name, given), "svg").count(b"<text") > 0


MATCHES = Matches(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.4], np.float32))
#: Figures that are drawn from a few numbers into axes that may be given.
OF_NUMBERS = {
    "match_distances": lambda **options: plots.match_distances(MATCHES, [0, 1, 2], threshold=0.3, **options),
    "distance_shift": lambda **options: plots.distance_shift([0.1, 0.2], [0.2, 0.4], **options),
    "reliability_diagram": lambda **options: plots.reliability_diagram([0.1, 0.9], [0, 1], **options),
    "promise_kept": lambda **options: plots.promise_kept({"a": [0.8, 0.9]}, target=0.85, **options),
    "rates_by_class": lambda **options: plots.rates_by_class([0, 1], [0.5, 0.6], **options),
    "thresholds_by_class": lambda **options: plots.thresholds_by_class({0: 0.1, 1: -np.inf}, 0.1, **options),
    "few_shot_errors": lambda **options: plots.few_shot_errors(
        {"5-way 1-shot": {"a": Interval(0.9, 0.8, 0.95, 0.95)}}, **options
    ),
    "rates_by_shots": lambda **options: plots.rates_by_shots([1, 2], {"a": [[0.1, 0.2]] * 2}, **options),
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_axes_and_title_can_be_given(name):
    _, axes = plt.subplots(1, 2, layout="constrained")
    ax = OF_NUMBERS[name](ax=axes[1], title="What to see")
    assert ax is axes[1]
    assert title(ax) == "What to see"
    assert ax.get_xlabel()
    paint(ax)


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_the_same_is_drawn_twice(name):
    assert paint(OF_NUMBERS[name]()) == paint(OF_NUMBERS[name]())


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_headings_end_within_the_figure(name):
    ax = OF_NUMBERS[name]()
    ax.figure.canvas.draw()
    heading = [ax._left_title, *[text for text in ax.texts if text.get_color() == styling.MUTED]]
    assert max(text.get_window_extent().x1 for text in heading) <= ax.figure.bbox.x1
