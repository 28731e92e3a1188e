# %% [markdown]
# # Find similar images: train, index, calibrate and search
#
# In a few minutes on two cores you train a network that places similar images close together, and turn it
# into a search that knows when to answer *Unknown*.
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
# - what happens to images of a class nobody told the search about.
#
# **You need** Python and a little Keras; about 4 minutes with CIFAR-10 (a download of 162 MiB, once) or one
# minute with the digits that are used where CIFAR-10 cannot be had.
#
# This is the story of the Keras example
# [Metric learning for image similarity search using TensorFlow Similarity](https://keras.io/examples/vision/metric_learning_tf_similarity/),
# told with current Keras, and with the measuring done on images held back for it.

# %% [markdown]
# ## 0. Set-up
#
# A classifier answers with one of the classes it was trained on. *Metric learning* trains a network to place
# images instead: its output is a vector, the **embedding**, and images of one class ought to lie close
# together. Whoever has embeddings can search: embed a new image, look at what lies nearest. New classes need
# no new training, and an image far from everything is one the search does not know.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

from simnb import data, losses, matching, metrics, models, plots, samplers, training
from simnb.search import SimilaritySearch

SEED = 0
SCHEDULE = "quick"  # "tutorial": the full schedule of the Keras example, 3 x 4,000 steps of 10 x 8
SCHEDULES = {
    "quick": {"epochs": 3, "steps": 450, "learning_rate": 0.002, "classes": 9, "unknown": [6]},
    "tutorial": {"epochs": 3, "steps": 4000, "learning_rate": 0.002, "classes": 10, "unknown": []},
}
schedule = SCHEDULES[SCHEDULE]
EXAMPLES_PER_CLASS = 8
start = time.perf_counter()

# %% [markdown]
# ## 1. Data
#
# `data.load()` takes CIFAR-10 where it is prepared or can be downloaded, and else 1,797 handwritten digits
# that come with scikit-learn. Everything below works with both.

# %% tags=["nbval-ignore-output"]
examples = data.load(split="all")
if data.default_name() == "digits" and SCHEDULE == "quick":
    schedule |= {"steps": 30, "learning_rate": 0.0005}  # 1,797 images are soon learned by heart
print(examples)

# %% [markdown]
# The images are split once, by class, into four parts that share no image:
#
# - **train** trains the network;
# - the **gallery** is what gets indexed;
# - **calibration** chooses the distance threshold;
# - **query** measures everything, and is used for nothing else.
#
# One class is held out as *unknown*: no image of it is trained on or indexed. It turns up among the
# calibration and query images only, as often as any other class, the way strangers turn up in real life.

# %%
parts = examples.split(
    train=0.6, gallery=0.2, calibration=0.1, query=0.1, unknown=schedule["unknown"], seed=SEED
)
del examples  # the parts hold copies
known = np.unique(parts.gallery.labels)
is_known = np.isin(parts.query.labels, known)

# %% tags=["nbval-ignore-output"]
for name in ("train", "gallery", "calibration", "query"):
    part = getattr(parts, name)
    print(f"{name:12} {len(part):6,} images, {len(np.unique(part.labels)):2} classes")
print("held out as unknown:", ", ".join(parts.query.class_names[i] for i in schedule["unknown"]) or "none")

# %%
# Check: the parts are disjoint, and the unknown classes are in neither train nor gallery.
ids = [set(part.ids) for part in (parts.train, parts.gallery, parts.calibration, parts.query)]
assert len(set.union(*ids)) == sum(map(len, ids))
assert not set(schedule["unknown"]) & (set(parts.train.labels) | set(parts.gallery.labels))
assert set(schedule["unknown"]) <= set(parts.query.labels)
print("Four parts, no image in two of them.")

# %% [markdown]
# ## 2. Balanced batches
#
# The loss will compare the images of a batch with each other, pair by pair. A pair of one class teaches what
# to pull together, a pair of two classes what to push apart; a random batch may hold few of the first kind.
# `BalancedBatches` draws the same number of examples of each class, and every image of a class once before
# any comes again.

# %%
batches = samplers.BalancedBatches(
    parts.train.images,
    parts.train.labels,
    classes_per_batch=schedule["classes"],
    examples_per_class=EXAMPLES_PER_CLASS,
    steps_per_epoch=schedule["steps"],
    seed=SEED,
)
images, labels = batches.batch(0)
print("images", images.shape, "labels", labels.shape)

# %%
# Check: exactly 8 examples of each class in the batch.
assert np.unique(labels, return_counts=True)[1].tolist() == [EXAMPLES_PER_CLASS] * schedule["classes"]

# %% [markdown]
# ## 3. Look at the data
#
# One batch, a class a row.

# %% tags=["nbval-ignore-output"]
plots.image_grid(images, labels, class_names=parts.train.class_names, columns=EXAMPLES_PER_CLASS)
plt.show()

# %% [markdown]
# ## 4. Embedding model
#
# The network of the tutorial: four convolutions, and at the end `MetricEmbedding`, a dense layer whose output
# is scaled to length 1. Of two such vectors the *cosine distance* is 1 minus their product: 0 for the same
# direction, 1 at a right angle, 2 for opposite ones.

# %%
model = models.tutorial_convnet(seed=SEED)
print(f"{model.count_params():,} parameters, embeddings of length {model.output_shape[-1]}")

# %% [markdown]
# ## 5. Loss and training
#
# `MultiSimilarityLoss` keeps the informative pairs of each image (images of its class that lie too far,
# images of other classes that lie too near) and weighs them by how wrong they are. Its value depends on what
# the batch is made of: **losses of different batch shapes cannot be compared**, and a falling loss is no
# proof of a better search. So a `RetrievalMonitor` searches after every epoch, with up to a
# thousand calibration images as queries and some of the gallery to find them in:
#
# - **R@1**, recall at 1: how often the nearest neighbor is of the query's class;
# - **MAP@R**: how well the *whole* class ranks before all others; 1 only if every image of the class does.

# %%
monitor = training.RetrievalMonitor(
    parts.calibration.only(known)[:1000],
    parts.gallery[:3000],
)
untrained = monitor.measure(model)

# %% tags=["nbval-ignore-output"]
history = training.fit(
    model,
    batches,
    loss=losses.MultiSimilarityLoss(),
    epochs=schedule["epochs"],
    learning_rate=schedule["learning_rate"],
    monitor=monitor,
    seed=SEED,
    verbose=2,
).history
print(f"R@1 before training {untrained['recall_at_1']:.3f}, after {history['recall_at_1'][-1]:.3f}")

# %% tags=["nbval-ignore-output"]
plots.training_curves(history)
plt.show()

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
ids = search.add(parts.gallery)
assert len(search.index) == len(parts.gallery)
print("index of the gallery:", search.index.dim, "dimensions,", search.index.distance, "distance")

# %% [markdown]
# ## 7. Calibration
#
# How near is near enough to say *this is one of those*? Calibration tries every threshold that would change
# an answer, on images that were neither trained on nor indexed. For queries of known classes there are three
# outcomes: accepted with the right label (A), accepted with a wrong one (W), rejected (R). Queries of unknown
# classes are accepted wrongly (U) or rejected rightly (V). Then
#
# - *precision* A / (A + W + U): how many answers are right;
# - *recall* A / (A + W + R): how many known queries get their right answer;
# - *coverage* (A + W) / (A + W + R): how many known queries get any answer;
# - *false acceptance* U / (U + V): how many unknown queries get an answer.
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

# %%
# Check: no threshold has a better F1 than the one chosen, and recall stays below 1.
assert calibration.cutpoint["f1"] == calibration.curves.f1.max()
assert calibration.curves.recall.max() < 1

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
# First retrieval, over the queries of known classes: what would be found if everything were accepted. R is
# the number of gallery images of the query's class, so that MAP@R needs a long list of neighbors: a thousand
# queries are enough for it.

# %% tags=["nbval-ignore-output"]
known_query = parts.query[is_known]
recall = metrics.recall_at_k(neighbors[is_known], known_query.labels, 1)
recall_5 = metrics.recall_at_k(neighbors[is_known], known_query.labels, 5)
largest = int(np.bincount(parts.gallery.labels).max())
ranked = search.lookup(known_query[:1000], k=largest)
map_r = metrics.map_at_r(ranked, known_query.labels[:1000], parts.gallery.labels)
print(f"R@1 {recall:.3f}   R@5 {recall_5:.3f}   MAP@R {map_r:.3f}")

# %%
# Check: far better than chance, which is one in nine.
assert recall > 0.6
assert recall_5 >= recall > map_r

# %% [markdown]
# Then the answers, over all queries, with the threshold from calibration. It was chosen on other images; that
# the figures agree with those of the calibration is what makes them worth anything.

# %% tags=["nbval-ignore-output"]
matches = matching.match(neighbors, calibration.threshold)
measured = metrics.evaluate_matches(matches.labels, parts.query.labels, known_labels=known)
for name, on_calibration in calibration.cutpoint.items():
    print(f"{name:17} calibration {on_calibration:6.1%}   queries {measured[name]:6.1%}")

# %%
# Check: precision and recall carry over to images that calibration never saw.
assert abs(measured["precision"] - calibration.cutpoint["precision"]) < 0.08
assert abs(measured["recall"] - calibration.cutpoint["recall"]) < 0.08

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
# ## 11. No match
#
# Queries beyond the threshold get the label `UNKNOWN` (-1). Beside each its nearest neighbor, which was not
# near enough.

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
    held_out=schedule["unknown"],
    seed=SEED,
)
plt.show()

# %% [markdown]
# ## 13. Result

# %% tags=["nbval-ignore-output", "summary"]
print(f"data set   {data.default_name()}, {SCHEDULE} schedule, {time.perf_counter() - start:.0f} s")
print(f"retrieval  R@1 {recall:.3f}   MAP@R {map_r:.3f}")
print(f"threshold  {calibration.threshold:.4g} {search.index.distance} distance")
print(f"answers    precision {measured['precision']:.3f}   recall {measured['recall']:.3f}   ", end="")
print(f"coverage {measured['coverage']:.3f}   false acceptance {measured['false_acceptance']:.3f}")

# %% [markdown]
# **You have**
#
# - trained an embedding on balanced batches and watched retrieval improve;
# - indexed a gallery of images the network never saw;
# - calibrated a distance threshold, and measured it on queries kept apart;
# - looked at neighbors, mistakes, rejected queries and a map of the embedding.
#
# ## Exercises
#
# 1. Five neighbors know more than one. Calibrate with `k=5, matcher="majority_vote"` and compare the best F1
#    with the one above.
# 2. Somebody acts on every answer, and wrong ones are expensive. Find the largest threshold on the curves
#    that keeps precision at 0.9 or more on the calibration images. Which coverage is left on the queries?
#
# The solutions follow; try first.

# %% tags=["nbval-ignore-output"]
# Solution 1
voted = search.calibrate(parts.calibration, k=5, matcher="majority_vote")
print(f"best F1: nearest {calibration.cutpoint['f1']:.3f}, majority of five {voted.cutpoint['f1']:.3f}")

# %% tags=["nbval-ignore-output"]
# Solution 2
curves = calibration.curves
strict = curves.distance[curves.precision >= 0.9].max()
careful = matching.match(neighbors, strict)
careful = metrics.evaluate_matches(careful.labels, parts.query.labels, known_labels=known)
print(f"threshold {strict:.4g}: precision {careful['precision']:.3f}, coverage {careful['coverage']:.3f}")

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
# - Wang et al., *Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning*, CVPR 2019.
#   <https://arxiv.org/abs/1904.06627>
# - Musgrave et al., *A Metric Learning Reality Check*, ECCV 2020 (R@1, R-precision, MAP@R).
#   <https://arxiv.org/abs/2003.08505>
# - Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009 (CIFAR-10).
