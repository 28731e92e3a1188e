"""Whether embeddings fall into clusters that are the classes."""

import numpy as np

from simnb import _checks
from simnb.index import UNKNOWN

_STARTS = 4  # runs of k-means, of which the tightest counts


def clustering_scores(embeddings, labels, *, num_clusters=None, seed=0):
    """Compare the clusters k-means finds with the classes.

    Rows are scaled to length 1 first, so that clusters are by cosine distance.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples]. Examples labelled ``UNKNOWN`` are left out.
        num_clusters: As many as there are classes when left out.
        seed: Of the starting points.

    Returns:
        A dict of floats: ``nmi``, normalized mutual information, 0 to 1; and ``ari``, adjusted Rand index,
        1 where clusters are the classes, around 0 by chance.

    Raises:
        ValueError: If lengths differ, a row is zero or not finite, no example has a class, or there are more
            clusters than examples.

    References:
        Vinh et al., Information Theoretic Measures for Clusterings Comparison, 2010.
        https://jmlr.org/papers/v11/vinh10a.html
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    embeddings = _checks.embeddings(embeddings, nonzero=True)
    labels = _checks.labels(labels, count=len(embeddings))
    embeddings, labels = embeddings[labels != UNKNOWN], labels[labels != UNKNOWN]
    _checks.not_empty(labels, name="labels other than UNKNOWN")
    if num_clusters is None:
        num_clusters = len(np.unique(labels))
    if _checks.positive_int(num_clusters, name="num_clusters") > len(labels):
        raise ValueError(f"num_clusters must be at most the {len(labels)} examples, got {num_clusters}")
    # By the largest entry first: the squares of small and of large ones do not fit float32.
    rows = embeddings / np.abs(embeddings).max(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    clusters = KMeans(num_clusters, n_init=_STARTS, random_state=_checks.seed(seed)).fit_predict(rows)
    return {
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }
