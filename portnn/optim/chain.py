"""From a gradient to an update: a chain of small pure stages, as optax has it.

Each stage is a function of (parameters, gradients, its vectors, its numbers), element by element. What a stage needs
of the whole gradient, such as its norm, it computes beforehand as 0-d arrays (``scales``): nothing waits for the
device, and all stages run as one kernel over the vectors. A stage that is for weights alone is left out for biases,
norms and embeddings, which lie in a stretch of their own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar

from portnn.types import Array, Namespace

Numbers = tuple[tuple[Any, ...], ...]
"""For each stage its dials, host numbers of the step, and its scales, 0-d arrays."""


class Stage:
    """One link: what it does to parameters and gradients."""

    slots: tuple[str, ...] = ()
    """Names of the vectors that it keeps, as long as the parameters, zero at the start."""
    weights_only: ClassVar[bool] = False
    """Whether it is for the parameters that decay alone (``Spec.decays``)."""

    def hyperparams(self, step: int) -> tuple[float, ...]:
        """Return the host numbers of a step, counted from 1."""
        return ()

    def scales(self, xp: Namespace, gradient: Array) -> tuple[Array, ...]:
        """Return what the stage needs of the whole gradient, as 0-d arrays."""
        return ()

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, slots: Sequence[Array], numbers: tuple[Any, ...]
    ) -> tuple[Array, Array, Sequence[Array]]:
        """Return (parameters, gradients, slots) after the stage, element by element."""
        raise NotImplementedError


class Chain:
    """Stages in their order."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self.slots = tuple(name for stage in stages for name in stage.slots)
        """Names of the vectors of all stages."""
        stops = list(accumulate(len(stage.slots) for stage in stages))
        places = [slice(stop - len(stage.slots), stop) for stage, stop in zip(stages, stops, strict=True)]
        every = tuple(zip(stages, places, range(len(stages)), strict=True))
        self._links = {True: every, False: tuple(link for link in every if not link[0].weights_only)}
        self._scaled = any(type(stage).scales is not Stage.scales for stage in stages)

    def hyperparams(self, step: int) -> Numbers:
        """Return each stage's host numbers of a step, counted from 1."""
        return tuple([stage.hyperparams(step) for stage in self.stages])

    def param_groups(self, n_decayed: int, size: int) -> Sequence[tuple[int, Callable[..., tuple[Array, ...]]]]:
        """Return the kernel of each stretch of a vector, of which the first ``n_decayed`` elements are weights."""
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
        slots: Sequence[Array],
        hyperparams: Numbers,
    ) -> tuple[Array, tuple[Array, ...]]:
        """Return the updated (parameters, slots).

        ``run(xp, vectors, numbers)`` runs the kernels of ``param_groups`` on a backend.
        """
        numbers = hyperparams
        if self._scaled:
            scales = (stage.scales(xp, gradient) for stage in self.stages)
            numbers = tuple((*own, *scale) for own, scale in zip(hyperparams, scales, strict=True))
        parameters, *rest = run(xp, (parameters, gradient, *slots), numbers)
        return parameters, tuple(rest)

    def _kernel(
        self, links: Sequence[tuple[Stage, slice, int]], xp: Namespace, vectors: Sequence[Array], numbers: Numbers
    ) -> tuple[Array, ...]:
        parameters, gradients, *slots = vectors
        for stage, place, number in links:
            parameters, gradients, slots[place] = stage.kernel(xp, parameters, gradients, slots[place], numbers[number])
        return parameters, *slots
