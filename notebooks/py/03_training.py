# %% [markdown]
# # Train an embedding: losses, mining, and what goes wrong
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/03_training.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/03_training.ipynb) · [← 02](02_sampling.ipynb) · [04 →](04_indexing.ipynb) · [Glossary](GLOSSARY.md)
#
# You train one small network under several losses, look at which examples teach it anything, make it fail in the
# two usual ways, and then train it well.
#
# **You will do**
#
# - train a network under several losses on the same budget, and compare them over two seeds;
# - count what mining keeps of a batch, before and after training;
# - provoke a collapse and an over-fitting, and read both off numbers;
# - train by a recipe, and watch the embedding form on a map;
# - load weights that come with the package;
# - build an embedder over a network of `keras.applications`, and choose what of it trains.
#
# **You will learn**
#
# - what losses over pairs and losses over proxies compare;
# - why the value of a loss says little, and what to watch in its place;
# - why the hardest examples are not the best ones to begin with.
#
# **You need** the quickstart, [01_quickstart](01_quickstart.ipynb), for the words *embedding*, *gallery*, *R@1* and
# *MAP@R*; about 5 minutes with CIFAR-10 (a download of 162 MiB, once) or one minute with the digits that are used
# where CIFAR-10 cannot be had.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/simnb/simnb")

# %% [markdown]
# ## Overview
#
# An embedding is good if images of one class lie near together and others far. Which images a step compares, and
# how much each comparison counts, is decided by the *loss* and by the make-up of the batch. Both are choices, and
# both can go wrong without an error message. So everything below is measured the same way: by searching, with
# images that were not trained on.

# %% [markdown]
# ## 0. Set-up
#
# All imports, the seeds and the sizes. Of the digits there are few, and they are easy: less of everything will do.
# A seed repeats weights and batches exactly; the precision that `"auto"` chooses for this machine still changes the
# last digits.

# %%
import logging
import time

import keras
import matplotlib.pyplot as plt
import numpy as np

from simnb import data, distances, losses, models, plots, samplers, training
from simnb.augmentation import Augment

SEED, SEEDS = 0, (0, 1)
SIZES = {
    "cifar10": {"losses": 8, "stages": 3, "steps": 120, "few": 50, "epochs": 4, "recipe": 100, "flip": True},
    "digits": {"losses": 2, "stages": 2, "steps": 24, "few": 10, "epochs": 2, "recipe": 8, "flip": False},
}
logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of so many models in one process
start = time.perf_counter()

# %% [markdown]
# ## 1. Data
#
# The training images train. The test images are cut into three parts that share no image:
#
# - the **gallery** is searched in;
# - **validation** supplies the queries while we compare and choose, after which its figures are too good: the best
#   of several is a lucky one;
# - **query** supplies those of sections 6 and 7, for networks that are finished.

# %% tags=["nbval-ignore-output"]
train = data.load(split="train")
parts = data.load(split="test").split(train=0, gallery=0.5, calibration=0.25, query=0.25, seed=SEED)
gallery, validation, query = parts.gallery, parts.calibration, parts.query
sizes = SIZES[data.default_name()]
print("train     ", train)
print("gallery   ", gallery)
print("validation", validation)
print("query     ", query)

# %% [markdown]
# A `RetrievalMonitor` searches for up to a thousand validation images in a part of the gallery. Guessing would be
# right about once in ten times. A network that was never trained does better: images of one class often have the
# same colors, and it sees those. So *untrained* is what a training has to beat.

# %%
monitor = training.RetrievalMonitor(validation[:1000], gallery[:3000])


def new_network(seed=SEED):
    """A small network, not trained."""
    widths = (16, 32, 64)[: sizes["stages"]]
    return models.fast_resnet(widths=widths, whiten=train.images[:1000], precision="auto", seed=seed)


def mean_distance(model):
    """Mean cosine distance of any two of 500 validation images."""
    embeddings = models.embed(model, validation.images[:500])
    return float(distances.pairwise(embeddings, embeddings).mean())


# %% tags=["nbval-ignore-output"]
untrained = {**monitor.measure(new_network()), "distance": mean_distance(new_network())}
print(", ".join(f"{name} {value:.3f}" for name, value in untrained.items()))

# %%
# Check: no image is in two parts, and an untrained network is between guessing and useful.
ids = [set(part.ids) for part in (train, gallery, validation, query)]
assert len(set.union(*ids)) == sum(map(len, ids))
assert 0.1 < untrained["recall_at_1"] < 0.9

# %% [markdown]
# ## 2. Losses side by side
#
# There are two families. Losses over **pairs** compare the images of a batch with each other:
#
# - *triplet* asks that an image lies nearer to one of its class than to one of another, by a margin; which ones it
#   looks at is the *mining* of section 3;
# - *multi-similarity* and *circle* take many pairs of each image at once, and weigh each by how wrong it is;
# - *supervised contrastive* is a classification: which of the other images of the batch are of my class?
#
# Losses over **proxies** keep one trained vector for each class, the proxy, and compare images with those. They
# need no pair of one class in the batch:
#
# - *normalized softmax* classifies by the similarity to the proxies; *ArcFace* also asks for a margin, an angle;
# - *proxy-anchor* turns it around: each proxy looks for the images of its class, and the hard ones count more.
#
# `training.fit` makes the proxies where a loss needs them; after training they are thrown away.

# %%
LOSSES = {
    "normalized softmax": losses.NormalizedSoftmaxLoss(),
    "multi-similarity": losses.MultiSimilarityLoss(lam=0.8),
    "triplet, semi-hard": losses.TripletLoss(negative_mining="semi-hard"),
    "triplet, hard": losses.TripletLoss(negative_mining="hard"),
    "supervised contrastive": losses.SupervisedContrastiveLoss(),
    "proxy-anchor": losses.ProxyAnchorLoss(),
    "ArcFace": losses.ArcFaceLoss(),
    "circle": losses.CircleLoss(),
}
compared = list(LOSSES)[: sizes["losses"]]

# %% [markdown]
# Everything else is the same: a small network, batches of 10 classes x 10 images, the steps, the optimizer and its
# learning rate. The options of the losses are their defaults, but for one: `lam=0.8` asks positive pairs to be more
# alike, since with 0.5 the first steps are slow. Two seeds, since one run of each could be luck.


# %%
def train_under(loss, examples=train, *, steps=sizes["steps"], augment=None, seed=SEED, **options):
    """Train a small network; return it and what was recorded."""
    model = new_network(seed)
    batches = samplers.BalancedBatches(
        examples.images,
        examples.labels,
        classes_per_batch=10,
        examples_per_class=10,
        steps_per_epoch=steps,
        augment=augment,
        seed=seed,
    )
    options = {"optimizer": "muon", "verbose": 0, **options}
    return model, training.fit(model, batches, loss=loss, seed=seed, **options).history


# %% tags=["nbval-ignore-output"]
recall, ranking, apart = ({name: [] for name in compared} for _ in range(3))
trained = {}  # one network of each loss that is looked at below: more would only take memory
print(f"{sizes['steps']} steps of 100 images")
print(f"{'':24}    loss  R@1 of each seed   MAP@R of each seed   mean distance")
for name in compared:
    for seed in SEEDS:
        model, history = train_under(LOSSES[name], seed=seed)
        measured = monitor.measure(model)
        if seed == SEEDS[0] and name in ("normalized softmax", "multi-similarity"):
            trained[name] = model
        recall[name].append(measured["recall_at_1"])
        ranking[name].append(measured["map_at_r"])
        apart[name].append(mean_distance(model))
    columns = ("  ".join(f"{value:.3f}" for value in of[name]) for of in (recall, ranking, apart))
    print(f"{name:24}{history['loss'][-1]:8.3f}  " + "       ".join(columns))

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 2, figsize=(11, 2.0 + 0.36 * len(compared)), layout="constrained")
plots.spread({**recall, "untrained": [untrained["recall_at_1"]]}, ax=axes[0], title="R@1 of each loss")
plots.spread(
    {**ranking, "untrained": [untrained["map_at_r"]]}, metric="MAP@R", ax=axes[1], title="MAP@R of each loss"
)
plt.show()

# %% [markdown]
# How to read it:
#
# - The **loss** (its mean over the steps of the second seed) **cannot be compared** from row to row: each loss has
#   a scale of its own. A lower one is no better network.
# - Rows whose dots overlap are **not told apart**. Two seeds show that there is a spread, not how wide it is.
# - It is **no ranking for all time**. Every loss has a learning rate, a margin or a temperature that suits it, and
#   some need longer. Tuned with equal care, they end up closer together (Musgrave et al.).
# - A row that is no better than *untrained* has learned nothing in these steps. Look at its mean distance: where it
#   is near 0, all images have been put onto one point. Section 4 shows how that happens.

# %%
# Check: a loss of each family beats the untrained network by far, with every seed.
for name in ("normalized softmax", "multi-similarity"):
    assert min(recall[name]) > untrained["recall_at_1"] + 0.1
    assert min(ranking[name]) > 1.3 * untrained["map_at_r"]

# %% [markdown]
# ## 3. What mining does
#
# A batch of 100 images holds many triplets: an *anchor*, the image one looks from; a *positive*, of its class; a
# *negative*, of another. By how far the negative lies from the anchor a triplet is
#
# - **hard**: the negative is nearer than the positive;
# - **semi-hard**: it is farther, but by less than the margin;
# - **easy**: it is farther by the margin or more. The loss is 0, and so is what can be learned from it.
#
# Here are the kinds in a batch of training images, under an untrained network and under one of section 2.

# %%
batch = train.take_per_class(10, seed=SEED)
networks = {
    "untrained": new_network(),
    "trained": trained["normalized softmax"],
}
embedded = {name: models.embed(network, batch.images) for name, network in networks.items()}
same = batch.labels[:, None] == batch.labels
anchors, positives = np.nonzero(same & ~np.eye(len(batch), dtype=bool))


def gaps(embeddings):
    """How much farther the negative lies than the positive, for every triplet."""
    lengths = distances.pairwise(embeddings, embeddings)
    beyond = lengths[anchors] - lengths[anchors, positives][:, None]
    return beyond[~same[anchors]]


# %% tags=["nbval-ignore-output"]
MARGIN = 0.2
kinds = {}
for name, embeddings in embedded.items():
    gap = gaps(embeddings)
    hard, easy = (gap <= 0).mean(), (gap >= MARGIN).mean()
    kinds[name] = {"hard": hard, "semi-hard": 1 - hard - easy, "easy": easy}
    print(f"{name:10}{gap.size:,} triplets: ", end="")
    print(", ".join(f"{share:5.1%} {kind}" for kind, share in kinds[name].items()))

# %% [markdown]
# Training turns hard triplets into easy ones, and an average over all of them would be one over more and more
# zeros. *Mining* takes one triplet for each anchor instead. The positive is the farthest; the negative is
#
# - *hard*: the nearest;
# - *semi-hard*: the nearest of those that are farther than the positive, or else the farthest;
# - *easy*: the farthest.
#
# How many anchors have a loss above 0 then, and how large is it?

# %% tags=["nbval-ignore-output"]
mined = {}
print(f"{'':12}" + "".join(f"{f'{name}: above 0, mean loss':>36}" for name in embedded))
for mining in ("easy", "semi-hard", "hard"):
    for name, embeddings in embedded.items():
        values = losses.triplet_loss(batch.labels, embeddings, margin=MARGIN, negative_mining=mining)
        mined[mining, name] = np.asarray(values)
    shares = [(mined[mining, name] > 0).mean() for name in embedded]
    means = [mined[mining, name].mean() for name in embedded]
    columns = (f"{share:.0%}, {mean:.3f}" for share, mean in zip(shares, means, strict=True))
    print(f"{mining:12}" + "".join(f"{column:>36}" for column in columns))

# %%
# Check: training makes triplets easier; untrained, most anchors have a negative that is nearer than a positive.
assert kinds["trained"]["easy"] > kinds["untrained"]["easy"]
assert kinds["trained"]["hard"] < kinds["untrained"]["hard"]
assert (mined["hard", "untrained"] > MARGIN).mean() > 0.5
for name in embedded:
    assert (mined["hard", name] >= mined["semi-hard", name]).all()
    assert (mined["semi-hard", name] >= mined["easy", name]).all()

# %% [markdown]
# Training leaves the easy negatives little to teach. The hardest ones always have something to say, also where they
# are mislabeled or nobody could tell them. Their mean loss need not even fall: a trained embedding uses more room,
# and what is wrong in it is wrong by more. And an untrained network has a hard negative for most anchors, which the
# next section makes use of.
#
# ## 4. Collapse
#
# There is a cheap way to please a triplet loss that looks at the hardest negatives only: put all images onto one
# point. Every distance is 0 then, and the loss is exactly the margin: not good, but better than the untrained
# network's, and hard to leave, since the cosine distance has no slope at 0. The same network, optimizer and steps
# under other losses do not end there:

# %% tags=["nbval-ignore-output"]
CASES = {
    "triplet, hard": losses.TripletLoss(margin=MARGIN, negative_mining="hard"),
    "triplet, semi-hard": losses.TripletLoss(margin=MARGIN, negative_mining="semi-hard"),
    "multi-similarity": losses.MultiSimilarityLoss(lam=0.8),
}
ends, points = {"untrained": untrained}, {"untrained": models.embed(new_network(), validation.images[:500])}
for name, loss in CASES.items():
    options = {"optimizer": "adam", "learning_rate": 0.005, "epochs": 3}
    model, history = train_under(loss, steps=sizes["steps"] // 3, **options)
    points[name] = models.embed(model, validation.images[:500])
    ends[name] = {"loss": history["loss"], **monitor.measure(model), "distance": mean_distance(model)}
print(f"{'':20}mean distance    R@1   MAP@R   loss of each epoch")
for name, end in ends.items():
    of_epochs = "  ".join(f"{value:.3f}" for value in end.get("loss", []))
    print(f"{name:20}{end['distance']:13.4f}  {end['recall_at_1']:.3f}   {end['map_at_r']:.3f}   {of_epochs}")

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained", sharey=True)
for ax, name in zip(axes, ("untrained", "triplet, hard", "multi-similarity"), strict=True):
    plots.pair_distances(points[name], validation.labels[:500], limits=(0, 1.2), ax=ax, title=name)
plt.show()

# %% [markdown]
# How to see a collapse:
#
# - the **mean distance** of two embeddings falls far below that of the untrained network. (That one is not large
#   either: an untrained network gives all images similar embeddings. Embeddings that point anywhere are at about
#   1.);
# - the loss stands still **at the margin** (at log 2 under the soft margin, `margin=None`). That alone is no proof:
#   a loss can stand there because nothing is learned, with the points still spread out;
# - **R@1 and MAP@R** do not rise over those of the untrained network. They need not fall to guessing: differences
#   in the last digits still rank.
#
# What helps is a loss that looks at many pairs at once, as the last row does. Semi-hard negatives keep the points
# apart; that alone does not make a good search. Often advised, and not shown here: a few epochs under a proxy loss
# before hard mining begins.

# %%
# Check: hard negatives end at the margin and on one point, far below where they began; the other loss learns.
assert abs(ends["triplet, hard"]["loss"][-1] - MARGIN) < 0.01
assert ends["triplet, hard"]["distance"] < 0.2 * untrained["distance"]
assert ends["multi-similarity"]["distance"] > untrained["distance"]
assert ends["multi-similarity"]["recall_at_1"] > ends["triplet, hard"]["recall_at_1"] + 0.05

# %% [markdown]
# ## 5. Over-fitting
#
# The other failure looks like a success: the loss falls and falls. Here the network gets few images of each class,
# and two monitors watch. One asks with held-out images. The other asks with one half of the images that are trained
# on and searches in the other half. Both search in galleries of one size, so that their R@1 can be compared.

# %% tags=["nbval-ignore-output"]
few = train.take_per_class(sizes["few"], seed=SEED)
halves = few.split(train=0, gallery=0.5, calibration=0, query=0.5, seed=SEED)
seen = training.RetrievalMonitor(halves.query, halves.gallery)
held_out = training.RetrievalMonitor(validation[:1000], gallery[: len(halves.gallery)])


class WatchBoth(keras.callbacks.Callback):
    """Adds the R@1 of images that are trained on, and of others, to what is recorded."""

    def on_epoch_end(self, epoch, logs=None):
        logs["seen"] = seen.measure(self.model)["recall_at_1"]
        logs["held_out"] = held_out.measure(self.model)["recall_at_1"]


options = {"steps": sizes["steps"] // 6, "epochs": 6, "callbacks": WatchBoth()}
learned, history = train_under(losses.MultiSimilarityLoss(lam=0.8), few, **options)
gap = history["seen"][-1] - history["held_out"][-1]

# %% tags=["nbval-ignore-output"]
curves = {
    "loss": history["loss"],
    "R@1, images trained on": history["seen"],
    "R@1, held-out images": history["held_out"],
}
plots.training_curves(curves, title=f"R@1 of images trained on is {gap:.2f} above that of others")
plt.show()

# %% [markdown]
# The gap between the two curves on the right is what was learned by heart. What helps is more of each image,
# augmentation, and most of all more images. The same steps, loss and network:

# %% tags=["nbval-ignore-output"]
augment = Augment(crop=2, flip=sizes["flip"])
more = {"few images": learned}
more["few, augmented"], _ = train_under(losses.MultiSimilarityLoss(lam=0.8), few, augment=augment)
more["all images"] = trained["multi-similarity"]
gaps_left = {}
for name, model in more.items():
    own, other = seen.measure(model)["recall_at_1"], held_out.measure(model)["recall_at_1"]
    gaps_left[name] = own - other
    print(f"{name:16} R@1 of the few images {own:.3f}, of held-out images {other:.3f}, gap {own - other:.3f}")

# %% [markdown]
# `training.fit(..., monitor=monitor, patience=3)` ends a training when R@1 on held-out images has not improved for
# three epochs, and goes back to the weights of the best one. It saves time; it does not cure.

# %%
# Check: what was trained on is found far more often than other images, and with all images the gap is smaller.
assert history["loss"][-1] < history["loss"][0]
assert gap > 0.05
assert gaps_left["all images"] < gaps_left["few images"]

# %% [markdown]
# ## 6. The recipe, and how an embedding forms
#
# The quickstart uses it too, with a wider network. What works well for small images in a few minutes:
#
# - **a network made for it**: `fast_resnet`, whose first layer is computed from the images (`whiten`) rather than
#   learned, in the faster precision of this machine (`precision="auto"`);
# - **two losses**: a proxy loss separates the classes, and a loss over pairs draws each together, with half the
#   weight;
# - **large balanced batches**, 10 classes x 25 images: more pairs, and proxies that see every class in every step;
# - **augmentation**: images are shifted by up to two pixels, and mirrored where a mirrored image is still one of
#   its class (a mirrored digit is not);
# - **Muon** with one cycle of the learning rate: up in a straight line, down along a cosine.
#
# What was tried beside it, with figures, is in `tests/benchmarks/README.md` of the repository. (Those trials were
# measured on all test images of CIFAR-10, so that the figures below may be a little too good.)
#
# A callback keeps the embeddings of some validation images before training and after every epoch.

# %%
shown = validation[:600]
model = models.fast_resnet(widths=(32, 64, 128), whiten=train.images, precision="auto", seed=SEED)
batches = samplers.BalancedBatches(
    train.images,
    train.labels,
    classes_per_batch=10,
    examples_per_class=25,
    steps_per_epoch=sizes["recipe"],
    augment=Augment(crop=2, flip=sizes["flip"]),
    seed=SEED,
)
moments = [models.embed(model, shown.images)]
keep = keras.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: moments.append(models.embed(model, shown.images))
)

# %% tags=["nbval-ignore-output"]
moments = moments[:1]
history = training.fit(
    model,
    batches,
    loss=[
        losses.NormalizedSoftmaxLoss(temperature=1 / 16, label_smoothing=0.1),
        losses.SupervisedContrastiveLoss(temperature=0.1),
    ],
    loss_weights=[1, 0.5],
    optimizer="muon",
    epochs=sizes["epochs"],
    monitor=monitor,
    callbacks=keep,
    seed=SEED,
    verbose=2,
).history

# %% tags=["nbval-ignore-output", "picture"]
figure, axes = plt.subplots(2, 3, figsize=(12.5, 8), layout="constrained", height_ratios=[3, 2])
names = {0: "Before training", 1: "After one epoch", sizes["epochs"]: f"After {sizes['epochs']} epochs"}
for column, (epoch, name) in enumerate(names.items()):
    plots.embedding_map(
        moments[epoch], shown.labels, class_names=shown.class_names, seed=SEED, ax=axes[0, column], title=name
    )
    axes[0, column].set_ylim(axes[0, column].get_xlim())  # three maps of one size
    if column < 2:
        axes[0, column].get_legend().remove()
    plots.pair_distances(moments[epoch], shown.labels, limits=(0, 1.2), ax=axes[1, column])
plt.show()

# %% [markdown]
# Above, maps of images that were not trained on: the classes come apart, and what remains between them are the
# images that the network cannot tell. Below, the distances of all pairs of these images. An untrained network gives
# all images nearly the same embedding, and pairs of one class hardly lie nearer than others. Training moves pairs
# of two classes apart. How long a distance is says little in itself: what counts is that those of one class are
# shorter. (The last bin holds what lies beyond 1.2.)
#
# The figures that count, with images that nothing in this notebook has used, in the whole gallery:

# %% tags=["nbval-ignore-output"]
asked = training.RetrievalMonitor(query, gallery)
final = asked.measure(model)
print(f"query images: R@1 {final['recall_at_1']:.3f}, MAP@R {final['map_at_r']:.3f}")

# %%
# Check: the recipe is far above the untrained network, it ranks better than after one epoch, validation was no fluke,
# and the distances of the two kinds of pairs have come apart.
assert final["recall_at_1"] > max(0.6, untrained["recall_at_1"])
assert final["map_at_r"] > max(0.3, untrained["map_at_r"])
assert history["map_at_r"][-1] > history["map_at_r"][0]
assert abs(final["recall_at_1"] - history["recall_at_1"][-1]) < 0.1
of_one_class = shown.labels[:, None] == shown.labels
ratios = []
for embeddings in (moments[0], moments[-1]):
    lengths = distances.pairwise(embeddings, embeddings)
    ratios.append(
        lengths[~of_one_class].mean() / lengths[of_one_class & ~np.eye(len(shown), dtype=bool)].mean()
    )
assert ratios[1] > 1.5 * ratios[0]

# %% [markdown]
# ## 7. Weights that come with the package
#
# A longer training with a wider and deeper network is there to be loaded: nothing is downloaded.
# `models.pretrained("cifar10")` was trained on the training images of CIFAR-10, so that our gallery and queries are
# new to it. `models.provenance` says how it was made and what it reached: the R@1 there is of all test images among
# the training images, and its MAP@R of the test images among themselves.
#
# It averages the embedding of each image with that of its mirror image (`models.mirrored`, for any embedder). What
# differs between the two says little about the class, and part of it goes, for twice the time. That is for photographs, not for text or digits,
# where left and right matter; and for the digits there are no weights, so that the network of section 6 stands in.

# %% tags=["nbval-ignore-output"]
if data.default_name() == "cifar10":
    made = models.provenance("cifar10")
    print(f"{made['steps']:,} steps, {made['parameters']:,} parameters")
    print("as published:", ", ".join(f"{name} {value:.3f}" for name, value in made["figures"].items()))
    once = asked.measure(models.pretrained("cifar10", mirror=False, precision="auto"))
    print(f"our query images, embedded once: R@1 {once['recall_at_1']:.3f}, MAP@R {once['map_at_r']:.3f}")
    pretrained = models.pretrained("cifar10", precision="auto")
else:
    pretrained = model
loaded = asked.measure(pretrained)
print(f"our query images: R@1 {loaded['recall_at_1']:.3f}, MAP@R {loaded['map_at_r']:.3f}")

# %%
# Check: the loaded network gives unit vectors; on CIFAR-10 it is better than the one of section 6.
assert np.allclose(np.linalg.norm(models.embed(pretrained, query.images[:10]), axis=1), 1, atol=1e-5)
assert loaded["map_at_r"] > final["map_at_r"] or data.default_name() == "digits"

# %% [markdown]
# ## 8. A network of `keras.applications`
#
# For photographs one rather starts from a network that has seen a million of them. `models.backbone` makes an
# embedder out of any in `keras.applications`: the preprocessing that it expects, the network, pooling, and the
# embedding.
#
# `weights="imagenet"` downloads trained weights. Here they are left out (`weights=None`), so that this runs without
# a connection: it shows which weights train when, not how well it works. `VGG16` is old, but quick to build.

# %%
backbone = models.backbone("VGG16", input_shape=(32, 32, 3), embedding_size=64, weights=None, seed=SEED)
print(" -> ".join(type(layer).__name__ for layer in backbone.layers))
for trainable in ("head", "block5_conv3", "all"):
    models.set_trainable(backbone, trainable)
    count = sum(int(np.prod(weight.shape)) for weight in backbone.trainable_weights)
    print(f"{trainable:13}{count:11,} of {backbone.count_params():,} parameters train")

# %% [markdown]
# Fine-tuning has two stages. First `"head"`: pooling and embedding learn over the frozen network, which random
# gradients of a fresh embedding would only harm. Then the last layers too (here one), at a much lower learning
# rate. Where a network has batch normalization it stays frozen in both: small batches would spoil its statistics.

# %%
batches = samplers.BalancedBatches(
    train.images, train.labels, classes_per_batch=10, examples_per_class=4, steps_per_epoch=3, seed=SEED
)


def fingerprints():
    """A number for each array of weights, which is another once the array has changed."""
    return {weight.path: hash(np.asarray(weight).tobytes()) for weight in backbone.weights}


at_first = fingerprints()
models.set_trainable(backbone, "head")
training.fit(backbone, batches, learning_rate=0.002, seed=SEED, verbose=0)
after_head = fingerprints()
models.set_trainable(backbone, "block5_conv3")
training.fit(backbone, batches, learning_rate=0.0002, seed=SEED, verbose=0)
after_both = fingerprints()

# %%
# Check: the first stage changes pooling and embedding alone; the second, of the network, its last layer alone.
head = {"pooling", "embedding"}
stages = ((at_first, after_head), (after_head, after_both))
changed = [{path.split("/")[0] for path in old if old[path] != new[path]} for old, new in stages]
assert changed[0] == head
assert changed[1] - head == {"block5_conv3"}

# %% [markdown]
# With weights from ImageNet the same two stages are, for photographs of 224 x 224 pixels:
#
# ```python
# photographs = data.from_folder("my_images", image_size=(224, 224), lazy=True)
# batches = samplers.BalancedBatches(
#     photographs.images, photographs.labels, classes_per_batch=8, examples_per_class=4
# )
# model = models.backbone("EfficientNetB0", weights="imagenet")  # "head" trains
# training.fit(model, batches, epochs=5, learning_rate=0.002)
# models.set_trainable(model, "block7")  # the layers from the first that is so called
# training.fit(model, batches, epochs=5, learning_rate=0.0001)
# ```
#
# ## 9. Result

# %% tags=["nbval-ignore-output", "summary"]
print(f"data set      {data.default_name()}, {time.perf_counter() - start:.0f} s")
low, high = (chosen(np.mean(values) for values in recall.values()) for chosen in (min, max))
print(f"side by side  R@1 {low:.3f} to {high:.3f}")
print(
    f"collapse      mean distance {ends['triplet, hard']['distance']:.4f}, untrained {untrained['distance']:.4f}"
)
print(f"over-fitting  R@1 of images trained on {gap:.3f} above that of others")
print(f"the recipe    R@1 {final['recall_at_1']:.3f}   MAP@R {final['map_at_r']:.3f}")
if data.default_name() == "cifar10":
    print(f"pretrained    R@1 {loaded['recall_at_1']:.3f}   MAP@R {loaded['map_at_r']:.3f}")

# %% [markdown]
# **You have**
#
# - trained a network under several losses on the same budget, and compared them over two seeds;
# - counted what mining keeps of a batch, before and after training;
# - provoked a collapse and an over-fitting, and read both off numbers;
# - trained by a recipe, and watched the embedding form on a map;
# - loaded weights that come with the package;
# - built an embedder over a network of `keras.applications`, and chosen what of it trains;
# - seen what pairs and proxies compare, why R@1 is watched rather than the loss, and what the hardest examples can
#   do.
#
# ## Exercises
#
# 1. What does the second loss of the recipe add? Train the small network of section 2 under the first loss of
#    section 6 alone and under both, on the budget of section 2, and compare R@1 and MAP@R. (One seed is shown; more
#    make a firmer answer.)
# 2. How wide should the margin be? Count how many triplets are semi-hard, under the trained network of section 3,
#    for margins of 0.05, 0.2 and 0.8.
#
# The solutions follow; try first.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 1
mix = [
    losses.NormalizedSoftmaxLoss(temperature=1 / 16, label_smoothing=0.1),
    losses.SupervisedContrastiveLoss(temperature=0.1),
]
for name, loss, weights in (("proxies alone", mix[:1], None), ("both", mix, [1, 0.5])):
    model, _ = train_under(loss, loss_weights=weights)
    of_mix = monitor.measure(model)
    print(f"{name:14} R@1 {of_mix['recall_at_1']:.3f}, MAP@R {of_mix['map_at_r']:.3f}")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 2
farther = gaps(embedded["trained"])
semi_hard = {margin: ((farther > 0) & (farther < margin)).mean() for margin in (0.05, 0.2, 0.8)}
print(", ".join(f"margin {margin}: {share:.1%} semi-hard" for margin, share in semi_hard.items()))

# %%
# Check: under both the network learns; a wider margin calls more triplets semi-hard.
assert of_mix["recall_at_1"] > untrained["recall_at_1"]
assert semi_hard[0.05] < semi_hard[0.2] < semi_hard[0.8]

# %% [markdown]
# ## What's next
#
# Raise `recipe` and `epochs` in `SIZES` for a longer training, with `checkpoint="training.npz"` in `training.fit`,
# so that it goes on where it was stopped. Your own images come in by `data.from_folder("my_images")`; give
# `train_under` another loss of `simnb.losses` and add a row to the table.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Musgrave et al., *A Metric Learning Reality Check*, ECCV 2020. <https://arxiv.org/abs/2003.08505>
# - Schroff et al., *FaceNet*, CVPR 2015 (semi-hard negatives). <https://arxiv.org/abs/1503.03832>
# - Hermans et al., *In Defense of the Triplet Loss for Person Re-Identification*, 2017 (hard negatives, soft
#   margin). <https://arxiv.org/abs/1703.07737>
# - Wang et al., *Multi-Similarity Loss*, CVPR 2019. <https://arxiv.org/abs/1904.06627>
# - Sun et al., *Circle Loss*, CVPR 2020. <https://arxiv.org/abs/2002.10857>
# - Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020. <https://arxiv.org/abs/2004.11362>
# - Zhai and Wu, *Classification is a Strong Baseline for Deep Metric Learning*, BMVC 2019 (normalized softmax).
#   <https://arxiv.org/abs/1811.12649>
# - Deng et al., *ArcFace*, CVPR 2019. <https://arxiv.org/abs/1801.07698>
# - Kim et al., *Proxy Anchor Loss*, CVPR 2020. <https://arxiv.org/abs/2003.13911>
# - Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024.
#   <https://kellerjordan.github.io/posts/muon/>
