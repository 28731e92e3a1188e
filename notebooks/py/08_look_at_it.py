# %% [markdown]
# # Look at an embedding: where does it fail, and which picture shows it?
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/08_look_at_it.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/08_look_at_it.ipynb) · [← 07](07_unseen_classes.ipynb) · [09 →](09_own_images.ipynb) · [Glossary](GLOSSARY.md)
#
# For which queries is a search wrong, and why? You find out by looking. We follow one class that goes
# wrong: find it (section 1), see where it lies (2 to 4), look at its mistakes (5 to 7), and learn why (11). Sections 8 to 10 show three
# more widgets.
#
# **You will do**
#
# - lay an embedding out as a map, and measure how far to trust it;
# - draw every mistake as a line, and click through the map;
# - look at mistakes one by one, look for hubs, and ask what made two images alike;
# - see what a stricter threshold costs, ask a search how sure it is, and watch a network train.
#
# **You will learn**
#
# - why a map shows only some of the neighbors that a point has in the embedding;
# - how to find the classes, the images and the parts of an image that go wrong;
# - which picture to open first.
#
# **You need** the words *embedding*, *gallery*, *query*, *neighbor* and *R@1* of the [quickstart](01_quickstart.ipynb), and
# *distance threshold* and *unknown query* of [05_choose_a_threshold](05_choose_a_threshold.ipynb). *Probability* is explained in
# [06](06_trust_a_threshold.ipynb), *loss* in [03](03_training.ipynb). It takes about a minute to run on two cores,
# and 25 to read. The images are photographs of CIFAR-10 (a download of 162 MiB, once), or handwritten digits where it
# cannot be had. The widgets need JupyterLab, Notebook 7 or VS Code; elsewhere you see a still picture of each.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    tested = "https://raw.githubusercontent.com/simnb/simnb/HEAD/constraints.txt"
    newest = "git+https://github.com/simnb/simnb"
    get_ipython().run_line_magic("pip", f"install --quiet --constraint {tested} {newest}")

# %%
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from simnb import data, losses, metrics, models, plots, samplers, training
from simnb.projection import project, trust
from simnb.search import SimilaritySearch
from simnb.widgets import Projector, Quiz, SearchBox, ThresholdExplorer, TrainingMonitor

plots.style()
SEED = 0

# %% [markdown]
# ## 1. One number says how often, not where
#
# Somebody hands you an embedder, and images to try it on. It was trained on eight of ten classes. Of the two
# others, one is in the gallery all the same, and one is not: queries of that one are **unknown**, and no answer to them
# can be right.

# %% tags=["nbval-ignore-output"]
name = data.default_name()
model = models.pretrained(f"{name}-8", mirror=False, precision="auto")
untrained, absent = models.provenance(f"{name}-8")["unknown"]

# %% tags=["nbval-ignore-output"]
images = data.load(split="test")[:1600]  # of the digits there are fewer
parts = images.split(train=0, gallery=0.4, calibration=0.25, query=0.35, unknown=absent, seed=SEED)
gallery, query = parts.gallery, parts.query

# %% tags=["nbval-ignore-output"]
search = SimilaritySearch(model, batch_size=256)
search.add(gallery)
neighbors = search.lookup(query, k=5)

# %% tags=["nbval-ignore-output"]
names = query.class_names
known = query.labels != names.index(absent)
right = neighbors.labels[:, 0] == query.labels
recall = right[known].mean()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: there is something to look for, and no image is in two parts.
assert 0.5 < recall < 0.98
assert not set(gallery.ids) & set(query.ids)
Markdown(
    f"The gallery holds {len(gallery)} images of {len(np.unique(gallery.labels))} classes. Of "
    f"{known.sum()} known queries **{recall:.0%}** find their own class nearest: that is R@1. "
    f"{(~known).sum()} more queries are unknown, all of class *{absent}*."
)

# %% [markdown]
# Is one class to blame? The simplest picture is one dot a class.
#
# **Exercise 1: predict.** Which class has the lowest R@1?
#
# <details><summary>Hint</summary>The embedder was trained on eight classes. Look at <code>untrained</code>, or guess first
# from <code>names</code>.</details>

# %%
my_guess = ...  # Your code: the name of a class, as a string

# %% tags=["nbval-ignore-output"]
classes, rates, _ = metrics.per_class(right[known].astype(float), query.labels[known])
best, worst = names[classes[rates.argmax()]], names[classes[rates.argmin()]]

# %% jupyter={"source_hidden": true}
# Check: exercise 1
if my_guess is ...:
    print("Exercise 1 is open")
else:
    assert my_guess in names, f"{my_guess!r} is no class; they are {', '.join(names)}"
    assert my_guess != absent, f"{absent} is not in the gallery, and so has no R@1"
    assert my_guess == worst, f"{my_guess} was trained on, and does better; which class was not?"
    print(f"✓ exercise 1: {worst}. What a network did not learn to tell apart, it does not tell apart")

# %% tags=["nbval-ignore-output"]
lowest, next_lowest = np.sort(rates)[:2]
title = f"One class at {lowest:.0%}, the others at {next_lowest:.0%} or more"
plots.rates_by_class(classes, rates, class_names=names, reference=recall, metric="R@1", title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the worst class is the one that the embedder was not trained on.
others = right[known & (query.labels != names.index(worst))].mean()
assert worst == untrained
assert others > recall
Markdown(
    f"Of the queries of class **{worst}** {rates.min():.0%} find their own class, of {best} {rates.max():.0%}. Over "
    f"the queries of the other classes R@1 is {others:.0%}, over all {recall:.0%}: one number of all classes "
    "hid one bad class, the only one in the gallery that no training image showed."
)

# %% [markdown]
# ## 2. A map, and how far to trust it
#
# An embedding has 64 dimensions or more, and a screen has two. `project` flattens it, in one of two ways:
#
# - **PCA** looks at the embedding from the side from which it is widest. What is far apart there is far apart in truth; but
#   points that lie behind one another fall on the same spot.
# - **t-SNE** tries to keep neighbors together, and gives up all larger distances for it.
#
# Expect PCA to lay several classes on one heap, and t-SNE to show islands. We count how many images, of gallery and queries together, have one
# of their own class beside them: on each map, and in the embedding itself.

# %% tags=["nbval-ignore-output"]
rows = np.concatenate([search.embed(gallery), search.embed(query)])
labels = np.concatenate([gallery.labels, query.labels])
is_query = np.arange(len(rows)) >= len(gallery)
maps = {method: project(rows, method, seed=SEED) for method in ("pca", "tsne")}


# %%
def apart_on(points):
    """Distances on a map; no point is its own neighbor."""
    return np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(len(points))


# %% tags=["nbval-ignore-output"]
beside = {method: labels[apart_on(points).argmin(axis=1)] == labels for method, points in maps.items()}
cosines = rows @ rows.T - 2 * np.eye(len(rows))  # no image is its own neighbor
in_truth = (labels[cosines.argmax(axis=1)] == labels).mean()

# %% tags=["nbval-ignore-output"]
title = f"PCA: {beside['pca'].mean():.0%} are next to their own class"
plots.embedding_map(rows, labels, points=maps["pca"], method="pca", class_names=names, title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: PCA puts fewer images beside their own class than the embedding does.
assert beside["pca"].mean() < in_truth
Markdown(
    f"On the map of PCA **{beside['pca'].mean():.0%}** of the points lie next to one of their own class. "
    f"In the embedding itself **{in_truth:.0%}** do."
)

# %% tags=["nbval-ignore-output"]
title = f"t-SNE: {beside['tsne'].mean():.0%} are next to their own class"
plots.embedding_map(rows, labels, points=maps["tsne"], class_names=names, title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: t-SNE puts more images beside their own class than PCA.
assert beside["pca"].mean() < beside["tsne"].mean()
Markdown(
    f"On the map of t-SNE **{beside['tsne'].mean():.0%}** lie next to their own class: more than on that of PCA, and "
    f"{'fewer than' if beside['tsne'].mean() < in_truth else 'no fewer than'} in the embedding."
)

# %% [markdown]
# Now only the class that we follow is in color. Does it have an island?

# %%
ten_around = labels[apart_on(maps["tsne"]).argsort(axis=1)[:, :10]]
own_around = (ten_around == labels[:, None]).mean(axis=1)
followed = labels == names.index(worst)

# %% tags=["nbval-ignore-output"]
no_island = own_around[followed].mean() < 0.5
title = (
    f"{worst} has no island of its own: it lies among others"
    if no_island
    else f"Not every {worst} is among its own"
)
one = [names.index(worst)]
plots.embedding_map(rows, labels, points=maps["tsne"], class_names=names, highlight=one, title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the class that we follow has fewer of its own around it than the others.
elsewhere = own_around[~followed & (labels != names.index(absent))].mean()
assert own_around[followed].mean() < min(elsewhere - 0.1, 0.9)
Markdown(
    f"Of the ten points around a *{worst}* **{own_around[followed].mean():.0%}** are *{worst}*, too. "
    f"The other classes of the gallery have {elsewhere:.0%} of their own around them."
)

# %% [markdown]
# The islands of t-SNE look convincing. Are they true? **Preservation** is the share of the *k* = 10 true neighbors *N*<sub>i</sub> of a
# point, those in the embedding, that are among its ten nearest on the map, *M*<sub>i</sub>:
#
# > preservation = Σ |*N*<sub>i</sub> ∩ *M*<sub>i</sub>| / (*n* *k*), the sum over all *n* points


# %%
def preserved(points, k=10):
    """What share of the k nearest in the embedding are among the k nearest on the map."""
    true, on_map = (np.argsort(far)[:, :k] for far in (-cosines, apart_on(points)))
    return np.mean([len(set(n) & set(m)) / k for n, m in zip(true, on_map, strict=True)])


# %% [markdown]
# `trust` computes the same.
#
# **Exercise 2: predict.** Somebody scatters the points over the map at random. What is the preservation then?
#
# <details><summary>Hint</summary>Each of the ten true neighbors is among the ten nearest on the map with the same
# probability. There are <code>len(rows) - 1</code> other points.</details>

# %%
by_chance = ...  # Your code: a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
kept = {method: trust(rows, points, k=10, sample=len(rows)) for method, points in maps.items()}
strewn = trust(rows, np.random.default_rng(SEED).random((len(rows), 2)), k=10, sample=len(rows))
pca, tsne = (kept[method].preservation for method in ("pca", "tsne"))

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: NumPy and the library agree; t-SNE keeps more than PCA, PCA more than chance, and nothing keeps all.
assert np.allclose([preserved(points) for points in maps.values()], [pca, tsne], atol=1e-3)
assert strewn.preservation < pca < tsne < 0.9
on_map = apart_on(maps["tsne"]).argsort(axis=1)[:, :10]
rank = (-cosines).argsort(axis=1).argsort(axis=1) + 1  # of each row, seen from each
ranks = np.take_along_axis(rank, on_map, axis=1)
middle_rank = np.median(ranks[ranks > 10])
assert middle_rank < len(rows) / 10
Markdown(
    f"Of the ten true neighbors PCA keeps **{pca:.0%}** among the ten nearest, t-SNE **{tsne:.0%}**, and "
    f"points scattered at random {strewn.preservation:.1%}. Half of the false neighbors that t-SNE shows are among the "
    f"{middle_rank:.0f} nearest of {len(rows) - 1:,} in the embedding: not far off."
)

# %% jupyter={"source_hidden": true}
# Check: exercise 2
if by_chance is ...:
    print("Exercise 2 is open")
else:
    wanted = 10 / (len(rows) - 1)
    wrong = f"{by_chance} is not 10 of {len(rows) - 1}, which is {wanted:.3f}"
    assert np.isclose(by_chance, wanted, rtol=0.1), wrong
    print(f"✓ exercise 2: {wanted:.1%}, and {strewn.preservation:.1%} was measured")

# %% [markdown]
# Rings mark two queries: the one whose ten true neighbors lie nearest to it on the map, and the known one whose ten lie farthest. A blue line leads
# to a neighbor of the query's class, a dashed orange one to another class, wherever it lies: a horse may lie among airplanes.
# Expect hardly a line at the first, and long ones at the second.

# %% tags=["nbval-ignore-output"]
points = maps["tsne"]
width = np.ptp(points[:, 0])
position = {row: place for place, row in enumerate(gallery.ids.tolist())}  # of each id in the gallery
ten = np.vectorize(position.get)(search.lookup(query, k=10).ids)
spread = np.linalg.norm(points[ten] - points[is_query][:, None], axis=2).mean(axis=1) / width

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Figure: two queries, and a line to each of their ten true neighbors
at_home, torn = spread.argmin(), np.where(known, spread, 0).argmax()
ends = [len(gallery) + at_home, len(gallery) + torn]
links = [(end, near) for end in ends for near in ten[end - len(gallery)]]
close, far = spread[[at_home, torn]]
title = f"Ten neighbors: {close:.1%} of the map's width from one query, {far:.0%} from another"
ax = plots.embedding_map(rows, labels, points=points, class_names=names, links=links, title=title)
middle = (points.min(axis=0) + points.max(axis=0)) / 2
rings = 0.5 + (points[ends] - middle) / np.ptp(points, axis=0).max()  # the map is drawn from 0 to 1
ax.plot(*rings.T, "o", ms=24, mfc="none", mec="#222222", mew=2)
plt.setp(ax.texts[:-1], visible=False)  # the names of classes, which would hide what is ringed
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the second is far worse, and its neighbors are of several classes.
classes_of = [len(np.unique(gallery.labels[ten[one]])) for one in (at_home, torn)]
assert spread[torn] > 5 * spread[at_home]
assert classes_of[1] > 1
Markdown(
    f"The ten neighbors of the first ({names[query.labels[at_home]]}) lie on average {close:.1%} of the map's "
    f"width away, those of the second ({names[query.labels[torn]]}, {classes_of[1]} classes among its neighbors) "
    f"**{far:.0%}**. In the embedding *all* of them are the nearest there are: **the map shows a point in one "
    "place; the embedding may have it between several.**"
)

# %% [markdown]
# So read a map as a table of contents, and check in the embedding whatever you conclude from it.
#
# ## 3. Every mistake is a line
#
# Each known query whose nearest neighbor is of another class becomes a line to that neighbor. Expect many at the gallery's class
# that the training did not see. Are they long, from island to island? We also count the classes of the ten gallery images around a query
# *on the map*.

# %% tags=["nbval-ignore-output"]
nearest, mistaken = ten[:, 0], np.flatnonzero(known & ~right)
links = np.stack([len(gallery) + mistaken, nearest[mistaken]], axis=1)
gaps = np.linalg.norm(points[is_query][:, None] - points[~is_query], axis=2)  # on the map
long = gaps[np.arange(len(query)), nearest] > width / 10

# %% tags=["nbval-ignore-output"]
around = gallery.labels[gaps.argsort(axis=1)[:, :10]]
own_class = (around == query.labels[:, None]).mean(axis=1)
at_wrong, at_right = own_class[mistaken].mean(), own_class[known & right].mean()

# %% tags=["nbval-ignore-output", "picture"]
short = (~long[mistaken]).sum()
title = f"{short} of {len(mistaken)} mistakes are short lines, where classes mix"
plots.embedding_map(rows, labels, points=points, class_names=names, links=links, title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: lines of mistakes are long more often, they lie among others, and most at the class not trained on.
touching = (labels[links] == names.index(untrained)).any(axis=1).mean()
fair = 2 / len(classes)  # if every class were at one of the two ends as often
taken_for = (around[mistaken] == neighbors.labels[mistaken, :1]).mean()
crossing, usual = long[mistaken], long[known & right]
assert touching > 1.2 * fair
assert usual.mean() < crossing.mean() < 0.5
assert max(at_wrong, own_class[mistaken[~crossing]].mean()) < at_right - 0.2
Markdown(
    f"Longer than a tenth of the map are {crossing.sum()} of {len(crossing)} lines at mistakes, "
    f"{usual.sum()} of {len(usual)} at right answers. "
    f"It is the *place* that tells: around a mistake **{at_wrong:.0%}** are of its own class and "
    f"{taken_for:.0%} of the class that it is taken for, around a right answer {at_right:.0%} of its own. "
    f"**{touching:.0%}** of the lines begin or end at *{untrained}*, where {fair:.0%} would if all "
    "classes were alike."
)

# %% [markdown]
# ## 4. A map to click through
#
# Colors say whether the nearest neighbor is **right**
# or **wrong**. Discs are the gallery, diamonds the queries; a disc is judged by its nearest disc. Try this:
#
# - **hover** over an orange point to see its image, or walk from point to point with the arrow keys;
# - **click** it: lines go to its true neighbors, wherever the map put them;
# - choose *class* under *Color by*, and find the island that this point lies on;
# - draw a **lasso** around a region: `projector.selection` then holds its points in Python.

# %% tags=["nbval-ignore-output"]
pixels = np.concatenate([gallery.images, query.images])
projector = Projector(
    rows, labels, images=pixels, class_names=names, is_query=is_query,
    points=maps["tsne"], method="tsne", color="right", seed=SEED,
)  # fmt: skip
projector

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: every known query is right or wrong.
assert len(mistaken) + right[known].sum() == known.sum()
Markdown(
    f"**{len(mistaken)} of {known.sum()}** known queries are orange diamonds, "
    f"{(query.labels[mistaken] == names.index(worst)).sum()} of them *{worst}*. The {(~known).sum()} unknown ones are grey."
)

# %% [markdown]
# The selection works both ways: what Python selects is marked in the widget above. These are the queries of the worst class
# that are wrong.

# %% tags=["nbval-ignore-output"]
of_worst = mistaken[query.labels[mistaken] == names.index(worst)]
projector.selection = len(gallery) + of_worst

# %% [markdown]
# `projector.to_html("map.html")` writes the map as a page that any browser opens, without Python.
#
# **Exercise 3: select.** Select *all* known queries that are wrong, of every class, and set it as
# `projector.selection`.
#
# <details><summary>Hint</summary><code>mistaken</code> counts queries from 0; on the map they come after the
# gallery.</details>

# %%
my_selection = ...  # Your code: positions on the map

# %% jupyter={"source_hidden": true}
# Check: exercise 3
if my_selection is ...:
    print("Exercise 3 is open")
else:
    mine = np.unique(my_selection)
    assert is_query[mine].all(), f"{(~is_query[mine]).sum()} of them are gallery images; add len(gallery)"
    extra = len(np.setdiff1d(mine, len(gallery) + mistaken))
    assert not extra, f"{extra} of them are right, or unknown"
    assert len(mine) == len(mistaken), f"{len(mistaken) - len(mine)} mistakes are missing"
    print(f"✓ exercise 3: {len(mine)} points. Set them, and the widget marks them")

# %% [markdown]
# ## 5. Mistakes one by one
#
# Which classes are taken for one another? `confused_pairs` counts them, and shows of each pair the mistakes that the embedder
# is surest of.

# %% tags=["nbval-ignore-output"]
plots.confused_pairs(query[known], neighbors[known], gallery, num_pairs=4)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the pairs are all mistakes, and no other pair is mixed up more often than these.
both_ways = np.sort(labels[links], axis=1)
assert (both_ways[:, 0] < both_ways[:, 1]).all()
found, counts = np.unique(both_ways, axis=0, return_counts=True)
tied = [(names[one], names[other]) for one, other in found[counts == counts.max()]]
four = found[np.argsort(-counts, kind="stable")[:4]]
of_four = (four == names.index(worst)).any(axis=1).sum()
assert of_four > 0
Markdown(
    f"Mixed up most often: {'; '.join(f'**{a} and {b}**' for a, b in tied)} "
    f"({counts.max()} of {len(links)} mistakes{' each' * (len(tied) > 1)}). "
    f"{of_four} of the {len(four)} pairs shown {'contains' if of_four == 1 else 'contain'} *{worst}*."
)

# %% [markdown]
# Now some queries with their five neighbors. A neighbor beyond the distance threshold (the one of best F1 on the calibration
# images) is **rejected**. If even the nearest is, the query gets *Unknown*: to an unknown query the only right answer.

# %% tags=["nbval-ignore-output"]
goals = {"maximize": "f1", "targets": {"strict": "false_acceptance <= 0.1"}}
calibration = search.calibrate(parts.calibration, **goals)

# %% tags=["nbval-ignore-output"]
shown = [np.flatnonzero(right & known)[0], *of_worst[:2], *np.flatnonzero(~known)[:2]]
gone = (neighbors.distances[shown[1:], 0] > calibration.threshold).sum()
title = f"One right; of two {worst} and two {absent} queries the threshold rejects {gone} (grey)"
plots.neighbor_grid(query[shown], neighbors[shown], gallery, threshold=calibration.threshold, title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: some mistakes are near misses, and some are not.
among = (neighbors.labels[mistaken] == query.labels[mistaken, None]).any(axis=1).mean()
assert 0 < among < 1
two = (neighbors.labels[shown[1:3]] == names.index(worst)).any(axis=1).sum()
Markdown(
    f"Of the two {worst} queries {two if two else 'none'} {'have' if two == 2 else 'has'} a {worst} among the five. For **{among:.0%}** of all {len(mistaken)} mistakes the right class is among the five nearest: show "
    "five answers instead of one, and these are not lost."
)

# %% [markdown]
# ## 6. Hubs: is it a few images?
#
# A **hub** is a gallery row (an image) that is among the neighbors of very many queries. One bad hub could cause many mistakes,
# and be removed. The dotted line says how often a row would be
# found if each were equally likely. Expect a longer tail to the right than the dotted line has. The *skewness* measures it: 0 for a
# symmetric histogram, and more with a longer tail.

# %% tags=["nbval-ignore-output"]
found_times = np.bincount(ten[:, :5].ravel(), minlength=len(gallery))
culprits, misled = np.unique(nearest[mistaken], return_counts=True)

# %% tags=["nbval-ignore-output"]
title = f"One row is found {found_times.max()} times, an average one {found_times.mean():.1f} times"
plots.hubness(neighbors, len(gallery), title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: there are hubs, the tail to the right is longer than by chance, and no few rows cause most mistakes.
skewness = np.mean((found_times - found_times.mean()) ** 3) / found_times.std() ** 3
p = 5 / len(gallery)  # of a row, in the five answers to one query
alike = (1 - 2 * p) / np.sqrt(len(query) * p * (1 - p))
assert skewness > alike
assert found_times.max() > 2 * found_times.mean()
assert np.sort(misled)[::-1][: len(misled) // 4].sum() < 0.6 * misled.sum()
Markdown(
    f"The skewness is {skewness:.2f}; were all rows alike, it would be {alike:.2f}. But the {len(mistaken)} "
    f"mistakes come from **{len(culprits)} different rows**; none caused more than {misled.max()}. "
    f"Removing the worst three would touch at most {np.sort(misled)[-3:].sum()} of them."
)

# %% [markdown]
# **Exercise 4: find it.** Which gallery row is the nearest one of the most mistakes? (Of several, name any.)
#
# <details><summary>Hint</summary><code>culprits</code> and <code>misled</code> are there. Or count
# <code>nearest[mistaken]</code> yourself, with <code>np.bincount</code>.</details>

# %%
my_culprit = ...  # Your code: a position in the gallery

# %% jupyter={"source_hidden": true}
# Check: exercise 4
if my_culprit is ...:
    print("Exercise 4 is open")
else:
    blamed = int((nearest[mistaken] == my_culprit).sum())
    worse = f"row {my_culprit} is nearest to {blamed} wrong queries, and another one to {misled.max()}"
    assert blamed == misled.max(), worse
    print(f"✓ exercise 4: it misled {blamed} of {len(mistaken)}. Look at it: gallery.images[{my_culprit}]")

# %% [markdown]
# ## 7. What made them alike?
#
# Back to one mistake, the surest of the worst class. `explain` hides a small square of an image, measures how far the
# similarity to the other image falls, and moves on. Orange parts made the two alike; where it is purple, hiding makes them
# *more* alike.

# %% tags=["nbval-ignore-output"]
surest = of_worst[neighbors.distances[of_worst, 0].argmin()]
pair = query.images[surest], gallery.images[nearest[surest]]
why = models.explain(model, *pair)

# %% tags=["nbval-ignore-output"]
orange = np.maximum(why.query_map, 0)
middle = orange[8:24, 8:24].sum() / orange.sum()

# %%
taken_as = names[gallery.labels[nearest[surest]]]
title = f"Nearest: this {taken_as}. {middle:.0%} of the orange lies in the middle of the {worst}'s image"
plots.similar_parts(*pair, why.query_map, why.neighbor_map, similarity=why.similarity, title=title)
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: hiding some part takes similarity away, mostly in the middle.
apart = 1 - why.similarity
assert why.query_map.max() > 0
assert middle > 0.25
changed = [np.abs(one).max() for one in (why.query_map, why.neighbor_map)]
paler = changed[1] < changed[0] / 2
pale = ", so that on one scale of colors its map is nearly white" if paler else ""
Markdown(
    f"Spread evenly, 25% of the orange would lie in this middle quarter; in truth **{middle:.0%}** "
    f"does. Hiding a square of the {worst} changes the similarity by {changed[0]:.2g} at most, of the {taken_as} by {changed[1]:.2g}{pale}."
)

# %% [markdown]
# How far to trust *this* picture? Hide the fifth of the query that counts most, and the fifth that counts least. As a
# control, move the first to 20 random places.

# %% tags=["nbval-ignore-output"]
least, most = np.quantile(why.query_map, [0.2, 0.8])
fifths = [why.query_map >= most, why.query_map <= least]
rng = np.random.default_rng(SEED)
fifths += [np.roll(fifths[0], rng.integers(32, size=2), axis=(0, 1)) for _ in range(20)]

# %% tags=["nbval-ignore-output"]
mean_color = pair[0].mean(axis=(0, 1)).astype(pair[0].dtype)
hidden = np.where(np.array(fifths)[..., None], mean_color, pair[0])
after = 1 - models.embed(model, hidden) @ models.embed(model, pair[1][None])[0]  # distances

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: hiding what counts takes more than hiding what does not, and more than the same shape elsewhere.
top, bottom, moved = after[0], after[1], after[2:]
assert top > max(bottom, apart)
assert top > 1.2 * moved.mean()
lost_it = " (beyond the threshold of section 5: rejected)" if top > calibration.threshold else ""
Markdown(
    f"Without the fifth that counts most the distance grows from {apart:.2g} to **{top:.2g}**{lost_it}, without "
    f"the one that counts least it is {bottom:.2g}. With the first moved to 20 random places it is "
    f"**{moved.mean():.2g}** on average, and above {top:.2g} at {(moved > top).sum()} of them. So "
    f"for this pair the picture points, roughly, at what the "
    "embedder looks at. It does not say whether it *should*."
)

# %% [markdown]
# ## 8. What does a stricter threshold cost?
#
# `ThresholdExplorer` begins at *optimal*. Drag it to *strict*, which was chosen to let in fewer unknown queries: rates, confusion matrix and the
# images at the border follow. Which queries do you lose?

# %% tags=["nbval-ignore-output"]
explorer = ThresholdExplorer(query, neighbors, gallery, calibration=calibration)
explorer

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the widget counts as the library does, and with a threshold more answers are right.
at, nearest_one = explorer.rates, neighbors.first(1)
accepted, strict = (calibration.match(nearest_one, cutpoint).accepted for cutpoint in ("optimal", "strict"))
assert np.isclose(at["coverage"], accepted[known].mean())
assert np.isclose(at["false_acceptance"], accepted[~known].mean())
assert at["precision"] > right.mean()
assert strict.sum() < accepted.sum()
lost = accepted & ~strict & known
assert right[lost].mean() > 0.5
few = (parts.calibration.labels == names.index(absent)).sum()
Markdown(
    f"At *optimal* **{at['coverage']:.0%}** of the known queries get an answer (coverage), and so do "
    f"**{at['false_acceptance']:.0%}** of the unknown ones (false acceptance). {at['precision']:.0%} of "
    f"all answers are right (precision).\n\nAt *strict* false acceptance is {strict[~known].mean():.0%} (10% was "
    f"asked for; {few} unknown calibration images are too few to promise it: [lesson 06](06_trust_a_threshold.ipynb)). "
    f"The price is coverage: **{strict[known].mean():.0%}**. Of the {lost.sum()} known queries that it loses, "
    f"{right[lost].mean():.0%} had a right answer."
)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the threshold gives the worst class no right answer that it did not have.
bad = query.labels == names.index(worst)
missed, answered, before = (bad & ~accepted).sum(), (bad & accepted & right).sum(), (bad & right).sum()
hides = (
    "hides the bad class; it does not mend it" if missed > bad.sum() / 2 else "does not mend the bad class"
)
assert answered <= before < others * bad.sum()
Markdown(
    f"Of the {bad.sum()} queries of *{worst}* **{missed}** get *Unknown* at *optimal*, and "
    f"**{answered}** a right answer ({before} had one without a threshold). The threshold {hides}."
)

# %% [markdown]
# ## 9. Would a probability have warned you?
#
# So unknown queries are let in. `fit_probability` says how probably an answer at some distance is right
# ([lesson 06](06_trust_a_threshold.ipynb)). `SearchBox` shows it beside the neighbors, for a query or an image file that you
# drop on it. Here is the unknown query that lies nearest to its neighbor: only *Unknown* is a right answer. Is its
# probability low?

# %% tags=["nbval-ignore-output"]
probability = search.fit_probability(parts.calibration)
box = SearchBox(search, gallery, queries=query, k=6)
box.search_query(int(np.where(known, np.inf, neighbors.distances[:, 0]).argmin()))
box

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the box says what the library says; probabilities are about right, but not of unknown queries.
result, likely = box.result, probability(neighbors.distances[:, 0])
let_in = accepted & ~known
assert result.accepted
practically = ": at so small a distance practically every answer to a calibration image was right"
practically = practically if result.probability > 0.98 else ""
assert np.isclose(result.probability, likely[let_in].max())
assert likely[let_in].mean() > 0.5
assert abs(likely[accepted].mean() - right[accepted].mean()) < 0.15
Markdown(
    f"No: this {absent} is answered with **{result.answer}**, and with probability "
    f"**{result.probability:.0%}**{practically}. Over all {accepted.sum()} answers the mean probability is "
    f"{likely[accepted].mean():.0%}, and {right[accepted].mean():.0%} are right. But over the "
    f"{let_in.sum()} that unknown queries got it is **{likely[let_in].mean():.0%}**, and none is right. A "
    "probability speaks of all answers at a distance together. It does not know which query is unknown."
)

# %% [markdown]
# ## 10. Does the training still help?
#
# `TrainingMonitor` draws the loss, R@1 on images that are not trained on, and a map of these images. Expect
# R@1 to rise while the loss falls; when it stops rising, you can stop. (The loss drawn is the mean since the epoch began:
# hence its steps.) Here a small network trains on the gallery, with the
# whitening, kind of loss and optimizer (Muon) of [lesson 01](01_quickstart.ipynb).

# %% tags=["nbval-ignore-output"]
watched = parts.calibration[parts.calibration.labels != names.index(absent)]
small = models.fast_resnet(widths=(16, 32), whiten=gallery.images, seed=SEED)
batches = samplers.BalancedBatches(
    gallery.images, gallery.labels,
    classes_per_batch=9, examples_per_class=10, steps_per_epoch=8, seed=SEED,
)  # fmt: skip

# %% tags=["nbval-ignore-output"]
monitor = TrainingMonitor(watched, gallery)
options = {"loss": losses.NormalizedSoftmaxLoss(), "optimizer": "muon", "seed": SEED, "verbose": 0}
history = training.fit(small, batches, monitor=monitor, epochs=6, **options)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the network learned something, and the monitor measured after each epoch.
recalls, falling = monitor.recalls, history.history["loss"]
assert len(recalls) == 6
assert falling[-1] < falling[0]
assert recalls[-1] > max(recalls[0], 1.5 / len(classes))
top = int(np.argmax(recalls))
rises = np.sum(np.diff(recalls) > 0)
says = (
    f"It rose after {'each' if rises == 5 else rises} of the 5 later epochs, so nothing says stop: **train on, and look again.**"
    if top == 5
    else f"Its highest, {recalls[top]:.2f}, came after epoch **{top + 1}**, and no later epoch beat it in this run: **you could have stopped there**."
)
Markdown(
    f"From the first epoch to the sixth the mean loss fell from {falling[0]:.2f} to {falling[-1]:.2f}, and R@1 went from "
    f"{recalls[0]:.2f} to {recalls[-1]:.2f} (chance: {1 / len(classes):.2f}). {says}"
)

# %% [markdown]
# ## 11. Is the worst class hard by itself?
#
# Or does it only lack training? simnb has a twin of our network, trained in the same way on *all* ten classes. (Of the digits
# there is none: the small network of section 10 stands in.) A class that is hard by itself would stay as bad.

# %% tags=["nbval-ignore-output"]
twin = models.pretrained("cifar10", mirror=False, precision="auto") if name == "cifar10" else small
second = SimilaritySearch(twin, batch_size=256)
second.add(gallery)
right_now = second.lookup(query, k=1).labels[:, 0] == query.labels

# %%
classes, rates_now, _ = metrics.per_class(right_now[known].astype(float), query.labels[known])
own, overall = rates_now[classes == names.index(worst)][0], right_now[known].mean()
title = f"Trained on this class, too: {worst} at {own:.0%}"
look = {"class_names": names, "reference": overall, "metric": "R@1", "title": title}
ax = plots.rates_by_class(classes, rates_now, **look)
ax.set_xlim(rates.min() - 0.04, 1.01)  # as wide as the first figure
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: the class gained much, and more than the others.
blamed = query.labels == names.index(worst)
rest, lowest_now = right_now[known & ~blamed].mean(), names[classes[rates_now.argmin()]]
assert own > rates.min() + 0.2
assert own - rates.min() > 3 * abs(rest - others)
Markdown(
    f"It mostly lacked training: a network that was trained on this class, too, finds *{worst}* for "
    f"**{own:.0%}** of its queries, where the first found {rates.min():.0%}. Those of the other classes "
    f"went from {others:.0%} to {rest:.0%}. The lowest is {'still' if lowest_now == worst else 'now'} *{lowest_now}*, at {rates_now.min():.0%}."
)

# %% [markdown]
# ## 12. Which picture answers which question
#
# | You ask | Look at |
# | :-- | :-- |
# | Is one class to blame? | `plots.rates_by_class` (section 1) |
# | Where are the mistakes, and what lies there? | `Projector`; on paper `plots.embedding_map` with `links` (sections 3 and 4) |
# | How far may I trust the map? | `projection.trust` (section 2) |
# | Which classes are taken for one another? | `plots.confusion_matrix`, then `plots.confused_pairs` (section 5, [01](01_quickstart.ipynb)) |
# | Which classes lie close together? | `plots.class_graph` (in the reference) |
# | Why did this query get that answer? | `SearchBox`; on paper `plots.neighbor_grid` (sections 5 and 9) |
# | What in the image made it so? | `models.explain`, `plots.similar_parts` (section 7) |
# | Do a few images turn up under every query? | `plots.hubness` (section 6) |
# | Where should the threshold be, and what does it cost? | `ThresholdExplorer`; on paper `plots.metric_curves` (section 8) |
# | Are right answers nearer than wrong and unknown ones? | `plots.match_distances` ([05](05_choose_a_threshold.ipynb)) |
# | What does the threshold reject, and was it right to? | `plots.rejected_grid` ([01](01_quickstart.ipynb)) |
# | Does a probability of 80% mean 80%? | `plots.reliability_diagram` ([06](06_trust_a_threshold.ipynb)) |
# | Does the training still help? | `TrainingMonitor`; on paper `plots.training_curves` (section 10, [01](01_quickstart.ipynb)) |
# | Did the embedding collapse? | `plots.pair_distances` (in the reference) |
#
# **Exercise 5: choose.** Three people come to you. Which picture do you open first for each?
#
# 1. "The same image turns up whatever I search for."
# 2. "I search for something that you do not have, and get an answer."
# 3. "I search for one kind of bird, and always get another kind."
#
# <details><summary>Hint</summary>Find the question in the left column that each of them asks. The first name to its
# right will do.</details>

# %%
my_pictures = ...  # Your code: a list of three names, such as "SearchBox"

# %% jupyter={"source_hidden": true}
# Check: exercise 5
if my_pictures is ...:
    print("Exercise 5 is open")
else:
    fitting = (
        {"hubness"},
        {"ThresholdExplorer", "metric_curves", "match_distances"},
        {"confusion_matrix", "confused_pairs", "class_graph"},
    )
    assert len(my_pictures) == 3, f"three names are wanted, got {len(my_pictures)}"
    for person, (picture, right_ones) in enumerate(zip(my_pictures, fitting, strict=True), start=1):
        chosen_name = picture.removeprefix("plots.")
        assert chosen_name in right_ones, (
            f"{chosen_name} answers another question than that of person {person}"
        )
    print("✓ exercise 5: an image that is everywhere, a threshold that is too lax, two classes too close")

# %% [markdown]
# ## Three questions

# %% jupyter={"source_hidden": true}
# Quiz: three questions
Quiz(
    ("On a t-SNE map two islands lie far apart. Are these classes far apart in the embedding?",
     ["the map does not say", "yes, as far as on the map", "no, they are close"],
     "t-SNE keeps neighborhoods, and gives up larger distances. Measure the distance in the embedding."),
    ("R@1 fell from 0.90 to 0.82 after two classes were added to the gallery. What do you look at first?",
     ["R@1 of each class", "a t-SNE map of all images", "the largest hubs"],
     "It says at once whether the new classes are found badly, or the old ones are disturbed by them."),
    ("An explanation is orange on the grass and not on the horse. What do you know?",
     ["this embedder compares the grass", "the neighbor is wrong", "the label is wrong"],
     "It shows what the embedder looks at. Whether the answer is right, another picture has to say."),
)  # fmt: skip

# %% [markdown]
# **Remember**
#
# - A map gives a point one place, where the embedding may have it between several groups.
# - R@1 of each class finds the class that goes wrong; the neighbors beside a query show the image; hiding squares shows the part
#   of it.
# - Your question chooses the picture. If you have none yet, begin with R@1 of each class.
#
# ## Exercises
#
# The five above are solved in
# [solutions/08_look_at_it](solutions/08_look_at_it.ipynb).
#
# ## What's next
#
# [09_own_images](09_own_images.ipynb) searches a folder of your own, and finds out whether to train. What to do about a class
# that training did not show is in [07_unseen_classes](07_unseen_classes.ipynb).
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008.
# - Wattenberg, Viégas and Johnson, *How to Use t-SNE Effectively*, Distill 2016.
#   <https://distill.pub/2016/misread-tsne/>
# - Venna and Kaski, *Neighborhood Preservation in Nonlinear Projection Methods*, ICANN 2001.
# - Radovanović, Nanopoulos and Ivanović, *Hubs in Space*, JMLR 2010.
# - Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014 (hiding parts of an image).
#   <https://arxiv.org/abs/1311.2901>
# - Okabe and Ito, *Color Universal Design*, 2008 (the colors of right and wrong).
