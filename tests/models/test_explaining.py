import numpy as np
import pytest

from simnb.models import explain


def corner(images):
    """Sees the upper left corner of 3 x 2 pixels and nothing else."""
    return images[:, :3, :2].reshape(len(images), -1).astype("float64") + 1e-3


def everything(images):
    return images.reshape(len(images), -1).astype("float64")


def image(height=8, width=7, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def by_loops(model, shown, other, side):
    """The mean fall over the patches that hide a pixel, one image at a time."""
    height, width = shown.shape[:2]
    tops = [*range(0, height - side, side // 2 or 1), height - side]
    lefts = [*range(0, width - side, side // 2 or 1), width - side]
    falls = [[[] for _ in range(width)] for _ in range(height)]
    wanted = model(other[None])[0]
    for top in tops:
        for left in lefts:
            hidden = shown.copy()
            hidden[top : top + side, left : left + side] = np.rint(shown.mean((0, 1)))
            fall = cosine(model(shown[None])[0], wanted) - cosine(model(hidden[None])[0], wanted)
            for y in range(top, top + side):
                for x in range(left, left + side):
                    falls[y][x].append(fall)
    return [[np.mean(each) for each in row] for row in falls]


@pytest.mark.parametrize(("patch", "batch_size"), [(1, 5), (3, 64), (4, 7), (7, 2)])
def test_the_maps_are_the_mean_falls_of_the_similarity(patch, batch_size):
    query, neighbor = image(), image(seed=1)
    found = explain(everything, query, neighbor, patch=patch, batch_size=batch_size)
    assert found.similarity == pytest.approx(cosine(*everything(np.stack([query, neighbor]))))
    np.testing.assert_allclose(found.query_map, by_loops(everything, query, neighbor, patch), atol=1e-5)
    np.testing.assert_allclose(found.neighbor_map, by_loops(everything, neighbor, query, patch), atol=1e-5)
    assert found.query is query
    assert found.neighbor is neighbor


def test_what_the_embedder_does_not_see_does_not_count():
    query = image()
    found = explain(corner, query, query, patch=2)
    assert (found.query_map[:3, :2] > 1e-4).all()
    np.testing.assert_allclose(found.query_map[4:], 0, atol=1e-6)
    np.testing.assert_allclose(found.query_map[:, 3:], 0, atol=1e-6)
    np.testing.assert_allclose(found.query_map, found.neighbor_map)


def test_images_of_two_sizes_have_maps_of_two_sizes():
    def colours(images):
        return images.mean((1, 2))

    found = explain(colours, image(24, 12), image(6, 30).astype("float32") / 255)
    assert (found.query_map.shape, found.neighbor_map.shape) == ((24, 12), (6, 30))
    assert found.query_map.dtype == np.float32


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"query must be one image, .* got \(1, 8, 7, 3\)"):
        explain(everything, image()[None], image())
    with pytest.raises(ValueError, match=r"neighbor must be one image, .* got \(8, 7\)"):
        explain(everything, image(), image()[..., 0])
    with pytest.raises(ValueError, match=r"patch must be at most 7, the shorter side of an image, got 8"):
        explain(everything, image(), image(), patch=8)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        explain(everything, image(), image(), batch_size=0)
