"""Pictures by their old names; ``simnb.plots`` and ``simnb.widgets`` draw them."""

import importlib.util

import matplotlib.pyplot as plt
import numpy as np
import sklearn.metrics

from simnb import data, plots, widgets
from simnb.index import Neighbors
from simnb.matching import UNKNOWN

__all__ = [
    "viz_neighbors_imgs",
    "viz_neigbors_imgs",
    "confusion_matrix",
    "projector",
    "visualize_views",
]


def viz_neighbors_imgs(
    example, example_class, neighbors, class_mapping=None, fig_size=(24, 4), cmap="viridis", show=True
):
    """``simnb.plots.neighbor_grid`` of one query: right neighbors and wrong ones are marked.

    Args:
        example: The query, an image.
        example_class: Its class, or None.
        neighbors: What ``lookup`` found for it, indexed with ``data=images``.
        class_mapping: Name of each class, by number.
        fig_size: Without effect: the size follows from what is drawn.
        cmap: Without effect: wrong neighbors are marked by border and symbol, color images too.
        show: Whether to show it at once.

    Returns:
        ``matplotlib.pyplot`` where it is not shown.

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


#: As it was spelled.
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
    return np.broadcast_to(images.astype(np.uint8), (*images.shape[:3], 3)) if images.shape[-1] == 1 else (
        images.astype(np.uint8)
    )  # fmt: skip


def confusion_matrix(
    y_pred, y_true, normalize=True, labels=None, title="Confusion matrix", cmap="Blues", show=True
):
    """scikit-learn's confusion matrix; ``simnb.plots.confusion_matrix`` draws one for matching.

    Args:
        y_pred: Predicted classes; -1 is no match.
        y_true: True classes.
        normalize: Whether rows add up to 1.
        labels: Names, of class 0 on; the classes themselves when left out.
        title: Of the figure.
        cmap: Colors.
        show: Whether to show it at once.

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
        missing = [c for c in classes if c >= len(labels)]
        if missing:
            raise ValueError(f"labels must name class {missing[0]}, got {len(labels)} names")
        names = [str(labels[c]) if c >= 0 else "Unknown" for c in classes]
    counts = sklearn.metrics.confusion_matrix(
        y_true, y_pred, labels=classes, normalize="true" if normalize else None
    )
    size = max(5.0, 0.62 * len(classes) + 1.5)
    _, ax = plt.subplots(figsize=(1.15 * size, size), layout="constrained")
    shown = sklearn.metrics.ConfusionMatrixDisplay(counts, display_labels=names)
    shown.plot(ax=ax, cmap=cmap, xticks_rotation=45, values_format=".2f" if normalize else "d")
    accuracy = sklearn.metrics.accuracy_score(y_true, y_pred)
    ax.set_title(title)
    ax.set_xlabel(f"Predicted label\naccuracy={accuracy:0.4f}; misclass={1 - accuracy:0.4f}")
    if show:
        plt.show()
    return ax, counts


def projector(
    embeddings,
    labels=None,
    class_mapping=None,
    images=None,
    image_size=64,
    tooltips_info=None,
    pt_size=3,
    colorize=True,
    pastel_factor=0.1,
    plot_size=600,
    active_drag="box_zoom",
    densmap=True,
):
    """``simnb.widgets.Projector``: a map of embeddings to look around in.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each.
        class_mapping: Name of each class, by number, or a list of names.
        images: Shown beside the pointer.
        image_size: Without effect: thumbnails follow the zoom.
        tooltips_info: More to show beside the pointer: by name a value for each example.
        pt_size: Without effect.
        colorize: Without effect.
        pastel_factor: Without effect.
        plot_size: Height, in pixels.
        active_drag: Without effect: dragging moves the map, the wheel zooms.
        densmap: Without effect: the map is by UMAP where umap-learn is installed, and else by t-SNE.

    Returns:
        The ``Projector``; as the last line of a cell it is shown.
    """
    method = "umap" if importlib.util.find_spec("umap") else "tsne"
    labels = None if labels is None else np.asarray(labels).ravel().astype(np.int64)
    names = None if labels is None else _names(class_mapping, labels.tolist())
    details = None
    if tooltips_info is not None:
        columns = {str(name): list(values) for name, values in tooltips_info.items()}
        details = [
            ", ".join(f"{name}: {values[i]}" for name, values in columns.items())
            for i in range(len(embeddings))
        ]
    return widgets.Projector(
        np.asarray(embeddings),
        labels,
        images=None if images is None else _pixels(images),
        class_names=names,
        details=details,
        method=method,
        height=plot_size,
    )


def visualize_views(
    views,
    labels=None,
    predictions=None,
    num_imgs=None,
    views_per_col=4,
    fig_size=(24, 4),
    max_pixel_value=1.0,
    min_pixel_value=0.0,
):
    """``simnb.plots.image_grid`` of the views of each image, side by side.

    Args:
        views: A list of arrays [num_images, height, width, channels].
        labels: Class of each image.
        predictions: Left out.
        num_imgs: How many images; all when left out.
        views_per_col: Images in a row.
        fig_size: Without effect.
        max_pixel_value: White.
        min_pixel_value: Black.

    Raises:
        ValueError: If predictions are given.
    """
    if predictions is not None:
        raise ValueError("visualize_views has no predictions; simnb.plots draws answers (rejected_grid)")
    count = len(views[0]) if num_imgs is None else num_imgs
    scale = max_pixel_value - min_pixel_value
    shown = [_pixels((np.asarray(view[:count], np.float32) - min_pixel_value) / scale) for view in views]
    pairs = np.concatenate(shown, axis=2)
    plots.image_grid(pairs, None if labels is None else np.asarray(labels)[:count], columns=views_per_col)
    plt.show()
