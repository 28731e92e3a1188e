# %% [markdown]
# # Come from TensorFlow Similarity: your code runs, and what to write now
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/10_from_tensorflow_similarity.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/10_from_tensorflow_similarity.ipynb) · [← 08](08_look_at_it.ipynb) · [Glossary](GLOSSARY.md)
#
# TensorFlow Similarity had its last release in 2023 and does not run on Keras 3. `simnb.tfsim` has its names and
# signatures. You change one line of a script, run it on today's TensorFlow, and then see what the same steps look like
# without the old names, what behaves differently, and how to bring a model and an index over.
#
# **You will do**
#
# - run a script for TensorFlow Similarity with one line changed;
# - write the same steps with simnb's own names, and see that both ways give the same answers;
# - measure two habits of the old tutorial: its recall, and calibrating on training images;
# - bring weights and an index from an old environment;
# - train without labels.
#
# **You will learn**
#
# - which name became which;
# - what is different on purpose, and why;
# - when to stay with the old names, and when not to.
#
# **You need** code for TensorFlow Similarity, or curiosity, and for the ideas behind the steps the quickstart,
# [01_quickstart](01_quickstart.ipynb); about 2 minutes with CIFAR-10 (a download of 162 MiB, once) or one minute with the
# digits that are used where CIFAR-10 cannot be had.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/simnb/simnb")

# %% [markdown]
# ## 0. Set-up
#
# The line that changes is the import: `from simnb import tfsim` in the place of `import tensorflow_similarity as tfsim`.

# %%
import tempfile
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

from simnb import calibration, data, metrics, models, tfsim
from simnb.search import SimilaritySearch

SEED = 0
STEPS = {"cifar10": 400, "digits": 20}
start = time.perf_counter()

# %% [markdown]
# ## 1. One line changed
#
# A script as people wrote it: samplers by the name of the data set, a small network, a `SimilarityModel`. (The network
# is smaller than the tutorial's, so that this takes a minute.)

# %% tags=["nbval-ignore-output"]
name = data.default_name()
train_ds = tfsim.samplers.TFDatasetMultiShotMemorySampler(
    name, classes_per_batch=10, examples_per_class_per_batch=8, splits="train", steps_per_epoch=STEPS[name]
)
val_ds = tfsim.samplers.TFDatasetMultiShotMemorySampler(
    name, classes_per_batch=10, splits="test", steps_per_epoch=50
)
print(f"{train_ds.num_examples:,} training examples of shape {train_ds.example_shape}")
print(f"{val_ds.num_examples:,} others")

# %%
keras.utils.set_random_seed(SEED)
inputs = keras.layers.Input((32, 32, 3))
x = keras.layers.Rescaling(scale=1.0 / 255)(inputs)
for filters in (32, 64):
    x = keras.layers.Conv2D(filters, 3, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.MaxPool2D(2)(x)
x = keras.layers.Conv2D(128, 3, activation="relu")(x)
x = keras.layers.GlobalMaxPool2D()(x)
outputs = tfsim.layers.MetricEmbedding(64)(x)
model = tfsim.models.SimilarityModel(inputs, outputs)
model.compile(
    optimizer=keras.optimizers.Adam(0.002),
    loss=tfsim.losses.MultiSimilarityLoss(lmda=0.8),
    steps_per_execution=10,
)

# %% tags=["nbval-ignore-output"]
history = model.fit(train_ds, epochs=3, validation_data=val_ds, validation_steps=10, verbose=2)

# %% [markdown]
# Index, calibrate, look up, match. One thing we do differently from the old tutorial, and section 4 shows why: the
# images that we calibrate with are neither trained on nor indexed. The slice `get_slice(begin, size)` is in random
# order, so that three parts of it are three random parts.
#
# The network is weak after a minute. So a precision of 0.7 rejects most queries, and `optimal`, which maximizes the
# precision here, does so by answering hardly any: `careful` is the cutpoint to use.

# %% tags=["nbval-ignore-output"]
third = val_ds.num_examples // 3
x_index, y_index = val_ds.get_slice(begin=0, size=third)
x_held, y_held = val_ds.get_slice(begin=third, size=third)
x_query, y_query = val_ds.get_slice(begin=2 * third, size=-1)
model.reset_index()
model.index(x_index, y_index, data=x_index)
calibrated = model.calibrate(
    x_held, y_held, {"careful": 0.7}, calibration_metric="precision", extra_metrics=["recall", "f1"]
)
matches = model.match(x_query, cutpoint="careful", no_match_label=10)
no_match = np.where(np.array(matches) == 10)[0]
print(f"{len(no_match)} of {len(x_query)} queries have no match")

# %% tags=["nbval-ignore-output", "picture"]
neighbors = model.lookup(x_query[:1], k=6)
names = dict(enumerate(data.load(split="test").class_names))
tfsim.visualization.viz_neighbors_imgs(x_query[0], y_query[0], neighbors[0], class_mapping=names)

# %% tags=["nbval-ignore-output"]
_, counted = tfsim.visualization.confusion_matrix(
    matches, y_query, labels=[*names.values(), "no match"], normalize=False, title="Matches within *careful*"
)

# %%
# Check: every query is counted, neighbors come nearest first, and what matches is mostly right.
assert counted.sum() == len(x_query)
assert history.history["loss"][-1] < history.history["loss"][0]
assert [found.rank for found in neighbors[0]] == [1, 2, 3, 4, 5, 6]
assert np.all(np.diff([found.distance for found in neighbors[0]]) >= 0)
accepted = np.array(matches) != 10
assert accepted.any()
assert (np.array(matches) == y_query)[accepted].mean() > 0.5

# %% [markdown]
# ## 2. The same with simnb's own names
#
# `SimilaritySearch` puts an index and a calibration around any embedder: the model stays a plain Keras model.

# %%
embedder = keras.Model(model.inputs, model.outputs)  # the same layers, without the old verbs
search = SimilaritySearch(embedder, distance="cosine")
search.add(x_index, y_index)
search.calibrate(x_held, y_held, maximize="precision", targets={"careful": "precision >= 0.7"})
found = search.lookup(x_query, k=6)
answers = search.match(x_query, "careful")

# %%
# Check: the two ways find the same neighbors, choose the same distance and give the same answers.
old = model.lookup(x_query, k=6)
assert np.allclose([[look.distance for look in row] for row in old], found.distances, atol=1e-5)
assert calibrated.cutpoints["careful"]["distance"] == search.calibration.cutpoints["careful"].threshold
assert np.array_equal(np.where(answers.labels == -1, 10, answers.labels), matches)

# %% [markdown]
# Side by side:
#
# | TensorFlow Similarity, and `simnb.tfsim` | simnb |
# | :-- | :-- |
# | `samplers.MultiShotMemorySampler(x, y, classes_per_batch, examples_per_class_per_batch)` | `samplers.BalancedBatches(x, y, classes_per_batch=, examples_per_class=)` |
# | `samplers.TFDatasetMultiShotMemorySampler("cifar10", ...)` | `data.load("cifar10")`, then `BalancedBatches` |
# | `samplers.MultiShotFileSampler(paths, y)` | `data.from_folder(path, lazy=True)`, then `BalancedBatches` |
# | `samplers.SingleShotMemorySampler(x, augmenter, n)` | `samplers.TwoViewBatches(x, batch_size=n, augment=)` |
# | `samplers.TFDataSampler(ds, ...)` | `samplers.balance(ds, ...)` |
# | `samplers.select_examples` | `Examples.split`, and NumPy |
# | `layers.MetricEmbedding(n)`, `GeneralizedMeanPooling2D` | `layers`, the same names |
# | `losses.MultiSimilarityLoss(lmda=)`, `TripletLoss`, `CircleLoss`, `PNLoss`, `SoftNearestNeighborLoss` | `losses`, the same names; `lam=`, `positive_mining=` |
# | `losses.LiftedStructLoss`, `MultiNegativesRankLoss`, `SimCLRLoss` | `losses.LiftedStructureLoss`, `MultipleNegativesRankingLoss`, `NTXentLoss` |
# | `losses.XBM(loss, memory_size)` | `losses.CrossBatchMemory(loss, size, dim)` |
# | `losses.SimSiamLoss`, `Barlow`, `VicReg` | functions in `losses.two_views` |
# | `models.SimilarityModel(inputs, outputs)` | `keras.Model`, and `search.SimilaritySearch(model)` |
# | `model.fit(sampler, callbacks=[EvalCallback(...)])` | `training.fit(model, batches, loss=, monitor=RetrievalMonitor(...))` |
# | `model.index`, `lookup`, `calibrate`, `match` | `search.add`, `lookup`, `calibrate`, `match` |
# | lists of `Lookup` objects | `Neighbors`: arrays `distances`, `ids`, `labels` |
# | `thresholds_targets={"0.9": 0.9}` | `targets={"careful": "precision >= 0.9"}`, and `confidence=0.95` |
# | `calibration.cutpoints["optimal"]["distance"]` | `calibration.threshold`, `calibration.cutpoints[name].threshold` |
# | `model.evaluate_retrieval`, `retrieval_metrics` | `metrics.report(neighbors, labels, ...)` |
# | `model.evaluate_classification`, `classification_metrics` | `metrics.evaluate_matches`, `metrics.match_intervals` |
# | `model.save(path)`, `load_index(path)` | `search.save(path)`, `SimilaritySearch.load(path)` |
# | `search="nmslib"`, `kv_store=` | `open_index(uri, search="exact" or "hnsw")`: memory, SQLite, Milvus |
# | `architectures.EfficientNetSim`, `ResNet50Sim` | `models.backbone("EfficientNetB0")`, any of `keras.applications`; it preprocesses pixels itself |
# | `schedules.WarmupCosineDecay` | `training.fit(schedule="one_cycle")` |
# | `visualization.viz_neigbors_imgs` (spelled so, or right), `confusion_matrix` | `plots.neighbor_grid`, `plots.confusion_matrix` |
# | `visualization.projector` | `widgets.Projector` |
#
# What is left out raises an error that says what to use instead: the modules `indexer`, `search`, `stores`, `evaluators`
# and `algebra`, `losses.MetricLoss`, `architectures.ConvNeXtSim`, the parts of the augmenters, and a few arguments, such
# as `tb_logdir` of `EvalCallback`. Names that TensorFlow Similarity itself gave up before version 0.14 are not there.
#
# The old names are there so that code runs. New code is shorter with simnb's own, and what is new (targets with a
# confidence, intervals, indexes on disk, drift) has no old name.

# %% [markdown]
# ## 3. What behaves differently
#
# | | theirs | ours | why |
# | :-- | :-- | :-- | :-- |
# | sampling | examples of a class are drawn anew for each batch, from Python's global generator | like cards: each once before any again, by a seed | every image is used, and the run can be repeated |
# | small classes | drawn with replacement, a printed warning | repeated within a batch, a warning that names the class | the same, but it can be caught |
# | `get_slice(begin, -1)` | leaves out the last example | to the last, included | it said *to the end* |
# | `warmup` | -1 by default, which is on | off unless an epoch is named | nobody asked for it |
# | search under L2 | embeddings are normalized first | they are taken as they are | the distance is then the one that was asked for |
# | inner product | larger is closer, sorted as if smaller were | negated: smaller is closer | neighbors came farthest first |
# | FAISS and L2 | squared distances | distances | a threshold has one unit |
# | recall in a calibration | right answers accepted / right answers | right answers accepted / all queries of known classes | theirs always reaches 1 |
# | queries of classes that are not indexed | count as wrong answers, like any other mistake | count as unknown: they ought to be rejected | rejecting them is right, not a miss |
# | false positive rate | of all wrong answers; a target of 0.05 chose a threshold with at least that rate | of unknown queries; a target is a largest value | fewer false positives are better |
# | a target that is not met | an empty list | no cutpoint, a line that says so, an error in `match` | it cannot be used by mistake |
# | thresholds between two distances | the distance itself | midway between it and the next | a new query at almost that distance gets the same verdict |
# | `save` | deletes first, then writes | writes, then puts it in place in one step | a full disk loses nothing |
# | format | pickles | Keras's format, SQLite, JSON, NumPy without pickles | opening a file runs no code |
# | `load_model` | the index has to be loaded separately | it comes with the model; `load_index` works too | one thing less to forget |
# | `EvalCallback` | empties the model's index | has one of its own | it was yours |
# | search | approximate (NMSLIB) | exact; `search="hnsw"` if asked | exact is fast enough in memory, and misses nothing |
# | `MultiSimilarityLoss`, `CircleLoss` | under any distance | under cosine alone | their papers define them for similarities of unit vectors |
# | GeM pooling | its exponent is fixed | it is trained, from the same value | as in the paper |
# | `BNDCG(distance_threshold=)` | counts neighbors beyond it as wrong | an error | a ranking has no threshold; `evaluate_classification` has |
# | `confusion_matrix` | classes from 0, no -1 | -1 is a column of its own | -1 is what `match` gives |
#
# Two of them on our own numbers. First, recall: their formula on our calibration images, beside ours.

# %% tags=["nbval-ignore-output"]
curves = model.calibration.curves
theirs = curves.accepted_right / curves.accepted_right[-1]
figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
ax.plot(curves.distances, theirs[1:], "--", label="right answers / all right answers (theirs)")
ax.plot(curves.distances, curves.recall[1:], label="right answers / all queries of known classes (ours)")
ax.set(xlabel="cosine distance threshold", ylabel="recall", ylim=(0, 1.05))
ax.set_title("A recall that always reaches 1 says nothing about the network", loc="left", fontsize=10)
figure.legend(frameon=False, loc="outside lower center", ncols=2)
plt.show()

# %%
# Check: theirs ends at 1 whatever the network does; ours ends at the share of queries with a right nearest neighbor.
assert theirs[-1] == 1
nearest = search.lookup(x_held, k=1)
assert np.isclose(curves.recall[-1], metrics.recall_at_k(nearest, y_held, 1))

# %% [markdown]
# ## 4. Calibrate on images that were not trained on
#
# The old tutorial calibrated on training images. The network has learned those: they lie nearer to their class than
# new images do. What the calibration then promises is more than new images get; how much more depends on how long
# the network was trained. Here it was a minute.

# %% tags=["nbval-ignore-output"]
x_seen, y_seen = train_ds.get_slice(begin=0, size=len(x_held))
promised, got = {}, {}
for kind, (images, labels) in {"training": (x_seen, y_seen), "held out": (x_held, y_held)}.items():
    neighbors_of = search.lookup(images, k=1)
    chosen = calibration.calibrate(neighbors_of, labels, maximize="f1")
    answered = chosen.match(search.lookup(x_query, k=1)).labels
    promised[kind] = chosen.cutpoint.rates
    got[kind] = metrics.evaluate_matches(answered, y_query)
    print(f"calibrated on {kind:9} promised F1 {promised[kind]['f1']:.3f}, new images {got[kind]['f1']:.3f}")

# %%
# Check: the promise made on held-out images is kept to within what chance does.
assert abs(promised["held out"]["f1"] - got["held out"]["f1"]) < 0.1

# %% [markdown]
# A network that has trained for a minute knows hardly any image by heart, and the gap is small. One that trained
# longer promises an F1 near 1 on its training images: [05_choose_a_threshold](05_choose_a_threshold.ipynb) measures it.

# %% [markdown]
# ## 5. Bring a model and an index over
#
# Neither their SavedModel nor their pickled index can be read here: both run code when they are opened, and need the
# old versions. Weights and embeddings are plain arrays. In the **old environment**:
#
# ```python
# np.savez("weights.npz", *model.get_weights())
# table = model.to_data_frame()                         # embeddings, labels, data
# column = "labels" if "labels" in table else "lables"  # some releases misspell it
# np.savez("index.npz", embeddings=np.stack(table["embeddings"]), labels=table[column].to_numpy())
# ```
#
# Here: build the same network, set the weights, add the rows.

# %%
folder = Path(tempfile.mkdtemp())
table = search.index.get()
np.savez(folder / "weights.npz", *model.get_weights())
np.savez(folder / "index.npz", embeddings=table.embeddings, labels=table.labels)

keras.utils.set_random_seed(SEED + 1)
brought = keras.models.clone_model(embedder)  # in your case: the code that built it
with np.load(folder / "weights.npz") as weights:
    brought.set_weights([weights[name] for name in weights.files])
moved = SimilaritySearch(brought, distance="cosine")
with np.load(folder / "index.npz") as rows:
    moved.index.add(rows["embeddings"], rows["labels"])
moved.save(folder / "search")

# %%
# Check: what was brought over answers as before, also after it was saved and loaded.
loaded = SimilaritySearch.load(folder / "search")
assert np.array_equal(loaded.lookup(x_query, k=5).labels, search.lookup(x_query, k=5).labels)

# %% [markdown]
# Two things to watch. Their `MetricEmbedding` and ours have the same two arrays, a kernel and a bias, so that
# `set_weights` fits. And calibrate anew: their cutpoints were distances of another search.
#
# ## 6. Train without labels
#
# `create_contrastive_model` puts a small network, called projector, on a backbone and trains both on two views of
# each image. No label is used.

# %% tags=["nbval-ignore-output"]
images = train_ds.get_slice(0, 1000)[0]
augmenter = tfsim.augmenters.SimCLRAugmenter(32, 32)
one, other = augmenter.augment(images, None, 2)
keras.utils.set_random_seed(SEED)
layers = [keras.Input((32, 32, 3)), keras.layers.Rescaling(255.0), models.fast_resnet(widths=(16, 32, 64))]
contrastive = tfsim.models.create_contrastive_model(backbone=keras.Sequential(layers), algorithm="simclr")
contrastive.compile(optimizer=keras.optimizers.Adam(0.001), loss=tfsim.losses.SimCLRLoss(temperature=0.1))
record = contrastive.fit(one, other, batch_size=50, epochs=2, verbose=2)

# %%
# Check: views of one image are told from those of others better and better.
assert record.history["loss"][-1] < record.history["loss"][0]

# %% [markdown]
# ## 7. Result

# %% tags=["nbval-ignore-output", "summary"]
print(f"data set      {name}, {time.perf_counter() - start:.0f} s")
print(f"retrieval     R@1 {metrics.recall_at_k(search.lookup(x_query, k=1), y_query, 1):.3f}")
cut = search.calibration.cutpoints["careful"]
print(
    f"careful       distance {cut.threshold:.4f}, precision {cut.rates['precision']:.3f} on held-out images"
)
print(f"no match      {len(no_match)} of {len(x_query)} queries")
print(f"without labels  loss {record.history['loss'][0]:.3f} -> {record.history['loss'][-1]:.3f}")

# %% [markdown]
# **You have**
#
# - run a script for TensorFlow Similarity with one line changed;
# - written the same steps with simnb's own names, and seen that they give the same answers;
# - measured what the old recall and calibrating on training images say;
# - brought weights and an index over;
# - trained without labels;
# - seen which name became which, what is different on purpose, and when to leave the old names behind.
#
# ## Exercises
#
# 1. Save the model with `model.save(...)`, load it with `keras.models.load_model`, and look a query up. Where is the
#    index?
# 2. `EvalCallback` searches after every epoch. Give it the queries and the index images, train one short epoch on
#    the training images `x_seen`, and see that the model's own index is still there.
#
# The solutions follow; try first.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 1
model.save(folder / "model.keras")
again = keras.models.load_model(folder / "model.keras")
print("indexed in what was loaded:", again.index_size())
print("nearest:", again.single_lookup(x_query[0], k=1)[0].distance, "before:", old[0][0].distance)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 2
watch = tfsim.callbacks.EvalCallback(
    x_query, y_query, x_index, y_index, retrieval_metrics=[tfsim.retrieval_metrics.RecallAtK(k=1)]
)
short = tfsim.samplers.MultiShotMemorySampler(
    x_seen, y_seen, classes_per_batch=10, examples_per_class_per_batch=4, steps_per_epoch=10
)
watched = model.fit(short, callbacks=[watch], verbose=0).history
print("R@1", watched["recall@1"], "still indexed:", model.index_size())

# %%
# Check: the index came with the model, and the callback left it alone.
assert again.index_size() == model.index_size() == len(x_index)
assert np.isclose(again.single_lookup(x_query[0], k=1)[0].distance, old[0][0].distance, atol=1e-5)
assert 0 < watched["recall@1"][0] <= 1

# %% [markdown]
# ## What's next
#
# Replace the old names file by file, with the table of section 2 beside you: `BalancedBatches` first, then
# `SimilaritySearch`. [03_training](03_training.ipynb) has the recipe that trains to the same quality in a fraction of
# the time, [05_choose_a_threshold](05_choose_a_threshold.ipynb) thresholds that keep their promise.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - TensorFlow Similarity, 2021 to 2023. <https://github.com/tensorflow/similarity>
# - *Metric learning for image similarity search using TensorFlow Similarity*, keras.io.
#   <https://keras.io/examples/vision/metric_learning_tf_similarity/>
# - Chen et al., *SimCLR*, ICML 2020. <https://arxiv.org/abs/2002.05709>
