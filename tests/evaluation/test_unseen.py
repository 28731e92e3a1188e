import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.distances import DISTANCES
from simnb.evaluation import closed_set, few_shot, unseen, unseen_classes
from simnb.metrics import bootstrap_mean


def blobs(count, seed, classes=4, spread=0.35):
    """Embeddings around one direction for each class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    return np.eye(8)[labels] + spread * rng.normal(size=(len(labels), 8)), labels


GALLERY, QUERIES = blobs(40, 0), blobs(40, 2)

# One pair at a time, query first.
PLAIN = {
    "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
    "euclidean": lambda a, b: np.sqrt(sum((a - b) ** 2)),
    "squared_euclidean": lambda a, b: sum((a - b) ** 2),
    "manhattan": lambda a, b: sum(abs(a - b)),
    "inner_product": lambda a, b: -(a @ b),
    "snr": lambda a, b: np.var(a - b) / np.var(a),
}


def uneven(sizes, first=10, seed=0, dim=6):
    """Classes of these sizes, from label ``first`` on, shuffled; lengths and means of rows differ widely."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(first + 3 * np.arange(len(sizes)), sizes))
    centers = {label: rng.normal(size=dim) for label in np.unique(labels)}
    rows = np.stack([centers[label] for label in labels]) + 1.0 * rng.normal(size=(len(labels), dim))
    return (rows * rng.uniform(0.5, 3, (len(labels), 1))).astype(np.float32), labels


UNSEEN, SEEN = uneven([7, 9, 8, 12, 7], first=10), uneven([6, 11, 5], first=11, seed=1)


def measured(part=UNSEEN, name="own", **options):
    """Figures of one embedding in small episodes."""
    small = {"ways": (2, 4), "shots": (1, 3), "queries": 2, "episodes": 20, "k": (1, 2, 5), "resamples": 50}
    return unseen_classes({name: part[0]}, part[1], **small | options)


def own(result, name="own"):
    """The scores of one embedding by metric."""
    return {metric: scores[name] for metric, scores in result.scores.items()}


@pytest.mark.parametrize("distance", DISTANCES)
def test_each_example_is_asked_of_all_others_as_in_a_plain_loop(distance):
    rows, labels = UNSEEN[0].astype(np.float64), UNSEEN[1]
    scores = own(measured(distance=distance, ways=()))
    assert set(scores) == {"recall@1", "recall@2", "recall@5", "map@r"}
    for query in range(len(rows)):
        others = [other for other in range(len(rows)) if other != query]
        others.sort(key=lambda other: PLAIN[distance](rows[query], rows[other]))
        right = [labels[other] == labels[query] for other in others]
        for k in (1, 2, 5):
            assert scores[f"recall@{k}"][query] == any(right[:k])
        r = sum(right)
        precisions = [sum(right[: rank + 1]) / (rank + 1) for rank in range(r) if right[rank]]
        assert scores["map@r"][query] == pytest.approx(sum(precisions) / r)


@pytest.mark.parametrize("distance", DISTANCES)
def test_seen_examples_are_searched_too_as_in_a_plain_loop(distance):
    scores = own(measured(distance=distance, ways=(), seen=({"own": SEEN[0]}, SEEN[1])))
    gallery = [*zip(UNSEEN[0], UNSEEN[1], strict=True), *zip(SEEN[0], SEEN[1], strict=True)]
    lost = 0
    for query, (row, label) in enumerate(gallery[: len(UNSEEN[1])]):
        row = row.astype(np.float64)
        _, nearest = min(
            (PLAIN[distance](row, other.astype(np.float64)), of_other)
            for at, (other, of_other) in enumerate(gallery)
            if at != query
        )
        assert scores["recall@1, seen added"][query] == (nearest == label)
        assert scores["lost to seen"][query] == (nearest in SEEN[1])
        lost += nearest in SEEN[1]
    assert 0 < lost < len(UNSEEN[1])


@pytest.mark.parametrize("distance", DISTANCES)
def test_episodes_are_answered_as_in_a_plain_loop(distance):
    scores = own(measured(distance=distance, shots=(1, 2, 3), episodes=6, seed=4))
    rows, labels = UNSEEN[0].astype(np.float64), UNSEEN[1]
    for ways in (2, 4):
        for number, episode in enumerate(unseen._episodes(labels, ways, 3 + 2, 6, 4)):
            for shots in (1, 2, 3):
                by_mean = by_shot = asked = 0
                for truth, places in enumerate(episode):
                    for query in rows[places[3:]]:
                        means, nearest = [], []
                        for known in episode:
                            vectors = [rows[place] for place in known[:shots]]
                            nearest.append(min(PLAIN[distance](query, vector) for vector in vectors))
                            if distance == "cosine":
                                vectors = [vector / np.linalg.norm(vector) for vector in vectors]
                            means.append(PLAIN[distance](query, sum(vectors) / shots))
                        by_mean += int(np.argmin(means)) == truth
                        by_shot += int(np.argmin(nearest)) == truth
                        asked += 1
                assert asked == 2 * ways
                assert scores[f"{ways}-way {shots}-shot"][number] == pytest.approx(by_mean / asked)
                nearest = f"{ways}-way {shots}-shot" + (", nearest" if shots > 1 else "")
                assert scores[nearest][number] == pytest.approx(by_shot / asked)


def test_figures_that_can_be_worked_out_by_hand():
    # On a line: a at 0, 1 and 9; b at 2, 8 and 20. Seen: 1.1 and 40.
    rows, labels = np.array([[0.0], [1], [9], [2], [8], [20]]), np.array([4, 4, 4, 6, 6, 6])
    seen = ({"line": [[1.1], [40]]}, [0, 1])
    options = {"distance": "euclidean", "ways": (), "k": (1, 3), "seen": seen}
    result = unseen_classes({"line": rows}, labels, **options)
    # From 0: 1, 2, ...; from 1: 0 (as near as 2, and before it); from 9: 8; from 2: 1; from 8: 9; from 20: 9.
    assert own(result, "line")["recall@1"].tolist() == [1, 1, 0, 0, 0, 0]
    # Three from 0: 1, 2, 8; from 1: 0, 2, 8; from 9: 8, 2, 1; from 2: 1, 0, 8; from 8: 9, 2, 1; 20: 9, 8, 2.
    assert own(result, "line")["recall@3"].tolist() == [1, 1, 1, 1, 1, 1]
    # The first two of the three: R = 2. From 8 and from 20 the second is right: 1/2, of 2.
    np.testing.assert_allclose(own(result, "line")["map@r"], [0.5, 0.5, 0, 0, 0.25, 0.25])
    # 1.1 takes the queries 1 and 2, which lie 0.1 and 0.9 from it.
    assert own(result, "line")["recall@1, seen added"].tolist() == [1, 0, 0, 0, 0, 0]
    assert own(result, "line")["lost to seen"].tolist() == [0, 1, 0, 1, 0, 0]
    assert result.figures["recall@1"]["line"].value == pytest.approx(2 / 6)
    assert result.figures["lost to seen"]["line"].value == pytest.approx(2 / 6)


def test_an_episode_that_can_be_worked_out_by_hand():
    # Shots of a: -1, then 9, whose mean is 4; of b: 3 and 3. Queries of a: 8 and 2; of b: 3.4 and 3.6.
    rows = np.array([[[-1.0], [9], [8], [2]], [[3], [3], [3.4], [3.6]]], np.float32)
    found = dict(unseen._episode(rows, [2, 1], "euclidean"))
    # The mean 4 takes 8 and, wrongly, 3.6; the shot 9 takes 8. By one shot a has only -1, and 8 is b's.
    assert found == {"2-way 2-shot": 0.5, "2-way 2-shot, nearest": 0.75, "2-way 1-shot": 0.5}


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32))
def test_a_long_shot_counts_no_more_than_a_short_one_under_cosine(seed):
    lengths = np.random.default_rng(seed).uniform(0.01, 100, (len(UNSEEN[1]), 1))
    one, other = (own(measured((UNSEEN[0] * by, UNSEEN[1]), ways=4)) for by in (1, lengths))
    for metric, scores in one.items():
        np.testing.assert_array_equal(other[metric], scores, err_msg=metric)


def test_episodes_draw_each_class_alike_and_no_shot_is_asked():
    labels, drawn = UNSEEN[1], np.stack(list(unseen._episodes(UNSEEN[1], 3, 6, 2_000, 0)))
    assert drawn.shape == (2_000, 3, 6)
    of = labels[drawn]
    assert (of == of[:, :, :1]).all()  # a way is one class
    assert all(len(np.unique(episode)) == 18 for episode in drawn)  # other classes, other examples
    for place in range(3):
        classes, counts = np.unique(of[:, place, 0], return_counts=True)
        assert classes.tolist() == np.unique(labels).tolist()
        assert (abs(counts - 400) < 80).all()
    for place in (0, 5):  # the first is a shot, the last a query: each example of a class is both
        examples, counts = np.unique(drawn[:, :, place], return_counts=True)
        assert len(examples) == len(labels)
        sizes = np.array([np.count_nonzero(labels == labels[example]) for example in examples])
        assert (abs(counts * sizes - 1_200) < 350).all()


def test_the_same_seed_asks_the_same_and_another_asks_something_else():
    one, again, other = (own(measured(seed=seed)) for seed in (3, 3, 4))
    for metric, scores in one.items():
        np.testing.assert_array_equal(again[metric], scores)
        assert (other[metric] == scores).all() == ("-way" not in metric)
    np.testing.assert_array_equal(own(measured(ways=4, seed=3))["4-way 3-shot"], one["4-way 3-shot"])
    intervals = [measured(seed=seed).figures["recall@1"]["own"] for seed in (3, 3, 4)]
    assert intervals[0] == intervals[1]
    assert intervals[0] != intervals[2]


def test_every_embedding_is_asked_the_same():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(UNSEEN[1]), 3))
    spaces = {"noise": noise, "one": UNSEEN[0], "two": UNSEEN[0]}
    seen = ({"two": SEEN[0], "one": SEEN[0], "noise": rng.normal(size=(len(SEEN[1]), 3))}, SEEN[1])
    options = {"ways": 2, "shots": 2, "queries": 3, "episodes": 30, "resamples": 50}
    result = unseen_classes(spaces, UNSEEN[1], seen=seen, **options)
    alone = unseen_classes({"one": UNSEEN[0]}, UNSEEN[1], seen=({"one": SEEN[0]}, SEEN[1]), **options)
    for metric, scores in result.scores.items():
        np.testing.assert_array_equal(scores["one"], scores["two"])
        np.testing.assert_array_equal(scores["one"], alone.scores[metric]["one"])
        assert result.figures[metric]["one"] == result.figures[metric]["two"] == alone.figures[metric]["one"]
        assert (scores["one"] != scores["noise"]).any()
    assert list(result.figures["recall@1"]) == ["noise", "one", "two"]


def test_random_embeddings_are_right_by_chance_and_perfect_ones_always():
    labels, rng = np.repeat(np.arange(30), 20), np.random.default_rng(0)
    spaces = {f"random {number}": rng.normal(size=(600, 16)) for number in range(10)}
    spaces |= {"perfect": np.eye(30)[labels], "same": np.ones((600, 4))}
    figures = unseen_classes(spaces, labels, episodes=25).figures
    assert len(figures) == 3 + 6
    for metric, of in figures.items():
        assert of["perfect"].value == of["perfect"].low == of["perfect"].high == 1
        if "-way" in metric:
            ways = int(metric.partition("-")[0])
            by_chance = np.mean([of[name].value for name in spaces if "random" in name])
            assert by_chance == pytest.approx(1 / ways, rel=0.1)
            assert of["same"].value == pytest.approx(1 / ways)  # not 1: of equal distances one is taken
    by_chance = np.mean([figures["recall@1"][name].value for name in spaces if "random" in name])
    assert by_chance == pytest.approx(19 / 599, rel=0.25)
    assert figures["recall@1"]["same"].value == pytest.approx(1 / 30)


def test_intervals_over_classes_agree_with_a_plain_loop():
    sizes = np.random.default_rng(0).integers(4, 20, 40)
    part = uneven(sizes, seed=5)
    result = measured(part, ways=(), confidence=0.9, resamples=4_000)
    for metric in ("recall@1", "map@r"):
        scores, interval = own(result)[metric], result.figures[metric]["own"]
        rng, by_hand = np.random.default_rng(9), []
        classes = [scores[part[1] == label] for label in np.unique(part[1])]
        for _ in range(3_000):
            drawn = [classes[at] for at in rng.integers(0, 40, 40)]
            by_hand.append(np.concatenate(drawn).mean())
        assert interval.value == pytest.approx(scores.mean())
        np.testing.assert_allclose(
            [interval.low, interval.high], np.quantile(by_hand, [0.05, 0.95]), atol=0.01
        )
        of_examples = bootstrap_mean(scores, confidence=0.9)  # as if they were independent
        assert interval.high - interval.low > 1.3 * (of_examples.high - of_examples.low)


@pytest.mark.parametrize(("confidence", "errors"), [(0.95, 1.959964), (0.5, 0.674490)])
def test_the_interval_over_episodes_is_the_normal_one(confidence, errors):
    result = measured(confidence=confidence)
    assert result.confidence == confidence
    for metric in ("2-way 1-shot", "4-way 3-shot, nearest"):
        scores, interval = own(result)[metric].tolist(), result.figures[metric]["own"]
        mean = sum(scores) / 20
        error = np.sqrt(sum((one - mean) ** 2 for one in scores) / 19 / 20)
        expected = [mean, mean - errors * error, mean + errors * error]
        np.testing.assert_allclose([interval.value, interval.low, interval.high], expected, rtol=1e-5)


def test_what_is_asked_for_is_what_is_measured():
    result = measured(ways=[3, 3], shots=[2, 2], queries=4, episodes=7, k=[3, 3])
    assert list(result.figures) == ["recall@3", "map@r", "3-way 2-shot", "3-way 2-shot, nearest"]
    assert own(result)["3-way 2-shot"].shape == (7,)
    assert set(np.unique(own(result)["3-way 2-shot"] * 12 % 1).round(9)) <= {0, 1}  # 3 ways of 4 queries
    assert (result.num_examples, result.num_classes, result.num_seen, result.num_episodes) == (43, 5, 0, 7)
    assert list(measured(ways=()).figures) == ["recall@1", "recall@2", "recall@5", "map@r"]
    assert measured(ways=()).num_episodes == 0
    # The fewer shots are the first of the more, and the queries the same.
    both = own(measured(ways=4, shots=(1, 3)))
    np.testing.assert_array_equal(own(measured(ways=4, shots=(3, 1)))["4-way 1-shot"], both["4-way 1-shot"])
    assert measured(shots=3, resamples=51).figures["recall@1"] != measured(shots=3).figures["recall@1"]


def test_few_neighbors_at_a_time_are_the_same_as_all(monkeypatch):
    whole = own(measured(ways=()))
    monkeypatch.setattr(unseen, "_NEIGHBORS", 40)  # three queries of twelve neighbors
    for metric, scores in own(measured(ways=())).items():
        np.testing.assert_array_equal(scores, whole[metric])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.lists(st.integers(2, 6), min_size=2, max_size=5))
def test_seen_examples_only_ever_take_away(seed, sizes):
    part, seen = uneven(sizes, seed=seed), uneven([4, 3], first=11, seed=seed + 1)
    scores = own(measured(part, seen=({"own": seen[0]}, seen[1]), ways=(), k=1))
    assert (scores["recall@1, seen added"] <= scores["recall@1"]).all()
    assert (scores["recall@1, seen added"] + scores["lost to seen"] <= 1).all()
    changed = scores["recall@1"] != scores["recall@1, seen added"]
    assert (scores["lost to seen"][changed] == 1).all()
    order = np.random.default_rng(seed).permutation(len(part[1]))
    again = own(measured((part[0][order], 3 * part[1][order]), ways=(), k=1))
    np.testing.assert_allclose(again["map@r"], scores["map@r"][order])


def test_of_rows_that_are_as_near_the_seen_one_counts():
    rows, labels = np.repeat(np.eye(3), 2, axis=0), np.repeat([1, 2, 3], 2)
    result = unseen_classes({"own": rows}, labels, seen=({"own": [[1, 0, 0]]}, [0]), ways=())
    assert own(result)["lost to seen"].tolist() == [1, 1, 0, 0, 0, 0]


def test_directions_that_nearly_agree_are_told_apart_in_episodes_too():
    # As of a network that collapses: the distances are below what float32 rounds lengths by.
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 6)
    own_parts = rng.normal(size=(20, 32))[labels] + 0.01 * rng.normal(size=(120, 32))
    close = 1 + rng.random(32) + 3e-4 * own_parts
    result = unseen_classes({"a": close}, labels, ways=5, shots=(1, 2), queries=4, episodes=50, k=1)
    assert {metric: values["a"].value for metric, values in result.figures.items()} == dict.fromkeys(
        ("recall@1", "map@r", "5-way 1-shot", "5-way 2-shot", "5-way 2-shot, nearest"), 1.0
    )


def test_the_interval_of_episodes_stays_among_the_accuracies_there_are():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(12, 4)), np.repeat(np.arange(4), 3)
    options = {"ways": 2, "shots": 1, "queries": 1, "episodes": 2, "k": 1}
    results = [unseen_classes({"a": rows}, labels, seed=seed, **options) for seed in range(20)]
    intervals = [result.figures["2-way 1-shot"]["a"] for result in results]
    assert min(interval.low for interval in intervals) == 0
    assert max(interval.high for interval in intervals) == 1


def test_the_result_shows_itself_as_a_table():
    spaces = {"trained": np.repeat(np.eye(4), 3, axis=0), "<pixels>": np.ones((12, 5))}
    seen = ({name: rows[:2] + 1 for name, rows in spaces.items()}, [8, 9])
    options = {"seen": seen, "ways": 2, "shots": (1, 2), "queries": 1, "episodes": 9, "k": 1}
    table = unseen_classes(spaces, np.repeat(np.arange(4), 3), **options)
    lines = repr(table).splitlines()
    assert lines[0] == (
        "12 examples of 4 unseen classes, 2 of seen ones; 95% intervals over classes "
        "(too narrow for fewer than 20); N-way K-shot: over 9 episodes of these classes"
    )
    assert lines[1].split() == ["metric", "trained", "<pixels>"]
    assert [line.partition("  ")[0] for line in lines[2:]] == [
        "recall@1",
        "map@r",
        "recall@1, seen added",
        "lost to seen",
        "2-way 1-shot",
        "2-way 2-shot",
        "2-way 2-shot, nearest",
    ]
    assert lines[2].endswith("  1.000 [1.000, 1.000]  0.250 [0.000, 0.750]")
    assert lines[6].endswith("1.000 [1.000, 1.000]  0.500 [0.500, 0.500]")
    html = table._repr_html_()
    assert "<th>&lt;pixels&gt;</th>" in html
    assert "<caption>12 examples of 4 unseen classes, 2 of seen ones; 95% intervals" in html
    assert html.count("<tr>") == 1 + 7
    plain = measured(ways=())
    assert (
        repr(plain).splitlines()[0]
        == "43 examples of 5 unseen classes; 95% intervals over classes (too narrow for fewer than 20)"
    )


ROWS, LABELS = np.eye(12), np.repeat([3, 5, 7], 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeddings": ROWS}, "embeddings must be a dict of embeddings by name, .* got ndarray"),
        ({"embeddings": {}}, "embeddings must be a dict of embeddings by name, .* got an empty one"),
        ({"embeddings": {"a": ROWS, "b": ROWS[:9]}}, "for each of the 12 labels, got 9 rows in 'b'"),
        ({"embeddings": {"a": ROWS[0]}}, r"embeddings\['a'\] must have shape \[num_examples, dim\], got"),
        ({"embeddings": {"a": ROWS * 0}}, r"embeddings\['a'\] must not be all zero under this distance"),
        ({"labels": LABELS[:9]}, "for each of the 9 labels, got 12 rows in 'a'"),
        ({"labels": []}, "labels of embeddings must hold at least one example, got none"),
        ({"labels": [-1] * 4 + [5] * 8}, r"got UNKNOWN \(-1\) for 4 of 12; leave these examples out"),
        ({"labels": [3] + [5] * 11}, "at least 2 examples, .* but class 3 has 1; leave such classes out"),
        ({"seen": ({"a": ROWS}, LABELS + 2)}, "must be disjoint, but 2 are both, for example label 5; leave"),
        ({"seen": ROWS[0]}, r"seen must be a pair \(embeddings by name, labels\), got ndarray"),
        ({"seen": (ROWS, LABELS + 10)}, "seen must be a dict of embeddings by name, .* got ndarray"),
        ({"seen": ({"b": ROWS}, LABELS + 10)}, "seen must hold embeddings by the same names, 'a', got 'b'"),
        ({"seen": ({"a": ROWS[:, :3] + 1}, LABELS + 10)}, r"seen\['a'\] must have dim 12 like .* got 3"),
        (
            {"seen": ({"a": ROWS[:3]}, LABELS + 10)},
            "seen must all be of the same examples, .* 12 labels, got 3",
        ),
        ({"seen": ({"a": ROWS}, LABELS - 4)}, r"labels of seen must name .* got UNKNOWN \(-1\) for 4 of 12"),
        ({"ways": (2, 4)}, "ways must be at most the 3 unseen classes, got 4; ask for fewer"),
        ({"ways": 1}, "ways must be at least 2, got 1"),
        ({"embeddings": {0: ROWS}}, "names of embeddings must be strings, got 0"),
        ({"labels": LABELS * 0, "ways": ()}, "there must be two unseen classes or more, .* got one class"),
        (
            {"shots": (1, 3)},
            "must have 5 examples for 3 shots and 2 queries, but class 3 has 4; pass queries=1 or fewer",
        ),
        (
            {"queries": 4},
            "must have 5 examples for 1 shots and 4 queries, but class 3 has 4; pass queries=3 or fewer",
        ),
        ({"queries": 0}, "queries must be an integer of at least 1, got 0"),
        ({"shots": ()}, "shots must be one number or several, got none"),
        ({"shots": 0}, "shots must be an integer of at least 1, got 0"),
        ({"k": ()}, "k must be one number or several, got none"),
        ({"k": (1, 12)}, "k must be at most the 11 other examples, got 12"),
        ({"k": 1.5}, "k must be an integer of at least 1, got 1.5"),
        ({"episodes": 1}, "episodes must be at least 2, .* got 1"),
        ({"episodes": (5, 6)}, r"episodes must be an integer of at least 1, got \(5, 6\)"),
        ({"distance": "cosin"}, "distance must be one of cosine, .*; got 'cosin'"),
        ({"confidence": 95}, "confidence must be a number above 0 and below 1, got 95"),
        ({"resamples": 0}, "resamples must be an integer of at least 1, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
    ],
)
def test_bad_requests_are_named(options, message):
    good = {"embeddings": {"a": ROWS}, "labels": LABELS, "ways": 3, "shots": 1, "queries": 2, "episodes": 5}
    assert own(unseen_classes(**good), "a")["3-way 1-shot"].shape == (5,)
    with pytest.raises(ValueError, match=message):
        unseen_classes(**good | options)


def test_small_classes_can_do_without_episodes():
    result = unseen_classes({"a": ROWS}, LABELS, ways=(), queries=9, k=(1, 11))
    assert result.figures["recall@11"]["a"].value == 1


def test_more_examples_of_a_new_class_find_more_of_it():
    measured = few_shot(GALLERY, QUERIES, [2, 3], shots=(1, 5, 40), repeats=8)
    few = measured["few"].mean(axis=0)
    assert few[0] < few[1] < few[2]
    # With all rows there is nothing to draw.
    assert np.unique(measured["few"][:, 2]).size == 1
    assert measured["few"][0, 2] == recall_of(closed_set(GALLERY, QUERIES, by_class=True), [2, 3])
    assert measured["other"].shape == (8, 3)
    again = few_shot(GALLERY, QUERIES, [2, 3], shots=(1, 5, 40), repeats=8)
    np.testing.assert_array_equal(again["few"], measured["few"])
    only = few_shot(GALLERY, (QUERIES[0][:40], QUERIES[1][:40]), [2], shots=[1], repeats=1)
    assert np.isnan(only["few"]).all()
    assert few_shot(GALLERY, QUERIES, [2], shots=5, repeats=2)["few"].shape == (2, 1)
    with pytest.raises(ValueError, match="shots must hold at least one example, got none"):
        few_shot(GALLERY, QUERIES, [2], shots=())
    with pytest.raises(ValueError, match="must have 41 rows in the gallery, but 2 has 40"):
        few_shot(GALLERY, QUERIES, [2], shots=[41])


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_prototypes_are_the_means_of_classes(distance):
    labels, lengths = GALLERY[1], np.random.default_rng(0).choice([0.1, 10], (160, 1), p=[0.9, 0.1])
    rows = GALLERY[0] * lengths
    options = {"shots": [40], "repeats": 1, "prototypes": True, "distance": distance}
    measured = few_shot((rows, labels), QUERIES, [2, 3], **options)
    if distance == "cosine":  # a long row counts no more than a short one
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = np.stack([rows[labels == label].mean(axis=0) for label in range(4)])
    expected = closed_set((means, np.arange(4)), QUERIES, depth=1, by_class=True, distance=distance)
    assert measured["few"][0, 0] == recall_of(expected, [2, 3])
    assert measured["other"][0, 0] == recall_of(expected, [0, 1])


def recall_of(measured, classes):
    rows = (measured["metric"] == "recall@1") & np.isin(measured["class"], classes)
    rows &= measured["average"] == "class"
    return np.mean(measured["value"][rows])
