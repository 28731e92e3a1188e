import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy.stats import binom, skew

from simnb import plots
from simnb.distances import DISTANCES, pairwise
from simnb.index import UNKNOWN, Neighbors
from simnb.plots import styling
from simnb.projection import in_unit_square

from .drawing import NAMES, examples, paint, shown_ids, texts

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
    assert len({styling.class_style(i) for i in range(110)}) == 110
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
    title, without = " ".join(ax.get_title(loc="left").split()), (labels == UNKNOWN).sum()
    assert f"{len(labels)} embeddings of 2 classes, {without} without a label: does" in title
    paint(ax)


def test_classes_that_are_not_highlighted_are_grey_and_one():
    embeddings, labels = blobs()
    links = [(0, 3), (0, 1)]  # of one class, which is grey; and of two
    ax = plots.embedding_map(embeddings, labels, method="pca", class_names="abc", highlight=[2], links=links)
    whole = positions(plots.embedding_map(embeddings, labels, method="pca"))
    assert set(positions(ax)) == {"-1", "2", "right links", "wrong links"}
    np.testing.assert_array_equal(positions(ax)["2"], whole["2"])
    assert len(positions(ax)["-1"]) == 40
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["other classes", "c"]
    assert [text.get_text() for text in ax.texts[:-1]] == ["c"]  # the last is the note
    paint(ax)
    with pytest.raises(ValueError, match="highlight must hold labels of the examples, got 3, which none has"):
        plots.embedding_map(embeddings, labels, method="pca", highlight=[2, 3])


def test_links_join_positions_solid_within_a_class_and_dashed_between_two():
    embeddings, labels = blobs()
    ax = plots.embedding_map(embeddings, labels, points=embeddings[:, :2], links=[(0, 3), (0, 1), (2, 1)])
    lines = {c.get_gid(): c for c in ax.collections if isinstance(c, LineCollection)}
    at = in_unit_square(embeddings[:, :2])
    np.testing.assert_allclose(lines["right links"].get_segments(), at[[(0, 3)]], rtol=1e-5)
    np.testing.assert_allclose(lines["wrong links"].get_segments(), at[[(0, 1), (2, 1)]], rtol=1e-5)
    assert lines["right links"].get_linestyle()[0][1] is None
    assert lines["wrong links"].get_linestyle()[0][1] is not None
    plain = plots.embedding_map(embeddings, labels, points=embeddings[:, :2])
    assert ax.collections[0].get_alpha() < plain.collections[0].get_alpha()


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ([0, 1], "links must be integers of shape"),
        ([(0.5, 1)], "links must be integers of shape"),
        ([(0, 60)], "links must be positions from 0 to 59, got 0 to 60"),
        ([(-1, 2)], "links must be positions from 0 to 59, got -1 to 2"),
    ],
)
def test_links_that_lead_nowhere_are_refused(links, message):
    with pytest.raises(ValueError, match=message):
        plots.embedding_map(*blobs(), links=links)


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


def clusters(places, each=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(places)), each)
    return np.array(places)[labels] + 0.01 * rng.normal(size=(len(labels), len(places[0]))), labels


def edges(ax):
    return {
        line.get_gid(): line.get_linewidth() for line in ax.lines if str(line.get_gid()).startswith("edge")
    }


def test_each_class_is_joined_to_its_nearest_and_the_nearest_pair_by_the_thickest_line():
    embeddings, labels = clusters([[0, 0, 0], [1, 0, 0], [4, 0, 0], [9, 0, 0]])
    ax = plots.class_graph(embeddings, labels, k=1, distance="euclidean", class_names=["a", "b", "c", "$d"])
    found = edges(ax)
    assert set(found) == {"edge: 0-1", "edge: 1-2", "edge: 2-3"}
    assert found["edge: 0-1"] > found["edge: 1-2"] > found["edge: 2-3"]
    assert ax.get_title(loc="left") == "Nearest to one another: a and b"
    texts = [text.get_text() for text in ax.texts]
    for name in ("a", "b", "c", "\\$d"):
        assert name in texts
    centers = np.stack([embeddings[labels == label].mean(axis=0) for label in range(2)])
    assert f"{pairwise(centers[:1], centers[1:], 'euclidean')[0, 0]:.3f}" in texts
    ax.figure.canvas.draw()


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_distance_joins_every_class(distance):
    embeddings, labels = clusters(np.random.default_rng(1).normal(size=(6, 4)))
    joined = {
        end
        for edge in edges(plots.class_graph(embeddings, labels, distance=distance))
        for end in edge[6:].split("-")
    }
    assert joined == set("012345")


def test_held_out_classes_are_hollow_and_unknown_examples_left_out():
    embeddings, labels = clusters([[0, 1], [1, 0]])
    labels[0] = UNKNOWN
    ax = plots.class_graph(embeddings, labels, held_out=[1], k=9)
    dots = {dot.get_gid(): dot for dot in ax.collections}
    assert set(dots) == {"0", "1"}
    assert dots["1"].get_facecolor()[0].tolist() == [1, 1, 1, 1]
    assert "Hollow: held out of training." in " ".join(text.get_text() for text in ax.texts)


def test_it_refuses_what_is_no_graph():
    with pytest.raises(ValueError, match="labels must be of two classes or more, got 1 class"):
        plots.class_graph(np.eye(2), [0, 0])
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got 0"):
        plots.class_graph(np.eye(2), [0, 1], k=0)


def histogram(ax, name):
    """Height of each bin of a histogram, read back from its outline, and the edges of the bins."""
    (patch,) = [patch for patch in ax.patches if patch.get_gid() == name]
    # Bottom left, then the top of each bin from its left to its right edge.
    x, y = patch.get_xy().T
    return np.append(x[1:101:2], x[100]), y[1:101:2]


def test_each_histogram_holds_its_pairs_as_shares_of_them():
    # Two classes at a right angle, the pairs of a class at distance 0.
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    ax = plots.pair_distances(embeddings, [4, 4, 7, 7, 7], limits=(0, 2))
    edges, same = histogram(ax, "one class")
    _, other = histogram(ax, "two classes")
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
    assert np.flatnonzero(histogram(ax, "one class")[1]).tolist() == [0]
    assert np.flatnonzero(histogram(ax, "two classes")[1]).tolist() == [49]


def test_a_collapsed_embedding_is_drawn():
    ax = plots.pair_distances(np.ones((4, 3)), [0, 0, 1, 1])
    assert histogram(ax, "one class")[1].sum() == pytest.approx(100)
    assert histogram(ax, "two classes")[1].sum() == pytest.approx(100)
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


def test_every_row_counts_as_often_as_it_is_found():
    ids = np.array([[0, 1], [0, 2], [0, -1]])
    ax = plots.hubness(Neighbors(np.zeros((3, 2)), ids, np.zeros((3, 2), int)), 5)
    rows = next(line for line in ax.lines if line.get_gid() == "rows")
    even = next(line for line in ax.lines if line.get_gid() == "even")
    assert rows.get_xdata().tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(rows.get_ydata(), [2 / 5, 2 / 5, 0, 1 / 5])
    np.testing.assert_allclose(even.get_ydata(), binom.pmf([0, 1, 2, 3], 3, 2 / 5))
    assert ax.get_title(loc="left") == "40.0% of the gallery is never found, one row 3 times"
    assert f"skewness {skew([3, 1, 1, 0, 0]):.2f}" in [text.get_text() for text in ax.texts]
    assert ax.get_xlabel() == "times among the 2 nearest of 3 queries"
    paint(ax.figure)


def test_hubness_of_a_gallery_where_all_are_alike_or_nothing_is_found():
    for ids in ([[0], [1]], [[-1], [-1]]):
        paint(plots.hubness(Neighbors(np.zeros((2, 1)), np.array(ids), np.zeros((2, 1), int)), 2).figure)
    with pytest.raises(ValueError, match="num_gallery must be at least the 2 rows that were found, got 1"):
        plots.hubness(Neighbors(np.zeros((2, 1)), np.array([[0], [1]]), np.zeros((2, 1), int)), 1)
