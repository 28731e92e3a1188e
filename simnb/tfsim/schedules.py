"""Learning rates that change as a training goes on."""

from typing import Any

from simnb import _checks
from simnb._keras import keras

__all__ = ["WarmupCosineDecay"]


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class WarmupCosineDecay(keras.optimizers.schedules.CosineDecay):
    """A learning rate that rises from 0 in a straight line, then falls along a cosine.

    Args:
        max_learning_rate: The peak.
        total_steps: Steps of the whole training.
        warmup_steps: Steps until the peak.
        alpha: The share of the peak that it ends at.
        name: Name of the schedule.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        warmup_steps: int,
        alpha: float = 0.0,
        name: str | None = None,
    ) -> None:
        total_steps = _checks.positive_int(total_steps, name="total_steps")
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"warmup_steps must be at least 0 and below total_steps, {total_steps}, got {warmup_steps}"
            )
        self.given = {
            "max_learning_rate": max_learning_rate,
            "total_steps": total_steps,
            "warmup_steps": warmup_steps,
            "alpha": alpha,
            "name": name,
        }
        start = 0.0 if warmup_steps else max_learning_rate
        super().__init__(
            start,
            total_steps - warmup_steps,
            alpha=alpha,
            name=name or "WarmupCosineDecay",
            warmup_target=max_learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments it was made with."""
        return dict(self.given)
