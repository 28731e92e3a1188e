"""Whatever needs labels says so of examples that have none, in every room."""

import numpy as np
import pytest

from simnb import collection, data, evaluation, plots
from simnb.calibration import calibrate
from simnb.index import UNKNOWN, Neighbors, open_index
from simnb.matching import match_nearest
from simnb.samplers import BalancedBatches
from simnb.search import SimilaritySearch
from simnb.training import RetrievalMonitor, fit_head
from simnb.widgets import ThresholdExplorer

ROWS = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (12, 2, 2, 1), dtype=np.uint8)
NOTHING = np.full(12, UNKNOWN)
NONE = data.from_arrays(IMAGES, NOTHING, class_names=["a", "b"])
SOME = data.from_arrays(IMAGES, np.arange(12) % 2, class_names=["a", "b"], ids=np.arange(12) + 100)
NEIGHBORS = Neighbors(np.full((12, 1), 0.1), SOME.ids[:, None], SOME.labels[:, None], "cosine")


def search():
    made = SimilaritySearch(lambda images: images.reshape(len(images), -1) + np.float32(1))
    made.add(SOME)
    return made


NEEDS = {
    "take_per_class": lambda: NONE.take_per_class(1),
    "split_classes": lambda: NONE.split_classes(),
    "BalancedBatches": lambda: BalancedBatches(IMAGES, NOTHING, classes_per_batch=2, examples_per_class=2),
    "fit_head": lambda: fit_head(ROWS, NOTHING),
    "RetrievalMonitor": lambda: RetrievalMonitor(NONE, SOME),
    "worth_training": lambda: evaluation.worth_training((ROWS, NOTHING), (-ROWS, SOME.labels)),
    "worth_training of images": lambda: evaluation.worth_training(SOME, NONE, network=len),
    "unseen_classes": lambda: evaluation.unseen_classes({"rows": ROWS}, NOTHING),
    "few_shot": lambda: evaluation.few_shot((ROWS, SOME.labels), (ROWS, NOTHING), [0, 1]),
    "calibrate": lambda: calibrate(NEIGHBORS, NOTHING, known_labels=[0, 1]),
    "calibrate a search": lambda: search().calibrate(NONE),
    "fit_probability of a search": lambda: search().fit_probability(NONE),
    "mislabelled": lambda: collection.mislabelled(index()),
    "rejected_grid": lambda: plots.rejected_grid(NONE, NEIGHBORS, match_nearest(NEIGHBORS, 0.5), SOME),
    "confused_pairs": lambda: plots.confused_pairs(NONE, NEIGHBORS, SOME),
    "class_graph": lambda: plots.class_graph(ROWS, NOTHING),
    "ThresholdExplorer": lambda: ThresholdExplorer(NONE, NEIGHBORS, SOME),
}


def index():
    made = open_index(distance="cosine")
    made.add(ROWS, NOTHING)
    return made


@pytest.mark.parametrize("use", NEEDS.values(), ids=NEEDS)
def test_what_needs_labels_refuses_examples_without_one(use):
    with pytest.raises(ValueError, match=r"label|class"):
        use()
