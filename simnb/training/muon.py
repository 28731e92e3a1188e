"""Muon: momentum whose kernel updates are made orthogonal."""

from simnb import _checks
from simnb._keras import keras, ops


@keras.saving.register_keras_serializable(package="simnb")
class Muon(keras.optimizers.Optimizer):
    """Orthogonalized momentum for convolution and dense kernels, Adam for everything else.

    The momentum of a kernel, as a matrix [inputs, outputs], is replaced by (nearly) the closest matrix with
    orthonormal rows or columns: all directions are learned at the same speed, which takes a small
    convolution network to a given accuracy in fewer steps than SGD or Adam do. ``keras.optimizers.Muon``
    treats only matrices like this and leaves convolution kernels, which have four axes, to Adam.

    Args:
        learning_rate: Of kernels: a float or a schedule. An update has a spectral norm of about this.
        adam_ratio: Learning rate of everything else (biases, batch normalization, proxies, and the layers of
            ``adam_layers``), as a share of ``learning_rate``.
        momentum: Of kernels; Nesterov's.
        weight_decay: Share of each kernel that is taken away in a step, times the learning rate; None
            for none. What Adam updates does not decay.
        beta_1: Of Adam, the momentum.
        beta_2: Of Adam, the decay of the squared gradients.
        epsilon: Of Adam.
        iterations_of_newton_schulz: More make the update more nearly orthogonal, and take longer.
        adam_layers: Kernels of layers with one of these words in their path are Adam's. The paper's authors
            leave the last layer of a classifier to it.
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
        learning_rate=0.3,
        adam_ratio=0.03,
        momentum=0.6,
        weight_decay=None,
        beta_1=0.9,
        beta_2=0.99,
        epsilon=1e-8,
        iterations_of_newton_schulz=5,
        adam_layers=("embedding", "proxies"),
        name="muon",
        **kwargs,
    ):
        """Check the options."""
        for option, value in (("momentum", momentum), ("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise ValueError(f"{option} must be at least 0 and below 1, got {value}")
        if adam_ratio <= 0:
            raise ValueError(f"adam_ratio must be above 0, got {adam_ratio}")
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **kwargs)
        self.adam_ratio = adam_ratio
        self.momentum = momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.iterations_of_newton_schulz = _checks.positive_int(
            iterations_of_newton_schulz, name="iterations_of_newton_schulz"
        )
        self.adam_layers = tuple(adam_layers)

    def build(self, variables):
        """Make the momenta, and Adam's averages of squares where Adam is used."""
        if self.built:
            return
        self.exclude_from_weight_decay([v for v in variables if not self.orthogonalizes(v)])
        super().build(variables)
        self._momenta = [self.add_variable_from_reference(v, name="momentum") for v in variables]
        self._squares = [
            None if self.orthogonalizes(v) else self.add_variable_from_reference(v, name="square")
            for v in variables
        ]

    def orthogonalizes(self, variable):
        """Whether a variable gets orthogonal updates: kernels, but those of ``adam_layers``."""
        named = any(word in variable.path for word in self.adam_layers)
        return len(variable.shape) >= 2 and not named

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        position = self._get_variable_index(variable)
        momentum, square = self._momenta[position], self._squares[position]
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        if square is None:
            self.assign(momentum, self.momentum * momentum + gradient)
            update = self._orthogonal(gradient + self.momentum * momentum)
            self.assign_sub(variable, rate * update)
            return
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign(momentum, self.beta_1 * momentum + (1 - self.beta_1) * gradient)
        self.assign(square, self.beta_2 * square + (1 - self.beta_2) * gradient * gradient)
        mean = momentum / (1 - ops.power(self.beta_1, step))
        spread = ops.sqrt(square / (1 - ops.power(self.beta_2, step)))
        self.assign_sub(variable, self.adam_ratio * rate * mean / (spread + self.epsilon))

    def _orthogonal(self, kernel):
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        return ops.reshape(orthogonalize(matrix, self.iterations_of_newton_schulz), kernel.shape)

    def get_config(self):
        """The options, so that a compiled model can be loaded."""
        return {
            **super().get_config(),
            "adam_ratio": self.adam_ratio,
            "momentum": self.momentum,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "iterations_of_newton_schulz": self.iterations_of_newton_schulz,
            "adam_layers": list(self.adam_layers),
        }


def orthogonalize(matrix, iterations=5):
    """A matrix with the singular vectors of the given one and singular values near 1 (about 0.7 to 1.2).

    Args:
        matrix: Shape [rows, columns].
        iterations: Of Newton and Schulz's method, with the coefficients of Jordan et al.

    Returns:
        Shape [rows, columns]; all zero for a matrix that is.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix
    x = x / (ops.sqrt(ops.sum(x * x)) + 1e-7)
    for _ in range(iterations):
        squared = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * squared + c * ops.matmul(squared, squared), x)
    return ops.transpose(x) if tall else x
