"""Goes through a corpus: in a loop of this process, or with Ray on as many machines as there are."""

import contextlib
import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simnb import _checks
from simnb._terminal import progress_bar
from simnb._types import AnyPath
from simnb.scale.embedder import Embedder
from simnb.scale.sources import among, open_corpus


@dataclass(frozen=True)
class CorpusReport:
    """What became of a corpus.

    Attributes:
        embedded: Images that were embedded and written.
        present: Images that the index held already.
        unreadable: ``(key, reason)`` of each image that could not be read.
    """

    embedded: int
    present: int
    unreadable: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return (
            f"CorpusReport(embedded={self.embedded}, present={self.present}, "
            f"unreadable={len(self.unreadable)})"
        )


def embed_corpus(
    source: AnyPath | Iterable[AnyPath],
    embedder: Embedder,
    *,
    root: AnyPath | None = None,
    workers: int = 0,
    batch_size: int = 256,
    cpus_per_worker: float = 0.5,
    gpus_per_worker: float = 0,
    progress: bool = True,
) -> CorpusReport:
    """Embed a corpus into an index: what is not in it yet.

    Every batch is written when it is embedded: after an interrupt, a kill or a lost machine, call it again.
    An image that could not be read is named in a warning and in the report, and tried again the next time.

    Args:
        source: The corpus:

            - a folder with one sub-folder of images for each class, which become the labels;
            - a list of image files;
            - Parquet: one file, a folder of them, a list of them, or a URL that Apache Arrow can read.
        embedder: An ``Embedder``; for Parquet it names the columns.
        root: The folder of the corpus, where ``source`` is a list of some of its files: labels and names are
            then those that they have in it. Without it there are no labels, and files are known by their
            paths as they are given.
        workers: Processes that embed, run by Ray, each with its own model; 0 for a loop in this process. A
            cluster is used where ``ray.init(address=...)`` was called or ``RAY_ADDRESS`` is set; every
            machine then has to see the model, the images and the index under the same names.
        batch_size: How many images are read and written at a time.
        cpus_per_worker: How many CPUs Ray reserves for a worker. Reading needs CPUs too: a job whose workers
            take all of them would wait for ever, and is refused.
        gpus_per_worker: How many GPUs it reserves for one.
        progress: Show a bar when it takes more than five seconds.

    Returns:
        A ``CorpusReport``.

    Raises:
        FileNotFoundError: If there is no such folder, file or model.
        ValueError: If there is no image, the class folders seem to lie further below, a column is missing,
            two rows have the same key, a label is not among the class names, or the workers would take all
            CPUs.
        ImportError: If a package is missing: the message says how to install it.

    Warns:
        UserWarning: If images could not be read.

    Example:
        Read a folder on one machine, or with 8 workers::

            embedder = Embedder("embedder.keras", "gallery.sqlite")
            embed_corpus("photos", embedder)
            embed_corpus("photos", embedder, workers=8)
    """
    workers = _checks.not_negative_int(workers, name="workers")
    batch_size = _checks.positive_int(batch_size, name="batch_size")
    if not Path(embedder.model_path).exists():
        raise FileNotFoundError(f"no model {embedder.model_path}; expected a .keras file")
    corpus = open_corpus(source, root, embedder, progress)
    _check(corpus, source)
    embedder = dataclasses.replace(embedder, **_fixed(embedder, corpus))
    with _ray_for(workers, cpus_per_worker), contextlib.closing(embedder):
        held = np.sort(embedder.index.ids) if embedder.existing == "skip" else ()
        wanted = ~among(corpus.ids, held)
        if workers:
            embedder.close()  # some indexes let in one process only
            resources = {"num_cpus": cpus_per_worker, "num_gpus": gpus_per_worker or None}
            results = _with_ray(corpus, wanted, embedder, workers, batch_size, resources)
        else:
            results = map(embedder, corpus.batches(wanted, batch_size))
        embedded, unreadable = _collected(results, int(wanted.sum()), progress)
    unreadable = (*corpus.unreadable, *unreadable)
    _warn(unreadable, len(corpus.ids) + len(corpus.unreadable))
    return CorpusReport(embedded, int((~wanted).sum()), unreadable)


def _with_ray(corpus, wanted, embedder, workers, batch_size, resources):
    """Results of batches as they come, in any order."""
    import ray.data

    if not wanted.any():
        return
    results = corpus.dataset(wanted, workers).map_batches(
        Embedder,
        fn_constructor_kwargs=embedder.options,
        batch_size=batch_size,
        batch_format="pyarrow",
        # All from the start; a small corpus may leave some of them without work.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        **resources,
    )
    results.context.enable_progress_bars = False  # ours is shown
    yield from results.iter_batches(batch_size=None, batch_format="numpy")


@contextlib.contextmanager
def _ray_for(workers, cpus_per_worker):
    """Ray as it runs already, or on this machine until the end; nothing where there are no workers."""
    if not workers:
        yield
        return
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError('embedding with several workers needs Ray: pip install "simnb[ray]"') from error
    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Not every Ray asks for a token: on the loopback interface other machines cannot reach it.
        alone = {} if os.environ.get("RAY_ADDRESS") else {"address": "local", "_node_ip_address": "127.0.0.1"}
        ray.init(**alone)
    try:
        cpus = ray.cluster_resources().get("CPU", 0)
        if workers * cpus_per_worker >= cpus:
            raise ValueError(
                f"workers must leave CPUs for reading, got {workers} workers x {cpus_per_worker} CPUs of "
                f"{cpus:g} in all: fewer workers, or a smaller cpus_per_worker"
            )
        yield
    finally:
        if ours:
            ray.shutdown()


def _check(corpus, source):
    if len(corpus.ids) == 0 and not corpus.unreadable:
        raise ValueError(f"source must hold images, found none in {source!r}")
    unique, first, counts = np.unique(corpus.ids, return_index=True, return_counts=True)
    if len(unique) < len(corpus.ids):
        twice = corpus.key(int(first[counts > 1].min()))
        raise ValueError(
            f"keys must be unique in a corpus, but {len(corpus.ids) - len(unique)} of {len(corpus.ids)} came "
            f"before, such as {twice!r}"
        )


def _fixed(embedder, corpus):
    """Options that all workers need to have alike, on whatever machine they are."""
    names = corpus.class_names if embedder.class_names is None else embedder.class_names
    strange = set(corpus.class_names or ()) - set(names or ())
    if strange:
        raise ValueError(f"labels must be among class_names {_checks.listed(names)}; got {min(strange)!r}")
    uri = embedder.uri if "://" in embedder.uri else str(Path(embedder.uri).absolute())
    return {"class_names": names, "uri": uri, "model_path": str(Path(embedder.model_path).absolute())}


def _collected(results, count, progress):
    embedded, unreadable = 0, []
    with progress_bar(total=count, desc="Embedding", unit="image", shown=progress) as bar:
        for result in results:
            errors = result["error"].tolist()
            embedded += errors.count("")
            pairs = zip(result["key"].tolist(), errors, strict=True)
            unreadable += [(key, error) for key, error in pairs if error]
            bar.update(len(errors))
    return embedded, unreadable


def _warn(unreadable, count, shown=3):
    if not unreadable:
        return
    named = [f"{key} ({reason})" for key, reason in unreadable[:shown]]
    more = f" and {len(unreadable) - shown} more" if len(unreadable) > shown else ""
    message = f"{len(unreadable)} of {count} images could not be read: {', '.join(named)}{more}"
    _checks.warn(message, UserWarning)
