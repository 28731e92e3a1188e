# %% [markdown]
# # Make the batches: classes, examples, augmentation, your own images
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/02_sampling.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/02_sampling.ipynb) · [← 01](01_quickstart.ipynb) · [03 →](03_training.ipynb) · [Glossary](GLOSSARY.md)
#
# Many losses of metric learning compare the images of a batch with each other. So what is in a batch decides what
# can be learned from it. You look into batches, count what a loss finds there, and make good ones from arrays, from
# a folder and from a stream.
#
# **You will do**
#
# - count the pairs in random and in balanced batches;
# - train on a data set of frequent and rare classes both ways, and compare;
# - split a batch into classes and examples, and see what that changes;
# - draw what each augmentation does to an image;
# - make a folder of images, and go from there to a search, from end to end.
#
# **You will learn**
#
# - why batches are balanced, and what that costs;
# - what C and K are, and how to choose them;
# - what happens to classes that are too small, and how images are dealt so that each is used.
#
# **You need** the quickstart, [01_quickstart](01_quickstart.ipynb), for the words *embedding*, *gallery* and *R@1*;
# about 3 minutes with CIFAR-10 (a download of 162 MiB, once) or one minute with the digits that are used where
# CIFAR-10 cannot be had.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/simnb/simnb")

# %% [markdown]
# ## Overview
#
# Two images of one class are a *positive pair*: they ought to move together. Two images of different classes are a
# *negative pair*: they ought to move apart. A loss over pairs needs both, and finds them in the batch. (Losses over
# proxies compare an image with one learned vector for each class instead; [03_training](03_training.ipynb) has
# both.)

# %% [markdown]
# ## 0. Set-up
#
# All imports, the seeds and the sizes. A seed repeats batches and weights exactly; the precision that `"auto"`
# chooses for this machine still changes the last digits.

# %%
import logging
import tempfile
import time
import warnings
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from PIL import Image

from simnb import data, losses, metrics, models, plots, samplers, training
from simnb.augmentation import Augment
from simnb.search import SimilaritySearch

# %%
SEED, SEEDS = 0, (0, 1)
SIZES = {
    "cifar10": {"most": 2000, "least": 40, "steps": 120, "own": 160},
    "digits": {"most": 100, "least": 12, "steps": 16, "own": 28},
}
logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of so many models in one process
start = time.perf_counter()

# %% [markdown]
# ## 1. Data
#
# Data sets of the real world are not balanced: of some classes there are many images, of others few. CIFAR-10 has
# the same number of each, so we thin it out: the first class keeps most of its images, each next one fewer.

# %% tags=["nbval-ignore-output"]
everything = data.load(split="train")
sizes = SIZES[data.default_name()]
counts = np.geomspace(sizes["most"], sizes["least"], 10).astype(int)
kept = [np.flatnonzero(everything.labels == label)[:count] for label, count in enumerate(counts)]
train = everything[np.sort(np.concatenate(kept))]
print(train)
for label, count in enumerate(counts):
    print(f"{train.class_names[label]:12}{count:6,}")

# %% [markdown]
# Test images measure: some are the gallery, others are the queries that search in it. There every class is about as
# frequent as any other.

# %%
parts = data.load(split="test").split(train=0, gallery=0.5, calibration=0.5, query=0, seed=SEED)
gallery, validation = parts.gallery[:3000], parts.calibration[:1500]
monitor = training.RetrievalMonitor(validation, gallery)


def new_network(seed=SEED):
    """A small network, not trained."""
    return models.fast_resnet(widths=(16, 32, 64), whiten=train.images, precision="auto", seed=seed)


untrained = monitor.measure(new_network())["recall_at_1"]

# %%
# Check: the data are as uneven as they were meant to be, and no image that measures is trained on.
assert np.bincount(train.labels).tolist() == counts.tolist()
assert not set(train.ids) & (set(gallery.ids) | set(validation.ids))

# %% [markdown]
# ## 2. What a random batch holds
#
# Here are the pairs of a batch, counted. First in a data set of 1,000 classes with 10 images each, which is usual
# where classes are persons or products:


# %%
def count_pairs(labels):
    """How many pairs of one class and of two classes a batch holds."""
    same = labels[:, None] == labels
    return (same.sum() - len(labels)) // 2, (~same).sum() // 2


many = np.repeat(np.arange(1000), 10)
at_random = np.random.default_rng(SEED).choice(many, 100, replace=False)
balanced = samplers.BalancedBatches(
    np.zeros((len(many), 1)), many, classes_per_batch=25, examples_per_class=4, seed=SEED
)
for name, labels in {"random": at_random, "25 x 4": balanced.batch(0)[1]}.items():
    positive, negative = count_pairs(labels)
    print(f"{name:8} {len(labels)} images: {positive:4} positive pairs, {negative:,} negative pairs")

# %% [markdown]
# The random batch teaches next to nothing about what belongs together. `BalancedBatches` draws `classes_per_batch`
# classes, **C**, and `examples_per_class` images of each, **K**. Every image then has K - 1 others of its class
# beside it. Classes are dealt like cards too: each comes once before any comes again.
#
# In our thinned-out data there are few classes, and the trouble is another one. How many images of each class are
# in 20 batches of 100, drawn at random and balanced?


# %%
class RandomBatches(keras.utils.PyDataset):
    """Batches of 100 images drawn at random, whatever their class."""

    def __init__(self, examples, steps, seed):
        super().__init__()
        self.examples, self.rng = examples, np.random.default_rng(seed)
        self.order = [self.rng.choice(len(examples), 100, replace=False) for _ in range(steps)]

    def __len__(self):
        return len(self.order)

    def __getitem__(self, i):
        return self.examples.images[self.order[i]], self.examples.labels[self.order[i]]


def balanced_batches(C, K, steps, seed=SEED, **options):
    """Batches of C classes and K images of each."""
    options = {"classes_per_batch": C, "examples_per_class": K, "steps_per_epoch": steps, **options}
    return samplers.BalancedBatches(train.images, train.labels, seed=seed, **options)


# %%
drawn = {}
for name, batches in {
    "random": RandomBatches(train, 20, SEED),
    "balanced": balanced_batches(10, 10, 20),
}.items():
    drawn[name] = np.bincount(np.concatenate([batches[i][1] for i in range(20)]), minlength=10)

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained", sharey=True)
titles = {
    "random": "Random: rare classes hardly come up",
    "balanced": "Balanced: every class as often as any",
}
for ax, (name, title) in zip(axes, titles.items(), strict=True):
    ax.bar(np.arange(10), drawn[name], color="#0072B2")
    ax.set_xticks(np.arange(10), train.class_names, rotation=40, ha="right")
    ax.set_xlabel("class, from frequent to rare")
    ax.set_title(title, loc="left")
axes[0].set_ylabel("images in 20 batches")
plt.show()

# %%
# Check: balanced batches hold all classes equally; random ones follow the data.
assert (drawn["balanced"] == 200).all()
expected = 2000 * counts / counts.sum()
assert (abs(drawn["random"] - expected) < 5 * np.sqrt(expected)).all()

# %% [markdown]
# Does it matter? The same small network, loss and number of steps, on both. (`training.fit` takes any
# `keras.utils.PyDataset`, so that batches of your own making can be tried as well. `lam` is the similarity that
# positive pairs are asked to exceed.)


# %%
def train_on(batches, seed):
    """Train a small network, and return it."""
    model = new_network(seed)
    loss = losses.MultiSimilarityLoss(lam=0.8)
    training.fit(model, batches, loss=loss, optimizer="muon", seed=seed, verbose=0)
    return model


def recall_by_class(model):
    """R@1 of each class, shape [10]."""
    search = SimilaritySearch(model)
    search.add(gallery)
    found = search.lookup(validation, k=1)
    of_class = [validation.labels == label for label in range(10)]
    return np.array([metrics.recall_at_k(found[rows], validation.labels[rows], 1) for rows in of_class])


# %% tags=["nbval-ignore-output"]
by_class = {"random": [], "balanced": []}
steps = sizes["steps"]
for seed in SEEDS:
    by_class["random"].append(recall_by_class(train_on(RandomBatches(train, steps, seed), seed)))
    by_class["balanced"].append(recall_by_class(train_on(balanced_batches(10, 10, steps, seed), seed)))
print(f"{'R@1, mean of the runs':24}" + "".join(f"{name:>10}" for name in by_class))
for label, name in enumerate(train.class_names):
    print(f"{name:24}" + "".join(f"{np.mean(runs, axis=0)[label]:10.3f}" for runs in by_class.values()))

# %% tags=["nbval-ignore-output"]
recall = {name: [run.mean() for run in runs] for name, runs in by_class.items()}
plots.spread({**recall, "not trained": [recall_by_class(new_network()).mean()]})
plt.show()

# %% [markdown]
# Compare the rows from top, the frequent classes, to bottom, the rare ones. What balance gives to some it takes
# from others, since a batch has only so many places. Whether that is a gain depends on what you care about: in the
# mean over classes, which the figure shows, a rare class counts as much as a frequent one. Do not read too much
# into a row: each class is asked for by about 150 queries or fewer, and two networks are no crowd.
#
# The price of balance is repetition. A pass through the largest class is many passes through the smallest:

# %% tags=["nbval-ignore-output"]
steps = int(np.ceil(counts[0] / 10))
print(f"{steps} batches of 10 x 10 use each image of class {train.class_names[0]} once,")
print(f"and each of class {train.class_names[-1]} {10 * steps / counts[-1]:.0f} times")

# %% [markdown]
# So the rarest class may gain nothing: what is shown so often is soon known by heart. Against that help
# augmentation (section 5) and, best, more images.

# %%
# Check: both ways, and each run of them, find more than an untrained network does.
assert min(map(min, recall.values())) > recall_by_class(new_network()).mean()

# %% [markdown]
# ## 3. C and K
#
# A batch of 100 can be 10 classes x 10 images, or 5 x 20, or 2 x 50. It holds C · K (K - 1) / 2 positive pairs and
# C (C - 1) / 2 · K² negative ones:

# %%
SHAPES = {"10 x 10": (10, 10), "5 x 20": (5, 20), "2 x 50": (2, 50)}


def shaped_batches(C, K, seed=SEED):
    """Batches of C classes x K images out of all training images."""
    options = {"classes_per_batch": C, "examples_per_class": K, "steps_per_epoch": sizes["steps"]}
    return samplers.BalancedBatches(everything.images, everything.labels, seed=seed, **options)


pairs = {name: count_pairs(shaped_batches(C, K).batch(0)[1]) for name, (C, K) in SHAPES.items()}
for name, (positive, negative) in pairs.items():
    print(f"{name:8} {positive:5,} positive pairs, {negative:5,} negative pairs")

# %% [markdown]
# A larger C shows an image more classes that it is not; a larger K shows it more of its own. With K = 1 there would
# be no positive pair at all. The network again, now trained on all images, in each of the three shapes. Rows whose
# dots overlap are not told apart:


# %% tags=["nbval-ignore-output"]
by_shape = {}
for name, (C, K) in SHAPES.items():
    networks = [train_on(shaped_batches(C, K, seed), seed) for seed in SEEDS]
    by_shape[name] = [monitor.measure(network)["recall_at_1"] for network in networks]
    print(f"{name:8}", "   ".join(f"{value:.3f}" for value in by_shape[name]))
plots.spread({**by_shape, "not trained": [untrained]})
plt.show()

# %% [markdown]
# Why few classes in a batch do worse, where they do, these rows do not say. It may be that a step sees nothing of
# the other classes, and the next one undoes what it did; or that batch normalization takes its statistics from a
# few classes at a time. A rule of thumb that is often right: **C as large as the batch allows, K of at least 4**;
# with few classes all of them, and K what is left of the batch.

# %%
# Check: the batches hold the pairs of the formulas, and every shape finds more than an untrained network does.
for name, (C, K) in SHAPES.items():
    assert pairs[name] == (C * K * (K - 1) // 2, C * (C - 1) // 2 * K * K)
assert min(map(min, by_shape.values())) > untrained

# %% [markdown]
# ## 4. Policies
#
# What should happen to a class of fewer than K images? `small_classes` says it: `"error"` (which is what you get if
# you say nothing), `"drop"` the class, or `"repeat"` its images within a batch. With K = 50 (and C = 2 where
# classes are dropped, since few are left):

# %% tags=["nbval-ignore-output"]
try:
    balanced_batches(10, 50, 1)
except ValueError as error:
    print("error  ", error)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    dropped = balanced_batches(2, 50, 1, small_classes="drop")
print("drop   ", caught[0].message)
repeated = balanced_batches(10, 50, 1, small_classes="repeat")
different = [len(set(repeated.positions(0)[repeated.batch(0)[1] == label])) for label in range(10)]
print("repeat  different images of each class:", different)

# %% [markdown]
# A repeated image lies at distance 0 from itself and teaches nothing in that place, unless augmentation makes two
# views of it. Drop a class if you can do without it; else choose a smaller K.
#
# Within a class, images are dealt like cards: each comes once, in random order, before any comes again. Drawing
# anew for each batch, as TensorFlow Similarity's sampler does, takes some often and others never. What was paid for
# in collecting and labeling is then not used:

# %%
once = samplers.BalancedBatches(
    np.zeros((1000, 1)), np.repeat(np.arange(10), 100), classes_per_batch=10, examples_per_class=10, seed=SEED
)
dealt = np.bincount(np.concatenate([once.positions(i) for i in range(len(once))]), minlength=1000)
rng = np.random.default_rng(SEED)
draws = [100 * label + rng.choice(100, 10, replace=False) for label in range(10) for _ in range(10)]
anew = np.bincount(np.concatenate(draws), minlength=1000)
print("1,000 images in 10 batches      never   once   more often")
for name, times in {"dealt like cards": dealt, "drawn anew": anew}.items():
    print(f"{name:28}{(times == 0).sum():9}{(times == 1).sum():7}{(times > 1).sum():13}")

# %% [markdown]
# The same seed gives the same batches, whatever is made ahead in threads while a step trains.

# %%
# Check: each card once; a small class is dropped or repeated as asked; equal seeds, equal batches, made ahead or not.
assert (dealt == 1).all()
assert (anew == 0).any()
assert dropped.classes.tolist() == np.flatnonzero(counts >= 50).tolist()
assert different == np.minimum(counts, 50).tolist()
options = {"steps": 3, "augment": Augment(crop=2)}
ahead, alone, other = (
    balanced_batches(10, 10, prefetch=n, seed=seed, **options) for n, seed in ((2, 0), (0, 0), (0, 1))
)
assert all(np.array_equal(ahead[i][0], alone[i][0]) for i in range(3))
assert not np.array_equal(alone[0][0], other[0][0])

# %% [markdown]
# ## 5. Augmentation
#
# An augmentation changes an image so that it still shows the same. It stands in for images one does not have.
# `Augment` chains functions of `simnb.augmentation`, which draw for each image of a batch by itself:
#
# - *crop* shifts by up to so many pixels; mirrored pixels fill the edge;
# - *flip* mirrors about half of the images;
# - *color* varies brightness, contrast and saturation by up to this share;
# - *grayscale* takes the color from this share of the images;
# - *cutout* covers a square of this side.
#
# Layers of Keras can be used just as well. The same eight images in each row, with stronger effects than one would
# train with, so that they can be seen:

# %%
AUGMENTATIONS = {
    "crop": Augment(crop=6, flip=False),
    "flip": Augment(crop=0, flip=True),
    "color": Augment(crop=0, flip=False, color=0.6),
    "grayscale": Augment(crop=0, flip=False, grayscale=0.5),
    "cutout": Augment(crop=0, flip=False, cutout=14),
    "all of these": Augment(crop=6, flip=True, color=0.6, grayscale=0.2, cutout=14),
}
eight = everything.take_per_class(1, seed=SEED)[:8]
rows = {"as it is": eight.images}
for name, augment in AUGMENTATIONS.items():
    rows[name] = augment(eight.images, np.random.default_rng(SEED))
rotation = keras.layers.RandomRotation(0.08, seed=SEED)
rows["Keras's rotation"] = np.asarray(rotation(eight.images, training=True)).astype(np.uint8)

# %% tags=["nbval-ignore-output", "picture"]
plots.image_grid(
    np.concatenate(list(rows.values())),
    np.repeat(np.arange(len(rows)), 8),
    class_names=list(rows),
    columns=8,
    title="Each row changes the same eight images in one way",
)
plt.show()

# %% [markdown]
# A sampler takes any of them as `augment=`, and draws anew in every epoch.
#
# %% [markdown]
# Ask of each: *would I still give it the same name?* A mirrored car is a car, a mirrored digit is no digit. Where
# color tells classes apart, leave it alone. What goes too far costs: the network learns to overlook what it ought
# to see.
#
# Without any labels, augmentation is all there is: `TwoViewBatches` makes each image a class of its own, with two
# views as its only positive pair. That takes strong augmentation, and a loss such as `losses.NTXentLoss`.

# %% tags=["nbval-ignore-output"]
two_views = samplers.TwoViewBatches(
    everything.images, batch_size=8, augment=Augment(crop=8, color=0.6, grayscale=0.3), seed=SEED
)
views, view_labels = two_views.batch(0)
plots.image_grid(
    np.concatenate([views[::2], views[1::2]]),
    np.repeat([0, 1], 8),
    class_names=["view 1", "view 2"],
    columns=8,
    title="Two views of each of eight images",
)
plt.show()

# %%
# Check: every augmentation changes something (digits have no color to lose), and two views of an image differ.
changed = [name for name, images in rows.items() if (images != eight.images).any()]
without = {"as it is"} if data.default_name() == "cifar10" else {"as it is", "grayscale"}
assert changed == [name for name in rows if name not in without]
assert (view_labels[::2] == view_labels[1::2]).all()
assert len(set(view_labels)) == 8
assert all((one != other).any() for one, other in zip(views[::2], views[1::2], strict=True))

# %% [markdown]
# ## 6. Your own folder
#
# A folder with one sub-folder of images for each class is all that is needed. Here we make one, of real images as
# PNG files, and put two things into it that real folders have: a file that is damaged, and one that is no image.
# With images of your own, skip this cell and set `folder`.

# %% tags=["nbval-ignore-output"]
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name) / "my_images"
chosen = everything.only(range(5)).take_per_class(sizes["own"], seed=SEED)
for image, label, number in zip(chosen.images, chosen.labels, chosen.ids, strict=True):
    file = folder / chosen.class_names[label] / f"{number}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file)
first_class = folder / chosen.class_names[0]
(first_class / "broken.png").write_bytes(b"this is no image")
(first_class / "notes.txt").write_text("neither is this")
print(f"{sum(file.is_file() for file in folder.rglob('*')):,} files")

# %% [markdown]
# `lazy=True` leaves images on the disk and reads those of a batch when they are needed, so that a folder may be
# larger than the memory. Files of other kinds are passed over. A file that claims to be an image and is none is
# left out, and a warning lists it; here the warning is caught, and printed. (Only the head of each file is read
# now. One that is damaged further behind ends the training with an error that names it; without `lazy` it would be
# found at once.) Images are brought to one size without keeping their proportions.

# %% tags=["nbval-ignore-output"]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mine = data.from_folder(folder, image_size=(32, 32), lazy=True)
skipped = [entry.message for entry in caught if isinstance(entry.message, data.SkippedFiles)]
left_out = [file for message in skipped for file in message.files]
for path, reason in left_out:
    print(f"left out: {path.name}: {reason}")
print(mine)
print(mine.class_names)

# %% [markdown]
# From here on it is the way of the quickstart: four parts that share no image, batches, training, index, threshold.

# %% tags=["nbval-ignore-output"]
own = mine.split(train=0.5, gallery=0.2, calibration=0.15, query=0.15, seed=SEED)
per_class = np.unique(own.train.labels, return_counts=True)[1]
model = models.fast_resnet(widths=(16, 32, 64), whiten=own.train.images, precision="auto", seed=SEED)
batches = samplers.BalancedBatches(
    own.train.images,
    own.train.labels,
    classes_per_batch=min(10, len(per_class)),
    examples_per_class=min(12, per_class.min()),
    steps_per_epoch=sizes["steps"] // 4,
    augment=Augment(crop=2, flip=data.default_name() != "digits"),
    seed=SEED,
)
mix = [losses.NormalizedSoftmaxLoss(), losses.SupervisedContrastiveLoss()]
training.fit(model, batches, loss=mix, optimizer="muon", epochs=4, seed=SEED, verbose=2)
search = SimilaritySearch(model)
search.add(own.gallery)
search.calibrate(own.calibration)

# %% tags=["nbval-ignore-output"]
found = search.lookup(own.query, k=1)
own_recall = metrics.recall_at_k(found, own.query.labels, 1)
print(f"R@1 {own_recall:.3f} of {len(own.query)} queries, in a gallery of {len(own.gallery)}")
answer = search.match(own.query[:1]).labels[0]
print("the first query is called", "Unknown" if answer < 0 else mine.class_names[answer])
shown = own.query.take_per_class(1, seed=SEED)
plots.neighbor_grid(shown, search.lookup(shown, k=5), own.gallery, threshold=search.calibration.threshold)
plt.show()

# %%
# Check: one image file was left out, all others were read as they were written, and the search beats guessing.
assert [path.name for path, _ in left_out] == ["broken.png"]
written = {(label, image.tobytes()) for label, image in zip(chosen.labels, chosen.images, strict=True)}
read = {(label, image.tobytes()) for label, image in zip(mine.labels, mine.images[:], strict=True)}
assert read == written
assert own_recall > 1.5 / len(per_class)

# %% [markdown]
# After so short a training on a few hundred images a network knows little; [03_training](03_training.ipynb) says
# how to train a better one. There was no class outside the gallery among these queries, so the threshold had little
# to reject; name some of your classes in `split(unknown=[...])` to see it work. Photographs want more pixels, such
# as `image_size=(224, 224)`, and a network made for them: the last section of [03_training](03_training.ipynb).
#
# ## 7. tf.data
#
# Is your pipeline a `tf.data.Dataset`? `samplers.balance` makes balanced batches out of a stream of single
# examples. It holds some of them, and gives out a batch when its buffer is full and C classes have K images in it.
# The other way round, `to_tf_dataset` makes a data set of any sampler.

# %%
stream = tf.data.Dataset.from_tensor_slices((train.images, train.labels)).shuffle(len(train), seed=SEED)
from_stream = samplers.balance(stream, classes_per_batch=5, examples_per_class=4, buffer_size=500, seed=SEED)
of_sampler = balanced_batches(5, 4, 3).to_tf_dataset()
for name, dataset in {"balance": from_stream, "to_tf_dataset": of_sampler}.items():
    shapes = ", ".join(f"{spec.dtype.name} {tuple(spec.shape)}" for spec in dataset.element_spec)
    print(f"{name:14} {shapes}")

# %% [markdown]
# How many batches a stream will give is not known before its end, so `fit` of Keras is told how many to take.

# %% tags=["nbval-ignore-output"]
streamed = new_network()
streamed.compile(optimizer="adam", loss=losses.MultiSimilarityLoss(lam=0.8))
history = streamed.fit(from_stream.repeat(), steps_per_epoch=10, shuffle=False, verbose=2)

# %%
# Check: three batches of either, and each has 5 classes x 4 images.
for dataset in (from_stream, of_sampler):
    counted = [np.unique(labels, return_counts=True)[1].tolist() for _, labels in dataset.take(3)]
    assert counted == [[4] * 5] * 3

# %% [markdown]
# A stream is read once, so frequent classes lose some of their images. `BalancedBatches` uses them all; take it
# where you can.
#
# ## 8. Result

# %% tags=["nbval-ignore-output", "summary"]
temporary.cleanup()
print(f"data set     {data.default_name()}, {time.perf_counter() - start:.0f} s")
for name, values in recall.items():
    print(f"{name:12} R@1 {np.mean(values):.3f}, mean over classes of different size")
for name, values in by_shape.items():
    print(f"{name:12} R@1 {np.mean(values):.3f}, all images")
print(f"own folder   R@1 {own_recall:.3f}")

# %% [markdown]
# **You have**
#
# - counted the pairs in random and in balanced batches;
# - trained on a data set of frequent and rare classes both ways, and compared;
# - split a batch into classes and examples, and seen what that changes;
# - drawn what each augmentation does to an image;
# - made a folder of images, and gone from there to a search, from end to end;
# - seen what balance costs, and what happens to classes that are too small.
#
# ## Exercises
#
# 1. What does a loss over pairs make of a batch with K = 1? Ask `losses.MultiSimilarityLoss` and
#    `losses.SupervisedContrastiveLoss` for their values on 10 random unit vectors of 10 classes.
# 2. Half-way between random and balanced: let a class come up in proportion to the square root of its number of
#    images. How many images of the rarest class are in 20 batches of 100 then?
#
# The solutions follow; try first.

# %% jupyter={"source_hidden": true}
# Solution 1: both say 0, as if all were well. There is nothing to draw together, and nothing is learned.
vectors = np.random.default_rng(SEED).normal(size=(10, 16)).astype("float32")
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
values = {}
for loss in (losses.MultiSimilarityLoss(), losses.SupervisedContrastiveLoss()):
    values[loss.name] = float(loss(np.arange(10), vectors))
    print(f"{loss.name:28}{values[loss.name]:.3f}")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 2
shares = {power: counts**power / (counts**power).sum() for power in (1, 0.5, 0)}
for power, share in shares.items():
    print(f"images ** {power:<4} {2000 * share[-1]:6.1f} of 2,000")

# %%
# Check: without positive pairs both losses are 0; the square root lies between.
assert set(values.values()) == {0.0}
assert shares[1][-1] < shares[0.5][-1] < shares[0][-1]

# %% [markdown]
# ## What's next
#
# [03_training](03_training.ipynb): losses side by side, what goes wrong, and a recipe that works.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020 (two views).
#   <https://arxiv.org/abs/2002.05709>
# - Cui et al., *Class-Balanced Loss Based on Effective Number of Samples*, CVPR 2019 (frequent and rare classes).
#   <https://arxiv.org/abs/1901.05555>
# - DeVries and Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017.
#   <https://arxiv.org/abs/1708.04552>
# - Musgrave et al., *A Metric Learning Reality Check*, ECCV 2020 (balanced batches).
#   <https://arxiv.org/abs/2003.08505>
