"""What both kinds of models have beyond Keras's: an index of what they embed, which is saved with them."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from simnb import _checks, _files, _replicas
from simnb._keras import keras
from simnb._types import AnyPath, KerasObject
from simnb.calibration import OPTIMAL, Calibration, calibrate
from simnb.matching import UNKNOWN, match
from simnb.tfsim.classification_metrics import ClassificationMetric, make_classification_metric
from simnb.tfsim.distances import Distance, distance_canonicalizer
from simnb.tfsim.matchers import ClassificationMatch, make_classification_matcher
from simnb.tfsim.models._gallery import FOLDER, Gallery
from simnb.tfsim.models._results import matching_values, neighbors_needed, print_table, results_of
from simnb.tfsim.retrieval_metrics import RetrievalMetric
from simnb.tfsim.types import CalibrationResults, Lookup

if TYPE_CHECKING:
    import pandas
    from keras import Model
else:
    Model = object  # Keras looks for its own class among the bases of each model, and exchanges it there

_SEARCHES = {"nmslib": "exact", "faiss": "exact", "linear": "exact", "exact": "exact", "hnsw": "hnsw"}


class Indexing(Model):
    """Index, look up, calibrate, match and save; subclasses say how ``_embed`` embeds."""

    _gallery: Gallery | None = None
    _with_index = True  # whether the index is saved with the model

    def create_index(
        self,
        distance: str | Distance = "cosine",
        search: str = "nmslib",
        kv_store: str = "memory",
        evaluator: str = "memory",
        embedding_output: int | None = None,
        stat_buffer_size: int = 1000,
    ) -> None:
        """Begin an empty index, which ``compile`` does too.

        Args:
            distance: Name of a distance, alias, or ``Distance``.
            search: ``exact`` (also ``nmslib`` and ``faiss``: exact search is fast enough for what fits in
                memory), or ``hnsw``, a graph, with ``pip install "simnb[ann]"``.
            kv_store: Must be ``memory``.
            evaluator: Must be ``memory``.
            embedding_output: Number of the output that is indexed; None for the first.
            stat_buffer_size: Has no effect.

        Raises:
            ValueError: If there is no such distance, or anything else is asked for.
        """
        _checks.one_of(search, _SEARCHES, name="search")
        for name, value in (("kv_store", kv_store), ("evaluator", evaluator)):
            if value != "memory":
                raise ValueError(
                    f'{name} must be "memory", got {value!r}; simnb.index.open_index(uri) keeps rows in a '
                    "SQLite file or in Milvus"
                )
        self._embedding_output = embedding_output or 0
        self._set_gallery(Gallery(distance_canonicalizer(distance).name, _SEARCHES[search]))

    def _set_gallery(self, gallery):
        self.__dict__["_gallery"] = gallery  # past Keras, which would track it

    @property
    def _filled(self):
        gallery = self._made
        if len(gallery.index) == 0:
            raise ValueError("the index is empty: call index(x, y) first")
        return gallery

    @property
    def _made(self):
        if self._gallery is None:
            raise ValueError("there is no index yet: call compile(...) or create_index() first")
        return self._gallery

    def reset_index(self) -> None:
        """Empty the index, and forget the calibration that belonged to it."""
        gallery = self._made
        self._set_gallery(Gallery(gallery.index.distance, gallery.search))

    def index(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        data: Sequence[Any] | None = None,
        build: bool = True,
        verbose: int = 1,
    ) -> None:
        """Embed examples and index them.

        Args:
            x: Examples, shape [num_examples, ...].
            y: Class of each, or None.
            data: What lookups are to give back with each, such as x; None for nothing.
            build: Has no effect: the index is always ready.
            verbose: Whether to print how many examples there are.

        Raises:
            ValueError: If lengths differ; the index is then unchanged.
        """
        x = np.asarray(x)
        if verbose:
            print(f"[Indexing {len(x)} points]")
        self._made.add(self._embed(x), None if y is None else np.asarray(y).ravel(), data)

    def index_single(
        self, x: ArrayLike, y: int | None = None, data: Any = None, build: bool = True, verbose: int = 1
    ) -> None:
        """Embed one example and index it; the arguments are those of ``index``, without the first axis."""
        one_data = None if data is None else [data]
        self.index(np.asarray(x)[None], None if y is None else [y], one_data, build, verbose)

    def lookup(self, x: ArrayLike, k: int = 5, verbose: int = 1) -> list[list[Lookup]]:
        """For each example a list of its k nearest indexed ones, nearest first.

        Raises:
            ValueError: If the index is empty.
        """
        gallery = self._filled
        found = gallery.index.search(self._embed(x), k=_checks.positive_int(k, name="k"))
        there = found.ids != UNKNOWN
        ids, where = np.unique(found.ids[there], return_inverse=True)
        embeddings = gallery.index.get(ids).embeddings
        lookups: list[list[Lookup]] = [[] for _ in range(len(found))]
        for (i, j), row in zip(np.argwhere(there).tolist(), where.ravel(), strict=True):
            label = None if found.labels[i, j] == UNKNOWN else int(found.labels[i, j])
            data = gallery.data(int(found.ids[i, j]))
            lookups[i].append(Lookup(j + 1, float(found.distances[i, j]), label, embeddings[row], data))
        return lookups

    def single_lookup(self, x: ArrayLike, k: int = 5) -> list[Lookup]:
        """The k nearest indexed examples of one."""
        return self.lookup(np.asarray(x)[None], k=k, verbose=0)[0]

    def calibrate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        thresholds_targets: Mapping[str, float] | None = None,
        k: int = 1,
        calibration_metric: str | ClassificationMetric = "f1",
        matcher: str | ClassificationMatch = "match_nearest",
        extra_metrics: Iterable[str | ClassificationMetric] = ("precision", "recall"),
        rounding: int = 2,
        verbose: int = 1,
    ) -> CalibrationResults:
        """Choose distances that are near enough, with ``simnb.calibration.calibrate``.

        Examples of a class that is not indexed count as unknown, and ought to be rejected.

        Args:
            x: Examples that were neither trained on nor indexed, shape [num_examples, ...].
            y: Class of each example.
            thresholds_targets: Values of the calibration metric to keep to, by name of the cutpoint.
            k: Neighbors that the matcher sees.
            calibration_metric: ``f1``, ``precision``, ``recall``, ``binary_accuracy`` or ``fpr``. The
                cutpoint ``optimal`` has the best of it, or of F1 under ``fpr``, which is best where
                everything is rejected.
            matcher: ``match_nearest`` or ``match_majority_vote``.
            extra_metrics: Other metrics to report.
            rounding: Digits after the point in the table.
            verbose: Whether to print the table.

        Returns:
            ``CalibrationResults``. A target that no distance meets is printed, and not among its cutpoints.

        Raises:
            ValueError: As ``simnb.calibration.calibrate``; the calibration there was is then kept.
        """
        gallery = self._filled
        wanted = make_classification_metric(calibration_metric)
        if wanted.of_calibration is None:
            raise ValueError(
                "calibration_metric must be f1, precision, recall, binary_accuracy or fpr, got "
                f"{wanted.name!r}; the others can be reported with extra_metrics"
            )
        metric, sign = wanted.of_calibration, ">="
        maximize = metric
        if metric == "false_acceptance":
            maximize, sign = "f1", "<="
        targets = thresholds_targets or {}
        gallery.calibration = calibrate(
            gallery.index.search(self._embed(x), k=k),
            np.asarray(y).ravel(),
            known_labels=gallery.known_labels,
            matcher=make_classification_matcher(matcher).matcher,
            maximize=maximize,
            targets={str(name): f"{metric} {sign} {value}" for name, value in targets.items()},
            gallery=gallery.index,
        )
        metrics = [make_classification_metric(each) for each in extra_metrics]
        others = [each for each in metrics if each.name != wanted.name]
        results = results_of(gallery.calibration, [wanted, *others])
        if verbose:
            print_table("Calibration", results.cutpoints.values(), rounding)
            for cut in gallery.calibration.cutpoints.values():
                if not cut.met:
                    closest = cut.rates[metric]
                    print(f"{cut.name}: no distance gives {cut.goal}; the closest has {closest:.3g}")
        return results

    @property
    def calibration(self) -> Calibration | None:
        """The ``simnb.calibration.Calibration`` behind ``calibrate``, or None."""
        return self._made.calibration

    def _calibrated(self):
        gallery = self._filled
        if gallery.calibration is None:
            raise ValueError("match needs a threshold: call calibrate(x, y) first")
        return gallery

    def match(
        self,
        x: ArrayLike,
        cutpoint: str = OPTIMAL,
        no_match_label: int = -1,
        k: int = 1,
        matcher: str | ClassificationMatch = "match_nearest",
        verbose: int = 0,
    ) -> list[int] | dict[str, list[int]]:
        """Give each example the class it matches, or ``no_match_label``.

        Args:
            x: Examples, shape [num_examples, ...].
            cutpoint: Name of a cutpoint; ``"all"`` for each that was met.
            no_match_label: What examples get that are too far from everything.
            k: Neighbors that the matcher sees.
            matcher: ``match_nearest`` or ``match_majority_vote``.
            verbose: Has no effect.

        Returns:
            A list of classes; for ``"all"`` a dict of such lists, by name of the cutpoint.

        Raises:
            ValueError: If nothing is calibrated, or the cutpoint is not there or was not met.
        """
        gallery = self._calibrated()
        cuts = gallery.calibration.cutpoints
        if cutpoint == "all":
            wanted = [cut for cut in cuts.values() if cut.met]
        else:
            wanted = [cuts[_checks.one_of(cutpoint, list(cuts), name="cutpoint")]]
            if not wanted[0].met:
                raise ValueError(f"cutpoint {cutpoint!r} was not met: no distance gives {wanted[0].goal}")
        neighbors = gallery.index.search(self._embed(x), k=k)
        kind = make_classification_matcher(matcher).matcher
        matched = {}
        for cut in wanted:
            labels = match(neighbors, cut.threshold, matcher=kind).labels
            matched[cut.name] = np.where(labels == UNKNOWN, no_match_label, labels).tolist()
        return matched if cutpoint == "all" else matched[cutpoint]

    def evaluate_retrieval(
        self, x: ArrayLike, y: ArrayLike, retrieval_metrics: Sequence[RetrievalMetric], verbose: int = 1
    ) -> dict[str, float]:
        """Metrics of the ranking of neighbors, by name.

        Args:
            x: Examples that are not indexed.
            y: Class of each example.
            retrieval_metrics: A list of ``tfsim.retrieval_metrics``.
            verbose: Whether to print them.
        """
        index = self._filled.index
        neighbors = index.search(self._embed(x), k=neighbors_needed(retrieval_metrics, len(index)))
        y, labels = np.asarray(y).ravel(), index.labels
        results = {m.name: float(m.compute(neighbors, y, labels)) for m in retrieval_metrics}
        if verbose:
            print_table("Retrieval", [results], 4)
        return results

    def evaluate_classification(
        self,
        x: ArrayLike,
        y: ArrayLike,
        k: int = 1,
        extra_metrics: Iterable[str | ClassificationMetric] = ("precision", "recall"),
        matcher: str | ClassificationMatch = "match_nearest",
        verbose: int = 1,
    ) -> dict[str, dict[str, Any]]:
        """Match other examples than those it was calibrated with; the arguments are those of ``calibrate``.

        Returns:
            By name of a cutpoint a dict of ``name``, ``distance`` and every metric, floats.
        """
        gallery = self._calibrated()
        neighbors, y = gallery.index.search(self._embed(x), k=k), np.asarray(y).ravel()
        options = {
            "matcher": make_classification_matcher(matcher).matcher,
            "metrics": [make_classification_metric(each) for each in ("f1", *extra_metrics)],
            "known_labels": gallery.known_labels,
        }
        results = {
            name: {"name": name, "distance": cut.threshold}
            | matching_values(neighbors, y, cut.threshold, **options)
            for name, cut in gallery.calibration.cutpoints.items()
            if cut.met
        }
        if verbose:
            print_table("Classification", list(results.values()), 4)
        return results

    def index_size(self) -> int:
        """How many examples are indexed."""
        return len(self._made.index)

    def index_summary(self) -> None:
        """Print what is indexed."""
        print(repr(self._made.index))
        print("calibration:", self._made.calibration)

    def to_data_frame(self, num_items: int = 0) -> "pandas.DataFrame":
        """A ``pandas.DataFrame`` of what is indexed: embeddings, labels, data.

        Args:
            num_items: How many rows; 0 for all.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_data_frame needs pandas: pip install pandas") from error
        gallery = self._made
        rows = gallery.index.get(gallery.index.ids[: num_items or None])
        labels = [None if label == UNKNOWN else int(label) for label in rows.labels]
        data = [gallery.data(row) for row in rows.ids.tolist()]
        columns = {"embeddings": list(rows.embeddings), "labels": labels, "data": data}
        return pandas.DataFrame(columns)

    def save_index(self, filepath: AnyPath, compression: bool = True) -> None:
        """Write the index, its data and the calibration into the folder ``index`` of ``filepath``.

        What was there is replaced in one step. ``compression`` has no effect: embeddings hardly shrink.
        """
        self._made.save(filepath)

    def load_index(self, filepath: AnyPath) -> None:
        """Read what ``save_index`` or ``save`` wrote at ``filepath``.

        Raises:
            ValueError: If there is no index, or it is broken; the index there was is then kept.
        """
        self._set_gallery(Gallery.load(Path(filepath)))

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **options: Any) -> KerasObject:
        """Train as Keras does, without its leak of memory."""
        with _replicas.without_leak(getattr(self, "optimizer", None)):
            return super().fit(*args, **options)

    def save(
        self,
        filepath: AnyPath,
        save_index: bool = True,
        compression: bool = True,
        overwrite: bool = True,
        include_optimizer: bool = True,
        **options: Any,
    ) -> None:
        """Write model, index and calibration; ``keras.models.load_model`` reads all of them again.

        Args:
            filepath: Name of a ``.keras`` file, or of a folder. What a save wrote there before is replaced
                once the new one is complete.
            save_index: Whether to save the index and the calibration too.
            compression: Has no effect.
            overwrite: Whether something saved there before may be replaced.
            include_optimizer: Must be True: Keras keeps the optimizer of a compiled model.
            **options: ``save_format="tf"`` or ``"keras"``, which have no effect: the ending says it.

        Raises:
            ValueError: If something is in the way, or another format is asked for.
        """
        save_format = options.pop("save_format", None)
        options = {name: value for name, value in options.items() if value not in (None, True)}
        if options:
            raise ValueError(
                f"save takes none of {', '.join(options)}: they belong to TensorFlow's SavedModel"
            )
        path = Path(filepath)
        if path.suffix in (".h5", ".hdf5") or save_format not in (None, "tf", "keras"):
            raise ValueError(f'filepath must end in ".keras" or be a folder, got {str(filepath)!r}')
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists: pass overwrite=True to replace it")
        if path.is_dir() and any(path.iterdir()) and not (path / "config.json").exists():
            raise ValueError(f"{path} is a folder of something else: choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.compiled and self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)  # else Keras cannot load it without a warning
        self._with_index = save_index
        try:
            with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                # Absolute, or Keras writes the index of a folder somewhere else and removes it.
                new = Path(folder).absolute() / f"model{path.suffix}"
                keras.saving.save_model(self, new, zipped=path.suffix == ".keras")
                _put(new, path)
        finally:
            self._with_index = True

    def get_compile_config(self) -> dict[str, Any] | None:
        """What Keras keeps of ``compile``, with the distance and the search."""
        config = super().get_compile_config()
        if config and self._gallery is not None:
            config["distance"], config["search"] = self._gallery.index.distance, self._gallery.search
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model as it was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def save_assets(self, dir_path: AnyPath) -> None:
        """Keras calls this as it saves the model: the index lies in the same file."""
        if self._gallery is not None and self._with_index:
            folder = Path(dir_path) / FOLDER
            folder.mkdir(parents=True)
            self._gallery.write(folder)

    def load_assets(self, dir_path: AnyPath) -> None:
        """Keras calls this as it loads the model."""
        folder = Path(dir_path) / FOLDER
        if folder.exists():
            self._set_gallery(Gallery.read(folder, dir_path))


def _put(new, path):
    """Put a new file or folder in the place of ``path``, whatever of ours was there before."""
    if new.is_file():
        with _files.replace_whole(path) as part:
            new.replace(part)
        return
    before = new.with_name("before")  # removed with the folder that ``new`` lies in
    if path.exists():
        path.rename(before)
    try:
        new.rename(path)
    except BaseException:  # after Ctrl-C, too
        if before.exists():
            before.rename(path)
        raise
