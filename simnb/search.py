"""Similarity search in four verbs: add, lookup, calibrate, match; and one folder that keeps it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks, _saving
from simnb._types import AnyPath, KerasObject
from simnb.calibration import SHRINKAGE, Calibration, MatchProbability, calibrate, fit_probability
from simnb.data import Examples
from simnb.index import UNKNOWN, Index, Neighbors, Reranker, open_index
from simnb.matching import Matches, match
from simnb.models import embed

__all__ = ["SimilaritySearch"]

_Images: TypeAlias = ArrayLike | Examples


class SimilaritySearch:
    """An embedder, the index of its embeddings, and a calibrated threshold.

    Every verb takes images of shape [num_examples, height, width, channels], or ``Examples``, whose
    labels and ids are then used.

    Args:
        model: A Keras model that gives embeddings, or any function that does.
        distance: One of ``simnb.distances.DISTANCES``, for a new index; by default cosine.
        index: The index to search in; by default a new one in memory.
        batch_size: How many images are embedded at a time.

    Attributes:
        calibration: The last ``Calibration``, or None.
        probability: The last ``MatchProbability``, or None.

    Example:
        >>> import numpy as np
        >>> from simnb.search import SimilaritySearch
        >>> flat = lambda images: images.reshape(len(images), -1)
        >>> search = SimilaritySearch(flat)
        >>> search.add(np.eye(3).reshape(3, 3, 1, 1), labels=[0, 1, 2])
        array([0, 1, 2])
        >>> search.match(np.array([0.0, 1.0, 0.1]).reshape(1, 3, 1, 1), threshold=0.1).labels
        array([1])
    """

    def __init__(
        self,
        model: KerasObject,
        *,
        distance: str | None = None,
        index: Index | None = None,
        batch_size: int = 64,
    ) -> None:
        if index is not None and distance not in (None, index.distance):
            raise ValueError(f"distance must be that of the index, {index.distance!r}, got {distance!r}")
        self.model = model
        self.index = open_index(distance=distance or "cosine") if index is None else index
        self._indexed_examples: set[int] = set()  # ids that came from Examples, and so name images
        self._class_names: tuple[str, ...] | None = None  # of the first Examples indexed with their labels
        self._reranker: tuple[tuple[str, str], Reranker] | None = None  # and what it is made of
        self.batch_size = batch_size
        self.calibration: Calibration | None = None
        self.probability: MatchProbability | None = None

    def __repr__(self) -> str:
        calibrated = "not calibrated"
        if self.calibration is not None:
            chosen = self.calibration.cutpoint
            threshold = "by class" if chosen.by_class is not None else f"{chosen.threshold:.4g}"
            calibrated = f"threshold {threshold}" if chosen.met else f"{chosen} not met"
        return f"SimilaritySearch({self.index!r}, {calibrated})"

    def add(
        self, images: _Images, labels: ArrayLike | None = None, *, ids: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Embed images and index them; return their ids, shape [num_examples] int64.

        Args:
            images: Images, or ``Examples``, whose metadata is indexed too where their labels are.
            labels: Integers, shape [num_examples]; by default those of the ``Examples``. Without labels there
                is ``lookup``, but no ``calibrate`` and no ``match``.
            ids: Unique integers, shape [num_examples]; by default those of the ``Examples``, or the next
                free ones.

        Raises:
            ValueError: If anything is malformed, an id is taken or class names differ from those of the
                examples indexed before; the index is then unchanged.
        """
        if not isinstance(images, Examples):
            return self.index.add(self.embed(images), labels, ids=ids)
        own_labels, own_ids = labels is None, ids is None
        if own_labels:
            self._check_class_names(images)
            labels = images.labels
        metadata = images.metadata if own_labels else None
        added = self.index.add(
            self.embed(images), labels, metadata or None, ids=images.ids if own_ids else ids
        )
        if own_labels and not self._class_names:
            self._class_names = images.class_names
        if own_ids:
            self._indexed_examples.update(added.tolist())
        return added

    def lookup(self, images: _Images, k: int = 5, *, rerank: bool = False) -> Neighbors:
        """Find the k nearest indexed images of each image; of a smaller index the ``Neighbors`` are padded.

        Args:
            images: Images, or ``Examples``.
            k: How many neighbors.
            rerank: Whether to order them anew by the neighbors that they share with the query, as
                ``simnb.index.Reranker`` does. Their distances are then other ones, which it describes: the
                calibration does not apply to them, and ``match`` never re-ranks. The first time, and after
                each change of the index, all rows are compared with one another. (In Milvus only another
                number of rows is noticed.)

        Raises:
            ValueError: If the index is empty, the images are malformed or k is below 1.
        """
        self._check_not_empty("lookup")
        k, rows = _checks.positive_int(k, name="k"), self.embed(images)
        neighbors = (self._reranked() if rerank else self.index).search(rows, k=k)
        if neighbors.class_names is None:  # the index has the labels of Examples, and we their names
            neighbors = replace(neighbors, class_names=self._class_names)
        return neighbors

    def calibrate(
        self,
        images: _Images,
        labels: ArrayLike | None = None,
        *,
        k: int = 1,
        matcher: str = "nearest",
        maximize: str | None = None,
        targets: Mapping[str, str | float] | None = None,
        confidence: float | None = None,
        per_class: bool = False,
        shrinkage: float = SHRINKAGE,
        seed: int = 0,
    ) -> Calibration:
        """Choose distance thresholds on images that were neither trained on nor indexed.

        Queries of classes that the index does not hold count as unknown: they ought to be rejected.

        Args:
            images: Images, or ``Examples``.
            labels: Integers, shape [num_examples]; by default those of the ``Examples``.
            k: How many neighbors of a query the matcher sees.
            matcher: ``nearest`` or ``majority_vote``.
            maximize, targets, confidence, per_class, shrinkage, seed: As in ``simnb.calibration.calibrate``.

        Returns:
            The ``Calibration``, kept in ``self.calibration`` too. It knows the gallery it was made with.

        Raises:
            ValueError: If the index is empty or has no labels, an example has no label or is indexed, class
                names differ from those of the indexed examples, no query is of a known class, or an option is
                malformed. The calibration there was is then kept.
        """
        labels, known = self._fresh_labels(images, labels, "calibrate")
        neighbors = self.lookup(images, k=k)
        self.calibration = calibrate(
            neighbors,
            labels,
            known_labels=known,
            matcher=matcher,
            maximize=maximize,
            targets=targets,
            confidence=confidence,
            per_class=per_class,
            shrinkage=shrinkage,
            gallery=self.index,
            seed=seed,
        )
        return self.calibration

    def fit_probability(
        self, images: _Images, labels: ArrayLike | None = None, *, method: str = "isotonic"
    ) -> MatchProbability:
        """Learn how probably an answer is right, from its distance; kept in ``self.probability`` too.

        Answers are those of the calibration's matcher, or of the nearest neighbor where there is none.
        Raises what ``calibrate`` and ``simnb.calibration.fit_probability`` do.

        Args:
            images: Images, or ``Examples``, as for ``calibrate``; better others than those.
            labels: Integers, shape [num_examples]; by default those of the ``Examples``.
            method: ``isotonic`` or ``platt``, as in ``simnb.calibration.fit_probability``.
        """
        labels, known = self._fresh_labels(images, labels, "fit_probability")
        k, matcher = self._matching()
        found = match(self.lookup(images, k=k), matcher=matcher)
        self.probability = fit_probability(found, labels, known_labels=known, method=method, matcher=matcher)
        return self.probability

    def match(
        self,
        images: _Images,
        cutpoint: str | None = None,
        *,
        threshold: float | Mapping[int, float] | None = None,
    ) -> Matches:
        """Give each image the label of the class it matches, or ``UNKNOWN``.

        Args:
            images: Images, or ``Examples``.
            cutpoint: Name of a cutpoint of the calibration; by default its first.
            threshold: Largest distance that matches, instead of a calibrated one.

        Warns:
            RuntimeWarning: If rows were added or removed since the calibration, or these images lie at other
                distances than the calibration images.

        Raises:
            ValueError: If there is neither a calibration nor a threshold, the cutpoint is not there or its
                target not met, or the index is empty or has no labels.
        """
        if threshold is not None and cutpoint is not None:
            raise ValueError("match takes a cutpoint or a threshold, got both")
        k, matcher = self._matching()
        if threshold is not None:
            return match(self._labelled_neighbors(images, k), threshold, matcher=matcher)
        if self.calibration is None:
            raise ValueError("match needs a threshold: call calibrate(...) first, or pass threshold=...")
        return self.calibration.match(self._labelled_neighbors(images, k), cutpoint, gallery=self.index)

    def embed(self, images: _Images) -> NDArray[np.float32]:
        """Embed images or ``Examples``: unit vectors, shape [num_examples, dim] float32."""
        images = images.images if isinstance(images, Examples) else images
        return embed(self.model, images, batch_size=self.batch_size)

    def save(self, path: AnyPath, *, model: bool = True) -> None:
        """Keep embedder, gallery, calibration, probability and class names in one folder, for ``load``.

        Rows of an index that lives elsewhere, in a file or on a server, are copied into the folder. Of an
        embedder of ``simnb.models.from_torch`` the name and a digest of the weights are kept: ``load`` is
        then given it again.

        Args:
            path: Name of the folder. A search that was saved there is replaced in one step: whoever loads it
                gets the old one or the new one, also if saving is killed or the disk is full.
            model: False leaves the embedder out, which has to be a Keras model or one of ``from_torch``
                otherwise; ``load`` is then given it.

        Raises:
            ValueError: If the model cannot be saved, the index is closed or ``path`` is something else.
            OSError: If the folder cannot be written; a search that was there is then as before.
        """
        _saving.save(self, path, with_model=model)

    @classmethod
    def load(
        cls,
        path: AnyPath,
        *,
        model: KerasObject | None = None,
        uri: AnyPath = "memory:",
        search: str = "exact",
        recall: float = 0.95,
    ) -> "SimilaritySearch":
        """Open a folder that ``save`` wrote, once every part of it is found to be as it was written.

        The folder is only read: what is added afterwards is in it when ``save`` is called again.

        Args:
            path: Name of the folder.
            model: The embedder, where the folder holds none or another one is wanted. A saved one is loaded
                in Keras's safe mode, which runs no code from the file, and not compiled. One of
                ``from_torch`` must be given, with the name and the weights that it had.
            uri: Where the rows are to live, as in ``open_index``: in memory, or in an index that is made of
                them there.
            search, recall: As in ``open_index``.

        Raises:
            ValueError: If the folder is no saved search, a part of it is missing, changed or from a later
                version of simnb, it holds no model and none is given, or a PyTorch one of another name or
                other weights, or there is an index at ``uri``.
            OSError: If it cannot be read, or there is no room for a copy of it in the temporary folder.
        """
        return _saving.load(cls, path, model=model, uri=uri, search=search, recall=recall)

    def _reranked(self):
        """What re-ranks the rows as the index has them now."""
        rows = (self.index.fingerprint, self.index.distance)
        if self._reranker is None or self._reranker[0] != rows:
            self._reranker = None  # its rows are let go of before they are read again
            self._reranker = (rows, Reranker(self.index))
        return self._reranker[1]

    def _matching(self):
        """How many neighbors are matched by which matcher."""
        return (1, "nearest") if self.calibration is None else (self.calibration.k, self.calibration.matcher)

    def _fresh_labels(self, images, labels, verb):
        """Labels of images that are not indexed, and the classes of the index; or ValueError."""
        self._check_not_empty(verb)
        if labels is None and isinstance(images, Examples):
            _checks.labelled(images.labels, verb)
            self._check_class_names(images)
            labels = images.labels
        if labels is None:
            raise ValueError(f"{verb} needs the labels of the images, got none")
        known = self._known_classes(verb)
        if isinstance(images, Examples):
            self._check_not_indexed(images)
        return labels, known

    def _labelled_neighbors(self, images, k):
        """Neighbors of an index that has labels; or ValueError."""
        neighbors = self.lookup(images, k=k)
        if (neighbors.labels == UNKNOWN).all():  # else it has some, and need not be asked
            self._known_classes("match")
        return neighbors

    def _known_classes(self, verb):
        """Labels of the classes of the index; or ValueError."""
        known = np.unique(self.index.labels)
        known = known[known != UNKNOWN]
        if len(known) == 0:
            raise ValueError(
                f"{verb} needs a labelled index, but it was filled without labels; lookup needs none"
            )
        return known

    def _check_not_empty(self, verb):
        if len(self.index) == 0:
            raise ValueError(f"{verb} needs indexed images, but the index is empty: call add(...) first")

    def _check_not_indexed(self, images):
        indexed = self._indexed_examples.intersection(images.ids.tolist(), self.index.ids.tolist())
        if indexed:
            raise ValueError(
                f"calibration images must not be indexed, but {len(indexed)} of {len(images)} are, by their "
                "ids; their nearest neighbor would be themselves. If they are other images that were "
                "numbered alike, number them anew: from_folder(..., first_id=...), from_arrays(..., ids=...)"
            )

    def _check_class_names(self, examples):
        if self._class_names and (examples.labels != UNKNOWN).any():
            _checks.same_class_names(examples.class_names, self._class_names, of="these and indexed examples")
