"""What makes two images alike, drawn over them."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from simnb._text import visible
from simnb.plots import styling
from simnb.plots.pictures import displayable

#: Orange and purple: apart for every kind of colour vision.
_COLORS = "PuOr_r"


def similar_parts(
    query: ArrayLike,
    neighbor: ArrayLike,
    query_map: ArrayLike,
    neighbor_map: ArrayLike,
    *,
    similarity: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw which parts of two images make them alike, as ``simnb.models.explain`` finds them.

    Each image stands beside its map, which lies over the image in grey. Orange parts make the two alike;
    where it is purple, hiding the image makes them more alike. Both maps have one scale.

    Args:
        query: One image, [height, width, channels], with pixels as ``image_grid`` takes them.
        neighbor: Another one.
        query_map: By how much the similarity falls where a pixel of the query is hidden, [height, width].
        neighbor_map: Likewise of the neighbor.
        similarity: Cosine similarity of the two, for the title.
        title: Heading of the figure; counted from the maps by default.

    Returns:
        A ``Figure``.

    Raises:
        ValueError: If a shape is wrong, or a map is not that of its image.
    """
    pairs = [_pair(query, query_map, "query"), _pair(neighbor, neighbor_map, "neighbor")]
    limit = max(float(np.abs(drops).max()) for _, drops in pairs) or 1.0
    figure, axes = plt.subplots(1, 4, figsize=(9.4, 2.7), layout="constrained")
    for (pixels, drops), plain, mapped, name in zip(
        pairs, axes[::2], axes[1::2], ("query", "neighbor"), strict=True
    ):
        plain.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        mapped.imshow(pixels[..., :3].mean(axis=2), cmap="gray", vmin=0, vmax=255)
        drawn = mapped.imshow(drops, cmap=_COLORS, vmin=-limit, vmax=limit, alpha=0.65)
        plain.set_title(name, fontsize=9)
        mapped.set_title(f"{name}: what counts", fontsize=9)
    for ax in axes:
        ax.axis("off")
    bar = figure.colorbar(drawn, ax=axes, fraction=0.03, aspect=18, pad=0.02)
    bar.set_label("fall of the cosine similarity\nwhere it is hidden", fontsize=9)
    bar.outline.set_visible(False)
    alike = "" if similarity is None else f"Cosine similarity {styling.number(similarity)}: "
    most = max(float(drops.max()) for _, drops in pairs)
    counts = f"the part that counts most takes {styling.number(most)} with it"
    found = alike + (counts if most > 0 else "no part counts for it")
    heading = visible(title or found[0].upper() + found[1:])
    figure.suptitle(heading, x=0.01, ha="left", fontsize=11.5, fontweight="bold", color=styling.INK)
    return figure


def _pair(image, drops, name):
    image, drops = np.asarray(image), np.asarray(drops, np.float64)
    if image.ndim != 3:
        raise ValueError(f"{name} must be one image, [height, width, channels], got {image.shape}")
    if drops.shape != image.shape[:2]:
        raise ValueError(f"{name}_map must have shape {image.shape[:2]} as its image, got {drops.shape}")
    if not np.isfinite(drops).all():
        raise ValueError(f"{name}_map must be finite, got NaN or infinity")
    return displayable(image[None])[0], drops
