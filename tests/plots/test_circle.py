import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, Wedge

from simnb import plots
from simnb.plots import styling

from .drawing import drawn, legend, paint, texts, title

NAMES = ("bird", "cat")
LABELS = np.array([0, 0, 1, 1])
ANGLES = np.radians([10, 50, 120, 200])


def unit(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def arrows_of(ax, name):
    """Angles in degrees at which each arrow begins and ends."""
    paths = [p._path_original for p in ax.patches if isinstance(p, FancyArrowPatch) and p.get_gid() == name]
    return [tuple(np.degrees(np.arctan2(*path.vertices[[0, -1]].T[::-1])).round(3)) for path in paths]


def zones_of(ax):
    """(first, last) angle of each arc, by the colour of its face."""
    found = {}
    for wedge in ax.patches:
        if isinstance(wedge, Wedge):
            found.setdefault(wedge.get_facecolor()[:3], []).append((wedge.theta1, wedge.theta2))
    return list(found.values())


# embedding_circle


def test_embeddings_of_any_length_lie_on_the_circle_and_classes_are_named():
    ax = plots.embedding_circle(unit(ANGLES) * [[3], [0.1], [1], [7]], LABELS, class_names=NAMES)
    np.testing.assert_allclose(drawn(ax, "0").get_xydata(), unit(ANGLES)[:2])
    np.testing.assert_allclose(drawn(ax, "1").get_xydata(), unit(ANGLES)[2:])
    assert legend(ax) == ["bird", "cat"]
    assert {"0°", "90°", "180°", "270°"} <= set(texts(ax))
    assert title(ax) == "4 embeddings of 2 classes on a circle"


def test_arrows_begin_at_their_point_and_turn_the_way_and_as_far_as_they_are_told():
    turns = {"pull": [0.2, -0.1, 0, 0], "push": [0, 0.1, 0.2, -0.2]}
    ax = plots.embedding_circle(unit(ANGLES), LABELS, turns=turns)
    longest = np.degrees(0.42)
    pulls = arrows_of(ax, "pull")
    np.testing.assert_allclose(pulls, [(10, 10 + longest), (50, 50 - longest / 2)], atol=0.01)
    assert len(arrows_of(ax, "push")) == 3
    assert legend(ax) == ["0", "1", "pull", "push"]
    twice = plots.embedding_circle(unit(ANGLES), LABELS, turns=turns, longest=0.4)
    assert arrows_of(twice, "pull")[0][1] == pytest.approx(10 + longest / 2, abs=0.01)
    paint(ax)


def test_arrows_that_would_lie_on_each_other_are_drawn_apart():
    angles = np.radians([175, 178, -178, 0])  # three where angles begin again
    ax = plots.embedding_circle(unit(angles), LABELS, turns={"sum": [0.2, 0.2, -0.2, 0.2]})
    arrows = [p._path_original.vertices for p in ax.patches if isinstance(p, FancyArrowPatch)]
    first, second, third, far = (np.linalg.norm(arrow, axis=1).mean() for arrow in arrows)
    assert first == far
    assert second > first + 0.03
    assert third > second + 0.03


def test_arrows_of_nothing_are_left_out():
    ax = plots.embedding_circle(unit(ANGLES), LABELS, turns={"sum": np.zeros(4)})
    assert arrows_of(ax, "sum") == []
    assert "sum" in legend(ax)


def test_a_single_kind_of_arrow_is_black_and_pulls_and_pushes_differ_in_more_than_colour():
    (one,) = (p for p in plots.embedding_circle(unit(ANGLES), LABELS, turns={"sum": [1, 0, 0, 0]}).patches)
    assert one.get_edgecolor() == pytest.approx(np.append(np.array([0x22] * 3) / 255, 1))
    both = {"pull": [1, 0, 0, 0], "push": [1, 0, 0, 0]}
    pull, push = plots.embedding_circle(unit(ANGLES), LABELS, turns=both).patches
    assert pull.get_linestyle() != push.get_linestyle()
    assert pull.get_edgecolor() != push.get_edgecolor()


@pytest.mark.parametrize(("embeddings", "labels", "message"), [
    (np.ones((3, 3)), [0, 0, 1], r"embeddings must have shape \[num_examples, 2\].*got shape \(3, 3\)"),
    (np.zeros((2, 2)), [0, 1], "got a vector of length 0"),
    (np.ones((3, 2)), [0, 1], "labels"),
    (np.ones((2, 2)), [0, 2], "class_names must name"),
])  # fmt: skip
def test_what_is_no_circle_is_refused(embeddings, labels, message):
    with pytest.raises(ValueError, match=message):
        plots.embedding_circle(embeddings, labels, class_names=NAMES)


def test_turns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="turns of 'sum' and embeddings"):
        plots.embedding_circle(unit(ANGLES), LABELS, turns={"sum": [1, 2]})


# mining_arcs


def test_the_arcs_end_where_the_positive_lies_and_where_the_margin_is_met():
    ax = plots.mining_arcs(unit(ANGLES), LABELS, anchor=0, positive=1, margin=0.5)
    hard, semi_hard, easy = zones_of(ax)
    np.testing.assert_allclose(hard, [(10, 50), (-30, 10)], atol=1e-6)
    far = np.degrees(np.arccos(np.cos(np.radians(40)) - 0.5))
    np.testing.assert_allclose(semi_hard, [(50, 10 + far), (10 - far, -30)], atol=1e-6)
    np.testing.assert_allclose(easy, [(10 + far, 190), (-170, 10 - far)], atol=1e-6)
    assert {"anchor", "positive"} <= set(texts(ax))
    assert legend(ax) == ["0", "1", "hard", "semi-hard", "easy"]
    paint(ax)


def test_a_zone_without_room_is_not_drawn():
    assert len(zones_of(plots.mining_arcs(unit(ANGLES), LABELS, anchor=0, positive=1, margin=0))) == 2
    assert len(zones_of(plots.mining_arcs(unit(ANGLES), LABELS, anchor=0, positive=1, margin=2))) == 2


def test_the_words_of_two_points_at_one_place_stand_apart():
    angles = np.radians([10, 11, 120, 200])
    ax = plots.mining_arcs(unit(angles), LABELS, anchor=0, positive=1, margin=0.5)
    at = {text.get_text(): np.array(text.get_position()) for text in ax.texts}
    assert np.linalg.norm(at["anchor"] - at["positive"]) > 0.3


@pytest.mark.parametrize(("pair", "message"), [
    ((0, 0), "positive must be another example of the anchor's class, got 0 for 0"),
    ((0, 2), "got 2 for 0"),
    ((0, 4), "positive must be a position below 4, got 4"),
    ((-1, 1), "anchor must be"),
])  # fmt: skip
def test_a_pair_that_is_none_is_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        plots.mining_arcs(unit(ANGLES), LABELS, anchor=pair[0], positive=pair[1], margin=0.5)


def test_zones_and_classes_have_colours_apart():
    ax = plots.mining_arcs(unit(ANGLES), LABELS, anchor=0, positive=1, margin=0.5)
    colours = {wedge.get_facecolor() for wedge in ax.patches}
    assert len(colours) == 3
    assert styling.class_style(0)[0] not in colours


# mining_rings


def kinds_of(ax):
    """How far from the anchor the negatives of each kind are drawn."""
    of = {line.get_gid(): np.hypot(*line.get_data()) for line in ax.lines if line.get_gid()}
    return [of[kind].tolist() for kind in ("hard", "semi-hard", "easy")]


def test_negatives_are_drawn_as_far_from_the_anchor_as_they_are_and_of_their_kind():
    embeddings = np.concatenate([unit(np.radians([0, 60, 40, 80, 150])), np.zeros((5, 1))], axis=1)
    ax = plots.mining_rings(embeddings, [0, 0, 1, 1, 2], anchor=0, positive=1, margin=0.5)
    np.testing.assert_allclose(kinds_of(ax), 1 - np.cos(np.radians([[40], [80], [150]])), atol=1e-6)
    rings = [patch.get_radius() for patch in ax.patches]
    np.testing.assert_allclose(rings, [1.0, 0.5], atol=1e-6)  # the positive at 60 degrees, and the margin
    assert legend(ax) == ["hard: 1", "semi-hard: 1", "easy: 1", "anchor", "positive"]
    assert texts(ax) == ["0.500", "1.000"]
    assert title(ax) == "Negatives of one anchor: 1 hard, 1 semi-hard, 1 easy"
    paint(ax)


def test_rings_of_several_figures_can_have_one_scale():
    ax = plots.mining_rings(unit(ANGLES), LABELS, anchor=0, positive=1, margin=0.5, limit=3, title="Mine")
    assert ax.get_xlim() == (-3, 3)
    assert title(ax) == "Mine"


@pytest.mark.parametrize("limit", [100, 1e-9])
def test_a_ring_too_narrow_to_hold_its_number_or_beyond_the_edge_goes_without(limit):
    ax = plots.mining_rings(unit(ANGLES), LABELS, anchor=0, positive=1, margin=0.5, limit=limit)
    assert texts(ax) == []


def test_rings_need_a_pair():
    with pytest.raises(ValueError, match="another example of the anchor's class, got 2 for 0"):
        plots.mining_rings(unit(ANGLES), LABELS, anchor=0, positive=2, margin=0.5)
