from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from simnb import plots
from simnb.data import LazyImages, from_arrays
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import match
from simnb.plots import pictures, styling

from .drawing import NAMES, examples, paint, shown_ids, texts


def borders(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


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


@pytest.mark.parametrize("columns", [2, 4])  # by two, each row has one name
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 0, -1, -1], "4 images of 1 class, 2 without a label"),
        ([-1, -1, -1, -1], "4 images, all without a label"),
    ],
)
def test_images_without_a_label_are_no_class(columns, labels, said):
    batch = examples(np.abs(labels), np.arange(4))
    figure = plots.image_grid(batch.images, labels, class_names=NAMES, columns=columns)
    assert figure.axes[0].get_title(loc="left").replace("\n", " ") == said


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
    pixels = pictures.displayable(values.reshape(1, 1, -1, 1))
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
    assert colors == [styling.RIGHT if r else styling.WRONG for r in right]
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


def test_a_note_stands_below_the_name_of_each_query_in_place_of_what_is_said_there():
    notes = ["right", "costs $5", "let in"]
    queries, neighbors, gallery = small_search()
    ax = plots.neighbor_grid(queries, neighbors, gallery, notes=notes, num_queries=2).axes[0]
    assert [text for text in texts(ax) if text in ("right", r"costs \$5", "let in", "not in gallery")] == [
        "right",
        r"costs \$5",
    ]
    with pytest.raises(ValueError, match="notes and queries must have the same length, got 1 and 3"):
        plots.neighbor_grid(queries, neighbors, gallery, notes=["right"])


def test_a_neighbor_without_label_is_never_right():
    queries, _, gallery = small_search()
    queries.labels = np.array([UNKNOWN, 1, 3])
    neighbors = Neighbors(np.zeros((3, 1)), np.full((3, 1), 10), np.full((3, 1), UNKNOWN))
    ax = plots.neighbor_grid(queries, neighbors, gallery, num_queries=1).axes[0]
    assert "unknown" in texts(ax)
    assert borders(ax) == []


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
    assert any("dotted: beyond 0.200" in text for text in texts(ax))
    values = {i: int(np.asarray(image.get_array()).max()) for i, image in enumerate(ax.images)}
    assert values[1] == 20 * 4  # id 20, as it is
    assert values[2] > 200  # id 30, bleached
    assert not any("beyond" in text for text in texts(plots.neighbor_grid(*small_search()).axes[0]))


def test_small_distances_keep_their_zeros():
    queries, neighbors, gallery = small_search()
    distances = np.array([[0.006, 0.00996], [0.0071, 0.0102], [0.02, np.inf]])
    neighbors = Neighbors(distances, neighbors.ids, neighbors.labels)
    ax = plots.neighbor_grid(queries, neighbors, gallery, threshold=0.007).axes[0]
    numbers = [text.removesuffix(" beyond") for text in texts(ax) if text.startswith("0.")]
    assert numbers == ["0.0060", "0.010", "0.0071", "0.010", "0.020"]


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


def test_neighbors_without_labels_have_no_verdict():
    queries, neighbors, gallery = small_search()
    queries.labels[:] = UNKNOWN
    queries.class_names = gallery.class_names = ()
    gallery.labels[:] = UNKNOWN
    unlabelled = Neighbors(neighbors.distances, neighbors.ids, np.full((3, 2), UNKNOWN), "cosine")
    ax = plots.neighbor_grid(queries, unlabelled, gallery).axes[0]
    assert borders(ax) == []
    assert "3 queries without a label, and what is nearest" in ax.get_title(loc="left")
    assert not {"✓", "✗", "not in gallery"} & set(" ".join(texts(ax)).split(" "))
    assert "✓" not in "".join(text.get_text() for text in ax.figure.texts)
    assert len(borders(plots.neighbor_grid(queries, unlabelled, gallery, threshold=0.2).axes[0])) == 3
    paint(ax)


def test_a_query_or_neighbor_without_a_label_among_others_has_no_verdict():
    queries, neighbors, gallery = small_search()
    queries.labels[0], neighbors.labels[1, 1] = UNKNOWN, UNKNOWN
    ax = plots.neighbor_grid(queries, neighbors, gallery).axes[0]
    assert [patch.get_gid() for patch in borders(ax)] == ["wrong", "wrong"]
    assert "; 1 of no indexed class; 1 without a label" in ax.get_title(loc="left").replace("\n", " ")
    assert "✓ solid" in "".join(texts(ax) + [text.get_text() for text in ax.figure.texts])
    for draw in (plots.confused_pairs, lambda *given: plots.rejected_grid(*given[:2], None, given[2])):
        with pytest.raises(ValueError, match="needs examples with labels, but 1 of 3 have none"):
            draw(queries, neighbors, gallery)


# compare_neighbors


def test_what_several_find_stands_side_by_side_with_what_each_gets_right():
    queries, neighbors, gallery = small_search()
    other = Neighbors(
        neighbors.distances[:, :1], np.array([[20], [10], [40]]), np.array([[0], [0], [2]]), "cosine"
    )
    figure = plots.compare_neighbors(queries, {"one": neighbors, "another": other}, gallery)
    ax = figure.axes[0]
    # The queries; then, by name and line, what was found: a padded place stays empty.
    assert shown_ids(ax) == [50, 51, 52, 20, 30, 40, 10, 30, 20, 10, 40]
    assert [patch.get_gid() for patch in borders(ax)] == ["right", *["wrong"] * 4, "right", "wrong", "wrong"]
    written = [text for text in texts(ax) if text not in "✓✗"]
    assert written[:-1] == ["query", "one: 1 of 3 right", "another: 1 of 3 right"]
    assert written[-1].endswith("nearest first")
    lefts = [image.get_extent()[0] for image in ax.images]
    assert max(lefts[3:8]) < min(lefts[8:])
    assert "Of 3 queries the nearest is right by: one 1, another 1" in " ".join(
        ax.get_title(loc="left").split()
    )
    paint(figure)
    figure = plots.compare_neighbors(queries, {"one": neighbors}, gallery, num_queries=2, title="Two")
    assert shown_ids(figure.axes[0]) == [50, 51, 20, 30, 40, 10]
    assert figure.axes[0].get_title(loc="left") == "Two"


def test_what_cannot_be_compared_side_by_side_is_refused():
    queries, neighbors, gallery = small_search()
    with pytest.raises(ValueError, match="found must hold the neighbors of at least one name, got none"):
        plots.compare_neighbors(queries, {}, gallery)
    with pytest.raises(ValueError, match="queries and neighbors must have the same length, got 3 and 2"):
        plots.compare_neighbors(queries, {"one": neighbors[:2]}, gallery)
    with pytest.raises(ValueError, match="num_queries must be an integer of at least 1"):
        plots.compare_neighbors(queries, {"one": neighbors}, gallery, num_queries=0)


# rejected_grid


def test_rejections_are_told_apart_into_right_ones_and_losses():
    queries, neighbors, gallery = small_search()
    figure = plots.rejected_grid(queries, neighbors, match(neighbors, 0.05), gallery)
    ax = figure.axes[0]
    verdicts = [text for text in texts(ax) if text[0] in "✓✗?"]
    assert verdicts == [
        "? missed: nearest was wrong",
        "✓ kept out",
        "? missed: nearest was right",
    ]
    assert [b.get_gid() for b in borders(ax)] == ["unknown", "right", "unknown"]
    said = " ".join(" ".join(texts(ax)).split())
    assert "✓ solid: kept out ? dotted: missed" in said
    assert "shown of" not in said  # all are
    assert shown_ids(ax) == [51, 40, 52, 30, 50, 20]
    assert [b.get_linestyle() in ("-", "solid") for b in borders(ax)] == [False, True, False]
    assert (
        " ".join(ax.get_title(loc="left").split())
        == "3 of 3 queries rejected: 1 kept out, 2 missed; 1 had the right neighbor"
    )
    paint(figure)


def test_only_rejected_queries_are_drawn_and_only_so_many():
    queries, neighbors, gallery = small_search()
    matches = match(neighbors, 0.15)
    ax = plots.rejected_grid(queries, neighbors, matches, gallery).axes[0]
    assert shown_ids(ax) == [51, 40, 52, 30]
    ax = plots.rejected_grid(queries, neighbors, matches, gallery, num_queries=1).axes[0]
    assert shown_ids(ax) == [51, 40]
    said = " ".join(" ".join(texts(ax)).split())
    assert said.endswith("shown of 2: the first 1 whose nearest was not right")


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
    said = " ".join(" ".join(texts(ax)).split())
    chosen = "the first 2 whose nearest was not right, and the first 2 whose nearest was right"
    assert f"shown of 12: {chosen}" in said
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
    assert texts(figure.axes[0]).count("? missed: no neighbor") == 2
    paint(figure)


def test_matches_of_other_queries_are_refused():
    queries, neighbors, gallery = small_search()
    with pytest.raises(ValueError, match="matches and neighbors must have the same length, got 2 and 3"):
        plots.rejected_grid(queries, neighbors, match(neighbors[:2]), gallery)


def numbered(labels, first_id=0, names=("cat", "dog", "$<b>")):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    return from_arrays(images, labels, class_names=names, ids=np.arange(first_id, first_id + len(labels)))


def neighbors_of(ids, distances, gallery):
    ids = np.array(ids)
    return Neighbors(
        np.array(distances, "float32"), ids, np.where(ids < 0, UNKNOWN, gallery.labels[ids]), "cosine"
    )


def said(figure):
    ax = figure.axes[0]
    return [text.get_text() for text in ax.texts] + [ax.get_title(loc="left")]


def test_the_pairs_that_are_confused_most_come_first_with_their_surest_mistakes():
    gallery, queries = numbered([0, 1, 2]), numbered([0, 0, 1, 1, 2, 2], first_id=10)
    nearest = [[1], [1], [0], [1], [0], [2]]  # cat as dog twice, dog as cat once, the third as cat once
    figure = plots.confused_pairs(
        queries, neighbors_of(nearest, [[0.3], [0.1], [0.2], [0], [0], [0]], gallery), gallery
    )
    texts = said(figure)
    assert texts[-1] == "4 of 4 mistakes are among 2 pairs of classes"
    assert texts.index("cat\ndog") < texts.index("cat\n\\$<b>")
    assert "3" in texts
    assert "1" in texts
    # Query, neighbor, query, neighbor: in the order of their distances, then those of the other pair.
    shades = [int(image.get_array().ravel()[0]) for image in figure.axes[0].images]
    displayed = [value // 4 * 4 // 4 * 255 // 63 for value in range(6)]
    assert len(shades) == 8
    assert shades[0::2] == [displayed[q] for q in (1, 2, 0, 4)]
    assert figure.axes[0].get_title(loc="left")
    paint(figure)


def test_fewer_pairs_and_mistakes_may_be_drawn():
    gallery, queries = numbered([0, 1, 2]), numbered([0, 0, 1, 1, 2, 2], first_id=10)
    neighbors = neighbors_of([[1], [1], [0], [1], [0], [2]], np.zeros((6, 1)), gallery)
    figure = plots.confused_pairs(queries, neighbors, gallery, num_pairs=1, each=2)
    assert len(figure.axes[0].images) == 4
    assert said(figure)[-1] == "3 of 4 mistakes are among 1 pair of classes"


def test_where_nothing_is_confused_it_is_said():
    gallery, queries = numbered([0, 1]), numbered([0, 1], first_id=10)
    figure = plots.confused_pairs(queries, neighbors_of([[0], [-1]], [[0], [np.inf]], gallery), gallery)
    assert "✓ No class is taken for another." in said(figure)
    assert said(figure)[-1] == "None of 2 queries is confused"
    paint(figure)


def test_confused_pairs_refuse_what_does_not_fit():
    gallery, queries = numbered([0, 1]), numbered([0, 1], first_id=10)
    neighbors = neighbors_of([[0], [1]], [[0], [0]], gallery)
    with pytest.raises(ValueError, match="queries and neighbors must have the same length, got 2 and 1"):
        plots.confused_pairs(queries, neighbors[:1], gallery)
    with pytest.raises(ValueError, match="each must be an integer of at least 1, got 0"):
        plots.confused_pairs(queries, neighbors, gallery, each=0)
