# %% [markdown]
# # Fill a batch: what must one step of training see?
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/02_sampling.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/02_sampling.ipynb) · [← 01](01_quickstart.ipynb) · [03 →](03_training.ipynb) · [Glossary](GLOSSARY.md)
#
# A loss that compares images can only compare those that are in the same batch. Here you count what a batch holds when there
# are hundreds of classes, fill it in several ways, and let training decide.
#
# **You will do**
#
# - look into a random and into a balanced batch of 120 images, and count their pairs;
# - train one small network on each kind, three times;
# - trade classes against images of a class, in batches of the same size;
# - thin a data set out until most classes are rare, and see whose images random batches pair up;
# - mirror letters, and find out which ones are then another letter.
#
# **You will learn**
#
# - why random batches fail where classes are many, and why their loss does not show it;
# - how to choose how many classes a batch holds, and how many images of each;
# - which changes to an image leave it what it is, and which do not.
#
# **You need** the words *embedding*, *gallery*, *query*, *neighbor* and *R@1* of the [quickstart](01_quickstart.ipynb); about 3 minutes to
# run on two cores, and 25 to read. Nothing is downloaded: the images are drawn with the fonts that come with matplotlib.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    tested = "https://raw.githubusercontent.com/simnb/simnb/HEAD/constraints.txt"
    newest = "git+https://github.com/simnb/simnb"
    get_ipython().run_line_magic("pip", f"install --quiet --constraint {tested} {newest}")

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from simnb import data, losses, models, plots, samplers, training
from simnb.augmentation import Augment
from simnb.distances import pairwise
from simnb.widgets import Quiz

plots.style()
SEED, RUNS = 0, (0, 1, 2)
BATCH, STEPS = 120, 60

# %% [markdown]
# ## 1. Many classes, a few images of each
#
# Products, persons, coins, plants: what people search for comes in hundreds or thousands of classes, with a few images of
# each. Printed characters are a small data set of this kind. A class is one character in up to 16
# typefaces, each image a little turned, shifted and resized.
#
# Training gets the Latin and Cyrillic letters and the digits. The search will be among Greek, Armenian and Georgian letters,
# which are **unseen** classes: no training image is of one of them.

# %%
seen = data.load("glyphs")
unseen = data.load("glyphs", split="test")
seen

# %%
characters = seen.class_metadata["character"]
classes, sizes = np.unique(seen.labels, return_counts=True)

# %%
five = seen.only([characters.index(letter) for letter in "agRЖ3"]).take_per_class(8, seed=SEED)
five = five[np.argsort(five.labels, kind="stable")]

# %%
title = f"Five of {len(classes)} classes, one a row"
plots.image_grid(five.images, five.labels, class_names=characters, title=title)
plt.show()

# %% jupyter={"source_hidden": true}
# Check: hundreds of classes, few images of each, and no class in both parts.
assert len(classes) > 800
assert (sizes.min(), sizes.max()) == (12, 16)
assert not set(seen.labels) & set(unseen.labels)
looks = np.array(seen.class_metadata["looks_like"])
alike = np.isin(looks[np.unique(unseen.labels)], looks[classes])
assert 0 < alike.mean() < 0.1
Markdown(
    f"**{len(seen):,} images of {len(classes)} classes**, {sizes.min()} to {sizes.max()} of each. "
    "The images of a row differ in weight, slant and serifs, and are one character all the same. Of the "
    f"{len(np.unique(unseen.labels))} unseen classes {alike.sum()} look like a seen one, as the Greek A does."
)

# %% [markdown]
# **Exercise 1: predict.** Two images of one class are a **positive pair**: they should come to lie together. Two of
# different classes are a **negative pair**: they should be kept apart. A batch of 120 images has 120 · 119 / 2 = 7,140 pairs. If
# its images are drawn at random, how many of the pairs are positive?
#
# <details><summary>Hint</summary>Take one image of a pair. How often is the other one of the same class, if all classes are
# about equally large?</details>

# %%
expected_positive = ...  # Your code


# %%
def positive_pairs(labels):
    """How many pairs of a batch are of one class."""
    _, counts = np.unique(labels, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


# %%
def random_rows(labels, seed, size=BATCH):
    """Which images a batch gets that does not look at their classes."""
    return np.random.default_rng(seed).choice(len(labels), size, replace=False)


# %%
drawn = [positive_pairs(seen.labels[random_rows(seen.labels, seed)]) for seed in range(300)]
of_random = np.mean(drawn)

# %% jupyter={"source_hidden": true}
# Check: exercise 1
if expected_positive is ...:
    print("Exercise 1 is open")
else:
    wrong = f"{expected_positive} is not near 7,140 / 937: about one pair in 937 is of one class"
    assert 0.7 * of_random < expected_positive < 1.3 * of_random, wrong
    print("✓ exercise 1: about 7 of 7,140. All the others say only what does not belong together")

# %% [markdown]
# ## 2. Look into a batch
#
# `BalancedBatches` fills a batch in another way. It draws **C** classes (`classes_per_batch`), and then **K** images of each
# (`examples_per_class`). Such a batch is called **balanced**: every class in it has as many images as any other.

# %%
sampler = samplers.BalancedBatches(
    seen.images, seen.labels, classes_per_batch=60, examples_per_class=2, seed=SEED
)

# %%
at_random = seen[np.sort(random_rows(seen.labels, SEED))]
balanced = seen[sampler.positions(0)]
batches = {"random": at_random, "60 classes x 2": balanced}


# %% [markdown]
# Here are a random and a balanced batch, 120 images each. An image that has another one of its class in the batch, a **partner**, is
# dark on yellow. All others are faded.


# %%
def has_partner(labels):
    """Which images of a batch have another one of their class in it."""
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[place] > 1


# %%
def mosaic(batch):
    """The 120 images of a batch as one picture; those without a partner are faded."""
    partner = has_partner(batch.labels)[:, None, None, None]
    tiles = np.where(partner, batch.images / 255 * (1, 0.85, 0.3), 0.7 + 0.3 * batch.images / 255)
    return tiles.reshape(10, 12, 32, 32, 3).swapaxes(1, 2).reshape(320, 384, 3)


# %%
partners = {name: int(has_partner(batch.labels).sum()) for name, batch in batches.items()}
pairs = {name: positive_pairs(batch.labels) for name, batch in batches.items()}

# %% tags=["picture"] jupyter={"source_hidden": true}
# Figure: a random and a balanced batch; images without a partner are faded.
figure, axes = plt.subplots(1, 2, figsize=(9.2, 4.3), layout="constrained")
for ax, (name, batch) in zip(axes, batches.items(), strict=True):
    ax.imshow(mosaic(batch))
    ax.set_title(f"{name}: {partners[name]} of {BATCH} have a partner")
    ax.set_axis_off()
plt.show()

# %% jupyter={"source_hidden": true}
# Check: few of a random batch have a partner, all of a balanced one have; the count is what chance says.
of_one_class = (sizes * (sizes - 1)).sum() / (len(seen) * (len(seen) - 1))
assert partners["random"] < 30 < partners["60 classes x 2"] == BATCH
assert pairs["60 classes x 2"] == 60 > 3 * pairs["random"]
assert abs(of_random - 7140 * of_one_class) < 0.5
Markdown(
    f"On the left **{partners['random']} of {BATCH}** images have a partner, in {pairs['random']} positive pairs; on average over "
    f"300 random batches it is {of_random:.1f} pairs. On the right **every** image has one, in {pairs['60 classes x 2']} pairs. "
    "In this step a faded image is not told which image it should be near."
)

# %% [markdown]
# With ten classes nobody would have noticed. If there are *c* classes of equal size, an image finds no partner among the
# other *n* - 1 images of a random batch with a chance of (1 - 1/*c*)<sup><i>n</i> - 1</sup>. Expect random batches to be fine up to some
# number of classes, and to leave most images alone beyond it.


# %%
def share_with_partner(num_classes, size=BATCH):
    """Of the images of a random batch, if classes are equally frequent."""
    return 1 - (1 - 1 / num_classes) ** (size - 1)


# %%
num_classes = np.geomspace(2, 10_000, 200)
ours = len(classes)
many = [seen.labels[random_rows(seen.labels, seed)] for seed in range(300)]
measured = np.mean([has_partner(labels).mean() for labels in many])

# %% jupyter={"source_hidden": true}
# Figure: the share of images with a partner, by the number of classes.
figure, ax = plt.subplots(figsize=(7.2, 3.6))
ax.semilogx(num_classes, share_with_partner(num_classes))
for c, share, name in ((10, share_with_partner(10), "CIFAR-10"), (ours, measured, "these characters")):
    ax.plot(c, share, "o", color="C1", ms=8)
    ax.annotate(f"{name}: {share:.0%}", (c, share), (8, 6), textcoords="offset points")
ax.set_xticks([2, 10, 100, 1000, 10_000], ["2", "10", "100", "1,000", "10,000"])
ax.set(xlabel="classes in the data set", ylabel="share of images\nwith a partner", ylim=(0, 1.15))
ax.set_title(f"A random batch of {BATCH}: fine for 10 classes, not for hundreds")
plt.show()

# %% jupyter={"source_hidden": true}
# Check: the formula agrees with what was drawn, and there is no trouble with ten classes.
assert abs(measured - share_with_partner(ours)) < 0.01
assert share_with_partner(10) > 0.99 > 0.2 > measured
half = num_classes[share_with_partner(num_classes) > 0.5].max()
Markdown(
    f"With 10 classes practically every image has a partner, with {ours} it is **{measured:.0%}**, as measured "
    f"(the orange dot; the formula, in which an image may also meet itself, says {share_with_partner(ours):.0%}). From about {half:.0f} classes on, most images of a random batch of {BATCH} are alone."
)

# %% [markdown]
# **Exercise 2: predict.** How large must a random batch of our 937 classes be, so that 9 of 10 images have a partner?
#
# <details><summary>Hint</summary><code>share_with_partner(937, size)</code> must be 0.9. Double the size until it is too
# much, then try sizes between the last two.</details>

# %%
large_enough = ...  # Your code: images in a batch

# %% jupyter={"source_hidden": true}
# Check: exercise 2
if large_enough is ...:
    print("Exercise 2 is open")
else:
    share = share_with_partner(937, large_enough)
    wrong = f"in a batch of {large_enough} images {share:.0%} have a partner, and 88% to 92% are wanted"
    assert 0.88 <= share <= 0.92, wrong
    print("✓ exercise 2: some 2,160 images, 18 times as many. Drawing on purpose is cheaper")

# %% [markdown]
# ## 3. Does it matter? Train on both kinds
#
# One small network, the same number of steps and of images, and the same loss. Only the batches differ. The loss,
# `SupervisedContrastiveLoss`, asks of each image that its partners are nearer than the rest of the batch. Where an image has no
# partner there is nothing to ask, and it counts as 0.
#
# simnb has no sampler for random batches. This is one; Keras takes any such class.


# %%
class RandomBatches(keras.utils.PyDataset):
    """Batches of images drawn at random, whatever their class."""

    def __init__(self, examples, seed):
        super().__init__()
        self.examples, self.seed = examples, seed

    def __len__(self):
        return STEPS

    def __getitem__(self, step):
        part = self.examples[random_rows(self.examples.labels, [self.seed, step])]
        return part.images, part.labels


# %%
def balanced_batches(examples, C, K, seed):
    """Batches of C classes and K images of each."""
    return samplers.BalancedBatches(
        examples.images, examples.labels, classes_per_batch=C, examples_per_class=K,
        steps_per_epoch=STEPS, seed=seed,
    )  # fmt: skip


# %%
FILL = {"random": RandomBatches, "60 x 2": lambda examples, seed: balanced_batches(examples, 60, 2, seed)}

# %% [markdown]
# The network is a small one of the kind that the quickstart builds by hand, its first layer computed from images (`whiten`). The
# optimizer is Muon, as there.


# %%
def train(batches, seed):
    """A small network after 60 steps, and its mean loss."""
    shape = {"widths": (16, 32, 32), "pooling": "average", "input_shape": (32, 32, 3), "precision": "auto"}
    network = models.fast_resnet(**shape, whiten=seen.images[::10], seed=seed)
    loss = losses.SupervisedContrastiveLoss()
    history = training.fit(network, batches, loss=loss, optimizer="muon", seed=seed, verbose=0)
    return network, history.history["loss"][-1]


# %% [markdown]
# To measure, each image of 141 unseen classes is a query, and all others are the gallery. R@1 is the share of queries whose
# nearest neighbor is of their class. The number to beat comes first, that of pixels.

# %%
searched = unseen.only(np.unique(unseen.labels)[::3])


# %%
def right(embeddings, labels):
    """For each image, whether its nearest neighbor among the others is of its class."""
    distances = pairwise(embeddings, embeddings)
    np.fill_diagonal(distances, np.inf)  # nobody is their own neighbor
    return labels[distances.argmin(axis=1)] == labels


# %%
def recall(network):
    """R@1 over the unseen classes."""
    return right(models.embed(network, searched.images), searched.labels).mean()


# %%
by_pixels = right(255 - searched.images[..., 0].reshape(len(searched), -1), searched.labels).mean()

# %% [markdown]
# One run may be luck: other first weights, other batches. So each way is trained three times. Guess first: what will the
# random batches reach, and what the balanced ones?

# %%
trained = {way: [train(fill(seen, seed), seed) for seed in RUNS] for way, fill in FILL.items()}

# %%
runs = {way: [recall(network) for network, _ in results] for way, results in trained.items()}
reached = {way: np.mean(values) for way, values in runs.items()}

# %% tags=["nbval-ignore-output"]
title = f"Balanced {reached['60 x 2']:.2f}, random {reached['random']:.2f}, with as many images"
plots.spread({**runs, "pixels": [by_pixels]}, metric="R@1 over 141 unseen classes", title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the worst balanced run is far better than the best random one.
gap = min(runs["60 x 2"]) - max(runs["random"])
assert gap > 0.1
assert min(runs["60 x 2"]) > by_pixels + 0.1
no_better = ", no more than pixels do" if reached["random"] <= by_pixels else ""
if min(runs["random"]) <= by_pixels < reached["random"]:
    no_better = ", which three runs cannot tell apart from pixels"
Markdown(
    f"By pixels {by_pixels:.0%} of the queries find their class. By the network it is {reached['random']:.0%} after {STEPS} random batches"
    f"{no_better}, and **{reached['60 x 2']:.0%}** after {STEPS} balanced ones. Of three runs each the worst balanced one is {gap:.2f} above the "
    "best random one. Nothing differs but what was in the batch."
)

# %% [markdown]
# Would the loss have told you? See which of the two is lower.

# %% tags=["nbval-ignore-output"]
mean_losses = {way: [loss for _, loss in results] for way, results in trained.items()}
for way, values in mean_losses.items():
    print(f"{way:8} mean loss {np.mean(values):.2f}    R@1 {reached[way]:.2f}")

# %% jupyter={"source_hidden": true}
# Check: the worse network has the lower loss, in every run; over the images with a partner it has the higher one.
assert max(mean_losses["random"]) < min(mean_losses["60 x 2"])
filled = [seen.labels[random_rows(seen.labels, [seed, step])] for seed in RUNS for step in range(STEPS)]
paired = np.mean([has_partner(labels) for labels in filled])
of_paired = np.mean(mean_losses["random"]) / paired
assert of_paired > max(mean_losses["60 x 2"])
Markdown(
    f"The worse network has the lower loss, in every run: only about one in {1 / paired:.0f} of its images had a partner, and all others count as 0. Over "
    f"those with a partner its mean loss is **{of_paired:.1f}**, the higher of the two."
)

# %% [markdown]
# **Exercise 3: predict.** Somebody wants as many classes as possible: C = 120 and K = 1. What does the loss say?
#
# <details><summary>Hint</summary>Who has a partner in such a batch?</details>

# %%
loss_of_single_images = ...  # Your code

# %% jupyter={"source_hidden": true}
# Check: exercise 3
if loss_of_single_images is ...:
    print("Exercise 3 is open")
else:
    wrong = f"{loss_of_single_images} is what a batch with partners might have; here no image has one"
    assert loss_of_single_images == 0, wrong
    print(
        "✓ exercise 3: 0, a perfect loss for any network. Nothing is learned, so training.fit refuses such batches"
    )

# %% [markdown]
# ## 4. Classes or examples?
#
# Of 120 images one can make 60 classes x 2, or 20 x 6, or 10 x 12. A batch of *C* x *K* holds
#
# > *C* · *K* (*K* - 1) / 2 positive pairs, and *C* (*C* - 1) / 2 · *K*² negative ones.
#
# In the figure every row and every column is an image of the batch. A dark square is a class: its pairs are positive, all
# others negative.

# %% jupyter={"source_hidden": true}
# Figure: the pairs of a batch, in three shapes.
SHAPES = ((60, 2), (20, 6), (10, 12))
figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.5), layout="constrained")
for ax, (C, K) in zip(axes, SHAPES, strict=True):
    of_image = np.repeat(np.arange(C), K)
    ax.imshow(of_image[:, None] == of_image, cmap="Blues", vmax=1.2)
    ax.set_title(f"{C} x {K}: {positive_pairs(of_image)} positive")
    ax.set(xticks=[], yticks=[], xlabel=f"{7140 - positive_pairs(of_image):,} negative pairs")
plt.show()

# %% jupyter={"source_hidden": true}
# Check: counted and by formula the same.
counted = {(C, K): positive_pairs(np.repeat(np.arange(C), K)) for C, K in SHAPES}
assert all(counted[C, K] == C * K * (K - 1) // 2 for C, K in SHAPES)
times = counted[10, 12] / counted[60, 2]
Markdown(
    f"10 x 12 has **{counted[10, 12]} positive pairs, {times:.0f} times as many** as 60 x 2, and nearly as many negative ones. But it shows "
    "an image only 9 other classes at a time, where 60 x 2 shows 59."
)

# %% [markdown]
# If positive pairs were all that counts, 10 x 12 would have to win. Yet in 60 steps 10 x 12 can meet only 60 · 10 = 600 of
# the 937 classes. To be fair, all shapes train on the same 600, drawn anew for each run. What do you expect?

# %%
reached_by = {(C, K): [] for C, K in ((60, 2), (30, 4), (20, 6), (10, 12))}
for seed in RUNS:
    part = seen.only(np.random.default_rng(seed).choice(classes, 600, replace=False))
    for C, K in reached_by:
        network, _ = train(balanced_batches(part, C, K, seed), seed)
        reached_by[C, K].append(recall(network))

# %% tags=["nbval-ignore-output"]
mean_r1 = {shape: np.mean(values) for shape, values in reached_by.items()}
title = f"Same classes: 60 in a batch {mean_r1[60, 2]:.2f}, 10 in a batch {mean_r1[10, 12]:.2f}"
drawn = {f"{C} x {K}": values for (C, K), values in reached_by.items()}
plots.spread(drawn, metric="R@1 over 141 unseen classes", title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: of the same 600 classes 60 x 2 beats 10 x 12 in every run; 30 x 4 is about as good as 60 x 2.
assert np.all(np.greater(reached_by[60, 2], reached_by[10, 12]))
assert mean_r1[10, 12] < mean_r1[20, 6]
assert abs(mean_r1[30, 4] - mean_r1[60, 2]) < 0.03
assert reached["60 x 2"] < mean_r1[60, 2] + 0.01
ten = balanced_batches(part, 10, 12, seed)
assert len(np.unique([part.labels[ten.positions(step)] for step in range(STEPS)])) == 600
Markdown(
    f"60 x 2 reaches **{mean_r1[60, 2]:.2f}, and 10 x 12 {mean_r1[10, 12]:.2f}: the fewest positive pairs beat the most, in every run**. "
    f"30 x 4 ({mean_r1[30, 4]:.2f}) is about as good as 60 x 2, and 20 x 6 reaches {mean_r1[20, 6]:.2f}. "
    "More positive pairs than those of 30 x 4 did not help; more classes in a batch did, up to there. [07](07_unseen_classes.ipynb) finds the same with 100 classes.\n\n"
    f"Two reservations: 10 x 12 meets each class in one step only, 60 x 2 in {3600 / 600:.0f}; part of the difference may be that. And all "
    f"{len(classes)} classes, {reached['60 x 2']:.2f} in section 3, were no better, perhaps because each then came less often."
)

# %% [markdown]
# A larger network and batches of 256 mostly agree, [measured](https://github.com/simnb/simnb/blob/HEAD/tests/benchmarks/README.md)
# with three seeds: on these characters 128 x 2 reached R@1 0.85, 64 x 4 0.82, 32 x 8 0.75. On handwritten ones 64 x 4 was a
# little better in every run (0.79 against 0.78), and 32 x 8 again the last (0.76). A rule that does well on both: **K of 2 to 4,
# and as many classes as the batch then holds.**
#
# **Exercise 4: choose.** A batch has 120 images, and your loss wants at least 100 positive pairs. Which *C* and *K* give it
# these, with as many classes as possible?
#
# <details><summary>Hint</summary>60 x 2 has 60 positive pairs, which is too few. Which K comes next?</details>

# %%
my_shape = ...  # Your code: (C, K)

# %% jupyter={"source_hidden": true}
# Check: exercise 4
if my_shape is ...:
    print("Exercise 4 is open")
else:
    my_C, my_K = my_shape
    assert my_C * my_K == 120, f"{my_C} x {my_K} are {my_C * my_K} images, and 120 are wanted"
    mine = positive_pairs(np.repeat(np.arange(my_C), my_K))
    assert mine >= 100, f"{my_C} x {my_K} holds only {mine} positive pairs"
    assert my_C == 40, (
        f"{my_C} x {my_K} has {mine} positive pairs, and a smaller K would do, with more classes"
    )
    print("✓ exercise 4: 40 x 3 has 120 positive pairs, twice as many as 60 x 2, and still 40 classes")

# %% [markdown]
# ## 5. Frequent and rare classes
#
# Real data sets have a **long tail**: a few classes with many images, and many with few. We thin ours out: 60 classes stay
# *frequent*, with 8 to 12 training images each, and all others become *rare*, with 2.

# %%
order = np.random.default_rng(SEED).permutation(classes)
frequent, rare = order[:60], order[60:]

# %% [markdown]
# Four images of every class are held out first, to be searched among.

# %%
held_out = seen.take_per_class(4, seed=SEED)
rest = seen[~np.isin(seen.ids, held_out.ids)]

# %%
two_each = rest.only(rare).take_per_class(2, seed=SEED)
tail = rest[np.isin(rest.labels, frequent) | np.isin(rest.ids, two_each.ids)]


# %% [markdown]
# Which classes do the positive pairs of a batch belong to? One might expect: to all in proportion to their images.


# %%
def pairs_a_batch(batches):
    """Positive pairs of a batch on average: those of frequent classes, and all."""
    of_frequent = [positive_pairs(labels[np.isin(labels, frequent)]) for labels in batches]
    return np.mean([of_frequent, [positive_pairs(labels) for labels in batches]], axis=1)


# %%
dealt = balanced_batches(tail, 60, 2, SEED)
of_random_batch = pairs_a_batch([tail.labels[random_rows(tail.labels, seed)] for seed in range(300)])
of_balanced_batch = pairs_a_batch([tail.labels[dealt.positions(step)] for step in range(STEPS)])

# %%
part_of = {
    "training images": np.isin(tail.labels, frequent).mean(),
    "pairs of random batches": np.divide(*of_random_batch),
    "pairs of balanced batches": np.divide(*of_balanced_batch),
    "classes": len(frequent) / len(classes),
}

# %% jupyter={"source_hidden": true}
# Figure: the share of the frequent classes in images, in pairs and in classes.
figure, ax = plt.subplots(figsize=(7.2, 2.6))
bars = ax.barh(list(part_of), list(part_of.values()), color=["0.7", "C1", "C0", "0.7"])
ax.bar_label(bars, [f"{share:.0%}" for share in part_of.values()], padding=4)
ax.set(xlim=(0, 1), xlabel="share of the 60 frequent classes")
ax.set_title("At random most positive pairs are of frequent classes")
ax.invert_yaxis()
plt.show()

# %% jupyter={"source_hidden": true}
# Check: pairs of random batches are mostly of frequent classes; those of balanced batches are as many as the classes.
assert part_of["pairs of random batches"] > 0.6 > 0.3 > part_of["training images"]
assert abs(part_of["pairs of balanced batches"] - part_of["classes"]) < 0.02
Markdown(
    f"The {len(frequent)} frequent classes are {part_of['classes']:.0%} of the classes and hold {part_of['training images']:.0%} of the training images, "
    f"but **{part_of['pairs of random batches']:.0%} of the positive pairs** of a random batch, {of_random_batch[0]:.1f} of {of_random_batch[1]:.1f}: "
    "pairs grow with the *square* of a class's size. In balanced batches every class has its turn, and they have "
    f"{part_of['pairs of balanced batches']:.0%}, {of_balanced_batch[0]:.1f} of {of_balanced_batch[1]:.0f}."
)

# %% [markdown]
# Now train on the thinned set, and ask for the held-out images of frequent and of rare classes. Expect balance to help the
# rare ones. Does it take from the frequent ones what it gives to the rare ones?


# %%
def by_kind(embeddings):
    """R@1 of the held-out images of frequent classes, and of rare ones."""
    found = right(embeddings, held_out.labels)
    is_frequent = np.isin(held_out.labels, frequent)
    return {"frequent": found[is_frequent].mean(), "rare": found[~is_frequent].mean()}


# %%
by_way = {"pixels": [by_kind(255 - held_out.images[..., 0].reshape(len(held_out), -1))]}
for way, fill in FILL.items():
    networks = [train(fill(tail, seed), seed)[0] for seed in RUNS]
    by_way[way] = [by_kind(models.embed(network, held_out.images)) for network in networks]

# %%
of_kind = {
    f"{kind} classes, {way}": [run[kind] for run in values]
    for way, values in by_way.items()
    for kind in ("frequent", "rare")
}
means = {row: np.mean(values) for row, values in of_kind.items()}

# %% tags=["nbval-ignore-output"]
title = "Balanced: " + ", ".join(
    f"{kind} {means[f'{kind} classes, random']:.2f} to {means[f'{kind} classes, 60 x 2']:.2f}"
    for kind in ("rare", "frequent")
)
plots.spread(of_kind, metric="R@1 over held-out images of seen classes", title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: rare and frequent classes gain, in every run, though frequent ones had more pairs in random batches.
assert min(of_kind["rare classes, 60 x 2"]) > max(of_kind["rare classes, random"]) + 0.1
assert min(of_kind["frequent classes, 60 x 2"]) > max(of_kind["frequent classes, random"]) + 0.1
ahead = means["frequent classes, random"] - means["rare classes, random"]
assert 0 < ahead < (means["frequent classes, 60 x 2"] - means["frequent classes, random"]) / 2
assert means["rare classes, pixels"] < means["rare classes, random"] < means["rare classes, pixels"] + 0.1
assert of_random_batch[0] > 1.5 * of_balanced_batch[0]
Markdown(
    f"Rare classes go from {means['rare classes, random']:.2f} to **{means['rare classes, 60 x 2']:.2f}**, and frequent ones from "
    f"{means['frequent classes, random']:.2f} to **{means['frequent classes, 60 x 2']:.2f}**, though these had *more* pairs at random: "
    f"{of_random_batch[0]:.1f} a batch, not {of_balanced_batch[0]:.1f}. "
    f"By pixels R@1 is {means['rare classes, pixels']:.2f} and {means['frequent classes, pixels']:.2f}, so random batches taught little. "
    "**Half as many pairs of their own, but many more of other classes, served even the frequent classes better.**\n\n"
    f"A balanced batch also holds more pairs in all, 60 and not {of_random_batch[1]:.1f}: how much is due to the balance, and how much to the number, "
    f"this does not tell. (The {reached['60 x 2']:.2f} of section 3 is of an easier search, among {len(np.unique(searched.labels))} classes and not {len(classes)}.)"
)

# %% [markdown]
# Balance has a price: repetition. How often did these 60 steps show an image?

# %%
shown = np.bincount(np.concatenate([dealt.positions(step) for step in range(STEPS)]), minlength=len(tail))

# %% jupyter={"source_hidden": true}
# Check: images of rare classes come several times as often.
often = {
    kind: shown[np.isin(tail.labels, of)].mean() for kind, of in (("rare", rare), ("frequent", frequent))
}
assert often["rare"] > 4 * often["frequent"]
Markdown(
    f"Each image of a rare class came {often['rare']:.1f} times, each of a frequent one {often['frequent']:.1f} times. In a long training "
    "rare classes may be learned by heart. Augmentation, the next section, can help then; a third image is better."
)

# %% [markdown]
# ## 6. Is it still the same class?
#
# Every image of a batch may be changed at random before a step sees it. This is **augmentation**: it stands in for images
# that you do not have. `Augment` offers shifts, mirroring, changes of color and holes; layers of Keras will do as well. Ask
# of each: *would I still give it the same name?*
#
# The trainings above leave images as they are.

# %%
eight = seen.only([characters.index(letter) for letter in "EScRЖ3Lk"]).take_per_class(1, seed=SEED)
rng = np.random.default_rng(SEED)

# %%
changed = {
    "as it is": eight.images,
    "shifted": Augment(crop=4, flip=False)(eight.images, rng),
    "with a hole": Augment(crop=0, flip=False, cutout=12)(eight.images, rng),
    "mirrored": eight.images[:, :, ::-1],
}

# %%
plots.image_grid(
    np.concatenate(list(changed.values())), np.repeat(np.arange(4), 8), class_names=list(changed),
    columns=8, title="Three changes: in which row are they no longer the same letters?",
)  # fmt: skip
plt.show()

# %% jupyter={"source_hidden": true}
# Check: the mean image of E, mirrored, is nearest to that of another class, and so for c; not for Ж.
means_of = np.stack([255.0 - seen.images[seen.labels == c, ..., 0].mean(axis=0) for c in classes])
to_others = pairwise(
    *(m.reshape(len(classes), -1) for m in (means_of[:, :, ::-1], means_of)), "squared_euclidean"
)
becomes = {
    characters[c]: characters[d] for c, d in zip(classes, classes[to_others.argmin(axis=1)], strict=True)
}
assert (becomes["E"], becomes["c"], becomes["Ж"]) == ("Ǝ", "ɔ", "Ж")
Markdown(
    f"The last one. E has become {becomes['E']}, and c {becomes['c']}: other classes of our data set. Of these three only Ж "
    "stays the same. A shift keeps the name. So does a hole, as long as it does not cover the one stroke that makes the difference."
)

# %% [markdown]
# So mind a default: `Augment()` mirrors, unless you say `flip=False`. For photographs that is mostly right: a mirrored car is
# a car. Here the loss would be told that E and Ǝ are one class.

# %% [markdown]
# **Exercise 5: sort.** Mirror the ten letters A b c E H M R S T X, left to right. Which are then no longer the same letter?
#
# <details><summary>Hint</summary>Those with a left side like their right one stay. Answer with a string, such as
# <code>"bX"</code>.</details>

# %%
changed_letters = ...  # Your code: a string

# %% jupyter={"source_hidden": true}
# Check: exercise 5
if changed_letters is ...:
    print("Exercise 5 is open")
else:
    stay = set(changed_letters) & set("AHMTX")
    missing = set("bcERS") - set(changed_letters)
    assert not stay, f"{', '.join(sorted(stay))}: left and right are alike, so that nothing changes"
    assert not missing, (
        f"not complete: mirrored, {', '.join(sorted(missing))} would be read as something else"
    )
    print("✓ exercise 5: b, c, E, R and S. b is then a d, and the others are letters of other alphabets")

# %% [markdown]
# ## 7. Your own images
#
# Count first: how many classes, and how many images of each? Then:
#
# | you have | fill the batch with |
# | :--- | :--- |
# | ten classes, thousands of images of each | all classes; random batches of 120 also give practically every image a partner |
# | hundreds of classes or more | K of 2 to 4, and as many classes as memory allows |
# | classes of fewer than K images | a smaller K; else `small_classes="drop"`, or `"repeat"` with augmentation |
# | classes of one image only | leave them out of the training, and keep them for the gallery |
# | no labels | `TwoViewBatches`: two augmented views of an image are its positive pair |
# | a stream | `samplers.balance`, which picks batches from a buffer; shuffle the stream first |
#
# With `parts = data.from_folder("my_images").split_classes()`, one sub-folder a class, `parts.train` is what `seen` was here, and
# `parts.test` what `unseen` was. Sections 2 and 3 run on them, with a *C* and *K* that your classes allow.

# %% [markdown]
# ## Three questions

# %% jupyter={"source_hidden": true}
# Quiz: three questions
Quiz(
    ("You have 5,000 products with 6 photographs of each, and room for 256 images in a batch. What do you try first?",
     ["128 classes x 2 or 64 x 4", "256 images at random", "42 classes x 6, so that all photographs are used"],
     "At random hardly any image has a partner. A few positive pairs are enough, and more classes teach more."),
    ("You change the batches, and the loss is a third of what it was. What does it tell you?",
     ["nothing, before you have searched", "the training is better", "the learning rate is too high"],
     "Losses of different batches are not comparable: images without a partner count as 0."),
    ("You train on photographs of left and right shoes, as two classes. Which default do you change?",
     ["flip=False, no mirroring", "crop=0, no shifting", "cutout=8, holes"],
     "A mirrored left shoe is a right shoe: mirroring would give one image both names."),
)  # fmt: skip

# %% [markdown]
# **Remember**
#
# - Where classes are many, hardly any image of a random batch has a partner. Images without one count as 0, so the loss is low
#   and little is learned.
# - Two to four images of a class, and as many classes as the batch then holds: here eleven times the positive pairs did not make up
#   for few classes.
# - A change is fine if you would still give the image the same name. A mirrored car is a car, a mirrored E is another letter.
#
# ## Exercises
#
# The five above are solved, each with a sentence on what it shows, in [solutions/02_sampling](solutions/02_sampling.ipynb).
#
# ## What's next
#
# [03_training](03_training.ipynb): what a loss makes of the pairs in a batch, what goes wrong, and a recipe that works.
# [07_unseen_classes](07_unseen_classes.ipynb) asks how many classes there should be in the training set.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020 (the loss). <https://arxiv.org/abs/2004.11362>
# - Hermans, Beyer and Leibe, *In Defense of the Triplet Loss for Person Re-Identification*, 2017 (batches of P persons x K images).
#   <https://arxiv.org/abs/1703.07737>
# - Musgrave, Belongie and Lim, *A Metric Learning Reality Check*, ECCV 2020 (balanced batches, and enough runs to tell methods apart).
#   <https://arxiv.org/abs/2003.08505>
# - Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020 (two views).
#   <https://arxiv.org/abs/2002.05709>
