"""Muon: momentum whose kernel updates are made orthogonal."""

import math
from collections.abc import Iterable
from typing import Any

from simnb import _checks
from simnb._keras import keras, ops
from simnb._types import KerasObject, Tensor


@keras.saving.register_keras_serializable(package="simnb")
class Muon(keras.optimizers.Muon):
    """Orthogonalized momentum for convolution and dense kernels, Adam for everything else.

    The momentum of a kernel, as a matrix [inputs, outputs], is replaced by (nearly) the closest matrix with
    orthonormal rows or columns, which takes a small convolution network to a given accuracy in fewer steps
    than Adam. ``keras.optimizers.Muon`` leaves convolution kernels, which have four axes, to Adam.

    Args:
        learning_rate: What the orthogonal update of a kernel is multiplied by: a float or a schedule.
        adam_ratio: Learning rate of everything else (biases, batch normalization, proxies, and the layers of
            ``adam_layers``), as a share of ``learning_rate``.
        momentum: Share of the momentum of a kernel that a step keeps (Nesterov's).
        weight_decay: Share of each kernel that is taken away in a step, times the learning rate; None
            for none. What Adam updates does not decay.
        beta_1: Adam's decay of the momentum.
        beta_2: Adam's decay of the squared gradients.
        epsilon: What Adam adds to the root of the squared gradients.
        iterations_of_newton_schulz: More make the update more nearly orthogonal, and take longer.
        hold_norms: Scale each kernel that is updated so, before each update, to the norm of one with
            orthonormal columns. Under batch normalization the norm of a kernel changes nothing but how far an
            update turns it: without this kernels grow, and learn ever more slowly.
        adam_layers: Kernels of layers with one of these words in their path are Adam's.
        name: Name of the optimizer.
        **kwargs: Clipping, averaging and the like, of ``keras.optimizers.Optimizer``.

    Raises:
        ValueError: If a number is out of range.

    References:
        Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.
        https://kellerjordan.github.io/posts/muon/
    """

    def __init__(
        self,
        learning_rate: float | KerasObject = 0.3,
        *,
        adam_ratio: float = 0.03,
        momentum: float = 0.6,
        weight_decay: float | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        epsilon: float = 1e-8,
        iterations_of_newton_schulz: int = 5,
        hold_norms: bool = False,
        adam_layers: Iterable[str] = ("embedding", "proxies"),
        name: str = "muon",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            adam_lr_ratio=_checks.number(adam_ratio, name="adam_ratio", above=0),
            momentum=_checks.number(momentum, name="momentum", at_least=0, below=1),
            weight_decay=weight_decay,
            adam_weight_decay=None,
            adam_beta_1=_checks.number(beta_1, name="beta_1", at_least=0, below=1),
            adam_beta_2=_checks.number(beta_2, name="beta_2", at_least=0, below=1),
            epsilon=epsilon,
            ns_steps=_checks.positive_int(iterations_of_newton_schulz, name="iterations_of_newton_schulz"),
            rms_rate=None,
            # Given here, so that whoever passes one gets an error: the configuration does not keep them.
            nesterov=True,
            exclude_layers=None,
            exclude_embeddings=False,
            muon_a=3.4445,
            muon_b=-4.7750,
            muon_c=2.0315,
            name=name,
            **kwargs,
        )
        self.adam_layers = tuple(adam_layers)
        if not isinstance(hold_norms, bool):
            raise ValueError(f"hold_norms must be True or False, got {hold_norms!r}")
        self.hold_norms = hold_norms

    def build(self, variables: list[KerasObject]) -> None:
        """Make the momenta of all variables, then Adam's averages of squares where Adam is used."""
        if self.built:
            return
        # Keras would make both of one variable, then of the next. Files written before have this order.
        keras.optimizers.Optimizer.build(self, variables)
        self.momentums = [self.add_variable_from_reference(v, name="momentum") for v in variables]
        self.adam_velocities = [
            self.add_variable_from_reference(v, name="velocity") if self._should_use_adamw(v) else None
            for v in variables
        ]

    def update_step(self, gradient: Tensor, variable: KerasObject, learning_rate: Tensor) -> None:
        """Update one variable, in its own dtype: Keras leaves the rate of 16-bit variables in float32."""
        own = variable.dtype
        if self.hold_norms and self.adam_velocities[self._get_variable_index(variable)] is None:
            self.assign(variable, _held(variable))
        super().update_step(ops.cast(gradient, own), variable, ops.cast(learning_rate, own))

    def zeropower_via_newtonschulz5(self, x: Tensor, steps: int) -> Tensor:
        """``x``, a kernel, made orthogonal as a matrix [inputs, outputs]."""
        matrix = ops.reshape(x, (-1, x.shape[-1]))
        return ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def _adamw_update_step(self, gradient, variable, learning_rate, momentum, square):
        # Keras adds epsilon to the root before its bias is corrected, where early on it counts ten times as
        # much: units that hardly get a gradient would be trained otherwise.
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign(momentum, self.adam_beta_1 * momentum + (1 - self.adam_beta_1) * gradient)
        self.assign(square, self.adam_beta_2 * square + (1 - self.adam_beta_2) * gradient * gradient)
        mean = momentum / (1 - ops.power(self.adam_beta_1, step))
        spread = ops.sqrt(square / (1 - ops.power(self.adam_beta_2, step)))
        self.assign_sub(variable, learning_rate * mean / (spread + self.epsilon))

    def _should_use_adamw(self, variable):
        return len(variable.shape) < 2 or any(word in variable.path for word in self.adam_layers)

    def get_config(self) -> dict[str, Any]:
        """The options, so that a compiled model can be loaded."""
        return {
            **keras.optimizers.Optimizer.get_config(self),
            "adam_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "beta_1": self.adam_beta_1,
            "beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "iterations_of_newton_schulz": self.ns_steps,
            "adam_layers": list(self.adam_layers),
            # Checkpoints written before it was there know their optimizer by a configuration without it.
            **({"hold_norms": True} if self.hold_norms else {}),
        }


def _held(kernel):
    """A kernel, scaled to the norm of a matrix [inputs, outputs] with orthonormal columns, or rows."""
    whole = ops.cast(kernel, "float32")
    rank = min(math.prod(kernel.shape[:-1]), kernel.shape[-1])
    norm = ops.sqrt(ops.sum(ops.square(whole)))
    return ops.cast(whole * (math.sqrt(rank) / ops.maximum(norm, 1e-7)), kernel.dtype)
