# %% [markdown]
# # Watch a loss pull and push: metric learning on a circle
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/00_circle.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/00_circle.ipynb) · [01 →](01_quickstart.ipynb) · [Glossary](GLOSSARY.md)
#
# Nine points on a circle and a loss of a few lines show what metric learning is made of: a distance, a pull, a push,
# a margin, and a way to fail.
#
# **You will do**
#
# - write a triplet loss in NumPy, and see that it equals simnb's;
# - draw its gradient as arrows, and train by following them;
# - drag a point, and watch what the loss wants of it;
# - start in a heap that no training can leave, and ask for a margin that nobody can give.
#
# **You will learn**
#
# - what an embedding is, and what a loss on embeddings asks for;
# - why a loss can stand still at its margin, and what to look at then;
# - which examples teach, and why they become rare.
#
# **You need** Python and a little Keras, and nothing of metric learning; about a minute to run on two cores, and 20 to read.
# Nothing is downloaded.

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

from simnb import losses, plots
from simnb.widgets import CircleExplorer, Quiz

plots.style()
SEED = 8527

# %% [markdown]
# ## 1. Nine images on a circle
#
# A classifier answers with one of the classes it was trained on. Metric learning trains a network to *place* images:
# those of one class near together, those of other classes far away. What the network makes of an image, its
# **embedding**, is a list of numbers. A search then looks for the nearest ones.
#
# Real embeddings have 64 numbers or more, and cannot be seen. Ours have two, and are scaled to length 1, as real ones
# mostly are. So each is a point on a circle, and a single angle says where: in radians in the code, in degrees in figures
# and text.

# %%
names = ("bird", "cat", "dog")
labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
start = np.random.default_rng(SEED).uniform(0, 2 * np.pi, size=9)


# %%
def unit(angles):
    """Embeddings of length 1, shape [n, 2], at these angles."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


# %% [markdown]
# The **cosine distance** *d* says how far apart two embeddings *a* and *b* are, *θ* being the angle between them:
#
# > *d*(*a*, *b*) = 1 &minus; *a* · *b* = 1 &minus; cos *θ*
#
# It is 0 for the same direction, 1 at a right angle, 2 for opposite ones.


# %%
def distances(angles):
    """Cosine distance of every embedding to every other, shape [n, n]."""
    return 1 - unit(angles) @ unit(angles).T


# %% [markdown]
# A search looks for the nearest neighbor, and is right if that is of the same class:


# %%
def num_right(angles):
    """How many embeddings have a nearest neighbor of their own class."""
    others = distances(angles) + 9 * np.eye(len(angles))  # no point is its own neighbor
    return int(np.sum(labels[others.argmin(axis=1)] == labels))


# %% [markdown]
# Nothing is trained yet: the nine angles are drawn at random. Expect no order.

# %%
right = num_right(start)
title = f"{right} of 9 are next to their own class"
plots.embedding_circle(unit(start), labels, class_names=names, title=title)
plt.show()

# %% jupyter={"source_hidden": true}
# Check: few are right, and the distances fill their whole range.
most, least = distances(start).max(), distances(start)[~np.eye(9, dtype=bool)].min()
assert right <= 3
assert 0 < least < 0.1
assert 1.8 < most <= 2
Markdown(
    f"A search for the nearest neighbor would be right for **{right} of 9**. Distances run "
    f"from {least:.3f} to {most:.2f}: the whole range there is, and no sign of the classes in it."
)

# %% [markdown]
# **Exercise 1: predict.** Two embeddings lie 60° apart. What is their cosine distance?
#
# <details><summary>Hint</summary>NumPy computes it: <code>1 - np.cos(np.radians(60))</code>. Guess before you do.</details>

# %%
distance_at_60 = ...  # Your code

# %% jupyter={"source_hidden": true}
# Check: exercise 1
if distance_at_60 is ...:
    print("Exercise 1 is open")
else:
    wrong = f"{distance_at_60} is not 1 - cos 60°; np.cos takes radians, so convert 60 first"
    assert np.isclose(distance_at_60, 0.5, atol=0.01), wrong
    print("✓ exercise 1: 0.5, a quarter of the largest distance at a third of the largest angle")

# %% [markdown]
# ## 2. A loss says what is wrong
#
# Take three embeddings: an **anchor** *a*, a **positive** *p* of the same class, and a **negative** *n* of another one.
# Together they are a **triplet**. We want the negative to be farther from the anchor than the positive is, by at least a
# **margin** *m*. The **triplet loss** is what is missing:
#
# > loss(*a*, *p*, *n*) = max( *d*(*a*, *p*) &minus; *d*(*a*, *n*) + *m*, 0 )
#
# The loss of all embeddings is its mean over all triplets. The code computes all at once: entry `[a, p, n]` of an array is that
# of anchor *a*, positive *p* and negative *n*, and `None` adds a missing axis. A second array says which entries are triplets.


# %%
def gaps(angles, margin):
    """d(a, p) - d(a, n) + margin, and which entries are triplets; both have shape [a, p, n]."""
    distance = distances(angles)
    same = labels[:, None] == labels
    positive = same & ~np.eye(len(labels), dtype=bool)
    triplet = positive[:, :, None] & ~same[:, None, :]
    return distance[:, :, None] - distance[:, None, :] + margin, triplet


# %%
def triplet_loss(angles, margin):
    """Mean triplet loss over all triplets."""
    gap, triplet = gaps(angles, margin)
    return np.maximum(gap[triplet], 0).mean()


# %% [markdown]
# In Keras one writes `model.compile(loss=losses.BatchAllTripletLoss(margin=0.5))`. It ought to give the same number.

# %%
MARGIN = 0.5
ours = triplet_loss(start, MARGIN)
of_simnb = float(losses.BatchAllTripletLoss(margin=MARGIN)(labels, unit(start)))
assert np.isclose(ours, of_simnb, atol=1e-6)
print(f"ours {ours:.4f}, simnb's {of_simnb:.4f}")

# %% jupyter={"source_hidden": true}
# Check: every anchor has 2 positives and 6 negatives, and most triplets have a loss.
gap, triplet = gaps(start, MARGIN)
num_triplets, num_asking = int(triplet.sum()), int((triplet & (gap > 0)).sum())
assert num_triplets == 9 * 2 * 6 > num_asking > 54
Markdown(
    f"Nine embeddings form **{num_triplets} triplets** (9 anchors, 2 positives and 6 negatives each). "
    f"**{num_asking}** of them have a loss above 0, and ask for a change; the others are content."
)

# %% [markdown]
# ## 3. The gradient pulls and pushes
#
# A training step moves embeddings *against the gradient* of the loss, so that it falls. On a circle the gradient is
# easy: the derivative of 1 &minus; cos *θ* is sin *θ*. So each triplet that asks for something
#
# - **pulls** anchor and positive together, with strength sin *θ* of the angle between them;
# - **pushes** anchor and negative apart, in the same way.
#
# `arrows` adds up what they do to each embedding.


# %%
def arrows(angles, margin, skip_zeros=False):
    """How far pull and push turn each embedding: together they are minus the gradient."""
    gap, triplet = gaps(angles, margin)
    asking = triplet & (gap > 0)
    pull, push = np.zeros(len(angles)), np.zeros(len(angles))
    for a, p, n in np.argwhere(asking):
        together, apart = np.sin(angles[p] - angles[a]), -np.sin(angles[n] - angles[a])
        pull[a], pull[p] = pull[a] + together, pull[p] - together
        push[a], push[n] = push[a] + apart, push[n] - apart
    count = max((asking if skip_zeros else triplet).sum(), 1)  # a mean, as in the loss
    return pull / count, push / count


# %% [markdown]
# Expect blue arrows that lead towards an embedding's own class, and dashed ones that lead away from the others. The black arrow on
# the right is their sum: that is where the embedding goes.

# %%
pull, push = arrows(start, MARGIN)
against = int(np.sum(pull * push < 0))

# %% jupyter={"source_hidden": true}
# Figure: the nine embeddings with their pull and push, and with the sum of both.
figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.7), layout="constrained")
shown = {"class_names": names, "longest": np.abs(pull).max()}
for ax, turns, title in (
    (axes[0], {"pull": pull, "push": push}, f"Opposed forces on {against} of 9"),
    (axes[1], {"sum": pull + push}, "The stronger force wins"),
):
    plots.embedding_circle(unit(start), labels, turns=turns, ax=ax, title=title, **shown)
plt.show()

# %% jupyter={"source_hidden": true}
# Check: the arrows are minus the gradient, measured by moving each embedding a little.
most = int(np.abs(pull + push).argmax())
small = 1e-6 * np.eye(9)
measured = [(triplet_loss(start + s, MARGIN) - triplet_loss(start - s, MARGIN)) / 2e-6 for s in small]
assert np.allclose(pull + push, -np.array(measured), atol=1e-7)
assert pull[most] * push[most] < 0
still = int(np.abs(pull + push).argmin())
assert abs(pull[still] + push[still]) < 0.1 * abs(pull[still])
Markdown(
    f"For **{against} of 9** embeddings pull and push point in opposite directions: their way home is "
    f"also a way towards others. {'The other is' if against == 8 else f'The other {9 - against} are'} helped by both. The longest black arrow is that of the **{names[labels[most]]}** at "
    f"{np.degrees(start[most]):.0f}°: its pull turns it by {np.degrees(abs(pull[most])):.1f}°, its push by {np.degrees(abs(push[most])):.1f}° back. "
    f"At the **{names[labels[still]]}** at {np.degrees(start[still]):.0f}° they cancel, and its arrow is too short to see."
)

# %% [markdown]
# **Exercise 2: predict.** Two embeddings of one class are pulled together with strength sin *θ*. At which angle
# between 0° and 180° is the pull the strongest? And what happens at 180°?
#
# <details><summary>Hint</summary>Look at the sine of 0°, 90° and 180°.</details>

# %%
strongest_at = ...  # Your code: degrees

# %% jupyter={"source_hidden": true}
# Check: exercise 2
if strongest_at is ...:
    print("Exercise 2 is open")
else:
    wrong = (
        f"at {strongest_at}° the pull is {np.sin(np.radians(strongest_at)):.2f}, and there are stronger ones"
    )
    assert np.isclose(strongest_at, 90, atol=1), wrong
    print("✓ exercise 2: at 90°. Opposite embeddings, at 180°, are not pulled at all, nor are equal ones")

# %% [markdown]
# ## 4. Training follows the arrows
#
# One step turns every embedding along its black arrow. Then the arrows are computed anew. Expect the loss to fall, and
# each class to gather.


# %%
def train(angles, margin, steps=40, **options):
    """The angles before the first step and after each, shape [steps + 1, n]."""
    path = [angles]
    for _ in range(steps):
        path.append(path[-1] + sum(arrows(path[-1], margin, **options)))  # learning rate 1
    return np.array(path)


# %% [markdown]
# We watch two numbers: the loss at every step, and how wide the widest class is.


# %%
def loss_along(path, margin):
    """The loss at every step of a path."""
    return np.array([triplet_loss(angles, margin) for angles in path])


# %%
def widest(angles):
    """The largest angle between two embeddings of one class, in degrees."""
    of_one_class = distances(angles)[labels[:, None] == labels]
    return np.degrees(np.arccos(np.clip(1 - of_one_class, -1, 1))).max()


# %%
path = train(start, MARGIN)
curve = loss_along(path, MARGIN)
end = int(np.argmax(curve == 0))  # the first step without a loss

# %% jupyter={"source_hidden": true} tags=["picture"]
# Figure: the circle at three steps, and the loss at all of them.
figure, axes = plt.subplots(2, 2, figsize=(6.8, 7.2), layout="constrained")
for ax, step in zip(axes.flat, (0, 8, end), strict=False):
    forces = {"sum": sum(arrows(path[step], MARGIN))}
    title = f"Step {step}: {num_right(path[step])} of 9 right"
    plots.embedding_circle(
        unit(path[step]), labels, turns=forces, longest=0.15, class_names=names, ax=ax, title=title
    )
axes[1, 1].plot(curve, "-o", color="C1", markevery=[0, 8, end])
axes[1, 1].set(xlabel="step", ylabel="triplet loss", ylim=0, title=f"No loss from step {end} on")
plt.show()

# %% jupyter={"source_hidden": true}
# Check: the loss fell at every step, to 0; every embedding is next to its class; nothing moves any more.
width = widest(path[end])
assert (np.diff(curve[: end + 1]) < 0).all()
assert curve[end:].max() == 0
assert num_right(path[end]) == 9
assert (path[-1] == path[end]).all()
assert 5 < width < 120
Markdown(
    f"After **{end} steps** the loss is 0 and **{num_right(path[end])} of 9** are right. The classes did not shrink to "
    f"points: the widest still covers {width:.0f}°. Once all triplets keep the margin, none asks "
    "for anything, and the arrows are gone."
)

# %% [markdown]
# Here the embeddings move by themselves. In a network they cannot: the arrows are handed on to the weights, and
# embeddings of images that look alike move together. This is why *new* images can end up near their class as well.
#
# ## 5. Try it
#
# Here is the same circle. Press *Play*. Then drag a point, or choose one with the Tab key and turn it with
# the arrow keys: its pull, its push and the gradient stand beside the circle, in radians.
#
# 1. After a training, drag a dog among the cats, and press *Play* again. Which points give way?
# 2. Drag a bird exactly opposite to the middle of the other two. How long is its blue arrow?
# 3. Press *Heap*, then *Play*. Section 6 explains what you see.

# %%
circle = CircleExplorer(unit(start), labels, margin=MARGIN, class_names=names)
circle.to_html("build/circle.html")  # the same as a page of its own, which answers without Python
circle

# %% jupyter={"source_hidden": true}
# Check: the widget computes what we do, a lost dog goes home, and an opposite bird is hardly pulled.
untouched = CircleExplorer(unit(start), labels, margin=MARGIN)  # you may have dragged points of the other
assert np.isclose(untouched.loss, triplet_loss(start, MARGIN))
assert np.allclose(untouched.gradient, -(pull + push))
lost, opposite = path[end].copy(), path[end].copy()
lost[6] = lost[3:6].mean()  # the first dog, in the middle of the cats
moved = np.degrees(np.abs(train(lost, MARGIN, steps=300)[-1] - lost))
dogs, cats, birds = moved[7:].max(), moved[3:6].max(), moved[:3].max()
assert moved[6] > dogs > cats > birds
opposite[0] = opposite[1:3].mean() + np.pi
(pulled, *_), (pushed, *_) = arrows(opposite, MARGIN)
assert np.degrees(abs(pulled)) < 0.05 < np.degrees(abs(pushed))
Markdown(
    f"The widget starts where we did, at a loss of **{untouched.loss:.3f}** and with our arrows. Question 1: after our training "
    f"the first dog goes home, by {moved[6]:.0f}°. Other dogs come to meet it, by up to **{dogs:.0f}°**; cats give way, by up to {cats:.0f}°; "
    f"birds hardly move ({birds:.0f}°). Question 2: the first bird is pulled by **{np.degrees(abs(pulled)):.1f}°**. It is as far from the other two as it "
    f"can be, and their pulls cancel; only other classes move it, by {np.degrees(abs(pushed)):.1f}° (the widget says {abs(pushed):.3f}, in radians)."
)

# %% [markdown]
# **Exercise 3: be the optimizer.** Choose nine angles, in degrees, so that the loss at margin 0.5 is 0: three birds,
# three cats, three dogs. At least 10° must lie between any two.
#
# <details><summary>Hint</summary>Start with 0, 10, 20 for the birds. Where should the middle of the next class
# be?</details>

# %%
my_angles = ...  # Your code: a list of nine numbers

# %% jupyter={"source_hidden": true}
# Check: exercise 3
if my_angles is ...:
    print("Exercise 3 is open")
else:
    mine = np.radians(np.array(my_angles, dtype=float))
    assert mine.shape == (9,), f"nine angles are wanted, got {mine.size}"
    near = np.degrees(np.arccos(np.clip(1 - (distances(mine) + 9 * np.eye(9)).min(), -1, 1)))
    assert near > 9.9, f"two embeddings are only {near:.1f}° apart"
    gap, triplet = gaps(mine, MARGIN)
    a, p, n = np.unravel_index(np.where(triplet, gap, -9).argmax(), gap.shape)
    asks = f"{my_angles[n]}° ({names[labels[n]]}) is too near to {my_angles[a]}° ({names[labels[a]]}) for its"
    assert gap[triplet].max() <= 0, (
        f"the loss is {triplet_loss(mine, MARGIN):.3f}: {asks} positive at {my_angles[p]}°"
    )
    print(
        "✓ exercise 3: no loss. You found one of many good embeddings: turn all nine by the same angle, and it is as good"
    )

# %% [markdown]
# ## 6. Collapse: the way to fail
#
# What if all embeddings lie in one heap? All distances are 0, so each triplet has the loss 0 &minus; 0 + *m* = *m*. And
# sin 0° = 0: there is no pull and no push, and nothing ever moves. Embeddings that have fallen into such a heap have
# **collapsed**. Here we start in one; in [lesson 03](03_training.ipynb) a network runs into one.
#
# Our heaps are 10°, 1°, 0.1° and 0° wide. Expect the tighter ones to stay at the margin for longer.

# %%
spread = np.random.default_rng(SEED).uniform(-0.5, 0.5, size=9)
heaps = {width: train(np.radians(90 + width * spread), MARGIN, steps=60) for width in (10, 1, 0.1, 0)}
curves = {width: loss_along(heap, MARGIN) for width, heap in heaps.items()}

# %%
figure, ax = plt.subplots(figsize=(7.2, 3.6))
for (width, heap_curve), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
    ax.plot(heap_curve, ls=style, label=f"heap of {width}°")
ax.set(xlabel="step", ylabel="triplet loss", ylim=(0, 0.65))
ax.set_title("The tighter the heap, the longer the loss stands")
ax.legend()
plt.show()

# %% jupyter={"source_hidden": true}
# Check: tighter heaps take longer, and the heap of 0° has exactly the margin as its loss, and no arrows.
stuck = {width: int((heap_curve > 0.9 * MARGIN).sum()) for width, heap_curve in curves.items()}
assert stuck[10] < stuck[1] < stuck[0.1] < stuck[0] == 61
assert np.allclose(curves[0], MARGIN)
assert np.allclose(arrows(heaps[0][0], MARGIN), 0)
wide, more = heaps[0.1].std(axis=1), stuck[0.1] - stuck[1]
growth = wide[11] / wide[10]
assert np.allclose(wide[9:21] / wide[8:20], growth, atol=0.01)
assert np.isclose(growth**more, 10, atol=0.5)
Markdown(
    f"The loss stays within 10% of the margin, or above it, for {stuck[10]}, {stuck[1]} and {stuck[0.1]} steps: "
    f"a heap ten times as tight costs **{stuck[1] - stuck[10]} steps** more, and one ten times as tight again another **{more}**. "
    "Near 0° the sine grows like the angle, so a small heap soon grows by the same factor at each step: "
    f"{growth:.2f}, and {growth**more:.0f} in {more} steps. The heap of 0° never comes apart. **Where a loss stands at the margin, "
    "look at the distances:** if they are near 0, it is a collapse."
)

# %% [markdown]
# The heap of the widget is about 9° wide (question 3): it comes apart like that of 10° here. Networks begin near a heap, too:
# untrained, they give all images similar embeddings, and a loss that looks at the hardest negatives only can keep a network there
# ([lesson 03](03_training.ipynb) measures it).
#
# **Exercise 4: predict.** Somebody wants no margin, and sets *m* = 0. What is the loss of the heap of 0° then?
#
# <details><summary>Hint</summary>Put <i>m</i> = 0 into the formula of section 2.</details>

# %%
loss_of_the_heap = ...  # Your code

# %% jupyter={"source_hidden": true}
# Check: exercise 4
if loss_of_the_heap is ...:
    print("Exercise 4 is open")
else:
    wrong = f"{loss_of_the_heap} is not max(0 - 0 + 0, 0)"
    assert np.isclose(loss_of_the_heap, triplet_loss(np.zeros(9), margin=0)), wrong
    print("✓ exercise 4: 0. Without a margin the heap, useless for a search, would be a perfect solution")

# %% [markdown]
# ## 7. The margin says how tight
#
# The margin is a wish: *so much farther, please*. Expect a larger one to make each class narrower. But a
# circle has only so much room: three classes can be 120° from one another, at a distance of 1 &minus; cos 120° = 1.5.

# %%
ends = {margin: train(start, margin, steps=300)[-1] for margin in (0.2, 0.5, 1.4, 1.9)}

# %%
figure, axes = plt.subplots(2, 2, figsize=(6.8, 7.2), layout="constrained")
for ax, (margin, angles) in zip(axes.flat, ends.items(), strict=True):
    title = f"Margin {margin}: {widest(angles):.0f}° wide"
    plots.embedding_circle(unit(angles), labels, class_names=names, ax=ax, title=title)
plt.show()

# %% jupyter={"source_hidden": true}
# Check: larger margins give narrower classes; what is left of the loss is what the circle cannot give.
widths = [widest(angles) for angles in ends.values()]
assert (np.diff(widths) < 0).all()
assert widths[3] < 0.1
assert np.isclose(triplet_loss(ends[1.9], 1.9), 0.4, atol=1e-3)
assert all(triplet_loss(ends[margin], margin) < 1e-9 for margin in (0.2, 0.5, 1.4))
Markdown(
    f"The widest class covers **{widths[0]:.0f}°, {widths[1]:.0f}°, {widths[2]:.0f}° and {widths[3]:.0f}°**. "
    f"A margin of 1.9 cannot be had: every class is one point, the classes are as far apart as they can be, and a loss of "
    f"1.9 - 1.5 = **{triplet_loss(ends[1.9], 1.9):.1f}** is left. A loss above 0 is no proof of a bad embedding."
)

# %% [markdown]
# **Exercise 5: predict.** A fourth class comes to the circle. What is the largest margin that all triplets of four
# classes can keep?
#
# <details><summary>Hint</summary>Spread four classes evenly. What is the angle between two that are side by side, and
# its cosine distance?</details>

# %%
largest_margin = ...  # Your code

# %% jupyter={"source_hidden": true}
# Check: exercise 5
if largest_margin is ...:
    print("Exercise 5 is open")
else:
    wrong = f"{largest_margin} is not the cosine distance at 360° / 4"
    assert np.isclose(largest_margin, 1.0, atol=0.01), wrong
    print("✓ exercise 5: 1.0, at 90°. Embeddings have many dimensions so that there is room for many classes")

# %% [markdown]
# ## 8. Mining: which triplets still teach
#
# Fix an anchor and a positive. A negative is
#
# - **hard**, if it is nearer to the anchor than the positive is;
# - **semi-hard**, if it is farther, but by less than the margin;
# - **easy**, if it is farther by the margin or more: its triplet has no loss, and teaches nothing.
#
# On the circle these are arcs around the anchor. Expect hard negatives before training, and only easy ones after.

# %%
anchor, positive, is_negative = 0, 1, labels != 0
easy = [int((gaps(path[step], MARGIN)[0][anchor, positive][is_negative] <= 0).sum()) for step in (0, end)]

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.7), layout="constrained")
pair = {"anchor": anchor, "positive": positive, "margin": MARGIN, "class_names": names}
for ax, step, when, count in zip(axes, (0, end), ("Before", "After"), easy, strict=True):
    title = f"{when}: {count} of 6 are easy"
    plots.mining_arcs(unit(path[step]), labels, ax=ax, title=title, **pair)
plt.show()

# %% jupyter={"source_hidden": true}
# Check: the negatives of this pair have become easy, and its arcs end nearer to the anchor.
near = [distances(path[step])[anchor, positive] for step in (0, end)]
assert easy[0] < easy[1] == 6
inner, outer = (np.degrees(np.arccos(1 - np.array(near) - more)) for more in (0, MARGIN))
assert inner[1] < inner[0] < outer[0]
assert outer[1] < outer[0]
Markdown(
    f"For this bird **{easy[0]} of 6** negatives were easy, and **{easy[1]} of 6** are now. Negatives "
    f"left the colored arcs, and since the positive came nearer, from a distance of {near[0]:.3f} to {near[1]:.3f}, the arcs shrank, too: the hard "
    f"one reached {inner[0]:.0f}° from the anchor, and now reaches {inner[1]:.0f}°; the semi-hard ones reached {outer[0]:.0f}°, now {outer[1]:.0f}°."
)

# %% [markdown]
# And the same for all triplets, step by step:

# %%
of_steps = [gaps(angles, MARGIN) for angles in path[: end + 1]]
of_triplets = np.array([gap[triplet] for gap, triplet in of_steps])
hard, asking = (of_triplets > MARGIN).mean(axis=1), (of_triplets > 0).mean(axis=1)

# %%
figure, ax = plt.subplots(figsize=(7.2, 3.6))
looks = {"labels": ("hard", "semi-hard", "easy: no loss"), "colors": ("#D55E00", "#E69F00", "#dddddd")}
ax.stackplot(range(end + 1), hard, asking - hard, 1 - asking, hatch=["", "///", ""], ec="white", **looks)
ax.set(xlabel="step", ylabel="share of all triplets", xlim=(0, end), ylim=(0, 1))
ax.set_title("Easy triplets take over")
ax.legend(loc="center right", frameon=True, reverse=True)
plt.show()

# %% jupyter={"source_hidden": true}
# Check: easy triplets become the majority, and remain it; the last hard one is gone before the last semi-hard one.
half = int(np.argmax(asking < 0.5))
assert asking[0] > 0.5 > asking[half:].max()
assert np.argmax(hard == 0) < np.argmax(asking == 0) == end
Markdown(
    f"At the start **{1 - asking[0]:.0%}** of the triplets are easy; from step {half} on most are, and at the end "
    "all. The hard ones disappear first."
)

# %% [markdown]
# Easy triplets count in the mean, as zeros, and make every arrow shorter. What if the mean is over the others only?

# %%
mined = train(start, MARGIN, skip_zeros=True)

# %% jupyter={"source_hidden": true}
# Check: it is faster, and this mean is simnb's with skip_zeros=True.
mined_end = int(np.argmax(loss_along(mined, MARGIN) == 0))
assert 0 < mined_end < end
gap, triplet = gaps(start, MARGIN)
without = losses.BatchAllTripletLoss(margin=MARGIN, skip_zeros=True)(labels, unit(start))
assert np.isclose(gap[triplet & (gap > 0)].mean(), float(without), atol=1e-6)
Markdown(f"With longer arrows training takes **{mined_end} steps instead of {end}**.")

# %% [markdown]
# Choosing which triplets count is called **mining**. Leaving out the easy ones, `BatchAllTripletLoss(skip_zeros=True)`,
# changes the length of the arrows and not their direction. `TripletLoss(negative_mining="semi-hard")` goes further: it
# takes one negative for each anchor, and avoids hard ones where it can, since the hardest can hold a network in a heap
# (section 6), and some simply have a wrong label.
#
# ## Three questions

# %% jupyter={"source_hidden": true}
# Quiz: three questions
Quiz(
    ("Your loss has stood at 0.200, its margin, for an epoch. What do you do first?",
     ["measure the distances between embeddings", "train longer", "lower the margin"],
     "This may be a collapse: if all distances are near 0, start again with all triplets, not the hardest only."),
    ("Your loss is 0. Is the embedding perfect?",
     ["only for the triplets it was measured on", "yes, every image has its place", "yes, if the margin was large"],
     "Each of these keeps the margin. New images may land anywhere: search with images that were not trained on."),
    ("You set skip_zeros=True, and the loss is higher. Is the search worse?",
     ["nobody knows before searching", "yes, a higher loss is a worse search", "no, it is better"],
     "The easy triplets, all zeros, left the mean: the same embedding has a higher loss. Compare what a search finds."),
)  # fmt: skip

# %% [markdown]
# **Remember**
#
# - An embedding is a list of numbers that says where an image lies; a loss asks that images of one class lie nearer together
#   than those of others, by a margin.
# - Where a loss stands at its margin, all embeddings may lie in one heap, where next to nothing pulls or pushes: training may
#   leave it late, or never. Look at the distances.
# - Only triplets that do not keep the margin yet teach; training makes them rare, and mining looks for those that are left.
#
# ## Exercises
#
# The five above are solved, each with a sentence on what it shows, in [solutions/00_circle](solutions/00_circle.ipynb).
#
# ## What's next
#
# [01_quickstart](01_quickstart.ipynb) puts photographs in place of the nine points and a network under the arrows, and
# searches with images it never saw. [03_training](03_training.ipynb) compares more losses, and makes a network collapse.
# If you have code for TensorFlow Similarity, go to [lesson 10](10_from_tensorflow_similarity.ipynb) after the quickstart.
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Hadsell, Chopra and LeCun, *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR 2006: pulls and pushes,
#   drawn as springs.
# - Schroff, Kalenichenko and Philbin, *FaceNet*, CVPR 2015: the triplet loss and semi-hard negatives.
#   <https://arxiv.org/abs/1503.03832>
# - Hermans, Beyer and Leibe, *In Defense of the Triplet Loss for Person Re-Identification*, 2017: the mean over all
#   triplets, and over those that are not easy. <https://arxiv.org/abs/1703.07737>
