import io
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from simnb import plots
from simnb.calibration import Calibration, Curves, Cutpoint, Goal, calibrate
from simnb.data import LazyImages
from simnb.index import UNKNOWN, Neighbors, Tuning
from simnb.matching import match
from simnb.plots import _canvas, _style

NAMES = ("airplane", "bird", "cat", "dog")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def paint(drawn):
    """Draw for real, so that warnings of the renderer fail the test; return the number of bytes."""
    figure = drawn if isinstance(drawn, plt.Figure) else drawn.figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return len(buffer.getvalue())


def examples(labels, ids, *, class_names=NAMES, shape=(4, 4, 3)):
    """Images whose every pixel holds 4 times the id, which display keeps apart."""
    ids = np.asarray(ids)
    images = np.broadcast_to((ids * 4).astype(np.uint8)[:, None, None, None], (len(ids), *shape))
    return SimpleNamespace(images=images, labels=np.asarray(labels), class_names=class_names, ids=ids)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def borders(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def shown_ids(ax):
    """Ids of the drawn images, in drawing order, read back from their pixels."""
    return [int(np.asarray(image.get_array()).ravel()[0]) >> 2 for image in ax.images]


def small_search():
    """Three queries, two neighbors each; the gallery in an order that is not that of its ids."""
    gallery = examples([2, 0, 1, 0], [40, 10, 30, 20])
    queries = examples([0, 1, 3], [50, 51, 52])
    neighbors = Neighbors(
        np.array([[0.1, 0.3], [0.2, 0.4], [0.25, np.inf]], np.float32),
        np.array([[20, 30], [40, 10], [30, -1]]),
        np.array([[0, 1], [2, 0], [1, UNKNOWN]]),
        "cosine",
    )
    return queries, neighbors, gallery


def test_only_the_images_that_are_drawn_are_read():
    queries, neighbors, gallery = small_search()
    read = []

    def counted(part, name):
        def rows(positions):
            read.append((name, positions.tolist()))
            return part.images[positions]

        images = LazyImages(rows, len(part.labels), part.images.shape[1:], part.images.dtype)
        return SimpleNamespace(**{**vars(part), "images": images})

    plots.neighbor_grid(counted(queries, "query"), neighbors, counted(gallery, "gallery"), num_queries=1)
    assert read == [("query", [0]), ("gallery", [2, 3])]


def many_thresholds(count=20_000, at=12_345):
    number = np.arange(count)
    curves = Curves(np.linspace(0.1, 1.9, count - 1), number - number // 3, number // 3, 0 * number, count, 0)
    chosen = Cutpoint(Goal("optimal", "f1"), float(curves.threshold[at]), curves.at(at))
    return Calibration({"optimal": chosen}, curves, "nearest", 1, "cosine", 0)


def small_calibration(**options):
    distances = np.array([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]], np.float32)
    labels = np.array([[0], [1], [0], [1], [0], [1]])
    neighbors = Neighbors(distances, np.arange(6)[:, None], labels, "squared_euclidean")
    return calibrate(neighbors, [0, 1, 0, 0, 2, 1], **options)


# image_grid


def test_a_batch_in_class_order_names_each_class_once_at_its_row():
    batch = examples(np.repeat([2, 0, 3], 4), np.arange(12))
    figure = plots.image_grid(batch.images, batch.labels, class_names=NAMES, columns=4)
    assert texts(figure.axes[0]) == ["cat", "airplane", "dog"]
    assert shown_ids(figure.axes[0]) == list(range(12))
    rows = [text.get_position()[1] for text in figure.axes[0].texts]
    assert rows == sorted(rows)
    assert "3 classes, 12 images" in figure.axes[0].get_title(loc="left")
    paint(figure)


def test_a_mixed_batch_names_the_class_above_every_image():
    batch = examples([2, 0, 3, 2, 1], np.arange(5))
    figure = plots.image_grid(batch.images, batch.labels, class_names=NAMES, columns=3)
    ax = figure.axes[0]
    assert texts(ax) == ["cat", "airplane", "dog", "cat", "bird"]
    for text, image in zip(ax.texts, ax.images, strict=True):
        left, right, bottom, top = image.get_extent()
        assert text.get_position()[0] == pytest.approx((left + right) / 2)
        assert text.get_position()[1] <= top < bottom  # y grows downwards
    paint(figure)


def test_a_batch_without_labels_or_names_is_drawn():
    batch = examples([5, 7], [1, 2])
    assert texts(plots.image_grid(batch.images).axes[0]) == []
    assert texts(plots.image_grid(batch.images, batch.labels).axes[0]) == ["5", "7"]
    figure = plots.image_grid(batch.images[:1], title="One")
    assert figure.axes[0].get_title(loc="left") == "One"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_colour_and_transparent_images_are_drawn(channels):
    figure = plots.image_grid(np.full((3, 5, 7, channels), 200, np.uint8))
    assert len(figure.axes[0].images) == 3
    paint(figure)


def test_images_keep_their_proportions():
    image = plots.image_grid(np.zeros((1, 10, 20, 3), np.uint8)).axes[0].images[0]
    left, right, bottom, top = image.get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 255], np.uint8), [0, 255]),
        (np.array([0, 300], np.int64), [0, 255]),
        (np.array([0.0, 1.0], np.float32), [0, 255]),
        (np.array([0.0, 1.2], np.float32), [0, 255]),
        (np.array([-1.0, 1.0], np.float64), [0, 255]),
        (np.array([0.0, 255.0], np.float32), [0, 255]),
        (np.array([0, 128, 255], np.uint8), [0, 129, 255]),
        (np.array([-1.0, 0.0, 1.0], np.float32), [0, 129, 255]),
    ],
)
def test_numbers_of_every_usual_range_become_pixels(values, expected):
    pixels = _canvas.displayable(values.reshape(1, 1, -1, 1))
    assert pixels.dtype == np.uint8
    assert pixels.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 4, 3)), r"images must have shape .*; for one image pass image\[None\]"),
        (np.zeros((2, 4, 4, 2)), "images must have 1, 3 or 4 channels, got 2"),
        (np.zeros((0, 4, 4, 3)), "images must hold at least one example"),
        (np.full((1, 4, 4, 3), np.nan), "images must be finite"),
    ],
)
def test_what_are_not_images_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(images)


def test_labels_that_do_not_fit_are_refused():
    images = np.zeros((2, 4, 4, 3))
    with pytest.raises(ValueError, match="labels and images must have the same length, got 3 and 2"):
        plots.image_grid(images, [0, 1, 2])
    with pytest.raises(ValueError, match="class_names must name every one of the labels, got 2 names and la"):
        plots.image_grid(images, [0, 2], class_names=("a", "b"))
    with pytest.raises(ValueError, match=r"class_names must name every .* label -2"):
        plots.image_grid(images, [0, -2], class_names=("a", "b"))
    with pytest.raises(ValueError, match="columns must be an integer of at least 1"):
        plots.image_grid(images, columns=0)


def test_long_names_are_cut_and_dollars_are_no_mathematics():
    images = np.zeros((2, 4, 4, 3))
    figure = plots.image_grid(images, [0, 1], class_names=["an endless name of some class", "$1 and $2"])
    assert texts(figure.axes[0])[0].endswith("…")
    assert texts(figure.axes[0])[1] == r"\$1 and \$2"
    paint(figure)


# neighbor_grid


def test_neighbors_are_looked_up_by_id_and_padding_stays_empty():
    figure = plots.neighbor_grid(*small_search())
    assert shown_ids(figure.axes[0]) == [50, 20, 30, 51, 40, 10, 52, 30]
    paint(figure)


def test_right_and_wrong_differ_in_symbol_line_and_colour():
    ax = plots.neighbor_grid(*small_search()).axes[0]
    right = [True, False, False, False, False]
    captions = [text for text in texts(ax) if text[0] in "✓✗" and "solid" not in text]
    assert captions == [
        "✓ airplane", "✗ bird", "✗ cat", "✗ airplane", "✗ bird",
    ]  # fmt: skip
    assert [b.get_linestyle() in ("-", "solid") for b in borders(ax)] == right
    colors = [matplotlib.colors.to_hex(b.get_edgecolor()).upper() for b in borders(ax)]
    assert colors == [_style.RIGHT if r else _style.WRONG for r in right]
    neighbors_drawn = [image for image in ax.images if image.get_extent()[0] > 0.5]
    for border, image in zip(borders(ax), neighbors_drawn, strict=True):
        assert border.get_x() == pytest.approx(image.get_extent()[0])
        assert border.get_y() == pytest.approx(image.get_extent()[3])


def test_a_query_whose_class_the_gallery_lacks_is_marked():
    ax = plots.neighbor_grid(*small_search()).axes[0]
    assert texts(ax).count("not in gallery") == 1
    y = next(text.get_position()[1] for text in ax.texts if text.get_text() == "not in gallery")
    dog = next(text.get_position()[1] for text in ax.texts if text.get_text() == "dog")
    assert 0 < y - dog < 0.5


def test_a_neighbor_without_label_is_never_right():
    queries, _, gallery = small_search()
    queries.labels = np.array([UNKNOWN, 1, 3])
    neighbors = Neighbors(np.zeros((3, 1)), np.full((3, 1), 10), np.full((3, 1), UNKNOWN))
    ax = plots.neighbor_grid(queries, neighbors, gallery, num_queries=1).axes[0]
    assert "✗ unknown" in texts(ax)


def test_neighbors_beyond_the_threshold_are_named_and_faded():
    queries, neighbors, gallery = small_search()
    ax = plots.neighbor_grid(queries, neighbors, gallery, threshold=0.2).axes[0]
    numbers = [text for text in texts(ax) if text.startswith("0.")]
    # 0.2 itself matches, although float32(0.2) > 0.2.
    assert numbers == ["0.100", "0.300 beyond", "0.200", "0.400 beyond", "0.250 beyond"]
    assert [b.get_gid() for b in borders(ax)] == ["right", "unknown", "wrong", "unknown", "unknown"]
    assert len({(b.get_edgecolor(), str(b.get_linestyle())) for b in borders(ax)}) == 3
    symbols = [text[0] for text in texts(ax) if text[0] in "✓✗?" and "solid" not in text]
    assert symbols == ["✓", "?", "✗", "?", "?"]
    assert any("threshold 0.200" in text for text in texts(ax))
    values = {i: int(np.asarray(image.get_array()).max()) for i, image in enumerate(ax.images)}
    assert values[1] == 20 * 4  # id 20, as it is
    assert values[2] > 200  # id 30, bleached
    assert not any("beyond" in text for text in texts(plots.neighbor_grid(*small_search()).axes[0]))


def test_one_query_with_one_neighbor_and_a_count_of_queries():
    queries, neighbors, gallery = small_search()
    assert len(plots.neighbor_grid(queries, neighbors, gallery, num_queries=2).axes[0].images) == 6
    first = examples([0], [50])
    one = Neighbors(neighbors.distances[:1, :1], neighbors.ids[:1, :1], neighbors.labels[:1, :1])
    figure = plots.neighbor_grid(first, one, gallery)
    assert figure.axes[0].get_title(loc="left").startswith("1 of 1 query")
    paint(figure)


def test_what_does_not_belong_together_is_refused():
    queries, neighbors, gallery = small_search()
    with pytest.raises(ValueError, match="queries and neighbors must have the same length, got 3 and 2"):
        plots.neighbor_grid(queries, neighbors[:2], gallery)
    with pytest.raises(ValueError, match="must hold every id in neighbors, but lacks 1, for example 30"):
        plots.neighbor_grid(queries, neighbors, examples([2, 0, 0], [40, 10, 20]))
    with pytest.raises(ValueError, match=r"queries must be Examples with .*, got ndarray without images"):
        plots.neighbor_grid(np.zeros((3, 4, 4, 3)), neighbors, gallery)
    with pytest.raises(ValueError, match=r"gallery\.labels and gallery\.images must have the same length"):
        plots.neighbor_grid(queries, neighbors, SimpleNamespace(**(vars(gallery) | {"labels": np.arange(3)})))
    with pytest.raises(ValueError, match="class_names must name every one of the neighbors"):
        plots.neighbor_grid(queries, neighbors, SimpleNamespace(**(vars(gallery) | {"class_names": ("a",)})))
    with pytest.raises(ValueError, match="queries must hold at least one example"):
        plots.neighbor_grid(examples(np.zeros(0, int), np.zeros(0, int)), neighbors[:0], gallery)


# rejected_grid


def test_rejections_are_told_apart_into_right_ones_and_losses():
    queries, neighbors, gallery = small_search()
    figure = plots.rejected_grid(queries, neighbors, match(neighbors, 0.05), gallery)
    ax = figure.axes[0]
    verdicts = [text for text in texts(ax) if text[0] in "✓✗"]
    assert verdicts == [
        "✓ spared: nearest is wrong",
        "✓ spared: class not in gallery",
        "✗ lost: nearest was right",
    ]
    assert shown_ids(ax) == [51, 40, 52, 30, 50, 20]
    assert [b.get_linestyle() in ("-", "solid") for b in borders(ax)] == [True, True, False]
    assert (
        " ".join(ax.get_title(loc="left").split())
        == "3 of 3 queries rejected: 2 spared a wrong label, 1 lost the right one"
    )
    paint(figure)


def test_only_rejected_queries_are_drawn_and_only_so_many():
    queries, neighbors, gallery = small_search()
    matches = match(neighbors, 0.15)
    ax = plots.rejected_grid(queries, neighbors, matches, gallery).axes[0]
    assert shown_ids(ax) == [51, 40, 52, 30]
    ax = plots.rejected_grid(queries, neighbors, matches, gallery, num_queries=1).axes[0]
    assert shown_ids(ax) == [51, 40]
    assert any("Shown: 1 spared, 0 lost" in text.replace("\n", " ") for text in texts(ax))


def test_half_of_the_shown_rejections_are_losses_where_there_are_enough():
    count = 12
    gallery, queries = (
        examples([0, 1], [0, 1]),
        examples(np.arange(count) % 4 // 3, np.arange(10, 10 + count)),
    )
    labels = np.ones((count, 1), int)  # every fourth query is of class 1, and a loss
    neighbors = Neighbors(np.full((count, 1), 0.5), labels, labels)
    ax = plots.rejected_grid(queries, neighbors, match(neighbors, 0.1), gallery, num_queries=4).axes[0]
    assert shown_ids(ax)[::2] == [10, 11, 13, 17]
    ax = plots.rejected_grid(queries, neighbors, match(neighbors, 0.1), gallery, num_queries=8).axes[0]
    assert shown_ids(ax)[::2] == [10, 11, 12, 14, 15, 13, 17, 21]


def test_a_figure_says_so_when_nothing_was_rejected():
    queries, neighbors, gallery = small_search()
    figure = plots.rejected_grid(queries, neighbors, match(neighbors), gallery)
    assert figure.axes[0].get_title(loc="left") == "None of 3 queries was rejected"
    assert not figure.axes[0].images
    paint(figure)


def test_a_rejected_query_without_any_neighbor_stands_alone():
    queries, _, gallery = small_search()
    neighbors = Neighbors(np.full((3, 1), np.inf), np.full((3, 1), -1), np.full((3, 1), UNKNOWN))
    figure = plots.rejected_grid(queries, neighbors, match(neighbors, 0.1), gallery)
    assert shown_ids(figure.axes[0]) == [50, 51, 52]
    assert texts(figure.axes[0]).count("✓ spared: no neighbor") == 2
    paint(figure)


def test_matches_of_other_queries_are_refused():
    queries, neighbors, gallery = small_search()
    with pytest.raises(ValueError, match="matches and neighbors must have the same length, got 2 and 3"):
        plots.rejected_grid(queries, neighbors, match(neighbors[:2]), gallery)


# metric_curves, precision_recall, training_curves


def line(ax, gid):
    return next(line for line in ax.lines if line.get_gid() == gid)


def test_the_cutpoint_line_stands_at_the_threshold():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.metric_curves(calibration)
    assert set(line(ax, "cutpoint").get_xdata()) == {calibration.threshold}
    assert f"cutpoint {calibration.threshold:.3f}" in texts(ax)
    assert "squared euclidean distance" in ax.get_xlabel()
    paint(ax)


def test_every_metric_is_drawn_as_calibrated_in_a_line_style_of_its_own():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.metric_curves(calibration)
    names = ("precision", "recall", "f1", "accuracy", "coverage", "false_acceptance")
    for name in names:
        np.testing.assert_array_equal(
            line(ax, name).get_ydata(),
            getattr(calibration.curves, name)[[0, *range(len(calibration.curves))]],
        )
        np.testing.assert_array_equal(line(ax, name).get_xdata()[2:], calibration.curves.threshold[1:])
    # Line styles and widths together: precision and the maximized F1 are both solid.
    looks = {(str(line(ax, n)._unscaled_dash_pattern), line(ax, n).get_linewidth()) for n in names}
    assert len(looks) == len(names)


def test_the_legend_gives_the_rates_at_the_cutpoint_and_says_which_was_maximized():
    calibration = small_calibration(known_labels=[0, 1], maximize="precision")
    legend = [text.get_text() for text in plots.metric_curves(calibration).get_legend().get_texts()]
    precision = next(text for text in legend if "precision" in text)
    assert precision.strip() == f"{calibration.rates['precision']:.1%}  precision (maximized)"
    assert sum("maximized" in text for text in legend) == 1


def test_reject_everything_is_drawn_at_the_left_edge():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.metric_curves(calibration)
    x, recall = line(ax, "recall").get_data()
    assert x[0] == ax.get_xlim()[0]
    assert np.isfinite(x).all()
    # It holds up to the first threshold that accepts anything.
    assert x[1] == calibration.curves.threshold[1]
    assert recall[:2].tolist() == [0, 0]


def test_without_unknown_queries_there_is_no_false_acceptance():
    ax = plots.metric_curves(small_calibration())
    assert "false_acceptance" not in [line.get_gid() for line in ax.lines]
    paint(ax)


@pytest.mark.parametrize("answered", [True, False])
def test_a_calibration_that_rejects_everything_is_drawn(answered):
    labels, distance = (0, 0.5) if answered else (UNKNOWN, np.inf)
    neighbors = Neighbors(np.full((2, 1), distance), np.array([[1], [2]]), np.full((2, 1), labels))
    calibration = calibrate(neighbors, [1, 1])
    assert calibration.threshold == -np.inf
    ax = plots.metric_curves(calibration)
    assert "reject everything" in texts(ax)
    assert line(ax, "cutpoint").get_xdata()[0] == ax.get_xlim()[0]
    paint(ax)
    paint(plots.precision_recall(calibration))


@pytest.mark.parametrize("at", [1, 777, 12_345, 19_999])
def test_thinning_keeps_the_cutpoint_and_the_ends(at):
    calibration = many_thresholds(at=at)
    x = line(plots.metric_curves(calibration), "recall").get_xdata()
    assert len(x) <= 1_002
    assert calibration.threshold in x
    assert x[-1] == calibration.curves.threshold[-1]
    assert np.diff(x[1:]).max() < 0.05
    drawn = line(plots.precision_recall(calibration), "curve").get_xdata()
    assert calibration.curves.recall[at] in drawn
    assert len(drawn) <= 1_001


def test_precision_recall_marks_the_cutpoint_and_leaves_reject_everything_out():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.precision_recall(calibration)
    mark = line(ax, "cutpoint")
    assert mark.get_xdata()[0] == calibration.rates["recall"]
    assert mark.get_ydata()[0] == calibration.rates["precision"]
    np.testing.assert_array_equal(line(ax, "curve").get_xdata(), calibration.curves.recall[1:])
    np.testing.assert_array_equal(line(ax, "curve").get_ydata(), calibration.curves.precision[1:])
    assert f"cutpoint {calibration.threshold:.3f}" in texts(ax)
    paint(ax)


def test_any_cutpoint_can_be_marked_and_the_others_are_thin_lines():
    targets = {"careful": "precision >= 0.9", "wide": "coverage >= 1"}
    calibration = small_calibration(known_labels=[0, 1], maximize="f1", targets=targets)
    ax = plots.metric_curves(calibration, cutpoint="careful")
    curves = calibration.curves
    marked = {
        "cutpoint": "careful",
        "cutpoint: optimal": "optimal",
        "cutpoint: wide": "wide",
    }
    for gid, name in marked.items():
        at = curves.threshold[curves.position(calibration[name].threshold)]
        assert line(ax, gid).get_xdata()[0] == at
    assert ax.get_title(loc="left").startswith("Precision >= 90.0%: 100.0% at distance ")
    mark = line(plots.precision_recall(calibration, cutpoint="wide"), "cutpoint")
    assert mark.get_xdata()[0] == calibration["wide"].rates["recall"]
    with pytest.raises(ValueError, match="cutpoint must be one of optimal, careful, wide; got 'loose'"):
        plots.metric_curves(calibration, cutpoint="loose")
    unmet = small_calibration(known_labels=[0, 1], targets={"recall": 1.0})
    assert plots.metric_curves(unmet).get_title(loc="left").startswith("No threshold keeps recall >= 100.0%")


def test_of_thresholds_by_class_the_single_one_is_drawn_with_its_own_rates():
    calibration = small_calibration(known_labels=[0, 1], per_class=True)
    ax = plots.metric_curves(calibration)
    single = calibration.curves.rates(calibration.cutpoint.threshold)
    assert ax.get_title(loc="left").startswith(f"One threshold for all classes: F1 {single['f1']:.1%} at")
    assert (
        plots.precision_recall(calibration).get_title(loc="left").startswith("One threshold for all classes")
    )


def test_axes_that_are_given_are_drawn_into():
    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    calibration = small_calibration(known_labels=[0, 1])
    assert plots.metric_curves(calibration, ax=axes[0, 0]) is axes[0, 0]
    assert plots.precision_recall(calibration, ax=axes[0, 1], title="Mine") is axes[0, 1]
    assert plots.confusion_matrix([0, 1], [0, 1], ax=axes[1, 0]) is axes[1, 0]
    assert plots.embedding_map(np.eye(4), [0, 0, 1, 1], method="pca", ax=axes[1, 1]) is axes[1, 1]
    assert axes[0, 1].get_title(loc="left") == "Mine"
    paint(figure)


def test_training_splits_losses_from_metrics_and_spreads_short_lists():
    figure = plots.training_curves(
        {
            "loss": [3, 2, 1, 0.5],
            "val_loss": [2, 1],
            "recall_at_1": [0.1, 0.2, None, 0.4],
            "learning_rate": [1],
        }
    )
    losses, metrics = figure.axes
    assert [line.get_label() for line in losses.lines] == ["loss", "val loss"]
    assert losses.lines[1].get_xdata().tolist() == [2, 4]
    assert losses.lines[1].get_linestyle() == "--"
    assert [line.get_label() for line in metrics.lines] == ["R@1"]
    assert figure.get_suptitle() == "4 epochs of training"
    paint(figure)


def test_training_takes_a_keras_history_and_refuses_an_empty_one():
    assert len(plots.training_curves(SimpleNamespace(history={"loss": [1.0]})).axes) == 1
    with pytest.raises(ValueError, match="history must hold at least one list of numbers, got none"):
        plots.training_curves({"loss": []})


# confusion_matrix


TRUTH = np.array([0, 0, 0, 1, 1, 3, 3, 3, UNKNOWN, 2])
ANSWERS = np.array([0, 0, UNKNOWN, 0, 1, 1, UNKNOWN, UNKNOWN, UNKNOWN, 2])


def matrix(ax):
    return np.asarray(ax.images[0].get_array())


def tick_names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_counts_are_those_counted_by_hand():
    ax = plots.confusion_matrix(TRUTH, ANSWERS, class_names=NAMES, known_labels=[2, 1, 0, 0], normalize=False)
    assert tick_names(ax.xaxis) == ["airplane", "bird", "cat", "Unknown"]
    assert tick_names(ax.yaxis) == ["airplane", "bird", "cat", "dog (held out)", "Unknown"]
    expected = [[2, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 2], [0, 0, 0, 1]]
    np.testing.assert_array_equal(matrix(ax), expected)
    assert ax.get_title(loc="left").startswith("70.0% of 10 answers")
    paint(ax)


def test_shares_are_percent_of_each_row_and_written_into_the_cells():
    ax = plots.confusion_matrix(TRUTH, ANSWERS, class_names=NAMES, known_labels=[0, 1, 2])
    np.testing.assert_allclose(matrix(ax).sum(axis=1), 100)
    np.testing.assert_allclose(matrix(ax)[3], [0, 100 / 3, 0, 200 / 3])
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[(3, 3)] == "67"
    assert (0, 3) not in cells


def test_the_right_cell_of_every_row_is_outlined():
    ax = plots.confusion_matrix(TRUTH, ANSWERS, class_names=NAMES, known_labels=[0, 1, 2])
    centres = [path.get_extents().get_points().mean(axis=0) for path in ax.collections[0].get_paths()]
    np.testing.assert_allclose(centres, [(0, 0), (1, 1), (2, 2), (3, 3), (3, 4)], atol=1e-9)


def test_without_known_labels_every_class_is_known_and_unknown_has_a_column():
    ax = plots.confusion_matrix([4, 9], [9, 4])
    assert tick_names(ax.xaxis) == ["4", "9", "Unknown"]
    np.testing.assert_array_equal(matrix(ax), [[0, 100, 0], [100, 0, 0]])


@pytest.mark.parametrize(("count", "text"), [(1, "<1"), (2, "1"), (3, "2")])
def test_no_cell_with_a_query_in_it_says_0(count, text):
    ax = plots.confusion_matrix([0] * 200, [1] * count + [0] * (200 - count))
    assert [t.get_text() for t in ax.texts] == [f"{100 - count / 2:.0f}", text]
    counts = plots.confusion_matrix([0] * 200, [1] * count + [0] * (200 - count), normalize=False)
    assert [t.get_text() for t in counts.texts] == [str(200 - count), str(count)]


def test_numbers_are_light_on_dark_cells_and_dark_on_light_ones():
    ax = plots.confusion_matrix([0] * 10 + [1], [0] * 9 + [1, 1])
    colors = {text.get_text(): text.get_color() for text in ax.texts}
    assert colors["90"] == "white"
    assert colors["10"] == _style.INK


def test_a_hundred_classes_are_drawn_without_numbers_and_with_fewer_names():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 100, 2_000)
    answers = np.where(truth < 80, truth, UNKNOWN)
    names = [f"class number {i}" for i in range(100)]
    ax = plots.confusion_matrix(truth, answers, class_names=names, known_labels=range(80))
    assert matrix(ax).shape == (100, 81)
    assert not ax.texts
    assert 10 < len(tick_names(ax.yaxis)) <= 30
    assert "class number 80 (held out)" in tick_names(ax.yaxis)
    assert tick_names(ax.xaxis)[-1] == "Unknown"
    assert np.diff(ax.get_yticks()).min() >= 4
    paint(ax)


def test_impossible_answers_are_refused():
    with pytest.raises(ValueError, match="predicted must be among known_labels or UNKNOWN, got 3"):
        plots.confusion_matrix([0, 1], [0, 3], known_labels=[0, 1])
    with pytest.raises(ValueError, match="predicted and labels must have the same length, got 1 and 2"):
        plots.confusion_matrix([0, 1], [0])
    with pytest.raises(ValueError, match="labels must hold at least one example"):
        plots.confusion_matrix([], [])
    with pytest.raises(ValueError, match="class_names must name every"):
        plots.confusion_matrix([0, 1], [0, 5], class_names=NAMES)


# embedding_map


def blobs(count=60, classes=3, dim=8, seed=1):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return rng.normal(size=(classes, dim))[labels] * 4 + rng.normal(size=(count, dim)), labels


def positions(ax):
    return {c.get_gid(): np.asarray(c.get_offsets()) for c in ax.collections}


def test_the_map_is_the_same_for_the_same_seed_and_leaves_the_global_generator_alone():
    embeddings, labels = blobs()
    before = np.random.get_state()[1].copy()
    first, second = (positions(plots.embedding_map(embeddings, labels, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    for gid, points in first.items():
        np.testing.assert_array_equal(points, second[gid])


def test_tsne_keeps_classes_together():
    embeddings, labels = blobs()
    groups = positions(plots.embedding_map(embeddings, labels))
    centres = {gid: points.mean(axis=0) for gid, points in groups.items()}
    for gid, points in groups.items():
        to_own = np.linalg.norm(points - centres[gid], axis=1)
        for other, centre in centres.items():
            if other != gid:
                assert (to_own < np.linalg.norm(points - centre, axis=1)).all()


def test_pca_shows_the_two_directions_of_largest_variance():
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(3.0)), axis=-1).reshape(-1, 2)
    embeddings = np.insert(grid, 1, 7.0, axis=1)
    ax = plots.embedding_map(embeddings, np.zeros(15, int), method="pca")
    points = positions(ax)["0"]
    np.testing.assert_allclose(points[:, 0], grid[:, 0] / 4, atol=1e-6)
    np.testing.assert_allclose(points[:, 1], grid[:, 1] / 4 + 0.25, atol=1e-6)
    assert ax.get_xlabel() == "principal component 1"


def test_classes_differ_in_colour_and_marker_and_are_named():
    embeddings, labels = blobs(count=100, classes=10, dim=16)
    ax = plots.embedding_map(embeddings, labels, method="pca", class_names=[f"c{i}" for i in range(10)])
    assert len({str(c.get_facecolor()[0]) for c in ax.collections}) == 10
    assert len({c.get_paths()[0].vertices.tobytes() for c in ax.collections}) == 10
    assert len({_style.class_style(i) for i in range(110)}) == 110
    named = {text.get_text(): text.get_position() for text in ax.texts}
    assert {f"c{i}" for i in range(10)} <= set(named)
    paint(ax)


def test_a_class_is_named_where_its_points_are_not_between_them():
    rng = np.random.default_rng(0)
    close, loose = rng.normal([0, 0], 0.1, (12, 2)), rng.normal([10, 4], 1.0, (13, 2))
    points = np.concatenate([close, loose])
    ax = plots.embedding_map(points, np.zeros(25, int), points=points, method="pca", class_names=["deer"])
    (at,) = (text.get_position() for text in ax.texts if text.get_text() == "deer")
    drawn = positions(ax)["0"]
    assert np.linalg.norm(drawn[:12] - at, axis=1).max() < 0.1
    assert np.linalg.norm(drawn[12:] - at, axis=1).min() > 0.3


def test_held_out_classes_are_hollow_and_named_so():
    embeddings, labels = blobs()
    labels = np.where(labels == 2, UNKNOWN, labels)
    ax = plots.embedding_map(embeddings, labels, method="pca", class_names=NAMES, held_out=[1])
    solid, hollow = (c for c in ax.collections if c.get_gid() in "01")
    assert len(solid.get_facecolor()) == 1
    assert len(hollow.get_facecolor()) == 0
    assert "bird (held out)" in texts(ax)
    assert "unknown" in texts(ax)
    paint(ax)


def test_images_do_not_pile_up_and_lie_over_their_points():
    embeddings, labels = blobs(count=200)
    ids = np.arange(200) % 60
    images = examples(labels, ids).images
    ax = plots.embedding_map(embeddings, labels, images=images, method="pca", num_images=40)
    boxes = [image.get_extent() for image in ax.images]
    assert 5 < len(boxes) <= 40
    for i, (left, right, bottom, top) in enumerate(boxes):
        for other in boxes[:i]:
            assert right <= other[0] or other[1] <= left or top <= other[2] or other[3] <= bottom
    points = np.empty((200, 2))
    for label, found in positions(ax).items():
        points[labels == int(label)] = found
    for box, drawn in zip(boxes, shown_ids(ax), strict=True):
        centre = ((box[0] + box[1]) / 2, (box[2] + box[3]) / 2)
        nearest = np.linalg.norm(points - centre, axis=1).argmin()
        assert ids[nearest] == drawn
    assert len(plots.embedding_map(embeddings, labels, images=images, method="pca", num_images=2).images) == 2
    paint(ax)


def test_the_seed_chooses_the_images():
    embeddings, labels = blobs()
    images = examples(labels, np.arange(60)).images
    chosen = [
        shown_ids(
            plots.embedding_map(embeddings, labels, images=images, method="pca", num_images=5, seed=seed)
        )
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("count", [4, 5, 31])
def test_tsne_takes_few_embeddings(count):
    embeddings, labels = blobs(count=count)
    ax = plots.embedding_map(embeddings, labels)
    paint(ax)
    assert sum(len(points.get_offsets()) for points in ax.collections) == count


@pytest.mark.parametrize("embeddings", [np.ones((1, 3)), np.ones((6, 3)), np.arange(6.0)[:, None]])
@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_degenerate_embeddings_are_drawn(embeddings, method):
    if len(embeddings) < 4 and method == "tsne":
        with pytest.raises(ValueError, match="tsne needs at least 4 embeddings, got 1; pass method='pca'"):
            plots.embedding_map(embeddings, np.zeros(len(embeddings), int))
        return
    ax = plots.embedding_map(embeddings, np.zeros(len(embeddings), int), method=method)
    assert np.isfinite(positions(ax)["0"]).all()
    paint(ax)


def test_a_hundred_classes_name_only_what_finds_room():
    embeddings, labels = blobs(count=400, classes=100, dim=32)
    names = [f"some class number {i}" for i in range(100)]
    ax = plots.embedding_map(embeddings, labels, method="pca", class_names=names)
    assert 10 < len(ax.texts) < 100
    assert ax.get_legend() is None
    paint(ax)


def test_the_note_warns_of_distances_on_the_map():
    embeddings, labels = blobs(count=12)
    assert "need not be far apart" in " ".join(texts(plots.embedding_map(embeddings, labels)))
    note = " ".join(texts(plots.embedding_map(embeddings, labels, method="pca")))
    assert "Two directions out of many" in note


def test_a_map_refuses_what_does_not_fit():
    embeddings, labels = blobs()
    with pytest.raises(ValueError, match="labels and embeddings must have the same length, got 59 and 60"):
        plots.embedding_map(embeddings, labels[:-1])
    with pytest.raises(ValueError, match="method must be one of pca, tsne, umap; got 'mds'"):
        plots.embedding_map(embeddings, labels, method="mds")
    with pytest.raises(ValueError, match="images and embeddings must have the same length, got 2 and 60"):
        plots.embedding_map(embeddings, labels, images=np.zeros((2, 4, 4, 3)))
    with pytest.raises(ValueError, match="class_names must name every one of the labels, got 2 names and la"):
        plots.embedding_map(embeddings, labels, class_names=("a", "b"))
    with pytest.raises(ValueError, match="embeddings must hold at least one example"):
        plots.embedding_map(np.zeros((0, 3)), [])


# spread, pair_distances


def by_gid(ax, gid):
    (line,) = [line for line in ax.get_lines() if line.get_gid() == gid]
    return line


def test_runs_are_dots_on_a_row_of_their_own_and_the_best_mean_is_on_top():
    ax = plots.spread({"low": [0.1, 0.3], "high": [0.5], "$mid": [0.2, 0.3, 0.4]}, chance=0.1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["low", r"\$mid", "high"]
    dots = by_gid(ax, "runs: $mid")
    assert dots.get_xdata().tolist() == [0.2, 0.3, 0.4]
    assert dots.get_ydata().tolist() == [1, 1, 1]
    assert by_gid(ax, "mean: low").get_xdata() == pytest.approx([0.2])
    assert by_gid(ax, "chance").get_xdata() == [0.1, 0.1]
    assert ax.get_title(loc="left").startswith("high has the highest mean, 0.5")
    paint(ax)


def test_without_chance_there_is_no_line_and_titles_and_axes_can_be_given():
    _, given = plt.subplots()
    ax = plots.spread({"only": [0.25]}, metric="MAP@R", ax=given, title="One way")
    assert ax is given
    assert [line.get_gid() for line in ax.get_lines()] == ["runs: only", "mean: only"]
    assert (ax.get_xlabel(), ax.get_title(loc="left").splitlines()[0]) == ("MAP@R", "One way")


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({}, "at least one way with its values, got none"),
        ({"a": [0.1], "b": []}, r"finite values, one or more, got \[\] for 'b'"),
        ({"a": [0.1, np.nan]}, r"finite values, one or more, got \[0.1, nan\] for 'a'"),
    ],
)
def test_runs_without_a_value_are_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        plots.spread(runs)


def bars(ax, name):
    """Height of each bin of a histogram, read back from its outline, and the edges of the bins."""
    (patch,) = [patch for patch in ax.patches if patch.get_gid() == name]
    # Bottom left, then the top of each bin from its left to its right edge.
    x, y = patch.get_xy().T
    return np.append(x[1:101:2], x[100]), y[1:101:2]


def test_each_histogram_holds_its_pairs_as_shares_of_them():
    # Two classes at a right angle, the pairs of a class at distance 0.
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    ax = plots.pair_distances(embeddings, [4, 4, 7, 7, 7], limits=(0, 2))
    edges, same = bars(ax, "one class")
    _, other = bars(ax, "two classes")
    assert same.sum() == pytest.approx(100)
    assert other.sum() == pytest.approx(100)
    assert np.flatnonzero(same).tolist() == [0]
    (at,) = np.flatnonzero(other)
    assert edges[at] <= 1.0 <= edges[at + 1]
    assert "one class 0.000" in ax.get_title(loc="left")
    assert "two 1.0" in ax.get_title(loc="left")
    assert ax.get_xlim()[0] <= 0 < 2 <= ax.get_xlim()[1]
    paint(ax)


def test_distances_beyond_the_limits_are_counted_in_the_outermost_bins():
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    ax = plots.pair_distances(embeddings, [0, 0, 1, 1], limits=(0.5, 1.5))
    assert np.flatnonzero(bars(ax, "one class")[1]).tolist() == [0]
    assert np.flatnonzero(bars(ax, "two classes")[1]).tolist() == [49]


def test_a_collapsed_embedding_is_drawn():
    ax = plots.pair_distances(np.ones((4, 3)), [0, 0, 1, 1])
    assert bars(ax, "one class")[1].sum() == pytest.approx(100)
    assert bars(ax, "two classes")[1].sum() == pytest.approx(100)
    paint(ax)


def test_pair_distances_refuse_what_has_no_pairs_or_limits():
    embeddings = np.eye(4)
    with pytest.raises(ValueError, match="must hold a pair of one class, got 4 labels"):
        plots.pair_distances(embeddings, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="must hold a pair of two classes, got 4 labels"):
        plots.pair_distances(embeddings, [1, 1, 1, 1])
    for limits in [(1, 0), (0,), (0, np.inf), (0, np.nan)]:
        with pytest.raises(ValueError, match="limits must be two ascending numbers, got"):
            plots.pair_distances(embeddings, [0, 0, 1, 1], limits=limits)
    with pytest.raises(ValueError, match="same length"):
        plots.pair_distances(embeddings, [0, 1])
    with pytest.raises(ValueError, match="distance must be one of"):
        plots.pair_distances(embeddings, [0, 0, 1, 1], distance="far")


# the look


def test_the_font_has_every_symbol():
    from matplotlib import font_manager

    characters = font_manager.get_font(font_manager.findfont(_style.SYMBOL_FONT)).get_charmap()
    assert {ord(_style.symbol(name)) for name in ("right", "wrong", "unknown")} <= set(characters)


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (0.0, "0.000"),
        (0.25, "0.250"),
        (0.00123, "0.0012"),
        (12.3456, "12.346"),
        (1234.5, "1,234"),
        (-0.5, "-0.500"),
    ],
)
def test_distances_are_printed_with_as_many_digits_as_they_need(distance, text):
    assert _style.number(distance) == text


def test_importing_plots_changes_no_setting_and_imports_neither_keras_nor_scikit_learn():
    code = (
        "import sys, matplotlib; before = dict(matplotlib.rcParams); import simnb.plots; "
        "print(dict(matplotlib.rcParams) == before, {'tensorflow', 'keras', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True set()\n"


# recall_against_time, rates_by_size


def test_recall_is_drawn_against_time_a_dot_a_setting():
    ours = [Tuning(16, 0.5, 0.01), Tuning(32, 0.9, 0.02)]
    ax = plots.recall_against_time({"ours": ours, "random": [Tuning(16, 0.1, 0.05)]}, target=0.95)
    lines = {line.get_gid(): line for line in ax.lines}
    assert lines["ours"].get_xydata().tolist() == [[0.01, 0.5], [0.02, 0.9]]
    assert lines["random"].get_xydata().tolist() == [[0.05, 0.1]]
    assert lines["target"].get_ydata()[0] == 0.95
    assert ax.get_xscale() == "log"
    for nothing in ({}, {"ours": []}):
        with pytest.raises(ValueError, match="tried must hold a list of at least one Tuning a name"):
            plots.recall_against_time(nothing)


def test_rates_are_drawn_against_the_size_of_the_gallery():
    _, given = plt.subplots()
    ax = plots.rates_by_size([10, 100], {"precision": [0.9, 0.8]}, ax=given, title="Falls")
    assert ax is given
    assert ax.lines[0].get_xydata().tolist() == [[10, 0.9], [100, 0.8]]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "100"]
    assert ax.get_title(loc="left") == "Falls"
    with pytest.raises(ValueError, match="rates must hold 2 values a name, one a size, got 1 for 'recall'"):
        plots.rates_by_size([10, 100], {"recall": [0.9]})
    with pytest.raises(ValueError, match="one a size, got none"):
        plots.rates_by_size([10, 100], {})


# training_curves of several seeds


def test_of_several_trainings_the_mean_and_the_range_are_drawn():
    runs = [{"loss": [3.0, 2.0, 1.0]}, {"loss": [5.0, 2.5, 1.0]}]
    figure = plots.training_curves(runs)
    (ax,) = figure.axes
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [4.0, 2.25, 1.0])
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert {3.0, 5.0, 2.0, 2.5} <= set(corners[:, 1])
    assert "mean and range of 2 runs" in figure.get_suptitle()
    assert not plots.training_curves(runs[:1]).axes[0].collections


def test_trainings_that_recorded_not_the_same_are_refused():
    with pytest.raises(ValueError, match="must have recorded the same names over the same number of epochs"):
        plots.training_curves([{"loss": [1.0]}, {"loss": [1.0, 2.0]}])
    with pytest.raises(ValueError, match="must have recorded the same names"):
        plots.training_curves([{"loss": [1.0]}, {"accuracy": [1.0]}])
    with pytest.raises(ValueError, match="history must hold at least one list"):
        plots.training_curves([])
