"""The tutorial of TensorFlow Similarity as its users wrote it; only the line that imports it is another.

python tutorial.py DATA_SET STEPS_PER_EPOCH
"""

import random
import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
from mpl_toolkits.axes_grid1 import ImageGrid

from simnb import tfsim

dataset_name, steps_per_epoch = sys.argv[1], int(sys.argv[2])

tfsim.utils.tf_cap_memory()
print("TensorFlow Similarity", tfsim.__version__)

num_known_classes = 10
class_list = random.sample(population=range(10), k=num_known_classes)
classes_per_batch = 10
examples_per_class_per_batch = 8

train_ds = tfsim.samplers.TFDatasetMultiShotMemorySampler(
    dataset_name,
    classes_per_batch=min(classes_per_batch, num_known_classes),
    splits="train",
    steps_per_epoch=steps_per_epoch,
    examples_per_class_per_batch=examples_per_class_per_batch,
    class_list=class_list,
)
val_ds = tfsim.samplers.TFDatasetMultiShotMemorySampler(
    dataset_name,
    classes_per_batch=classes_per_batch,
    splits="test",
    total_examples_per_class=100,
)

num_cols = num_rows = 5
x_slice, y_slice = train_ds.get_slice(begin=0, size=num_cols * num_rows)
fig = plt.figure(figsize=(6.0, 6.0))
grid = ImageGrid(fig, 111, nrows_ncols=(num_cols, num_rows), axes_pad=0.1)
for ax, im, label in zip(grid, x_slice, y_slice):
    ax.imshow(im)
    ax.axis("off")

embedding_size = 256
inputs = keras.layers.Input((32, 32, 3))
x = keras.layers.Rescaling(scale=1.0 / 255)(inputs)
x = keras.layers.Conv2D(64, 3, activation="relu")(x)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.Conv2D(128, 3, activation="relu")(x)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.MaxPool2D((4, 4))(x)
x = keras.layers.Conv2D(256, 3, activation="relu")(x)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.Conv2D(256, 3, activation="relu")(x)
x = keras.layers.GlobalMaxPool2D()(x)
outputs = tfsim.layers.MetricEmbedding(embedding_size)(x)

model = tfsim.models.SimilarityModel(inputs, outputs)
model.summary()

epochs = 2
learning_rate = 0.002
val_steps = 5
loss = tfsim.losses.MultiSimilarityLoss()
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate),
    loss=loss,
    steps_per_execution=10,
)
history = model.fit(train_ds, epochs=epochs, validation_data=val_ds, validation_steps=val_steps)

x_index, y_index = val_ds.get_slice(begin=0, size=200)
model.reset_index()
model.index(x_index, y_index, data=x_index)

x_train, y_train = train_ds.get_slice(begin=0, size=1000)
calibration = model.calibrate(
    x_train,
    y_train,
    calibration_metric="f1",
    matcher="match_nearest",
    extra_metrics=["precision", "recall", "binary_accuracy"],
    verbose=1,
)

num_neighbors = 5
labels = [
    "Airplane", "Automobile", "Bird", "Cat", "Deer", "Dog", "Frog", "Horse", "Ship", "Truck", "Unknown",
]  # fmt: skip
class_mapping = {c_id: c_lbl for c_id, c_lbl in zip(range(11), labels)}
x_display, y_display = val_ds.get_slice(begin=200, size=10)
nns = model.lookup(x_display, k=num_neighbors)
for idx in np.argsort(y_display):
    tfsim.visualization.viz_neigbors_imgs(
        x_display[idx],
        y_display[idx],
        nns[idx],
        class_mapping=class_mapping,
        fig_size=(16, 2),
    )

fig, (ax1, ax2) = plt.subplots(1, 2, figsize=(15, 5))
x = calibration.thresholds["distance"]
ax1.plot(x, calibration.thresholds["precision"], label="precision")
ax1.plot(x, calibration.thresholds["recall"], label="recall")
ax1.plot(x, calibration.thresholds["f1"], label="f1 score")
ax1.legend()
ax2.plot(calibration.thresholds["recall"], calibration.thresholds["precision"])
plt.show()

cutpoint = "optimal"
x_confusion, y_confusion = val_ds.get_slice(0, -1)
matches = model.match(x_confusion, cutpoint=cutpoint, no_match_label=10)
cm = tfsim.visualization.confusion_matrix(
    matches,
    y_confusion,
    labels=labels,
    title="Confusion matrix for cutoff: %s" % cutpoint,
    normalize=False,
)

idx_no_match = np.where(np.array(matches) == 10)
no_match_queries = x_confusion[idx_no_match]
if len(no_match_queries):
    plt.imshow(no_match_queries[0])

num_examples_to_clusters = 500
vx, vy = val_ds.get_slice(0, num_examples_to_clusters)
projector = tfsim.visualization.projector(
    model.predict(vx),
    labels=vy,
    images=vx,
    class_mapping=class_mapping,
    image_size=96,
    plot_size=800,
)
print(len(no_match_queries), "queries without a match;", model.index_size(), "indexed")
