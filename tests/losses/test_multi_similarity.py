import numpy as np
import pytest

from simnb.losses import multi_similarity_loss


def by_hand(labels, embeddings, alpha, beta, epsilon, lam):
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    losses = []
    for i, anchor in enumerate(unit):
        same = [float(anchor @ unit[j]) for j in range(len(unit)) if labels[j] == labels[i] and j != i]
        other = [float(anchor @ unit[j]) for j in range(len(unit)) if labels[j] != labels[i]]
        near = [s for s in same if epsilon is None or (other and s < max(other) + epsilon)]
        far = [s for s in other if epsilon is None or (same and s > min(same) - epsilon)]
        pull = np.log(1 + sum(np.exp(-alpha * (s - lam)) for s in near)) / alpha
        push = np.log(1 + sum(np.exp(beta * (s - lam)) for s in far)) / beta
        losses.append(pull + push)
    return losses


@pytest.mark.parametrize(
    "change", [{}, {"alpha": 5.0}, {"beta": 10.0}, {"epsilon": 0.5}, {"epsilon": None}, {"lam": 0.1}]
)
def test_multi_similarity_equals_its_loop(change, follows_its_loop):
    options = {"alpha": 2.0, "beta": 40.0, "epsilon": 0.1, "lam": 0.5, **change}
    follows_its_loop(
        lambda y, e: multi_similarity_loss(y, e, **options), lambda y, e: by_hand(y, e, **options)
    )
