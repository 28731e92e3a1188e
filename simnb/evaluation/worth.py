"""One table for one question: is it worth training?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA

from simnb import _checks, _table
from simnb._types import AnyPath, KerasObject
from simnb.data import Examples
from simnb.distances import BY_NAME
from simnb.evaluation import _fine_tuned
from simnb.evaluation._inputs import Labelled, pair
from simnb.evaluation.unseen import Scores, check_classes, embedded, leave_one_out, over_classes
from simnb.metrics import Interval, bootstrap_mean
from simnb.metrics.intervals import Bootstrap

_WAYS = ("no training", "centered", "whitened", "head")
_FINE_TUNED = "fine-tuned"
_LEAST = 1e-6  # share of the largest variance below which a component is only rounding


#: Columns of words.
_LEFT = ("",)


@dataclass(frozen=True, eq=False, repr=False)
class WorthTraining:
    """What each way of making embeddings finds, beside no training; it shows itself as a table.

    Attributes:
        figures: An ``Interval`` by metric and way, as in ``figures["recall@1"]["head"]``.
        differences: By the same names, but for "no training": how much more a way finds than that, with the
            interval of the difference on the same queries. Where it does not hold 0, it is no chance, with
            this confidence.
        scores: What figures are means of, by the same names: arrays of shape [num_examples].
        num_examples: Examples that are asked.
        num_classes: How many classes these are of.
        num_trained: How many of these classes the head was trained on, with other examples.
        confidence: Of the intervals.
    """

    figures: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    scores: Scores
    num_examples: int
    num_classes: int
    num_trained: int
    confidence: float

    def __repr__(self) -> str:
        return f"{self._caption()}\n{_table.as_text(*self._rows(), left=_LEFT)}"

    def _repr_html_(self) -> str:
        return _table.as_html(*self._rows(), caption=self._caption(), left=_LEFT)

    def _rows(self):
        head, rows = [""], [[way] for way in self.figures["recall@1"]]
        for metric, own in self.figures.items():
            head += [metric, "difference"]
            for row, (way, figure) in zip(rows, own.items(), strict=True):
                row += [f"{figure}", _signed(self.differences[metric].get(way))]
        return head, rows

    def _caption(self):
        trained = {0: "none", self.num_classes: "all"}.get(self.num_trained, f"{self.num_trained}")
        over = "examples" if self.num_trained == self.num_classes else "classes"
        return (
            f"{self.num_examples} examples of {self.num_classes} classes, {trained} of which were trained "
            f"on; {100 * self.confidence:g}% intervals over {over}"
        )


def worth_training(
    train: Labelled | Examples,
    test: Labelled | Examples,
    *,
    network: KerasObject | None = None,
    kept: AnyPath | None = None,
    fine_tune: int = 0,
    learning_rate: float = 1e-4,
    others: Mapping[str, ArrayLike] | None = None,
    head: KerasObject | None = None,
    embedding_size: int = 128,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
    progress: bool = True,
) -> WorthTraining:
    """Measure features as they are, and what cheap training makes of them.

    Each test example is asked of all others, by cosine distance. By way of making embeddings:

    - ``no training``: features as they are;
    - ``centered``: less the mean of the training features;
    - ``whitened``: centered, turned to their principal components (PCA) and scaled there to equal variance,
      the first ``embedding_size`` of them. (ZCA turns them back afterwards, which changes no distance: it
      would find the very same.)
    - ``head``: a linear layer that ``simnb.training.fit_head`` trains, in seconds;
    - ``fine-tuned``, where epochs are given: network and head, trained on together;
    - whatever else is passed, such as embeddings by a network that was trained in another way.

    Features are scaled to length 1 first. Mean, components and head come from the training rows alone. Where
    no test class, or not every one, is among those of the training, intervals are by the bootstrap over
    classes, which are drawn with all their examples: they say what other new classes would do, and are too
    narrow for fewer than some 20. Where all are, classes are those there will be, and examples are drawn
    within each.

    Args:
        train: Features, [num_train, dim], and labels of what may be learned from; or ``Examples``, of whose
            images ``network`` makes the features.
        test: Those of other examples: of the same classes, or of classes that are held out. A warning says
            how many are in both.
        network: What makes features of the images of ``Examples``: a Keras model, or any function that
            ``simnb.models.embed`` takes.
        kept: File that keeps these features, as in ``embed``: another call then embeds only what is new.
        fine_tune: Epochs for which what is trainable of the network, batch normalization excepted, trains on
            below the head, under ``SupervisedContrastiveLoss``; 0 for no such row. Network and head are
            afterwards as before.
        learning_rate: The peak of Adam's rate in this training. A large pretrained network asks for 1e-4 or
            less, a small one can take 1e-3.
        others: Embeddings of the test examples, in their order, by name, each [num_test, any dim]; such as
            ``{"longer": embed(model, images)}``. What made them must not have seen these examples.
        head: A head that was trained on ``train``, which gets features of length 1; None for one of
            ``fit_head`` with its own choices.
        embedding_size: Length of the vectors of head and whitening; at most that of the features.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times classes or examples are drawn.
        seed: Seed of the head and of the intervals.
        progress: Show how far embedding and training are, when they take more than five seconds.

    Returns:
        ``WorthTraining``, with ``recall@1`` and ``map@r``.

    Raises:
        ValueError: If train and test differ in dim, a test class has a single example, a name is taken,
            images are given without network or features with one, nothing of a network to be fine-tuned is
            trainable, or something is malformed.

    References:
        Wang et al., SimpleShot, 2019 (centring). https://arxiv.org/abs/1911.04623
        Jégou and Chum, Negative Evidences and Co-occurrences in Image Retrieval, 2012 (whitening).
        https://doi.org/10.1007/978-3-642-33709-3_55
        Musgrave et al., A Metric Learning Reality Check, 2020 (R@1, MAP@R). https://arxiv.org/abs/2003.08505

    Example:
        Images of one's own, two fifths of whose classes are held out::

            parts = data.from_folder("my_images", image_size=(224, 224), lazy=True).split_classes()
            network = models.backbone("dinov2_small", trainable=20)
            options = {"network": network, "kept": "features.sqlite", "fine_tune": 2}
            print(evaluation.worth_training(parts.train, parts.test, **options))
    """
    sure = {"confidence": confidence, "resamples": resamples, "seed": seed}
    Bootstrap.of(**sure)  # complains before the training, not after
    epochs = _checks.not_negative_int(fine_tune, name="fine_tune")
    rate = _checks.number(learning_rate, name="learning_rate", above=0)
    of_train, of_test = _features(train, test, network, kept, epochs, progress)
    (rows, labels), (asked, truth) = pair(of_train, "train"), pair(of_test, "test")
    size = min(_checks.positive_int(embedding_size, name="embedding_size"), rows.shape[1])
    if asked.shape[1] != rows.shape[1]:
        raise ValueError(f"train and test must have the same dim, got {rows.shape[1]} and {asked.shape[1]}")
    others = _checked({} if others is None else others, (*_WAYS, _FINE_TUNED) if epochs else _WAYS)
    rows = BY_NAME["cosine"].prepare(_checks.embeddings(rows, name="train", nonzero=True))
    given, truth = embedded({_WAYS[0]: asked, **others}, truth, "test", "cosine")
    check_classes(truth, 1, 0, 0, 0, seen=False)
    _warn_of_leaks(rows, given[_WAYS[0]])
    asked = given.pop(_WAYS[0])
    centered, whitened = asked - rows.mean(axis=0), _whitened(rows, asked, size)
    head, by_head = _by_head(head, rows, labels, asked, size, seed, progress)
    made = dict(zip(_WAYS, (asked, centered, whitened, by_head), strict=True))
    if epochs:
        images: Any = train, test
        options: Any = {"epochs": epochs, "learning_rate": rate, "seed": seed, "progress": progress}
        made[_FINE_TUNED] = _fine_tuned.fine_tuned(network, head, *images, **options)
    scores: Scores = {}
    for name, space in {**embedded(made, truth, "test", "cosine")[0], **given}.items():
        for metric, values in leave_one_out(space, truth, [1], "cosine").items():
            scores.setdefault(metric, {})[name] = values
    return _compared(scores, labels, truth, sure)


def _compared(scores, labels, truth, sure):
    """Means of scores, and of what they are above no training, with their intervals."""
    classes = np.unique(truth)
    trained = int(np.isin(classes, labels).sum())

    def mean(values):
        return _mean(values, truth, trained == len(classes), sure)

    figures = {metric: {way: mean(values) for way, values in own.items()} for metric, own in scores.items()}
    differences = {
        metric: {way: mean(values - own[_WAYS[0]]) for way, values in own.items() if way != _WAYS[0]}
        for metric, own in scores.items()
    }
    counts = len(truth), len(classes), trained
    return WorthTraining(figures, differences, scores, *counts, sure["confidence"])


def _features(train, test, network, kept, epochs, progress):
    """Train and test as pairs of features and labels."""
    parts = {"train": train, "test": test}
    images = [name for name, part in parts.items() if isinstance(part, Examples)]
    if network is None:
        if images:
            raise ValueError(f"{images[0]} are images: pass network=..., which makes features of them")
        if epochs or kept is not None:
            raise ValueError(
                "fine_tune and kept are about the features of images: pass Examples and network=..."
            )
        return train, test
    if len(images) < 2:
        raise ValueError("a network makes features of images: train and test must be Examples")
    for name, part in parts.items():
        _checks.labelled(part.labels, f"{name} of worth_training")
    if epochs:
        _fine_tuned.check(network)  # before the long work, not after
    # Not at the top: this half of the library needs no Keras.
    from simnb.models import embed

    options = {"kept": kept, "progress": progress}
    return [(embed(network, part.images, **options), part.labels) for part in (train, test)]


def _checked(others, ours):
    """Embeddings by name, of which none is one of ours."""
    if not isinstance(others, Mapping):
        raise ValueError(f"others must be a dict of embeddings by name, got {type(others).__name__}")
    taken = [name for name in others if name in ours]
    if taken:
        raise ValueError(f"others must have names of their own, got {taken[0]!r}, which is measured anyway")
    return others


def _warn_of_leaks(rows, asked):
    learned = {row.tobytes() for row in rows}
    both = sum(row.tobytes() in learned for row in asked)
    if both:
        _checks.warn(
            f"{both} of the {len(asked)} test features are also in train, so that training seems worth more "
            "than it is; leave them out (simnb.collection.leaks finds them), or split the examples first"
        )


def _whitened(rows, asked, size):
    """The first principal components of ``rows``, each with variance 1 there, of what is asked."""
    most = min(size, len(rows) - 1)
    if most < 1:
        raise ValueError(f"train must hold two examples or more to whiten by, got {len(rows)}")
    pca = PCA(most, svd_solver="covariance_eigh").fit(rows.astype(np.float64))
    variances = pca.explained_variance_
    kept = variances > _LEAST * variances[0]
    return (pca.transform(asked)[:, kept] / np.sqrt(variances[kept])).astype(np.float32)


def _by_head(head, rows, labels, asked, size, seed, progress):
    # Not at the top: this half of the library needs no Keras.
    from simnb._keras import ops
    from simnb.training import fit_head

    if head is None:
        head = fit_head(rows, labels, embedding_size=size, seed=seed, progress=progress)
    wanted = getattr(head, "input_shape", None)
    if not isinstance(wanted, tuple) or wanted[1:] != asked.shape[1:]:
        raise ValueError(f"head must take features of dim {asked.shape[1]}, got one of input shape {wanted}")
    return head, ops.convert_to_numpy(head(asked))


def _mean(scores, labels, within, sure):
    """A mean, and how far it varies with other examples of these classes, or with other classes."""
    return bootstrap_mean(scores, strata=labels, **sure) if within else over_classes(scores, labels, **sure)


def _signed(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
