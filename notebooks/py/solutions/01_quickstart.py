# %% [markdown]
# # Solutions to lesson 01, find similar photographs
#
# The exercises are in [01_quickstart](../01_quickstart.ipynb). Try them first.
#
# To be short, nothing is trained here. `models.pretrained("cifar10-8")` learned from eight classes of photographs for much longer
# than the network of the lesson, so that its numbers are better. With digits the pixels are good enough.

# %%
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from simnb import data, losses, matching, metrics, models, plots
from simnb.search import SimilaritySearch

plots.style()


def pixels(images):
    """Every pixel a number."""
    return images.reshape(len(images), -1).astype("float32")


# %% tags=["nbval-ignore-output"]
name = data.default_name()
photographs = name == "cifar10"
examples = data.load(name, split="test" if photographs else "all")
unknown = list(models.provenance("cifar10-8")["unknown"]) if photographs else [6]
parts = examples.split(train=0, gallery=0.5, calibration=0.25, query=0.25, unknown=unknown, seed=0)
known = np.unique(parts.gallery.labels)
held_out = [parts.query.class_names[label] for label in parts.unknown]

# %% [markdown]
# ## Exercise 1: pixels

# %% tags=["nbval-ignore-output"]
by_pixels = SimilaritySearch(pixels)
by_pixels.add(parts.gallery)
queries = parts.query.only(known)
r1 = metrics.recall_at_k(by_pixels.lookup(queries, k=1), queries.labels, 1)
assert 0.2 < r1 <= 1
Markdown(
    f"Here, with a smaller gallery, R@1 by pixels is **{r1:.2f}**. It is well above chance, 1 of {len(known)}, because images of one "
    "class often share colors and places. It is the number that any network has to beat."
)

# %% [markdown]
# ## Exercise 2: how often an image is seen

# %%
epochs, images_in_batch = 6, 9 * 25
for steps, training_images, of in ((240, 32_400, "CIFAR-10"), (10, 969, "digits")):
    times_seen = epochs * steps * images_in_batch / training_images
    print(f"{of}: {epochs * steps} batches of {images_in_batch} images, each image {times_seen:.1f} times")

# %% [markdown]
# Few, compared with the hundreds of times that are usual in research. Shifted and mirrored, they are mostly not the same, so that
# there is less danger of learning them by heart.

# %% [markdown]
# ## Exercise 3: the loss of a network that knows nothing

# %%
loss_at_start = np.log(9)
labels, similarities = np.arange(225) % 9, np.ones((225, 9))  # every proxy is as similar as any other
loss = losses.NormalizedSoftmaxLoss(temperature=1 / 16, label_smoothing=0.1)
measured = float(loss(labels, similarities))
assert np.isclose(measured, loss_at_start, atol=1e-4)
print(f"log 9 = {loss_at_start:.3f}; the loss measures {measured:.3f}")

# %% [markdown]
# Whatever the temperature: where all are equal, each of the nine is as likely. So you know the loss of a network that has
# learned nothing, before you train one. The loss before the first step may even be higher: random weights are not undecided, they
# prefer some proxies for no reason.

# %% [markdown]
# ## Exercise 4: a precision of 0.97

# %% tags=["nbval-ignore-output"]
model = models.pretrained("cifar10-8", mirror=False, precision="auto") if photographs else pixels
search = SimilaritySearch(model, distance="cosine")
search.add(parts.gallery)
calibration = search.calibrate(parts.calibration, targets={"expensive": "precision >= 0.97"})
curves = calibration.curves
coverage_left = curves.coverage[curves.precision >= 0.97].max()
assert np.isclose(coverage_left, calibration["expensive"].rates["coverage"])
calibration

# %% tags=["nbval-ignore-output"]
Markdown(
    f"`calibrate` takes such a target, too, and finds the same: with a precision of 0.97 this search answers **{coverage_left:.0%}** of "
    "the known queries. A threshold cannot make a network better. It only chooses which of its answers to give."
)

# %% [markdown]
# ## Exercise 5: what unknown queries are called

# %% tags=["nbval-ignore-output"]
unknown = parts.query.only(held_out)
everything = matching.match(search.lookup(unknown, k=1))
plots.confusion_matrix(
    unknown.labels, everything.labels, class_names=unknown.class_names, known_labels=known,
    title="Without a threshold every unknown query gets a name",
)  # fmt: skip
plt.show()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
# Check: every unknown query got a name; which is given most often to each class.
assert everything.accepted.all()
said = []
for one in held_out:
    of_class = unknown.labels == unknown.class_names.index(one)
    names, times = np.unique(everything.labels[of_class], return_counts=True)
    said.append(
        f"{one} is called **{unknown.class_names[names[times.argmax()]]}** most often ({times.max() / times.sum():.0%})"
    )
Markdown(f"Here {' and '.join(said)}. An unknown query lands beside what looks most like it.")

# %% [markdown]
# When you are done, shut down the kernel: TensorFlow keeps its memory until then.
