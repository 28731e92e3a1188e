"""Pictures by their old names; ``simnb.plots`` and ``simnb.widgets`` draw them."""

import importlib.util
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import sklearn.metrics
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from simnb import data, plots, widgets
from simnb.index import Neighbors
from simnb.matching import UNKNOWN
from simnb.tfsim.types import Lookup

__all__ = ["viz_neighbors_imgs", "viz_neigbors_imgs", "confusion_matrix", "projector", "visualize_views"]

_Names: TypeAlias = Mapping[int, str] | Sequence[str]


def viz_neighbors_imgs(
    example: ArrayLike,
    example_class: int | None,
    neighbors: Sequence[Lookup],
    class_mapping: _Names | None = None,
    fig_size: tuple[float, float] = (24, 4),
    cmap: str = "viridis",
    show: bool = True,
) -> ModuleType | None:
    """``simnb.plots.neighbor_grid`` of one query: right neighbors and wrong ones are marked.

    Args:
        example: The query, an image.
        example_class: Its class, or None.
        neighbors: What ``lookup`` found for it, indexed with ``data=images``.
        class_mapping: Name of each class, by number.
        fig_size, cmap: Have no effect.
        show: Whether to show the figure at once.

    Returns:
        ``matplotlib.pyplot`` if the figure is not shown, else None.

    Raises:
        ValueError: If a neighbor was indexed without its image.
    """
    if not neighbors or any(found.data is None for found in neighbors):
        raise ValueError("neighbors must have their images: index them with model.index(x, y, data=x)")
    labels = [UNKNOWN if found.label is None else found.label for found in neighbors]
    truth = UNKNOWN if example_class is None else int(example_class)
    names = _names(class_mapping, [truth, *labels])
    query = data.from_arrays(_pixels([example]), [truth], class_names=names)
    gallery = data.from_arrays(_pixels([found.data for found in neighbors]), labels, class_names=names)
    distances = np.array([[found.distance for found in neighbors]], np.float32)
    found = Neighbors(distances, gallery.ids[None], np.array([labels]))
    plots.neighbor_grid(query, found, gallery)
    if not show:
        return plt
    plt.show()
    return None


#: TensorFlow Similarity spelled it so at first.
viz_neigbors_imgs = viz_neighbors_imgs


def _names(class_mapping, labels):
    if class_mapping is None:
        return None
    named = class_mapping if hasattr(class_mapping, "get") else dict(enumerate(class_mapping))
    count = max([*labels, *(int(label) for label in named)]) + 1
    return [str(named.get(label, label)) for label in range(count)]


def _pixels(images):
    """Images as uint8 [count, height, width, 3]; floats are 0 to 1 unless one is above."""
    images = np.stack([np.asarray(image) for image in images])
    images = images[..., None] if images.ndim == 3 else images
    if np.issubdtype(images.dtype, np.floating):
        images = np.clip(images * (255 if images.max(initial=0) <= 1 else 1), 0, 255)
    return np.repeat(images.astype(np.uint8), 3 if images.shape[-1] == 1 else 1, axis=-1)


def confusion_matrix(
    y_pred: ArrayLike,
    y_true: ArrayLike,
    normalize: bool = True,
    labels: Sequence[str] | None = None,
    title: str = "Confusion matrix",
    cmap: str = "Blues",
    show: bool = True,
) -> tuple[Axes, NDArray]:
    """scikit-learn's confusion matrix; ``simnb.plots.confusion_matrix`` draws one for matching.

    Args:
        y_pred: Predicted classes; -1 is no match.
        y_true: True classes.
        normalize: Whether rows add up to 1.
        labels: Names of the classes, from class 0 on; None for their numbers.
        title: Title of the figure.
        cmap: Name of the colors, as in Matplotlib.
        show: Whether to show the figure at once.

    Returns:
        The ``Axes``, and the matrix as an array: a row and a column for each class, -1 last.

    Raises:
        ValueError: If lengths differ, or a class has no name.
    """
    y_pred, y_true = np.asarray(y_pred).ravel(), np.asarray(y_true).ravel()
    classes = np.union1d(np.union1d(y_pred, y_true), np.arange(0 if labels is None else len(labels)))
    classes = np.concatenate([classes[classes >= 0], classes[classes < 0]]).astype(int)
    names = [str(label) for label in classes]
    if labels is not None:
        if classes.max(initial=-1) >= len(labels):
            raise ValueError(f"labels must name class {classes.max()}, got {len(labels)} names")
        names = [str(labels[c]) if c >= 0 else "Unknown" for c in classes]
    size = max(5.0, 0.62 * len(classes) + 1.5)
    _, ax = plt.subplots(figsize=(1.15 * size, size), layout="constrained")
    shape = {"labels": classes, "display_labels": names, "normalize": "true" if normalize else None}
    look = {"cmap": cmap, "xticks_rotation": 45, "values_format": ".2f" if normalize else "d"}
    shown = sklearn.metrics.ConfusionMatrixDisplay.from_predictions(y_true, y_pred, ax=ax, **shape, **look)
    accuracy = sklearn.metrics.accuracy_score(y_true, y_pred)
    ax.set_title(title)
    ax.set_xlabel(f"Predicted label\naccuracy={accuracy:0.4f}; misclass={1 - accuracy:0.4f}")
    if show:
        plt.show()
    return ax, shown.confusion_matrix


def projector(
    embeddings: ArrayLike,
    labels: ArrayLike | None = None,
    class_mapping: _Names | None = None,
    images: ArrayLike | None = None,
    image_size: int = 64,
    tooltips_info: Mapping[str, Sequence[Any]] | None = None,
    pt_size: int = 3,
    colorize: bool = True,
    pastel_factor: float = 0.1,
    plot_size: int = 600,
    active_drag: str = "box_zoom",
    densmap: bool = True,
) -> widgets.Projector:
    """``simnb.widgets.Projector``: a map by UMAP, or by t-SNE where umap-learn is not installed.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each example, shape [num_examples].
        class_mapping: Name of each class, by number, or a list of names.
        images: Image of each example, which is shown beside the pointer.
        tooltips_info: More to show beside the pointer: by name a value for each example.
        plot_size: Height of the widget, in pixels.
        image_size, pt_size, colorize, pastel_factor, active_drag, densmap: Have no effect.

    Returns:
        The ``Projector``; as the last line of a cell it is shown.
    """
    embeddings, names = np.asarray(embeddings), None
    if labels is not None:
        labels = np.asarray(labels).ravel().astype(np.int64)
        names = _names(class_mapping, labels.tolist())
    details = None
    if tooltips_info is not None:
        columns = {name: list(values) for name, values in tooltips_info.items()}
        details = [
            ", ".join(f"{name}: {values[i]}" for name, values in columns.items())
            for i in range(len(embeddings))
        ]
    return widgets.Projector(
        embeddings,
        labels,
        images=None if images is None else _pixels(images),
        class_names=names,
        details=details,
        method="umap" if importlib.util.find_spec("umap") else "tsne",
        height=plot_size,
    )


def visualize_views(
    views: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    predictions: None = None,
    num_imgs: int | None = None,
    views_per_col: int = 4,
    fig_size: tuple[float, float] = (24, 4),
    max_pixel_value: float = 1.0,
    min_pixel_value: float = 0.0,
) -> None:
    """``simnb.plots.image_grid`` of the views of each image, side by side.

    Args:
        views: A list of arrays [num_images, height, width, channels].
        labels: Class of each image.
        predictions: Must stay None.
        num_imgs: How many images to show; None for all.
        views_per_col: How many images to show in a row.
        fig_size: Has no effect.
        max_pixel_value: That of a pixel that is white.
        min_pixel_value: That of a pixel that is black.

    Raises:
        ValueError: If predictions are given.
    """
    if predictions is not None:
        raise ValueError("visualize_views has no predictions; simnb.plots draws answers (rejected_grid)")
    scale = max_pixel_value - min_pixel_value
    shown = [np.asarray(view)[:num_imgs].astype(np.float32) for view in views]
    shown = [_pixels((view - min_pixel_value) / scale) for view in shown]
    side_by_side = np.concatenate(shown, axis=2)
    labels = None if labels is None else np.asarray(labels)[: len(side_by_side)]
    plots.image_grid(side_by_side, labels, columns=views_per_col)
    plt.show()
