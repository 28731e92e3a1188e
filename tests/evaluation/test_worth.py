"""The table that says whether training is worth it."""

import dataclasses

import keras
import numpy as np
import pytest

from simnb import data, training
from simnb.evaluation import unseen_classes, worth_training
from simnb.index import open_index
from simnb.metrics import compare
from simnb.models import embed
from simnb.training import fit_head

DIM = 12


def features(classes, count, seed=0, shared=3.0):
    """Rows that share a large mean; classes differ where the noise is low. And their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(classes, count))
    centers = np.random.default_rng(99).normal(size=(40, DIM)) * 0.6
    noise = rng.normal(size=(len(labels), DIM)) * np.where(np.arange(DIM) < 5, 0.3, 1.5)
    return (centers[labels] * (np.arange(DIM) < 5) + noise + shared).astype(np.float32), labels


TRAIN, NEW_CLASSES = features(range(12), 10), features(range(20, 30), 9, seed=1)
NEW_EXAMPLES = features(range(12), 6, seed=2)


def map_to(kernel):
    """A head that is one matrix."""
    inputs = keras.Input((len(kernel),))
    layer = keras.layers.Dense(kernel.shape[1], use_bias=False)
    head = keras.Model(inputs, layer(inputs))
    layer.set_weights([kernel])
    return head


IDENTITY, BEST = map_to(np.eye(DIM)), map_to(np.eye(DIM)[:, :5])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_hand(rows, labels):
    """R@1 and MAP@R of each row among all others, in plain loops."""
    rows = unit(rows.astype(np.float64))
    recalls, maps = [], []
    for query in range(len(rows)):
        others = [other for other in range(len(rows)) if other != query]
        others.sort(key=lambda other: -float(rows[query] @ rows[other]))
        right = [bool(labels[other] == labels[query]) for other in others]
        r = sum(right)
        maps.append(sum(sum(right[: i + 1]) / (i + 1) for i in range(r) if right[i]) / r)
        recalls.append(float(right[0]))
    return np.array(recalls), np.array(maps)


def test_every_way_is_measured_as_in_plain_loops():
    result = worth_training(TRAIN, NEW_CLASSES, head=BEST, embedding_size=4, resamples=10)
    rows, asked = unit(TRAIN[0].astype(np.float64)), unit(NEW_CLASSES[0].astype(np.float64))
    mean = rows.mean(axis=0)
    variances, components = np.linalg.eigh(np.cov((rows - mean).T))
    ways = {
        "no training": asked,
        "centered": asked - mean,
        "whitened": (asked - mean) @ components[:, -4:] / np.sqrt(variances[-4:]),
        "head": asked[:, :5],
    }
    assert list(result.figures) == ["recall@1", "map@r"]
    assert list(result.figures["recall@1"]) == list(ways)
    for name, space in ways.items():
        for metric, expected in zip(result.figures, by_hand(space, NEW_CLASSES[1]), strict=True):
            np.testing.assert_allclose(result.scores[metric][name], expected, atol=1e-9)
            assert result.figures[metric][name].value == pytest.approx(expected.mean())
            if name != "no training":
                before = result.scores[metric]["no training"].mean()
                assert result.differences[metric][name].value == pytest.approx(expected.mean() - before)


def test_zca_would_find_the_same_as_pca():
    rows, asked = unit(TRAIN[0].astype(np.float64)), unit(NEW_CLASSES[0].astype(np.float64))
    variances, components = np.linalg.eigh(np.cov((rows - rows.mean(axis=0)).T))
    pca = (asked - rows.mean(axis=0)) @ components[:, -4:] / np.sqrt(variances[-4:])
    zca = pca @ components[:, -4:].T
    np.testing.assert_allclose(unit(pca) @ unit(pca).T, unit(zca) @ unit(zca).T)


def test_a_head_is_trained_and_training_shows_where_it_helps():
    result = worth_training(TRAIN, NEW_CLASSES, embedding_size=5, seed=1)
    assert result.differences["map@r"]["head"].low > 0
    same = worth_training(TRAIN, NEW_CLASSES, head=IDENTITY)
    assert same.differences["recall@1"]["head"].value == 0
    assert "head" in same.figures["recall@1"]


def test_intervals_are_over_classes_where_these_are_new_and_over_examples_where_they_are_not():
    options = {"head": BEST, "resamples": 200, "seed": 4}
    new = worth_training(TRAIN, NEW_CLASSES, **options)
    own = {"no training": NEW_CLASSES[0]}
    same = unseen_classes(own, NEW_CLASSES[1], k=1, ways=(), resamples=200, seed=4).figures
    assert repr(new.figures["map@r"]["no training"]) == repr(same["map@r"]["no training"])
    assert (new.num_trained, new.num_classes, new.num_examples) == (0, 10, 90)
    old = worth_training(TRAIN, NEW_EXAMPLES, **options)
    assert (old.num_trained, old.num_classes, old.num_examples) == (12, 12, 72)
    scores = old.scores["map@r"]
    expected = compare(scores["head"], scores["no training"], strata=NEW_EXAMPLES[1], resamples=200, seed=4)
    assert repr(old.differences["map@r"]["head"]) == repr(expected.difference)
    mixed = worth_training(TRAIN, features(range(8, 16), 6, seed=3), **options)
    assert mixed.num_trained == 4
    assert "4 of which were trained on; 95% intervals over classes" in repr(mixed)


def test_other_embeddings_stand_beside_and_it_shows_itself_as_a_table():
    others = {"fine-tuned": np.eye(40)[NEW_CLASSES[1]], "two layers": NEW_CLASSES[0][:, :3]}
    result = worth_training(TRAIN, NEW_CLASSES, others=others, head=BEST)
    assert result.figures["recall@1"]["fine-tuned"].value == 1
    lines = repr(result).splitlines()
    assert lines[0] == (
        "90 examples of 10 classes, none of which were trained on; 95% intervals over classes"
    )
    assert lines[1].split() == ["recall@1", "difference", "map@r", "difference"]
    assert [line[:11].strip() for line in lines[2:]] == list(result.figures["map@r"])
    assert "+" not in lines[2]
    assert lines[6].startswith("fine-tuned   1.000 [1.000, 1.000]  +0.")
    html = result._repr_html_()
    assert html.startswith("<table><caption>90 examples")
    assert html.count("<tr>") == 7


def test_few_training_rows_whiten_by_fewer_components():
    rows = TRAIN[0][:4], TRAIN[1][:4]
    result = worth_training(rows, NEW_CLASSES, head=BEST)
    assert np.isfinite(result.scores["map@r"]["whitened"]).all()
    twice = np.concatenate([TRAIN[0], TRAIN[0]], axis=1), TRAIN[1]  # half of the components are rounding
    test = np.concatenate([NEW_CLASSES[0], NEW_CLASSES[0]], axis=1), NEW_CLASSES[1]
    inputs = keras.Input((2 * DIM,))
    plain = worth_training(TRAIN, NEW_CLASSES, head=BEST).scores["map@r"]["whitened"]
    doubled = worth_training(twice, test, head=keras.Model(inputs, inputs + 0.0)).scores["map@r"]["whitened"]
    np.testing.assert_allclose(doubled, plain, atol=1e-6)


def test_test_rows_that_were_trained_on_are_warned_of():
    rows, labels = (
        np.concatenate([of_train[:3], of_test]) for of_train, of_test in zip(TRAIN, NEW_CLASSES, strict=True)
    )
    labels[:3] = labels[3]
    with pytest.warns(RuntimeWarning, match="3 of the 93 test features are also in train"):
        result = worth_training(TRAIN, (rows, labels), head=BEST)
    assert result.num_examples == 93


def pictures(classes, count, seed=0):
    """Images of 12 pixels, and what they show: those of ``features``."""
    rows, labels = features(classes, count, seed)
    images = np.clip(100 + 15 * rows, 0, 255).astype(np.uint8).reshape(-1, 3, 4, 1)
    return data.from_arrays(images, labels, ids=np.arange(len(labels)) + 1000 * seed)


def network():
    inputs = keras.Input((3, 4, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(keras.layers.Flatten()(inputs))
    start = keras.initializers.GlorotUniform(seed=0)
    return keras.Model(inputs, keras.layers.Dense(6, kernel_initializer=start)(x))


def test_images_are_embedded_and_network_and_head_fine_tuned_and_left_as_they_were(tmp_path):
    train, test, model = pictures(range(12), 10), pictures(range(20, 30), 9, seed=1), network()
    pairs = [(embed(model, part.images), part.labels) for part in (train, test)]
    head, before = fit_head(*pairs[0], embedding_size=4, steps=20), model.get_weights()
    of_head = head.get_weights()
    options = {"network": model, "head": head, "resamples": 10, "progress": False}
    result = worth_training(train, test, fine_tune=2, kept=tmp_path / "kept.sqlite", **options)
    assert list(result.figures["map@r"]) == ["no training", "centered", "whitened", "head", "fine-tuned"]
    by_hand = worth_training(*pairs, head=head, resamples=10)
    for way in by_hand.figures["map@r"]:
        np.testing.assert_allclose(result.scores["map@r"][way], by_hand.scores["map@r"][way], atol=1e-9)
    assert (result.scores["map@r"]["fine-tuned"] != result.scores["map@r"]["head"]).any()
    for weights, old in ((model.get_weights(), before), (head.get_weights(), of_head)):
        for one, other in zip(weights, old, strict=True):
            np.testing.assert_array_equal(one, other)
    with open_index(tmp_path / "kept.sqlite") as index:
        assert len(index) == len(train) + len(test) + 1  # a row says which embedder they are of


def test_fine_tuning_trains_as_fast_as_it_is_told_though_the_head_holds_its_own_images_apart(monkeypatch):
    rng, labels = np.random.default_rng(0), np.arange(30) % 3
    images = (200 * np.eye(12)[labels] + rng.integers(0, 20, (30, 12))).astype(np.uint8).reshape(-1, 3, 4, 1)
    train, test, model = data.from_arrays(images, labels), pictures(range(20, 30), 9, seed=1), network()
    rows = embed(model, images)
    head = map_to(np.linalg.lstsq(unit(rows), np.eye(3)[labels], rcond=None)[0])
    placed = unit(np.asarray(head(unit(rows))))
    near, same = placed @ placed.T, train.labels == train.labels[:, None]
    assert near[same].min() > near[~same].max() + 0.3  # a loss over hard pairs would be 0
    moved, fit = [], training.fit

    def watched(model, *args, **options):
        before = model.get_weights()
        fit(model, *args, **options)
        moved.append(max(np.abs(a - b).max() for a, b in zip(model.get_weights(), before, strict=True)))

    monkeypatch.setattr("simnb.training.fit", watched)
    for rate in (1e-3, 1e-4):
        options = {"network": model, "head": head, "learning_rate": rate, "resamples": 10}
        worth_training(train, test, fine_tune=4, **options)
    fast, slow = moved
    assert slow > 5e-5
    assert fast > 5 * slow


def test_fine_tuning_keeps_the_statistics_of_batch_normalization():
    train, test = pictures(range(12), 10), pictures(range(20, 30), 9, seed=1)
    inputs, dense = keras.Input((3, 4, 1)), network()
    norm = keras.layers.BatchNormalization(momentum=0.0)  # would take those of the last batch alone
    model = keras.Model(inputs, norm(dense(inputs)))
    options = {
        "network": model,
        "head": map_to(np.eye(6)),
        "fine_tune": 1,
        "resamples": 10,
        "progress": False,
    }
    dense.trainable = False  # so that nothing but these statistics could change
    norm.gamma.assign(np.arange(1.0, 7.0))
    scores = worth_training(train, test, **options).scores["map@r"]
    np.testing.assert_array_equal(scores["fine-tuned"], scores["head"])
    assert norm.trainable


def test_an_interrupted_fine_tuning_leaves_network_and_head_as_they_were(monkeypatch):
    train, test, model = pictures(range(12), 10), pictures(range(12), 3, seed=1), network()
    before = model.get_weights()

    def fit(model, *_, **__):
        model.set_weights([weights + 1 for weights in model.get_weights()])
        raise KeyboardInterrupt

    monkeypatch.setattr("simnb.training.fit", fit)
    with pytest.raises(KeyboardInterrupt):
        worth_training(train, test, network=model, head=map_to(np.eye(6)), fine_tune=1)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_images_and_networks_that_do_not_go_together_are_named():
    train, test, model = pictures(range(3), 4), pictures(range(3), 4, seed=1), network()
    with pytest.raises(ValueError, match=r"train are images: pass network=\.\.\., which makes features"):
        worth_training(train, NEW_CLASSES)
    with pytest.raises(ValueError, match="test are images: pass network"):
        worth_training(TRAIN, test)
    with pytest.raises(ValueError, match="train and test must be Examples"):
        worth_training(train, NEW_CLASSES, network=model)
    for options in ({"fine_tune": 1}, {"kept": "x.sqlite"}):
        with pytest.raises(ValueError, match="fine_tune and kept are about the features of images"):
            worth_training(TRAIN, NEW_CLASSES, **options)
    with pytest.raises(ValueError, match="fine_tune must be an integer of at least 0, got -1"):
        worth_training(train, test, network=model, fine_tune=-1)
    with pytest.raises(ValueError, match=r"learning_rate must be .*above 0, got 0"):
        worth_training(train, test, network=model, fine_tune=1, learning_rate=0)
    others = {"fine-tuned": test.images.reshape(len(test), -1)}
    with pytest.raises(ValueError, match="others must have names of their own, got 'fine-tuned'"):
        worth_training(train, test, network=model, fine_tune=1, others=others)
    unlabelled = dataclasses.replace(test, labels=np.full(len(test), -1))
    with pytest.raises(
        ValueError, match="test of worth_training needs examples with labels, but none of the"
    ):
        worth_training(train, unlabelled, network=model)


def test_what_cannot_be_fine_tuned_is_refused_before_anything_is_embedded(monkeypatch):
    def embedding(*_, **__):
        raise AssertionError("images were embedded")

    monkeypatch.setattr("simnb.models.embed", embedding)
    train, test, model = pictures(range(3), 4), pictures(range(3), 4, seed=1), network()
    model.trainable = False
    with pytest.raises(ValueError, match="fine_tune trains what is trainable of the network, but nothing is"):
        worth_training(train, test, network=model, fine_tune=1)
    with pytest.raises(ValueError, match="fine_tune trains a network that is a Keras model, got function"):
        worth_training(train, test, network=lambda images: images.reshape(len(images), -1), fine_tune=1)


def test_bad_input_is_named():
    rows, labels = NEW_CLASSES
    with pytest.raises(ValueError, match="train and test must have the same dim, got 12 and 11"):
        worth_training(TRAIN, (rows[:, 1:], labels))
    with pytest.raises(ValueError, match=r"train must be a pair \(embeddings, labels\), got ndarray"):
        worth_training(TRAIN[0], NEW_CLASSES)
    with pytest.raises(
        ValueError, match="others must have names of their own, got 'head', which is measured"
    ):
        worth_training(TRAIN, NEW_CLASSES, others={"head": rows})
    with pytest.raises(ValueError, match="others must be a dict of embeddings by name, got ndarray"):
        worth_training(TRAIN, NEW_CLASSES, others=rows)
    with pytest.raises(ValueError, match="one row for each of the 90 labels, got 89 rows in 'fine-tuned'"):
        worth_training(TRAIN, NEW_CLASSES, others={"fine-tuned": rows[1:]})
    with pytest.raises(ValueError, match="every class must have at least 2 examples"):
        worth_training(TRAIN, (rows, np.where(np.arange(90) == 3, 77, labels)))
    with pytest.raises(ValueError, match="train must not be all zero"):
        worth_training((TRAIN[0] * 0, TRAIN[1]), NEW_CLASSES)
    with pytest.raises(ValueError, match="train must hold two examples or more to whiten by, got 1"):
        worth_training((TRAIN[0][:1], TRAIN[1][:1]), NEW_CLASSES)
    inputs = keras.Input((3,))
    other = keras.Model(inputs, inputs + 0.0)
    with pytest.raises(ValueError, match=r"head must take features of dim 12, got .* shape \(None, 3\)"):
        worth_training(TRAIN, NEW_CLASSES, head=other)
    with pytest.raises(ValueError, match="embedding_size must be an integer of at least 1, got 0"):
        worth_training(TRAIN, NEW_CLASSES, embedding_size=0)
    with pytest.raises(ValueError, match="confidence must be a number above 0 and below 1, got 95"):
        worth_training(TRAIN, NEW_CLASSES, confidence=95)
