"""Classes that the network never saw: how well they are found, and by how few examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from simnb import _checks, _table
from simnb.distances import BY_NAME, DISTANCES
from simnb.evaluation._inputs import Labelled, index_of, pair
from simnb.index import UNKNOWN, open_index
from simnb.metrics import Interval, bootstrap_ratio, recall_at_k, retrieval_scores
from simnb.metrics.intervals import Bootstrap
from simnb.metrics.ranking import Ranking

_NEIGHBORS = 1 << 21  # neighbors at a time: some 40 MB
_FEW = 20  # classes, below which the bootstrap over them gives intervals that are too narrow

#: Embeddings by name, each of shape [num_examples, dim], and their labels, shape [num_examples].
Embedded: TypeAlias = tuple[Mapping[str, ArrayLike], ArrayLike]
#: Numbers by metric and embedding.
Scores: TypeAlias = dict[str, dict[str, NDArray[np.float64]]]


#: Columns of words.
_LEFT = ("metric",)


@dataclass(frozen=True, eq=False, repr=False)
class UnseenClasses:
    """Figures of unseen classes, those of each embedding side by side; it shows itself as a table.

    Attributes:
        figures: An ``Interval`` by metric and embedding, as in ``figures["recall@1"]["trained"]``.
        scores: What each figure is the mean of, by the same names: an array of shape [num_examples] or, of
            N-way K-shot, [episodes]. They are of the same queries for every embedding. To tell two apart,
            compare means of classes, since the examples of one class are not independent:
            ``compare(per_class(a, labels)[1], per_class(b, labels)[1])``, both of ``simnb.metrics``. A
            comparison of episodes holds for these classes only.
        num_examples: Examples of the unseen classes.
        num_classes: How many these are.
        num_seen: Examples of seen classes; 0 where none were given.
        num_episodes: Episodes of each number of ways; 0 where none were asked for.
        confidence: Of the intervals.
    """

    figures: dict[str, dict[str, Interval]]
    scores: Scores
    num_examples: int
    num_classes: int
    num_seen: int
    num_episodes: int
    confidence: float

    def __repr__(self) -> str:
        return f"{self._caption()}\n{_table.as_text(*self._rows(), left=_LEFT)}"

    def _repr_html_(self) -> str:
        return _table.as_html(*self._rows(), caption=self._caption(), left=_LEFT)

    def _rows(self):
        names = list(next(iter(self.figures.values())))
        rows = [[metric, *(f"{own[name]}" for name in names)] for metric, own in self.figures.items()]
        return ["metric", *names], rows

    def _caption(self):
        seen = f", {self.num_seen} of seen ones" if self.num_seen else ""
        shots = (
            f"; N-way K-shot: over {self.num_episodes:,} episodes of these classes"
            if self.num_episodes
            else ""
        )
        few = f" (too narrow for fewer than {_FEW})" if self.num_classes < _FEW else ""
        return (
            f"{self.num_examples} examples of {self.num_classes} unseen classes{seen}; "
            f"{100 * self.confidence:g}% intervals over classes{few}{shots}"
        )


def unseen_classes(
    embeddings: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    seen: Embedded | None = None,
    k: int | Sequence[int] = (1, 5),
    ways: int | Sequence[int] = (5, 20),
    shots: int | Sequence[int] = (1, 5),
    queries: int = 15,
    episodes: int = 1_000,
    distance: str = "cosine",
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> UnseenClasses:
    """Measure embeddings on classes that the network was not trained on.

    A figure says little alone. Give a naive embedding (the pixels) and that of the same network untrained
    beside the trained one: all are asked the same queries in the same episodes. By metric:

    - ``recall@k`` (R@k) and ``map@r``: each example is asked of all others.
    - ``recall@1, seen added`` and ``lost to seen``, with ``seen``: its examples are searched too. The share
      of queries whose nearest row is of their own class, and the share whose nearest row is of a seen class:
      smaller is better. (Of equally near rows the seen one counts.)
    - ``5-way 1-shot`` and so on: accuracy in episodes. An episode draws N classes, and of each K shots and
      some queries. A query is answered by the nearest *prototype*, the mean of the shots of a class. Chance
      gives 1/N.
    - ``5-way 5-shot, nearest``: the same queries by the nearest shot. By one shot the two are the same.

    Under ``cosine`` shots are scaled to length 1 before their mean is taken: the distance does not look at
    lengths, and so a long shot must not count more than a short one. Other distances take shots as they are.
    Numbers of shots share their episodes, the fewer being the first of the more.

    Intervals of the first three are by the bootstrap over classes, which are drawn with all their examples:
    those of one class are not independent. Of fewer than some 20 classes they are too narrow. The interval of
    episodes is the field's, mean ± 1.96 standard errors (at 0.95). It tells how well these classes are
    measured, and narrows with ever more episodes; other classes may give another figure.

    Args:
        embeddings: Embeddings of the same examples by name, each of shape [num_examples, dim].
        labels: Class of each example, shape [num_examples]: unseen ones only.
        seen: Embeddings, by the same names, and labels of examples of the classes of the training; None to
            leave them out.
        k: One k or several, for R@k.
        ways: How many classes an episode has, one number or several; ``()`` for no episodes.
        shots: How many examples of each class are known.
        queries: How many others of each class are asked; glyphs, with 12 examples or more, allow 7.
        episodes: How many, of each number of ways.
        distance: One of ``simnb.distances.DISTANCES``; of the query to what is searched.
        confidence: Share of such intervals that hold the true figure, above 0 and below 1.
        resamples: How many times classes are drawn.
        seed: Seed of the episodes and of the intervals.

    Returns:
        ``UnseenClasses``.

    Raises:
        ValueError: If a class is among the seen and the unseen ones, a class has no two examples or too few
            for an episode, there are fewer classes than ways, or something is malformed.

    References:
        Lake et al., Human-level Concept Learning through Probabilistic Program Induction, 2015 (Omniglot; N
        ways). https://doi.org/10.1126/science.aab3050
        Snell et al., Prototypical Networks for Few-shot Learning, 2017. https://arxiv.org/abs/1703.05175
        Musgrave et al., A Metric Learning Reality Check, 2020 (R@1, MAP@R). https://arxiv.org/abs/2003.08505

    Example:
        >>> import numpy as np
        >>> from simnb.evaluation import unseen_classes
        >>> corners = np.repeat(np.eye(3), 4, axis=0)
        >>> labels = np.repeat([7, 8, 9], 4)
        >>> result = unseen_classes({"perfect": corners}, labels, ways=3, shots=1, queries=3, k=1)
        >>> result.figures["3-way 1-shot"]["perfect"]
        1.000 [1.000, 1.000]
    """
    _checks.one_of(distance, DISTANCES, name="distance")
    Bootstrap.of(confidence, resamples, seed)  # complains before the search, not after
    spaces, truth = embedded(embeddings, labels, "embeddings", distance)
    others, of_others = {}, truth[:0]
    if seen is not None:
        others, of_others = _seen(seen, spaces, truth, distance)
    ks, few, sizes = _several(k, "k"), _several(shots, "shots"), _several(ways, "ways", least=2, fewest=0)
    drawn = max(few) + _checks.positive_int(queries, name="queries")
    if _checks.positive_int(episodes, name="episodes") < 2:
        raise ValueError(f"episodes must be at least 2, whose spread gives the interval, got {episodes}")
    check_classes(truth, max(ks), max(sizes, default=0), max(few), queries, seen)
    by_example: Scores = {}
    for name, rows in spaces.items():
        found = leave_one_out(rows, truth, ks, distance)
        if others:
            found |= _with_seen(rows, truth, others[name], of_others, distance)
        for metric, values in found.items():
            by_example.setdefault(metric, {})[name] = values
    by_episode: Scores = {}
    for size in sizes:
        places = _episodes(truth, size, drawn, episodes, seed)
        by_episode |= _accuracies(spaces, places, few, distance)
    sure = {"confidence": confidence, "resamples": resamples, "seed": seed}
    figures = {
        metric: {name: over_classes(values, truth, **sure) for name, values in scores.items()}
        for metric, scores in by_example.items()
    } | {
        metric: {name: _over_episodes(values, confidence) for name, values in scores.items()}
        for metric, scores in by_episode.items()
    }
    counts = len(truth), len(np.unique(truth)), len(of_others), episodes if sizes else 0
    return UnseenClasses(figures, by_example | by_episode, *counts, confidence)


def few_shot(
    gallery: Labelled,
    queries: Labelled,
    classes: ArrayLike,
    *,
    shots: int | Sequence[int] = (1, 5, 20),
    repeats: int = 10,
    prototypes: bool = False,
    distance: str = "cosine",
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Measure how well classes are found of which the gallery holds only a few examples.

    All other classes are in the gallery with all their rows, so that the few stand against many: by chance a
    query is likelier near one of a thousand rows than near one of five. With ``prototypes`` one row stands
    against one. Where all classes have as few rows, ``unseen_classes`` measures them in episodes.

    Args:
        gallery: Embeddings and labels.
        queries: Those of the queries.
        classes: Labels of the classes of which only some rows are indexed.
        shots: How many rows of each, in turn.
        repeats: How many draws of these rows.
        prototypes: Whether each class is indexed as one row, the mean of its rows; under ``cosine`` these are
            scaled to length 1 first, as in ``unseen_classes``.
        distance: One of ``simnb.distances.DISTANCES``.
        seed: Seed of the draws.

    Returns:
        A dict of two arrays of shape [repeats, num_shots]: recall@1 of the queries of ``few`` classes and of
        the ``other`` ones; NaN where there is no query of the kind.

    Raises:
        ValueError: If a class has fewer rows than the largest of ``shots``, or something is malformed.

    References:
        Snell et al., Prototypical Networks for Few-shot Learning, 2017. https://arxiv.org/abs/1703.05175
    """
    (rows, labels), (asked, truth) = pair(gallery, "gallery"), pair(queries, "queries")
    classes = np.unique(_checks.labels(classes, name="classes"))
    sizes = [_checks.positive_int(size, name="shots") for size in np.atleast_1d(shots).tolist()]
    _checks.not_empty(sizes, name="shots")
    repeats = _checks.positive_int(repeats, name="repeats")
    rng = np.random.default_rng(_checks.seed(seed))
    of_class = {label: np.flatnonzero(labels == label) for label in classes.tolist()}
    short = [label for label, positions in of_class.items() if len(positions) < max(sizes)]
    if short:
        raise ValueError(
            f"every one of classes must have {max(sizes)} rows in the gallery, "
            f"but {short[0]} has {len(of_class[short[0]])}"
        )
    if prototypes:
        rows = BY_NAME[_checks.one_of(distance, DISTANCES, name="distance")].prepare(rows)
    pick = _means if prototypes else lambda rows, labels: (rows, labels)
    index, others = open_index(distance=distance), ~np.isin(labels, classes)
    if others.any():
        index.add(*pick(rows[others], labels[others]))
    few = np.isin(truth, classes)
    measured = {name: np.full((repeats, len(sizes)), np.nan) for name in ("few", "other")}
    for repeat in range(repeats):
        drawn = {label: rng.permutation(positions) for label, positions in of_class.items()}
        for column, size in enumerate(sizes):
            chosen = np.concatenate([positions[:size] for positions in drawn.values()])
            ids = index.add(*pick(rows[chosen], labels[chosen]))
            found = index.search(asked, k=1)
            index.remove(ids)
            for name, kind in (("few", few), ("other", ~few)):
                if kind.any():
                    measured[name][repeat, column] = recall_at_k(found[kind], truth[kind])
    return measured


def _means(rows, labels):
    """Mean of the rows of each class."""
    classes, position, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(classes), rows.shape[1]))
    np.add.at(sums, position, rows)
    return sums / counts[:, None], classes


def embedded(embeddings, labels, name, distance):
    """Embeddings by name as the distance compares them, and their labels."""
    if not isinstance(embeddings, Mapping) or not embeddings:
        kind = "an empty one" if isinstance(embeddings, Mapping) else type(embeddings).__name__
        raise ValueError(f"{name} must be a dict of embeddings by name, as in {{'trained': ...}}, got {kind}")
    labels = _checks.not_empty(_checks.labels(labels, name=f"labels of {name}"), name=f"labels of {name}")
    unknown = np.count_nonzero(labels == UNKNOWN)
    if unknown:
        raise ValueError(
            f"labels of {name} must name the class of every example, got UNKNOWN ({UNKNOWN}) for {unknown} "
            f"of {len(labels)}; leave these examples out"
        )
    spaces = {}
    for key, values in embeddings.items():
        if not isinstance(key, str):
            raise ValueError(f"names of {name} must be strings, got {key!r}")
        rows = _checks.embeddings(values, name=f"{name}[{key!r}]", nonzero=distance == "cosine")
        if len(rows) != len(labels):
            raise ValueError(
                f"{name} must all be of the same examples, one row for each of the {len(labels)} labels, "
                f"got {len(rows)} rows in {key!r}"
            )
        spaces[key] = BY_NAME[distance].prepare(rows)
    return spaces, labels


def _seen(seen, spaces, labels, distance):
    try:
        embeddings, of_seen = seen
    except (TypeError, ValueError):
        raise ValueError(
            f"seen must be a pair (embeddings by name, labels), got {type(seen).__name__}"
        ) from None
    others, of_seen = embedded(embeddings, of_seen, "seen", distance)
    if set(others) != set(spaces):
        raise ValueError(
            f"seen must hold embeddings by the same names, {_checks.listed(spaces)}, "
            f"got {_checks.listed(others)}"
        )
    for key, rows in spaces.items():
        if others[key].shape[1] != rows.shape[1]:
            raise ValueError(
                f"seen[{key!r}] must have dim {rows.shape[1]} like embeddings[{key!r}], "
                f"got {others[key].shape[1]}"
            )
    both = np.intersect1d(labels, of_seen)
    if len(both):
        raise ValueError(
            f"seen and unseen classes must be disjoint, but {len(both)} are both, for example label "
            f"{both[0]}; leave the examples of classes that the network was trained on out of the unseen ones"
        )
    return others, of_seen


def _several(values, name, *, least=1, fewest=1):
    """One number or several, each once and at least ``least``."""
    numbers = [_checks.positive_int(value, name=name) for value in np.atleast_1d(values).tolist()]
    if len(numbers) < fewest:
        raise ValueError(f"{name} must be one number or several, got none")
    if min(numbers, default=least) < least:
        raise ValueError(f"{name} must be at least {least}, got {min(numbers)}")
    return list(dict.fromkeys(numbers))


def check_classes(labels, k, ways, shots, queries, seen):
    """Raise ValueError where the classes are too few or too small."""
    classes, sizes = np.unique(labels, return_counts=True)
    smallest = f"class {classes[sizes.argmin()]} has {sizes.min()}"
    if sizes.min() < 2:
        raise ValueError(
            "every class must have at least 2 examples, since each is to find the others of its class, but "
            f"{smallest}; leave such classes out"
        )
    if len(classes) < 2 and not seen:
        raise ValueError("there must be two unseen classes or more, or seen ones beside it, got one class")
    if k >= len(labels):
        raise ValueError(f"k must be at most the {len(labels) - 1} other examples, got {k}")
    if ways > len(classes):
        raise ValueError(
            f"ways must be at most the {len(classes)} unseen classes, got {ways}; "
            "ask for fewer, or for no episodes by ways=()"
        )
    if ways and sizes.min() < shots + queries:
        left = sizes.min() - shots
        fewer = f"pass queries={left} or fewer" if left > 0 else "ask for fewer shots"
        raise ValueError(
            f"every class must have {shots + queries} examples for {shots} shots and {queries} queries, but "
            f"{smallest}; {fewer}, or no episodes by ways=()"
        )


def leave_one_out(rows, labels, ks, distance):
    """Scores of each example, asked of all others."""
    index, places = index_of(rows, labels, distance), np.arange(len(rows))
    largest = int(np.unique(labels, return_counts=True)[1].max())
    depth = max(*ks, largest - 1) + 1  # one is the query itself
    names, size = [*(f"recall@{k}" for k in ks), "map@r"], max(1, _NEIGHBORS // depth)
    scores = {name: np.empty(len(rows)) for name in names}
    for start in range(0, len(rows), size):
        some = slice(start, start + size)
        found = index.search(rows[some], k=depth)
        of_some = retrieval_scores(found, labels[some], gallery_labels=labels, query_ids=places[some], k=ks)
        for name in names:
            scores[name][some] = of_some[name]
    return scores


def _with_seen(rows, labels, seen_rows, seen_labels, distance):
    """Whether the nearest row of each example, among all others, is of its class; whether of a seen one."""
    gallery_labels = np.concatenate([seen_labels, labels])
    index = index_of(np.concatenate([seen_rows, rows]), gallery_labels, distance)
    own = np.arange(len(seen_rows), len(index))
    _, nearest = Ranking(index.search(rows, k=2), labels, gallery_labels, own).nearest()
    found = {"recall@1, seen added": nearest == labels, "lost to seen": np.isin(nearest, seen_labels)}
    return {name: values.astype(np.float64) for name, values in found.items()}


def _episodes(labels, ways, size, episodes, seed):
    """Positions of some examples of some classes, again and again: shape [ways, size] each."""
    rng = np.random.default_rng([seed, ways])
    sizes = np.unique(labels, return_counts=True)[1]
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    for _ in range(episodes):
        classes = rng.choice(len(members), ways, replace=False)
        yield np.stack([rng.choice(members[one], size, replace=False) for one in classes])


def _accuracies(spaces, drawn, shots, distance):
    """Accuracy by metric and embedding, an array over the episodes that are drawn."""
    found = {}
    # One thread: products this small gain little by several, and wait for them where cores are shared.
    with threadpool_limits(1, user_api="blas"):
        for places in drawn:
            for name, rows in spaces.items():
                for metric, accuracy in _episode(rows[places], shots, distance):
                    found.setdefault(metric, {}).setdefault(name, []).append(accuracy)
    return {metric: {name: np.array(own) for name, own in named.items()} for metric, named in found.items()}


def _episode(rows, shots, distance):
    """Metrics and accuracies, of rows [ways, most shots and queries, dim]."""
    rows = rows.astype(np.float64)
    ways, most = len(rows), max(shots)
    queries = np.concatenate(rows[:, most:])
    prototypes = np.stack([rows[:, :count].mean(axis=1) for count in shots], axis=1)
    searched = np.concatenate(np.concatenate([prototypes, rows[:, :most]], axis=1))
    if distance == "cosine":  # rows nearly alike differ by less than what float32 rounds their lengths by
        queries, searched = (
            part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-300)
            for part in (queries, searched)
        )
    distances = BY_NAME[distance].pairwise(queries, searched).reshape(len(queries), ways, -1)
    truth = np.repeat(np.arange(ways), len(queries) // ways)
    for column, count in enumerate(shots):
        metric = f"{ways}-way {count}-shot"
        yield metric, (distances[:, :, column].argmin(axis=1) == truth).mean()
        if count > 1:
            to_class = distances[:, :, len(shots) : len(shots) + count].min(axis=2)
            yield f"{metric}, nearest", (to_class.argmin(axis=1) == truth).mean()


def over_classes(scores, labels, **options):
    """Mean over examples, and how far it varies with other classes."""
    place = np.unique(labels, return_inverse=True)[1]
    return bootstrap_ratio(np.bincount(place, weights=scores), np.bincount(place), **options)


def _over_episodes(accuracy, confidence):
    """Mean over episodes, and as many standard errors around it as the confidence asks."""
    mean = accuracy.mean()
    error = NormalDist().inv_cdf((1 + confidence) / 2) * accuracy.std(ddof=1) / np.sqrt(len(accuracy))
    return Interval(float(mean), float(max(0, mean - error)), float(min(1, mean + error)), confidence)
