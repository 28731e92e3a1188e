"""Trainings that take minutes to an hour, and the figures they are kept with.

``python -m tests.benchmarks.training NAME`` trains, goes on where it was stopped, and writes the figures into
``tests/benchmarks/results/NAME.json``. The names, of CIFAR-10:

- ``tutorial``: the schedule of the TensorFlow Similarity tutorial, 3 x 4,000 batches of 10 x 8;
- ``fast``: the recipe, in less than a twentieth of that time;
- ``record``: what the record on CIFAR-10 does otherwise, in about two fifths of that time;
- ``cifar10``: the recipe in about the time of ``tutorial``; the weights of ``models.pretrained("cifar10")``;
- ``cifar10-8``: the same on eight classes, the weights of ``models.pretrained("cifar10-8")``.

Of digits, in seconds, a network so small that it errs as one of photographs does:

- ``digits-8``: eight classes, the weights of ``models.pretrained("digits-8")``.

And of classes that the training does not see, measured by ``evaluation.unseen_classes``:

- ``omniglot``: 964 drawn characters and their turns; measured on 659 others;
- ``glyphs``: Latin and Cyrillic print; measured on Greek, Armenian and Georgian.

Those of which there are weights write their figures and weights into ``simnb/models/weights/`` instead; with
another ``--seed`` than 0 a run leaves the weights alone and is kept in ``results/NAME-SEED.json``.
"""

import argparse
import hashlib
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from simnb import data
from simnb._keras import keras
from simnb.augmentation import Augment
from simnb.evaluation import unseen_classes
from simnb.index import Neighbors, open_index
from simnb.losses import MultiSimilarityLoss, NormalizedSoftmaxLoss, SupervisedContrastiveLoss
from simnb.metrics import map_at_r, recall_at_k
from simnb.models import embed, fast_resnet, mirrored, tutorial_convnet
from simnb.models.pretrained import PRETRAINED, WEIGHTS
from simnb.samplers import BalancedBatches
from simnb.training import Muon, fit, one_cycle

RESULTS = Path(__file__).parent / "results"
CHECKPOINTS = Path("build/training")
#: The classes that a run is not trained on, by its name.
LEFT_OUT = {"cifar10-8": ("deer", "truck"), "digits-8": ("3", "8")}
#: What the runs that are not of CIFAR-10 are trained on.
DATA = {
    "digits-8": "digits of scikit-learn, split train",
    "omniglot": "omniglot 3.0.0 of TFDS, split train, 964 characters, and turned by 90, 180 and 270 degrees",
    "glyphs": "glyphs, split train, 937 characters, and turned by 90, 180 and 270 degrees",
}


def mix(label_smoothing=0.1):
    """The losses of the recipe: proxies separate the classes, pairs draw each together."""
    return [
        NormalizedSoftmaxLoss(temperature=1 / 16, label_smoothing=label_smoothing),
        SupervisedContrastiveLoss(temperature=0.1),
    ]


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
    "cifar10": {
        "model": {"widths": (64, 160, 160), "depth": 3, "residual": True},
        "augment": {"crop": 2, "flip": True, "cutout": 8},
        "batches": {"examples_per_class": 50, "steps_per_epoch": 100},
        "fit": {
            "epochs": 30,
            "optimizer": "muon",
            "learning_rate": 0.24,
            "loss_weights": [1, 0.5],
            "weight_decay": 0.005,
        },
    },
}
RUNS["cifar10-8"] = RUNS["cifar10"]
RUNS["record"] = {
    "model": {
        "widths": (64, 160, 160),
        "depth": 3,
        "residual": True,
        "activation": "gelu",
        "identity": True,
    },
    "augment": {"crop": 2, "flip": True},
    "batches": {"examples_per_class": 200, "steps_per_epoch": 25},
    "fit": {"epochs": 12, "loss_weights": [1, 0.5]},
}
RUNS["digits-8"] = {
    "data": {"name": "digits"},
    "model": {"embedding_size": 64, "widths": (8, 16)},
    "batches": {"examples_per_class": 10, "steps_per_epoch": 40},
    "fit": {"epochs": 1, "optimizer": "muon"},
}

#: The runs that are measured on classes that they did not see: of a data set whose splits differ in classes.
UNSEEN = {
    "omniglot": {
        "data": {"name": "omniglot", "image_size": (28, 28)},
        "model": {"input_shape": (28, 28, 3), "widths": (32, 64, 64), "pooling": "average"},
        "fit": {"epochs": 16, "optimizer": "muon"},
    },
    "glyphs": {
        "data": {"name": "glyphs"},
        "model": {"input_shape": (32, 32, 3), "widths": (32, 64, 64), "pooling": "average"},
        "fit": {"epochs": 4, "optimizer": "muon"},
    },
}
for run in UNSEEN.values():
    run["augment"] = {"crop": 2, "flip": False}
    run["batches"] = {"classes_per_batch": 128, "examples_per_class": 2, "steps_per_epoch": 100}
RUNS |= UNSEEN
#: What the worst of three seeds is to reach.
WANTED = {
    "omniglot": {"recall@1": 0.87, "5-way 1-shot": 0.985, "20-way 1-shot": 0.96, "20-way 5-shot": 0.987},
    "glyphs": {"recall@1": 0.85},
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
    if name in UNSEEN:
        train = train.with_rotations()
    augment = Augment(**run["augment"]) if "augment" in run else None
    options = {"classes_per_batch": len(np.unique(train.labels)), **run["batches"], **options}
    return model, BalancedBatches(train.images, train.labels, augment=augment, seed=seed, **options)


def number_of_steps(name):
    """Steps of a run from its beginning to its end."""
    return RUNS[name]["fit"]["epochs"] * RUNS[name]["batches"]["steps_per_epoch"]


def loss_of(name):
    """The loss of a run."""
    if name == "tutorial":
        return MultiSimilarityLoss()
    if name == "digits-8":
        return NormalizedSoftmaxLoss()
    if name in UNSEEN:
        return SupervisedContrastiveLoss(temperature=0.1)
    return mix(0.2) if name == "record" else mix()


def fit_options(name):
    """What ``fit`` is told of a run, beside its loss."""
    options = dict(RUNS[name]["fit"])
    if name == "record":  # the rate falls from the first step
        rate = one_cycle(0.24, number_of_steps(name), warmup=0)
        options["optimizer"] = Muon(rate, hold_norms=True)
    return options


def train(name, seed=0):
    """Train, or go on; returns the embedder and the seconds of each epoch."""
    model, batches = build(name, examples(name, "train"), seed)
    history = fit(
        model,
        batches,
        loss=loss_of(name),
        checkpoint=CHECKPOINTS / f"{record_name(name, seed)}.npz",
        callbacks=Clock(),
        seed=seed,
        verbose=2,
        **fit_options(name),
    )
    return model, history.history["seconds"]


def load(name, split):
    """A split of the data set of a run."""
    return data.load(split=split, **RUNS[name].get("data", {"name": "cifar10"}))


def examples(name, split):
    """The examples of a split that a run is trained or measured on."""
    return known(name, load(name, split))


def known(name, examples):
    """The examples of the classes that a run is trained on."""
    return examples.only([c for c in examples.class_names if c not in LEFT_OUT.get(name, ())])


def figures(name, model):
    """R@1 of the test images among the training images, and MAP@R of the test images among themselves.

    MAP@R only where the classes are of one size, as in CIFAR-10. Both over the classes that the run was
    trained on. Of a run that is measured on others, see ``unseen``.
    """
    if name in UNSEEN:
        return unseen({"model": model}, examples(name, "test"))["model"]
    gallery, queries = examples(name, "train"), examples(name, "test")
    asked = embed(model, queries.images, batch_size=250)
    index = open_index()
    index.add(embed(model, gallery.images, batch_size=250), gallery.labels)
    recall = recall_at_k(index.search(asked, k=1), queries.labels, 1)
    if RUNS[name].get("data"):
        return {"recall_at_1": recall}
    return {"recall_at_1": recall, "map_at_r": map_at_r_among_themselves(asked, queries)}


def unseen(models, test):
    """Figures by model and metric: each test image among the others, and N-way K-shot accuracies.

    Args:
        models: Embedders by name, or embeddings of the test images.
        test: ``Examples`` of classes that none of them has seen.
    """
    embeddings = {
        name: embed(model, test.images, batch_size=500) if callable(model) else model
        for name, model in models.items()
    }
    # All the examples of the smallest class take part: 20 drawings of omniglot, 12 faces of glyphs.
    queries = np.unique(test.labels, return_counts=True)[1].min() - 5
    found = unseen_classes(embeddings, test.labels, k=1, queries=int(queries)).figures
    return {name: {metric: round(own[name].value, 4) for metric, own in found.items()} for name in embeddings}


def baselines(name):
    """Figures of the pixels and of the untrained network."""
    test = examples(name, "test")
    untrained, _ = build(name, examples(name, "train"))
    # Ink is large and paper 0, as a distance of pixels wants it.
    pixels = 255.0 - test.images.reshape(len(test), -1)
    return unseen({"pixels": pixels, "untrained": untrained}, test)


def record_name(name, seed):
    """What a run of a seed is kept by."""
    return f"{name}-{seed}" if seed else name


def fingerprint(name):
    """Of the test images: copies of CIFAR-10 differ in their compression, and the figures with them."""
    return hashlib.sha256(load(name, "test").images.tobytes()).hexdigest()[:16]


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


def kept_records():
    """What the runs that were made left behind: name -> dict."""
    files = [*RESULTS.glob("*.json"), *WEIGHTS.glob("*.json")]
    return {path.stem: json.loads(path.read_text()) for path in sorted(files)}


def worst_of_seeds(name):
    """Of a run that is measured on unseen classes: how many seeds were kept, and the worst of each figure."""
    runs = [record["figures"] for key, record in kept_records().items() if key.partition("-")[0] == name]
    return len(runs), {metric: min(figures[metric] for figures in runs) for metric in runs[0]}


def publish(name, model):
    """Write the weights in half precision into the package; returns the embedder that they make."""
    WEIGHTS.mkdir(exist_ok=True)
    # Statistics of batch normalization stay whole: their size is nothing, their range is not that of halves.
    arrays = [w.astype(np.float16 if w.ndim > 1 else np.float32) for w in model.get_weights()]
    with open(WEIGHTS / f"{name}.npz", "wb") as file:
        np.savez_compressed(file, **{f"weight_{i}": array for i, array in enumerate(arrays)})
    published = fast_resnet(
        precision="auto", **{"embedding_size": model.output_shape[-1], **RUNS[name]["model"]}
    )
    published.set_weights([array.astype(np.float32) for array in arrays])
    return published


def main():
    """Train by name, measure, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    name = options.name
    model, seconds = train(name, options.seed)
    record = {
        "command": f"python -m tests.benchmarks.training {name} --seed {options.seed}",
        "seed": options.seed,
        "data": DATA.get(name, "cifar10 3.0.2 of TFDS, split train"),
        "fingerprint": fingerprint(name),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {package: version(package) for package in ("tensorflow", "keras", "numpy")},
        "python": platform.python_version(),
        "precision": model.layers[-2].dtype_policy.name,
        "seconds_of_training": round(sum(seconds), 1),
        "seconds_of_epochs": [round(value, 1) for value in seconds],
        "steps": number_of_steps(name),
        "parameters": model.count_params(),
    }
    folder = RESULTS
    if name in PRETRAINED and not options.seed:
        model, folder = publish(name, model), WEIGHTS
        record["model"] = {"embedding_size": model.output_shape[-1], **RUNS[name]["model"]}
        record["unknown"] = list(LEFT_OUT.get(name, ()))
    # Photographs may be mirrored.
    if "data" not in RUNS[name] and (folder == WEIGHTS or name == "record"):
        record["figures_without_mirror"] = figures(name, model)
        model = mirrored(model)
    record["figures"] = figures(name, model)
    if name in UNSEEN:
        record["baselines"] = baselines(name)
    folder.mkdir(exist_ok=True)
    (folder / f"{record_name(name, options.seed)}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["figures"]))


if __name__ == "__main__":
    main()
