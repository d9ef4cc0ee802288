"""A chain of gradient transformations, as in optax.

Each transformation is a function of (parameters, gradients, opt_state, hyperparams), element by element. Statistics of
the whole gradient, such as its norm, are computed before it as 0-d arrays (``global_stats``): nothing waits for the
device, and all transformations run as one kernel over the vectors. Biases, norms and embeddings are a parameter group
without the transformations that are for weights alone.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar

from portnn.types import Array, Namespace

OptState = Sequence[Array]
"""The vectors that a transformation keeps, each as long as the parameters."""
Hyperparams = tuple[Any, ...]
"""Host numbers of a step, such as the learning rate; in a kernel followed by the statistics of the whole gradient."""
ChainHyperparams = tuple[Hyperparams, ...]
"""The hyperparameters of each transformation."""


class GradientTransformation:
    """A gradient transformation."""

    state_names: tuple[str, ...] = ()
    """Names of its state vectors, as long as the parameters, initially zero."""
    weights_only: ClassVar[bool] = False
    """Whether it applies only to parameters with weight decay (``Spec.decays``)."""

    def hyperparams(self, step: int) -> tuple[float, ...]:
        """Return the host numbers of a step, counted from 1."""
        return ()

    def global_stats(self, xp: Namespace, gradient: Array) -> tuple[Array, ...]:
        """Return the statistics of the whole gradient that the transformation needs, as 0-d arrays."""
        return ()

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> tuple[Array, Array, Sequence[Array]]:
        """Return (parameters, gradients, opt_state) after the transformation, element by element."""
        raise NotImplementedError


class Chain:
    """Transformations, in order."""

    def __init__(self, transforms: Sequence[GradientTransformation]) -> None:
        self.transforms = tuple(transforms)
        self.state_names = tuple(name for transform in transforms for name in transform.state_names)
        """Names of the state vectors of all transformations."""
        stops = list(accumulate(len(transform.state_names) for transform in transforms))
        state_slices = [
            slice(stop - len(transform.state_names), stop) for transform, stop in zip(transforms, stops, strict=True)
        ]
        every = tuple(zip(transforms, state_slices, range(len(transforms)), strict=True))
        self._links = {True: every, False: tuple(link for link in every if not link[0].weights_only)}
        self._scaled = any(
            type(transform).global_stats is not GradientTransformation.global_stats for transform in transforms
        )

    def hyperparams(self, step: int) -> ChainHyperparams:
        """Return each transformation's host numbers of a step, counted from 1."""
        return tuple([transform.hyperparams(step) for transform in self.transforms])

    def param_groups(self, n_decayed: int, size: int) -> Sequence[tuple[int, Callable[..., tuple[Array, ...]]]]:
        """Return the kernel of each parameter group of a vector; its first ``n_decayed`` elements have weight decay."""
        if self._links[True] == self._links[False] or n_decayed == size:
            return [(size, partial(self._kernel, self._links[True]))]
        parts = [
            (n_decayed, partial(self._kernel, self._links[True])),
            (size, partial(self._kernel, self._links[False])),
        ]
        return parts[n_decayed == 0 :]

    def update(
        self,
        run: Callable[..., tuple[Array, ...]],
        xp: Namespace,
        parameters: Array,
        gradient: Array,
        opt_state: OptState,
        hyperparams: ChainHyperparams,
    ) -> tuple[Array, tuple[Array, ...]]:
        """Return the updated (parameters, opt_state).

        ``run(xp, vectors, numbers)`` runs the kernels of ``param_groups`` on a backend.
        """
        numbers = hyperparams
        if self._scaled:
            global_stats = (transform.global_stats(xp, gradient) for transform in self.transforms)
            pairs = zip(hyperparams, global_stats, strict=True)
            numbers = tuple((*host_numbers, *scale) for host_numbers, scale in pairs)
        parameters, *new_state = run(xp, (parameters, gradient, *opt_state), numbers)
        return parameters, tuple(new_state)

    def _kernel(
        self,
        links: Sequence[tuple[GradientTransformation, slice, int]],
        xp: Namespace,
        vectors: Sequence[Array],
        numbers: ChainHyperparams,
    ) -> tuple[Array, ...]:
        parameters, gradients, *opt_state = vectors
        for transform, state_slice, number in links:
            updated = transform.kernel(xp, parameters, gradients, opt_state[state_slice], numbers[number])
            parameters, gradients, opt_state[state_slice] = updated
        return parameters, *opt_state
