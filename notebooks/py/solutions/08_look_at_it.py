# %% [markdown]
# # Solutions to lesson 08, look at an embedding
#
# The exercises are in [08_look_at_it](../08_look_at_it.ipynb). Try them first.

# %%
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from simnb import data, metrics, models, plots
from simnb.projection import project, trust
from simnb.search import SimilaritySearch
from simnb.widgets import Projector

plots.style()
SEED = 0

# %% [markdown]
# The embedder, the gallery and the queries are those of the lesson.

# %% tags=["nbval-ignore-output"]
name = data.default_name()
model = models.pretrained(f"{name}-8", mirror=False, precision="auto")
untrained, absent = models.provenance(f"{name}-8")["unknown"]
images = data.load(split="test")[:1600]
parts = images.split(train=0, gallery=0.4, calibration=0.25, query=0.35, unknown=absent, seed=SEED)
gallery, query = parts.gallery, parts.query

# %% tags=["nbval-ignore-output"]
search = SimilaritySearch(model, batch_size=256)
search.add(gallery)
neighbors = search.lookup(query, k=5)
names = query.class_names
known = query.labels != names.index(absent)
right = neighbors.labels[:, 0] == query.labels
mistaken = np.flatnonzero(known & ~right)

# %% [markdown]
# ## Exercise 1: the worst class

# %% tags=["nbval-ignore-output"]
classes, rates, _ = metrics.per_class(right[known].astype(float), query.labels[known])
my_guess = names[classes[rates.argmin()]]
assert my_guess == untrained
Markdown(
    f"It is {my_guess}, with R@1 {rates.min():.2f}: a class that training did not show has no place of its own in the embedding."
)

# %% [markdown]
# ## Exercise 2: preservation by chance
#
# Each of the ten true neighbors is among the ten nearest on the map with probability 10 / (n - 1). Half of the map's axes are
# made random here, too, to see what lies between.

# %% tags=["nbval-ignore-output"]
rows = np.concatenate([search.embed(gallery), search.embed(query)])
labels = np.concatenate([gallery.labels, query.labels])
by_chance = 10 / (len(rows) - 1)
flat = project(rows, "pca")
random = np.random.default_rng(SEED).normal(size=flat.shape) * flat.std(axis=0)
half = np.stack([flat[:, 0], random[:, 1]], axis=1)
kept = [trust(rows, points, k=10, seed=SEED).preservation for points in (random, half, flat)]

# %% tags=["nbval-ignore-output"]
assert np.isclose(kept[0], by_chance, rtol=0.5)
assert kept[0] < kept[1] < kept[2]
Markdown(
    f"By chance it is {by_chance:.1%}, and {kept[0]:.1%} was measured. One true axis gives {kept[1]:.1%}, two give {kept[2]:.1%}: "
    "a figure for a map says something only beside that of chance."
)

# %% [markdown]
# ## Exercise 3: select the mistakes

# %% tags=["nbval-ignore-output"]
is_query = np.arange(len(rows)) >= len(gallery)
my_selection = len(gallery) + mistaken
projector = Projector(rows, labels, class_names=names, is_query=is_query, points=flat, color="right")
projector.selection = my_selection
projector

# %% tags=["nbval-ignore-output"]
assert (labels[projector.selection] == query.labels[mistaken]).all()
Markdown(
    f"{len(projector.selection)} points are ringed. They are positions, so they select in every array of the same length: "
    "images, labels, file names."
)

# %% [markdown]
# ## Exercise 4: the image that misled most

# %% tags=["nbval-ignore-output"]
nearest = np.argsort(gallery.ids)[np.searchsorted(np.sort(gallery.ids), neighbors.ids[:, 0])]
blamed = np.bincount(nearest[mistaken], minlength=len(gallery))
my_culprit = int(blamed.argmax())
misled = mistaken[nearest[mistaken] == my_culprit]

# %% tags=["nbval-ignore-output"]
shown = np.concatenate([gallery.images[[my_culprit]], query.images[misled]])
of_class = np.concatenate([gallery.labels[[my_culprit]], query.labels[misled]])
title = f"This {names[of_class[0]]} misled {len(misled)}"
plots.image_grid(shown, of_class, class_names=names, title=title)
plt.show()

# %% tags=["nbval-ignore-output"]
share = blamed.max() / len(mistaken)
assert share < 0.5
Markdown(
    f"It caused {share:.0%} of the mistakes. The worst of many images always looks guilty; ask which share it has before you "
    "remove it."
)

# %% [markdown]
# ## Exercise 5: which picture first?

# %%
my_pictures = ["hubness", "ThresholdExplorer", "confused_pairs"]
print(", ".join(my_pictures))

# %% [markdown]
# An image that turns up everywhere is a hub. An answer where there should be none is a matter of the threshold. Two kinds that
# are taken for one another show as a pair. The complaint names the question, and the question names the picture.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
