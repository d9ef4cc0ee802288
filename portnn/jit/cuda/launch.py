"""A fused program as a driver runs it: one kernel that brings the call's data, then the program's steps one by one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from importlib.resources import files
from math import inf, nan, prod
from typing import Any, Protocol

import numpy as np

from portnn.jit.cuda.fusion import FusedGraph, Product
from portnn.jit.cuda.kernels import Kernel
from portnn.jit.cuda.nodes import MisfitError, Node
from portnn.jit.cuda.rows import Rows
from portnn.jit.cuda.source import NUMBERS, TYPES
from portnn.jit.graph import leaves, mapped
from portnn.jit.trace import Trace
from portnn.types import Array

ALIGNMENT = 256
"""Bytes to which arrays are aligned, as a CUDA device aligns its own."""
THREADS = 256
NUMBER_DTYPES = tuple(NUMBERS)


class Driver(Protocol):
    """Compiles kernels, and runs them and matrix products on arrays of a library."""

    array: Any
    """The type of its arrays."""

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which programs are bound and run."""

    def load(self, source: str) -> Callable[[str], Any]:
        """Compile CUDA source; return a function that gives a kernel by its name."""

    def empty(self, shape: Sequence[int], dtype: str) -> Array:
        """Return an uninitialised array."""

    def upload(self, value: np.ndarray) -> Array:
        """Return a copy of a host array on the device."""

    def contiguous(self, array: Array) -> Array:
        """Return an array in C order, itself if it is."""

    def address(self, array: Array) -> int:
        """Return the address of an array's memory."""

    def copy(self, source: Array, target: Array) -> None:
        """Copy an array of the same shape and dtype."""

    def launch(self, kernel: Any, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        """Run a kernel on arrays, and NumPy scalars by value."""

    def product(self, left: Array, right: Array, out: Array) -> Callable[[], None]:
        """Return what multiplies two matrices, or stacks of them, into a third; operands may be transposed views."""

    def replay(self, steps: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """Return what runs these steps, which have the same arrays at each call."""


class FusedProgram:
    """A trace, fused and compiled by a driver. Raises MisfitError for a trace that kernels cannot compute."""

    def __init__(self, driver: Driver, trace: Trace, gathered: Collection[str] = ()) -> None:
        """Compile a trace. ``gathered``: the expressions of the arrays for which each call brings ``Rows``."""
        self._driver, self._trace, self._gathered = driver, trace, frozenset(gathered)
        self.graph = FusedGraph(trace.graph, len(trace.changed))
        self._inputs = [(self.graph.nodes.of(line), line, path) for line, path in trace.runtime_inputs]
        used = set(self.graph.nodes.all)
        self._loaded = [(node, f"i{line.line}", path in gathered) for node, line, path in self._inputs if node in used]
        self._numbers = sorted(self.graph.scalars.items(), key=lambda item: (item[0][1], item[1]))
        sources = [source.text for source in self.graph.sources.values()]
        self.source = "\n".join([prelude(), *sources, self._load_source()])
        self._kernel = driver.load(self.source)
        self._state = [self.graph.nodes.of(line) for line in trace.state]
        results = self.graph.nodes.results
        self._in_place, self._copied = self._replaced(results[: len(trace.changed)])
        own = [node for node in self.graph.stored if node not in self._in_place]
        shapes: list[tuple[Any, tuple[int, ...], str]] = [
            (node, node.shape, node.dtype) for node in [*(node for node, *_ in self._loaded), *own]
        ]
        counts = [sum(dtype == kind for (_, kind), _ in self._numbers) for dtype in NUMBER_DTYPES]
        shapes += [(dtype, (max(n, 1),), dtype) for dtype, n in zip(NUMBER_DTYPES, counts, strict=True)]
        self._spans: dict[Any, tuple[int, int, tuple[int, ...], str]] = {}
        """(start, stop, shape, dtype) of each array in the arena, by node or by the dtype of numbers."""
        self.size = 0
        """Bytes of the arena."""
        for key, shape, dtype in shapes:
            stop = self.size + prod(shape) * np.dtype(dtype).itemsize
            self._spans[key] = self.size, stop, shape, dtype
            self.size = -(-stop // ALIGNMENT) * ALIGNMENT

    def _replaced(self, results: Sequence[Node]) -> tuple[dict[Node, Node], list[tuple[Node, Node]]]:
        """Return the results that are written over the state, with the array's node, and those copied there at the end.

        A result may be written over an array if no later step reads the array, and if each thread of its kernel reads
        the elements alone that the thread writes.
        """
        in_place: dict[Node, Node] = {}
        copied = []
        for i, node in zip(self._trace.changed, results, strict=True):
            old = self._state[i]
            if (node.shape, node.dtype) != (old.shape, old.dtype):  # a copy would cast or broadcast in silence
                raise MisfitError(f"a new state of {node.dtype}, {node.shape}, for one of {old.dtype}, {old.shape}")
            kernel = None if node.step is None else self.graph.steps[node.step]
            fits = isinstance(kernel, Kernel) and kernel.kind == "map" and node.segment is None and node not in in_place
            if fits and self._last_reader(old) <= (node.step or 0):
                reads = self.graph.sources[node.step or 0].reads.get(old, set())
                if reads <= {"k"}:
                    in_place[node] = old
                    continue
            copied.append((node, old))
        return in_place, copied

    def _last_reader(self, node: Node) -> int:
        last = -1
        for number, step in enumerate(self.graph.steps):
            operands = (step.left[0], step.right[0]) if isinstance(step, Product) else self.graph.sources[number].reads
            last = number if node in operands else last
        return last

    def _load_source(self) -> str:
        """Return the source of the kernel that copies a call's arrays and numbers to where the program reads them."""
        parameters, lines = [], []
        for node, _, is_gathered in self._loaded:
            kind, i, index = TYPES[node.dtype], node.number, "k"
            parameters += [f"{kind}* b{i}", f"const {kind}* s{i}"]
            if is_gathered:
                parameters += [f"const long long* o{i}", f"long long w{i}"]
                row = prod(node.shape[1:])
                index = f"o{i}[w{i} + k / {row}] * {row} + k % {row}"
            lines.append(f"if (k < {node.size}) b{i}[k] = s{i}[{index}];")
        parameters += [f"{TYPES[dtype]}* {array}" for dtype, array in NUMBERS.items()]
        numbers = [
            (dtype, f"{NUMBERS[dtype]}{slot}", f"{NUMBERS[dtype]}[{slot}]") for (_, dtype), slot in self._numbers
        ]
        parameters += [f"{TYPES[dtype]} {value}" for dtype, value, _ in numbers]
        lines.append(f"if (k == 0) {{ {' '.join(f'{place} = {value};' for _, value, place in numbers)} }}")
        body = "\n".join(lines)
        return f"KERNEL({THREADS}) load({', '.join(parameters)}) {{ ITEMS({self._n_loaded}) {{\n{body}\n}} }}\n"

    @property
    def _n_loaded(self) -> int:
        return max((node.size for node, *_ in self._loaded), default=1)

    def bind(self, state: Any, arena: Array) -> Callable[..., Any]:
        """Return the function that runs the program on a state, whose arrays it overwrites.

        The function takes the arguments after the state, and returns None if they are not those that the program was
        recorded for.
        """
        driver, trace = self._driver, self._trace
        memory: dict[Any, Array] = dict(zip(self._state, leaves(state), strict=True))
        memory |= {node: memory[old] for node, old in self._in_place.items()}
        for key, (start, stop, shape, dtype) in self._spans.items():
            memory[key] = arena[start:stop].view(np.dtype(dtype)).reshape(shape)
        constants = [node for node in self.graph.nodes.all if node.value is not None]
        memory |= {node: driver.upload(node.value) for node in constants if node.value is not None}
        numbers = [memory[dtype] for dtype in NUMBER_DTYPES]
        names: dict[str, Any] = {"driver": driver, "array": driver.array, "Rows": Rows, "state": state}
        names |= {"inf": inf, "nan": nan}
        names |= {dtype: np.dtype(dtype).type for dtype in NUMBER_DTYPES}
        lines = [f"{name} = {name}()" for name in sorted(trace.callables)]
        for _, line, path in self._inputs:
            name, is_gathered = f"i{line.line}", path in self._gathered
            names[f"d{name}"] = np.dtype(line.dtype)
            lines.append(f"{name} = {path}")
            kind = "Rows" if is_gathered else "array"
            lines.append(f"if type({name}) is not {kind} or {name}.shape != {line.shape}: return None")
            lines.append(f"if {name}.dtype != d{name}: return None")
            if not is_gathered:
                lines.append(f"if not {name}.flags.c_contiguous: return None")
        lines += [f"if {guard}: return None" for guard in trace.guards]
        for i, node in enumerate(self.graph.returned):
            lines.append(f"r{i} = driver.empty({node.shape}, {node.dtype!r})")
            lines.append(f"p{i} = driver.address(r{i})")
        loaded = ", ".join(
            f"{self._named(memory[node], names)}, "
            + (f"{name}.source, {name}.order, int64({name}.start)" if is_gathered else name)
            for node, name, is_gathered in self._loaded
        )
        values = ", ".join(f"{dtype}({source})" for (source, dtype), _ in self._numbers)
        places = ", ".join(self._named(array, names) for array in numbers)
        names["load"] = self._kernel("load")
        blocks = min(-(-self._n_loaded // THREADS), 4096)
        arguments = ", ".join(text for text in (loaded, places, values) if text)
        lines.append(f"driver.launch(load, {blocks}, {THREADS}, ({arguments},))")
        steps = [self._step(number, memory, numbers) for number in range(len(self.graph.steps))]
        steps += [partial(driver.copy, _part(memory, node), memory[old]) for node, old in self._copied]
        names["replay"] = driver.replay(steps)
        lines.append("replay()")
        order = iter(range(len(self.graph.returned)))
        outputs = mapped(lambda line, _: f"r{next(order)}", trace.results)
        if trace.has_new_state:
            outputs = "state", *outputs
        lines.append(f"return {outputs if isinstance(outputs, str) else ', '.join(outputs)}")
        parameters = ", ".join(f"a{i}" for i in range(trace.n_arguments))
        # The text contains only expressions of the arguments, and names of arrays.
        exec(f"def run({parameters}):\n    " + "\n    ".join(lines), names)
        run: Callable[..., Any] = names["run"]
        return run

    def _step(self, number: int, memory: Mapping[Any, Array], numbers: Sequence[Array]) -> Callable[[], None]:
        step, driver = self.graph.steps[number], self._driver
        if isinstance(step, Product):
            operands = []
            for (base, offset, transposed), operand in zip((step.left, step.right), step.node.operands, strict=True):
                *stack, rows, columns = operand.shape
                shape = (*stack, columns, rows) if transposed else operand.shape
                matrix = _part(memory, base).reshape(-1)[offset : offset + prod(shape)].reshape(shape)
                operands.append(matrix.swapaxes(-1, -2) if transposed else matrix)
            left, right = operands
            return driver.product(left, right, _part(memory, step.node))
        buffers = [_part(memory, node) for node, _ in self.graph.sources[number].buffers.values()]
        kernel = self._kernel(f"k{number}")
        return partial(driver.launch, kernel, step.blocks, step.threads, (*buffers, *numbers))

    def _named(self, array: Array, names: dict[str, Any]) -> str:
        """Return the name of an array in the generated text."""
        name = f"m{len(names)}"
        names[name] = array
        return name


def _part(memory: Mapping[Any, Array], node: Node) -> Array:
    """Return a node's array, which may be a part of a vector."""
    if node.segment is None:
        return memory[node]
    vector, start = node.segment
    return memory[vector][start : start + node.size].reshape(node.shape)


@cache
def prelude() -> str:
    """Return the macros and functions of all kernels."""
    return (files(__package__) / "prelude.cuh").read_text(encoding="utf-8")
