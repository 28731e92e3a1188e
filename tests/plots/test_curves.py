from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import plots
from simnb.calibration import Calibration, Curves, Cutpoint, Goal, calibrate
from simnb.index import UNKNOWN, Neighbors

from .drawing import drawn, paint, texts


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


# metric_curves, precision_recall, training_curves


def test_the_cutpoint_line_stands_at_the_threshold():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.metric_curves(calibration)
    assert set(drawn(ax, "cutpoint").get_xdata()) == {calibration.threshold}
    assert f"cutpoint {calibration.threshold:.3f}" in texts(ax)
    assert "squared euclidean distance" in ax.get_xlabel()
    paint(ax)


def test_on_a_logarithmic_axis_rejecting_everything_stands_at_the_left_edge():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.metric_curves(calibration, log=True)
    assert ax.get_xscale() == "log"
    low, high = ax.get_xlim()
    assert 0 < low == drawn(ax, "precision").get_xdata()[0] < 0.15
    assert high == pytest.approx(0.6)
    assert set(drawn(ax, "cutpoint").get_xdata()) == {calibration.threshold}
    paint(ax)


def test_every_metric_is_drawn_as_calibrated_in_a_line_style_of_its_own():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.metric_curves(calibration)
    names = ("precision", "recall", "f1", "accuracy", "coverage", "false_acceptance")
    for name in names:
        np.testing.assert_array_equal(
            drawn(ax, name).get_ydata(),
            getattr(calibration.curves, name)[[0, *range(len(calibration.curves))]],
        )
        np.testing.assert_array_equal(drawn(ax, name).get_xdata()[2:], calibration.curves.threshold[1:])
    # Line styles and widths together: precision and the maximized F1 are both solid.
    looks = {(str(drawn(ax, n)._unscaled_dash_pattern), drawn(ax, n).get_linewidth()) for n in names}
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
    x, recall = drawn(ax, "recall").get_data()
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
    assert drawn(ax, "cutpoint").get_xdata()[0] == ax.get_xlim()[0]
    paint(ax)
    paint(plots.precision_recall(calibration))


@pytest.mark.parametrize("at", [1, 777, 12_345, 19_999])
def test_thinning_keeps_the_cutpoint_and_the_ends(at):
    calibration = many_thresholds(at=at)
    x = drawn(plots.metric_curves(calibration), "recall").get_xdata()
    assert len(x) <= 1_002
    assert calibration.threshold in x
    assert x[-1] == calibration.curves.threshold[-1]
    assert np.diff(x[1:]).max() < 0.05
    recalls = drawn(plots.precision_recall(calibration), "curve").get_xdata()
    assert calibration.curves.recall[at] in recalls
    assert len(recalls) <= 1_001


def test_precision_recall_marks_the_cutpoint_and_leaves_reject_everything_out():
    calibration = small_calibration(known_labels=[0, 1])
    ax = plots.precision_recall(calibration)
    mark = drawn(ax, "cutpoint")
    assert mark.get_xdata()[0] == calibration.rates["recall"]
    assert mark.get_ydata()[0] == calibration.rates["precision"]
    np.testing.assert_array_equal(drawn(ax, "curve").get_xdata(), calibration.curves.recall[1:])
    np.testing.assert_array_equal(drawn(ax, "curve").get_ydata(), calibration.curves.precision[1:])
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
        assert drawn(ax, gid).get_xdata()[0] == at
    assert ax.get_title(loc="left").startswith("Precision >= 90.0%: 100.0% at distance ")
    mark = drawn(plots.precision_recall(calibration, cutpoint="wide"), "cutpoint")
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
