# %% [markdown]
# # Solutions to lesson 06, trust a threshold
#
# The exercises are in [06_trust_a_threshold](../06_trust_a_threshold.ipynb). Try them first. To be short, this notebook
# takes fewer images and draws than the lesson: its numbers differ a little.

# %%
import numpy as np

from simnb import data, metrics, models
from simnb.calibration import calibrate
from simnb.index import open_index
from simnb.matching import match

rng = np.random.default_rng(0)

# %% [markdown]
# ## Exercise 1: 20 heads of 20

# %%
all_of_20 = 0.05 ** (1 / 20)
print(f"{all_of_20:.3f}")
assert np.isclose(all_of_20**20, 0.05)

# %% [markdown]
# A coin of 86% shows 20 heads of 20 in one of 20 tries. So not one failure in 20 still leaves room for one in seven.

# %% [markdown]
# ## Exercise 2: how many?

# %%
fewest = int(np.ceil(np.log(0.05) / np.log(0.99)))
print(fewest)
assert 0.99**fewest <= 0.05 < 0.99 ** (fewest - 1)

# %% [markdown]
# About 3 / 0.01: to promise that no more than one in *n* fails takes three times *n* successes without a failure. It is why high
# promises need many calibration images.

# %% [markdown]
# ## Exercise 3: a plain threshold

# %% tags=["nbval-ignore-output"]
name = data.default_name()
model = models.pretrained(f"{name}-8", mirror=False, precision="auto")
unknown = models.provenance(f"{name}-8")["unknown"]
gallery = data.load(split="train")
gallery = gallery.only([c for c in gallery.class_names if c not in unknown])
gallery = gallery.split(train=0, gallery=0.1, calibration=0, query=0, seed=0).gallery[:1_000]
fresh = data.load(split="test")[:2_000]

# %% tags=["nbval-ignore-output"]
index = open_index()
index.add(models.embed(model, gallery.images), gallery.labels)
known = np.unique(gallery.labels)
world, truth = index.search(models.embed(model, fresh.images), k=5), fresh.labels
everything = calibrate(world, truth, known_labels=known).curves


# %%
def share_broken(confidence, draws=200):
    """In how many draws of calibration images the promise of a precision of 0.9 is broken."""
    broken = 0
    for _ in range(draws):
        drawn = rng.integers(0, len(truth), min(1_000, len(truth)))
        options = {"targets": {"it": "precision >= 0.9"}, "confidence": confidence}
        one = calibrate(world[drawn], truth[drawn], known_labels=known, **options)["it"]
        broken += one.met and everything.rates(one.threshold)["precision"] < 0.9
    return broken / draws


# %% tags=["nbval-ignore-output"]
guess = share_broken(confidence=None)
print(f"{guess:.0%} of the plain promises are broken")

# %%
assert 0.2 < guess < 0.7
print("✓ about every second one")

# %% [markdown]
# The threshold stands where the precision has just reached 0.9 on the images drawn. Chance has helped about as often as it has
# hindered, so on others the precision is about as often too low as high enough.

# %% [markdown]
# ## Exercise 4: half sure

# %% tags=["nbval-ignore-output"]
broken_at_half, broken_at_95 = share_broken(confidence=0.5), share_broken(confidence=0.95)
print(f"confidence 0.5: {broken_at_half:.0%} broken; confidence 0.95: {broken_at_95:.0%}")

# %%
assert broken_at_95 + 0.03 < broken_at_half <= 0.6
print("✓ the less confidence, the more promises break")

# %% [markdown]
# A confidence of 0.5 is hardly better than none. The confidence is yours to choose: it is paid for in coverage.

# %% [markdown]
# ## Exercise 5: compare


# %%
def right(matcher):
    """Whether each known query is answered correctly."""
    return (match(world, matcher=matcher).labels == truth)[np.isin(truth, known)].astype(float)


# %% tags=["nbval-ignore-output"]
comparison = metrics.compare(right("majority_vote"), right("nearest"), seed=0)
found = comparison.difference
print(f"vote less nearest: {found.value:+.3f}, from {found.low:+.3f} to {found.high:+.3f}")

# %%
assert np.isclose(found.value, right("majority_vote").mean() - right("nearest").mean())
print("✓ the difference is that of the two shares")

# %% [markdown]
# If 0 lies inside the interval, these queries do not tell the two apart: say so, and do not pick the larger number. On the same
# queries the difference is known better than either share, for queries that are hard are hard for both.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
