"""Trainings that take minutes to an hour, and the figures they are kept with.

``python -m tests.benchmarks.training NAME`` trains on CIFAR-10, goes on where it was stopped, and writes the
figures into ``tests/benchmarks/results/NAME.json``. The names:

- ``tutorial``: the schedule of the TensorFlow Similarity tutorial, 3 x 4,000 batches of 10 x 8;
- ``fast``: the recipe, in less than a twentieth of that time;
- ``long``: the recipe in about the time of ``tutorial``.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from simnb import data
from simnb._keras import keras
from simnb.augmentation import Augment
from simnb.index import Neighbors, open_index
from simnb.losses import MultiSimilarityLoss, NormalizedSoftmaxLoss, SupervisedContrastiveLoss
from simnb.metrics import map_at_r, recall_at_k
from simnb.models import embed, fast_resnet, tutorial_convnet
from simnb.samplers import BalancedBatches
from simnb.training import fit

RESULTS = Path(__file__).parent / "results"
CHECKPOINTS = Path("build/training")


def mix():
    """The losses of the recipe: proxies separate the classes, pairs draw each together."""
    return [NormalizedSoftmaxLoss(temperature=1 / 16, label_smoothing=0.1), SupervisedContrastiveLoss(0.1)]


#: By name: the embedder, the batches, and the arguments of ``simnb.training.fit``.
RUNS = {
    "tutorial": {
        "model": {},
        "batches": {"examples_per_class": 8, "steps_per_epoch": 4000},
        "fit": {"epochs": 3, "schedule": "constant"},
    },
    "fast": {
        "model": {"widths": (32, 64, 128)},
        "augment": {"crop": 2, "flip": True},
        "batches": {"examples_per_class": 25, "steps_per_epoch": 200},
        "fit": {"epochs": 4, "optimizer": "muon", "loss_weights": [1, 0.5]},
    },
    "long": {
        "model": {"widths": (64, 192, 192)},
        "augment": {"crop": 2, "flip": True, "cutout": 8},
        "batches": {"examples_per_class": 25, "steps_per_epoch": 200},
        "fit": {"epochs": 24, "optimizer": "muon", "loss_weights": [1, 0.5], "weight_decay": 0.02},
    },
}


class Clock(keras.callbacks.Callback):
    """Adds the seconds of each epoch to its logs, and so to what a checkpoint keeps."""

    def on_epoch_begin(self, epoch, logs=None):
        """Start."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stop."""
        logs["seconds"] = time.perf_counter() - self.start


def build(name, train, seed=0, **options):
    """The embedder and the batches of a run.

    Args:
        name: Of ``RUNS``.
        train: ``Examples`` to train on.
        seed: Of weights and batches.
        **options: Of the batches, in place of those of the run.
    """
    run = RUNS[name]
    if name == "tutorial":
        model = tutorial_convnet(seed=seed)
    else:
        model = fast_resnet(whiten=train.images, precision="auto", seed=seed, **run["model"])
    augment = Augment(**run["augment"]) if "augment" in run else None
    batches = BalancedBatches(
        train.images,
        train.labels,
        classes_per_batch=len(np.unique(train.labels)),
        augment=augment,
        seed=seed,
        **{**run["batches"], **options},
    )
    return model, batches


def number_of_steps(name):
    """Steps of a run from its beginning to its end."""
    return RUNS[name]["fit"]["epochs"] * RUNS[name]["batches"]["steps_per_epoch"]


def loss_of(name):
    """The loss of a run."""
    return MultiSimilarityLoss() if name == "tutorial" else mix()


def train(name, seed=0):
    """Train, or go on; returns the embedder and the seconds of each epoch."""
    examples = data.load("cifar10", split="train")
    model, batches = build(name, examples, seed)
    history = fit(
        model,
        batches,
        loss=loss_of(name),
        checkpoint=CHECKPOINTS / f"{name}.npz",
        callbacks=Clock(),
        seed=seed,
        verbose=2,
        **RUNS[name]["fit"],
    )
    return model, history.history["seconds"]


def figures(model):
    """R@1 of the test images among the training images, and MAP@R of the test images among themselves."""
    gallery = data.load("cifar10", split="train")
    queries = data.load("cifar10", split="test")
    asked = embed(model, queries.images, batch_size=250)
    index = open_index()
    index.add(embed(model, gallery.images, batch_size=250), gallery.labels)
    recall = recall_at_k(index.search(asked, k=1), queries.labels, 1)
    return {"recall_at_1": recall, "map_at_r": map_at_r_among_themselves(asked, queries)}


def map_at_r_among_themselves(embeddings, examples):
    """MAP@R where each image is asked for among all the others; the classes are of one size."""
    index = open_index()
    index.add(embeddings, examples.labels, ids=examples.ids)
    own = len(examples) // len(np.unique(examples.labels))
    found = index.search(embeddings, k=own)
    # An image that does not find itself among the first has twins: its last neighbor goes instead.
    other = found.ids != examples.ids[:, None]
    other[other.all(axis=1), -1] = False
    rows = (
        getattr(found, name)[other].reshape(len(other), own - 1) for name in ("distances", "ids", "labels")
    )
    gallery = np.repeat(np.unique(examples.labels), own - 1)
    return map_at_r(Neighbors(*rows), examples.labels, gallery)


def main():
    """Train by name, measure, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model, seconds = train(options.name, options.seed)
    record = {
        "command": f"python -m tests.benchmarks.training {options.name} --seed {options.seed}",
        "seed": options.seed,
        "data": "cifar10 3.0.2 of TFDS, split train",
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
        "python": platform.python_version(),
        "precision": model.layers[-2].dtype_policy.name,
        "seconds_of_training": round(sum(seconds), 1),
        "steps": number_of_steps(options.name),
        "parameters": model.count_params(),
        "figures": figures(model),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["figures"]))


if __name__ == "__main__":
    main()
