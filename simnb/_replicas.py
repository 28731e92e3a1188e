"""More than one device: what a loss over the pairs of a batch has to gather, and what is refused.

Losses are the same as on one device. ``BatchNormalization`` is not: each replica normalizes by its own part
of the batch, unless made with ``synchronized=True``.
"""

import contextlib
import functools

from simnb._keras import keras, ops

# What TensorFlow's collectives carry.
CARRIED = ("float16", "float32", "float64", "int32", "int64")


def gather(*tensors):
    """Return the rows that all replicas together hold, of each tensor.

    Under ``tf.distribute`` a loss is called once a replica, and the pairs between two parts of a batch would
    be lost. The gradient of what is gathered reaches the replica that the row came from, summed over the
    replicas. So a loss that divides by their number gives, summed over them as optimizers do, the gradient
    of the whole batch on one device.

    Args:
        *tensors: Shape [replica_batch, ...] each, where replicas may differ in length. Scalars and None
            are passed on.

    Returns:
        As many tensors, shape [batch, ...], in the order of the replicas; integers as int64. The very same
        tensors where there is one replica, and on the JAX backend, which runs one program over the batch.
    """
    context = _context()
    if context is None:
        return tensors
    return tuple(
        tensor if tensor is None or len(ops.shape(tensor)) == 0 else _all_gather(context, tensor)
        for tensor in tensors
    )


def share(loss, rows, *, reduction):
    """Return this replica's share of a loss computed from gathered rows, so that the shares add up.

    The loss is of the whole batch: a scalar, or one value a row where the ``reduction`` of its
    ``keras.losses.Loss`` is none; ``rows`` are what this replica gave to ``gather``. Keras divides means by
    the number of replicas itself.
    """
    context = _context()
    if context is None:
        return loss
    if reduction in (None, "none"):
        lengths = _all_gather(context, ops.shape(rows)[:1])
        start = ops.sum(lengths[: context.replica_id_in_sync_group])
        return loss[start : start + ops.cast(ops.shape(rows)[0], start.dtype)]
    return loss / context.num_replicas_in_sync if reduction == "sum" else loss


def labels(values):
    """Return labels, as integers where Keras has made floats of them.

    Before the first step ``fit`` averages the first batch over the replicas, labels too, to see the shapes.
    """
    if keras.backend.backend() != "tensorflow" or not ops.is_tensor(values):
        return values
    import tensorflow as tf

    averaged = tf.distribute.in_cross_replica_context() and values.dtype.is_floating
    return tf.cast(values, "int64") if averaged else values


def scope(model):
    """Return the scope of the strategy that a model was made under, if any.

    The optimizer of the model, a model around it and a loss that has a state have to be made there.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if keras.backend.backend() != "tensorflow" or strategy is None:
        return contextlib.nullcontext()
    return strategy.scope()


@contextlib.contextmanager
def without_leak(optimizer):
    """Train without what TensorFlow would keep of each ``fit`` until the process ends.

    Keras adds up the gradients of all replicas, also where there is one. For that sum TensorFlow registers a
    gradient, which holds the graph of the whole training step and is never removed: 13 MB for a small
    network, with each training. See https://github.com/tensorflow/tensorflow/issues/80895
    """
    both = (optimizer, getattr(optimizer, "inner_optimizer", None))  # the second scales losses for float16
    changed = [one for one in both if hasattr(one, "_all_reduce_sum_gradients")]
    for one in changed:
        one._all_reduce_sum_gradients = functools.partial(_sum_of_replicas, one._all_reduce_sum_gradients)
    try:
        yield
    finally:
        for one in changed:
            del one._all_reduce_sum_gradients


def check():
    """Raise ValueError where ``keras.distribution`` is set on a backend that does not distribute."""
    distribution = keras.distribution.distribution()
    if distribution is not None and keras.backend.backend() == "tensorflow":
        raise ValueError(
            "keras.distribution must be left unset on the TensorFlow backend, where it distributes nothing, "
            f"got {type(distribution).__name__}; build and compile the model under "
            "tf.distribute.MirroredStrategy().scope() instead"
        )


def check_fit(model, batch_size=None):
    """Raise ValueError where Keras's ``fit`` would fail over more than one device, or not distribute.

    ``batch_size`` is that of the first batch, of all replicas together, where it is known.
    """
    check()
    strategy = getattr(model, "distribute_strategy", None)
    replicas = getattr(strategy, "num_replicas_in_sync", 1)
    if replicas > 1 and len(strategy.extended.worker_devices) < replicas:
        raise ValueError(
            "model must be trained in a loop of your own with strategy.run, not with fit, which Keras "
            f"does not run over several workers, got {type(strategy).__name__}"
        )
    if batch_size is not None and batch_size % replicas:
        raise ValueError(
            f"batches must split evenly over the {replicas} replicas, or Keras cannot average the first, "
            f"got {batch_size} examples"
        )


def check_state(variable, *, of):
    """Raise ValueError where replicas would change one and the same variable, each for itself."""
    context = _context()
    if context is not None and not context.strategy.extended.variable_created_in_scope(variable.value):
        raise ValueError(
            f"{of} must be made inside the scope of the strategy, as the model is: made outside, "
            f"it would be changed {context.num_replicas_in_sync} times a step"
        )


def _context():
    """Return TensorFlow's context of a replica inside ``strategy.run``, None unless there are others."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf  # Keras has loaded it

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def _sum_of_replicas(all_reduce, gradients_and_variables):
    return gradients_and_variables if _context() is None else all_reduce(gradients_and_variables)


def _all_gather(context, tensor):
    import tensorflow as tf

    tensor = tf.convert_to_tensor(tensor)
    if tensor.dtype.name not in CARRIED:
        tensor = tf.cast(tensor, "float32" if tensor.dtype.is_floating else "int64")
    # The identity has a device, as MultiWorkerMirroredStrategy demands; an argument of the step has none.
    gathered = context.all_gather(tf.identity(tensor), axis=0)
    # Graphs lose the shape.
    return tf.ensure_shape(gathered, [None, *tensor.shape[1:]])
