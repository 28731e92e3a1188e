# %% [markdown]
# # Find similar images: train, index, calibrate and search
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/01_quickstart.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/01_quickstart.ipynb) · [← 00](00_circle.ipynb) · [02 →](02_sampling.ipynb) · [Glossary](GLOSSARY.md)
#
# In a few minutes on two cores you train a network that places similar images close together, turn it into a
# search that can answer *Unknown*, and measure how often it does so when it should.
#
# **You will do**
#
# - train an embedding on balanced batches and watch retrieval improve;
# - index a gallery of images the network never saw;
# - calibrate a distance threshold, and measure it on queries kept apart;
# - look at neighbors, mistakes, rejected queries and a map of the embedding.
#
# **You will learn**
#
# - why the images for training, gallery, calibration and queries must be different ones;
# - what recall, precision, coverage and false acceptance say about a search;
# - what happens to queries of a class that is not in the gallery.
#
# **You need** Python and a little Keras; about 5 minutes with CIFAR-10 (a download of 162 MiB, once) or one
# minute with the digits that are used where CIFAR-10 cannot be had.
#
# This is the story of the Keras example
# [Metric learning for image similarity search using TensorFlow Similarity](https://keras.io/examples/vision/metric_learning_tf_similarity/),
# told with current Keras, and with the measuring done on images held back for it.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/simnb/simnb")

# %% [markdown]
# ## Overview
#
# A classifier answers with one of the classes it was trained on. *Metric learning* trains a network to place
# images instead: its output is a vector, the **embedding**, and images of one class ought to lie close
# together. Whoever has embeddings can search: embed a new image, look at what lies nearest. A query far from
# everything that was indexed can be rejected; how well that works is measured below, on a class held out.

# %% [markdown]
# ## 0. Set-up
#
# All imports, the seed and the sizes. `SCHEDULE` switches to the long training.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

from simnb import data, losses, matching, metrics, models, plots, samplers, training
from simnb.augmentation import Augment
from simnb.calibration import calibrate
from simnb.search import SimilaritySearch

SEED = 0
SCHEDULE = "quick"  # "tutorial": network, loss and steps of the Keras example, and no class held out
SCHEDULES = {
    "quick": {"steps": 240, "classes": 9, "examples_per_class": 25, "unknown": [6]},
    "tutorial": {"steps": 4000, "classes": 10, "examples_per_class": 8, "unknown": []},
}
settings = SCHEDULES[SCHEDULE]
EPOCHS = 3
start = time.perf_counter()

# %% [markdown]
# ## 1. Data
#
# `data.load()` takes CIFAR-10 where it is prepared or can be downloaded, and else 1,797 handwritten digits
# that come with scikit-learn. Everything below works with both.

# %% tags=["nbval-ignore-output"]
examples = data.load(split="all")
if data.default_name() == "digits" and SCHEDULE == "quick":
    settings["steps"] = 15  # 1,797 images are soon learned by heart
print(examples)

# %% [markdown]
# The images are split once, by class, into four parts that share no image:
#
# - **train** trains the network;
# - the **gallery** is what gets indexed;
# - **calibration** chooses the distance threshold, and serves to watch the training;
# - **query** measures everything, and is used for nothing else.
#
# One class is held out as *unknown* (none under the tutorial's schedule): no image of it is trained on or
# indexed. It is among the calibration and the query images, with the same share as any other class. So
# calibration has seen other images of this class; a class it never saw may be accepted more or less often.

# %%
parts = examples.split(
    train=0.6, gallery=0.2, calibration=0.1, query=0.1, unknown=settings["unknown"], seed=SEED
)
del examples  # the parts hold copies
known = np.unique(parts.gallery.labels)
is_known = np.isin(parts.query.labels, known)

# %% tags=["nbval-ignore-output"]
for name in ("train", "gallery", "calibration", "query"):
    part = getattr(parts, name)
    print(f"{name:12} {len(part):6,} images, {len(np.unique(part.labels)):2} classes")
print("held out as unknown:", ", ".join(parts.query.class_names[i] for i in settings["unknown"]) or "none")

# %%
# Check: the parts are disjoint, and the unknown classes are in neither train nor gallery.
ids = [set(part.ids) for part in (parts.train, parts.gallery, parts.calibration, parts.query)]
assert len(set.union(*ids)) == sum(map(len, ids))
assert not set(settings["unknown"]) & (set(parts.train.labels) | set(parts.gallery.labels))
assert set(settings["unknown"]) <= set(parts.query.labels)
print("Four parts, no image in two of them.")

# %% [markdown]
# ## 2. Balanced batches
#
# The loss will compare the images of a batch with each other, pair by pair. A pair of one class teaches what
# to pull together, a pair of two classes what to push apart. Where there are many classes, a random batch holds
# few pairs of one class.
#
# `BalancedBatches` draws the same number of examples of each class, and every image of a class once before
# any comes again. Each time it is shifted by up to two pixels and perhaps mirrored, so that no image is ever
# quite the same twice: `Augment` does that. Digits are left as they are, since a mirrored digit is none.

# %%
augment = Augment(crop=2, flip=True) if data.default_name() == "cifar10" else None
batches = samplers.BalancedBatches(
    parts.train.images,
    parts.train.labels,
    classes_per_batch=settings["classes"],
    examples_per_class=settings["examples_per_class"],
    steps_per_epoch=settings["steps"],
    augment=augment,
    seed=SEED,
)
images, labels = batches.batch(0)
print("images", images.shape, "labels", labels.shape)

# %%
# Check: the same number of examples of each class in the batch.
each = settings["examples_per_class"]
assert np.unique(labels, return_counts=True)[1].tolist() == [each] * settings["classes"]

# %% [markdown]
# ## 3. Look at the data
#
# Some of one batch, a class a row. Look at how much the images of one class differ.

# %% tags=["nbval-ignore-output"]
some = np.arange(len(labels)) % each < 8
plots.image_grid(images[some], labels[some], class_names=parts.train.class_names, columns=8)
plt.show()

# %% [markdown]
# ## 4. Embedding model
#
# A small convolution network made for speed on two cores. Its first layer is not learned but computed from the
# training images: the principal components of their patches. At the end is `MetricEmbedding`, a dense layer whose
# output is scaled to length 1. Of two such vectors the *cosine distance* is 1 minus their product: 0 for the same
# direction, 1 at a right angle, 2 for opposite ones.

# %%
if SCHEDULE == "tutorial":
    model = models.tutorial_convnet(seed=SEED)
else:
    model = models.fast_resnet(whiten=parts.train.images, precision="auto", seed=SEED)
print(f"{model.count_params():,} parameters, embeddings of {model.output_shape[-1]} dimensions")

# %%
# Check: embeddings have length 1, even before training.
assert np.allclose(np.linalg.norm(models.embed(model, images), axis=1), 1, atol=1e-5)

# %% [markdown]
# ## 5. Loss and training
#
# Two losses are added:
#
# - `NormalizedSoftmaxLoss` learns one vector a class, its *proxy*, and turns each image towards its own proxy and
#   away from the others. It separates the classes;
# - `SupervisedContrastiveLoss` compares the images of a batch with each other: those of one class ought to be
#   more alike than any two others. It draws each class together.
#
# Muon is an optimizer that learns convolutions in fewer steps than Adam does. How this recipe was found, and what
# was tried without gain, is in `tests/benchmarks/README.md`.
#
# The value of the loss depends on what the batch is made of: **losses of different batch shapes cannot be
# compared**, and a falling loss is no proof of a better search. So a `RetrievalMonitor` searches after every
# epoch, with up to a thousand calibration images as queries and some of the gallery to find them in:
#
# - **R@1**, recall at 1: how often the nearest neighbor is of the query's class (not the *recall* of section 7,
#   which also asks that the answer was accepted);
# - **MAP@R**: how well the *whole* class ranks before all others; 1 only if every image of the class does.

# %%
monitor = training.RetrievalMonitor(
    parts.calibration.only(known)[:1000],
    parts.gallery[:3000],
)
untrained = monitor.measure(model)

# %% tags=["nbval-ignore-output"]
pair_loss = losses.SupervisedContrastiveLoss(temperature=0.1)
proxy_loss = losses.NormalizedSoftmaxLoss(temperature=1 / 16, label_smoothing=0.1)
recipe = {"loss": [proxy_loss, pair_loss], "loss_weights": [1, 0.5], "optimizer": "muon"}
if SCHEDULE == "tutorial":
    recipe = {"loss": losses.MultiSimilarityLoss(), "schedule": "constant"}
history = training.fit(model, batches, epochs=EPOCHS, monitor=monitor, seed=SEED, verbose=2, **recipe).history
print(f"R@1 before training {untrained['recall_at_1']:.3f}, after {history['recall_at_1'][-1]:.3f}")

# %% tags=["nbval-ignore-output"]
plots.training_curves(history)
plt.show()

# %% [markdown]
# Left the loss, on an axis that does not start at 0; right what matters, R@1 and MAP@R.

# %%
# Check: after training the nearest neighbor is mostly right, and classes rank better as a whole.
assert history["recall_at_1"][-1] > 0.5
assert history["map_at_r"][-1] > untrained["map_at_r"]

# %% [markdown]
# ## 6. Index the gallery
#
# A `SimilaritySearch` holds the network, the index of its embeddings and, soon, a threshold. The index is
# exact: it compares a query with every image of the gallery.

# %%
search = SimilaritySearch(model, distance="cosine")
search.add(parts.gallery)
print("index of the gallery:", search.index.dim, "dimensions,", search.index.distance, "distance")

# %%
# Check: every gallery image is indexed under its own id, and nothing else is.
assert search.index.ids.tolist() == parts.gallery.ids.tolist()

# %% [markdown]
# ## 7. Calibration
#
# How near is near enough to say *this is one of those*? Calibration tries every threshold that would change
# an answer, on images that were neither trained on nor indexed. For queries of known classes there are three
# outcomes: accepted with the right label (A), accepted with a wrong one (W), rejected (R). Queries of unknown
# classes are accepted wrongly (U) or rejected correctly (V). Then
#
# - *precision* A / (A + W + U): how many answers are right;
# - *recall* A / (A + W + R): how many known queries get their right answer;
# - *coverage* (A + W) / (A + W + R): how many known queries get any answer;
# - *false acceptance* U / (U + V): how many unknown queries get an answer;
# - *accuracy* (A + V) / (A + W + R + U + V): how many of all queries are handled correctly;
# - *F1* 2 · precision · recall / (precision + recall): one figure for these two. The threshold is chosen for it.
#
# A wrong neighbor lowers recall here. In TensorFlow Similarity it did not count, and its recall reached 1 for
# any network once the threshold was large enough.

# %% tags=["nbval-ignore-output"]
calibration = search.calibrate(parts.calibration, maximize="f1")
calibration

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plots.metric_curves(calibration, ax=axes[0])
plots.precision_recall(calibration, ax=axes[1])
plt.show()

# %% [markdown]
# From left to right the search accepts more. Coverage and recall rise; precision falls, because far neighbors are
# more often wrong; false acceptance stays low at first and then climbs. Recall ends where R@1 is: a query whose
# nearest neighbor is wrong is lost at any threshold.

# %%
# Check: matching the calibration images again, other thresholds give no better F1; recall ends at R@1.
nearest = search.lookup(parts.calibration, k=1)
for factor in (0.8, 0.9, 1.1, 2.0):
    answers = matching.match(nearest, factor * calibration.threshold).labels
    other = metrics.evaluate_matches(answers, parts.calibration.labels, known_labels=known)
    assert other["f1"] <= calibration.rates["f1"]
known_part = np.isin(parts.calibration.labels, known)
highest = metrics.recall_at_k(nearest[known_part], parts.calibration.labels[known_part], 1)
assert abs(calibration.curves.recall.max() - highest) < 1e-9

# %% [markdown]
# ## 8. Visualize neighbors
#
# One query of every second class, drawn at random, and its five nearest gallery images. The queries were used
# for nothing so far.

# %% tags=["nbval-ignore-output", "picture"]
neighbors = search.lookup(parts.query, k=5)
shown = parts.query.take_per_class(1, seed=SEED).only([0, 2, 4, 6, 8])
plots.neighbor_grid(shown, search.lookup(shown, k=5), parts.gallery, threshold=calibration.threshold)
plt.show()

# %%
# Check: no query is its own neighbor, and neighbors come nearest first.
assert not set(parts.query.ids) & set(neighbors.ids.ravel())
assert (np.diff(neighbors.distances, axis=1) >= 0).all()

# %% [markdown]
# ## 9. Metrics
#
# First retrieval, over the queries of known classes: what would be found if everything were accepted. The
# monitor searched in a part of the gallery only, and its R@1 is another. R is the number of gallery images of the
# query's class, so that MAP@R needs a long list of neighbors; to save time it is measured on up to a thousand
# queries.

# %% tags=["nbval-ignore-output"]
known_query = parts.query[is_known]
recall_at_1 = metrics.recall_at_k(neighbors[is_known], known_query.labels, 1)
recall_at_5 = metrics.recall_at_k(neighbors[is_known], known_query.labels, 5)
largest = int(np.bincount(parts.gallery.labels).max())
ranked = search.lookup(known_query[:1000], k=largest)
map_at_r = metrics.map_at_r(ranked, known_query.labels[:1000], parts.gallery.labels)
print(f"R@1 {recall_at_1:.3f}   R@5 {recall_at_5:.3f}   MAP@R {map_at_r:.3f}")

# %%
# Check: far better than chance, and R@5 and MAP@R lie where their definitions put them.
assert recall_at_1 > max(0.6, 2 / len(known))
assert recall_at_5 >= recall_at_1 > map_at_r

# %% [markdown]
# Then the answers, over all queries, with the threshold from calibration. It was chosen on other images, so that
# the first two columns need not agree; that they nearly do says the threshold was not fitted to chance. The third
# column is the same search without a threshold: what rejection buys, and what it costs.

# %% tags=["nbval-ignore-output"]
matches = matching.match(neighbors, calibration.threshold)
measured = metrics.evaluate_matches(matches.labels, parts.query.labels, known_labels=known)
everything = matching.match(neighbors)  # without a threshold, every query gets an answer
unfiltered = metrics.evaluate_matches(everything.labels, parts.query.labels, known_labels=known)
print(f"{'':17}calibration   queries   without threshold")
for name, on_calibration in calibration.rates.items():
    if np.isnan(measured[name]):
        continue  # no class was held out
    print(f"{name:17}{on_calibration:11.1%}{measured[name]:10.1%}{unfiltered[name]:20.1%}")

# %%
# Check: the rates carry over to images that calibration never saw, and rejecting the unknown raises precision.
for name in ("precision", "recall", "f1", "coverage"):
    assert abs(measured[name] - calibration.rates[name]) < 0.08
assert measured["precision"] >= unfiltered["precision"] or not settings["unknown"]
assert abs(unfiltered["recall"] - recall_at_1) < 1e-6

# %% [markdown]
# ## 10. Confusion matrix
#
# What each class is taken for. The last column holds the rejected queries; for the held-out class it is the
# right place to be.

# %% tags=["nbval-ignore-output"]
plots.confusion_matrix(
    parts.query.labels, matches.labels, class_names=parts.query.class_names, known_labels=known
)
plt.show()

# %% [markdown]
# Read it by rows. A dark outlined cell is a class that is found, a dark cell elsewhere a confusion, the last column
# what was rejected. The row of the held-out class is the hard test: its outlined cell is the share that was
# rejected, and the rest of the row got the name of a class it resembles. F1 hardly punishes this, because unknown
# queries are a small part of all. Where false answers are expensive, choose a stricter threshold (exercise 2).

# %%
# Check: the outlined cells are the accuracy of section 9.
handled = (matches.labels == parts.query.labels) | (~is_known & ~matches.accepted)
assert abs(handled.mean() - measured["accuracy"]) < 1e-9

# %% [markdown]
# ## 11. No match
#
# Queries beyond the threshold get the label `UNKNOWN` (-1). Beside each its nearest neighbor, which was not near
# enough. Some are spared a wrong answer, others lose a right one. A query of a known class that is spared still
# counts against recall: its right answer would have been its class.

# %% tags=["nbval-ignore-output"]
plots.rejected_grid(parts.query, neighbors, matches, parts.gallery)
plt.show()

# %%
# Check: a query is rejected exactly where its nearest neighbor lies beyond the threshold.
beyond = neighbors.distances[:, 0] > np.float32(calibration.threshold)
assert ((matches.labels == matching.UNKNOWN) == beyond).all()

# %% [markdown]
# ## 12. Clusters
#
# A map in two dimensions of some queries, made by t-SNE from their embeddings. Neighborhoods mean something
# on such a map; distances between clusters do not.

# %% tags=["nbval-ignore-output"]
on_map = parts.query[:1000]
plots.embedding_map(
    search.embed(on_map),
    on_map.labels,
    images=on_map.images,
    class_names=on_map.class_names,
    held_out=settings["unknown"],
    seed=SEED,
)
plt.show()

# %% [markdown]
# The hollow points of the held-out class fall among the classes it was taken for in the confusion matrix.
#
# ## 13. Result

# %% tags=["nbval-ignore-output", "summary"]
print(f"data set   {data.default_name()}, {SCHEDULE} schedule, {time.perf_counter() - start:.0f} s")
print(f"retrieval  R@1 {recall_at_1:.3f}   MAP@R {map_at_r:.3f}")
print(f"threshold  {calibration.threshold:.4g} {search.index.distance} distance")
print(f"answers    precision {measured['precision']:.3f}   recall {measured['recall']:.3f}   ", end="")
print(f"coverage {measured['coverage']:.3f}   false acceptance {measured['false_acceptance']:.3f}")

# %% [markdown]
# **You have**
#
# - trained an embedding on balanced batches and watched retrieval improve;
# - indexed a gallery of images the network never saw;
# - calibrated a distance threshold, and measured it on queries kept apart;
# - looked at neighbors, mistakes, rejected queries and a map of the embedding;
# - seen why the four parts must differ, what the rates say, and how often a class outside the gallery is accepted.
#
# ## Exercises
#
# 1. May five neighbors know more than one? Calibrate on five, with the matcher `"majority_vote"`, and compare the
#    best F1 with the one above.
# 2. Somebody acts on every answer, and wrong ones are expensive. Find the largest threshold on the curves
#    that keeps precision at 0.9 or more on the calibration images. What coverage is left on the
#    queries, and how many of the unknown ones are still accepted?
#
# The solutions follow; try first.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 1
five = search.lookup(parts.calibration, k=5)
voted = calibrate(five, parts.calibration.labels, known_labels=known, matcher="majority_vote")
print(f"best F1: nearest {calibration.rates['f1']:.3f}, majority of five {voted.rates['f1']:.3f}")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 2
curves = calibration.curves
strict = curves.threshold[curves.precision >= 0.9].max()
careful = matching.match(neighbors, strict)
careful = metrics.evaluate_matches(careful.labels, parts.query.labels, known_labels=known)
print(f"threshold {strict:.4g}")
for name in ("precision", "coverage", "false_acceptance"):
    print(f"{name:17} {measured[name]:.3f} -> {careful[name]:.3f}")

# %%
# Check: what was asked of the calibration images is nearly kept on the queries.
assert careful["precision"] > 0.8

# %% [markdown]
# ## What's next
#
# Change `SCHEDULE` to `"tutorial"` for the full training; load images of your own with
# `data.from_folder("my_images")`, which reads a folder of images for each class; or copy the cells above into
# your own work: they use nothing but the public names of `simnb`.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020. <https://arxiv.org/abs/2004.11362>
# - Zhai and Wu, *Classification is a Strong Baseline for Deep Metric Learning*, BMVC 2019 (normalized softmax).
#   <https://arxiv.org/abs/1811.12649>
# - Musgrave et al., *A Metric Learning Reality Check*, ECCV 2020 (R@1, R-precision, MAP@R).
#   <https://arxiv.org/abs/2003.08505>
# - Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009 (CIFAR-10).
