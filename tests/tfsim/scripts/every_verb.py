"""Every verb of the model, written for TensorFlow Similarity by the names of its modules.

python every_verb.py DATA_SET
"""

import sys
import tempfile

import tensorflow as tf

from simnb import tfsim
from simnb.tfsim.layers import MetricEmbedding
from simnb.tfsim.losses import TripletLoss
from simnb.tfsim.models import SimilarityModel
from simnb.tfsim.retrieval_metrics import BNDCG, MapAtK, RecallAtK
from simnb.tfsim.samplers import TFDatasetMultiShotMemorySampler, select_examples

tfsim.utils.tf_cap_memory()
name = sys.argv[1]
ds = TFDatasetMultiShotMemorySampler(
    dataset_name=name,
    classes_per_batch=6,
    splits="train",
    class_list=[0, 1, 2, 3, 4, 5],
    examples_per_class_per_batch=6,
    steps_per_epoch=20,
    total_examples_per_class=100,
    warmup=-1,
)
val = TFDatasetMultiShotMemorySampler(
    dataset_name=name, classes_per_batch=10, splits=["test"], total_examples_per_class=20
)
print("The sampler contains", len(ds), "steps per epoch.", ds.num_examples, ds.example_shape)
x, y = ds.generate_batch(100 % len(ds))
print(x.shape, y.shape, tf.reduce_max(y))
xs, ys = ds.get_slice(0, 10)
print(tf.cast(xs, tf.float32).shape)


def get_model():
    inputs = tf.keras.layers.Input(shape=(32, 32, 3))
    x = tf.keras.layers.Rescaling(1 / 255)(inputs)
    x = tf.keras.layers.Conv2D(32, 3, activation="relu")(x)
    x = tf.keras.layers.MaxPool2D(2, 2)(x)
    x = tf.keras.layers.Conv2D(64, 3, activation="relu")(x)
    x = tfsim.layers.GeneralizedMeanPooling2D()(x)
    outputs = MetricEmbedding(64)(x)
    return SimilarityModel(inputs, outputs, name="second")


model = get_model()
schedule = tfsim.schedules.WarmupCosineDecay(max_learning_rate=0.003, total_steps=40, warmup_steps=5)
model.compile(
    optimizer=tf.keras.optimizers.Adam(schedule),
    loss=TripletLoss(distance="cosine", positive_mining_strategy="easy"),
    metrics=[tfsim.training_metrics.dist_gap("cosine"), tfsim.training_metrics.avg_pos(distance="cosine")],
)
qx, qy = val.get_slice(0, 100)
tx, ty = val.get_slice(100, -1)
cb = tfsim.callbacks.EvalCallback(
    queries=qx,
    query_labels=qy,
    targets=tx,
    target_labels=ty,
    known_classes=tf.constant([0, 1, 2, 3, 4, 5]),
    metrics=["binary_accuracy", "f1"],
    k=1,
    distance="cosine",
    retrieval_metrics=[RecallAtK(k=2)],
)
history = model.fit(ds, validation_data=(qx, qy), epochs=2, callbacks=[cb], verbose=2)
print(sorted(history.history))
model.reset_index()
model.index(tx, ty, data=tx)
model.index_summary()
print(model.index_size())
r = model.evaluate_retrieval(
    qx,
    qy,
    retrieval_metrics=[RecallAtK(k=1), BNDCG(k=5), MapAtK(r={i: 10 for i in range(10)}, k=5, clip_at_r=True)],
)
cal = model.calibrate(
    qx,
    qy,
    thresholds_targets={"0.8": 0.8, "dream": 1.0},
    extra_metrics=[
        "precision",
        "recall",
        "binary_accuracy",
        "false_positive_rate",
        "negative_predictive_value",
    ],
    verbose=1,
    rounding=3,
)
for k, v in cal.cutpoints.items():
    print(k, v)
print(model.evaluate_classification(qx, qy, extra_metrics=["precision", "recall", "f1"]).keys())
nns = model.single_lookup(qx[0], k=4)
print(nns[0].rank, nns[0].distance, nns[0].label, nns[0].embedding.shape, nns[0].data.shape)
tfsim.visualization.viz_neigbors_imgs(
    qx[0], qy[0], nns, class_mapping={i: str(i) for i in range(10)}, show=False
)
m = model.match(qx, cutpoint="optimal", no_match_label=-1, k=3, matcher="match_majority_vote")
ax, cm = tfsim.visualization.confusion_matrix(
    m, qy, normalize=True, labels=[str(i) for i in range(10)], show=False
)
d = tempfile.mkdtemp() + "/models/cifar"
model.save(d, save_index=True, compression=True)
again = tf.keras.models.load_model(d, custom_objects={"SimilarityModel": SimilarityModel})
again.load_index(d)
print(again.index_size(), again.match(qx[:5]), m[:5])
x_, y_ = select_examples(qx, qy, [1, 2], 5)
print(len(x_), set(y_))
print(again.match(qx[:3], cutpoint="all"))
