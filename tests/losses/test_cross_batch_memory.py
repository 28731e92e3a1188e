"""Cross-batch memory."""

import keras
import numpy as np
import pytest

from simnb import losses
from simnb.losses import CrossBatchMemory, TripletLoss

values = keras.ops.convert_to_numpy
DIM = 3
needs_calls = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="on JAX a loss cannot be called alone: it would lose its memory"
)


def batches(*lengths, seed=0):
    """Batches of these lengths: labels, with classes of few examples, and embeddings."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 4, n), rng.normal(0.3, 1, (n, DIM)).astype("float32").round(3)) for n in lengths]


def remembering(loss, size, *before, start=0):
    """A memory around the loss that has seen the batches before."""
    memory = CrossBatchMemory(loss, size, DIM, start=start)
    for labels, embeddings in before:
        memory.compute_loss(labels, embeddings, training=True)
    return memory


def state(memory):
    return [values(weight) for weight in memory.memory.weights]


def held(memory):
    """Labels and embeddings in the memory, the oldest first."""
    layer = memory.memory
    filled = values(layer.held)
    return values(layer.labels)[filled], values(layer.embeddings)[filled]


def joined(*several):
    return (np.concatenate(parts) for parts in zip(*several, strict=True))


def test_an_empty_memory_leaves_every_loss_as_it_is(variant, batch):
    labels, embeddings = batch
    memory = CrossBatchMemory(variant.make(**variant.options, reduction=None), 5, 6)
    loss = values(memory.compute_loss(labels, embeddings, training=False))
    np.testing.assert_allclose(loss, values(variant(labels, embeddings)), rtol=1e-5, atol=1e-6)


def test_every_loss_compares_its_anchors_with_the_filled_part_of_the_memory(variant):
    before, now = batches(7, 7)
    before[0][:4] = [9, 8, 9, 8]  # classes that no anchor has
    memory = remembering(variant.make(**variant.options, reduction=None), 9, before)
    loss = values(memory.compute_loss(*now, training=False))
    expected = values(variant(*joined(now, before)))[:7]
    assert loss.shape == (7,)
    assert not np.allclose(loss, values(variant(*now)), rtol=1e-3)
    # Means over pairs have one scale for all anchors, and that of everyone differs: the next test has it.
    if variant.make in (losses.BatchAllTripletLoss, losses.NTXentLoss):
        loss, expected = loss / loss.sum(), expected / expected.sum()
    if variant.make is not losses.ContrastiveLoss:  # the sum of two of them
        np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)


def contrastive_by_hand(anchors, everyone, margin):
    """The mean over the pairs of the anchors, as a share of each anchor."""
    terms = {True: {}, False: {}}
    for i, (label, anchor) in enumerate(zip(*anchors, strict=True)):
        for j, (other, embedding) in enumerate(zip(*everyone, strict=True)):
            d = np.linalg.norm(anchor.astype("float64") - embedding)
            if i != j:
                term = d**2 / 2 if label == other else max(margin - d, 0) ** 2 / 2
                terms[bool(label == other)].setdefault(i, []).append(term)
    shares = np.zeros(len(anchors[0]))
    for of_each in terms.values():
        count = sum(map(len, of_each.values()))
        for i, several in of_each.items():
            shares[i] += sum(several) * len(of_each) / count
    return shares


def nt_xent_by_hand(anchors, everyone, temperature):
    unit = [e / np.linalg.norm(e) for e in everyone[1].astype("float64")]
    of_each = {}
    for i, label in enumerate(anchors[0]):
        scores = [np.exp(unit[i] @ other / temperature) for other in unit]
        negatives = sum(s for s, other in zip(scores, everyone[0], strict=True) if other != label)
        for j, (score, other) in enumerate(zip(scores, everyone[0], strict=True)):
            if i != j and other == label:
                of_each.setdefault(i, []).append(-np.log(score / (score + negatives)))
    count = sum(map(len, of_each.values()))
    return [sum(of_each.get(i, [])) * len(of_each) / count for i in range(len(anchors[0]))]


@pytest.mark.parametrize(
    ("make", "by_hand", "options"),
    [
        (losses.ContrastiveLoss, contrastive_by_hand, {"margin": 1.5}),
        (losses.NTXentLoss, nt_xent_by_hand, {"temperature": 0.3}),
    ],
)
def test_a_mean_over_pairs_is_over_those_of_the_anchors(make, by_hand, options):
    before, now = batches(4, 7)
    memory = remembering(make(**options, reduction=None), 9, before)
    expected = by_hand(now, list(joined(now, before)), **options)
    loss = values(memory.compute_loss(*now, training=False))
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)


def hard_triplet_by_hand(anchors, everyone, margin):
    """Farthest positive and nearest negative of each anchor, in Euclidean distance."""
    loss = []
    for i, (label, anchor) in enumerate(zip(*anchors, strict=True)):
        far, near = [], []
        for j, (other, embedding) in enumerate(zip(*everyone, strict=True)):
            if i != j:
                (far if label == other else near).append(np.linalg.norm(anchor - embedding))
        loss.append(max(max(far) - min(near) + margin, 0.0) if far and near else 0.0)
    return loss


def test_each_step_compares_with_the_last_embeddings_that_fit():
    loss = TripletLoss(margin=0.5, negative_mining="hard", distance="euclidean", reduction=None)
    memory = CrossBatchMemory(loss, 8, DIM)
    seen = []
    for now in batches(5, 2, 6, 1, 4):
        remembered = list(joined(*seen)) if seen else [np.zeros(0, int), np.zeros((0, DIM))]
        remembered = [rows[-8:] for rows in remembered]
        expected = hard_triplet_by_hand(now, list(joined(now, remembered)), 0.5)
        got = values(memory.compute_loss(*now, training=True))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        seen.append(now)


def test_the_memory_holds_the_last_embeddings_in_their_order():
    memory = CrossBatchMemory(TripletLoss(), 6, DIM)
    seen = batches(4, 1, 3, 9)
    for i, now in enumerate(seen, 1):
        memory.compute_loss(*now, training=True)
        for got, expected in zip(held(memory), joined(*seen[:i]), strict=True):
            np.testing.assert_array_equal(got, expected[-6:])
        assert int(values(memory.memory.steps)) == i
    assert memory.memory.trainable_weights == []
    memory.memory.clear()
    assert not any(weight.any() for weight in state(memory))


def test_nothing_is_remembered_unless_training():
    before, now = batches(4, 5)
    memory = remembering(TripletLoss(), 6, before)
    kept = state(memory)
    memory.compute_loss(*now, training=False)
    for got, expected in zip(state(memory), kept, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_memory_begins_after_the_steps_to_start():
    first, second, third = batches(4, 3, 5)
    memory = remembering(TripletLoss(), 20, first, second, start=2)
    assert held(memory)[0].size == 0
    memory.compute_loss(*third, training=True)
    np.testing.assert_array_equal(held(memory)[0], third[0])


def test_embeddings_that_are_not_finite_are_not_remembered(value_and_gradient):
    before, now = batches(4, 5)
    before[1][2, 0], before[1][3, 1] = np.nan, np.inf
    memory = remembering(TripletLoss(), 6, before)
    assert held(memory)[0].tolist() == before[0][:2].tolist()
    expected = remembering(TripletLoss(), 6, (before[0][:2], before[1][:2]))
    got, gradient = value_and_gradient(lambda y, e: memory.compute_loss(y, e, training=False), *now)
    assert got == pytest.approx(float(values(expected.compute_loss(*now, training=False))), rel=1e-6)
    assert np.isfinite(gradient).all()
    now[1][0, 0] = np.nan
    assert np.isnan(float(values(memory.compute_loss(*now, training=False))))


@pytest.mark.parametrize("name", ["triplet", "lifted"])
def test_the_gradient_is_that_of_the_batch_alone(name, value_and_gradient):
    make, function = {
        "triplet": (TripletLoss, losses.triplet_loss),
        "lifted": (losses.LiftedStructureLoss, losses.lifted_structure_loss),
    }[name]
    before, now = batches(6, 7)
    memory = remembering(make(reduction=None), 9, before)
    total, gradient = value_and_gradient(lambda y, e: memory.compute_loss(y, e, training=False), *now)
    old = keras.ops.convert_to_tensor(before[1])

    def of_everyone(labels, embeddings):
        embeddings = keras.ops.concatenate([embeddings, old], axis=0)
        return function(np.concatenate([labels, before[0]]), embeddings)[:7]

    expected, slope = value_and_gradient(of_everyone, *now)
    assert total == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)
    assert np.abs(gradient).max() > 0.01


def test_every_gradient_is_finite_while_the_memory_is_being_filled(variant, value_and_gradient):
    before, now = batches(2, 6)
    for seen in ([], [before]):
        memory = remembering(variant.make(**variant.options), 5, *seen)
        total, gradient = value_and_gradient(
            lambda y, e, m=memory: m.compute_loss(y, e, training=False), *now
        )
        assert np.isfinite(total)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["triplet", "multiple negatives"])
def test_labels_are_compared_as_integers(name):
    make = {"triplet": TripletLoss, "multiple negatives": losses.MultipleNegativesRankingLoss}[name]
    before, now = batches(6, 7)

    def loss(offset, dtype):
        moved = [((labels + offset).astype(dtype), embeddings) for labels, embeddings in (before, now)]
        memory = remembering(make(), 9, moved[0])
        return float(values(memory.compute_loss(moved[1][0][:, None], moved[1][1], training=False)))

    expected = loss(0, "int64")
    assert expected > 0
    assert loss(0, "uint8") == pytest.approx(expected, rel=1e-6)
    # Float32 would merge neighbors among the first, and int32 all of the second, which JAX has none of.
    for offset in [2**24] + [2**40] * (keras.backend.backend() != "jax"):
        assert loss(offset, "int64") == pytest.approx(expected, rel=1e-6)


def test_reduction_and_sample_weights_are_those_of_the_loss():
    before, now = batches(4, 7)
    each = values(remembering(TripletLoss(reduction=None), 9, before).compute_loss(*now, training=False))
    total = remembering(TripletLoss(reduction="sum"), 9, before)
    assert float(values(total.compute_loss(*now, training=False))) == pytest.approx(each.sum(), rel=1e-5)
    weights = np.arange(7.0, dtype="float32")
    weighted = total.compute_loss(*now, sample_weight=weights, training=False)
    assert float(values(weighted)) == pytest.approx((weights * each).sum(), rel=1e-5)


def embedder():
    kernel = keras.initializers.GlorotUniform(seed=0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(DIM, kernel_initializer=kernel)])


def images(count):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)).astype("float32"), rng.integers(0, 3, count)


class Remembering(keras.Model):
    """An embedder that holds a memory, as the JAX backend needs it."""

    def __init__(self, size):
        super().__init__()
        self.embedder = embedder()
        self.of_pairs = CrossBatchMemory(TripletLoss(), size, DIM)
        self.memory = self.of_pairs.memory

    def call(self, x):
        return self.embedder(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.of_pairs.compute_loss(y, y_pred, sample_weight, training=training)


def test_a_model_that_holds_the_memory_fills_it_in_fit_leaves_it_in_evaluate_and_saves_it(tmp_path):
    x, y = images(22)
    model = Remembering(14)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(x, y, batch_size=5, shuffle=False, verbose=0, validation_data=(x[:7], y[:7]))
    labels, embeddings = held(model.of_pairs)
    np.testing.assert_array_equal(labels, y[-14:])
    np.testing.assert_allclose(embeddings, values(model(x))[-14:], rtol=1e-4, atol=1e-5)
    expected = float(values(model.of_pairs.compute_loss(y[:7], model(x[:7]), training=False)))
    loss = model.evaluate(x[:7], y[:7], verbose=0)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert int(values(model.memory.steps)) == 5
    model.save_weights(tmp_path / "model.weights.h5")
    copy = Remembering(14)
    copy(x[:1])
    copy.load_weights(tmp_path / "model.weights.h5")
    for got, kept in zip(state(copy.of_pairs), state(model.of_pairs), strict=True):
        np.testing.assert_array_equal(got, kept)


@needs_calls
def test_fit_fills_the_memory_evaluate_leaves_it_and_saving_keeps_it(tmp_path):
    x, y = images(22)
    model = embedder()
    memory = CrossBatchMemory(TripletLoss(margin=0.7), 14, DIM, start=1)
    model.compile(keras.optimizers.SGD(0.0), memory)
    model.fit(x, y, batch_size=5, shuffle=False, verbose=0, validation_data=(x[:7], y[:7]))
    labels, embeddings = held(memory)
    np.testing.assert_array_equal(labels, y[-14:])
    np.testing.assert_allclose(embeddings, values(model(x))[-14:], rtol=1e-4, atol=1e-5)
    loss = model.evaluate(x[:7], y[:7], verbose=0)
    assert int(values(memory.memory.steps)) == 5
    assert loss != pytest.approx(float(values(TripletLoss(margin=0.7)(y[:7], model(x[:7])))), rel=1e-3)

    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert type(copy.loss) is CrossBatchMemory
    other = embedder()
    other.compile(keras.optimizers.SGD(0.0), CrossBatchMemory(TripletLoss(margin=0.7), 14, DIM, start=1))
    other.load_weights(tmp_path / "model.weights.h5")
    for again in (copy, other):
        for got, expected in zip(state(again.loss), state(memory), strict=True):
            np.testing.assert_array_equal(got, expected)
        assert again.evaluate(x[:7], y[:7], verbose=0) == pytest.approx(loss, rel=1e-6)


@needs_calls
def test_weights_saved_without_a_memory_leave_it_as_it_is(tmp_path):
    plain = embedder()
    plain.compile(keras.optimizers.SGD(), "mse")
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = embedder()
    memory = remembering(TripletLoss(), 6, *batches(4))
    kept = state(memory)
    model.compile(keras.optimizers.SGD(), memory)
    model.load_weights(tmp_path / "plain.weights.h5")
    for got, expected in zip(state(memory), kept, strict=True):
        np.testing.assert_array_equal(got, expected)


@needs_calls
def test_a_batch_is_remembered_when_the_gradient_of_its_loss_is_taken(value_and_gradient):
    before, now = batches(4, 5)
    memory = remembering(TripletLoss(), 6, before)
    value = float(values(memory(*now)))
    assert int(values(memory.memory.steps)) == 1
    total, gradient = value_and_gradient(memory, *now)
    assert int(values(memory.memory.steps)) == 2
    np.testing.assert_array_equal(held(memory)[0], np.concatenate([before[0], now[0]])[-6:])
    fresh = remembering(TripletLoss(), 6, before)
    expected, slope = value_and_gradient(lambda y, e: fresh.compute_loss(y, e, training=False), *now)
    assert total == pytest.approx(value, rel=1e-6)
    assert total == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="other backends can keep state in a loss")
def test_on_jax_a_loss_alone_says_what_to_do():
    model = embedder()
    model.compile("sgd", CrossBatchMemory(TripletLoss(), 6, DIM))
    with pytest.raises(ValueError, match="CrossBatchMemory must be held by a model on the JAX backend"):
        model.fit(*images(8), verbose=0)


def test_the_options_survive_serialization():
    memory = CrossBatchMemory(losses.CircleLoss(gamma=20.0, reduction="sum"), 9, DIM, start=3, name="m")
    copy = keras.losses.deserialize(keras.losses.serialize(memory))
    assert type(copy) is CrossBatchMemory
    assert copy.get_config() == memory.get_config()
    assert (copy.name, copy.reduction, copy.memory.start) == ("m", "sum", 3)
    assert (copy.memory.size, copy.memory.dim) == (9, DIM)
    assert type(copy.loss) is losses.CircleLoss
    assert copy.loss.get_config()["gamma"] == 20.0


def test_bad_input_is_named():
    loss = TripletLoss()
    for bad in (losses.ArcFaceLoss(), CrossBatchMemory(loss, 2, DIM), "triplet"):
        with pytest.raises(ValueError, match="loss must be a loss over pairs of simnb"):
            CrossBatchMemory(bad, 6, DIM)
    with pytest.raises(ValueError, match="size must be an integer of at least 1, got 0"):
        CrossBatchMemory(loss, 0, DIM)
    with pytest.raises(ValueError, match=r"dim must be an integer of at least 1, got 2\.5"):
        CrossBatchMemory(loss, 6, 2.5)
    with pytest.raises(ValueError, match="start must be an integer of at least 0, got -1"):
        CrossBatchMemory(loss, 6, DIM, start=-1)
    memory = CrossBatchMemory(loss, 6, DIM)
    with pytest.raises(ValueError, match="embeddings must have dim 3 like the memory, got 2"):
        memory.compute_loss([0, 1], np.ones((2, 2)), training=True)
    with pytest.raises(ValueError, match="labels must be integers, got dtype float32"):
        memory.compute_loss(np.zeros(2, "float32"), np.ones((2, 3)), training=True)
    with pytest.raises(ValueError, match="labels and embeddings must have the same length, got 1 and 2"):
        memory.compute_loss([0], np.ones((2, 3)), training=True)
