# %% [markdown]
# # Look at an embedding: maps, mistakes, and widgets to play with
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/08_look_at_it.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/08_look_at_it.ipynb) · [← 07](07_unseen_classes.ipynb) · [10 →](10_from_tensorflow_similarity.ipynb) · [Glossary](GLOSSARY.md)
#
# Numbers say how good a search is; pictures say where it fails and what to try next. You lay an embedding out on a
# plane, measure how far to trust that, and then click, drag and search your way through it.
#
# **You will do**
#
# - lay embeddings out on a plane in two ways, and measure what each of them keeps;
# - click through a map: classes, mistakes, nearest neighbors;
# - look at mistakes one by one: neighbors, confused classes, hubs;
# - move a threshold, and watch the rates and the images at the border;
# - search with an image file;
# - watch a network while it trains, and make a map of what it learned;
# - save figures for print, and a page to send to others.
#
# **You will learn**
#
# - why two points that are close on a map need not be close in the embedding;
# - how *right*, *wrong* and *unknown* look in every figure;
# - which figure answers which question.
#
# **You need** [05_choose_a_threshold](05_choose_a_threshold.ipynb), for the words *cutpoint*, *stranger* and *false acceptance*; about
# a minute with CIFAR-10 (a download of 162 MiB, once) or with the digits that are used where CIFAR-10 cannot be had.
# The widgets need JupyterLab, Notebook 7 or VS Code: `pip install "simnb[notebooks]"`. Where nothing runs, as on GitHub,
# each shows a still picture of itself, and is followed by a figure that says most of the same.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/simnb/simnb")

# %% [markdown]
# ## 0. Set-up
#
# All imports and the seed.

# %%
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from simnb import data, losses, models, plots, samplers, training
from simnb.projection import project, trust
from simnb.search import SimilaritySearch
from simnb.widgets import Projector, SearchBox, ThresholdExplorer, TrainingMonitor

SEED = 0
start = time.perf_counter()

# %% [markdown]
# ## 1. Something to look at
#
# With CIFAR-10 the embedder comes with the package: it was trained on eight of the ten classes. For the digits a small
# network is trained here, in seconds. The *gallery* holds the eight classes; *queries* and *calibration* images are of
# all ten, so that two classes are strangers.
#
# With CIFAR-10 the gallery's images are among those that the network was trained on; only the others are new to it. On
# the maps they lie in tighter groups than new images would.


# %%
def parts():
    """Training images, gallery, calibration and query images, disjoint; and the names of the strangers."""
    if data.default_name() == "digits":
        cut = {"train": 0.25, "gallery": 0.25, "calibration": 0.2, "query": 0.3}
        split = data.load(split="all").split(**cut, unknown=["3", "8"], seed=SEED)
        return (split.train, split.gallery, split.calibration, split.query), ["3", "8"]
    unknown = models.provenance("cifar10-8")["unknown"]
    seen = data.load(split="train")
    seen = seen.only([name for name in seen.class_names if name not in unknown])
    seen = seen.split(train=0.1, gallery=0.06, calibration=0, query=0, seed=SEED)
    fresh = data.load(split="test").split(train=0, gallery=0, calibration=0.1, query=0.1, seed=SEED)
    return (seen.train, seen.gallery, fresh.calibration, fresh.query), unknown


# %%
def train(images, callbacks=(), epochs=1):
    """A small network, trained on ``images``."""
    model = models.fast_resnet(widths=(16, 32), whiten=images.images, seed=SEED)
    shape = {"classes_per_batch": 8, "examples_per_class": 10, "steps_per_epoch": 20, "seed": SEED}
    batches = samplers.BalancedBatches(images.images, images.labels, **shape)
    options = {"loss": losses.NormalizedSoftmaxLoss(), "optimizer": "muon", "seed": SEED, "verbose": 0}
    training.fit(model, batches, callbacks=callbacks, epochs=epochs, **options)
    return model


# %% tags=["nbval-ignore-output"]
(trained, gallery, tuning, query), unknown = parts()  # tuning: the calibration images
is_cifar = data.default_name() == "cifar10"
model = models.pretrained("cifar10-8", mirror=False, precision="auto") if is_cifar else train(trained)
search = SimilaritySearch(model, batch_size=256)
search.add(gallery)
neighbors = search.lookup(query, k=5)
for name, part in (("gallery", gallery), ("calibration", tuning), ("query", query)):
    print(f"{name:12}{len(part):6,} images of {len(np.unique(part.labels))} classes")
print("strangers:", ", ".join(unknown))

# %%
# Check: no image is in two parts, and no stranger in the gallery.
assert not set(gallery.ids) & set(query.ids)
assert not set(tuning.ids) & (set(query.ids) | set(gallery.ids))
assert not {gallery.class_names[label] for label in np.unique(gallery.labels)} & set(unknown)

# %% [markdown]
# ## 2. Two maps, and what they keep
#
# An embedding has many dimensions and paper has two. `project` flattens it, and every way of doing so lies.
# *PCA* looks at the embedding from the side from which it is widest: far apart on the map is far apart in truth, but
# points that lie behind one another fall on the same spot. *t-SNE* tries to keep neighbors together, and gives up all larger
# distances for it. (`method="umap"` is a third way: `pip install "simnb[umap]"`.)

# %% tags=["nbval-ignore-output"]
shown = gallery[np.random.default_rng(SEED).permutation(len(gallery))[:800]]
asked = query[:400]
rows = np.concatenate([search.embed(shown), search.embed(asked)])
labels = np.concatenate([shown.labels, asked.labels])
pixels = np.concatenate([shown.images, asked.images])
names = gallery.class_names
maps = {method: project(rows, method, seed=SEED) for method in ("pca", "tsne")}

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained")
for ax, (method, points) in zip(axes, maps.items(), strict=True):
    options = {"points": points, "method": method, "class_names": names, "seed": SEED, "ax": ax}
    plots.embedding_map(rows, labels, title={"pca": "PCA", "tsne": "t-SNE"}[method], **options)
plt.show()

# %% [markdown]
# How far can you trust what you see? Two questions have an answer in numbers. Of the ten nearest points on the map, are
# those that are no true neighbors at least not far away (*trustworthiness*, 1 at best, about 0.5 by chance)? And which
# share of the ten true nearest neighbors is among the ten nearest on the map (*preservation*)?

# %% tags=["nbval-ignore-output"]
kept = {method: trust(rows, points, k=10, seed=SEED) for method, points in maps.items()}
kept["chance"] = trust(rows, np.random.default_rng(SEED).random((len(rows), 2)), k=10, seed=SEED)
print(f"{'map':8}{'trustworthiness':>17}{'preservation':>14}")
for method, found in kept.items():
    print(f"{method:8}{found.trustworthiness:17.3f}{found.preservation:14.3f}")

# %%
# Check: both are better than chance, t-SNE keeps more neighbors than PCA, and neither keeps them all.
assert kept["chance"].trustworthiness < kept["pca"].trustworthiness < kept["tsne"].trustworthiness < 1
assert kept["chance"].preservation < kept["pca"].preservation < kept["tsne"].preservation < 1

# %% [markdown]
# So read a map as a table of contents. What lies together on the t-SNE map is probably related; how far two groups
# lie apart there, and how large they are, means nothing. Every conclusion has to be looked up in the embedding.
# That is what the next cell is for.
#
# ## 3. A map to click through
#
# Every point is an image: in the widget discs are the gallery and diamonds the queries. (In its still picture, which
# GitHub shows, each class has a shape of its own.) Try this:
#
# - **hover** over a point to see its image, or walk from point to point with the arrow keys;
# - **click** one: lines go to its nearest neighbors *in the embedding*, wherever the map put them;
# - choose **right / wrong** under *Colour by*, and find the region where most mistakes are;
# - switch classes off in the legend, or look for one by its name;
# - draw a **lasso** around points: `projector.selection` then holds their positions in Python.

# %% tags=["nbval-ignore-output", "picture"]
projector = Projector(
    rows,
    labels,
    images=pixels,
    class_names=names,
    is_query=np.arange(len(rows)) >= len(shown),
    points=maps["tsne"],
    method="tsne",
    seed=SEED,
)
projector

# %% [markdown]
# The selection goes both ways. Here Python selects the queries of the two strangers, and the widget above marks them;
# after you draw a lasso, run only the cell with `image_grid` again, to see your own choice.

# %% tags=["nbval-ignore-output"]
strangers = np.isin(labels, [names.index(name) for name in unknown])
projector.selection = np.flatnonzero(strangers)
print(f"{len(projector.selection)} points selected")

# %% tags=["nbval-ignore-output"]
chosen = projector.selection[:16]
plots.image_grid(pixels[chosen], labels[chosen], class_names=names)
plt.show()

# %%
# Check: what was selected are exactly the strangers; a selection is positions in ascending order.
assert set(labels[projector.selection]) == {names.index(name) for name in unknown}
assert (np.diff(projector.selection) > 0).all()

# %% [markdown]
# The map can leave the notebook: one file, images included, that opens in any browser without Python and without a
# network. It has everything but the way back to Python.

# %% tags=["nbval-ignore-output"]
page = projector.to_html("build/projector.html")
print(f"{page} has {page.stat().st_size / 1e6:.1f} MB")

# %%
# Check: one page that asks nothing of another machine.
text = page.read_text(encoding="utf-8")
assert text.lstrip().lower().startswith("<!doctype html>")
assert 'src="http' not in text
assert 'href="http' not in text

# %% [markdown]
# ## 4. Neighbors, marked three ways
#
# First a threshold: the one with the best F1 on the calibration images. In every figure a neighbor of the query's class
# is **right**: solid, blue, ✓. One of another class is **wrong**: dashed, vermilion, ✗. One beyond the threshold is
# **unknown**: dotted, grey, ?. The nearest decides the answer: if it is beyond, the query gets none. Line, symbol and colour say the same, so that it can be
# read in print and with any kind of colour vision.

# %% tags=["nbval-ignore-output"]
calibration = search.calibrate(tuning, maximize="f1", targets={"strict": "false_acceptance <= 0.2"})
some = query.take_per_class(1, seed=SEED).only([0, 2, 5, 8, 9])
plots.neighbor_grid(some, search.lookup(some, k=6), gallery, threshold=calibration.threshold)
plt.show()

# %% [markdown]
# ## 5. Who is taken for whom
#
# The pairs of classes that are confused most often, and images of each mistake. Often the picture says at once what a
# number never could: a cut-off object, a strange angle, a wrong label.

# %% tags=["nbval-ignore-output"]
plots.confused_pairs(query, neighbors, gallery, num_pairs=3)
plt.show()

# %% tags=["nbval-ignore-output"]
plots.class_graph(rows, labels, class_names=names)
plt.show()

# %% [markdown]
# (Every answer to a stranger counts as a mistake here, whatever its distance.) The second figure joins each class to
# those whose mean lies nearest. Compare: are the classes that are confused the ones that lie close together?
#
# ## 6. Hubs
#
# Some gallery images are among the neighbors of far more queries than others; they are called *hubs*. Others are never
# found. Where a hub is of the wrong class, it causes many mistakes at once.

# %% tags=["nbval-ignore-output"]
plots.hubness(neighbors, len(gallery))
plt.show()

# %% tags=["nbval-ignore-output"]
times = np.bincount(np.searchsorted(np.sort(gallery.ids), neighbors.ids.ravel()), minlength=len(gallery))
hubs = np.argsort(gallery.ids)[np.argsort(-times, kind="stable")[:8]]
plots.image_grid(
    gallery.images[hubs], gallery.labels[hubs], class_names=names, title="The eight largest hubs"
)
plt.show()

# %%
# Check: every neighbor is a gallery image, and the hubs are found more often than an average one.
assert times.sum() == neighbors.ids.size
assert times.max() > 2 * times.mean()

# %% [markdown]
# ## 7. A threshold to move
#
# A query is answered if its nearest neighbor lies left of the threshold, and Unknown if it lies right of it. Drag it: rates, confusion matrix and
# the images at the border follow. Watch which queries are let in first when you leave the marked cutpoint to the right,
# and which answers you lose to the left.

# %% tags=["nbval-ignore-output"]
explorer = ThresholdExplorer(query, neighbors, gallery, calibration=calibration)
explorer

# %% [markdown]
# Its value is there in Python, and can be set from here, for example to the cutpoint of section 4 that accepts at most a
# fifth of the strangers. The rates that are printed are of the queries; those of the figure are of the calibration
# images, on which the threshold was chosen, and differ a little.

# %% tags=["nbval-ignore-output"]
explorer.threshold = calibration["strict"].threshold
print(f"threshold {explorer.threshold:.4f}: ", end="")
print(
    ", ".join(f"{name} {explorer.rates[name]:.1%}" for name in ("precision", "coverage", "false_acceptance"))
)
plots.metric_curves(calibration, cutpoint="strict")
plt.show()

# %%
# Check: the widget counts as the library does.
accepted = search.match(query, "strict").accepted
is_stranger = np.isin(query.labels, [names.index(name) for name in unknown])
assert np.isclose(explorer.rates["false_acceptance"], accepted[is_stranger].mean())
assert np.isclose(explorer.rates["coverage"], accepted[~is_stranger].mean())

# %% [markdown]
# ## 8. A search box
#
# Drop an image file on it, or choose a query. It shows what the network sees, the answer with the probability that it
# is right, and the neighbors it rests on. What is no image, too large or damaged is refused with a sentence. Photos of
# your own are a hard test for an embedding of 32 x 32 pixels: try one, and look at the distance.

# %% tags=["nbval-ignore-output"]
search.fit_probability(tuning)
box = SearchBox(search, gallery, queries=query, k=6)
box

# %% [markdown]
# What a drop does can be called from Python as well. As a figure:

# %% tags=["nbval-ignore-output"]
one = query[~is_stranger][[0]]
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "a_query.png"
    Image.fromarray(np.asarray(one.images[0])).resize((256, 256)).save(file)
    found = box.search_file(file)
print(
    f"{found.name}: {'accepted' if found.accepted else 'Unknown'} at distance {found.distance:.4f}, ", end=""
)
print(f"right with probability {found.probability:.0%}")
plots.neighbor_grid(one, search.lookup(one, k=6), gallery, threshold=calibration.threshold)
plt.show()

# %%
# Check: the box gives the answer of the search, and a probability is one.
again = search.match(found.image[None])
assert found.accepted == bool(again.accepted[0])
assert 0 <= found.probability <= 1

# %% [markdown]
# ## 9. Watch a training
#
# `TrainingMonitor` is a callback of Keras. After each epoch it measures R@1 on images that the network is not trained
# on, and draws loss, R@1 and a small map. It is cheap enough to be left on. Here a small network trains for
# some seconds.

# %% tags=["nbval-ignore-output"]
watched = tuning.only([name for name in names if name not in unknown])
monitor = TrainingMonitor(watched[:200], gallery[:1000])
monitor

# %% tags=["nbval-ignore-output"]
own = train(trained, callbacks=[monitor], epochs=6)
plots.training_curves(own.history.history)
plt.show()

# %%
# Check: the network learned something, and the monitor wrote R@1 down after each epoch.
recalls = own.history.history["recall_at_1"]
assert len(recalls) == 6
assert recalls[-1] > 1.5 / 8

# %% [markdown]
# ## 10. Figures for print
#
# `plots.style()` gives your own figures the fonts and colours of these. It holds until the end of the notebook, or of a
# `with` block. Every figure can be saved as pixels (PNG) or as lines and letters that stay sharp at any size
# (SVG, PDF).

# %% tags=["nbval-ignore-output"]
with plots.style(), tempfile.TemporaryDirectory() as folder:
    figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    for name in ("precision", "coverage"):
        ax.plot(calibration.curves.threshold[1:], getattr(calibration.curves, name)[1:], label=name)
    ax.set(xlabel="cosine distance up to which a neighbor matches", ylabel="share")
    ax.legend()
    sizes = {}
    for kind in ("png", "svg", "pdf"):
        figure.savefig(Path(folder) / f"curves.{kind}")
        sizes[kind] = (Path(folder) / f"curves.{kind}").stat().st_size
    plt.show()
print(", ".join(f"{kind} {size / 1e3:.0f} kB" for kind, size in sizes.items()))

# %% [markdown]
# ## 11. A map of your own network
#
# The images of the first map again, in the embedding that was trained in section 9, in some seconds. Switch *Colour by* to
# right / wrong and compare it with the map above: what do a larger network, more images and a longer training buy?

# %% tags=["nbval-ignore-output"]
own_rows = models.embed(own, pixels, batch_size=256)
options = {"class_names": names, "method": "tsne", "seed": SEED}
own_map = Projector(own_rows, labels, images=pixels, is_query=np.arange(len(rows)) >= len(shown), **options)
own_map

# %% tags=["nbval-ignore-output"]
held_out = [names.index(name) for name in unknown]
plots.embedding_map(own_rows, labels, points=own_map.points, images=pixels, held_out=held_out, **options)
plt.show()

# %% [markdown]
# ## 12. Which figure answers which question
#
# | You ask | Look at |
# | :-- | :-- |
# | Which classes form groups, and where are the mistakes? | `Projector`; on paper `plots.embedding_map` |
# | How far may I trust the map? | `projection.trust` |
# | Why did this query get that answer? | `SearchBox`; on paper `plots.neighbor_grid` |
# | Which classes are taken for one another? | `plots.confusion_matrix`, then `plots.confused_pairs` |
# | Which classes lie close together? | `plots.class_graph` |
# | Do a few images cause many of the mistakes? | `plots.hubness` |
# | Where should the threshold be, and what does it cost? | `ThresholdExplorer`; on paper `plots.metric_curves` |
# | Are right answers nearer than wrong ones and strangers? | `plots.match_distances` |
# | Does a probability of 80 % mean 80 %? | `plots.reliability_diagram` |
# | Which classes are found badly, and is that chance? | `plots.rates_by_class` |
# | Does the training still help? | `TrainingMonitor`; on paper `plots.training_curves` |

# %% tags=["nbval-ignore-output", "summary"]
print(f"data set   {data.default_name()}, {time.perf_counter() - start:.0f} s")
for method in ("pca", "tsne"):
    print(
        f"{method:10} trustworthiness {kept[method].trustworthiness:.3f}, preservation {kept[method].preservation:.3f}"
    )

# %% [markdown]
# **You have**
#
# - laid embeddings out on a plane in two ways, and measured what each of them keeps;
# - clicked through a map: classes, mistakes, nearest neighbors;
# - looked at mistakes one by one: neighbors, confused classes, hubs;
# - moved a threshold, and watched the rates and the images at the border;
# - searched with an image file;
# - watched a network while it trained, and made a map of what it learned;
# - saved figures for print, and a page to send to others;
# - seen why a map is a table of contents and no proof, and which figure answers which question.
#
# ## Exercises
#
# 1. From how many principal components does t-SNE still make a good map? Try the first two, ten and all, and compare
#    the preservation. (PCA looks at the first two alone.)
# 2. Which gallery image causes most wrong answers? Count, for each, the queries of another class that it is nearest to,
#    and draw the worst with the queries that it misled.
#
# The solutions are folded below; try first.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 1
centred = rows - rows.mean(axis=0)
directions = np.linalg.svd(centred, full_matrices=False)[2]
preserved = {}
for dimensions in (2, 10, rows.shape[1]):
    part = centred @ directions[:dimensions].T
    preserved[dimensions] = trust(rows, project(part, "tsne", seed=SEED), k=10, seed=SEED).preservation
    print(f"t-SNE of {dimensions:3} principal components keeps {preserved[dimensions]:.1%} of the neighbors")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 2
nearest = neighbors.ids[:, 0]
wrong = neighbors.labels[:, 0] != query.labels
culprits, counts = np.unique(nearest[wrong], return_counts=True)
worst = culprits[counts.argmax()]
misled = np.flatnonzero(wrong & (nearest == worst))
at = int(np.flatnonzero(gallery.ids == worst)[0])
print(f"a {names[gallery.labels[at]]} misled {len(misled)} queries")
images = np.concatenate([gallery.images[[at]], query.images[misled[:7]]])
kinds = np.concatenate([gallery.labels[[at]], query.labels[misled[:7]]])
plots.image_grid(
    images, kinds, class_names=names, title="The worst gallery image, and queries that it misled"
)
plt.show()

# %%
# Check: two components lose more than ten, and the worst image did mislead.
assert preserved[2] < preserved[10]
assert counts.max() >= 1

# %% [markdown]
# ## What's next
#
# Put your own images into a search ([04_indexing](04_indexing.ipynb)), give it a threshold with a promise
# ([05_choose_a_threshold](05_choose_a_threshold.ipynb)), and look at the result with a `Projector`: it takes any array of embeddings,
# from any library.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008.
# - McInnes, Healy and Melville, *UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction*, 2018.
#   <https://arxiv.org/abs/1802.03426>
# - Venna and Kaski, *Neighborhood Preservation in Nonlinear Projection Methods*, ICANN 2001 (trustworthiness).
# - Wattenberg, Viégas and Johnson, *How to Use t-SNE Effectively*, Distill 2016.
#   <https://distill.pub/2016/misread-tsne/>
# - Radovanović, Nanopoulos and Ivanović, *Hubs in Space*, JMLR 2010.
# - Okabe and Ito, *Color Universal Design*, 2008 (the colours of right and wrong).
