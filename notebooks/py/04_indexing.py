# %% [markdown]
# # Index embeddings: search, filter, change, keep
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/04_indexing.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/04_indexing.ipynb) · [← 03](03_training.ipynb) · [05 →](05_choose_a_threshold.ipynb) · [Glossary](GLOSSARY.md)
#
# You put the embeddings of a gallery into an index, look things up in it, change it, keep it in a file that survives
# a kill, and search it faster than exactly, knowing what that misses.
#
# **You will do**
#
# - index a gallery with labels and metadata, and search it with and without conditions;
# - change labels, and remove doubled images;
# - compare exact search with search over a graph: recall against time, on this embedding and on random vectors;
# - save an index, kill a process that writes to it, and open it again;
# - use the same cells on another engine, Milvus Lite;
# - measure which engine takes how long at which size, and what a larger gallery does to a threshold;
# - search with an image file of your own.
#
# **You will learn**
#
# - what "acknowledged" means, and what is left of an index after a kill;
# - why the recall of approximate search has to be measured on your own embeddings;
# - why a threshold belongs to a gallery of a certain size.
#
# **You need** the quickstart, [01_quickstart](01_quickstart.ipynb), for the words *embedding*, *gallery* and
# *threshold*; about a minute with CIFAR-10 (a download of 162 MiB, once), or half of that with the digits that are
# used where CIFAR-10 cannot be had. Search over a graph needs FAISS, `pip install "simnb[ann]"`.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+https://github.com/simnb/simnb")

# %% [markdown]
# ## Overview
#
# An *index* keeps rows: an id, an embedding, a label and a few values of your own, the metadata. It answers which
# rows lie nearest to a query. One string says where the rows live: in memory, in one file, or on a server. What
# you can do with it is the same everywhere.

# %% [markdown]
# ## 0. Set-up
#
# All imports, the seed and the sizes. Files go into a folder that is removed at the end.

# %%
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from simnb import data, losses, metrics, models, plots, samplers, training
from simnb.calibration import calibrate
from simnb.index import open_index
from simnb.matching import match
from simnb.search import SimilaritySearch
from simnb.widgets import SearchBox

start = time.perf_counter()

# %%
SEED = 0
SIZES = {
    "cifar10": {"gallery": 2000, "queries": 200, "random": 20_000, "table": (1_000, 10_000, 100_000)},
    "digits": {"gallery": 90, "queries": 30, "random": 2_000, "table": (1_000, 10_000)},
}
folder = tempfile.TemporaryDirectory()
work = Path(folder.name)

# %% [markdown]
# ## 1. Embeddings
#
# With CIFAR-10 the embedder comes with the package: it was trained on eight of the ten classes. The gallery holds
# training images of these eight; the queries are test images, of all ten. So two classes are *unknown*: no image of
# theirs is in the gallery, and a good answer to them is none. For the digits a small network is trained here, in
# seconds, in the same way.

# %% tags=["nbval-ignore-output"]
sizes = SIZES[data.default_name()]
queries = data.load(split="test").take_per_class(sizes["queries"], seed=SEED)
unknown = ["3", "8"] if data.default_name() == "digits" else models.provenance("cifar10-8")["unknown"]
known = [name for name in queries.class_names if name not in unknown]
gallery = data.load(split="train").only(known).take_per_class(sizes["gallery"], seed=SEED)
print("gallery", gallery)
print("queries", queries)
print("unknown:", ", ".join(unknown))


# %%
def embedder():
    """The embedder of this notebook: from the package, or a small one, trained on digits."""
    if data.default_name() == "cifar10":
        return models.pretrained("cifar10-8", mirror=False, precision="auto")
    model = models.fast_resnet(widths=(16, 32), whiten=gallery.images, seed=SEED)
    batches = samplers.BalancedBatches(
        gallery.images,
        gallery.labels,
        classes_per_batch=len(known),
        examples_per_class=10,
        steps_per_epoch=30,
        seed=SEED,
    )
    training.fit(model, batches, loss=losses.NormalizedSoftmaxLoss(), optimizer="muon", seed=SEED, verbose=0)
    return model


# %% tags=["nbval-ignore-output"]
model = embedder()
begun = time.perf_counter()
embeddings = models.embed(model, gallery.images, batch_size=256)
asked = models.embed(model, queries.images, batch_size=256)
seconds = time.perf_counter() - begun
print(
    f"{len(gallery) + len(queries):,} images embedded in {seconds:.1f} s; a row has {embeddings.shape[1]} values"
)

# %%
# Check: unit vectors; no unknown class is in the gallery; gallery and queries share no image.
assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
assert set(gallery.labels) == {gallery.class_names.index(name) for name in known}
assert not {row.tobytes() for row in gallery.images} & {row.tobytes() for row in queries.images}

# %% [markdown]
# ## 2. An index
#
# `open_index()` without a name keeps the rows in memory. With the class names, labels may be names or numbers.
# Metadata are plain values a row: strings, numbers, truth values, bytes. Ours are made up from the images, so that
# there is something to ask for: how bright an image is, and which of three cameras took it.

# %%
brightness = gallery.images.mean(axis=(1, 2, 3)) / 255
cameras = np.array(["phone", "scanner", "webcam"])[np.arange(len(gallery)) % 3]
index = open_index(class_names=gallery.class_names)
index.add(
    embeddings,
    labels=gallery.labels,
    metadata={"brightness": brightness.tolist(), "camera": cameras.tolist()},
    ids=gallery.ids,
)
print(f"{len(index) == len(gallery)=}, {index.distance=}")

# %% [markdown]
# ## 3. Look things up
#
# `search` returns arrays, a line a query and a column a neighbor, nearest first.

# %% tags=["nbval-ignore-output"]
neighbors = index.search(asked, k=5)
print(neighbors)
for query in range(3):
    print(
        f"{queries.class_names[queries.labels[query]]:12}", neighbors.names[query], neighbors.distances[query]
    )

# %% tags=["nbval-ignore-output", "picture"]
plots.neighbor_grid(queries, neighbors, gallery)
plt.show()

# %% [markdown]
# `where=` asks only among rows that meet conditions: a value, one of several, or a range. All have to hold. The search
# is exact, so that k rows come back wherever k rows meet them.

# %% tags=["nbval-ignore-output"]
dark = {"brightness": {"<": 0.35}, "camera": ["phone", "webcam"]}
among = index.search(asked, k=5, where=dark)
found = index.get(among.ids[0])
for row in range(5):
    print(f"{among.distances[0, row]:.3f}  {found.names[row]:12}{found.metadata[row]}")
same_class = index.search(asked[:1], k=3, where={"label": known[0]})
print("only", known[0], same_class.names.tolist())

# %%
# Check: every row found meets the conditions, and none that meets them is nearer.
meets = (brightness < 0.35) & (cameras != "scanner")
assert np.isin(among.ids, gallery.ids[meets]).all()
exact = 1 - asked.astype(np.float64) @ embeddings[meets].astype(np.float64).T
assert np.allclose(np.sort(exact, axis=1)[:, :5], among.distances, atol=1e-5)

# %% [markdown]
# A name that no row has is most likely misspelled, and says so rather than find nothing.

# %%
try:
    index.search(asked, where={"camrea": "phone"})
except ValueError as error:
    print(error)

# %% [markdown]
# ## 4. Change it
#
# Images that are in a gallery twice answer every query twice. Search the gallery in itself: where the
# nearest *other* row is at next to no distance, it is most likely the same image, or nearly so.

# %% tags=["nbval-ignore-output"]
nearest = index.search(embeddings, k=2)
itself = nearest.ids[:, 0] == gallery.ids
other = np.where(itself, nearest.ids[:, 1], nearest.ids[:, 0])
apart = np.where(itself, nearest.distances[:, 1], nearest.distances[:, 0])
_, each_once = np.unique(np.sort(np.stack([gallery.ids, other]), axis=0), axis=1, return_index=True)
order = each_once[np.argsort(apart[each_once])[:8]]
pairs = np.stack([order, np.searchsorted(gallery.ids, other[order])], axis=1).ravel()
title = "The nearest pairs of the gallery, side by side"
plots.image_grid(gallery.images[pairs], gallery.labels[pairs], class_names=gallery.class_names, title=title)
plt.show()
print("distances of these pairs:", apart[order])

# %% [markdown]
# `remove` takes rows out, `update` changes parts of rows. Either does all of what it is asked, or, where something is
# wrong with it, nothing; None in the metadata takes a value out. Here one of each pair below a distance of 0.0001
# goes. That is on the safe side: look at the figure, pairs a little farther apart are doubled too, and the last are
# not.

# %% tags=["nbval-ignore-output"]
doubled = np.unique(np.maximum(gallery.ids, other)[apart < 1e-4])
index.remove(doubled)
relabelled = index.ids[:2]
before = index.get(relabelled)
index.update(relabelled, labels=[known[1], known[1]], metadata=[{"checked": True}, {"checked": True}])
now = index.get(relabelled)
print(now.names, now.metadata[0]["checked"])
index.update(relabelled, labels=before.labels, metadata=[{"checked": None}, {"checked": None}])

# %%
# Check: the rows are gone and no others; None removed the mark again.
assert len(index) == len(gallery) - len(doubled)
assert not np.isin(index.search(asked, k=5).ids, doubled).any()
assert "checked" not in index.get(relabelled[0]).metadata[0]

# %% [markdown]
# ## 5. Exact, or faster
#
# Exact search compares a query with every row. A *graph* (HNSW) links each row to some of its neighbors, and a query
# walks along the links to ever nearer rows; it sees a small part of them, and may miss some. How much it misses
# depends on the embedding, so `search="hnsw"` measures it: it holds some of its rows back, asks the unfinished graph for
# their 10 nearest, and compares with exact search. The *breadth* is how many candidates a walk keeps: `recall=0.95`
# widens it until 95% of the true neighbors are found; where even the widest finds fewer, a warning says so. The graph
# is built when it is first needed, below by `index.recall`.

# %% tags=["nbval-ignore-output"]
graph = open_index(search="hnsw", recall=0.95)
graph.add(embeddings, ids=gallery.ids)
begun = time.perf_counter()
print(f"{graph.recall.recall:.1%} found with breadth {graph.recall.breadth}")
print(f"built in {time.perf_counter() - begun:.1f} s")

# %% [markdown]
# `tune` does the same with queries of your own, and returns what it tried; `target_recall=1.0` makes it try
# everything. As a worst case, the same with random directions, among which no row is near any other (`recall=0.1`: no
# warning).

# %%
rng = np.random.default_rng(SEED)
random_rows = rng.normal(size=(sizes["random"], embeddings.shape[1])).astype(np.float32)
random_asked = rng.normal(size=(len(asked), embeddings.shape[1])).astype(np.float32)
random_graph = open_index(search="hnsw", recall=0.1)
random_graph.add(random_rows)
tried = {
    "this embedding": graph.tune(asked, target_recall=1.0),
    "random directions": random_graph.tune(random_asked, target_recall=1.0),
}
settled = graph.tune(asked, target_recall=0.95)[-1]

# %% tags=["nbval-ignore-output"]
plots.recall_against_time(tried, target=0.95, title="What a graph finds depends on the embedding")
plt.show()
begun = time.perf_counter()
index.search(asked, k=10)
print(
    f"graph: {settled.milliseconds:.3f} ms a query, {settled.recall:.1%} found with breadth {settled.breadth}"
)
print(f"exact: {1000 * (time.perf_counter() - begun) / len(asked):.3f} ms a query")

# %%
# Check: the graph finds what it says, and finds far less among random directions, searched as broadly.
true = open_index()
true.add(embeddings, ids=gallery.ids)
truth, walked = true.search(asked, k=10), graph.search(asked, k=10)
assert (walked.distances <= truth.distances[:, -1:] + 1e-6).mean() >= 0.95
narrow = {name: settings[0].recall for name, settings in tried.items()}
assert narrow["this embedding"] > narrow["random directions"]

# %% [markdown]
# How to read it: the time axis is logarithmic, and each dot is a breadth of search. On embeddings that form classes
# even a narrow search finds nearly everything. On random directions it takes a far wider one, and so much longer that
# exact search, whose time is printed above, may be faster. Which of the two your embedding is like, only a
# measurement tells.
#
# ## 6. Keep it
#
# `save` writes one file, in the format of SQLite; `open_index` with its name opens it. From then on every change is
# in the file when the call returns: that is what *acknowledged* means here. Nothing of it is in a file beside it. To copy
# an index that somebody may be writing to, call `save` again.

# %%
index.save(work / "gallery.sqlite")
kept = open_index(work / "gallery.sqlite")
print(f"{len(kept) == len(index)=}, {kept.distance=}, {kept.class_names == index.class_names=}")

# %% [markdown]
# Now another process adds to the same file, a hundred rows at a time, and says so after each; and in the middle of it,
# it is killed, with the signal that no program can catch.

# %%
WRITER = """
import sys
import numpy as np
from simnb.index import open_index

index = open_index(sys.argv[1])
rng = np.random.default_rng(0)
while True:
    index.add(rng.normal(size=(100, index.dim)), metadata={"camera": ["robot"] * 100})
    print("acknowledged", flush=True)
"""
rows_before = len(kept)
writer = subprocess.Popen([sys.executable, "-c", WRITER, work / "gallery.sqlite"], stdout=subprocess.PIPE)
for _ in range(5):
    writer.stdout.readline()
time.sleep(0.005)
writer.kill()
acknowledged = 5 + writer.communicate()[0].count(b"acknowledged")

# %% tags=["nbval-ignore-output"]
print(f"acknowledged {100 * acknowledged} rows, found {len(kept) - rows_before}")

# %%
# Check: what was acknowledged is there. A batch on its way when the kill came is there whole, or not at all.
assert len(kept) - rows_before in (100 * acknowledged, 100 * acknowledged + 100)
kept.close()
with open_index(work / "gallery.sqlite") as kept:
    robots = kept.search(asked, k=5, where={"camera": "robot"})
    assert (robots.ids >= 0).all()
    kept.remove(kept.ids[rows_before:])
    assert np.array_equal(kept.search(asked, k=5).ids, index.search(asked, k=5).ids)

# %% [markdown]
# The index of this notebook saw the other's rows without being opened again: two notebooks can use one file.
#
# ## 7. The same on another engine
#
# Where one machine is not enough there are servers: [Milvus](https://milvus.io) keeps the rows on as many as it takes.
# The string is then its address, `open_index("http://host:19530")`. A name ending in `.db` is Milvus Lite, which needs no
# server: the same engine for trying things out (`pip install "simnb[milvus]"`). Everything else is as above.

# %% tags=["nbval-ignore-output"]
few = slice(0, 1000)
if find_spec("milvus_lite"):
    with open_index(work / "gallery.db", class_names=gallery.class_names) as server:
        server.add(
            embeddings[few],
            gallery.labels[few],
            {"camera": cameras[few].tolist()},
            ids=gallery.ids[few],
        )
        there = server.search(asked, k=5, where={"camera": "phone"})
    here = open_index(class_names=gallery.class_names)
    here.add(embeddings[few], gallery.labels[few], {"camera": cameras[few].tolist()}, ids=gallery.ids[few])
    same = np.mean(there.ids == here.search(asked, k=5, where={"camera": "phone"}).ids)
    print(f"{same:.1%} of the neighbors are those of the index in memory (equal distances may change places)")
else:
    print('Milvus Lite is not installed: pip install "simnb[milvus]"')

# %% [markdown]
# ## 8. Which engine for which size
#
# Measured here, on this machine: vectors of 64 values around five hundred centers. A hundred queries are asked at once.

# %%
ENGINES = {
    "memory, exact": ("memory:", "exact", 10**6),
    "memory, hnsw": ("memory:", "hnsw", 10**6),
    "file, exact": ("engines{}.sqlite", "exact", 10**6),
}
if find_spec("milvus_lite"):
    ENGINES["Milvus Lite"] = ("engines{}.db", "exact", 10_000)


def measured(uri, search, rows, asked):
    """Seconds to add rows and make them ready, milliseconds a query."""
    with open_index(uri, search=search) as one:
        begun = time.perf_counter()
        one.add(rows)
        one.search(asked[:1], k=10)
        ready = time.perf_counter() - begun
        begun = time.perf_counter()
        one.search(asked, k=10)
        return ready, 1000 * (time.perf_counter() - begun) / len(asked)


# %% tags=["nbval-ignore-output"]
centers = rng.standard_normal((500, 64), np.float32)
print(f"{'':16}{'rows':>9}{'s until ready':>16}{'ms a query':>13}")
for number, size in enumerate(sizes["table"]):
    rows = centers[rng.integers(0, 500, size + 100)]
    rows += np.float32(0.7) * rng.standard_normal(rows.shape, np.float32)
    for name, (uri, search, most) in ENGINES.items():
        if size <= most:
            address = uri if uri == "memory:" else str(work / uri.format(number))
            ready, each = measured(address, search, rows[100:], rows[:100])
            print(f"{name:16}{size:9,}{ready:16.2f}{each:13.3f}")

# %% [markdown]
# What follows from it, as a rule of thumb:
#
# - up to some **hundred thousand rows**: exact, in memory or in a file. It misses nothing, there is nothing to tune,
#   and it is ready at once;
# - **more**, or more queries a second than exact search answers (1,000 / the milliseconds above): `search="hnsw"`, if the
#   recall that it reports on your rows (section 5) is enough. Building it takes time, and memory for a second copy;
# - more than **one machine** holds, or many programs that write: a Milvus server. Milvus Lite is for trying that out;
#   it looks at every row for every call, in Python.
#
# ## 9. A threshold belongs to a size
#
# A threshold, calibrated so that a neighbor nearer than it is a match, was chosen with a gallery of some size. With
# more rows the nearest neighbor of *every* query comes nearer, also of those that have no match. So the same
# threshold accepts more: calibrate on a small gallery, and grow it.

# %%
growth = rng.permutation(len(gallery))
steps = [len(gallery) // part for part in (40, 20, 10, 4, 2, 1)]
held_out = rng.random(len(queries)) < 0.5  # half of the queries calibrate, the other half are asked


def rates(rows, threshold=None):
    """Calibrate on a gallery of these rows, or measure with a threshold from elsewhere."""
    part = open_index()
    part.add(embeddings[rows], gallery.labels[rows], ids=gallery.ids[rows])
    labels = np.unique(gallery.labels)
    if threshold is None:
        found = part.search(asked[held_out], k=1)
        return calibrate(found, queries.labels[held_out], known_labels=labels).threshold
    answers = match(part.search(asked[~held_out], k=1), threshold)
    return metrics.evaluate_matches(answers.labels, queries.labels[~held_out], known_labels=labels)


# %% tags=["nbval-ignore-output"]
threshold = rates(growth[: steps[0]])
by_size = [rates(growth[:size], threshold) for size in steps]
shown = {name: [one[name] for one in by_size] for name in ("coverage", "precision", "false_acceptance")}
plots.rates_by_size(steps, shown, title=f"One threshold, {threshold:.3g}, as the gallery grows")
plt.show()
again = rates(growth, rates(growth))
for name, values in shown.items():
    print(f"{name:17} {values[0]:.3f} -> {values[-1]:.3f}; calibrated again {again[name]:.3f}")

# %%
# Check: every query's nearest neighbor comes nearer or stays, so that more is accepted, of the unknown too.
assert (np.diff(shown["coverage"]) >= 0).all()
assert (np.diff(shown["false_acceptance"]) >= 0).all()

# %% [markdown]
# Coverage rises, which is welcome, and so does *false acceptance*, the share of the unknown classes that gets an
# answer, which is not. After a gallery has grown a few times over, calibrate again.
#
# ## 10. Ask it yourself
#
# An embedder, an index and a threshold make a search. In the box below choose a query, or drop an image file on it.

# %% tags=["nbval-ignore-output"]
search = SimilaritySearch(model, index=index)
search.calibrate(queries[held_out])
box = SearchBox(search, gallery, queries=queries[~held_out], k=6)
box

# %% [markdown]
# For readers who cannot run it, some queries and their neighbors as a figure. What lies beyond the threshold is grey and
# dotted: where the nearest one does, the answer is *Unknown*.

# %% tags=["nbval-ignore-output"]
some = queries[~held_out].take_per_class(1, seed=SEED).only([0, 2, 4, 6, 8])
plots.neighbor_grid(some, search.lookup(some, k=6), gallery, threshold=search.calibration.threshold)
plt.show()

# %%
# Check: the box shows the neighbors that the index finds.
first = queries[~held_out][[0]]
assert (box.search_query(0).neighbors.ids[0] == search.lookup(first, k=6).ids[0]).all()

# %% [markdown]
# ## 11. Result

# %% tags=["nbval-ignore-output", "summary"]
print(f"data set   {data.default_name()}, {time.perf_counter() - start:.0f} s")
print(
    f"gallery    {len(gallery):,} rows of {embeddings.shape[1]} values, {len(doubled)} doubled ones removed"
)
print(
    f"graph      {graph.recall.recall:.1%} of the true neighbors, {graph.recall.milliseconds:.3f} ms a query"
)
print(
    f"random     {narrow['random directions']:.1%} with the narrowest search, {narrow['this embedding']:.1%} here"
)
print(f"kill -9    {100 * acknowledged} rows acknowledged, none lost")
print(
    f"growth     false acceptance {shown['false_acceptance'][0]:.3f} -> {shown['false_acceptance'][-1]:.3f}"
)
folder.cleanup()

# %% [markdown]
# **You have**
#
# - indexed a gallery with labels and metadata, and searched it with and without conditions;
# - changed labels, and removed doubled images;
# - compared exact search with search over a graph: recall against time, on this embedding and on random vectors;
# - saved an index, killed a process that wrote to it, and opened it again;
# - used the same cells on another engine, Milvus Lite;
# - measured which engine takes how long at which size, and what a larger gallery does to a threshold;
# - searched with an image;
# - seen why recall has to be measured, and why a threshold belongs to a size.
#
# ## Exercises
#
# 1. Which class is each unknown class taken for most often? Search with the queries of the unknown classes alone, and
#    count the labels of their nearest neighbors.
# 2. How good is the label of the majority of five rows of one camera? Search with `where=`, and compare with five rows
#    of all cameras.
#
# The solutions follow; try first.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 1
for name in unknown:
    nearest_labels = neighbors.labels[queries.labels == queries.class_names.index(name), 0]
    labels, counts = np.unique(nearest_labels, return_counts=True)
    print(
        f"{name:12} is taken for {gallery.class_names[labels[counts.argmax()]]}, {counts.max()} of {counts.sum()}"
    )

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 2
is_known = np.isin(queries.labels, gallery.labels)
shares = {}
for name, where in (("all cameras", None), ("webcam alone", {"camera": "webcam"})):
    voted = match(index.search(asked[is_known], k=5, where=where), matcher="majority_vote")
    shares[name] = (voted.labels == queries.labels[is_known]).mean()
    print(f"{name:13} {shares[name]:.3f} right")

# %%
# Check: a third of the gallery answers nearly as well.
assert shares["webcam alone"] > 0.8 * shares["all cameras"]

# %% [markdown]
# ## What's next
#
# Put an index behind your own search: `SimilaritySearch(model, index=open_index("gallery.sqlite"))` of
# `simnb.search` embeds, looks up, calibrates and matches with it. Give `open_index` the address of a server, and
# nothing else changes.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Malkov and Yashunin, *Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable Small
#   World Graphs*, 2016. <https://arxiv.org/abs/1603.09320>
# - Douze et al., *The Faiss library*, 2024. <https://arxiv.org/abs/2401.08281>
# - Wang et al., *Milvus: A Purpose-Built Vector Data Management System*, SIGMOD 2021.
# - SQLite, *Atomic Commit in SQLite*. <https://sqlite.org/atomiccommit.html>
# - Barz and Denzler, *Do We Train on Test Data? Purging CIFAR of Near-Duplicates*, 2020 (doubled images).
#   <https://arxiv.org/abs/1902.00423>
