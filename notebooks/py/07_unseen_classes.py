# %% [markdown]
# # Find classes that the network has never seen
#
# [Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/07_unseen_classes.ipynb) · [Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/07_unseen_classes.ipynb) · [← 06](06_trust_a_threshold.ipynb) · [08 →](08_look_at_it.ipynb) · [Glossary](GLOSSARY.md)
#
# A shop adds a product, a museum a coin. Must the network be trained again? Here a network that learned from hundreds of
# characters searches among hundreds of others that it has never seen.
#
# **You will do**
#
# - search among unseen classes by pixels, by an untrained network and by a trained one;
# - tell 20 new characters apart by one example of each, and compare with published results;
# - add a class to a gallery in use, without training;
# - train on ten classes and on a hundred, in batches of the same shape;
# - look at an embedding that does not carry over.
#
# **You will learn**
#
# - that what a network learned from some classes serves for others;
# - why it takes many classes to learn it;
# - which mistakes remain, and how to notice that an embedding does not carry over.
#
# **You need** the words *embedding*, *gallery*, *query* and *R@1* of the [quickstart](01_quickstart.ipynb); about 3 minutes to
# run on two cores, and 25 to read. The characters are those of Omniglot (a download of 18 MiB, once), or printed ones
# where it cannot be had; section 8 takes photographs of CIFAR-10 (162 MiB, once), or digits.

# %% jupyter={"source_hidden": true}
# Set-up: where simnb is missing, as on Colab, this installs it; elsewhere it does nothing.
import importlib.util

from IPython import get_ipython

if importlib.util.find_spec("simnb") is None:
    tested = "https://raw.githubusercontent.com/simnb/simnb/HEAD/constraints.txt"
    newest = "git+https://github.com/simnb/simnb"
    get_ipython().run_line_magic("pip", f"install --quiet --constraint {tested} {newest}")

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from simnb import data, evaluation, losses, metrics, models, plots, samplers, training
from simnb.augmentation import Augment
from simnb.index import open_index
from simnb.search import SimilaritySearch
from simnb.widgets import Quiz

plots.style()
SEED = 0

# %% [markdown]
# ## 1. Classes to learn from, and others to search among
#
# A class is **seen** if the network was trained on images of it, and **unseen** if it was not. Every class here is one
# character. `pretrained` loads a small network that was trained on the seen ones.

# %% tags=["nbval-ignore-output"]
name = data.default_name(many_classes=True)
model = models.pretrained(name, precision="auto")
size = model.input_shape[1:3]

# %% tags=["nbval-ignore-output"]
seen = data.load(name, split="train", image_size=size)
unseen = data.load(name, split="test", image_size=size)

# %% [markdown]
# Short names for the figures: the printed character, or its number in the data.

# %% tags=["nbval-ignore-output"]
numbers = [str(number) for number in range(1, len(unseen.class_names) + 1)]
unseen = replace(unseen, class_names=unseen.class_metadata.get("character", numbers))
characters = np.unique(unseen.labels)

# %% tags=["nbval-ignore-output"]
some = unseen.only(characters[:: len(characters) // 5][:5]).take_per_class(8, seed=SEED)
some = some[np.argsort(some.labels, kind="stable")]

# %% tags=["nbval-ignore-output"]
title = "Five unseen characters, one a row: what may vary, and what must not?"
plots.image_grid(some.images, some.labels, class_names=unseen.class_names, title=title)
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: no class is in both, and both have hundreds.
num_seen, num_unseen = len(np.unique(seen.labels)), len(characters)
assert not set(seen.labels) & set(unseen.labels)
assert min(num_seen, num_unseen) > 400
turned = "turned" in models.provenance(name)["data"]
quarters = ", each also turned by 90, 180 and 270 degrees, as three more classes" if turned else ""
Markdown(
    f"The network learned from {len(seen):,} images of **{num_seen} seen** characters{quarters}. You will search among "
    f"{len(unseen):,} images of **{num_unseen} unseen** ones, about {len(unseen) / num_unseen:.0f} of each. No character is in both."
)

# %% [markdown]
# ## 2. Guess before you look
#
# Let every unseen image be a query, and all the others the gallery. How often is the nearest one of the same character?
#
# The simplest embedding is the image itself: two images are near if they have ink in the same places. A second one is
# the network before training, with random weights. We measure R@1 (in tables `recall@1`) and **MAP@R** (`map@r`), which looks at
# all *R* other images of the query's character. Take the *R* nearest neighbors. At each one that is right, note the share of
# right ones so far; the sum of these shares, divided by *R*, is the average precision of the query. MAP@R is its mean.

# %%
hits = np.array([1, 1, 0, 1])  # R = 4: of the four nearest the third is wrong
shares = np.cumsum(hits) / np.arange(1, 5)  # 1, 1, 2/3, 3/4
print(f"average precision {np.sum(hits * shares) / 4:.2f}")

# %% [markdown]
# It is 1 only if all images of the character come before any other.
#
# **Exercise 1: predict.** What is R@1 by pixels?
#
# <details><summary>Hint</summary>Look at the rows above. How often do two images of a row have ink in the same places,
# and how many other characters might fit as well?</details>

# %%
guess = ...  # Your code: a share, from 0 to 1

# %% tags=["nbval-ignore-output"]
untrained = models.fast_resnet(**models.provenance(name)["model"], precision="auto", seed=SEED)
rows = {
    "pixels": 255 - unseen.images[..., 0].reshape(len(unseen), -1),
    "untrained": models.embed(untrained, unseen.images, batch_size=256),
}

# %% tags=["nbval-ignore-output"]
naive = evaluation.unseen_classes(rows, unseen.labels, k=1, ways=(), seed=SEED)  # ways: section 4
pixels = naive.figures["recall@1"]["pixels"].value
naive

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: pixels find more than the untrained network, both far more than chance, and hardly ever all of a class.
whole = naive.figures["map@r"]["pixels"].value
chance = (len(unseen) / num_unseen - 1) / (len(unseen) - 1)
assert 0.2 < pixels < 0.4
assert pixels > naive.figures["recall@1"]["untrained"].value > 10 * chance
assert whole < pixels / 3
Markdown(
    f"By pixels the nearest image is right for **{pixels:.0%}** of the queries, by chance for {chance:.2%}. MAP@R "
    f"is only {whole:.3f}: pixels find the one that happens to lie the "
    f"same way, and miss the others. The untrained network is worse, {naive.figures['recall@1']['untrained'].value:.0%}."
)

# %% jupyter={"source_hidden": true}
# Check: exercise 1
if guess is ...:
    print("Exercise 1 is open")
else:
    assert 0 <= guess <= 1, f"a share lies between 0 and 1, got {guess}"
    assert guess <= pixels + 0.1, f"{guess} is too high: many other characters have ink there, too"
    assert guess >= pixels - 0.1, f"{guess} is too low: writers do agree a bit"
    print(f"✓ exercise 1: {pixels:.2f} was measured. Every other number is judged by it")

# %% [markdown]
# ## 3. The same search with a trained network
#
# The trained network has never seen these characters either. It learned to place images of *other* characters: those of
# one together, those of two apart. For that it must have found differences that count (one more stroke, a gap) and others
# that do not (a tilt, a thicker pen). This may hold for characters that come later, too. Expect far more right neighbors.

# %% tags=["nbval-ignore-output"]
rows["trained"] = models.embed(model, unseen.images, batch_size=256)

# %% [markdown]
# We keep 60% of the images as the gallery and ask with the others.

# %% tags=["nbval-ignore-output"]
parts = unseen.split(train=0, gallery=0.6, calibration=0, query=0.4, seed=SEED)
is_query = np.isin(unseen.ids, parts.query.ids)
query, gallery = unseen[is_query], unseen[~is_query]

# %% tags=["nbval-ignore-output"]
found = {}
for way in ("pixels", "trained"):
    index = open_index(class_names=unseen.class_names)
    index.add(rows[way][~is_query], gallery.labels, ids=gallery.ids)
    found[way] = index.search(rows[way][is_query], k=5)

# %% [markdown]
# Six queries, drawn at random. In a smaller gallery pixels find fewer than before.

# %% tags=["nbval-ignore-output"]
six = np.random.default_rng(SEED).choice(len(query), 6, replace=False)
side_by_side = {way: found[way][six] for way in ("pixels", "trained")}
right = {way: (found[way].labels[:, 0] == query.labels) for way in found}

# %% tags=["nbval-ignore-output", "picture"]
plots.compare_neighbors(
    query[six], side_by_side, gallery, num_queries=6,
    title=f"Characters never seen: pixels answer {right['pixels'].mean():.0%} of the queries right, "
    f"the network {right['trained'].mean():.0%}",
)  # fmt: skip
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: the network finds most of what it never saw, and hardly ever loses what pixels find.
better, worse = (right["trained"] & ~right["pixels"]).mean(), (right["pixels"] & ~right["trained"]).mean()
assert right["trained"].mean() > 0.8 > 2 * right["pixels"].mean()
assert worse < 0.05 < better
assert right["pixels"].mean() < pixels  # a smaller gallery than in section 2
Markdown(
    f"Of these six the nearest is right for {right['pixels'][six].sum()} by pixels and for "
    f"**{right['trained'][six].sum()}** by the network. Over all {len(query):,} queries the network is right and pixels are "
    f"wrong for {better:.0%}; it is the other way round for {worse:.1%}. **Nobody showed it these characters.**"
)

# %% [markdown]
# ## 4. One example of each of 20 characters
#
# Now show only *one* example of each new class, a **shot**, and ask at once. *20-way 1-shot* means: 20 classes, one shot of
# each, and a query of one of them. Chance is 1 in 20.

# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(4)
twenty = unseen.only(rng.choice(characters, 20, replace=False)).take_per_class(2, seed=SEED)
twenty = twenty[np.argsort(twenty.labels, kind="stable")]

# %% tags=["nbval-ignore-output"]
shots, asked = twenty[::2], twenty[1::2][7]
shots = shots[rng.permutation(20)]

# %% tags=["nbval-ignore-output"]
plots.image_grid(
    np.concatenate([asked.images, shots.images]), range(21), columns=7,
    class_names=["query", *map(str, range(1, 21))], title="Which of 1 to 20 is the query?",
)  # fmt: skip
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: one of the 20 is of the query's character, in another image, and all are unseen.
assert np.sum(shots.labels == asked.labels[0]) == 1
assert asked.ids[0] not in shots.ids
assert not set(shots.labels) & set(seen.labels)
Markdown(f"Exactly **one of the {len(shots)}** is the character of the query, in another image of it.")

# %% [markdown]
# **Exercise 2: be the network.** Which of the numbers is the query?
#
# <details><summary>Hint</summary>Count strokes and loops, and do not mind the tilt.</details>

# %%
mine = ...  # Your code: a number from 1 to 20

# %% tags=["nbval-ignore-output"]
few = SimilaritySearch(model)
few.add(shots)
nearest = few.lookup(asked, k=1)
answer = 1 + int(np.flatnonzero(shots.ids == nearest.ids[0, 0])[0])
truth = 1 + int(np.flatnonzero(shots.labels == asked.labels[0])[0])
print("The network has an answer. Run the next cell to compare it with yours.")

# %% jupyter={"source_hidden": true}
# Check: exercise 2
if mine is ...:
    print("Exercise 2 is open")
else:
    verdict = "right" if answer == truth else "wrong"
    assert mine in range(1, 21), f"a number from 1 to 20 is wanted, got {mine}"
    assert mine == truth, f"{mine} is another character. The network says {answer}, which is {verdict}"
    print(f"✓ exercise 2: {mine} is right. The network says {answer}, which is {verdict}")

# %% [markdown]
# One query says little, so hundreds of such tasks are drawn, called **episodes**. Five shots of a class are replaced by their
# mean, its **prototype**. One episode by hand:


# %%
def episode(embeddings, labels, ways, shots, rng):
    """Share of right answers to 7 queries of each class."""
    classes = rng.choice(np.unique(labels), ways, replace=False)
    drawn = [rng.choice(np.flatnonzero(labels == c), shots + 7, replace=False) for c in classes]
    images = embeddings[np.stack(drawn)]  # ways x images x numbers
    prototypes = images[:, :shots].mean(axis=1)
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    answers = (images[:, shots:] @ prototypes.T).argmax(axis=2)
    return np.mean(answers == np.arange(ways)[:, None])


# %% tags=["nbval-ignore-output"]
by_hand = np.mean([episode(rows["trained"], unseen.labels, 20, 5, rng) for _ in range(600)])

# %% [markdown]
# The library does the same. In the rows marked *nearest* the nearest single shot answers, not the prototype.

# %% tags=["nbval-ignore-output"]
trained_first = {"trained": rows["trained"], **rows}
measured = evaluation.unseen_classes(trained_first, unseen.labels, queries=7, episodes=600, seed=SEED)
measured

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: by hand the same; the nearest shot does as well; among fewer classes more answers are right.
of_mean, of_nearest = (measured.figures[f"20-way 5-shot{end}"]["trained"].value for end in ("", ", nearest"))
assert abs(of_nearest - of_mean) < 0.01
assert abs(by_hand - of_mean) < 0.01
of_one, of_all = (measured.figures[metric]["trained"].value for metric in ("20-way 1-shot", "recall@1"))
assert of_one > of_all + 0.03
by_random, by_ink = (measured.figures["5-way 1-shot"][way].value for way in ("untrained", "pixels"))
assert name != "omniglot" or by_random > by_ink
order = f" Even the order turns: among 5 the untrained network, {by_random:.0%}, beats pixels, {by_ink:.0%}."
Markdown(
    f"By hand *20-way 5-shot* is right for {by_hand:.1%}, by the library for {of_mean:.1%}, and by the nearest shot for "
    f"{of_nearest:.1%}. One shot among 20 classes is right more often, **{of_one:.1%}**, than all images among {num_unseen}, "
    f"**{of_all:.1%}**: never compare results among different numbers of classes."
    + (order if by_random > by_ink else "")
)

# %% [markdown]
# The figure shows how many answers are *wrong*, on a logarithmic scale, beside published results of two famous few-shot
# networks. The bars are 95% intervals over the episodes: how well *these* classes were measured, not what others would give.

# %% tags=["nbval-ignore-output"]
settings = ("5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot")
published = {
    "Matching Networks (2016)": dict(zip(settings, (0.981, 0.989, 0.938, 0.985), strict=True)),
    "Prototypical Networks (2017)": dict(zip(settings, (0.988, 0.997, 0.960, 0.989), strict=True)),
}

# %% tags=["nbval-ignore-output"]
once = measured.figures["20-way 1-shot"]
wrong = {way: 1 - share.value for way, share in once.items()}
plots.few_shot_errors(
    measured.figures, published=published if name == "omniglot" else None,
    title=f"One shot of each of 20 classes: {wrong['trained']:.1%} wrong, pixels {wrong['pixels']:.0%}",
)  # fmt: skip
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: the network is far better than both baselines in every setting, and five shots are better than one.
for setting in settings:
    one = measured.figures[setting]
    assert one["trained"].low > max(one["pixels"].high, one["untrained"].high) + 0.1
assert measured.figures["20-way 5-shot"]["trained"].value > once["trained"].value > 0.93
rival = published["Prototypical Networks (2017)"]
gap = max(abs(rival[setting] - measured.figures[setting]["trained"].value) for setting in settings)
assert name != "omniglot" or gap < 0.005
company = (
    f"Prototypical Networks report {rival['20-way 1-shot']:.1%}. In all {len(settings)} settings the two are about {100 * gap:.1f} "
    "points apart or less, which may be luck. Theirs learned from 1,200 characters and was measured on others than ours: "
    "good company, no contest."
    if name == "omniglot"
    else "(The published results are of Omniglot, which is not at hand, so that they are not drawn.)"
)
Markdown(
    f"From one example of each of 20 characters the network is right for **{once['trained'].value:.1%}** of the queries, "
    f"from five for {measured.figures['20-way 5-shot']['trained'].value:.1%}. {company}"
)

# %% [markdown]
# **Exercise 3: predict, then measure.** What is the accuracy among *100* characters, by one example of each?
#
# <details><summary>Hint</summary><code>evaluation.unseen_classes</code> takes <code>ways=100, shots=1, queries=3,
# episodes=100</code>. Give it <code>{"trained": rows["trained"]}</code>; the answer is in
# <code>.figures["100-way 1-shot"]["trained"].value</code>.</details>

# %%
hundred_way = ...  # Your code

# %% jupyter={"source_hidden": true}
# Check: exercise 3
if hundred_way is ...:
    print("Exercise 3 is open")
else:
    among_20 = once["trained"].value
    assert 0.01 <= hundred_way <= 1, f"{hundred_way} is no share; by chance it would be 0.01"
    assert hundred_way < among_20, f"{hundred_way:.3f} is no less than among 20; did you ask for 100 ways?"
    assert hundred_way > 0.6, f"{hundred_way:.3f} is too low for the trained network; did you pass its rows?"
    print(
        f"✓ exercise 3: {hundred_way:.1%}, with five times as many characters; among 20 it was {among_20:.1%}"
    )

# %% [markdown]
# ## 5. A class comes to a gallery in use
#
# A gallery holds 100 characters, and queries of another one come: every answer is wrong. How many of these answers
# does one example put right? Nothing is trained; a row is added to the index.

# %% tags=["nbval-ignore-output"]
drawn = np.random.default_rng(SEED).permutation(characters)
shop, newcomers = drawn[:100], drawn[100:200]

# %% tags=["nbval-ignore-output"]
search = SimilaritySearch(model)
search.add(gallery.only(shop))
asked, examples = query.only(newcomers[0]), gallery.only(newcomers[0])

# %% tags=["nbval-ignore-output"]
stages = {"before": search.lookup(asked, k=3)}
search.add(examples[:1])
stages["1 example"] = search.lookup(asked, k=3)
search.add(examples[1:5])
stages["5 examples"] = search.lookup(asked, k=3)

# %% tags=["nbval-ignore-output"]
correct = {stage: int((n.labels[:, 0] == newcomers[0]).sum()) for stage, n in stages.items()}

# %% tags=["nbval-ignore-output"]
by_stage = "{}, {} and {}".format(*correct.values())
title = f"A new character, by 0, 1 and 5 examples: {by_stage} of {len(asked)} found"
plots.compare_neighbors(asked, stages, gallery, num_queries=4, title=title)
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: nothing is found before, and something after.
assert correct["before"] == 0 < correct["5 examples"]
then = f"and four more make it **{correct['5 examples']}**"
if correct["1 example"] == correct["5 examples"] == len(asked):
    then = "and four more rows change no answer: this newcomer was an easy one"
Markdown(
    f"Before, **{correct['before']} of {len(asked)}** queries are right: what they ask for is not there. One row more makes it "
    f"**{correct['1 example']}**, {then}. No weight has changed."
)

# %% [markdown]
# Now 100 newcomers at once, beside the 100. Expect that more examples find more of them, and that the 100 before pay
# for it: more rows may come close to their queries.

# %% tags=["nbval-ignore-output"]
here = np.isin(unseen.labels, drawn[:200])
pairs = [(rows["trained"][here & part], unseen.labels[here & part]) for part in (~is_query, is_query)]
most = int(np.unique(gallery.labels, return_counts=True)[1].min())

# %% tags=["nbval-ignore-output"]
by_shots = evaluation.few_shot(*pairs, newcomers, shots=(1, 5, most), seed=SEED)
by_one, by_five, by_most = by_shots["few"].mean(axis=0)

# %% tags=["nbval-ignore-output"]
lines = {"the 100 newcomers": by_shots["few"], "the 100 before": by_shots["other"]}
title = f"One example answers {by_one:.0%} of newcomers' queries, {most} answer {by_most:.0%}"
plots.rates_by_shots((1, 5, most), lines, metric="R@1", title=title)
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: one example finds most newcomers, the first matter most, and the old classes lose a little.
before = by_shots["other"].mean(axis=0)
(kept, theirs), (asking, truths) = ([part[np.isin(pair[1], shop)] for part in pair] for pair in pairs)
alone = np.mean(theirs[(asking @ kept.T).argmax(axis=1)] != truths)
assert alone < 1 - before[0]
assert by_one > 0.6
assert by_five - by_one > by_most - by_five > 0
assert before[0] > before[-1] > before[0] - 0.1
Markdown(
    f"With one example of each, **{by_one:.0%}** of the newcomers' queries are right, with five examples {by_five:.0%}, with {most} examples "
    f"{by_most:.0%}: the first examples matter most. The 100 before pay: alone in the gallery {alone:.1%} of "
    f"their queries are wrong, beside one row of each newcomer {1 - before[0]:.1%}, beside {most} rows **{1 - before[-1]:.1%}**."
)

# %% [markdown]
# **Exercise 4: predict, then measure.** One example of a newcomer stood against *all* images of the others. Let each class
# be one row instead, its prototype. What share of the newcomers' queries does one example answer then?
#
# <details><summary>Hint</summary><code>evaluation.few_shot</code> takes <code>prototypes=True</code>. Copy the call above, with
# <code>shots=1</code>; the answer is <code>["few"].mean()</code> of what it returns.</details>

# %%
as_prototype = ...  # Your code

# %% jupyter={"source_hidden": true}
# Check: exercise 4
if as_prototype is ...:
    print("Exercise 4 is open")
else:
    low = f"{as_prototype:.2f} is no more than as rows, {by_one:.2f}; did you pass prototypes=True?"
    assert as_prototype > by_one, low
    assert as_prototype < by_most, f"{as_prototype:.2f} is as much as by {most} examples; were shots=1?"
    print(
        f"✓ exercise 4: {as_prototype:.0%} instead of {by_one:.0%}: one row against one is a fairer contest"
    )

# %% [markdown]
# ## 6. What limits it: look at the mistakes
#
# Back to all unseen characters. The figure shows the pairs that are mixed up most often, and of each pair the mistakes
# that the network is surest of.

# %% tags=["nbval-ignore-output"]
plots.confused_pairs(query, found["trained"], gallery, num_pairs=4)
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: most mistakes have the right character among the first five.
mistakes = ~right["trained"]
rescued = (found["trained"].labels[mistakes] == query.labels[mistakes, None]).any(axis=1).mean()
mixed_up = np.sort(np.stack([query.labels[mistakes], found["trained"].labels[mistakes, 0]]), axis=0)
num_pairs = np.unique(mixed_up, axis=1).shape[1]
assert 0 < mistakes.mean() < 0.2
assert num_pairs > 50
assert rescued > 0.5
Markdown(
    f"**{mistakes.sum():,} of {len(query):,}** queries are wrong. For **{rescued:.0%}** of these the right character is among the "
    "five nearest all the same: the embedding put it close, and an image of another character came in between. "
    f"The mistakes are spread over {num_pairs} pairs of characters; the four above are only the most frequent."
)

# %% [markdown]
# Where two characters look the same no training helps: show five answers, and let a person choose.

# %% [markdown]
# ## 7. Why it works: many classes
#
# What made the network so good: many classes, many images, or batches of many classes? You train a smaller one by four
# recipes, for 60 steps of 120 images. Each changes one thing in the one before it. More classes also bring more images; the
# last recipe takes these away again.
#
# 1. 10 classes, with all their images; a batch holds 12 images of each.
# 2. **100 classes**, as many images of each; the same batches, of 10 classes x 12 images.
# 3. The same 100 classes; **batches of 60 classes** x 2 images.
# 4. The same batches; only **2 images a class**, 200 in all.


# %%
def recipes(seed):
    """Images to learn from, and how many classes a batch holds."""
    order = np.random.default_rng(seed).permutation(np.unique(seen.labels))
    ten, hundred = seen.only(order[:10]), seen.only(order[:100])
    return {
        "1. 10 classes": (ten, 10),
        "2. 100 classes": (hundred, 10),
        "3. batches of 60 classes": (hundred, 60),
        "4. 2 images a class": (hundred.take_per_class(2, seed=seed), 60),
    }


# %% [markdown]
# The loss and the optimizer are those of [03_training](03_training.ipynb).


# %%
def train(part, seed, classes):
    """A small network after 60 steps of 120 images, which are shifted a little at random."""
    deal = {"classes_per_batch": classes, "examples_per_class": 120 // classes, "steps_per_epoch": 60}
    augment = Augment(crop=2, flip=False)
    batches = samplers.BalancedBatches(part.images, part.labels, augment=augment, seed=seed, **deal)
    shape = {"widths": (16, 32, 32), "pooling": "average", "input_shape": (*size, 3), "precision": "auto"}
    network = models.fast_resnet(**shape, whiten=part.images, seed=seed)
    loss = losses.SupervisedContrastiveLoss()
    training.fit(network, batches, loss=loss, optimizer="muon", seed=seed, verbose=0)
    return network


# %%
def recall(network, part):
    """R@1 of each image among all the others."""
    embeddings = {"": models.embed(network, part.images)}
    return evaluation.unseen_classes(embeddings, part.labels, k=1, ways=()).figures["recall@1"][""].value


# %% [markdown]
# One run may be luck, so there are three rounds, each with other classes and other weights. In a round all four start from
# the same random weights. All search the same 150 unseen characters. Guess the order of the four.

# %% tags=["nbval-ignore-output"]
fresh = unseen.only(drawn[:150])
runs, of_ten = {}, []

# %% tags=["nbval-ignore-output"]
for seed in range(3):
    for recipe, (part, classes) in recipes(seed).items():
        network = train(part, seed, classes)
        runs.setdefault(recipe, []).append(recall(network, fresh))
        if recipe == "1. 10 classes":
            of_ten.append(recall(network, part))

# %% tags=["nbval-ignore-output"]
mean = {recipe: np.mean(values) for recipe, values in runs.items()}
title = f"More classes, same batches: R@1 {mean['1. 10 classes']:.2f} to {mean['2. 100 classes']:.2f}"
plots.spread(runs, metric="R@1 over 150 unseen characters", title=title)
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: the number of classes matters most; which recipes three runs tell apart; the ten were learned by heart.
images = [len(part) for part, _ in recipes(0).values()]
counts = [f"{len(part):,} images of {len(np.unique(part.labels))}" for part, _ in recipes(0).values()]
low, high = (np.array([end(values) for values in runs.values()]) for end in (min, max))
ten, wider, hundred, two_each = (round(float(value), 2) for value in mean.values())
overlap = np.triu((low <= high[:, None]) & (low[:, None] <= high), 1)
mixed = [f"{a} and {b}" for a, b in 1 + np.argwhere(overlap)]
told = f"do not tell recipes {' or '.join(mixed)} apart" if mixed else "tell all four apart"
assert high[0] < low[1:].min()
assert wider - ten > hundred - min(wider, two_each) >= hundred - max(wider, two_each) > 0
assert round(images[1] / images[0]) == 10
assert np.mean(of_ten) > 0.95
Markdown(
    f"{counts[0]} classes give R@1 {ten:.2f}, {counts[1]} classes in the same batches **{wider:.2f}**. Batches of 60 "
    f"classes make it {hundred:.2f}, and there {counts[3]} classes still give **{two_each:.2f}**. Ten times the classes, with all their "
    f"images, gain {wider - ten:.2f}; batches of more classes {hundred - wider:.2f}; more images a class {hundred - two_each:.2f}. Three runs {told}. "
    f"On its own training images recipe 1 is right for {np.mean(of_ten):.0%}. "
    f"**The number of classes matters most:** {images[3]} images of 100 classes, in batches that ten classes cannot fill, teach far more than {images[0]} of 10."
)

# %% [markdown]
# A few tricks may tell ten classes apart, such as how much ink there is; a hundred take more. A hundred classes also fill batches of
# more classes ([02_sampling](02_sampling.ipynb)).
#
# **Exercise 5: predict, then train.** What does recipe 2 reach with 30 classes?
#
# <details><summary>Hint</summary>Take <code>part, _ = recipes(0)["2. 100 classes"]</code>, keep 30 labels of it by
# <code>.only(...)</code>, then <code>recall(train(part, 0, 10), fresh)</code>.</details>

# %%
with_thirty = ...  # Your code

# %% jupyter={"source_hidden": true}
# Check: exercise 5
if with_thirty is ...:
    print("Exercise 5 is open")
else:
    high = (
        f"{with_thirty:.2f} is more than with 100 classes; did you measure on fresh, not on its own classes?"
    )
    assert with_thirty <= wider + 0.02, high
    assert with_thirty >= ten, f"{with_thirty:.2f} is less than with 10 classes; did you train the network?"
    print(f"✓ exercise 5: {with_thirty:.2f}, between {ten:.2f} with 10 classes and {wider:.2f} with 100")

# %% [markdown]
# ## 8. A warning: when it does not carry over
#
# The network `narrow` was trained on eight of ten classes: photographs (or digits, where CIFAR-10 is missing). `old` holds test
# images of these eight, `new` test images of the two others. Expect that among all ten the two are found less often.

# %% tags=["nbval-ignore-output"]
source = data.default_name()
narrow = models.pretrained(f"{source}-8", mirror=False, precision="auto")
both = data.load(source, split="test").take_per_class(300 if source == "cifar10" else 30, seed=SEED)
new = both.only(models.provenance(f"{source}-8")["unknown"])
old = both[~np.isin(both.ids, new.ids)]


# %%
def among(network, asked, others):
    """How images are found with those of other classes in the gallery, by a network and by pixels."""
    embeddings = [
        {
            "network": models.embed(network, part.images, batch_size=256),
            "pixels": 255 - part.images[..., 1].reshape(len(part), -1),  # green, one channel of three
        }
        for part in (asked, others)
    ]
    beside = {"seen": (embeddings[1], others.labels), "k": 1, "ways": (), "seed": SEED}
    return evaluation.unseen_classes(embeddings[0], asked.labels, **beside)


# %% [markdown]
# In the table *seen added* means: the images of the seen classes are in the gallery, too. *lost to seen* is the share of queries
# whose nearest image is of a seen class.

# %% tags=["nbval-ignore-output"]
narrowly = {"seen": among(narrow, old, new), "unseen": among(narrow, new, old)}
narrowly["unseen"]

# %% [markdown]
# For comparison the network of section 3: 150 unseen characters, beside ten training images of each seen one.

# %% tags=["nbval-ignore-output"]
broadly = among(model, fresh, seen.take_per_class(10, seed=SEED))

# %% [markdown]
# Which classes does the narrow network find?

# %% tags=["nbval-ignore-output"]
scores = np.concatenate([one.scores["recall@1, seen added"]["network"] for one in narrowly.values()])
classes, of_class, _ = metrics.per_class(scores, np.concatenate([old.labels, new.labels]))

# %% tags=["nbval-ignore-output"]
known, others = (one.figures["recall@1, seen added"]["network"].value for one in narrowly.values())
title = f"R@1 {known:.0%} on seen classes, {others:.0%} on unseen ones"
look = {"class_names": new.class_names, "held_out": np.unique(new.labels), "metric": "R@1"}
plots.rates_by_class(classes, of_class, title=title, **look)
plt.show()

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
# Check: the narrow network loses about as many unseen queries to seen classes as pixels do, the broad one far fewer.
lost, lost_broadly = (one.figures["lost to seen"] for one in (narrowly["unseen"], broadly))
by_network, by_pixels = (lost[way].value for way in ("network", "pixels"))
broad, broad_pixels = (lost_broadly[way].value for way in ("network", "pixels"))
alone = narrowly["unseen"].figures["recall@1"]["network"].value
flat = narrowly["unseen"].figures["recall@1, seen added"]["pixels"].value
assert others < min(known - 0.1, alone)
assert by_network > 0.8 * by_pixels
assert broad < 0.5 * broad_pixels
keeps = "hardly more" if by_network < by_pixels else "no more"
harder = ", and photographs are harder than characters: the number of classes seen need not be all of the difference"
Markdown(
    f"On seen classes the narrow network is right for {known:.0%}, on unseen ones for **{others:.0%}**, where pixels reach {flat:.0%}. (Among the unseen "
    f"ones alone {alone:.0%} would be right: a small gallery flatters.) Of the unseen queries {by_network:.0%} land in a seen class, by "
    f"pixels {by_pixels:.0%}: **this network keeps {keeps} of them apart than pixels do**. The network of {num_seen} characters "
    f"loses **{broad:.0%}**, where pixels lose {broad_pixels:.0%}. (Two unseen classes are few{harder if source == 'cifar10' else ''}.)"
)

# %% [markdown]
# **How to notice**, before your users do:
#
# 1. **Hold whole classes out** (`examples.split_classes()`) and measure on them.
# 2. **Measure pixels beside it**, or whatever is simplest.
# 3. **Look where unseen queries land.** If hardly fewer land in seen classes than by pixels, the network has no places for
#    new ones.
#
# And then? More classes to train on, or an embedder that was trained on very many: [09_own_images](09_own_images.ipynb) measures
# what one is worth for your images.

# %% [markdown]
# ## Three questions

# %% jupyter={"source_hidden": true}
# Quiz: three questions
Quiz(
    ("R@1 is 0.95 on held-out images of the classes you trained on. Will it find next year's products?",
     ["nobody knows", "yes, for 95% of the queries", "no, it never does"],
     "Held-out images say nothing of other classes. Hold out whole classes, and measure on these."),
    ("You may label 1,000 images, and unseen classes are to be found. Which do you label?",
     ["5 images of each of 200 classes", "100 images of each of 10 classes", "it makes no difference"],
     "Section 7 shows it: 2 images of each of 100 classes teach more than all images of 10."),
    ("Your 5-way 1-shot accuracy is 98%. Is it a good search among 5,000 classes?",
     ["it says little about that", "yes, 98% of the answers are right", "no, it is 98% / 1,000"],
     "Among more classes more look alike. Measure R@1 in a gallery of the size you will have."),
)  # fmt: skip

# %% [markdown]
# **Remember**
#
# - What the network learned from some characters holds for characters to come: one example of each finds most of them.
# - A hundred classes teach more than ten, even with 2 images of each: collect classes first, then images.
# - For most of the mistakes that remain the right class is among the first five; the pairs mixed up most often look alike.
# - Whether an embedding carries over is seen on classes held out of the training, measured beside pixels.
#
# ## Exercises
#
# The five above are solved, each with a sentence on what it shows, in
# [solutions/07_unseen_classes](solutions/07_unseen_classes.ipynb).
#
# ## What's next
#
# [08_look_at_it](08_look_at_it.ipynb) shows where an embedding fails, in pictures. With images of your own,
# `data.from_folder("my_images").split_classes()` holds classes out: its `train` and `test` are `seen` and `unseen`. How a
# search in use can also answer *Unknown* is in [05_choose_a_threshold](05_choose_a_threshold.ipynb).
#
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
#
# ## References
#
# - Lake, Salakhutdinov and Tenenbaum, *Human-level Concept Learning through Probabilistic Program Induction*, Science 2015
#   (Omniglot). <https://doi.org/10.1126/science.aab3050>
# - Vinyals et al., *Matching Networks for One Shot Learning*, NeurIPS 2016. <https://arxiv.org/abs/1606.04080>
# - Snell, Swersky and Zemel, *Prototypical Networks for Few-shot Learning*, NeurIPS 2017; its table holds both published
#   rows. <https://arxiv.org/abs/1703.05175>
# - Musgrave, Belongie and Lim, *A Metric Learning Reality Check*, ECCV 2020 (R@1 and MAP@R on unseen classes).
#   <https://arxiv.org/abs/2003.08505>
