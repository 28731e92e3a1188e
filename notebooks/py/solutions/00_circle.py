# %% [markdown]
# # Solutions to lesson 00, metric learning on a circle
#
# The exercises are in [00_circle](../00_circle.ipynb). Try them first.

# %%
import matplotlib.pyplot as plt
import numpy as np

from simnb import losses, plots

plots.style()


def unit(degrees):
    """Embeddings of length 1, shape [n, 2], at these angles."""
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


def triplet_loss(labels, degrees, margin):
    """The mean over all triplets, as simnb computes it."""
    return float(losses.BatchAllTripletLoss(margin=margin)(np.array(labels), unit(degrees)))


# %% [markdown]
# ## Exercise 1: a distance

# %%
distance_at_60 = 1 - np.cos(np.radians(60))
assert np.isclose(distance_at_60, 0.5)
print(f"{distance_at_60:.2f}")

# %% [markdown]
# A third of the largest angle gives only a quarter of the largest distance: the cosine is flat near 0°, so that embeddings
# that lie close together differ little in distance.

# %% [markdown]
# ## Exercise 2: where the pull is the strongest

# %%
angles = np.arange(0, 181)
strongest_at = int(angles[np.sin(np.radians(angles)).argmax()])
assert strongest_at == 90
print(f"strongest at {strongest_at}°; at 180° it is {np.sin(np.pi):.2f}")

# %% [markdown]
# The pull is the slope of the distance. At 0° the distance is at its least and at 180° at its largest: both are flat, so a
# positive on the opposite side is not pulled at all until something else moves it.

# %% [markdown]
# ## Exercise 3: be the optimizer
#
# The middles of three classes are as far from one another as they can be at 0°, 120° and 240°.

# %%
labels = [0, 0, 0, 1, 1, 1, 2, 2, 2]
my_angles = [-10, 0, 10, 110, 120, 130, 230, 240, 250]
loss = triplet_loss(labels, my_angles, margin=0.5)
assert loss == 0
title = f"Chosen by hand: a loss of {loss:.0f}"
plots.embedding_circle(unit(my_angles), labels, class_names=("bird", "cat", "dog"), title=title)
plt.show()

# %% [markdown]
# No single embedding is the right one: turn all of them, or let two classes change places, and every distance that the
# loss looks at stays as good.

# %% [markdown]
# ## Exercise 4: the heap without a margin

# %%
loss_of_the_heap = triplet_loss(labels, np.zeros(9), margin=0)
assert loss_of_the_heap == 0
print(f"margin 0: {loss_of_the_heap:.2f}; margin 0.5: {triplet_loss(labels, np.zeros(9), margin=0.5):.2f}")

# %% [markdown]
# All distances in the heap are equal, and without a margin equal is good enough. The margin is what makes the loss see that
# nothing was learned.

# %% [markdown]
# ## Exercise 5: the largest margin for four classes
#
# Spread evenly, neighboring classes are 360° / 4 = 90° apart. No other arrangement is better: the four angles between
# classes side by side add up to 360°, so that one of them is 90° or less.

# %%
largest_margin = 1 - np.cos(np.radians(360 / 4))
assert np.isclose(largest_margin, 1)
four, evenly = np.repeat([0, 1, 2, 3], 2), np.repeat([0, 90, 180, 270], 2)
for margin in (0.9, 1.0, 1.1):
    print(f"margin {margin}: loss {triplet_loss(four, evenly, margin):.3f}")

# %%
assert triplet_loss(four, evenly, 1.0) < 1e-6 < triplet_loss(four, evenly, 1.1)
print("✓ 1.0 can be kept, 1.1 cannot")

# %% [markdown]
# The more classes share a circle, the smaller the margin that all can keep. In more dimensions there is more room, which is
# one reason why real embeddings have many.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
