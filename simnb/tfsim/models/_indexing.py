"""The verbs that both kinds of models have over what they embed."""

from pathlib import Path

import numpy as np

from simnb import _checks
from simnb.calibration import OPTIMAL, calibrate
from simnb.matching import UNKNOWN, match
from simnb.metrics import evaluate_matches, known_queries
from simnb.tfsim.classification_metrics import make_classification_metric
from simnb.tfsim.distances import distance_canonicalizer
from simnb.tfsim.matchers import make_classification_matcher
from simnb.tfsim.models._gallery import Gallery
from simnb.tfsim.models._results import match_counts, print_table, results_of, value_of
from simnb.tfsim.types import Lookup

_SEARCHES = {"nmslib": "exact", "faiss": "exact", "linear": "exact", "exact": "exact", "hnsw": "hnsw"}


class Indexing:
    """Index, look up, calibrate and match; subclasses say how ``_embed`` embeds."""

    _gallery = None

    def create_index(
        self,
        distance="cosine",
        search="nmslib",
        kv_store="memory",
        evaluator="memory",
        embedding_output=None,
        stat_buffer_size=1000,
    ):
        """Begin an empty index, which ``compile`` does too.

        Args:
            distance: Name, alias or ``Distance``.
            search: ``exact`` (also ``nmslib`` and ``faiss``: exact search is fast enough for what fits in
                memory), or ``hnsw``, a graph, with ``pip install "simnb[ann]"``.
            kv_store: ``memory``.
            evaluator: ``memory``.
            embedding_output: Which output is indexed, where there are several; the first when left out.
            stat_buffer_size: Without effect.

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

    def reset_index(self):
        """Empty the index, and forget the calibration that belonged to it."""
        gallery = self._made
        self._set_gallery(Gallery(gallery.index.distance, gallery.search))

    def index(self, x, y=None, data=None, build=True, verbose=1):
        """Embed examples and index them.

        Args:
            x: Examples, shape [num_examples, ...].
            y: Class of each, or None.
            data: What lookups are to give back with each, such as x; nothing when left out.
            build: Without effect: the index is always ready.
            verbose: Whether to say how many.

        Raises:
            ValueError: If lengths differ; the index is then unchanged.
        """
        if verbose:
            print(f"[Indexing {len(x)} points]")
        self._made.add(self._embed(x), None if y is None else np.asarray(y).ravel(), data)

    def index_single(self, x, y=None, data=None, build=True, verbose=1):
        """Embed one example and index it; arguments as of ``index``, without the first axis."""
        one_data = None if data is None else [data]
        self.index(np.asarray(x)[None], None if y is None else [y], one_data, build, verbose)

    def lookup(self, x, k=5, verbose=1):
        """The k nearest indexed examples of each.

        Returns:
            For each example a list of ``Lookup``, nearest first.

        Raises:
            ValueError: If the index is empty.
        """
        gallery = self._filled
        found = gallery.index.search(self._embed(x), k=_checks.positive_int(k, name="k"))
        ids, where = np.unique(found.ids[found.ids != UNKNOWN], return_inverse=True)
        embeddings = gallery.index.get(ids).embeddings
        row_of = iter(where.ravel())
        return [
            [
                Lookup(
                    rank,
                    float(found.distances[i, rank - 1]),
                    None if found.labels[i, rank - 1] == UNKNOWN else int(found.labels[i, rank - 1]),
                    embeddings[next(row_of)],
                    gallery.data(int(found.ids[i, rank - 1])),
                )
                for rank in range(1, np.count_nonzero(found.ids[i] != UNKNOWN) + 1)
            ]
            for i in range(len(found))
        ]

    def single_lookup(self, x, k=5):
        """The k nearest indexed examples of one: a list of ``Lookup``."""
        return self.lookup(np.asarray(x)[None], k=k, verbose=0)[0]

    def calibrate(
        self,
        x,
        y,
        thresholds_targets=None,
        k=1,
        calibration_metric="f1",
        matcher="match_nearest",
        extra_metrics=("precision", "recall"),
        rounding=2,
        verbose=1,
    ):
        """Choose distances that are near enough, with ``simnb.calibration.calibrate``.

        Use examples that were neither trained on nor indexed. Those of a class that is not indexed count as
        unknown, and ought to be rejected.

        Args:
            x: Examples, shape [num_examples, ...].
            y: Class of each.
            thresholds_targets: By name the value of the calibration metric to keep to.
            k: Neighbors that the matcher sees.
            calibration_metric: ``f1``, ``precision``, ``recall``, ``binary_accuracy`` or ``fpr``. The
                cutpoint ``optimal`` is the best of it; under ``fpr``, the best F1, since rejecting
                everything has the best ``fpr``.
            matcher: ``match_nearest`` or ``match_majority_vote``.
            extra_metrics: What else to report.
            rounding: Digits in the table.
            verbose: Whether to print the table.

        Returns:
            ``CalibrationResults``. A target that no distance meets is not among its cutpoints, which is said.

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
        metric = wanted.of_calibration
        sign = "<=" if metric == "false_acceptance" else ">="
        targets = {
            str(name): f"{metric} {sign} {value}" for name, value in (thresholds_targets or {}).items()
        }
        calibration = calibrate(
            gallery.index.search(self._embed(x), k=k),
            np.asarray(y).ravel(),
            known_labels=self._known(gallery),
            matcher=make_classification_matcher(matcher).matcher,
            maximize="f1" if metric == "false_acceptance" else metric,
            targets=targets,
            gallery=gallery.index,
        )
        gallery.calibration = calibration
        metrics = [make_classification_metric(each) for each in extra_metrics]
        results = results_of(calibration, [wanted, *(m for m in metrics if m.name != wanted.name)])
        if verbose:
            rows = [
                {key: cut.get(key) for key in cut if key != "value"} for cut in results.cutpoints.values()
            ]
            print_table("Calibration", rows, rounding)
            for cut in calibration.cutpoints.values():
                if not cut.met:
                    print(
                        f"{cut.name}: no distance gives {cut.goal}; the closest has {cut.rates[metric]:.3g}"
                    )
        return results

    @staticmethod
    def _known(gallery):
        known = np.unique(gallery.index.labels)
        return known[known != UNKNOWN]

    @property
    def calibration(self):
        """The ``simnb.calibration.Calibration`` behind ``calibrate``, or None."""
        return self._made.calibration

    def _calibrated(self):
        gallery = self._filled
        if gallery.calibration is None:
            raise ValueError("match needs a threshold: call calibrate(x, y) first")
        return gallery

    def match(self, x, cutpoint=OPTIMAL, no_match_label=-1, k=1, matcher="match_nearest", verbose=0):
        """Give each example the class it matches, or ``no_match_label``.

        Args:
            x: Examples, shape [num_examples, ...].
            cutpoint: Name of a cutpoint; ``"all"`` for a dict with each that was met.
            no_match_label: For examples that are too far from everything.
            k: Neighbors that the matcher sees.
            matcher: ``match_nearest`` or ``match_majority_vote``.
            verbose: Without effect.

        Returns:
            A list of class numbers.

        Raises:
            ValueError: If nothing is calibrated, or the cutpoint is not there or was not met.
        """
        gallery = self._calibrated()
        calibration = gallery.calibration
        if cutpoint != "all":
            _checks.one_of(cutpoint, list(calibration.cutpoints), name="cutpoint")
        neighbors = gallery.index.search(self._embed(x), k=k)
        kind = make_classification_matcher(matcher).matcher

        def matched(cut):
            if not cut.met:
                raise ValueError(f"cutpoint {cut.name!r} was not met: no distance gives {cut.goal}")
            labels = match(neighbors, cut.threshold, matcher=kind).labels
            return np.where(labels == UNKNOWN, no_match_label, labels).tolist()

        if cutpoint == "all":
            return {name: matched(cut) for name, cut in calibration.cutpoints.items() if cut.met}
        return matched(calibration.cutpoints[cutpoint])

    def evaluate_retrieval(self, x, y, retrieval_metrics, verbose=1):
        """Metrics of the ranking of neighbors.

        Args:
            x: Examples that are not indexed.
            y: Class of each.
            retrieval_metrics: A list of ``tfsim.retrieval_metrics``.
            verbose: Whether to print them.

        Returns:
            A dict of floats, by name.
        """
        gallery = self._filled
        labels = gallery.index.labels
        k = max(len(labels) if getattr(m, "clip_at_r", False) else m.k for m in retrieval_metrics)
        neighbors = gallery.index.search(self._embed(x), k=min(k, len(labels)))
        y = np.asarray(y).ravel()
        results = {m.name: float(m.compute(neighbors, y, labels)) for m in retrieval_metrics}
        if verbose:
            print_table("Retrieval", [results], 4)
        return results

    def evaluate_classification(
        self, x, y, k=1, extra_metrics=("precision", "recall"), matcher="match_nearest", verbose=1
    ):
        """What matching at each cutpoint does on other examples than those it was calibrated with.

        Returns:
            By name of a cutpoint a dict of ``name``, ``distance`` and every metric, floats.
        """
        gallery = self._calibrated()
        cuts = {name: cut for name, cut in gallery.calibration.cutpoints.items() if cut.met}
        neighbors = gallery.index.search(self._embed(x), k=k)
        kind = make_classification_matcher(matcher).matcher
        labels, known = np.asarray(y).ravel(), self._known(gallery)
        metrics = [make_classification_metric(each) for each in ("f1", *extra_metrics)]
        results = {}
        for name, cut in cuts.items():
            answers = match(neighbors, cut.threshold, matcher=kind).labels
            rates = evaluate_matches(answers, labels, known_labels=known)
            counts = match_counts(answers, labels, known_queries(labels, known))
            values = {m.name: float(value_of(m, rates, counts)) for m in metrics}
            results[name] = {"name": name, "distance": cut.threshold, **values}
        if verbose:
            print_table("Classification", list(results.values()), 4)
        return results

    def index_size(self):
        """How many examples are indexed."""
        return len(self._made.index)

    def index_summary(self):
        """Print what is indexed."""
        gallery = self._made
        print(repr(gallery.index))
        print("calibration:", gallery.calibration)

    def to_data_frame(self, num_items=0):
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

    def save_index(self, filepath, compression=True):
        """Write the index, its data and the calibration into the folder ``index`` of ``filepath``.

        What was there is replaced in one step. ``compression`` is without effect: embeddings hardly shrink.
        """
        self._made.save(filepath)

    def load_index(self, filepath):
        """Read what ``save_index`` or ``save`` wrote at ``filepath``.

        Raises:
            ValueError: If there is no index, or it is broken; the index there was is then kept.
        """
        self._set_gallery(Gallery.load(Path(filepath)))

    def save_assets(self, dir_path):
        """Keras calls this as it saves the model: the index lies in the same file."""
        if self._gallery is not None and self._with_index:
            folder = Path(dir_path) / "index"
            folder.mkdir(parents=True)
            self._gallery.write(folder)

    def load_assets(self, dir_path):
        """Keras calls this as it loads the model."""
        folder = Path(dir_path) / "index"
        if folder.exists():
            self._set_gallery(Gallery.read(folder, dir_path))

    _with_index = True
