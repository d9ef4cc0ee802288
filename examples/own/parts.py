"""A layer, an optimizer and a loss of one's own: each is registered, so that files can name it."""

from dataclasses import dataclass

import portnn


@portnn.register
@dataclass(frozen=True)
class Scale(portnn.Layer):
    """y = s x, with one trainable s per feature; ds = sum of dy x over the batch."""

    def shapes(self, features):
        return portnn.Shapes(features, {"s": (features, "ones")})

    def forward(self, xp, weights, x, mode):
        return x * weights["s"], lambda dy: (dy * weights["s"], {"s": xp.sum(dy * x, axis=0)})


@portnn.register
@dataclass(frozen=True)
class RMSProp(portnn.Optimizer):
    """v = decay v + (1 - decay) g²; p = p - learning_rate g / (sqrt(v) + 1e-8) (Tieleman and Hinton 2012)."""

    decay: float = 0.9
    slots = ("v",)

    def kernel(self, xp, parameters, gradients, slots, dials):
        v = slots[0] * self.decay + gradients * gradients * (1.0 - self.decay)
        return parameters - dials[0] * (gradients / (xp.sqrt(v) + 1e-8)), (v,)


def pseudo_huber(xp, a, y, weight):
    """L = r - 1 with r = sqrt(1 + (a - y)²), summed over the outputs; dL/da = (a - y) / r."""
    r = xp.sqrt(1.0 + (a - y) * (a - y))
    return xp.sum((r - 1.0) * weight), (a - y) * (1.0 / r) * weight


huber = portnn.register(portnn.Loss(pseudo_huber))
