# %% [markdown]
# # Solutions to lesson 07, classes that the network has never seen
#
# The exercises are in [07_unseen_classes](../07_unseen_classes.ipynb). Try them first.

# %% tags=["nbval-ignore-output"]
import numpy as np
from IPython.display import Markdown

from simnb import data, evaluation, losses, models, samplers, training
from simnb.augmentation import Augment

SEED = 0
name = data.default_name(many_classes=True)
model = models.pretrained(name, precision="auto")
size = model.input_shape[1:3]
unseen = data.load(name, split="test", image_size=size)
characters = np.unique(unseen.labels)
trained = {"trained": models.embed(model, unseen.images, batch_size=256)}

# %% [markdown]
# ## Exercise 1: R@1 by pixels

# %% tags=["nbval-ignore-output"]
pixels = {"pixels": 255 - unseen.images[..., 0].reshape(len(unseen), -1)}
guess = evaluation.unseen_classes(pixels, unseen.labels, k=1, ways=()).figures["recall@1"]["pixels"].value
assert 0.2 < guess < 0.4
Markdown(
    f"It is {guess:.2f}: far above chance, and far too little for a search. Pixels do not know what may vary."
)

# %% [markdown]
# ## Exercise 2: which of the 20 is the query?
#
# The same 20 shots and the same query as in the lesson.

# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(4)
twenty = unseen.only(rng.choice(characters, 20, replace=False)).take_per_class(2, seed=SEED)
twenty = twenty[np.argsort(twenty.labels, kind="stable")]
shots, asked = twenty[::2], twenty[1::2][7]
shots = shots[rng.permutation(20)]
mine = 1 + int(np.flatnonzero(shots.labels == asked.labels[0])[0])
Markdown(f"It is {mine}. You have seen each of them once: this is what *1-shot* means.")

# %% [markdown]
# ## Exercise 3: one shot among 100

# %% tags=["nbval-ignore-output"]
options = {"shots": 1, "queries": 3, "episodes": 100, "seed": SEED}
of_100 = evaluation.unseen_classes(trained, unseen.labels, ways=(20, 100), **options).figures
among_20, hundred_way = (of_100[f"{ways}-way 1-shot"]["trained"].value for ways in (20, 100))
assert 0.6 < hundred_way < among_20
Markdown(
    f"Chance falls from 5% to 1%; the accuracy falls from {among_20:.1%} to {hundred_way:.1%}. "
    "One example is still enough for most."
)

# %% [markdown]
# ## Exercise 4: a prototype of each class
#
# Gallery, queries and newcomers are those of the lesson.

# %% tags=["nbval-ignore-output"]
parts = unseen.split(train=0, gallery=0.6, calibration=0, query=0.4, seed=SEED)
is_query = np.isin(unseen.ids, parts.query.ids)
drawn = np.random.default_rng(SEED).permutation(characters)
here, newcomers = np.isin(unseen.labels, drawn[:200]), drawn[100:200]
pairs = [(trained["trained"][here & part], unseen.labels[here & part]) for part in (~is_query, is_query)]

# %% tags=["nbval-ignore-output"]
as_rows = evaluation.few_shot(*pairs, newcomers, shots=1, seed=SEED)["few"].mean()
as_prototype = evaluation.few_shot(*pairs, newcomers, shots=1, prototypes=True, seed=SEED)["few"].mean()
assert as_rows < as_prototype < 1
Markdown(
    f"R@1 of the newcomers is {as_prototype:.0%} instead of {as_rows:.0%}. Where one row stands against one, the single example "
    "of a newcomer is no longer outnumbered."
)

# %% [markdown]
# ## Exercise 5: trained on 30 classes
#
# The network and its batches are those of recipe 2 in section 7. To compare, it learns from 10 and from 100 classes, too.

# %% tags=["nbval-ignore-output"]
seen, fresh = data.load(name, split="train", image_size=size), unseen.only(drawn[:150])
order = np.random.default_rng(SEED).permutation(np.unique(seen.labels))
shape = {"widths": (16, 32, 32), "pooling": "average", "input_shape": (*size, 3), "precision": "auto"}
deal = {"classes_per_batch": 10, "examples_per_class": 12, "steps_per_epoch": 60, "seed": SEED}

# %% tags=["nbval-ignore-output"]
reached = {}
for number in (10, 30, 100):
    part = seen.only(order[:number])
    network = models.fast_resnet(**shape, whiten=part.images, seed=SEED)
    batches = samplers.BalancedBatches(part.images, part.labels, augment=Augment(crop=2, flip=False), **deal)
    loss = losses.SupervisedContrastiveLoss()
    training.fit(network, batches, loss=loss, optimizer="muon", seed=SEED, verbose=0)
    embeddings = {"": models.embed(network, fresh.images)}
    measured = evaluation.unseen_classes(embeddings, fresh.labels, k=1, ways=())
    reached[number] = measured.figures["recall@1"][""].value

# %% tags=["nbval-ignore-output"]
with_thirty = reached[30]
assert reached[10] < with_thirty < reached[100]
Markdown(
    f"R@1 is {with_thirty:.2f}. In this one run thirty classes lie between ten ({reached[10]:.2f}) and a hundred "
    f"({reached[100]:.2f})."
)
