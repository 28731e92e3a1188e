"""Learning rates over the steps of a training."""

from simnb import _checks
from simnb._keras import keras

SCHEDULES = ("one_cycle", "cosine", "constant")


def one_cycle(learning_rate, steps, *, warmup=0.2):
    """A learning rate that rises to its peak in a straight line, then falls to 0 along a cosine.

    Args:
        learning_rate: The peak.
        steps: Steps of the whole training.
        warmup: Share of the steps until the peak, 0 up to but not including 1.

    Returns:
        A ``keras.optimizers.schedules.CosineDecay``.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Smith and Topin, Super-Convergence, 2018. https://arxiv.org/abs/1708.07120
    """
    steps = _checks.positive_int(steps, name="steps")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup must be at least 0 and below 1, got {warmup}")
    rising = int(warmup * steps)
    start = {"initial_learning_rate": learning_rate / 10, "warmup_target": learning_rate}
    if rising == 0:
        start = {"initial_learning_rate": learning_rate}
    return keras.optimizers.schedules.CosineDecay(decay_steps=steps - rising, warmup_steps=rising, **start)
