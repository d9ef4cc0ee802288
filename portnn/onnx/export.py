"""A network as an ONNX file, which is kept once onnxruntime has computed the network's outputs from it."""

import json
import os
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, ValueInfoProto, helper

from portnn.data.spec import DataSpec
from portnn.errors import ArgumentError, SerializationError
from portnn.io.categories import as_text
from portnn.io.files import write_atomically
from portnn.model.runtime import Runtime
from portnn.model.step import State
from portnn.nn.layer import PreprocessingLayer, as_preprocessing
from portnn.onnx import columns
from portnn.onnx.nodes import Nodes
from portnn.onnx.program import record
from portnn.onnx.verify import compare
from portnn.options import lookup
from portnn.types import Array, Namespace

INPUT_DTYPES = ("float32", "float64", "int32", "int64", "uint8")
OPSET, ML_OPSET, IR_VERSION = 18, 2, 8
"""Versions that onnxruntime reads since 1.14."""


def export(
    path: str | os.PathLike[str],
    runtime: Runtime,
    schema: DataSpec,
    properties: Mapping[str, str],
    input_dtype: str | None = None,
) -> None:
    """Write a network as an ONNX file. ``runtime``: on NumPy, in fast arithmetic; ``properties``: metadata.

    Raises SerializationError for what ONNX cannot say, and where onnxruntime's outputs are others than the network's;
    ArgumentError for the dtype of the input.
    """
    model = _Export(runtime, schema, input_dtype).model(properties)
    try:
        onnx.checker.check_model(model, full_check=True)
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # of onnx or onnxruntime, of many kinds
        raise SerializationError(f"onnx: expected a graph that onnxruntime takes; got {error}") from error
    compare(session, runtime, schema)
    write_atomically(path, content)


class _Export:
    """The parts of one model."""

    def __init__(self, runtime: Runtime, schema: DataSpec, input_dtype: str | None) -> None:
        architecture = runtime.model.architecture
        assert architecture.features is not None
        self._runtime, self._schema, self._features = runtime, schema, architecture.features
        self._first = as_preprocessing(architecture.layers[0])
        self._preprocesses = type(self._first).preprocess is not PreprocessingLayer.preprocess
        if input_dtype is not None:
            if schema.encoding is not None:
                raise ArgumentError("input_dtype: expected none for a model of a table, whose columns are inputs")
            lookup("input_dtype", input_dtype, dict.fromkeys(INPUT_DTYPES))
            if schema.scales_bytes and input_dtype == "uint8":
                raise ArgumentError('input_dtype: expected another than "uint8", which this old model divides by 255')
        default = "float64" if self._preprocesses else "int64" if self._first.input_dtype else runtime.dtype
        self._input_dtype = input_dtype or default

    def model(self, properties: Mapping[str, str]) -> ModelProto:
        encoding = self._schema.encoding
        inputs = [self._input()] if encoding is None else columns.inputs_of(encoding)
        nodes = Nodes(value.name for value in inputs)
        if encoding is None:
            cells = {"x": "x"}
            arrays = {"x": (self._features, self._input_dtype)}
        else:
            cells = {column.name: columns.cells_of(nodes, column) for column in encoding.columns}
            arrays = {c.name: ((1,), "int64" if c.kind == "text" else "float64") for c in encoding.columns}
        graph, names = record(self._outputs, arrays, self._sizes())
        lines = [line for line in graph.lines if line.operation == "input"]
        names = [nodes.free(name) for name in names]
        nodes.write(graph, {line.line: cells[name] for line, name in zip(lines, arrays, strict=True)}, names)
        results = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(line.dtype)), ["rows", *line.shape[1:]]
            )
            for name, line in zip(names, graph.results, strict=True)
        ]
        if self._schema.classes is not None:
            results.append(self._label(nodes, names[0], nodes.free("label")))
        body = helper.make_graph(nodes.nodes, "network", inputs, results, nodes.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        opsets += [helper.make_opsetid("ai.onnx.ml", ML_OPSET)] if encoding is not None else []
        model = helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION, producer_name="portnn")
        for key, value in properties.items():
            model.metadata_props.add(key=key, value=value)
        return model

    def _input(self) -> ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self._input_dtype))
        names = self._schema.columns
        about = f"columns: {json.dumps(names)}" if names else ""
        return helper.make_tensor_value_info("x", kind, ["rows", *self._features], doc_string=about)

    def _outputs(self, xp: Namespace, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name, computed as ``predict`` does."""
        encoding, runtime, dtype = self._schema.encoding, self._runtime, getattr(xp, self._runtime.dtype)
        x = inputs["x"] if encoding is None else columns.encoded(xp, encoding, inputs)
        if self._first.input_dtype:
            x = xp.astype(x, getattr(xp, self._first.input_dtype))
        elif self._preprocesses:
            weights = {key: value.astype(np.float64) for key, value in runtime.layer_buffers(0).items()}
            x = xp.astype(self._first.preprocess(xp, weights, xp.astype(x, xp.float64)), dtype)
        else:
            x = xp.astype(x, dtype)
        model = runtime.model
        outputs = model.forward(xp, State(*runtime.state), x, tiles=False)
        results = {"probabilities" if model.loss.pair else "outputs": outputs}
        if model.loss.inverse_link is not None:
            results["predictions"] = model.loss.inverse_link(xp, outputs)
        return results

    def _sizes(self) -> set[int]:
        """Return all sizes that the layers may meet."""
        model, encoding = self._runtime.model, self._schema.encoding
        sizes = {n for layout in (model.parameters, model.buffers) for t in layout.tensors for n in t.shape}
        sizes |= {*self._features, *(size.output for size in model.architecture.sizes()), model.parameters.size}
        sizes |= {model.buffers.size, *(t.stop for t in model.parameters.tensors)}
        return {size for size in sizes | {len(c.values) for c in (encoding.columns if encoding else ())} if size}

    def _label(self, nodes: Nodes, probabilities: str, name: str) -> ValueInfoProto:
        """Append the label of the most probable class."""
        labels = np.array([as_text(c) if isinstance(c, str) else c for c in self._schema.classes or ()])
        labels = labels.astype(object) if labels.dtype.kind == "U" else labels
        if self._runtime.model.architecture.outputs == 1:
            half = nodes.constant(0.5, self._runtime.dtype)
            above = nodes.add("Greater", nodes.add("Squeeze", probabilities, nodes.constant([1], np.int64)), half)
            codes = nodes.add("Cast", above, to=onnx.TensorProto.INT64)
        else:
            codes = nodes.add("ArgMax", probabilities, axis=1, keepdims=0)
        nodes.add("Gather", nodes.constant(labels), codes, axis=0, output=name)
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(labels.dtype), ["rows"])
