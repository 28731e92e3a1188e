import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import plots
from simnb.distances import DISTANCES, pairwise
from simnb.index import UNKNOWN


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def clusters(places, each=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(places)), each)
    return np.array(places)[labels] + 0.01 * rng.normal(size=(len(labels), len(places[0]))), labels


def edges(ax):
    return {
        line.get_gid(): line.get_linewidth() for line in ax.lines if str(line.get_gid()).startswith("edge")
    }


def test_each_class_is_joined_to_its_nearest_and_the_nearest_pair_by_the_thickest_line():
    embeddings, labels = clusters([[0, 0, 0], [1, 0, 0], [4, 0, 0], [9, 0, 0]])
    ax = plots.class_graph(embeddings, labels, k=1, distance="euclidean", class_names=["a", "b", "c", "$d"])
    found = edges(ax)
    assert set(found) == {"edge: 0-1", "edge: 1-2", "edge: 2-3"}
    assert found["edge: 0-1"] > found["edge: 1-2"] > found["edge: 2-3"]
    assert ax.get_title(loc="left") == "Nearest to one another: a and b"
    texts = [text.get_text() for text in ax.texts]
    for name in ("a", "b", "c", "\\$d"):
        assert name in texts
    centers = np.stack([embeddings[labels == label].mean(axis=0) for label in range(2)])
    assert f"{pairwise(centers[:1], centers[1:], 'euclidean')[0, 0]:.3f}" in texts
    ax.figure.canvas.draw()


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_distance_joins_every_class(distance):
    embeddings, labels = clusters(np.random.default_rng(1).normal(size=(6, 4)))
    joined = {
        end
        for edge in edges(plots.class_graph(embeddings, labels, distance=distance))
        for end in edge[6:].split("-")
    }
    assert joined == set("012345")


def test_held_out_classes_are_hollow_and_unknown_examples_left_out():
    embeddings, labels = clusters([[0, 1], [1, 0]])
    labels[0] = UNKNOWN
    ax = plots.class_graph(embeddings, labels, held_out=[1], k=9)
    dots = {dot.get_gid(): dot for dot in ax.collections}
    assert set(dots) == {"0", "1"}
    assert dots["1"].get_facecolor()[0].tolist() == [1, 1, 1, 1]
    assert "Hollow: held out of training." in " ".join(text.get_text() for text in ax.texts)


def test_it_refuses_what_is_no_graph():
    with pytest.raises(ValueError, match="labels must be of two classes or more, got 1 class"):
        plots.class_graph(np.eye(2), [0, 0])
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got 0"):
        plots.class_graph(np.eye(2), [0, 1], k=0)
