# %% [markdown]
# # Solutions to lesson 10, moving from TensorFlow Similarity
#
# The exercises are in [10_from_tensorflow_similarity](../10_from_tensorflow_similarity.ipynb). Try them first. To be quick,
# the network is one whose weights come with simnb.

# %% tags=["nbval-ignore-output"]
import keras
import numpy as np

from simnb import data, losses, metrics, models, tfsim
from simnb.search import SimilaritySearch

name = data.default_name(many_classes=True)
network = models.pretrained(name, precision="auto")
unseen = data.load(name, split="test", image_size=network.input_shape[1:3])
some = unseen.only(np.unique(unseen.labels)[:150].tolist())
parts = some.split(train=0, gallery=0.5, calibration=0.25, query=0.25, seed=0)

# %% [markdown]
# ## Exercise 1: positives of an anchor

# %% tags=["nbval-ignore-output"]
sampler = tfsim.samplers.MultiShotMemorySampler(
    some.images, some.labels, classes_per_batch=64, examples_per_class_per_batch=4
)
_, y_batch = sampler.generate_batch(0)
num_positives = int(np.sum(y_batch == y_batch[0])) - 1

# %%
assert num_positives == 3
print(f"{num_positives} positives and {len(y_batch) - 1 - num_positives} negatives")

# %% [markdown]
# With 256 images drawn at random from 964 classes an anchor would mostly have no positive at all, and a loss over pairs would
# have nothing to pull. This is what these samplers are for.

# %% [markdown]
# ## Exercise 2: the third neighbor

# %% tags=["nbval-ignore-output"]
model = tfsim.models.SimilarityModel(network.inputs, network.outputs)
model.compile(loss=tfsim.losses.TripletLoss())
model.index(parts.gallery.images, parts.gallery.labels)
search = SimilaritySearch(network)
search.add(parts.gallery)

# %%
lookups, found = model.lookup(parts.query.images, k=3), search.lookup(parts.query, k=3)
third_distance = found.distances[0, 2]
assert np.isclose(third_distance, lookups[0][2].distance, atol=1e-3)
print("✓ row 0 is the first query, column 2 its third neighbor")

# %% [markdown]
# What took a loop over objects is one line over an array: the mean distance of all nearest neighbors is
# `found.distances[:, 0].mean()`.

# %% [markdown]
# ## Exercise 3: what the published threshold rejects
#
# Of 1,000 images let *a* be the right answers, *w* the wrong ones, *v* the rejected ones whose nearest neighbor is wrong. A recall
# of 1 says that nothing right is rejected, so *a* + *w* + *v* = 1,000. Precision is *a* / (*a* + *w*), accuracy
# (*a* + *v*) / 1,000. Which *v* gives 0.869 for both, and 0.929909 as F1?

# %%
fits = []
for v in range(1000):
    for a in range(1, 1001 - v):
        precision, accuracy = a / (1000 - v), (a + v) / 1000
        same = round(precision, 3) == round(accuracy, 3) == 0.869
        if same and round(2 * precision / (1 + precision), 6) == 0.929909:
            fits.append((a, v))
print(fits)

# %%
((num_right, num_rejected),) = fits
assert num_rejected == 0
print(f"{num_right} right, {1000 - num_right} wrong, {num_rejected} rejected")

# %% [markdown]
# Only one number fits: the threshold rejects none of its 1,000 calibration images. They were training images, which the
# network had learned, so that even an answer to everything had a good F1.

# %% [markdown]
# ## Exercise 4: the new name of a loss

# %%
new_loss = losses.MultipleNegativesRankingLoss
rows = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")
print(f"{float(new_loss()(np.repeat(np.arange(4), 2), rows)):.3f} for rows that mean nothing")

# %% [markdown]
# It takes labels and embeddings as all losses here do, so that it fits into `compile(loss=...)`; two examples with one label
# are the pair that the old one got as two sets of rows.

# %% [markdown]
# ## Exercise 5: an index without its weights

# %% tags=["nbval-ignore-output"]
rows = search.index.get()
keras.utils.set_random_seed(1)
forgetful = SimilaritySearch(keras.models.clone_model(network))
forgetful.index.add(rows.embeddings, rows.labels)
recall = metrics.recall_at_k(found, parts.query.labels, 1)
nearest = forgetful.lookup(parts.query, k=1)
recall_without_weights = metrics.recall_at_k(nearest, parts.query.labels, 1)
print(f"R@1 with the weights {recall:.3f}, without them {recall_without_weights:.3f}; chance {1 / 150:.3f}")

# %%
assert recall_without_weights < recall / 4
print("✓ far below the search with its weights")

# %% [markdown]
# No error, no warning: two networks place the same image at different points, and rows of one say nothing about queries of
# the other. `search.save` keeps network, index and calibration in one folder for this reason.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
