# %% [markdown]
# # Solutions to lesson 03, losses and what goes wrong
#
# The exercises are in [03_training](../03_training.ipynb). Try them first.

# %%
import itertools

import numpy as np

from simnb import losses

labels = np.repeat(np.arange(32), 4)  # 32 characters, four images of each

# %% [markdown]
# ## Exercise 1: one point

# %%
point = np.tile([1.0, 0.0], (128, 1))
loss_of_one_point = float(losses.SupervisedContrastiveLoss()(labels, point))
assert np.isclose(loss_of_one_point, np.log(127), atol=1e-4)
print(f"{loss_of_one_point:.3f}, and log 127 is {np.log(127):.3f}")

# %% [markdown]
# All scores are equal, so that the temperature divides out. Each loss has such a value, at which nothing was learned: note
# it before the training, and a collapse will not surprise you.

# %% [markdown]
# ## Exercise 2: CosFace


# %%
def normalized_softmax(to_proxies, labels, temperature=0.05):
    """The loss of each image."""
    scores = to_proxies / temperature
    own = scores[np.arange(len(labels)), labels]
    return np.log(np.exp(scores).sum(axis=1)) - own


def cosface(to_proxies, labels):
    """The loss of each image, the similarity to its own proxy made smaller."""
    own = labels[:, None] == np.arange(to_proxies.shape[1])
    return normalized_softmax(to_proxies - 0.35 * own, labels, temperature=1 / 64)


# %%
to_proxies = np.random.default_rng(0).uniform(-1, 1, (128, 32))
theirs = losses.cosface_loss(labels, to_proxies, margin=0.35, scale=64)
np.testing.assert_allclose(cosface(to_proxies, labels), theirs, rtol=1e-3, atol=1e-3)
print("equal to simnb's")

# %% [markdown]
# To be right is not enough for CosFace: the own proxy has to win by 0.35. The rest is the classifier that you had.

# %% [markdown]
# ## Exercise 3: by luck alone

# %%
on_top = list(itertools.combinations(range(6), 3))
by_luck = sum(set(best) == {0, 1, 2} for best in on_top) / len(on_top)
assert by_luck == 1 / 20
print(f"1 of {len(on_top)} choices: {by_luck:.2f}")

# %% [markdown]
# This is one way round; either way, it is 1 in 10. Three runs are the least with which "all above all" says something:
# with two it is 1 in 6 one way, with five 1 in 252.

# %% [markdown]
# ## Exercise 4: triplets of a batch

# %%
same = labels[:, None] == labels
num_triplets = int(np.sum((same.sum(axis=1) - 1) * (~same).sum(axis=1)))
assert num_triplets == 47_616
print(f"{num_triplets:,}")

# %% [markdown]
# A batch holds more comparisons than an epoch has images. This is why it matters which of them a loss looks at.

# %% [markdown]
# ## Exercise 5: the soft margin after a collapse

# %%
stands_at = float(losses.TripletLoss(margin=None)(labels, np.tile([1.0, 0.0], (128, 1))))
assert np.isclose(stands_at, np.log(2), atol=1e-4)
print(f"{stands_at:.4f}, and log 2 is {np.log(2):.4f}")

# %% [markdown]
# Without a margin to stand at, the loss stands at log 2. A value below it says that at least some negatives are farther.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
