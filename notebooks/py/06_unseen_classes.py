# %% [markdown]
# # Find classes that the network has never seen
#
# [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/06_unseen_classes.ipynb)
#
# A classifier knows the classes it was trained on. A search knows what is in its gallery. Here an embedder that never
# saw two of ten classes indexes them and finds them, without training, and you measure what that costs.
#
# **You will do**
#
# - compare how well seen and unseen classes are found, class by class, with intervals;
# - add a class to a gallery in use, and count which of its queries are then found;
# - let the gallery grow class by class, and see what becomes of a threshold that was calibrated before;
# - look for new classes by 1, 5 and 20 examples, and by their means.
#
# **You will learn**
#
# - that an embedding carries over to new classes, and how far;
# - why a threshold from seen classes fits unseen ones badly;
# - why to calibrate again after a class was added.
#
# **You need** [05_calibration](05_calibration.ipynb), for the words *cutpoint*, *F1* and *false acceptance*, and the
# quickstart for *R@1* and *MAP@R*; about a minute with CIFAR-10 (a download of 162 MiB, once) or with the digits that
# are used where CIFAR-10 cannot be had.

# %% [markdown]
# ## Overview
#
# Metric learning teaches a network what makes images alike, not what they are called. So images of a class that it never
# saw ought to lie near one another too, only less surely. In practice this is the rule: products, faces and plants
# come that nobody trained on, and are added to the gallery on the day they come.

# %% [markdown]
# ## 0. Set-up
#
# All imports and the seed.

# %%
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np

from simnb import data, evaluation, losses, metrics, models, plots, samplers, training
from simnb.calibration import calibrate
from simnb.matching import match
from simnb.search import SimilaritySearch

SEED = 0
start = time.perf_counter()

# %% [markdown]
# ## 1. Eight classes seen, two unseen
#
# With CIFAR-10 the embedder comes with the package: it was trained on eight of the ten classes. For the digits a small
# network is trained here, in seconds, on eight of ten as well. None of the images below was trained on: an image that the
# network knows lies better than any new one, which would flatter the seen classes.


# %%
def parts():
    """Images to train on (or None), and gallery, calibration and query images of all ten classes."""
    cut = {"gallery": 0.4, "calibration": 0.3, "query": 0.3}
    if data.default_name() == "cifar10":
        split = data.load(split="test").split(train=0, **cut, seed=SEED)
        return None, split.gallery, split.calibration, split.query
    everything = data.load(split="all")
    seen = [name for name in everything.class_names if name not in unseen]
    split = everything.split(train=0.25, gallery=0.3, calibration=0.2, query=0.25, seed=SEED)
    return split.train.only(seen), split.gallery, split.calibration, split.query


# %%
def embedder(trained):
    """The embedder that comes with the package, or a small one that is trained on digits."""
    if trained is None:
        return models.pretrained("cifar10-8", mirror=False, precision="auto")
    model = models.fast_resnet(widths=(16, 32), whiten=trained.images, seed=SEED)
    shape = {"classes_per_batch": 8, "examples_per_class": 10, "steps_per_epoch": 20, "seed": SEED}
    batches = samplers.BalancedBatches(trained.images, trained.labels, **shape)
    training.fit(model, batches, loss=losses.NormalizedSoftmaxLoss(), optimizer="muon", seed=SEED, verbose=0)
    return model


# %% tags=["nbval-ignore-output"]
unseen = ["3", "8"] if data.default_name() == "digits" else models.provenance("cifar10-8")["unknown"]
trained, gallery, tuning, query = parts()
model = embedder(trained)
rows = {
    name: models.embed(model, part.images, batch_size=256)
    for name, part in (("gallery", gallery), ("tuning", tuning), ("query", query))
}
names = list(gallery.class_names)
new = [names.index(name) for name in unseen]
old = [label for label in range(len(names)) if label not in new]
print(f"{len(gallery):,} gallery, {len(tuning):,} calibration and {len(query):,} query images")
print("never seen by the network:", ", ".join(unseen))

# %%
# Check: every class is in every part, and no image is in two.
for part in (gallery, tuning, query):
    assert len(np.unique(part.labels)) == 10
ids = [set(part.ids) for part in (gallery, tuning, query)]
assert len(set.union(*ids)) == sum(map(len, ids))

# %% [markdown]
# ## 2. How well are unseen classes found?
#
# All ten classes are indexed, and each query looks for its nearest neighbor. Nobody trained anything.

# %% tags=["nbval-ignore-output", "picture"]
pairs = [(rows["gallery"], gallery.labels), (rows["tuning"], tuning.labels), (rows["query"], query.labels)]
depth = int(np.bincount(gallery.labels).max())
everything = evaluation.closed_set(pairs[0], pairs[2], depth=depth, confidence=0.95, by_class=True, seed=SEED)
at = (everything["metric"] == "recall@1") & (everything["average"] == "class")
classes, found = everything["class"][at], everything["value"][at]
plots.rates_by_class(
    classes, found, low=everything["low"][at], high=everything["high"][at],
    class_names=[f"{name} (unseen)" if name in unseen else name for name in names],
    reference=everything.value("recall@1"), metric="R@1",
)  # fmt: skip
plt.show()

# %% tags=["nbval-ignore-output"]
is_new = np.isin(query.labels, new)
search = SimilaritySearch(model)
search.add(gallery)
neighbors = search.index.search(rows["query"], k=depth)
for name, kind in (("seen", ~is_new), ("unseen", is_new)):
    score = metrics.recall_at_k(neighbors[kind], query.labels[kind], 1)
    ranked = metrics.map_at_r(neighbors[kind], query.labels[kind], gallery.labels)
    print(f"{name:8} R@1 {score:.3f}   MAP@R {ranked:.3f}")

# %%
# Check: unseen classes are found far more often than by chance, and less often than seen ones.
chance = 1 / len(names)
by_class = dict(zip(classes.tolist(), found.tolist(), strict=True))
assert min(by_class[label] for label in new) > 2 * chance
assert np.mean([by_class[label] for label in new]) < np.mean([by_class[label] for label in old])

# %% [markdown]
# (The seen classes were found more often in 05: there the gallery held three times as many images, ones the network had
# been trained on, and no unseen classes.)
#
# The nearest neighbor of an unseen class is right far more often than by chance, one of ten. But the class does not hold
# together as a whole: MAP@R, which looks at all of its images, falls much more than R@1. The network was trained to
# draw everything towards eight places; an image of a ninth class has none of its own. Look at some.

# %% tags=["nbval-ignore-output"]
shown = query.only(new).take_per_class(2, seed=SEED)
plots.neighbor_grid(shown, search.lookup(shown, k=6), gallery)
plt.show()

# %% [markdown]
# ## 3. Does a threshold carry over?
#
# Suppose that the search began with the eight seen classes, and was calibrated then. The distances of right matches of
# unseen classes are larger, for their images lie farther apart; and wrong matches lie as near as right ones, or nearer.

# %% tags=["nbval-ignore-output"]
answers = match(neighbors)
first = search.index.get(gallery.ids[np.isin(gallery.labels, old)])
eight = SimilaritySearch(model)
eight.index.add(first.embeddings, first.labels, ids=first.ids)
of_tuning = eight.index.search(rows["tuning"], k=1)
threshold = calibrate(of_tuning, tuning.labels, known_labels=old, gallery=eight.index)
figure, axes = plt.subplots(2, 1, figsize=(7.4, 6.4), layout="constrained", sharex=True, sharey=True)
for ax, (name, kind) in zip(axes, (("seen", ~is_new), ("unseen", is_new)), strict=True):
    plots.match_distances(
        answers[kind], query.labels[kind], threshold=threshold.threshold, distance="cosine", ax=ax,
        title=f"Queries of {name} classes",
    )  # fmt: skip
plt.show()

# %% tags=["nbval-ignore-output"]
threshold

# %% [markdown]
# With this threshold, and all ten classes in the gallery:

# %% tags=["nbval-ignore-output"]
carried = {}
accepted = match(neighbors, threshold.threshold).labels
for name, kind in (("seen", ~is_new), ("unseen", is_new)):
    carried[name] = metrics.evaluate_matches(accepted[kind], query.labels[kind])
    print(f"{name:8}", "   ".join(f"{m} {carried[name][m]:.1%}" for m in ("precision", "recall", "coverage")))

# %%
# Check: the threshold of the seen classes turns away more of the unseen ones.
assert carried["unseen"]["coverage"] < carried["seen"]["coverage"]

# %% [markdown]
# ## 4. Add a class while the search is in use
#
# A search of the eight seen classes, calibrated to answer nine of ten queries of its classes. Queries of an unseen class
# come; whatever is answered is wrong.

# %% tags=["nbval-ignore-output"]
eight.calibrate(tuning.images, tuning.labels, targets={"coverage": 0.9})
comer = query.only([new[0]])


def told(matches):
    """How many of the new class get their own label, another one, and none."""
    right, unknown = (matches.labels == new[0]).sum(), (~matches.accepted).sum()
    return f"{right:3} right, {len(matches) - right - unknown:3} wrong, {unknown:3} Unknown"


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    before = eight.match(comer.images)
old_threshold = eight.calibration.threshold
print(f"{len(comer)} images of {unseen[0]}")
print(f"before:           {told(before)}")
print(caught[0].message)

# %% [markdown]
# The search does not know the class, but it notices that the distances are others. Now some images of the class are put
# into the gallery. Nothing is trained. The search says that its threshold belongs to another gallery; so it is
# calibrated again.

# %% tags=["nbval-ignore-output"]
eight.add(gallery.only([new[0]]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    after = eight.match(comer.images)
print(caught[0].message)
print(f"added:            {told(after)}")
eight.calibrate(tuning.images, tuning.labels, targets={"coverage": 0.9})
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # one class alone is still unlike all of them together
    again = eight.match(comer.images)
print(f"calibrated again: {told(again)}; threshold {old_threshold:.4f} -> {eight.calibration.threshold:.4f}")

# %%
# Check: once it is indexed the class is found more often than by chance, and more after calibrating again.
assert (after.labels == new[0]).mean() > chance
assert (again.labels == new[0]).sum() >= (after.labels == new[0]).sum()
assert "the gallery is not the one of the calibration" in str(caught[0].message)

# %% [markdown]
# Images in the gallery make a class *findable*. How well it is found is up to the embedding: compare right and wrong. To
# calibrate again restores what the calibration asks for, here that nine of ten queries of known classes get an answer;
# right or wrong is another question, and a target on precision asks that.

# %% [markdown]
# ## 5. A gallery that grows
#
# The same for all classes in turn, by `evaluation.gallery_grows`: it begins with four seen classes, the others follow,
# the unseen ones last. Queries of classes that are not there yet are unknown. The solid lines keep the first
# threshold, the dashed ones are calibrated again at each step.

# %% tags=["nbval-ignore-output"]
steps = evaluation.gallery_grows(*pairs, [*old, *new], start=4)
figure, ax = plt.subplots(figsize=(7.4, 4), layout="constrained")
for name, color in (("f1", "#0072B2"), ("false_acceptance", "#D55E00")):
    label = "F1" if name == "f1" else "false acceptance"
    ax.plot(steps["classes"], 100 * steps[name], "o-", color=color, label=f"{label}, first threshold")
    again = 100 * steps[f"{name}, calibrated again"]
    ax.plot(steps["classes"], again, "s--", color=color, mfc="white", label=f"{label}, calibrated again")
ax.axvspan(len(old) + 0.5, len(names) + 0.3, color="#eeeeee", zorder=0)
ax.text(len(old) + 0.6, 3, "unseen\nclasses", color="#5f5f5f", fontsize=9)
ax.set(
    xlabel="classes in the gallery",
    ylabel="rate (%)",
    ylim=(0, 122),
    yticks=range(0, 101, 20),
    xlim=(3.7, len(names) + 0.3),
)
ax.legend(frameon=False, fontsize=9, ncols=2, loc="upper left")
plt.show()

# %% tags=["nbval-ignore-output"]
print("         R@1    F1            false acceptance")
print("classes         first  again  first  again      (threshold: the first, or calibrated again)")
for i, count in enumerate(steps["classes"]):
    pairs_of = [(name, f"{name}, calibrated again") for name in ("f1", "false_acceptance")]
    row = (steps[name][i] for name in ("recall@1", *pairs_of[0], *pairs_of[1]))
    print(f"{count:7}  " + "  ".join(f"{value:.3f}" for value in row))

# %%
# Check: with all classes the search is harder than with four; for F1, calibrating again is at no step much worse.
assert steps["recall@1"][-1] < steps["recall@1"][0]
assert (steps["f1, calibrated again"] > steps["f1"] - 0.03).all()

# %% [markdown]
# (`nan`: with all ten classes nobody is a stranger.) Calibrated again for the best F1, the search accepts more as classes
# come in, for fewer of the calibration images are strangers then: more queries get their right answer, and far more
# strangers are let in. That is another effect than in [04_indexing](04_indexing.ipynb), where rows of the *same*
# classes were added. Where strangers matter, calibrate to a target on false acceptance instead.

# %% [markdown]
# ## 6. One example, five, twenty
#
# How many images of a new class does a gallery need? The two unseen classes are indexed with a few examples each,
# drawn ten times, beside all images of the eight others, in two ways:
#
# - every image a row: a class of four hundred rows has four hundred chances to hold the nearest one, a class of one row
#   has one;
# - each class one row, the mean of its embeddings (its *prototype*): one stands against one.

# %% tags=["nbval-ignore-output"]
shots = (1, 5, 20)
ways = {"every image a row": False, "one row a class, the mean": True}
few = {
    name: evaluation.few_shot(pairs[0], pairs[2], new, shots=shots, repeats=10, prototypes=means, seed=SEED)
    for name, means in ways.items()
}
figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
for ax, (name, measured) in zip(axes, few.items(), strict=True):
    rates = {"unseen classes": measured["few"], "the eight others": measured["other"]}
    by_chance = chance if ways[name] else None  # one row in ten; a row of many has far less
    plots.rates_by_shots(shots, rates, metric="R@1", chance=by_chance, ax=ax, title=name.capitalize())
plt.show()

# %%
# Check: more examples find more, and by one example prototypes find more. Neither need be better than chance.
by_row, by_mean = (measured["few"].mean(axis=0) for measured in few.values())
assert (np.diff(by_row) > 0).all()
assert by_mean[0] > by_row[0]

# %% [markdown]
# With one row a class chance is one of ten, the dotted line. On CIFAR-10 one example is no better than that, and
# twenty not much: this embedder has places for eight classes, and draws everything else towards them. With every
# image a row, a few are no match for hundreds. On digits, which are easier, both do well. What helps is more
# examples, more and other training classes, or training with the new class.

# %% tags=["nbval-ignore-output", "summary"]
print(f"data set   {data.default_name()}, {time.perf_counter() - start:.0f} s")
print(
    f"R@1        seen {np.mean([by_class[c] for c in old]):.3f}, unseen {np.mean([by_class[c] for c in new]):.3f}"
)
for name, rates in zip(ways, (by_row, by_mean), strict=True):
    print(f"{name:26}", ", ".join(f"{s} shots {v:.3f}" for s, v in zip(shots, rates, strict=True)))

# %% [markdown]
# **You have**
#
# - compared how well seen and unseen classes are found, class by class;
# - added a class to a gallery in use, and counted which of its queries were found;
# - let the gallery grow, and seen what becomes of an old threshold;
# - looked for new classes by a few examples, and by their means, and seen when that is too little;
# - seen how far an embedding carries over, and why to calibrate again.
#
# ## Exercises
#
# 1. Twenty examples of a new class, all of the others, every image a row: does a vote of five neighbors find more of the
#    new class than the nearest one, or less?
# 2. Are the unseen classes confused with each other, or with seen ones? Look at the confusion matrix of the nearest
#    neighbors.
#
# The solutions follow; try first.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 1
kept = np.isin(gallery.labels, old)
kept[[np.flatnonzero(gallery.labels == label)[i] for label in new for i in range(20)]] = True
small = SimilaritySearch(model)
small.index.add(rows["gallery"][kept], gallery.labels[kept])
five = small.index.search(rows["query"][is_new], k=5)
shares = {}
for matcher in ("nearest", "majority_vote"):
    shares[matcher] = (match(five, matcher=matcher).labels == query.labels[is_new]).mean()
    print(f"{matcher:14} {shares[matcher]:.3f} of the unseen classes right")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Solution 2
plots.confusion_matrix(query.labels, answers.labels, class_names=names)
plt.show()
for label in new:
    taken, counts = np.unique(answers.labels[query.labels == label], return_counts=True)
    most = [f"{names[taken[i]]} {counts[i] / counts.sum():.0%}" for i in np.argsort(-counts)[:3]]
    print(f"{names[label]:12} is taken for {', '.join(most)}")

# %%
# Check: where the others have ten times as many, a few examples are outvoted. (Of digits they have fewer.)
outnumbered = np.bincount(gallery.labels[kept])[old].min() >= 10 * 20
assert shares["majority_vote"] <= shares["nearest"] or not outnumbered

# %% [markdown]
# ## What's next
#
# To index your own classes, add your images to a `SimilaritySearch` with `models.pretrained("cifar10-8")` or a
# backbone ([03_training](03_training.ipynb)), and calibrate with images of classes that you leave out.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Musgrave et al., *A Metric Learning Reality Check*, ECCV 2020 (R@1 and MAP@R on classes that training never saw).
#   <https://arxiv.org/abs/2003.08505>
# - Snell et al., *Prototypical Networks for Few-shot Learning*, NeurIPS 2017. <https://arxiv.org/abs/1703.05175>
# - Scheirer et al., *Toward Open Set Recognition*, PAMI 2013.
