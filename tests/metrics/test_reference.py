import numpy as np
import pytest

from simnb import metrics
from simnb.index import open_index

# Random unit vectors and, below, what pytorch-metric-learning 2.9.0's AccuracyCalculator gives for them
# (exact Euclidean search, float64).
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
# Metric, average, k (None: the size of the largest class, without the query), the queries against the
# gallery, and the gallery against itself. Its reciprocal ranks are of float32.
FIGURES = [
    ("precision@1", "micro", None, 0.625, 0.4827586206896552),
    ("precision@1", "micro", 29, 0.625, 0.4827586206896552),
    ("r_precision", "micro", None, 0.5490785256410257, 0.437192118226601),
    ("r_precision", "micro", 29, 0.5490785256410257, 0.437192118226601),
    ("map@r", "micro", None, 0.449972221621861, 0.3083796710951883),
    ("map@r", "micro", 29, 0.449972221621861, 0.3083796710951883),
    ("map@k", "micro", None, 0.5169440229686624, 0.3670420336368612),
    ("map@k", "micro", 29, 0.6036369285263321, 0.5116428706873909),
    ("mrr", "micro", None, 0.7797619700431824, 0.6641911268234253),
    ("mrr", "micro", 29, 0.7797619700431824, 0.6641911268234253),
    ("precision@1", "macro", None, 0.6933333333333334, 0.39086538461538456),
    ("precision@1", "macro", 29, 0.6933333333333334, 0.39086538461538456),
    ("r_precision", "macro", None, 0.6026923076923077, 0.36964285714285716),
    ("r_precision", "macro", 29, 0.6026923076923077, 0.36964285714285716),
    ("map@r", "macro", None, 0.5070041657060889, 0.26768266455766454),
    ("map@r", "macro", 29, 0.5070041657060889, 0.26768266455766454),
    ("map@k", "macro", None, 0.561101808803732, 0.35296615421615424),
    ("map@k", "macro", 29, 0.6528128130507419, 0.45124237986703963),
    ("mrr", "macro", None, 0.8240476846694946, 0.5646371841430664),
    ("mrr", "macro", 29, 0.8240476846694946, 0.5646371841430664),
]


def search(leave_one_out, k):
    """Neighbors, and what the functions are given of them."""
    index = open_index(distance="euclidean")
    ids = index.add(GALLERY, GALLERY_LABELS)
    largest = max(np.bincount(GALLERY_LABELS)) - leave_one_out
    k = largest if k is None else k
    labels = GALLERY_LABELS if leave_one_out else QUERY_LABELS
    neighbors = index.search(GALLERY if leave_one_out else QUERIES, k=k + leave_one_out)
    return neighbors, labels, ids if leave_one_out else None, int(k)


@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize(("metric", "average", "k", "apart", "itself"), FIGURES)
def test_figures_of_pytorch_metric_learning_are_met(metric, average, k, apart, itself, leave_one_out):
    neighbors, labels, query_ids, k = search(leave_one_out, k)
    options = {"query_ids": query_ids, "average": average}
    known = {"gallery_labels": GALLERY_LABELS, **options}
    value = {
        "precision@1": lambda: metrics.precision_at_k(neighbors, labels, 1, **known),
        "mrr": lambda: metrics.mean_reciprocal_rank(neighbors, labels, **known),
        "map@k": lambda: metrics.map_at_k(neighbors, labels, GALLERY_LABELS, k, **options),
        "r_precision": lambda: metrics.r_precision(neighbors, labels, GALLERY_LABELS, **options),
        "map@r": lambda: metrics.map_at_r(neighbors, labels, GALLERY_LABELS, **options),
    }[metric]()
    expected = itself if leave_one_out else apart
    assert value == pytest.approx(expected, rel=3e-7 if metric == "mrr" else 1e-12)
    table = metrics.report(neighbors, labels, gallery_labels=GALLERY_LABELS, query_ids=query_ids, k=(1, k))
    assert table.value(metric.replace("@k", f"@{k}"), average) == pytest.approx(value, rel=1e-12)


def test_figures_of_scikit_learn_are_met_where_class_4_is_unknown():
    held_out = np.array(GALLERY_LABELS) == 4
    index = open_index(distance="euclidean")
    index.add(np.array(GALLERY)[~held_out], np.array(GALLERY_LABELS)[~held_out])
    neighbors = index.search(QUERIES, k=1)
    distances, known = neighbors.distances[:, 0], np.array(QUERY_LABELS) != 4
    assert metrics.auroc(distances, known) == pytest.approx(0.8571428571428572, rel=1e-12)
    assert metrics.aupr(distances, known) == pytest.approx(0.9804748822605965, rel=1e-12)
    table = metrics.report(neighbors, QUERY_LABELS, known_labels=range(4))
    assert table.value("auroc") == pytest.approx(0.8571428571428572, rel=1e-12)
    assert table.value("aupr_known") == pytest.approx(0.9804748822605965, rel=1e-12)
