"""An activation and a schedule of one's own."""

from dataclasses import dataclass

import portnn


@portnn.register
def mish(xp, z):
    """a = z tanh(p) with p = log(1 + exp(z)) (Misra 2020); da/dz = tanh(p) + z sigmoid(z) (1 - tanh(p)^2)."""
    e = xp.exp(xp.minimum(z, 30.0))
    t = xp.tanh(xp.log1p(e))
    s = 1.0 - 1.0 / (1.0 + e)
    return z * t, lambda da: da * (t + z * s * (1.0 - t * t))


@portnn.register
@dataclass(frozen=True)
class InverseTime(portnn.Schedule):
    """rate / (1 + step / half): half the rate after ``half`` steps."""

    half: float = 100.0

    def __call__(self, step):
        return self.learning_rate / (1.0 + step / self.half)
