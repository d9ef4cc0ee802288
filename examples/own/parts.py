"""A layer, an optimizer and a loss of one's own, each registered so that files can name it."""

from dataclasses import dataclass

import portnn


@portnn.register
@dataclass(frozen=True)
class Centre(portnn.Layer):
    """y = x - mean + s, with a running mean in a buffer and one trainable s per feature; ds = sum of dy over rows."""

    def shapes(self, features):
        return portnn.Shapes(features, {"s": (features, "zeros")}, {"mean": (features, "zeros")})

    def forward(self, xp, weights, x, mode):
        mean = weights["mean"] * 0.9 + xp.sum(x, axis=0) * (0.1 / x.shape[0])
        return x - weights["mean"] + weights["s"], lambda dy: (dy, {"s": xp.sum(dy, axis=0)}), {"mean": mean}


@portnn.register
@dataclass(frozen=True)
class SignSGD(portnn.Optimizer):
    """v = decay v + (1 - decay) g; p = p - learning_rate sign(v) (Bernstein et al. 2018)."""

    decay: float = 0.9
    state_names = ("v",)

    def kernel(self, xp, parameters, gradients, opt_state, hyperparams):
        v = opt_state[0] * self.decay + gradients * (1.0 - self.decay)
        return parameters - xp.sign(v) * hyperparams[0], (v,)


@portnn.register
@portnn.Loss
def pseudo_huber(xp, a, y, weight):
    """L = r - 1 with r = sqrt(1 + (a - y)^2), summed over the outputs; dL/da = (a - y) / r."""
    r = xp.sqrt(1.0 + (a - y) * (a - y))
    return xp.sum((r - 1.0) * weight), (a - y) * (1.0 / r) * weight
