"""What test_distribution.py starts in processes of their own: devices are made before TensorFlow starts.

``python tests/distribution mirrored | worker | sharded`` prints its results as one line of JSON.
"""

import contextlib
import json
import sys
import tempfile

import keras
import numpy as np

from simnb import _replicas, layers, losses, samplers, training

DIM, CLASSES, RATE = 3, 5, 0.5


def examples(count):
    """(inputs, labels as uint8, sample weights): the same examples, whoever asks."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(0.2, 1, (count, DIM)).astype("float32")
    labels = rng.integers(0, CLASSES, count).astype("uint8")
    return inputs, labels, rng.uniform(0.2, 2, count).astype("float32")


def embedder(*head):
    """A model with the same weights, whoever asks."""
    kernel = keras.initializers.GlorotUniform(seed=1)
    body = [keras.Input((DIM,)), keras.layers.Dense(4, kernel_initializer=kernel)]
    return keras.Sequential([*body, keras.layers.UnitNormalization(), *head])


def gradient(model, loss_of, inputs, labels, weights):
    """The loss, which is reduced or not, and the gradient of its sum."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = loss_of(labels, model(inputs, training=True), weights)
    return loss, tape.gradient(loss, model.trainable_variables)


def descend(model, loss_of, batches):
    """Gradient descent by hand on one device; returns the loss of each batch."""
    values = []
    for batch in batches:
        loss, gradients = gradient(model, loss_of, *batch)
        for variable, by in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(RATE * by)
        values.append(float(loss))
    return values


def flat(arrays):
    """All numbers of some arrays, as JSON takes them."""
    return np.concatenate([np.ravel(array) for array in arrays]).tolist()


def fits(mirrored, head, loss, by_hand, *lengths):
    """``model.fit`` over batches of these lengths, and the same by hand: the reported loss and the weights.

    ``head`` makes what follows the embedder. Keras needs a first batch that splits evenly.
    """
    with mirrored.scope():
        model = embedder(*head())
    with _replicas.scope(model):
        model.compile(optimizer=keras.optimizers.SGD(RATE), loss=loss())
    alone, start, results = embedder(*head()), model.get_weights(), []
    for sizes in lengths:
        inputs, labels, weights = data = examples(sum(sizes))
        model.set_weights(start)
        alone.set_weights(start)
        options = {"batch_size": sizes[0], "shuffle": False, "verbose": 0, "sample_weight": weights}
        reported = model.fit(inputs, labels, **options).history["loss"][0]
        batches = zip(*(np.split(part, np.cumsum(sizes)[:-1]) for part in data), strict=True)
        values = descend(alone, by_hand, batches)
        results.append(
            {
                "loss": [reported, float(np.average(values, weights=sizes))],
                "weights": [flat(model.get_weights()), flat(alone.get_weights())],
            }
        )
    return results


def weighted_mean(function):
    """The mean of ``function(labels, rows)`` times sample weights, as Keras's default reduction is."""
    return lambda labels, rows, weights: keras.ops.mean(function(labels, rows) * weights)


def runs(mirrored, head, cases, sizes):
    """Losses, and gradients summed over replicas that hold so many examples each; and on one device."""
    import tensorflow as tf

    with mirrored.scope():
        model = embedder(*head())
    alone, data, results = embedder(*head()), examples(sum(sizes)), {}

    def split(array):
        parts = np.split(array, np.cumsum(sizes)[:-1])
        return mirrored.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    for name, loss in cases.items():
        batch = [split(array) for array in data]
        values, gradients = mirrored.run(gradient, args=[model, loss, *batch])
        expected, by_hand = gradient(alone, loss, *data)
        results[name] = {
            "losses": [np.ravel(value).tolist() for value in mirrored.experimental_local_results(values)],
            "loss": np.ravel(expected).tolist(),
            "gradients": [flat(mirrored.reduce("SUM", g, axis=None) for g in gradients), flat(by_hand)],
        }
    return results


def remembers(mirrored, *sizes):
    """``fits`` with a memory of the batches before, whose state has to be the same on every device."""
    memories = []

    def loss():
        memories.append(losses.CrossBatchMemory(losses.MultiSimilarityLoss(epsilon=None), size=40, dim=4))
        return memories[-1]

    def by_hand(labels, rows, weights):
        return alone.compute_loss(labels, rows, weights, training=True)

    alone = loss()
    (result,) = fits(mirrored, list, loss, by_hand, sizes)
    one, both = (memory.memory.variables for memory in memories)
    copies = zip(*(mirrored.experimental_local_results(variable.value) for variable in both), strict=True)
    result["memory"] = [flat(copy) for copy in copies] + [flat(variable.numpy() for variable in one)]
    return result


def refused(mirrored):
    """What is said of a memory made outside of the scope, and of a batch that does not split evenly."""
    with mirrored.scope():
        model = embedder()
    memory = losses.CrossBatchMemory(losses.TripletLoss(), size=8, dim=4)
    batch = np.zeros(2, "int32"), np.eye(2, 4, dtype="float32")
    said = []
    for call in (lambda: mirrored.run(memory, args=batch), lambda: _replicas.check_fit(model, 7)):
        try:
            call()
        except ValueError as error:
            said.append(str(error))
    _replicas.check_fit(model, 8)
    batches = samplers.TwoViewBatches(
        np.zeros((9, 4, 4, 3)), batch_size=3, augment=lambda images, rng: images
    )
    _replicas.check_fit(model, batches.rows)  # two views each
    return said


class Kill(keras.callbacks.Callback):
    """Ends a training in its second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 18:
            raise RuntimeError("killed")


def recipe(mirrored):
    """The weights of ``simnb.training.fit``: over two devices, killed and gone on with, and on one."""
    inputs, labels, _ = examples(60)

    def weights(scope, **options):
        with scope:
            model = embedder()
        batches = samplers.BalancedBatches(
            inputs, labels, classes_per_batch=4, examples_per_class=4, steps_per_epoch=12
        )
        mix = [losses.NormalizedSoftmaxLoss(), losses.SupervisedContrastiveLoss()]
        optimizer = keras.optimizers.SGD(0.05)
        training.fit(model, batches, loss=mix, epochs=2, optimizer=optimizer, verbose=0, **options)
        return flat(model.get_weights())

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/run.npz"
        with contextlib.suppress(RuntimeError):
            weights(mirrored.scope(), checkpoint=path, callbacks=Kill())
        return [weights(mirrored.scope(), checkpoint=path), weights(contextlib.nullcontext())]


def not_gathered(labels, rows, weights):
    """A pair loss that sees only its replica's part of the batch."""
    import tensorflow as tf

    mean = weighted_mean(losses.triplet_loss)(labels, rows, weights)
    return mean / tf.distribute.get_strategy().num_replicas_in_sync


def mirrored():
    """Two logical CPU devices under MirroredStrategy."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    pairs = losses.MultiSimilarityLoss, weighted_mean(losses.multi_similarity_loss)
    anchors = losses.ProxyAnchorLoss, weighted_mean(losses.proxy_anchor_loss)
    reductions = ("sum_over_batch_size", "mean_with_sample_weight", "sum", "none")
    triplets = {name: losses.TripletLoss(margin=1.0, reduction=name) for name in reductions}

    def proxies():
        return [layers.Proxies(CLASSES)]

    softmax = {name: losses.NormalizedSoftmaxLoss(reduction=name) for name in reductions}
    return {
        "pairs": fits(strategy, list, *pairs, [32, 31], [32, 17], [32, 1]),
        "proxies": fits(strategy, proxies, *anchors, [32, 32, 32, 17]),
        "memory": [remembers(strategy, 32, 32, 32, 17)],
        "pair reductions": runs(strategy, list, {**triplets, "not gathered": not_gathered}, [5, 2]),
        "proxy reductions": runs(strategy, proxies, softmax, [5, 2]),
        "recipe": recipe(strategy),
        "refused": refused(strategy),
        "one example": runs(strategy, proxies, {"softmax": softmax["sum_over_batch_size"]}, [1, 0]),
    }


def worker():
    """One of the workers of MultiWorkerMirroredStrategy, as TF_CONFIG says: two steps of a plain loop."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    loss = losses.MultiSimilarityLoss()
    with strategy.scope():
        model = embedder()
        optimizer = keras.optimizers.SGD(RATE)
        optimizer.build(model.trainable_variables)

    @tf.function
    def train_step(*batch):
        value, gradients = gradient(model, loss, *batch)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    try:
        _replicas.check_fit(model)
    except ValueError as error:
        said = str(error)
    # 5 of 7 examples are the first worker's, and then 3 of 8.
    data, values = examples(15), []
    parts = ([slice(0, 5), slice(7, 10)], [slice(5, 7), slice(10, 15)])[strategy.cluster_resolver.task_id]
    for part in parts:
        per_replica = strategy.run(train_step, args=[tf.constant(array[part]) for array in data])
        values.append(float(strategy.reduce("SUM", per_replica, axis=None)))
    alone = embedder()
    whole = [part[:7] for part in data], [part[7:] for part in data]
    expected = descend(alone, weighted_mean(losses.multi_similarity_loss), whole)
    return {
        "losses": [values, expected],
        "weights": [flat(model.get_weights()), flat(alone.get_weights())],
        "refused": said,
    }


def sharded():
    """Two host devices under keras.distribution on the JAX backend, and one."""
    inputs, labels, weights = examples(48)
    results = []
    for distribution in (None, keras.distribution.DataParallel()):
        keras.distribution.set_distribution(distribution)
        model = embedder()
        model.compile(optimizer=keras.optimizers.SGD(RATE), loss=losses.MultiSimilarityLoss())
        options = {"batch_size": 32, "shuffle": False, "verbose": 0, "sample_weight": weights}
        reported = model.fit(inputs, labels, **options).history["loss"]
        devices = len(model.weights[0].value.sharding.device_set)
        results.append({"devices": devices, "loss": reported, "weights": flat(model.get_weights())})
    return results


if __name__ == "__main__":
    print(json.dumps({"mirrored": mirrored, "worker": worker, "sharded": sharded}[sys.argv[1]]()))
