"""What helps with classes that a network has not seen: the recipe with one thing changed, again and again.

``python -m tests.benchmarks.unseen omniglot`` (or ``glyphs``) trains each variant with three seeds, for fewer
steps than the run of ``tests.benchmarks.training``, goes on where it was stopped, keeps the figures in
``results/unseen/omniglot.json`` and prints the table of ``README.md``.
"""

import argparse
import json
import time

import numpy as np

from simnb._files import replace_whole
from simnb._keras import keras, ops
from simnb.augmentation import Augment
from simnb.layers import MetricEmbedding
from simnb.losses import (
    CrossBatchMemory,
    NormalizedSoftmaxLoss,
    SupervisedContrastiveLoss,
    supervised_contrastive_loss,
)
from simnb.models import embed, fast_resnet
from simnb.samplers import BalancedBatches
from simnb.training import fit
from tests.benchmarks import training

STEPS = 100
#: What stands in the table, in this order.
METRICS = ("recall@1", "map@r", "5-way 1-shot", "20-way 1-shot", "20-way 5-shot")
#: Each variant by what it changes of ``train``'s arguments.
VARIANTS = {
    "the recipe": {},
    "without turned classes": {"turns": 1},
    "with turned and mirrored ones": {"turns": 8},
    "temperature 0.05": {"temperature": 0.05},
    "temperature 0.2": {"temperature": 0.2},
    "64 classes x 4": {"batch": (64, 4)},
    "32 classes x 8": {"batch": (32, 8)},
    "weights averaged (0.98)": {"average": 0.98},
    "cross-batch memory of 1,024": {"loss": "memory"},
    "normalized softmax beside it": {"loss": "proxies"},
    "two views of each, self-supervision beside it": {"batch": (64, 2), "loss": "views"},
    "maximum of each channel, not average": {"pooling": "max"},
    "all places of each channel": {"pooling": "flat"},
}
#: What is done with the network of the recipe, once it is trained.
AFTERWARDS = ("features before the last layer", "centered on the seen classes", "both")


class Views(keras.losses.Loss):
    """Two views of an image, which follow one another, are a class of their own."""

    def call(self, y_true, y_pred):
        """Loss of each row."""
        own = ops.arange(ops.shape(y_pred)[0]) // 2
        return supervised_contrastive_loss(own, y_pred)


class TwiceEach(keras.utils.PyDataset):
    """Batches with two views of each image."""

    def __init__(self, batches, augment, seed):
        super().__init__()
        self.batches, self.augment, self.seed = batches, augment, seed

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        images, labels = self.batches[i]
        rng = np.random.default_rng([self.seed, i])
        return self.augment(np.repeat(images, 2, axis=0), rng), np.repeat(labels, 2)


def turned(examples, turns):
    """Images and labels, each of some turns being a class; from the fifth on, of the mirrored images."""
    images = [
        np.rot90(examples.images[:, :, :: -1 if turn > 3 else 1], turn, axes=(1, 2)) for turn in range(turns)
    ]
    labels = [examples.labels + turn * len(examples.class_names) for turn in range(turns)]
    return np.concatenate(images), np.concatenate(labels)


def losses(name, temperature, dim):
    """The loss of a variant and the weights of a mix."""
    pairs = SupervisedContrastiveLoss(temperature=temperature)
    if name == "memory":
        return CrossBatchMemory(pairs, 1024, dim, start=50), None
    if name == "proxies":
        return [NormalizedSoftmaxLoss(temperature=1 / 16), pairs], [0.5, 1]
    if name == "views":
        return [pairs, Views()], [1, 0.5]
    return pairs, None


def network(run, pooling, examples, seed):
    """The embedder, with another end where one is asked for."""
    options = run["model"] | ({"pooling": pooling} if pooling == "max" else {})
    model = fast_resnet(whiten=examples.images, precision="auto", seed=seed, **options)
    if pooling != "flat":
        return model
    embedding = model.get_layer("embedding")
    channels = next(layer for layer in model.layers if layer.output is embedding.input).input
    start = keras.initializers.GlorotUniform(seed=seed)
    end = MetricEmbedding(embedding.dim, kernel_initializer=start, use_bias=False, name="embedding")
    return keras.Model(model.input, end(keras.layers.Flatten()(channels)))


def train(
    name, seen, seed, *, turns=4, temperature=0.1, batch=(128, 2), loss="pairs", pooling=None, average=None
):
    """An embedder trained with a variant."""
    run = training.UNSEEN[name]
    images, labels = turned(seen, turns)
    model = network(run, pooling, seen, seed)
    augment = Augment(**run["augment"])
    classes, each = batch
    batches = BalancedBatches(
        images,
        labels,
        classes_per_batch=classes,
        examples_per_class=each,
        steps_per_epoch=STEPS,
        augment=None if loss == "views" else augment,
        seed=seed,
    )
    if loss == "views":
        batches = TwiceEach(batches, augment, seed)
    loss, weights = losses(loss, temperature, model.output_shape[-1])
    fit(
        model,
        batches,
        loss=loss,
        loss_weights=weights,
        optimizer=run["fit"]["optimizer"],
        average=average,
        seed=seed,
        verbose=0,
    )
    return model


def embeddings(model, test, seen):
    """Of the test images, and what is made of the same network afterwards."""
    before = keras.Model(model.input, model.get_layer("embedding").input)
    some = seen.images[:: max(1, len(seen) // 5000)]
    found = {}
    for name, asked, known in (
        ("plain", embed(model, test.images), embed(model, some)),
        (AFTERWARDS[0], *(before.predict(np.asarray(x), verbose=0) for x in (test.images, some))),
    ):
        asked, known = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (asked, known))
        found[name] = asked
        found[AFTERWARDS[1 if name == "plain" else 2]] = asked - known.mean(axis=0)
    return found


def table(records):
    """Mean and range over the seeds, as Markdown."""
    rows = [["variant", *METRICS], ["---"] * (1 + len(METRICS))]
    for name in (*VARIANTS, *AFTERWARDS):
        found = [record["figures"] for record in records if record["variant"] == name]
        if found:
            of_seeds = [[figures[metric] for figures in found] for metric in METRICS]
            rows.append([name, *(f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in of_seeds)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main():
    """Train what is not kept yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=training.UNSEEN)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    name, path = options.name, training.RESULTS / "unseen" / f"{options.name}.json"
    path.parent.mkdir(exist_ok=True)
    records = json.loads(path.read_text()) if path.exists() else []
    seen, test = (training.examples(name, split) for split in ("train", "test"))
    for seed in range(options.seeds):
        for variant, changes in VARIANTS.items():
            if any((record["variant"], record["seed"]) == (variant, seed) for record in records):
                continue
            start = time.perf_counter()
            model = train(name, seen, seed, **changes)
            seconds = round(time.perf_counter() - start, 1)
            made = embeddings(model, test, seen) if not changes else {"plain": model}
            for way, figures in training.unseen(made, test).items():
                known = {"variant": variant if way == "plain" else way, "seed": seed, "seconds": seconds}
                records.append({**known, "figures": figures})
            with replace_whole(path) as part:
                part.write_text(json.dumps(records, indent=1) + "\n")
            print(variant, seed, seconds, records[-1]["figures"] if changes else "", flush=True)
    print(table(records))


if __name__ == "__main__":
    main()
