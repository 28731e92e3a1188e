# %% [markdown]
# # Solutions to lesson 02, what must be in a batch
#
# The exercises are in [02_sampling](../02_sampling.ipynb). Try them first.

# %%
import matplotlib.pyplot as plt
import numpy as np

from simnb import data, losses, plots, samplers

plots.style()
seen = data.load("glyphs")
num_classes = len(np.unique(seen.labels))


def positive_pairs(labels):
    """How many pairs of a batch are of one class."""
    _, counts = np.unique(labels, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


# %% [markdown]
# ## Exercise 1: positive pairs at random

# %%
expected_positive = 7140 / num_classes
rng = np.random.default_rng(0)
drawn = [positive_pairs(seen.labels[rng.choice(len(seen), 120, replace=False)]) for _ in range(300)]
assert 0.7 * np.mean(drawn) < expected_positive < 1.3 * np.mean(drawn)
print(f"expected {expected_positive:.1f}, drawn {np.mean(drawn):.1f} (from {min(drawn)} to {max(drawn)})")

# %% [markdown]
# The estimate is a little too high, since an image is not its own partner: a class of 14 images has only 13 others to offer. Batches
# differ by luck, but none comes near the 60 pairs of a balanced one.

# %% [markdown]
# ## Exercise 2: how large a random batch

# %%
sizes = np.arange(2, 4000)
share = 1 - (1 - 1 / num_classes) ** (sizes - 1)
large_enough = int(sizes[np.argmax(share >= 0.9)])
assert 2000 < large_enough < 2300
print(f"{large_enough:,} images, {large_enough / 120:.0f} times a batch of 120")

# %%
figure, ax = plt.subplots(figsize=(7.2, 3.2))
ax.plot(sizes, share)
ax.plot(large_enough, 0.9, "o", color="C1", ms=8)
ax.set(xlabel="images in a random batch", ylabel="share with a partner", ylim=(0, 1))
ax.set_title(f"9 of 10 have a partner from {large_enough:,} images on")
plt.show()

# %% [markdown]
# A batch of that size needs 18 times the memory and the time. A balanced batch of 120 gives every image a partner.

# %% [markdown]
# ## Exercise 3: one image of each class

# %%
labels = np.arange(120)
embeddings = np.random.default_rng(0).normal(size=(120, 64)).astype("float32")
loss_of_single_images = float(losses.SupervisedContrastiveLoss()(labels, embeddings))
assert loss_of_single_images == 0
print(f"C = 120, K = 1: loss {loss_of_single_images:.1f}")

# %% [markdown]
# A loss over pairs has nothing to pull together, says 0, and its gradient is 0. `training.fit` refuses such batches, which
# is better than a training that does nothing.

# %% [markdown]
# ## Exercise 4: C and K

# %%
shapes = {(120 // K, K): 120 // K * K * (K - 1) // 2 for K in (1, 2, 3, 4, 5, 6)}
my_shape = max(shape for shape, pairs in shapes.items() if pairs >= 100)
assert my_shape == (40, 3)
batches = samplers.BalancedBatches(
    seen.images, seen.labels, classes_per_batch=my_shape[0], examples_per_class=my_shape[1]
)
assert positive_pairs(batches.batch(0)[1]) == shapes[my_shape]
for (C, K), pairs in shapes.items():
    print(f"{C:3} x {K}: {pairs:3} positive pairs")

# %% [markdown]
# Positive pairs grow by K - 1 only, while classes shrink as 1 / K: from 2 to 3 images a class doubles the pairs for a
# third of the classes.

# %% [markdown]
# ## Exercise 5: mirrored letters

# %%
changed_letters = "bcERS"
drawn_as = [seen.class_metadata["character"].index(letter) for letter in "AbcEHMRSTX"]
ten = seen.only(drawn_as)
first = np.unique(ten.labels, return_index=True)[1]
upright = ten.images[first]
plots.image_grid(
    np.concatenate([upright, upright[:, :, ::-1]]), np.repeat([0, 1], 10), class_names=["as it is", "mirrored"],
    columns=10, title=f"{len(changed_letters)} of 10 letters do not survive a mirror",
)  # fmt: skip
plt.show()

# %%
assert set(changed_letters) == set("AbcEHMRSTX") - set("AHMTX")
print("no longer the same: " + " ".join(changed_letters))

# %% [markdown]
# Half of these letters stay what they are, so that nobody notices who looks at a few only. Whether an augmentation keeps
# the class has to hold for *all* classes.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
