import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.index import Neighbors, open_index
from simnb.metrics import evaluate_matches, map_at_r, match_rates, precision_at_k, r_precision, recall_at_k


def neighbors_of(labels):
    labels = np.array(labels)
    return Neighbors(
        np.tile(np.arange(labels.shape[1], dtype="float32"), (len(labels), 1)), labels * 0, labels
    )


def map_at_r_by_hand(found, label, gallery_labels):
    r = sum(g == label for g in gallery_labels)
    hits, total = 0, 0.0
    for rank, other in enumerate(found[:r], start=1):
        if other == label:
            hits += 1
            total += hits / rank
    return total / r


@settings(deadline=None)
@given(st.data())
def test_retrieval_metrics_equal_their_loops(data):
    label = st.integers(0, 3)
    gallery = [0, 1, 2, 3, *data.draw(st.lists(label, max_size=8))]
    queries = data.draw(st.lists(label, min_size=1, max_size=5))
    found = [data.draw(st.permutations(gallery)) for _ in queries]
    neighbors = neighbors_of(found)
    r = {c: gallery.count(c) for c in range(4)}
    pairs = list(zip(found, queries, strict=True))
    for k in (1, 3):
        hits = [[other == q for other in row[:k]] for row, q in pairs]
        assert recall_at_k(neighbors, queries, k) == pytest.approx(np.mean([any(h) for h in hits]))
        assert precision_at_k(neighbors, queries, k) == pytest.approx(np.mean([np.mean(h) for h in hits]))
    expected = np.mean([np.mean([other == q for other in row[: r[q]]]) for row, q in pairs])
    assert r_precision(neighbors, queries, gallery) == pytest.approx(expected)
    expected = np.mean([map_at_r_by_hand(row, q, gallery) for row, q in pairs])
    assert map_at_r(neighbors, queries, gallery) == pytest.approx(expected)


# Random unit vectors and, below, what pytorch-metric-learning 2.9.0's AccuracyCalculator gives for them
# (exact Euclidean search, micro average, float64).
GALLERY = [
    [-0.315597, 0.424246, 0.068157, -0.837515, -0.119738],
    [0.533737, 0.729176, 0.352236, -0.103874, 0.220379],
    [-0.075700, 0.593854, 0.694446, -0.223606, -0.330684],
    [-0.077406, 0.285994, 0.336642, -0.147681, -0.881520],
    [-0.396831, -0.306783, 0.017872, 0.378309, -0.777800],
    [0.332166, 0.604362, 0.234725, 0.511576, -0.455638],
    [-0.628449, 0.408585, 0.177097, -0.307299, -0.558850],
    [-0.327215, 0.553395, -0.196138, 0.317523, -0.668874],
    [0.555865, 0.316053, 0.418668, 0.219132, -0.606484],
    [0.916816, 0.161533, 0.187446, 0.155748, 0.271961],
    [0.824506, -0.392370, 0.382655, 0.073147, -0.120247],
    [0.419226, 0.656899, -0.288889, 0.237163, 0.503022],
    [0.108183, -0.314451, -0.424657, 0.070858, 0.839084],
    [0.854572, -0.428007, 0.041098, 0.125275, 0.262933],
    [0.821235, -0.324152, 0.400056, -0.063957, -0.237411],
    [0.612795, 0.170604, 0.647947, -0.149051, -0.391567],
    [-0.504594, 0.281626, 0.642846, -0.236017, -0.443978],
    [0.610977, 0.477938, 0.622227, -0.035439, 0.099297],
    [-0.265198, 0.636638, 0.666343, -0.281574, 0.032628],
    [0.680210, 0.052531, -0.303493, -0.318195, 0.584121],
    [0.687063, 0.400525, 0.296223, -0.251728, 0.465198],
    [-0.684592, -0.225078, 0.240703, -0.320406, 0.565752],
    [0.383068, 0.811290, 0.212690, 0.307071, 0.235665],
    [-0.120846, 0.121404, -0.469046, -0.854843, 0.141056],
    [0.162816, 0.450539, -0.217574, -0.807698, 0.266065],
    [0.320272, 0.865963, 0.152723, -0.352048, 0.016496],
    [0.639361, 0.423537, 0.406735, 0.496183, -0.014229],
    [0.456940, 0.697871, 0.169901, 0.188974, 0.489493],
    [0.427057, -0.363607, -0.242106, -0.568864, 0.550628],
    [-0.498955, -0.370106, 0.437516, -0.151774, -0.632147],
]
GALLERY_LABELS = [0] * 3 + [1] * 5 + [2] * 8 + [3] * 13 + [4]
QUERIES = [
    [0.213980, 0.062949, 0.776948, -0.459451, -0.368112],
    [0.338555, 0.376580, 0.070559, -0.794202, -0.328377],
    [-0.121043, 0.814213, -0.066060, -0.488684, 0.281476],
    [-0.520043, 0.588187, -0.385255, 0.317724, -0.366363],
    [-0.428697, 0.549863, 0.715895, -0.030188, -0.021271],
    [0.367323, 0.622099, 0.631585, -0.258152, 0.111909],
    [0.484871, 0.415341, 0.152078, -0.753731, -0.033957],
    [0.310367, 0.447115, -0.162040, 0.428393, -0.702840],
    [0.604247, -0.006585, -0.583559, 0.014904, -0.542290],
    [-0.387391, -0.734785, -0.250827, -0.392952, -0.304457],
    [0.415151, 0.361941, 0.597521, -0.202452, -0.546471],
    [-0.371757, -0.562779, 0.004664, -0.201476, -0.710255],
    [0.423274, -0.764314, 0.258018, -0.175061, -0.373420],
    [0.832175, 0.493731, 0.103518, 0.166916, 0.158546],
    [0.054183, 0.715997, -0.192381, 0.668774, -0.011973],
    [0.800664, -0.228794, 0.429142, 0.349510, -0.016438],
]
QUERY_LABELS = [0, 3, 3, 1, 0, 0, 2, 1, 2, 4, 0, 4, 2, 2, 1, 2]


def test_figures_of_pytorch_metric_learning_are_met():
    index = open_index(distance="euclidean")
    index.add(GALLERY, GALLERY_LABELS)
    neighbors = index.search(QUERIES, k=len(index))
    assert precision_at_k(neighbors, QUERY_LABELS, 1) == pytest.approx(0.625)
    assert r_precision(neighbors, QUERY_LABELS, GALLERY_LABELS) == pytest.approx(0.5490785256410257)
    assert map_at_r(neighbors, QUERY_LABELS, GALLERY_LABELS) == pytest.approx(0.449972221621861)


def test_a_place_left_empty_by_a_small_gallery_is_not_a_hit():
    index = open_index()
    index.add([[1.0, 0.0]], [3])
    neighbors = index.search([[1.0, 0.0]], k=4)
    assert recall_at_k(neighbors, [3], 4) == 1.0
    assert precision_at_k(neighbors, [3], 4) == 0.25
    assert recall_at_k(neighbors, [-1], 4) == 0.0


def test_a_query_of_a_class_the_gallery_lacks_is_a_miss_for_recall_and_an_error_for_r():
    neighbors = neighbors_of([[0, 1], [1, 0]])
    assert recall_at_k(neighbors, [0, 7], 1) == 0.5
    with pytest.raises(ValueError, match=r"but 1 queries have classes it lacks, for example 7; measure"):
        map_at_r(neighbors, [0, 7], [0, 1])


def test_bad_input_is_named():
    neighbors = neighbors_of([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="k must be at most the 2 neighbors that were searched, got 3"):
        recall_at_k(neighbors, [0, 1], 3)
    with pytest.raises(ValueError, match="labels and neighbors must have the same length, got 1 and 2"):
        precision_at_k(neighbors, [0])
    with pytest.raises(ValueError, match=r"neighbors must have k >= 3, the largest class, got k=2"):
        r_precision(neighbors, [0, 0], [0, 0, 0])
    with pytest.raises(ValueError, match="neighbors must hold at least one example"):
        recall_at_k(neighbors[:0], [])


def test_match_rates_are_their_definitions():
    rates = match_rates(6, 2, 4, 1, 7)
    assert rates["precision"] == pytest.approx(6 / 9)
    assert rates["recall"] == pytest.approx(6 / 12)
    assert rates["f1"] == pytest.approx(2 * (6 / 9) * 0.5 / (6 / 9 + 0.5))
    assert rates["accuracy"] == pytest.approx(13 / 20)
    assert rates["coverage"] == pytest.approx(8 / 12)
    assert rates["false_acceptance"] == pytest.approx(1 / 8)


def test_match_rates_where_nothing_is_accepted_or_nothing_is_unknown():
    rates = match_rates(0, 0, 5, 0, 0)
    assert (rates["precision"], rates["recall"], rates["f1"], rates["coverage"]) == (1, 0, 0, 0)
    assert np.isnan(rates["false_acceptance"])
    assert np.isnan(match_rates(0, 0, 0, 1, 1)["recall"])


def test_evaluate_matches_counts_known_and_unknown_queries_apart():
    predicted = [0, 1, -1, 2, -1, 0]
    labels = [0, 0, 0, 7, 7, -1]
    measured = evaluate_matches(predicted, labels, known_labels=[0, 1, 2])
    assert evaluate_matches(predicted, labels, known_labels={0, 1, 2}) == measured
    expected = match_rates(1, 1, 1, 2, 1)
    assert measured == pytest.approx({name: float(rate) for name, rate in expected.items()})
    # Without known_labels, class 7 counts as known.
    assert evaluate_matches(predicted, labels)["recall"] == pytest.approx(1 / 5)


def test_neighbors_must_reach_as_far_as_the_largest_class():
    # Classes of 1 and 3: with k=2 the figure of the second class would be wrong.
    with pytest.raises(ValueError, match="neighbors must have k >= 3, the largest class, got k=2"):
        map_at_r(neighbors_of([[0, 1], [1, 1]]), [0, 1], [0, 1, 1, 1])


def test_known_labels_may_be_any_collection_of_integers():
    for known in ({0, 1}, [0, 1], np.array([1, 0]), range(2)):
        assert evaluate_matches([0, 1, -1], [0, 1, 5], known_labels=known)["accuracy"] == 1.0
    with pytest.raises(ValueError, match="known_labels must be integers"):
        evaluate_matches([0], [0], known_labels=["cat"])
    # UNKNOWN is never a known class, whatever the list says.
    assert evaluate_matches([-1], [-1], known_labels=[-1, 0])["accuracy"] == 1.0


def test_rows_without_a_label_are_no_class_of_the_gallery():
    assert r_precision(neighbors_of([[0, -1, -1]]), [0], [0, -1, -1]) == 1.0


def test_equal_f1_scores_are_equal_to_the_last_bit():
    # 2 * 14 / (28 + 2 * 20 + 2 + 30) = 2 * 14 / (28 + 2 * 30 + 5 + 7) = 28 / 100
    assert match_rates(14, 20, 30, 2, 0)["f1"] == match_rates(14, 30, 7, 5, 0)["f1"] == 0.28
