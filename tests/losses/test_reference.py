"""Every loss against pytorch-metric-learning 2.9.0 (PyTorch 2.13.0, float64), on the batch of conftest.py.

The reference averages over the anchors, pairs or triplets there are; the lone example of class 3 has no
positive, and its loss of 0 is left out of the mean where the reference leaves it out.
"""

import keras
import pytest

from simnb import losses

values = keras.ops.convert_to_numpy


def over_anchors(loss, labels):
    """Mean over the anchors with a positive; the others have a loss of 0."""
    loss = values(loss)
    assert loss[labels == 3].tolist() == [0.0]
    return loss[labels != 3].mean()


def test_multi_similarity_is_the_papers(batch):
    assert values(losses.multi_similarity_loss(*batch)).mean() == pytest.approx(1.1541535859606027, rel=1e-5)
    unmined = values(losses.multi_similarity_loss(*batch, epsilon=None)).mean()
    assert unmined == pytest.approx(1.190162287307651, rel=1e-5)


@pytest.mark.parametrize(
    ("distance", "hard", "every", "above_zero"),
    [
        ("euclidean", 0.916744629177915, 0.36309913899830215, 0.4400117645004056),
        ("squared_euclidean", 1.9611649225002878, 0.6959240638174156, 0.9510962205504679),
    ],
)
def test_hard_and_all_triplets_are_the_papers(batch, distance, hard, every, above_zero):
    labels = batch[0]
    loss = losses.triplet_loss(*batch, negative_mining="hard", distance=distance)
    assert over_anchors(loss, labels) == pytest.approx(hard, rel=1e-5)
    loss = losses.batch_all_triplet_loss(*batch, distance=distance)
    assert over_anchors(loss, labels) == pytest.approx(every, rel=1e-5)
    loss = losses.batch_all_triplet_loss(*batch, skip_zeros=True, distance=distance)
    assert over_anchors(loss, labels) == pytest.approx(above_zero, rel=1e-5)


def test_circle_is_the_papers(batch):
    loss = losses.circle_loss(*batch, gamma=80, margin=0.4)
    assert values(loss).mean() == pytest.approx(130.28969077452268, rel=1e-5)


@pytest.mark.parametrize(("temperature", "expected"), [(0.07, 8.488881882150634), (0.5, 2.5776792440128196)])
def test_supervised_contrastive_is_the_papers(batch, temperature, expected):
    loss = losses.supervised_contrastive_loss(*batch, temperature=temperature)
    assert values(loss).mean() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("temperature", "expected"), [(0.07, 9.444063843742668), (0.5, 2.7174611544513665)])
def test_nt_xent_is_the_mean_over_positive_pairs(batch, temperature, expected):
    loss = losses.nt_xent_loss(*batch, temperature=temperature)
    assert over_anchors(loss, batch[0]) == pytest.approx(expected, rel=1e-5)


def test_lifted_structure_is_the_mean_over_positive_pairs(batch):
    loss = losses.lifted_structure_loss(*batch, margin=1.0)
    assert over_anchors(loss, batch[0]) == pytest.approx(7.882781678285098, rel=1e-5)


def test_contrastive_is_the_mean_over_positive_plus_that_over_negative_pairs(batch):
    # With a margin of 0 no negative pair has a loss.
    pull = losses.contrastive_loss(*batch, margin=0, squared=False)
    push = values(losses.contrastive_loss(*batch, margin=1, squared=False)) - values(pull)
    assert over_anchors(pull, batch[0]) + push.mean() == pytest.approx(1.4431947390651638, rel=1e-5)
