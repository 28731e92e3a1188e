from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.samplers import BalancedBatches, TwoViewBatches


def labelled(sizes):
    """Images that hold their own position, and labels: 10, 11, ... with the given numbers of examples."""
    labels = np.repeat(10 + np.arange(len(sizes)), sizes)
    labels = labels[np.random.default_rng(0).permutation(len(labels))]
    return np.arange(len(labels))[:, None], labels


def balanced(sizes, **options):
    images, labels = labelled(sizes)
    return BalancedBatches(images, labels, **{"classes_per_batch": 2, "examples_per_class": 2, **options})


def epochs(batches, count=1):
    """Positions of the batches of some epochs: shape [count * steps, batch]."""
    rows = []
    for _ in range(count):
        rows += [batches.positions(i) for i in range(len(batches))]
        batches.next_epoch()
    return np.array(rows)


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(4, 11), min_size=3, max_size=7),
    classes_per_batch=st.integers(1, 3),
    examples_per_class=st.integers(1, 4),
    seed=st.integers(0, 100),
)
def test_batches_are_c_times_k_and_every_example_comes_before_any_repeats(
    sizes, classes_per_batch, examples_per_class, seed
):
    images, labels = labelled(sizes)
    batches = BalancedBatches(
        images,
        labels,
        classes_per_batch=classes_per_batch,
        examples_per_class=examples_per_class,
        steps_per_epoch=9,
        seed=seed,
    )
    rows = epochs(batches, 4)
    for row in rows:
        assert len(set(row.tolist())) == classes_per_batch * examples_per_class
        _, counts = np.unique(labels[row], return_counts=True)
        assert counts.tolist() == [examples_per_class] * classes_per_batch
        assert (np.diff(labels[row].reshape(classes_per_batch, -1), axis=1) == 0).all()
    dealt = rows.ravel()
    for label in np.unique(labels):
        own = dealt[labels[dealt] == label]
        size = (labels == label).sum()
        for start in range(0, len(own), size):
            hand = own[start : start + size]
            assert len(set(hand.tolist())) == len(hand)
    by_class = labels[dealt][::examples_per_class]
    for start in range(0, len(by_class), len(sizes)):
        hand = by_class[start : start + len(sizes)]
        assert len(set(hand.tolist())) == len(hand)


def test_images_and_labels_belong_together():
    images, labels = labelled([5, 6, 7])
    batches = BalancedBatches(images, labels, classes_per_batch=2, examples_per_class=3)
    got, got_labels = batches.batch(1)
    np.testing.assert_array_equal(labels[got[:, 0]], got_labels)
    np.testing.assert_array_equal(got[:, 0], batches.positions(1))


def test_an_epoch_uses_about_every_example_once_by_default():
    batches = balanced([10, 10, 12])
    assert len(batches) == 8
    assert len(balanced([3, 3])) == 1
    assert len(balanced([2, 2], examples_per_class=2)) == 1
    assert len(balanced([10, 10], steps_per_epoch=3)) == 3


def test_every_round_comes_in_another_order():
    rows = epochs(balanced([7, 7], examples_per_class=1, steps_per_epoch=70))
    rounds = rows.ravel().reshape(10, 14)
    _, labels = labelled([7, 7])
    orders = {tuple(r[labels[r] == 10]) for r in rounds}
    assert len(orders) == 10
    # With hands of 3 of 7 a round begins in the middle of one; what was left over must not stay in front.
    rows = epochs(balanced([7, 7], examples_per_class=3, steps_per_epoch=70))
    own = rows.ravel()[labels[rows.ravel()] == 10].reshape(30, 7)
    assert len({tuple(r) for r in own}) == 30
    assert len({tuple(a) == tuple(b) for a, b in zip(own[:, -1:], own[1:, -1:], strict=False)}) == 2


def test_epochs_differ_and_looking_does_not_change_them():
    batches = balanced([8, 8, 8])
    first = epochs(batches)
    second = [batches.positions(2), batches.positions(0), batches.positions(2)]
    np.testing.assert_array_equal(second[0], second[2])
    assert not np.array_equal(first[0], second[1])
    assert batches.epoch == 1


def test_the_same_seed_gives_the_same_batches_whoever_asks_first():
    options = {"steps_per_epoch": 30, "seed": 3}
    expected = epochs(balanced([9, 9, 9, 9], **options), 2)
    looked_at = balanced([9, 9, 9, 9], **options)
    shuffled = np.random.default_rng(0).permutation(30)
    with ThreadPoolExecutor(8) as pool:
        asked = dict(zip(shuffled, pool.map(looked_at.positions, shuffled), strict=True))
    np.testing.assert_array_equal([asked[i] for i in range(30)], expected[:30])
    looked_at.next_epoch()
    np.testing.assert_array_equal(epochs(looked_at), expected[30:])
    not_looked_at = balanced([9, 9, 9, 9], **options)
    not_looked_at.next_epoch()
    np.testing.assert_array_equal(epochs(not_looked_at), expected[30:])
    assert not np.array_equal(epochs(balanced([9, 9, 9, 9], steps_per_epoch=30, seed=4)), expected[:30])


def test_no_global_generator_is_touched():
    before = np.random.get_state()[1].copy()
    epochs(balanced([9, 9, 9]), 3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_memory_maps_and_lists_of_positions_work(tmp_path):
    images, labels = labelled([6, 6])
    mapped = np.memmap(tmp_path / "images", mode="w+", shape=(12, 1), dtype="int64")
    mapped[:] = images
    from_map = BalancedBatches(mapped, labels, classes_per_batch=2, examples_per_class=2)
    from_array = BalancedBatches(images, labels, classes_per_batch=2, examples_per_class=2)
    got = from_map.batch(0)[0]
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, from_array.batch(0)[0])

    class OnDemand:
        def __len__(self):
            return 12

        def __getitem__(self, positions):
            return [[p] for p in positions]

    on_demand = BalancedBatches(OnDemand(), labels, classes_per_batch=2, examples_per_class=2)
    np.testing.assert_array_equal(on_demand.batch(0)[0], from_array.batch(0)[0])


def test_classes_limits_what_is_drawn():
    images, labels = labelled([6, 6, 6])
    batches = BalancedBatches(images, labels, classes=[10, 12], classes_per_batch=2, examples_per_class=2)
    assert set(labels[epochs(batches, 3)].ravel().tolist()) == {10, 12}
    assert len(batches) == 3


def test_small_classes_are_an_error_unless_a_policy_is_chosen():
    message = r"2 of 4 classes have fewer than examples_per_class=3 examples: 11 \(1\), 13 \(2\)"
    with pytest.raises(ValueError, match=message + '; pass small_classes="drop" or "repeat"'):
        balanced([6, 1, 7, 2], examples_per_class=3)
    with pytest.warns(UserWarning, match="dropped: " + message):
        dropped = balanced([6, 1, 7, 2], examples_per_class=3, small_classes="drop")
    _, labels = labelled([6, 1, 7, 2])
    assert set(labels[epochs(dropped, 4)].ravel().tolist()) == {10, 12}
    repeated = balanced([6, 1, 7, 2], examples_per_class=3, small_classes="repeat")
    rows = labels[epochs(repeated, 4)]
    assert set(rows.ravel().tolist()) == {10, 11, 12, 13}
    assert all(np.unique(row, return_counts=True)[1].tolist() == [3, 3] for row in rows)


def test_repeating_uses_every_example_of_a_small_class():
    images, labels = labelled([4, 20])
    batches = BalancedBatches(
        images, labels, classes_per_batch=2, examples_per_class=10, steps_per_epoch=40, small_classes="repeat"
    )
    for row in epochs(batches):
        counts = np.unique(row[labels[row] == 10], return_counts=True)[1]
        assert sorted(counts.tolist()) == [2, 2, 3, 3]


def test_lists_and_tensors_are_taken_too():
    images, labels = labelled([6, 6])
    expected = balanced([6, 6]).batch(0)[0]
    for listed in (images.tolist(), keras.ops.convert_to_tensor(images)):
        batches = BalancedBatches(listed, labels, classes_per_batch=2, examples_per_class=2)
        np.testing.assert_array_equal(batches.batch(0)[0], expected)


def test_only_the_images_of_a_batch_are_read_from_a_memory_map(tmp_path):
    read = []

    class Recorded(np.memmap):
        def __getitem__(self, key):
            read.append(np.array(key))
            return super().__getitem__(key)

    mapped = Recorded(tmp_path / "images", mode="w+", shape=(12, 4, 4, 1), dtype="uint8")
    batches = BalancedBatches(
        mapped, np.arange(12) % 3, classes_per_batch=2, examples_per_class=2, steps_per_epoch=9
    )
    assert read == []
    batches.batch(5)
    assert len(read) == 1
    np.testing.assert_array_equal(read[0], batches.positions(5))


def test_unknown_is_no_class_to_draw_from():
    labels = np.array([0, 0, -1, 1, 1, -1])
    options = {"classes_per_batch": 2, "examples_per_class": 2}
    with pytest.raises(ValueError, match=r"labels must be 0 or above, got -1; -1 stands for unknown"):
        BalancedBatches(np.zeros((6, 1)), labels, **options)
    known = BalancedBatches(np.zeros((6, 1)), labels, classes=[0, 1], **options)
    assert sorted(known.batch(0)[1].tolist()) == [0, 0, 1, 1]


def test_a_single_class_and_single_examples_are_allowed():
    images, labels = np.arange(5), np.full(5, 7)
    rows = epochs(BalancedBatches(images, labels, classes_per_batch=1, examples_per_class=2), 5)
    assert sorted(rows.ravel().tolist()) == sorted([0, 1, 2, 3, 4] * 4)
    singles = BalancedBatches(images, np.arange(5), classes_per_batch=5, examples_per_class=1)
    assert sorted(singles.batch(0)[1].tolist()) == [0, 1, 2, 3, 4]
    with (
        pytest.warns(UserWarning, match="dropped: 5 of 5 classes"),
        pytest.raises(ValueError, match=", 0, got 1"),
    ):
        BalancedBatches(images, np.arange(5), classes_per_batch=1, examples_per_class=2, small_classes="drop")


def test_augment_gets_a_generator_of_its_own():
    images, labels = labelled([6, 6])
    draws = []

    def augment(batch, rng):
        draws.append(rng.random())
        return batch * 0 - 1

    def make(seed):
        options = {"classes_per_batch": 2, "examples_per_class": 2, "augment": augment, "seed": seed}
        return BalancedBatches(images, labels, **options)

    batches = make(0)
    assert (batches.batch(0)[0] == -1).all()
    batches.batch(1)
    batches.batch(0)
    batches.next_epoch()
    batches.batch(0)
    assert draws[0] == draws[2]
    assert len(set(draws)) == 3
    make(0).batch(1)
    assert draws[-1] == draws[1]
    make(1).batch(1)
    assert draws[-1] != draws[1]


def test_a_hundred_thousand_classes_take_memory_in_proportion_to_the_labels():
    labels = np.random.default_rng(0).integers(0, 100_000, 1_000_000)
    images = np.broadcast_to(np.uint8(0), (len(labels), 1))
    batches = BalancedBatches(
        images, labels, classes_per_batch=32, examples_per_class=2, small_classes="repeat"
    )
    held = sum(v.nbytes for v in vars(batches).values() if isinstance(v, np.ndarray))
    held += sum(v.nbytes for d in (batches._examples, batches._class_deck) for v in vars(d).values())
    assert held < 4 * labels.nbytes
    assert len(set(labels[batches.positions(len(batches) - 1)].tolist())) == 32


def test_bad_input_is_named():
    images, labels = labelled([6, 6])
    good = {"classes_per_batch": 2, "examples_per_class": 2}
    with pytest.raises(ValueError, match="labels and images must have the same length, got 3 and 12"):
        BalancedBatches(images, labels[:3], **good)
    with pytest.raises(ValueError, match="labels must be integers, got dtype float64"):
        BalancedBatches(images, labels * 1.0, **good)
    with pytest.raises(ValueError, match="labels must hold at least one example"):
        BalancedBatches(images[:0], labels[:0], **good)
    with pytest.raises(ValueError, match="classes_per_batch must be at most the number of classes, 2, got 3"):
        balanced([6, 6], classes_per_batch=3)
    with pytest.raises(ValueError, match="examples_per_class must be an integer of at least 1, got 0"):
        balanced([6, 6], examples_per_class=0)
    with pytest.raises(ValueError, match="steps_per_epoch must be an integer of at least 1, got 0"):
        balanced([6, 6], steps_per_epoch=0)
    with pytest.raises(ValueError, match="classes must have examples, but class 77 has none"):
        balanced([6, 6], classes=[10, 77])
    with pytest.raises(ValueError, match="small_classes must be one of drop, error, repeat; got 'skip'"):
        balanced([6, 6], small_classes="skip")
    with pytest.raises(ValueError, match=r"labels must be integers, got dtype <U\d+; simnb.data.from_arrays"):
        BalancedBatches(images, labels.astype(str), **good)
    with pytest.raises(ValueError, match="prefetch must be an integer of at least 0, got -1"):
        balanced([6, 6], prefetch=-1)
    with pytest.raises(ValueError, match="images must have a length and be indexable, got generator"):
        BalancedBatches((image for image in images), labels, **good)
    with pytest.raises(ValueError, match=r"augment must be a function .* list of Keras layers, got 'flip'"):
        balanced([6, 6], augment="flip")
    for seed in (None, -1, 1.5):
        with pytest.raises(ValueError, match=f"seed must be an integer of at least 0, got {seed}"):
            balanced([6, 6], seed=seed)
    with pytest.raises(IndexError, match="batch must be 0 to 2, got 3"):
        balanced([6, 6]).batch(3)


@pytest.mark.parametrize("options", [{"workers": 2}, {"use_multiprocessing": True}, {"max_queue_size": 9}])
def test_what_replaces_the_options_of_keras_is_said(options):
    said = f"takes prefetch=2 in place of {next(iter(options))}: that many batches are made ahead"
    with pytest.raises(ValueError, match=f"BalancedBatches {said}"):
        BalancedBatches(np.zeros((4, 1)), [0, 0, 1, 1], classes_per_batch=2, examples_per_class=2, **options)
    with pytest.raises(ValueError, match=f"TwoViewBatches {said}"):
        TwoViewBatches(np.zeros((4, 1)), batch_size=2, augment=lambda images, rng: images, **options)
    with pytest.raises(TypeError, match="worker"):
        BalancedBatches(np.zeros((4, 1)), [0, 0, 1, 1], classes_per_batch=2, examples_per_class=2, worker=2)
