# %% [markdown]
# # Solutions to lesson 04, index embeddings
#
# The exercises are in [04_indexing](../04_indexing.ipynb). Try them first. So that this runs in seconds, the digits that come
# with scikit-learn stand in for the photographs, and the characters are those of three scripts.

# %%
import numpy as np

from simnb import data, models
from simnb.collection import near_duplicates
from simnb.index import open_index

SEED = 0
model = models.pretrained("digits-8", precision="auto")
unknown = models.provenance("digits-8")["unknown"]
queries, gallery = data.load("digits", split="test"), data.load("digits", split="train")
gallery = gallery.only([one for one in gallery.class_names if one not in unknown])
gallery = gallery[np.random.default_rng(SEED).permutation(len(gallery))]
embeddings, asked = models.embed(model, gallery.images), models.embed(model, queries.images)
brightness = gallery.images.mean(axis=(1, 2, 3)) / 255
index = open_index(class_names=gallery.class_names)
index.add(embeddings, gallery.labels, {"brightness": brightness.tolist()}, ids=gallery.ids)
print(f"{len(index):,} gallery rows and {len(queries):,} queries")

# %% [markdown]
# ## Exercise 1: empty places

# %% tags=["nbval-ignore-output"]
noise = np.random.default_rng(SEED).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
of_noise = index.search(models.embed(model, noise), k=5)
empty_places = int((of_noise.ids < 0).sum())
assert empty_places == 0
print(f"{empty_places} empty places; the nearest row is at {of_noise.distances[0, 0]:.3f}")

# %% [markdown]
# An index has no idea of *too far*: noise gets five digits as neighbors. Only a distance threshold can turn it away.

# %% [markdown]
# ## Exercise 2: filter yourself

# %% tags=["nbval-ignore-output"]
bright = {"brightness": {">=": float(np.quantile(brightness, 0.75))}}
bright_distance = index.search(asked[:1], k=1, where=bright).distances[0, 0]
of_all = index.search(asked[:1], k=1).distances[0, 0]
assert bright_distance >= of_all
print(f"{bright_distance:.4f} among bright rows, {of_all:.4f} among all")

# %% [markdown]
# A condition can only take rows away, so that the nearest row comes no nearer. The four times smaller gallery costs some
# distance; whether it costs right answers, a count has to tell.

# %% [markdown]
# ## Exercise 3: keep one of each

# %% tags=["nbval-ignore-output"]
glyphs = data.load("glyphs", split="all")
capitals = [one for one in glyphs.class_names if "CAPITAL LETTER" in one and " WITH " not in one]
glyphs = glyphs.only([one for one in capitals if one.split()[0] in ("LATIN", "GREEK", "CYRILLIC")])
drawn = models.embed(models.pretrained("glyphs", precision="auto"), glyphs.images, batch_size=256)
characters = np.unique(glyphs.labels)
means = np.stack([drawn[glyphs.labels == character].mean(axis=0) for character in characters])
letters = open_index(class_names=glyphs.class_names)
letters.add(means, characters, ids=characters)
print(f"{len(letters):,} characters, of {len(glyphs):,} pictures")

# %% tags=["nbval-ignore-output"]
found = near_duplicates(letters)
rows_left = len(letters) - len(found.ids) + len(found)
letters.remove(np.concatenate([group[1:] for group in found.groups]))
assert len(letters) == rows_left
print(f"{len(characters)} rows, {len(found)} groups of together {len(found.ids)}: {rows_left} are left")

# %% [markdown]
# One row of each group stays, so that no shape is lost. For real copies that is all one wants; for homoglyphs it also drops
# what the characters mean, and one label for the group, as in the lesson, keeps every row.

# %% [markdown]
# ## Exercise 4: breadth 100 among 100 rows
#
# The walk stops when it has visited the 100 nearest of all rows that it has seen. Fewer than 100 rows are seen only as long
# as some row that was seen has not been visited. So it visits all of them, and since every row is linked to an earlier one,
# it gets everywhere.

# %%
points = np.random.default_rng(SEED).uniform(size=(100, 2))
links = [[] for _ in points]
for new in range(1, 100):
    for old in np.linalg.norm(points[:new] - points[new], axis=1).argsort()[:2].tolist():
        links[new].append(old)
        links[old].append(new)
seen = [0]
for row in seen:  # grows as it is gone through
    seen += [other for other in links[row] if other not in seen]
rows_seen = len(seen)
assert rows_seen == 100
print(f"{rows_seen} of 100 rows can be reached")

# %% [markdown]
# With the largest breadth a walk is exact, and slower than exact search. Breadth is the knob between the two.

# %% [markdown]
# ## Exercise 5: choose it again

# %% tags=["nbval-ignore-output"]
is_known = np.isin(queries.labels, gallery.labels)
distances = 1 - asked @ embeddings.T
small, whole = distances[:, : len(gallery) // 40].min(axis=1), distances.min(axis=1)
threshold, new_threshold = np.quantile(small[~is_known], 0.1), np.quantile(whole[~is_known], 0.1)
for name, limit in (("old", threshold), ("new", new_threshold)):
    share, covered = (whole[~is_known] <= limit).mean(), (whole[is_known] <= limit).mean()
    print(f"{name} threshold {limit:.3f}: false acceptance {share:.2f}, coverage {covered:.2f}")

# %%
assert new_threshold < threshold
assert abs((whole[~is_known] <= new_threshold).mean() - 0.1) < 0.02
print("✓ the new threshold is stricter, and lets in 10% again")

# %% [markdown]
# In a gallery forty times as large the threshold had to become stricter. The price is coverage: fewer known queries get an
# answer than with the old one.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
