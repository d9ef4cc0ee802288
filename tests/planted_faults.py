"""Plant faults, one at a time, in a copy of the library: each must turn a test red.

    python tests/planted_faults.py [--quick] [WORD ...]

Runs the tests that are named beside a fault, and prints the first that fails. Exits with 1 if a fault survives, if its
text is no longer in the file once, or if its tests are red without it. ``--quick`` takes four faults; WORD those whose
description has it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
WORKERS = 2
QUICK = 4
"""Faults of ``--quick``."""
LEFT_OUT = [".git", ".*_cache", "__pycache__", "*.egg-info", "build", "dist"]


class Fault(NamedTuple):
    """A text of one file, what replaces it, and the tests that are to see it."""

    description: str
    file: str
    text: str
    replacement: str
    tests: str
    """Arguments of pytest; without a -k of their own, on NumPy and array-api-strict alone."""


NN, CORE, DATA, PROOF = "portnn/nn", "portnn/model", "portnn/data", "portnn/equivalence"
CUDA = "portnn/jit/cuda"
FUSED = "tests/jit/cuda/test_source.py tests/jit/cuda/test_function.py"
REPLAY = "tests/jit/test_compiled.py"
TOLD = "tests/train/test_callbacks.py"
MAPPED = "tests/data/test_memmap.py"
TABLES = "tests/data/test_encoding.py"
MEASURED = "tests/metrics/test_metrics.py"
KILLED = "tests/train/test_checkpoint.py"
SEEN = "tests/plot/test_plot.py tests/test_diagnosis.py tests/test_rate_finder.py"
ASKED = "tests/cli/test_train.py"
CODED = "tests/nn/test_embedding.py"
TRUTH = "tests/equivalence/test_oracle.py"
STREAMED = "tests/data/test_batches.py"
STANDIN = "-p standin_cupy tests/backends/test_cupy.py tests/network/test_network.py -k cupy"
# One line a fault, or three: a table.
FAULTS = [
    # Derivatives
    # Updates, buffers, schedules
    Fault("decay of the biases too", "portnn/optim/chain.py", "False: tuple(link for link in every if not link[0].weights_only)", "False: every", "tests/optim/test_optimizers.py"),
    Fault("buffers that no step changes", f"{CORE}/step.py", "buffers[i] |= hook(i, \"\", result.buffers)", "hook(i, \"\", result.buffers)", "tests/model/test_step.py"),
    Fault("a biased running variance", f"{NN}/normalization.py", "var * (n / (n - 1))", "var", "tests/nn/test_nn.py -k torch"),
    Fault("a norm of each part", f"{NN}/normalization.py", "n = (context.rows or x.shape[0])", "n = x.shape[0]", "tests/model/test_step.py"),
    Fault("the first rows' masks for every part", f"{NN}/random.py", "xp.arange(context.row, context.row + shape[0]", "xp.arange(0, shape[0]", "tests/model/test_step.py tests/nn/test_random.py"),
    Fault("a clipped norm that overflows", "portnn/optim/transforms.py", "part = gradient * (1.0 / size)", "part, size = gradient, 1.0", "tests/optim/test_optimizers.py"),
    Fault("an average that remembers the start", "portnn/optim/transforms.py", "(1.0 - power(self.decay, step))", "1.0", "tests/optim/test_optimizers.py"),
    Fault("a schedule one step late", "portnn/optim/optimizer.py", "return (self.rate(step - 1),)", "return (self.rate(step),)", "tests/optim/test_optimizers.py"),
    Fault("a frozen layer that is drawn otherwise", f"{CORE}/architecture.py", "sorted(pairs, key=lambda pair: pair[0].order)", "pairs", "tests/model/test_step.py"),
    Fault("a residual block without its skip", f"{NN}/layers.py", "return dy + d, gradients", "return d, gradients", "tests/nn/test_nn.py"),
    Fault("noise of one word twice", f"{NN}/random.py", "_ones(second & 0x7FFFFFFF)", "_ones(first & 0x7FFFFFFF)", "tests/nn/test_random.py"),
    Fault("a sign in a derivative", f"{NN}/activations.py", "1.0 - a * a", "1.0 + a * a", "tests/integration/test_gradients.py tests/nn/test_nn.py"),
    Fault("a sign in a loss's derivative", f"{NN}/losses.py", "(s - y) * weight", "(y - s) * weight", "tests/integration/test_gradients.py tests/nn/test_nn.py"),
    Fault("a bias gradient that is dropped", f"{NN}/layers.py", "xp.sum(dy, axis=0)", "xp.sum(dy, axis=0) * 0.0", "tests/integration/test_gradients.py tests/nn/test_nn.py"),
    Fault("a transposed square weight", f"{NN}/layers.py", "xp.matmul(dy, xp.matrix_transpose(w))",
          "xp.matmul(dy, w if w.shape[0] == w.shape[1] else xp.matrix_transpose(w))", "tests/integration/test_gradients.py tests/nn/test_nn.py tests/test_testing.py"),
    Fault("half a gradient", f"{NN}/losses.py", "0.5 * xp.sum(e * d), d", "0.5 * xp.sum(e * d), 2.0 * d", "tests/integration/test_gradients.py tests/nn/test_nn.py"),
    Fault("softmax without its sum", f"{NN}/activations.py", "da - xp.sum(da * a, axis=-1, keepdims=True)", "da", "tests/integration/test_gradients.py tests/nn/test_nn.py"),
    Fault("a layer that gets no gradient", f"{CORE}/step.py", "reversed(range(self.first_trainable,", "reversed(range(self.first_trainable + 1,",
          "tests/integration/test_gradients.py tests/nn/test_nn.py"),
    Fault("cross-entropy of large logits", f"{NN}/losses.py", "xp.maximum(z - xp.max(z, axis=-1, keepdims=True), -0.25", "xp.maximum(z, -0.25",
          "tests/integration/test_gradients.py tests/nn/test_nn.py"),
    # Evaluation and history
    Fault("evaluate as a mean of batch means", f"{CORE}/runtime.py", "part.batches(self.backend, PREDICT_ROWS, None, mean=False)",
          "part.batches(self.backend, PREDICT_ROWS, None, mean=self.model.loss.mean)", "tests/network/test_inference.py"),
    Fault("metrics of the last batch only", f"{CORE}/runtime.py", "self._predictions(np.concatenate(outputs)), np.concatenate(targets)", "self._predictions(outputs[-1]), targets[-1]",
          "tests/network/test_inference.py"),
    Fault("rows beyond the prediction batch ignored", f"{CORE}/runtime.py", "                    losses.append(loss)\n                    rows", "                    if losses:\n                        break\n                    losses.append(loss)\n                    rows",
          "tests/network/test_inference.py"),
    Fault("evaluate in training mode", f"{CORE}/step.py", "ForwardContext(training=False), keep)", "ForwardContext(training=True), keep)", "tests/network/test_inference.py"),
    Fault("history reversed", "portnn/train/loop.py", "            pause()\n    return history", "            pause()\n    history.loss.reverse()\n    return history",
          "tests/network/test_inference.py"),
    Fault("training metrics measured on validation data", "portnn/train/loop.py", "run.runtime.evaluate(run.data, run.metrics)",
          "run.runtime.evaluate(run.validation or run.data, run.metrics)", "tests/network/test_inference.py"),
    Fault("an epoch's loss as a mean of batches", "portnn/train/loop.py", "weights = run.sizes if mean else [1] * len(run.sizes)", "weights = [sum(run.sizes) / steps if mean else 1] * steps",
          "tests/network/test_inference.py"),
    Fault("one over the full batch for the short one", f"{DATA}/dataset.py", "1.0 / rows_of_all if mean", "1.0 / size if mean", "tests/network/test_network.py"),
    Fault("r2 of numbers that are equal", "portnn/metrics/regression.py", "    offsets = y - y[:1]\n", "    offsets = y\n", MEASURED),
    Fault("metrics without the rows' weights", "portnn/metrics/base.py", "return self.score(outputs, y, weight)", "return self.score(outputs, y, None)", MEASURED),
    Fault("an area that ranks equal outputs", "portnn/metrics/classification.py", "np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]", "np.arange(len(scores))", MEASURED),
    Fault("a mean over classes that are not there", "portnn/metrics/classification.py", "np.union1d(labels(outputs), labels(y))", "np.arange(len(scores[score]))", MEASURED),
    Fault("a confusion matrix on its side", "portnn/metrics/classification.py", "labels(y) * n + labels(outputs)", "labels(outputs) * n + labels(y)", MEASURED),
    Fault("a split that forgets the classes", f"{NN}/random.py", "            held_out = rank < n_of_class[classes]\n", "            pass\n", "tests/nn/test_random.py"),
    Fault("balanced weights upside down", "portnn/data/sample_weights.py", "len(y) / (len(codes) * counts)", "counts * len(codes) / len(y)", "tests/network/test_inference.py"),
    # Rows, weights, splits
    Fault("weights that do not follow the shuffle", f"{DATA}/dataset.py", "backend.xp.take(self.weight, order[start:stop], axis=0) * scale",
          "self.weight[start:stop, ...] * scale", "tests/network/test_inference.py"),
    Fault("a split that drops the weights", f"{DATA}/dataset.py", "weight = None if self.weight is None else self.weight[index]", "weight = None",
          "tests/model/test_state.py"),
    Fault("weights that are not normalised", f"{DATA}/dataset.py", "scaled / scaled.mean() if mean", "scaled if mean", "tests/network/test_network.py tests/model/test_state.py"),
    Fault("standardising learnt before the split", "portnn/network/training.py", "pipeline = pipeline.adapt(training_data)",
          "pipeline = pipeline.adapt(pipeline.check(x, y))", "tests/network/test_inference.py"),
    Fault("standardising without weights", "portnn/model/preprocess.py", "column_statistics(blocks)", "column_statistics(lambda: (b._replace(weight=np.ones(len(b.rows))) for b in blocks()))", "tests/model/test_state.py"),
    Fault("standardising in float32", "portnn/model/preprocess.py", 'backend.asarray(block, "float64")', 'backend.asarray(backend.asarray(block, self._dtype), "float64")',
          "tests/model/test_state.py"),
    Fault("columns of a frame by position", f"{DATA}/frames.py", "    return {name: label_of[name] for name in required}\n", "    return dict(zip(required, labels, strict=False))\n", "tests/data/test_frames.py"),
    Fault("gaps that are taken", f"{DATA}/frames.py", "    if n_missing := column.null_count():", "    if False:", "tests/data/test_frames.py"),
    Fault("a label one too large", f"{DATA}/spec.py", "high >= width", "high > width", "tests/integration/test_bad_input.py"),
    Fault("masked values that train", "portnn/backend/host.py", "if masked := sum(", "if masked := 0 * sum(", "tests/integration/test_bad_input.py"),
    # Random numbers
    Fault("one mask for every layer", f"{NN}/random.py", "^ context.layer) ^ second", ") ^ second", "tests/nn/test_random.py"),
    Fault("one mask for every step", f"{CORE}/runtime.py", "random.key(self.seed, self.counters.step)", "random.key(self.seed, 0)", "tests/nn/test_random.py"),
    Fault("an arithmetic shift", f"{NN}/random.py", "x ^ ((x >> 15) & 0x1FFFF)\n\n", "x ^ (x >> 15)\n\n", "tests/nn/test_random.py"),
    Fault("one order for every epoch", "portnn/train/loop.py", "random.SHUFFLE, runtime.counters.epoch", "random.SHUFFLE, 0", "tests/nn/test_random.py"),
    Fault("streams that meet", f"{NN}/random.py", "np.random.default_rng(int.from_bytes(_hash(seed, stream, *counters, size=16), \"little\"))",
          "np.random.default_rng([seed, stream, *counters])", "tests/nn/test_random.py"),
    # Optimizers and the state
    Fault("no bias correction", "portnn/optim/optimizers.py", "1.0 - power(self.beta1, step)", "1.0", "tests/optim/test_optimizers.py tests/integration/test_rules.py tests/model/test_state.py"),
    Fault("a sign in momentum", "portnn/optim/optimizers.py", "self.momentum + gradients", "self.momentum - gradients", "tests/optim/test_optimizers.py -k sgd or momentum"),
    Fault("a block that skips an element", "portnn/backend/kernels.py", "slice(i, min(i + size, stop))", "slice(i, min(i + size, stop) - 1)", "tests/optim/test_optimizers.py"),
    Fault("a state that shares memory with the caller's", "portnn/model/state.py", "return self.backend.copy(self.backend.asarray(array, self.dtype))",
          "return self.backend.asarray(array, self.dtype)", "tests/network/test_network.py tests/model/test_state.py"),
    Fault("a divergence that leaves NaN behind", "portnn/train/loop.py", "    if reason := run.nonfinite_reason():\n        _roll_back(run, backup, n_before)\n",
          "    if reason := run.nonfinite_reason():\n", "tests/model/test_state.py"),
    Fault("a handler of Ctrl-C that stays", "portnn/interrupts.py", "    finally:\n        signal(SIGINT, previous)", "    finally:\n        pass", "tests/model/test_state.py"),
    Fault("a last step that nobody looks at", "portnn/train/fit_state.py", 'return "" if finite else', 'return "" if True else', "tests/model/test_state.py"),
    Fault("a fingerprint without buffers", "portnn/model/state.py", "in ((model.parameters, state.parameters), (model.buffers, state.buffers)):",
          "in ((model.parameters, state.parameters),):", "tests/network/test_inference.py"),
    Fault("an optimizer that is shown and not used", "portnn/network/base.py", "self._runtime.optimize_by(chosen)", "pass",
          "tests/model/test_state.py"),
    Fault("NumPy's scalars among the options", "portnn/options.py", "*map(as_python, arguments), **{name: as_python(value) for name, value in options.items()}",
          "super().__call__(*arguments, **options)", "tests/test_options.py"),
    # Files and the command line
    Fault("a model file written in place", "portnn/io/files.py", "os.replace(temporary, target)", "target.write_bytes(content)", "tests/io/test_files.py"),
    Fault("a pickle that may name anything", "portnn/io/files.py", "if (module, name) not in _ADMITTED:", "if False:", "tests/io/test_files.py"),
    Fault("a seed that is not stored", "portnn/model/state.py", '"seed": self.seed', '"seed": 0', "tests/io/test_files.py"),
    Fault("--optimizer ignored", "portnn/cli/train.py", "optimizer=optimizer or default_optimizer(rows.x.rows),", 'optimizer="adam",', "tests/cli/test_cli.py -k option"),
    Fault("--seed ignored", "portnn/cli/train.py", "seed=seed,\n            )\n        else:", "seed=0,\n            )\n        else:", "tests/cli/test_cli.py -k option"),
    Fault("exit code 1 for Ctrl-C", "portnn/cli/__init__.py", 'say("Interrupted")\n            sys.exit(130)', 'say("Interrupted")\n            sys.exit(1)',
          "tests/cli/test_cli.py -k ctrl_c"),
    Fault("a model over the data it was trained on", "portnn/cli/common.py", "        if resolved in read:", "        if False:", "tests/cli/test_cli.py -k destroyed"),
    Fault("predictions without quotes", "portnn/cli/predict.py", 'csv.writer(text, lineterminator="\\n")',
          'csv.writer(text, lineterminator="\\n", quoting=csv.QUOTE_NONE, escapechar="|")', "tests/cli/test_cli.py -k predictions"),
    Fault("007 taken for 7", "portnn/io/tables.py", "if few_classes and any(map(_PADDED.match, texts.tolist())):", "if False:", "tests/io/test_readers.py"),
    Fault("a class that only bears our name", "portnn/registry.py", "        if value is component:", "        if value.__name__ == getattr(component, '__name__', ''):",
          "tests/test_registry.py"),
    # Backends
    Fault("a backend replaced in silence", "portnn/backend/registry.py", 'raise BackendUnavailableError(f"backend {name!r}: {reason}")',
          "return _usable('numpy')", "tests/integration/test_bad_input.py tests/backend/test_backend.py"),
    Fault("an adapter that shadows ours", "portnn/backend/registry.py", "for entry in entry_points(group=GROUP) if entry.name not in builtin}",
          "for entry in entry_points(group=GROUP)}", "tests/backend/test_backend.py"),
    Fault("an implicit conversion of CuPy's array", "backends/_cupy.py", "np.asarray(self._cupy.asnumpy(array))", "np.asarray(array)", STANDIN),
    Fault("CuPy outside its device's scope", "backends/_cupy.py", "with self._device, precision().hold():", "with precision().hold():", STANDIN),
    Fault("a hidden wait in a step", f"{CORE}/runtime.py", "        previous, done = self.state, self.counters\n", "        self.backend.synchronize()\n        previous, done = self.state, self.counters\n",
          STANDIN),
    Fault("a host operand on a GPU", "backends/_cupy.py", "return self._cupy.asarray(obj if self.owns(obj) else host_array(obj, dtype), dtype=dtype)",
          "return obj if self.owns(obj) else host_array(obj, dtype)", STANDIN),
    Fault("TF32 by the user's setting", "backends/_cupy.py", "with self._device, precision().hold():", "with self._device:", STANDIN),
    # The proof itself
    Fault("a check of nothing that holds", f"{PROOF}/report.py", "bool(self.pieces) and all(", "all(", "tests/equivalence/test_compare.py"),
    Fault("a bound that grows with every term", "portnn/numerics/bounds.py", "min(float(terms), self._factor * float(np.sqrt(terms)))", "float(terms)",
          "tests/equivalence/test_compare.py tests/numerics/test_bounds.py"),
    # Reproducible arithmetic
    Fault("a library's exp", "portnn/reproducible/namespace.py", "self._of(elementary.exp, powers)", "xp.exp", "tests/reproducible/test_reproducible.py"),
    Fault("a plain sum", "portnn/reproducible/namespace.py", "return exact.total(self._xp, x, axis, keepdims)", "return self._xp.sum(x, axis=axis, keepdims=keepdims)",
          "tests/reproducible/test_reproducible.py"),
    Fault("a cast through float32", "portnn/reproducible/exact.py", "            result = cross\n", "            result = xp.astype(xp.astype(cross, xp.float32), xp.float64)\n",
          "tests/reproducible/test_reproducible.py"),
    Fault("a row divided by a column", f"{NN}/activations.py", "a = e * (1.0 / xp.sum(e, axis=-1, keepdims=True))", "a = e / xp.sum(e, axis=-1, keepdims=True)",
          "tests/nn/test_nn.py"),
    Fault("@ past the namespace", f"{NN}/layers.py", "y = xp.matmul(x, w)", "y = x @ w", "tests/nn/test_nn.py"),
    Fault("operations that a compiler fuses", "portnn/reproducible/arithmetic.py", "        return partial(self.backend.call_in_scope, function, static)\n", "        return self.backend.compile(function, static, donation)\n",
          "tests/integration/test_training_bits.py -k (jax and digests)"),
    Fault("a root that is taken on trust", "portnn/reproducible/namespace.py", "xp.sqrt if exact_sqrt else self._of(elementary.sqrt)", "xp.sqrt",
          "tests/integration/test_training_bits.py -k (torch and digests)"),
    Fault("answers that nobody asks for", "portnn/reproducible/arithmetic.py", "        if wrong:\n", "        if False:\n", "tests/reproducible/test_reproducible.py"),
    Fault("denormals in the optimizer", "portnn/reproducible/arithmetic.py", "(stop, partial(self._flushed, kernel))", "(stop, kernel)", "tests/reproducible/test_reproducible.py"),
    Fault("denormals in the buffers", f"{CORE}/runtime.py", "new._replace(buffers=flush(new.buffers))", "new", "tests/integration/test_training_bits.py"),
    Fault("zeros of either sign", "portnn/reproducible/exact.py", "    cross += 0.0", "    cross += xp.matmul(left[0], right[0]) * 0.0", "tests/reproducible/test_reproducible.py"),
    Fault("zero rows divided by zero", "portnn/reproducible/exact.py", "xp.maximum(largest, LEAST)", "largest", "tests/reproducible/test_reproducible.py"),
    Fault("a bit too many", "portnn/reproducible/exact.py", "BITS = 20", "BITS = 24", "tests/reproducible/test_reproducible.py"),
    Fault("long sums in one piece", "portnn/reproducible/exact.py", "range(1 if count <= _SHORT_SUM else 2)", "range(1)", "tests/reproducible/test_reproducible.py"),
    Fault("an arithmetic that a file forgets", "portnn/network/saving.py", 'description.get("arithmetic", "fast"),', '"fast",', "tests/integration/test_training_bits.py"),
    Fault("different bits that are well", f"{PROOF}/bits.py", "and not self.differences", "", "tests/equivalence/test_bits.py"),
    Fault("a backend that keeps its own first bits", f"{PROOF}/bits.py", "if not is_equal:", "if not is_equal and number > 1:", "tests/equivalence/test_bits.py"),
    # Tables
    Fault("an encoding of a file that lies in another place", f"{DATA}/spec.py", '"encoding": self.encoding and self.encoding.get_config()}', '"encoding": None}', "tests/integration/test_tables.py"),
    Fault("names of columns that are no texts forgotten", f"{DATA}/frames.py", "return tuple(map(_name, _labels(obj)))", "return tuple(map(_name, _labels(obj))) if isinstance(_labels(obj)[0], str) else None", "tests/integration/test_tables.py"),
    Fault("a file by position where it has names", f"{DATA}/frames.py", "return not frame.header", "return True", "tests/integration/test_tables.py"),
    Fault("a header of numbers taken for data", "portnn/io/header.py", "    return is_header_row\n", "    return False\n", "tests/integration/test_tables.py"),
    Fault("data that count up taken for a header", "portnn/io/header.py", "others = any(", "others = not any(", "tests/integration/test_tables.py"),
    Fault("digits of a file that were texts in training taken for numbers", f"{DATA}/encoding.py", 'table.texts(name) if column.kind == "text" else table.columns[name]', "table.columns[name]", "tests/integration/test_tables.py"),
    Fault("numbers that are no category that is spelled otherwise", "portnn/io/categories.py", "code = None if amount is None else self._numbers.get(amount)", "code = None", "tests/integration/test_tables.py"),
    Fault("bools that are other categories as numbers", "portnn/io/categories.py", '"1": True, "0": False', '"2": True, "3": False', "tests/integration/test_tables.py"),
    Fault("nullable bools that are numbers", f"{DATA}/frames.py", "    if kind.is_numeric():\n        return np.asarray(column.cast", "    if kind.is_numeric() or kind == nw.Boolean:\n        return np.asarray(column.cast", "tests/integration/test_table_properties.py"),
    Fault("long doubles that teach other bits", f"{DATA}/dataset.py", "if rows.dtype.itemsize > 8:", "if False:", "tests/integration/test_table_properties.py"),
    Fault("a column in which nothing is known passes in silence", f"{DATA}/encoding.py", "if not missing.all() and (codes[~missing] < 0).all():", "if False:", "tests/integration/test_tables.py"),
    Fault("classes by their places", f"{DATA}/spec.py", "if labels is None and (self.classes is not None or (self.loss.labels and is_column(y))):", "if False:", "tests/integration/test_tables.py"),
    Fault("classes by their places in a step like the one before", "portnn/network/training.py", "None if None in signature or schema.classes is not None or", "None if None in signature or", "tests/integration/test_tables.py"),
    Fault("labels of numbers that come back as texts", f"{DATA}/labels.py", "return value if isinstance(value, str | bool | int | float) else as_text(value)", "return as_text(value)", "tests/integration/test_tables.py"),
    Fault("a time zone forgotten", "portnn/data/kinds.py", 'return "instant" if zoned else "date"', 'return "date"', "tests/integration/test_tables.py"),
    Fault("a time zone taken the wrong way", "portnn/data/kinds.py", 'int(f"{match[2]}1")', '-int(f"{values[2]}1")', "tests/integration/test_tables.py"),
    Fault("NA as a class", "portnn/io/tables.py", 'list(MISSING - {"none"})', 'list(["nothing"])', "tests/integration/test_tables.py"),
    Fault("whole numbers beyond float64 as labels", "portnn/io/tables.py", "np.abs(values).max() < 2.0**53", "True", "tests/integration/test_tables.py"),
    Fault("blanks around labels taken away", "portnn/io/categories.py", "text = as_text(value)\n        code = self._exact", "text = as_text(value).strip()\n        code = self._exact", "tests/integration/test_tables.py"),
    Fault("images that the model does not scale", f"{DATA}/task.py", "entering = [Rescale()]", "entering = []", "tests/integration/test_tables.py"),
    Fault("bytes that a model of before does not scale", f"{DATA}/spec.py", "if self.scales_bytes and", "if False and", "tests/integration/test_tables.py"),
    Fault("classes of a model of before as texts", "portnn/io/files.py", "if all(n is not None and as_text(n) == text", "if all(False and as_text(n) == text", "tests/integration/test_tables.py"),
    Fault("weights of rows without a target stay", f"{DATA}/labels.py", "return take(x, labelled), take(y, labelled), weight_of_labelled", "return take(x, labelled), take(y, labelled), weight if isinstance(weight, str | Mapping | None) else weight[: len(labelled)]", "tests/integration/test_tables.py"),
    Fault("fewer labels than outputs", f"{DATA}/spec.py", "if self.classes is not None and len(self.classes) != (width if self.loss.labels else 2):", "if False:", "tests/integration/test_tables.py"),
    Fault("the command line's defaults differ from fit_options", "portnn/defaults.py", "least = MAX_EPOCHS_WITH_VALIDATION if validation else MIN_EPOCHS", "least = MIN_EPOCHS", "tests/integration/test_tables.py"),
    Fault("metrics of logarithms", "portnn/model/runtime.py", "return outputs if link is None else", "return outputs if True else", "tests/network/test_inference.py"),
    Fault("counts scaled as if they were their logarithms", f"{DATA}/task.py", "and LOSSES[loss].inverse_link is None", "", "tests/network/test_inference.py"),
    Fault("predictions of counts that are logarithms", "portnn/cli/predict.py", "if link is not None and not outputs:", "if False:", "tests/network/test_inference.py"),
    Fault("targets rounded before they are measured", "portnn/model/runtime.py", "part.exact_y is not None", "False", "tests/network/test_inference.py"),
    Fault("outputs rounded in the targets' unit", "portnn/model/runtime.py", "ForwardContext(training=False))).output\n", "ForwardContext(training=False))).output.astype(np.float32)\n", "tests/network/test_inference.py"),
    Fault("Ctrl-C that keeps the last epoch, not the best", "portnn/train/callbacks.py", "        self.on_train_end(network)\n", "        pass\n", "tests/train/test_callbacks.py"),
    Fault("Ctrl-C puts the best epoch into the checkpoint", "portnn/train/callbacks.py", "reversed(self.every) if backwards else self.every", "self.every", "tests/train/test_callbacks.py"),
    Fault("rows of before that are said to be new", "portnn/cli/train.py", "False if previous is None else None", "False", "tests/cli/test_train.py"),
    Fault("a summary without how it reads", "portnn/network/neural_network.py", "lines + self._schema.reading()", "lines", "tests/integration/test_tables.py"),
    Fault("masks over a memory map", f"{DATA}/memmap.py", "if isinstance(array, np.ma.MaskedArray):", "if False:", "tests/integration/test_misuse.py"),
    Fault("masks in lists", "portnn/backend/host.py", "else _masked_parts(obj)", "else []", "tests/integration/test_misuse.py"),
    Fault("a function that is taken as rising", "portnn/train/callbacks.py", "metric is not None and metric.greater_is_better is None", "False", "tests/integration/test_misuse.py"),
    Fault("a function that says it falls, taken as rising", "portnn/metrics/selection.py", 'greater_is_better=getattr(metric, "greater_is_better", None)', 'greater_is_better=getattr(metric, "greater_is_better", None) is not None or None', "tests/integration/test_misuse.py"),
    Fault("metrics that share what a function writes to", "portnn/metrics/base.py", "self.function(outputs.copy(), y.copy(), **weights)", "self.function(outputs, y, **weights)", "tests/integration/test_misuse.py"),
    Fault("functions unweighted beside weighted metrics", "portnn/metrics/base.py", "weights = {self._weight: weight.copy()} if weight is not None and self._weight else {}", "weights = {}", "tests/integration/test_misuse.py"),
    Fault("functions unweighted without a word", "portnn/metrics/base.py", '        _log.warning("metrics: %r is not weighted', '        _log.debug("metrics: %r is not weighted', "tests/integration/test_misuse.py"),
    Fault("accuracy of a regression", "portnn/metrics/selection.py", 'if not (self.labels or self.activation in ("sigmoid", "softmax", "log_softmax")):', "if False:", "tests/integration/test_misuse.py"),
    Fault("one class a row where there are several", "portnn/metrics/selection.py", 'if not self.labels and self.activation == "sigmoid" and self.outputs > 1:', "if False:", "tests/integration/test_misuse.py"),
    Fault("r2 of classes that are distributions", "portnn/metrics/selection.py", 'if self.labels or self.fused else ""', 'if self.labels else ""', "tests/integration/test_misuse.py"),
    Fault("log_loss of what are no probabilities", "portnn/metrics/selection.py", "if isinstance(metric, LogLoss) and", "if False and", "tests/integration/test_misuse.py"),
    Fault("an average of two classes for three", "portnn/metrics/classification.py", "        if classes > 2:\n", "        if False:\n", "tests/integration/test_misuse.py"),
    Fault("batches that are read ahead of a buffer that is filled again", f"{DATA}/batches.py", "if isinstance(self.given, list | tuple) else map(owned_copy, item)", "if True else map(owned_copy, item)", "tests/integration/test_misuse.py"),
    Fault("a first batch that is lost", f"{DATA}/batches.py", "return self._through() if begun is None else begun", "return self._through()", "tests/integration/test_misuse.py"),
    Fault("as many classes as the largest label", f"{DATA}/spec.py", "elif classes is None and infers and self.loss.labels:", "elif False:", "tests/integration/test_misuse.py"),
    Fault("keys that become texts", "portnn/io/files.py", "        _check_keys(description)\n", "", "tests/integration/test_misuse.py"),
    Fault("a validation that is an empty list", "portnn/model/pipeline.py", "not (validation and isinstance(validation[0], tuple))", "not isinstance(validation[0], tuple)", "tests/integration/test_misuse.py"),
    Fault("nothing compared that passes", "portnn/equivalence/functions.py", "if not sum(array.size for array in expected):", "if False:", "tests/integration/test_misuse.py"),
    Fault("a schedule that has ended without a word", "portnn/network/training.py", "            _say_that_nothing_moves(runtime)\n", "", "tests/integration/test_misuse.py"),
    Fault("a checkpoint before the callbacks that it keeps", "portnn/train/checkpoint.py", "others = [callback for callback in callbacks if not isinstance(callback, cls)]", "others = []", "tests/integration/test_misuse.py"),
    Fault("a dotted name that cannot be imported", "portnn/schedules.py", "from portnn.optim.schedules import", "from portnn.nn.schedule import", "tests/integration/test_misuse.py"),
    Fault("graph: batches of the host that wait for the device", "portnn/model/preprocess.py", "return (self._backend if self._backend.owns(x) else self._host).asarray(", "return self._backend.asarray(", STANDIN),
    Fault("graph: targets of the host that wait for the device", f"{DATA}/spec.py", "home = backend if backend.owns(array) else", "home = backend if True else", STANDIN),
    Fault("rows of a block in the place of rows of the data", "portnn/model/pipeline.py", ", columns=schema.columns, first=start)", ", columns=schema.columns)", "tests/data/test_memmap.py"),
    Fault("sklearn: an unknown class that becomes the first", "portnn/sklearn/classifier.py", "if (wrong := labels[targets] != y).any():", "if (wrong := labels[targets] != y).all():", "tests/test_sklearn.py -k going_on"),
    Fault("sklearn: class weights that replace the rows'", "portnn/sklearn/classifier.py", "factors if sample_weight is None else factors * host_array(sample_weight, \"float64\")", "factors", "tests/test_sklearn.py -k weights_of_rows"),
    Fault("sklearn: rates that stay logarithms", "portnn/sklearn/regressor.py", "outputs if link is None else link(home.xp, outputs)", "outputs", "tests/test_sklearn.py -k rates"),
    Fault("sklearn: two namespaces in one model", "portnn/sklearn/base.py", "and repr(backend_of(X)) != self._home:", "and False:", "tests/test_sklearn.py -k stay_in_their_library"),
    Fault("sklearn: a warm start that begins anew", "portnn/sklearn/classifier.py", "goes_on = self.warm_start and hasattr(self, \"network_\")", "goes_on = False", "tests/test_sklearn.py -k going_on"),
    Fault("sklearn: labels of several columns beyond one half", "portnn/sklearn/classifier.py", "probabilities > 0.5", "probabilities > 0.99", "tests/test_sklearn.py -k several_labels"),
    Fault("sklearn: classes beside an older network", "portnn/sklearn/base.py", "            self.__dict__.update(attributes)\n", "            self.__dict__.update(attributes, classes_=None)\n", "tests/test_sklearn.py -k error_changes"),
    Fault("sklearn: an untrained network after an error", "portnn/sklearn/base.py", "            self.__dict__.clear()\n", "", "tests/test_sklearn.py -k error_changes"),
    Fault("sklearn: other classes in a later chunk", "portnn/sklearn/classifier.py", "not np.array_equal(host_array(self.classes_), known)", "False", "tests/test_sklearn.py -k other_options"),
    Fault("sklearn: a learning rate that a warm start forgets", "portnn/sklearn/base.py", "        self.network_.optimizer = optimizers.make(self.optimizer, self.learning_rate)", "        optimizers.make(self.optimizer, self.learning_rate)", "tests/test_sklearn.py -k other_options"),
    Fault("sklearn: options of the optimizer that are lost", "portnn/sklearn/base.py", "self.optimizer = replace(optimizer, **options)", "pass", "tests/test_sklearn.py -k options_of_the_optimizer"),
    Fault("sklearn: a search whose seed is another one", "portnn/sklearn/base.py", "seed=int(seed),", "seed=int(seed) + 1,", "tests/test_sklearn.py -k same_options"),
    Fault("onnx: an operator of another function", "portnn/onnx/nodes.py", "\"floor\": \"Floor\"", "\"floor\": \"Ceil\"", "tests/test_onnx.py -k raw_tables"),
    Fault("onnx: a softmax over rows", "portnn/onnx/nodes.py", "\"Softmax\", (z,), {\"axis\": -1}", "\"Softmax\", (z,), {\"axis\": 0}", "tests/test_onnx.py -k built_in"),
    Fault("onnx: expm1 by a difference", "portnn/onnx/nodes.py", "near = self.add(\"Where\", is_one, a[0], ratio)\n        return self.add(\"Where\", self.add(\"Greater\", self.add(\"Abs\", a[0])", "near = below\n        return self.add(\"Where\", self.add(\"Greater\", self.add(\"Abs\", a[0])", "tests/test_onnx.py -k ulps"),
    Fault("onnx: names that a column has", "portnn/onnx/nodes.py", "        while name in self._taken:", "        while False:", "tests/test_onnx.py -k raw_tables"),
    Fault("onnx: a number of rows that is closed", "portnn/onnx/program.py", "        return ROWS\n    return value", "        return value\n    return value", "tests/test_onnx.py -k every_layer"),
    Fault("onnx: functions that no program holds", "portnn/onnx/program.py", "(UntraceableError, UnrecordedError)", "UntraceableError", "tests/test_onnx.py -k cannot_hold"),
    Fault("onnx: missing texts in small letters alone", "portnn/onnx/columns.py", "product(*({c, c.upper()} for c in text))", "product(*({c} for c in text))", "tests/test_onnx.py -k raw_tables"),
    Fault("onnx: weekdays that begin on another day", "portnn/onnx/columns.py", "xp.floor(days) + 3.0", "xp.floor(days) + 4.0", "tests/test_onnx.py -k raw_tables"),
    Fault("onnx: unseen texts as the most frequent one", "portnn/onnx/columns.py", "xp.where(codes < 0, shares, hot)", "hot", "tests/test_onnx.py -k raw_tables"),
    Fault("onnx: numbers cut to float32 before they are standardised", "portnn/onnx/export.py", "\"float64\" if self._preprocesses else", "\"float32\" if self._preprocesses else", "tests/test_onnx.py -k labels_and_names"),
    Fault("onnx: labels in another order", "portnn/onnx/export.py", "for c in self._schema.classes or ()]", "for c in (self._schema.classes or ())[::-1]]", "tests/test_onnx.py -k labels_and_names"),
    Fault("onnx: a file that nothing is compared with", "portnn/onnx/verify.py", "excess = np.abs(computed - expected) > bound", "excess = np.abs(computed - expected) > np.inf", "tests/test_onnx.py -k another_network"),
    Fault("onnx: instants read as dates", "portnn/onnx/verify.py", "header=True, zoned=zoned)", "header=True)", "tests/test_onnx.py -k raw_tables"),
    Fault("onnx: reproducible numbers beside a bound of others", "portnn/network/saving.py", "self.to(\"numpy\", arithmetic=\"fast\")", "self.to(\"numpy\")", "tests/test_onnx.py -k another_backend"),
    Fault("torch: weights that are not transposed", "portnn/conversion/torch_modules.py", "return array.T if key == \"W\" and array.ndim == 2 else array", "return array", "tests/conversion/test_torch_modules.py -k random_stacks"),
    Fault("torch: modules that occur twice are lost", "portnn/conversion/torch_modules.py", "in module._modules.items():", "in module.named_children():", "tests/conversion/test_torch_modules.py -k stands_twice"),
    Fault("torch: tied parameters that become two", "portnn/conversion/torch_modules.py", "owners.setdefault(id(parameter), part.name) != part.name", "False", "tests/conversion/test_torch_modules.py -k refused"),
    Fault("torch: a Sequential with a forward pass of its own", "portnn/conversion/torch_modules.py", " and kind.forward is torch.nn.Sequential.forward", "", "tests/conversion/test_torch_modules.py -k refused"),
    Fault("torch: hooks that nobody sees", "portnn/conversion/torch_modules.py", "if any(getattr(module, hooks, None) for hooks in _HOOKS):", "if False:", "tests/conversion/test_torch_modules.py -k refused"),
    Fault("torch: options of a module that are left out", "portnn/conversion/torch_layers.py", "if (got := getattr(module, option)) != value:", "if (got := getattr(module, option)) != got:", "tests/conversion/test_torch_modules.py -k refused"),
    Fault("torch: a slope of another form", "portnn/conversion/torch_layers.py", "{\"threshold\": SOFTPLUS}", "{\"threshold\": 1.0}", "tests/conversion/test_torch_modules.py -k random_stacks"),
    Fault("torch: moments that begin at zero", "portnn/conversion/torch_optimizers.py", "np.zeros(tensor.shape) if value is None else", "np.zeros(tensor.shape) if True else", "tests/conversion/test_torch_modules.py -k goes_on"),
    Fault("torch: steps that are counted anew", "portnn/conversion/torch_optimizers.py", "ages.pop() if ages else 0", "0", "tests/conversion/test_torch_modules.py -k goes_on"),
    Fault("torch: a weight decay of biases that is lost", "portnn/conversion/torch_optimizers.py", "or of_others - {0.0}", "or False", "tests/conversion/test_torch_modules.py -k update_otherwise"),
    Fault("torch: frozen layers that train", "portnn/conversion/torch_layers.py", "bias=m.bias is not None, trainable=_is_free(m))", "bias=m.bias is not None)", "tests/conversion/test_torch_modules.py -k frozen"),
    Fault("torch: a module in training mode", "portnn/conversion/torch_modules.py", "else \"cpu\").eval()", "else \"cpu\")", "tests/conversion/test_torch_modules.py -k every_layer"),
    Fault("perceptrons: classes in another order", "portnn/conversion/sklearn_models.py", "model.classes_.tolist()", "model.classes_.tolist()[::-1]", "tests/conversion/test_sklearn_models.py"),
    Fault("perceptrons: hidden layers without their activation", "portnn/conversion/sklearn_models.py", "layers += [width, activation]", "layers += [width, \"relu\"]", "tests/conversion/test_sklearn_models.py"),
    Fault("perceptrons: columns without names", "portnn/network/conversion.py", "replace(network._schema, columns=columns)", "network._schema", "tests/conversion/test_sklearn_models.py -k names"),
    Fault("scorers: several labels taken for one class", "portnn/metrics/selection.py", "            return \"labels\"\n", "            return \"classes\"\n", "tests/metrics/test_metrics.py -k scorers"),
    Fault("scorers: errors of values between numbers of classes", "portnn/metrics/scorers.py", "of_values != (self.kind == \"values\")", "False", "tests/metrics/test_metrics.py -k suit"),
    Fault("scorers: weights that nobody asks", "portnn/metrics/scorers.py", "options = {} if weight is None else {\"sample_weight\": weight}", "options = {}", "tests/metrics/test_metrics.py -k with_weights"),
    Fault("html: texts of the user's that are tags", "portnn/html/elements.py", "\">{escape(cell)}</{tag}>", "\">{cell}</{tag}>", "tests/html/test_html.py"),
    Fault("html: curves upside down", "portnn/html/drawings.py", "height * (1.0 - (value - low) / span)", "height * ((value - low) / span)", "tests/html/test_html.py"),
    Fault("html: curves through what is not finite", "portnn/html/drawings.py", "        if isfinite(values[i]):", "        if True:", "tests/html/test_html.py"),
    Fault("html: broken bounds that look like the others", "portnn/equivalence/report.py", "if not holds]", "if False]", "tests/html/test_html.py"),
    Fault("the first epoch as the best", "portnn/train/history.py", "np.nanargmin(losses)) + 1", "np.nanargmax(losses)) + 1", "tests/html/test_html.py"),
    Fault("the best epoch by the training loss", "portnn/train/history.py", "self.metrics.get(\"validation_loss\") or self.loss", "self.loss", "tests/html/test_html.py"),
    Fault("metrics that are not drawn", "portnn/train/history.py", "if metric is None and ax is None:", "if False:", "tests/plot/test_plot.py"),
    Fault("1 units", "portnn/model/architecture.py", "if number == 1 else", "if False else", "tests/plot/test_plot.py"),
    Fault("a progress bar where nobody reads it", "portnn/train/progress.py", "enabled = is_visible if progress is None", "enabled = True if progress is None", "tests/train/test_progress.py"),
    Fault("the stand-in: threads that share what is captured", "tests/standin_cuda.py", "class PerThread(threading.local):", "class PerThread:", "-p standin_cupy tests/backends/test_cupy.py -k another_thread"),
    Fault("parts with scales of their own", "portnn/reproducible/parts.py", "parts.largest(*(exact.scale_of_part(library, each) for each in (x, b.array)))", "(exact.scale_of_part(library, each) for each in (x, b.array))", "tests/test_distributed.py -k reproducible"),
    Fault("sums of parts with scales of their own", "portnn/reproducible/exact.py", "parts.largest(scale_of_part(xp, x, axis))[0]", "scale_of_part(xp, x, axis)", "tests/test_distributed.py -k reproducible"),
    Fault("exact blocks of each part", "portnn/reproducible/exact.py", "(0, mine) if parts is None else (parts.first, parts.terms)", "(0, mine) if parts is None else (0, parts.terms)", "tests/test_distributed.py -k exact_blocks"),
    Fault("parts: high and cross terms together", "portnn/reproducible/exact.py", "cross, high = parts.sums(cross, high)", "cross, high = parts.sums(cross + high, high * 0.0)", "tests/test_distributed.py -k reproducible"),
    Fault("parts: the length of a sum is that of the part", "portnn/reproducible/exact.py", "x.shape[along] if along or parts is None else parts.terms", "x.shape[along]", "tests/test_distributed.py -k exact_blocks"),
    Fault("parts: elements of a row lost", "portnn/nn/parts.py", "-reshaped.ndim, size // rest)", "-reshaped.ndim, 1)", "tests/reproducible/test_parts.py -k followed"),
    Fault("parts: sums of random bits", "portnn/nn/parts.py", "        if x.drawn:\n", "        if False:\n", "tests/reproducible/test_parts.py -k refused"),
    Fault("parts: gradients of this part alone", "portnn/reproducible/parts.py", "if value.rows is not None or value.drawn:", "if False:", "tests/reproducible/test_parts.py -k refused"),
    Fault("ranks that are interrupted alone", "portnn/train/loop.py", "self._of_all = any(pending)", "self._of_all = self._deferred.pending", "tests/test_distributed.py -k interrupt"),
    Fault("ranks that all print", "portnn/cli/train.py", "    if comm is not None and comm.rank:\n        silence", "    if False:\n        silence", "tests/test_distributed.py -k command_line"),
    Fault("ranks that do not answer are waited for", "portnn/mpi.py", "self._end(silent, seconds)", "pass", "tests/test_distributed.py -k answer"),
    Fault("ranks that wait are taken for silent", "portnn/mpi.py", "                heard.add(status.Get_source())\n", "", "tests/test_distributed.py -k answer"),
    Fault("nccl: the loss of this rank alone", "portnn/model/shared.py", "return summed(loss), summed(gradient, overwrite=True), buffers", "return loss, summed(gradient), buffers", "-p standin_cupy tests/test_distributed.py -k cupy"),
    Fault("nccl: two ranks on one GPU", "backends/_nccl.py", "if first != rank:", "if False:", "-p standin_cupy tests/test_distributed.py -k cupy"),
    Fault("rows that are not yet taken, in an eager function", "backends/_cupy.py", "*copied(self.xp, arguments[static:])", "*arguments[static:]", "-p standin_cupy tests/test_distributed.py -k cupy"),
    Fault("parts: any function of a part's sum", "portnn/nn/parts.py", "if name not in _LINEAR | {\"concat\"} or not alone or not fits.get(name, True):", "if False:", "tests/test_distributed.py -k part_for"),
    Fault("parts: terms of no row", "portnn/nn/parts.py", "\"add\": not others,", "\"add\": True,", "tests/test_distributed.py -k term"),
    Fault("parts: sums of what is no sum", "portnn/nn/parts.py", "if array.rows is not None or not (array.partial or array.drawn):", "if False:", "tests/test_distributed.py -k part_for"),
    Fault("site: an example of a page is broken", "docs/guides/backends.md", "net.to(\"array_api_strict\")", "net.onto(\"array_api_strict\")", "tests/integration/test_documents.py -m exhaustive -k python_blocks"),
    Fault("site: a dead link", "docs/guides/report.md", "](../../examples/gallery/drift.py)", "](../../examples/gallery/drifts.py)", "tests/integration/test_documents.py -k links"),
    Fault("windows: one zero more at the start", f"{NN}/windows.py", "before, after = lacking // 2, lacking - lacking // 2", "before, after = lacking - lacking // 2, lacking // 2", "tests/nn/test_convolution.py"),
    Fault("windows: padding one pixel off", f"{NN}/windows.py", "(length - extent) // stride + 1)", "(length - extent + 1) // stride + 1)", "tests/nn/test_convolution.py"),
    Fault("windows: the gradient of a stride without its stride", f"{NN}/windows.py", "part = joined(xp, together, at + 1)", "part = joined(xp, together[::-1], at + 1)", "tests/nn/test_pooling.py"),
    Fault("windows: zeros that are computed from infinity", f"{NN}/windows.py", "zeros = xp.astype(x > inf, x.dtype)", "zeros = x * 0.0", "tests/nn/test_pooling.py -k zeros"),
    Fault("pool: every one of equal pixels takes the gradient", f"{NN}/pooling.py", "                    left = left - parts[-1]\n", "", "tests/nn/test_pooling.py"),
    Fault("pool: a partial window counts its padding", f"{NN}/pooling.py", "min(start + axis.kernel, axis.size) - max(start, 0)", "axis.kernel", "tests/nn/test_pooling.py"),
    Fault("torch: height for width", "portnn/conversion/torch_layers.py", "ZeroPad2D((m.padding[2], m.padding[0]))", "ZeroPad2D((m.padding[0], m.padding[2]))", "tests/conversion/test_torch_modules.py -k both_ways"),
    Fault("torch: kernels are turned", "portnn/conversion/torch_modules.py", 'return array.T if key == "W" and array.ndim == 2 else array', 'return array.T if key == "W" and array.ndim == 2 else array[..., ::-1]', "tests/conversion/test_torch_modules.py -k both_ways"),
    Fault("shift: the gradient moves with the image", f"{NN}/noise.py", "2 * n - s if back else s", "s", "tests/nn/test_noise.py"),
    Fault("shift: one pixel is never reached", f"{NN}/noise.py", "* (2 * n + 1)) >> 16", "* (2 * n)) >> 16", "tests/nn/test_noise.py"),
    Fault("dropout: pixels of a channel one by one", f"{NN}/noise.py", "if self.whole_channels else x.shape", "if False else x.shape", "tests/nn/test_noise.py"),
    Fault("lenet: --hidden beside --model without a word", "portnn/cli/train.py", 'if _is_given("model") and _is_given("hidden"):', "if False:", "tests/cli/test_train.py -k lenet"),
    Fault("drawing: features for inputs", "portnn/model/architecture.py", 'labels[0].append(f"{widths[0]} features")', "pass", "tests/plot/test_plot.py -k images"),
    Fault("exact: a stack's products in another order", "portnn/numerics/mpmath_namespace.py", "return np.array(products, object)", "return np.array(products[::-1], object)", "tests/equivalence/test_compare.py -k 50_digits"),
    Fault("convolution: channels last without a word", f"{NN}/windows.py", "if features[0] == features[1] > 4 and features[2] in (1, 3, 4):", "if False:", "tests/nn/test_convolution.py -k seem_to"),
    Fault("convolution: lists that no file gives back", f"{NN}/windows.py", "if isinstance(value := getattr(layer, name), list):", "if isinstance(value := getattr(layer, name), set):", "tests/nn/test_convolution.py -k lists"),
    Fault("convolution: as many tiles as images", f"{NN}/windows.py", "max(TILE // elements, (images + MOST_TILES - 1) // MOST_TILES)", "max(TILE // elements, 1)", "tests/nn/test_convolution.py -k most_tiles"),
    Fault("parts: images of a part of a batch by tiles", "portnn/model/shared.py", "rows=part.rows, tiles=False)\n        inside = State(xp.whole", "rows=part.rows)\n        inside = State(xp.whole", "tests/test_distributed.py -k all_images"),
    Fault("parts: images of a part are checked by tiles", "portnn/model/shared.py", "all_reduce=parts.all_reduce, tiles=False)", "all_reduce=parts.all_reduce)", "tests/test_distributed.py -k all_images"),
    Fault("convolution: the fans of a dense layer", f"{NN}/convolution.py", "self.initializer, True, *fans)", "self.initializer, True)", "tests/nn/test_convolution.py -k fans"),
    Fault("convolution: groups see each other's channels", f"{NN}/convolution.py", "length = self.filters // self.groups, seen.shape[1] // self.groups", "length = self.filters // self.groups, seen.shape[1]", "tests/nn/test_convolution.py -k formula"),
    Fault("replay: windows are kept for the backward pass", "portnn/jit/tracer.py", 'if operation == "concat":', 'if operation == "none":', "tests/nn/test_convolution.py -k keeps"),
    Fault("replay: a result in the memory of an operand that is read then", "portnn/jit/memory.py", "lives[other][0] <= last and first <= lives[other][1]", "lives[other][0] < last and first < lives[other][1]", "tests/jit/test_compiled.py -k lie_apart"),
    Fault("replay: an ellipsis stands for nothing", "portnn/jit/graph.py", "[slice(None)] * (ndim - len(parts) + 1)", "[]", "tests/jit/test_tracer.py -k ellipsis"),
    Fault("bounds: equal numbers are never in doubt", "portnn/numerics/bounds.py", "(doubt > 0) & (np.abs(self.value - other.value) <= doubt))\n\n    def __and__", "False)\n\n    def __and__", "tests/numerics/test_bounds.py -k equality"),
    Fault("bounds: the larger of two by the first's error", "portnn/numerics/bounds.py", "np.maximum(*errors)", "next(errors)", "tests/numerics/test_bounds.py -k larger"),
    Fault("stacks: one scale for all matrices", "portnn/reproducible/namespace.py", "self._cut(b, -2))", "self._cut(b, 0))", "tests/reproducible/test_reproducible.py -k stacks"),
    Fault("cublas: a stack's matrices lie one on another", "backends/_cublas.py", "prod(matrices.shape[-2:]) if", "0 if", "-p standin_cupy tests/backends/test_cupy.py -k stack"),
    Fault("parts: a stack's rows are lost", "portnn/nn/parts.py", "a.rows < -2 and", "False and", "tests/test_distributed.py -k Conv2D"),
    Fault("site: an answer is gone", "docs/guides/dead-units.md", "## What helps", "## More", "tests/integration/test_site.py"),
    Fault("site: the example of a public name runs nothing", "portnn/backend/host.py", "    >>> host_array([1, 2], \"float32\").dtype\n    dtype('float32')", "    See numpy.", "tests/integration/test_docstrings.py -k host_array"),
    Fault("site: a page that nothing leads to", "docs/index.md", "guides/report\n", "", "tests/integration/test_site.py"),
    Fault("site: a page of the tutorial is broken", "examples/tutorial/03_any_depth.py", "p[f\"W{layer}\"].T", "p[f\"W{layer}\"]", "tests/integration/test_examples.py -m exhaustive -k any_depth"),
    Fault("site: a picture without an alternative text", "examples/gallery/drift.py", "ax.figure.set_label(", "ax.figure.suptitle(", "tests/integration/test_examples.py -k alternative"),
    Fault("site: a learning rate that is too large for no reader", "examples/tutorial/07_learning_rates.py", "(60.0, ", "(20.0, ", "tests/integration/test_examples.py -k learning_rate"),
    Fault("site: links of pages lead into the repository", "scripts/docs", "if target else match[0]", "if target is None else match[0]", "tests/integration/test_site.py"),
    Fault("site: a name without a page", "scripts/docs", "            names.append(path)\n", "            names.append(path)\n            (folder / \"portnn.BatchNorm.rst\").unlink(missing_ok=True)\n", "tests/integration/test_site.py"),
    Fault("options hidden from help", "portnn/options.py", "return signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation=signature.empty)", "return inspect.signature(len)", "tests/integration/test_docstrings.py"),
    Fault("parts: divided by a part's rows", "portnn/nn/part_array.py", "__truediv__ = __rtruediv__ = __int__ = __float__ = __pow__ = __rpow__ = _refused", "__float__ = __index__\n    __rtruediv__ = lambda self, other: other / index(self)", "tests/test_distributed.py -k part_for"),
    Fault("ranks that take the same rows", "portnn/data/dataset.py", "return rows * self.rank // self.ranks, rows * (self.rank + 1) // self.ranks", "return 0, rows // self.ranks", "tests/test_distributed.py -k one_process"),
    Fault("ranks with the same dropout", "portnn/model/step.py", "ForwardContext(training=True, key=key, row=row, rows=rows, all_reduce=all_reduce, tiles=False)", "ForwardContext(training=True, key=key, row=0, rows=rows, all_reduce=all_reduce, tiles=False)", "tests/test_distributed.py -k train_what"),
    Fault("normalisation of a rank's rows", "portnn/model/step.py", "row=row, rows=rows, all_reduce=all_reduce, tiles=False)", "row=row, tiles=False)", "tests/test_distributed.py -k one_process"),
    Fault("means of a rank's rows", "portnn/data/dataset.py", "scale = 1.0 / rows_of_all if mean", "scale = 1.0 / max(stop - start, 1) if mean", "tests/test_distributed.py -k one_process"),
    Fault("ranks of other data", "portnn/distributed.py", "if values.get(key) != value:", "if False:", "tests/test_distributed.py -k differ"),
    Fault("weights that part without a word", "portnn/train/loop.py", "        check_bits(run.comm, run.runtime.fingerprint(), run.done)\n", "", "tests/test_distributed.py -k part_are_found"),
    Fault("a rank that leaves the others waiting", "portnn/distributed.py", "            comm.abort()\n", "            pass\n", "tests/test_distributed.py -k ends_all"),
    Fault("ranks that end alone", "portnn/train/fit_state.py", "any(self.comm.all_gather(self.ended))", "self.ended", "tests/test_distributed.py -k together"),
    Fault("ranks that all write", "portnn/train/fit_state.py", "return self.comm is None or self.comm.rank == 0", "return True", "tests/test_distributed.py -k together"),
    Fault("an error before the training that one rank alone has", "portnn/distributed.py", "        if text is not None:", "        if False:", "tests/test_distributed.py -k begin_says"),
    Fault("ranks that begin with weights of their own", "portnn/train/ranks.py", "    run.runtime.load_state(arrays, description)\n", "", "tests/test_distributed.py -k state_of_rank_0"),
    Fault("codes of other libraries that nobody looks at", "portnn/model/preprocess.py", "check or waits or isinstance(x, np.ndarray) or self._on_host", "check or isinstance(x, np.ndarray)", "tests/model/test_step.py"),
    Fault("a one-cycle schedule that goes on beyond its end", "portnn/optim/schedules.py", "min(step, self.steps - 1)", "min(step, self.steps)", "tests/nn/test_nn.py"),
    Fault("threads that see half a step", "portnn/model/state.py", "        with self.lock:\n            return method(self", "        if True:\n            return method(self", "tests/integration/test_misuse.py"),
    Fault("files of half a step", "portnn/network/saving.py", "with runtime.lock:  # arrays and counters of one step", "if True:", "tests/integration/test_misuse.py"),
    Fault("files in the state's own memory", "portnn/model/state.py", "return np.array(self.backend.to_numpy(vector))", "return self.backend.to_numpy(vector)", "tests/integration/test_misuse.py"),
    Fault("a layer object that loses its bias", f"{CORE}/architecture.py", "if i in widths and", "if", "tests/integration/test_misuse.py"),
    Fault("a step that is not recorded without a word", "portnn/jit/compiled.py", "if isinstance(error, UnrecordedError) and", "if False and", "tests/integration/test_misuse.py"),
    Fault("JAX: masks that hide NaN", "backends/_jax.py", ", jax.lax.optimization_barrier)", ")", "tests/integration/test_misuse.py -k nan"),
    Fault("a function of portnn's that goes round the checks", "portnn/metrics/selection.py", "checked = metric.regression_only or type(metric) in METRICS.values()", "checked = False", "tests/integration/test_misuse.py"),
    Fault("a class that is held out whole", "portnn/nn/random.py", "n_of_class[label] < counts[label] - 1", "n_of_class[label] < counts[label]", "tests/nn/test_random.py"),
    Fault("the seconds of a fit start anew where it goes on", "portnn/train/loop.py", "time.perf_counter() - history.seconds", "time.perf_counter()", "tests/train/test_checkpoint.py"),
    Fault("a weighted average with a row too many in each class", "portnn/metrics/classification.py", 'scores["support"][present] if average', 'scores["support"][present] + 1 if average', "tests/metrics/test_metrics.py -k by_its_rows"),
    Fault("dead output units that are not seen", "portnn/diagnosis.py", "if model.loss.pair is None and output in BY_ELEMENT:", "if False:", "tests/test_diagnosis.py"),
    Fault("blocks that are not looked into, without a word", "portnn/diagnosis.py", "if self.unseen else []", "if False else []", "tests/test_diagnosis.py"),
    Fault("a file in the place of a pipe", "portnn/io/files.py", "if target.exists() and not (target.is_file() or target.is_dir()):", "if False:", "tests/io/test_files.py -k pipe"),
    Fault("an index in another order", "portnn/data/frames.py", "not own.equals(other) and own", "False and own", "tests/integration/test_misuse.py -k index"),
    Fault("one class", "portnn/data/spec.py", "if count < 2:", "if False:", "tests/integration/test_misuse.py -k one_class"),
    Fault("a metric that takes the place of the loss", "portnn/metrics/selection.py", 'if name == "loss":', "if False:", "tests/integration/test_misuse.py -k called_loss"),
    Fault("a table of numbers to learn that is no array", "portnn/data/spec.py", 'host_array(as_real_array(get_backend("numpy"), "y", schema._codes(y), target_columns))', "host_array(schema._codes(y))", "tests/integration/test_tables.py -k learnt_from_texts"),
    Fault("tables: as much decay whatever the rows", "portnn/defaults.py", "WEIGHT_DECAY * min(1.0, DECAY_ROWS / check_positive_int(\"rows\", rows))", "WEIGHT_DECAY", "tests/integration/test_tables.py -k one_training"),
    Fault("tables: rare values of a text blown up", f"{NN}/embedding.py", "std * ~binary + binary", "std", "tests/nn/test_embedding.py"),
    Fault("tables: bools centred", f"{NN}/embedding.py", "Statistics(mean * ~binary", "Statistics(mean", "tests/nn/test_embedding.py"),
    Fault("tables: 0,5 beside 1,163.74", "portnn/data/kinds.py", "if grouped and other is not None:", "if False:", "tests/data/test_encoding.py"),
    Fault("tables: weekdays from Monday on", "portnn/data/encoding.py", "np.floor(days) + 3.0", "np.floor(days)", "tests/data/test_encoding.py"),
    Fault("tables: a gap that is midnight on a Thursday", "portnn/data/encoding.py", "np.where(missing, 0.0, cos(np,", "np.where(False, 0.0, cos(np,", "tests/data/test_encoding.py"),
    Fault("tables: 0,512 that has thousands", "portnn/io/categories.py", "[1-9]\\d{0,2}(?:,", "\\d{1,3}(?:,", "tests/data/test_encoding.py"),
    Fault("tables: a point that is a decimal one beside 1.163,74", "portnn/io/delimited.py", 'with_comma = _WITH_COMMA if "," in marked else _COMMA', "with_comma = _COMMA", "tests/io/test_readers.py"),
    Fault("tables: a comma that is a decimal one beside 1,163.74", "portnn/io/delimited.py", 'and not ("." in marked and number(cell) is not None)', "", "tests/io/test_readers.py"),
    Fault("tables: doubtful thousands", "portnn/data/encoding.py", "if column.grouped:", "if False:", "tests/integration/test_tables.py"),
    Fault("tables: a first row of texts that is data", "portnn/io/header.py", "return not again", "return True", "tests/integration/test_tables.py"),
    Fault("tables: the last column", "portnn/io/tables.py", "(0 if self.header else len(names))", "(-99 if self.header else len(names))", "tests/integration/test_tables.py"),
    Fault("tables: confusions beyond the terminal", "portnn/cli/scores.py", "for column in columns) <= width", "for column in columns) <= 9 * width", "tests/cli/test_train.py -k terminal"),
    Fault("tables: the least of the confusions", "portnn/cli/scores.py", "key=lambda pair: -pair[0]", "key=lambda pair: pair[0]", "tests/cli/test_train.py -k terminal"),
    Fault("tables: named classes in another order", "portnn/data/spec.py", "return replace(self, classes=labels)", "return replace(self, classes=tuple(sorted(labels)))", "tests/data/test_batches.py -k named"),
    Fault("tables: classes learnt from one batch", "portnn/data/spec.py", "if fitted.classes != self.classes:", "if False:", "tests/data/test_batches.py"),
    Fault("ops: a function without a bound, a true value and a case", "portnn/ops.py", 'Op("floor", "elementwise", exact=True, core=False)', 'Op("floor", "elementwise")', "tests/test_ops.py -k meaning"),
    Fault("ops: a function that no adapter is asked for", "portnn/equivalence/conformance.py", "xp.expand_dims(a, axis=1)", "a", "tests/test_ops.py -k adapters"),
    Fault("ops: a function that cannot be recorded", "portnn/jit/tracer.py", "    def take(self, x: Operand, indices", "    def taken(self, x: Operand, indices", "tests/test_ops.py -k meaning"),
    Fault("ops: a function without a reproducible form", "portnn/reproducible/namespace.py", "if op.exact and op.core}", 'if op.exact and op.core and op.name != "concat"}', "tests/test_ops.py -k meaning"),
    Fault("ops: a registered function whose inputs' errors count for nothing", "portnn/numerics/bounds.py", "slope * x.error, 0.0), op.ulps or 0.5)", "0.0, 0.0), 0.0)", "tests/test_ops.py -k registered"),
    Fault("ops: a registered function that is not recorded", "portnn/ops.py", "    ELEMENTWISE.add(name)\n", "", "tests/test_ops.py -k registered"),
    Fault("ops: a registered function that no adapter is asked for", "portnn/equivalence/conformance.py", "(FUNCTIONS | {name: _unary(name) for name in REGISTERED}).items()", "FUNCTIONS.items()", "tests/test_ops.py -k asked"),
    Fault("ops: columns joined as rows", "portnn/jit/codegen.py", "{':, ' * axis}{start}:{stop}", "{start}:{stop}", "tests/test_ops.py tests/nn/test_embedding.py"),
    Fault("ops: errors joined along another axis", "portnn/numerics/bounds.py", "np.concatenate(parts, axis)", "np.concatenate(parts, 0)", "tests/test_ops.py -k joined"),
    Fault("tables: a mark at the beginning that is part of a name", "portnn/io/delimited.py", 'return UTF8 if name == "utf-8" else name', "return name", "tests/integration/test_tables.py -k utf"),
    Fault("a metric that is no number", "portnn/metrics/base.py", "if np.ndim(value) or not isinstance(as_python(value), int | float):", "if False:", "tests/integration/test_misuse.py"),
    Fault("maps of bytes that a model of before does not scale", f"{DATA}/spec.py", "array.divided(255) if isinstance(array, MemmapRows)", "array if isinstance(array, MemmapRows)", "tests/integration/test_tables.py"),
    Fault("metadata of a user's own taken for the command line's", "portnn/io/files.py", "if any(names.values()) or not by_command_line", "if not by_command_line", "tests/integration/test_tables.py"),
    Fault("bytes of a model of before that are scaled the first time alone", "portnn/network/inference.py", "None if schema.scales_bytes else signature", "signature", "tests/integration/test_tables.py"),
    Fault("a median of the gaps too", f"{DATA}/encoding.py", "fill = float(np.median(present))", "fill = float(np.median(np.nan_to_num(values)))", TABLES),
    Fault("an encoding that peeps at rows to test on", f"{DATA}/task.py", "Data(x.take(train_rows), take(y, train_rows),", "Data(x, y,", TABLES),
    Fault("unknown texts that are the most frequent one", f"{DATA}/encoding.py", "hot[codes < 0] = self.shares", "hot[codes < 0, 0] = 1.0", TABLES),
    Fault("gaps that leave no trace", f"{DATA}/encoding.py", "missing_column = [missing.astype(np.float64)]", "missing_column = [missing * 0.0]", TABLES),
    Fault("a word among numbers that makes them texts", "portnn/data/kinds.py", "2 * max(numbers, dates) <= len(texts)", "max(numbers, dates) < len(texts)", TABLES),
    Fault("labels that are texts in the order in which they come", f"{DATA}/labels.py", "return tuple(sorted(distinct))", "return tuple(dict.fromkeys(labels.tolist()))", "tests/data/test_frames.py"),
    Fault("frames learnt from the rows that are held out", f"{DATA}/spec.py", "if split else np.arange(table.rows)", "if False else np.arange(table.rows)", "tests/data/test_frames.py"),
    # Mapped data
    Fault("a map read in the order of the file", f"{DATA}/batches.py", "x = self._convert(positions[span])", "x = self._convert(np.arange(self.rows)[span])", MAPPED),
    Fault("a map of which other rows are held out", f"{DATA}/memmap.py", "self._index[index], self._divisor)", "index, self._divisor)", MAPPED),
    Fault("the file where a map holds what was written", f"{DATA}/memmap.py", 'root.mode not in ("r", "r+") or ', "", MAPPED),
    Fault("rows of a map at the wrong place", f"{DATA}/memmap.py", "root.offset % mmap.ALLOCATIONGRANULARITY", "0", MAPPED),
    Fault("a map of which another file has the name", f"{DATA}/memmap.py", "if _inode_at(base) != os.fstat(file).st_ino:", "if False:", MAPPED),
    # Callbacks and checkpoints
    Fault("callbacks that remember the training before", "portnn/train/callbacks.py", "self.state = replace(self).state", "pass", TOLD),
    Fault("NumPy's True that ends nothing", "portnn/train/callbacks.py", "if as_python(function(self._network, event)) is True:", "if function(self._network, event) is True:", TOLD),
    Fault("a split of its own for what is learnt", f"{DATA}/spec.py", "random.split(table.rows, share, seed, labels)", "random.split(table.rows, share, seed)", "tests/data/test_frames.py"),
    Fault("early stopping: the last epoch's weights", "portnn/train/callbacks.py", "            self.run.runtime.assign(self._weights)\n", "            pass\n", TOLD),
    Fault("early stopping: buffers left behind", "portnn/train/callbacks.py", "runtime.parameters() | runtime.buffers()", "runtime.parameters()", TOLD),
    Fault("a plateau that counts from the last epoch", "portnn/train/callbacks.py", "        self._waited += 1\n        return False", "        self._best = value\n        self._waited += 1\n        return False", TOLD),
    Fault("accuracy that is to fall", "portnn/train/callbacks.py", "metric is not None and bool(metric.greater_is_better)", "False", TOLD),
    Fault("checkpoint: the open epoch begun anew", "portnn/train/loop.py", "islice(batches, n_before, None)", "islice(batches, 0, None)", KILLED),
    Fault("checkpoint: losses before the break forgotten", "portnn/train/checkpoint.py", '= fit_arrays["losses"].tolist(), fit_arrays', '= [0.0] * len(fit_arrays["losses"]), fit_arrays', KILLED),
    Fault("checkpoint: callbacks that forget", "portnn/train/checkpoint.py", "        callback.state = state\n", "        pass\n", KILLED),
    Fault("checkpoint: written before the callbacks were told", "portnn/train/checkpoint.py", "return [*others, *checkpoints]", "return [*checkpoints, *others]", KILLED),
    Fault("checkpoint: other data that are well", "portnn/train/checkpoint.py", '"data": _of_data(run, run.data)', '"data": ""', KILLED),
    Fault("checkpoint: a divergence written over it", "portnn/train/checkpoint.py", "        if not run.is_first or run.nonfinite_reason():\n", "        if False:\n", KILLED),
    Fault("checkpoint: another network's start taken over", "portnn/train/checkpoint.py", '"start": _digest(arrays, description["counters"])', '"start": ""', KILLED),
    Fault("PyTorch: autocast casts", "backends/_torch.py", " or torch.is_autocast_enabled(self._device.type)", "", "tests/backends/test_torch.py -k autocast"),
    Fault("PyTorch: a setting that the first to leave gives back", "portnn/backend/precision.py", "                if not self._inside:\n                    self._write(self._previous)", "                if True:\n                    self._write(self._previous)", "tests/backends/test_torch.py -k precision"),
    Fault("PyTorch: a setting that only the first holds", "portnn/backend/precision.py", "return not self._inside and self._read() in values", "return self._read() in values", "tests/backends/test_torch.py -k precision"),
    Fault("PyTorch: inference mode stays", "backends/_torch.py", "torch.is_inference_mode_enabled() or ", "", "tests/backends/test_torch.py -k inference"),
    Fault("PyTorch: products in fewer bits", "backends/_torch.py", '_precision(self._cuda).is_one_of("none", "ieee")', "True", "tests/backends/test_torch.py -k precision"),
    Fault("PyTorch: a setting that is not given back", "portnn/backend/precision.py", "                    self._write(self._previous)\n", "                    pass\n", "tests/backends/test_torch.py -k precision"),
    Fault("PyTorch: a setting that was inherited becomes its own", "backends/_torch.py", '"none" if products.fp32_precision == above.fp32_precision else str(products.fp32_precision)', "str(products.fp32_precision)", "tests/backends/test_torch.py -k precision"),
    # The recorded step
    Fault("replay: a table of the call's own, block by block", "portnn/jit/tracer.py", 'return line.arrays[0].operation == "constant"', "return True", "tests/jit/test_tracer.py"),
    Fault("replay: an output in the program's memory", "portnn/jit/executable.py", 'line.operation in VIEWS | {"input", "constant"} or ', "False and ", REPLAY),
    Fault("replay: a batch that is kept", "portnn/jit/compiled.py", "            for bound_state, run in self._bound:\n", "            self._kept = arguments_after\n            for bound_state, run in self._bound:\n",
          REPLAY),
    Fault("replay: memory used again too early", "portnn/jit/memory.py", "{root(operand).line: line.line for", "{operand.line: line.line for", REPLAY),
    Fault("replay: results used again too early", "portnn/jit/memory.py", "{root(result).line: len(program.lines) for result in program.results}", "{}", REPLAY),
    Fault("replay: an input overwritten before it is read", "portnn/jit/memory.py", " and line.line >= last_read:", ":", REPLAY),
    Fault("replay: one piece in two places", "portnn/jit/codegen.py", '!= ("segment", line.line, start * prod(line.shape[1:]))', '[:2] != ("segment", line.line)', REPLAY),
    Fault("the last block alone looked at", f"{DATA}/arrays.py", ", ...])) & finite", ", ...]))", "tests/integration/test_bad_input.py"),
    Fault("values that are looked at once", f"{DATA}/arrays.py", "np.generic) or not backend.owns(array):", "np.generic) or not is_backend_array(array):", "tests/model/test_state.py"),
    Fault("replay: one kernel's tables for all", "portnn/jit/codegen.py", 'self._scalar_buffers, f"{k}_")', 'self._scalar_buffers, "w")', REPLAY),
    Fault("replay: a view of what a call brings", "portnn/jit/codegen.py", "if not (stretched and self._has_fixed_address(operand)):", "if not stretched:", f"tests/jit/test_targets.py {REPLAY}"),
    Fault("replay: a view that takes a piece's name", "portnn/jit/codegen.py", '{name}_in_{line.line}"', '{name}_{line.line}"', "tests/jit/test_targets.py -k pieces"),
    Fault("replay: a program that warns", "portnn/jit/targets.py", '        context.run(partial(np.seterr, all="ignore"))\n', "", "tests/jit/test_targets.py tests/jit/test_compiled.py"),
    Fault("replay: any order in memory", "portnn/jit/targets.py", '"not {0}.flags.c_contiguous"', '"False"', REPLAY),
    Fault("replay: PyTorch's products anywhere", "portnn/jit/targets.py", 'alignment_sensitive_ops = frozenset({"matmul"})', "alignment_sensitive_ops = frozenset()", "tests/jit/test_targets.py -k torch"),
    Fault("replay: a sum that keeps its dimensions", "portnn/jit/targets.py", "options[0]}, {options[1]}, out={out})", "options[0]}, True, out={out})", "tests/jit/test_targets.py -k torch"),
    Fault("replay: a number divided as NumPy does", "portnn/jit/targets.py", 'case "divide" if not', 'case "divide" if False and not', "tests/jit/test_targets.py -k torch"),
    Fault("replay: PyTorch's sign of NaN", "portnn/jit/targets.py", '"where", "sign"})', '"where"})', "tests/jit/test_targets.py -k torch"),
    Fault("replay: PyTorch's tensors in any order", "portnn/jit/targets.py", '"not {0}.is_contiguous()"', '"False"', f"{REPLAY} -k torch"),
    # Fused programs
    Fault("fused: a part that ends early", f"{CUDA}/source.py", "(o + 1) * {kernel.length})", "(o + 1) * {kernel.length} - 1)", FUSED),
    Fault("fused: the last elements left out", f"{CUDA}/source.py", 'f"ITEMS({prod(kernel.shape)})', 'f"ITEMS({prod(kernel.shape) // 8 * 8})', FUSED),
    Fault("fused: a column beyond the last", f"{CUDA}/source.py", 'inside = f"if (o < {kernel.n_results}) " if kernel.kind == "column" else ""', 'inside = ""', FUSED),
    Fault("fused: no barrier between warps", f"{CUDA}/prelude.cuh", "s_[threadIdx.x >> 5] = v_; __syncthreads();", "s_[threadIdx.x >> 5] = v_;", "tests/jit/cuda/test_source.py -k threads"),
    Fault("fused: no barrier between columns", f"{CUDA}/prelude.cuh", "s_[threadIdx.x] = r[0]; __syncthreads();", "s_[threadIdx.x] = r[0];", "tests/jit/cuda/test_source.py -k threads"),
    Fault("fused: elements in the block of a sum", f"{CUDA}/kernels.py", 'shape == self.shape and self.kind in ("map", "row", "column")', "shape == self.shape", FUSED),
    Fault("fused: a sum over other axes", f"{CUDA}/kernels.py", "(kind, shape, axes) != (self.kind, self.shape, self.axes)", "(kind, shape) != (self.kind, self.shape)", FUSED),
    Fault("fused: read before it is computed", f"{CUDA}/source.py", "p.step >= self.kernel.number", "p.step > self.kernel.number", FUSED),
    Fault("fused: written over before the last reader", f"{CUDA}/launch.py", "self._last_reader(old) <= (node.step or 0)", "True", FUSED),
    Fault("fused: the first axis for the last", f"{CUDA}/source.py", "inner = index[len(index) - len(operand.shape) :]", "inner = index[: len(operand.shape)]", FUSED),
    Fault("fused: numbers of the first step", f"{CUDA}/launch.py", '"driver.launch(load, {blocks}', '"(step_count := state) is state or driver.launch(load, {blocks}', FUSED),
    Fault("fused: a number in another's slot", f"{CUDA}/source.py", "sum(kind == dtype for _, kind in self.scalars)", "len(self.scalars)", FUSED),
    Fault("fused: contracted to multiply-adds", "backends/_cuda.py", '("--std=c++17", "--fmad=false")', '("--std=c++17",)', STANDIN),
    Fault("graph: products that refuse a capture", "backends/_cuda.py", "return self.blas.product(left, right, out)", "return lambda: self.cupy.matmul(left, right, out=out)", STANDIN),
    Fault("graph: no workspace after another stream", "backends/_cublas.py", '            self._call("cublasSetWorkspace_v2", self._handle, *workspace)', '            self._stream or self._call("cublasSetWorkspace_v2", self._handle, *workspace)', STANDIN),
    Fault("graph: products in TF32", "backends/_cublas.py", '"float32": (0, 68,', '"float32": (0, 77,', STANDIN),
    Fault("graph: another stream does not wait", "backends/_cuda.py", "stream.wait_event(self._last.record())", "self._last.record()", STANDIN),
    Fault("graph: operands of a product changed", "backends/_cublas.py", "*(self._handle, b, a, n, m, k,", "*(self._handle, a, b, n, m, k,", STANDIN),
    Fault("graph: memory freed after the capture", "backends/_cuda.py", "            self._launch = self._captured()\n", "            self._launch = self._captured()\n            self._steps = ()\n", STANDIN),
    Fault("graph: rows taken before the step", "backends/_cupy.py", "            return Rows(array, order, start, stop)\n", "            return super().take_rows(array, order, start, stop)\n", STANDIN),
    Fault("graph: kernels before the memory of the loss", f"{CUDA}/launch.py", 'lines.append(f"r{i} = driver.empty(', 'lines.append(f"replay(); r{i} = driver.empty(', STANDIN),
    Fault("fused: predictions by the first state", f"{CUDA}/function.py", "        if state is self._home:\n", "        if state is self._home or not self._in_place:\n", FUSED),
    Fault("fused: a state that could not be bound", f"{CUDA}/function.py", "            runs = [program.bind(state,", "            self._home = state\n            runs = [program.bind(state,", FUSED),
    Fault("fused: what runs a program on the state before", f"{CUDA}/function.py", "                self._adopt(state)\n                return self._runs[-1](*data)\n", "                run = self._runs[-1]\n                self._adopt(state)\n                return run(*data)\n", FUSED),
    Fault("fused: a new state that is cast in silence", f"{CUDA}/launch.py", "if (node.shape, node.dtype) != (old.shape, old.dtype):", "if False:", FUSED),
    Fault("fused: a function of no rows is refused", f"{CUDA}/function.py", "next((array.shape[0] for array in arrays), 0)", "next(array.shape[0] for array in arrays)", FUSED),
    Fault("fused: a program for each number of rows", f"{CUDA}/function.py", "rows > 0 and rows & (rows - 1) == 0", "rows > 0", FUSED),
    Fault("graph: predictions operation by operation", "backends/_cupy.py", "        return FusedFunction(", "        if donation is None:\n            return eagerly\n        return FusedFunction(", STANDIN),
    Fault("graph: rows of a transposed array as they lie", "backends/_cupy.py", "if array.flags.c_contiguous and order.dtype", "if order.dtype", STANDIN),
    Fault("graph: indices of 32 bits as such of 64", "backends/_cupy.py", "and order.dtype == np.int64:", "and True:", STANDIN),
    Fault("graph: the first step twice", "backends/_cuda.py", "            self._launch = self._captured()\n", "            self._launch = self._captured()\n            self._launch and self._launch()\n", STANDIN),
    Fault("fused: a transposed operand as it lies", f"{CUDA}/launch.py", "matrix.swapaxes(-1, -2) if transposed else matrix", "matrix", FUSED),
    Fault("fused: every batch takes the first rows of the order", f"{CUDA}/launch.py", "int64({name}.start)", "int64(0)", FUSED),
    Fault("fused: the rows of a vector for those of a matrix", f"{CUDA}/launch.py", "row = prod(node.shape[1:])", "row = node.shape[-1]", FUSED),
    Fault("fused: rows of a short batch by the long one's program", f"{CUDA}/launch.py", 'or {name}.shape != {line.shape}: return None', ': return None', FUSED),
    Fault("fused: a copy of rows from their start on alone", f"{CUDA}/rows.py", "self.order[self.start : self.start + self.shape[0]]", "self.order[self.start :]", FUSED),
    Fault("fused: a state from elsewhere is not taken", f"{CUDA}/function.py", "        if state is self._home:\n", "        if state is self._home or self._in_place:\n", FUSED),
    Fault("fused: eager first, compiled then", f"{CUDA}/function.py", "        if signature in self._eager:\n            return False\n", "        if signature not in self._eager:\n            self._eager.add(signature)\n            return False\n", FUSED),
    Fault("fused: integers that do not wrap", f"{CUDA}/source.py", '(int)((unsigned){values[0]} {OPERATORS[operation]} (unsigned){values[1]})', '(int)((float){values[0]} {OPERATORS[operation]} (float){values[1]})', FUSED),
    Fault("fused: parts of a vector side by side", f"{CUDA}/nodes.py", "            start += part.size\n", "            start += part.size - 1\n", FUSED),
    Fault("replay: a rate that stays", "portnn/jit/trace.py", "            return SymbolicScalar(tape, path)\n", "            return leaf\n", REPLAY),
    Fault("replay: one state in place of two", "portnn/jit/compiled.py", "(*state_buffers[1:], state_buffers[0])", "state_buffers", REPLAY),
    Fault("replay: blocks over the end", "portnn/jit/codegen.py", "(i, min(i + step, stop))", "(i, i + step)", REPLAY),
    Fault("a report that looks away", f"{PROOF}/report.py", "return self.share <= 1.0 or self.conspires", "return self.share <= 1000.0 or self.conspires", "tests/equivalence/test_compare.py"),
    # Pictures and diagnoses
    Fault("a picture in a figure that nobody closes", "portnn/plot/canvas.py", "keep_open = keep_open or path is None", "keep_open = True", SEEN),
    Fault("a second figure beside the Axes that were given", "portnn/plot/canvas.py", "is_new = pyplot(), ax is None", "is_new = pyplot(), True", SEEN),
    Fault("a boundary upside down", "portnn/plot/plane.py", 'np.stack(np.meshgrid(across, up), axis=-1)', 'np.stack(np.meshgrid(up, across)[::-1], axis=-1)', SEEN),
    Fault("weights drawn between other units", "portnn/plot/diagram.py", "colours[chosen], linewidths", "colours[chosen][::-1], linewidths", SEEN),
    Fault("a confusion matrix of other shares", "portnn/plot/charts.py", "counts.sum(axis=1, keepdims=True)", "counts.sum(axis=0, keepdims=True)", SEEN),
    Fault("training drawn as validation", "portnn/train/history.py", 'curves.get(f"validation_{n}", [])', "curves.get(n, [])", SEEN),
    Fault("dead by the first row alone", "portnn/diagnosis.py", "dead = (passes == 0) & (arrives > 0)", "dead = (before[0] == 0) & (arrives > 0)", SEEN),
    Fault("what no gradient reaches counts as dead", "portnn/diagnosis.py", "dead = (passes == 0) & (arrives > 0)", "dead = passes == 0", SEEN),
    Fault("gradients of another layer", "portnn/diagnosis.py", "gradients.get(i), gradients.get(i - 1)", "gradients.get(i - 1), gradients.get(i - 1)", SEEN),
    Fault("losses before the step at a rate", "portnn/rate_finder.py", "np.array(sweep.losses[1:])", "np.array(sweep.losses[:-1])", SEEN),
    Fault("a rate where nothing falls", "portnn/rate_finder.py", "if slope >= -MIN_T_STATISTIC * error:", "if False:", SEEN),
    Fault("the memory of half the numbers", "portnn/network/neural_network.py", '8 if self.dtype == "float64" else 4', "4", "tests/network/test_network.py -k summary"),
    # What the command line is asked for
    Fault("--patience ignored", "portnn/defaults.py", "EarlyStopping(patience=patience)", "EarlyStopping()", "tests/cli/test_train.py"),
    Fault("the last epoch said to be the best", "portnn/cli/scores.py", "1 + losses.index(min(losses))", "len(losses)", ASKED),
    Fault("--continue with another optimizer ignored", "portnn/cli/train.py", "network.optimizer = optimizer", "pass", ASKED),
    Fault("--continue holds other rows out", "portnn/cli/train.py", "seed=seed if previous is None else previous.seed", "seed=seed", ASKED),
    Fault("--continue learns an encoding anew", f"{DATA}/spec.py", "if self.features is not None or not is_frame(x):", "if not is_frame(x):", "tests/cli/test_train.py"),
    # Batches of a user's own
    Fault("batches: weights lost", f"{DATA}/batches.py", "yield entry[0]", "yield entry[0][:2] + (None,)", STREAMED),
    Fault("batches: statistics of the first alone", f"{DATA}/batches.py", "            first += checked.rows", "            return", STREAMED),
    Fault("batches: statistics without weights", f"{DATA}/batches.py", "weight * largest", "weight * 0 + 1", STREAMED),
    Fault("batches: an iterator that is used up", f"{DATA}/batches.py", "isinstance(batches, Iterator) and batches is self._previous", "False", STREAMED),
    Fault("batches: errors swallowed", f"{DATA}/batches.py", "                raise entry", "                return", STREAMED),
    Fault("batches: as many ahead as there are", f"{DATA}/batches.py", "                room.acquire()\n", "", STREAMED),
    Fault("batches: weights scaled in each", "portnn/model/pipeline.py", "data: ValidatedData, mean: bool = False", "data: ValidatedData, mean: bool = True", STREAMED),
    Fault("batches: the rows of the last for all", "portnn/train/loop.py", "run.sizes.append(rows)", "run.sizes = [rows] * (len(run.sizes) + 1)", "tests/network/test_inference.py"),
    Fault("checkpoint: rows of the open epoch forgotten", "portnn/train/checkpoint.py", 'fit_arrays["sizes"].astype(int).tolist()', '[1] * len(fit_arrays["sizes"])', KILLED),
    # Codes of texts
    Fault("codes: the first text taken for one that was never seen", f"{DATA}/encoding.py", "[*missing_column, codes + 1.0]", "[*missing_column, np.maximum(codes, 0) + 1.0]", "tests/nn/test_embedding.py"),
    Fault("codes: in the order of the columns", f"{DATA}/encoding.py", "return np.concatenate(parts + codes, axis=1)", "return np.concatenate(codes + parts, axis=1)", CODED),
    Fault("codes: one row further", f"{NN}/embedding.py", "xp.arange(1, size + 1, dtype=x.dtype)", "xp.arange(0, size, dtype=x.dtype)", CODED),
    Fault("codes: the gradient of another column", f"{NN}/embedding.py", "list(accumulate(self.embedding_dims, initial=numbers))", "[n - 1 for n in accumulate(self.embedding_dims, initial=numbers)]", "tests/nn/test_nn.py -k Tabular"),
    Fault("codes: standardised like numbers", f"{NN}/embedding.py", "x[:, numbers:]], axis=1)", "x[:, numbers:] * 0.5], axis=1)", CODED),
    # The truth
    Fault("numbers as texts: their ranks", f"{DATA}/spec.py", "return self.has_named_loss and not self.loss.labels", "return False and not self.loss.labels", "tests/data/test_frames.py -k numbers"),
    Fault("weights of classes by their places", "portnn/data/sample_weights.py", "code if names is None else names[code]", "code", "tests/data/test_frames.py -k weights"),
    Fault("numbers as texts: underscores left out", "portnn/io/categories.py", 'None if "_" in text else float(text)', "float(text)", "tests/data/test_frames.py -k numbers"),
    Fault("truth: everything conspires", f"{PROOF}/compare.py", "m.is_suspect and (m.place, m.what) in sound", "m.is_suspect", TRUTH),
    Fault("truth: what is beyond the worst case conspires too", f"{PROOF}/report.py", "return self.share > 1.0 >= self.share_of_worst_case", "return self.share > 1.0", TRUTH),
    Fault("truth: nothing is drawn", f"{PROOF}/oracle.py", "(array * 2.0 ** rng.uniform(-1.0, 1.0, array.shape))", "array", TRUTH),
    Fault("truth: NumPy's for all", f"{PROOF}/oracle.py", "times = 2 if self._by_numpy else 1", "times = 1000", TRUTH),
    Fault("truth: NumPy is not judged", f"{PROOF}/compare.py", "measured = [home, *others]", "measured = others", TRUTH),
    Fault("truth: an arbiter of sixteen digits", "portnn/numerics/mpmath_namespace.py", "mp_context.dps = DIGITS", "mp_context.dps = 16", TRUTH),
    Fault("truth: the nearest float64 for an exact number", f"{PROOF}/report.py", " - reference.remainder)", ")", TRUTH),
    Fault("compare: the training beside goes on from NumPy's step", f"{PROOF}/compare.py", "            run.restore(snapshot)\n", "", "tests/equivalence/test_compare.py"),
    Fault("JAX: NumPy's memory taken for its own", "backends/_jax.py", "np.array(host_array(obj, dtype))", "host_array(obj, dtype)", "tests/backend/test_backend.py -k jax"),
    Fault("check: one folder of compiled code for every processor", "portnn/cli/check.py", "sha256(has.encode())", "sha256()", "tests/cli/test_cli.py -k jax"),
    Fault("processors: files in another order of bytes", "portnn/io/files.py", 'astype(array.dtype.newbyteorder("<"), copy=False)', 'astype(array.dtype.newbyteorder(">"), copy=False)', "tests/integration/test_training_bits.py -k digests"),
    Fault("processors: two unpack one system", "scripts/processors.py", "    with PREPARING:", "    if True:", "tests/integration/test_processors.py"),
    Fault("processors: a difference that is not named", "scripts/processors.py", '("reproducible", "saved", "trained on")', '("reproducible", "saved")', "tests/integration/test_processors.py"),
    Fault("truth: drawn from other signs", f"{PROOF}/oracle.py", "rng.uniform(-1.0, 1.0, array.shape)).astype", "rng.uniform(-1.0, 1.0, array.shape) * rng.choice([-1, 1], array.shape)).astype", TRUTH),
    Fault("truth: the bounds of the worst case alone", f"{PROOF}/oracle.py", "for factor in (LAMBDA, math.inf)", "for factor in (math.inf, math.inf)", TRUTH),
    Fault("functions: whole numbers that nobody looks at", f"{PROOF}/functions.py", "if not np.array_equal(reference, result):", "if False:", "tests/equivalence/test_functions.py"),
    Fault("functions: no bound used", f"{PROOF}/functions.py", "    if len(dtypes) != 1:", "    if True:", "tests/equivalence/test_functions.py"),
    Fault("conformance: faults of one check hide the next", f"{PROOF}/conformance.py", '            yield f"{check.__name__.strip(\'_\')}: {type(error).__name__}: {error}"', "            return", "tests/equivalence/test_conformance.py"),
    # Data as people have them
    Fault("statistics that depend on what lies where", f"{DATA}/dataset.py", "np.ascontiguousarray(array[start:stop])", "np.asarray(array[start:stop])", "tests/integration/test_breadth.py"),
    Fault("layers: a least batch that a block forgets", f"{NN}/layers.py", "max(rows, shapes.min_batch_size)", "rows", "tests/integration/test_bad_input.py tests/test_options.py"),
    Fault("layers: buffers of a layer of one's own forgotten", "portnn/types.py", "cls(*result)", "cls(*result[:2])", "tests/test_options.py"),
    Fault("layers: the old name of a member not read", f"{NN}/layer.py", "setattr(cls, new[name], members[name])", "pass", "tests/test_options.py"),
    Fault("layers: whole numbers of before cast to floats", f"{NN}/layer.py", 'cls.input_dtype = "int32"', "pass", "tests/test_options.py"),
    Fault("losses: options that a file forgets", f"{NN}/losses.py", 'if key == "loss" or key in differing}', 'if key == "loss"}', "tests/test_registry.py"),
    Fault("losses: a sum of one's own taken for a mean", f"{NN}/losses.py", 'for name in ("mean", "labels", "inverse_link"):', 'for name in ("labels", "inverse_link"):', "tests/nn/test_nn.py tests/model/test_state.py tests/network/test_inference.py"),
    Fault("initializers: options that are not used", f"{NN}/initializers.py", "if isinstance(initializer, Initializer):\n        return initializer", "if isinstance(initializer, Initializer):\n        return type(initializer)()", "tests/test_registry.py"),
    Fault("files: an option that bears the name of a kind", "portnn/registry.py", '_ORDER = "layer", "optimizer"', '_ORDER = "initializer", "layer", "optimizer"', "tests/test_registry.py tests/io/test_files.py"),
    Fault("metrics: two of other options under one name", "portnn/metrics/base.py", 'if options else ""', 'if False else ""', "tests/test_registry.py tests/metrics/test_metrics.py"),
    Fault("names: an old one that a subclass defines, without effect", "portnn/deprecated.py", "setattr(cls, cls._renamed[old], vars(cls)[old])", "pass", "tests/train/test_callbacks.py tests/optim/test_optimizers.py"),
    Fault("names: an old one without a word", "portnn/deprecated.py", "    warnings.warn(f", "    str(f", "tests/train/test_callbacks.py"),
    Fault("names: the base's method, not the nearest, through super", "portnn/deprecated.py", "super(definers[-1], instance)", "super(cls.__mro__[-4], instance)", "tests/train/test_callbacks.py"),
    Fault("metrics: one's own of values, on labels", "portnn/metrics/selection.py", "checked = metric.regression_only or ", "checked = ", "tests/test_registry.py"),
    Fault("files: an option called function taken for the part", "portnn/registry.py", 'return component if callable(getattr(component, "function", None))', 'return component if hasattr(component, "function")', "tests/test_registry.py"),
    Fault("metrics: an option that is an array", "portnn/registry.py", "if repr(value) != repr(default)}", "if value != default}", "tests/test_registry.py"),
    Fault("names: an option taken for a method of before", "portnn/train/callbacks.py", "return new if callable(new) else None", "return new", "tests/train/test_callbacks.py"),
    Fault("names: an old option beside the new one, ignored", "portnn/deprecated.py", "        if renamed[old] in options:", "        if False:", "tests/test_deprecated.py"),
    Fault("files: old options unknown", "portnn/registry.py", "renamed_in_files(factory, {", "dict({", "tests/test_deprecated.py"),
    Fault("files: an old name unknown", "portnn/registry.py", "_KINDS[kind].renamed.get(config[kind], config[kind])", "config[kind]", "tests/test_deprecated.py"),
    Fault("checkpoint: old names taken for another fit", "portnn/train/checkpoint.py", "registry.with_current_names(saved_config.get(name))", "saved_config.get(name)", "tests/test_deprecated.py"),
    Fault("names: a field taken for a method of before", "portnn/deprecated.py", "                continue  # an option", "                pass  # an option", "tests/train/test_callbacks.py"),
    Fault("a copy that keeps the original alive", "portnn/network/base.py", "        other._backend = other._require_supported(home)\n", "        other._backend = other._require_supported(home)\n        other._origin = self._runtime\n", "tests/model/test_state.py"),
    Fault("metrics: options at the call without effect", "portnn/metrics/base.py", "type(self)(**options)(outputs, y, weight)", "self.score(outputs, y, weight)", "tests/metrics/test_metrics.py"),
    Fault("maps: classes of what is no number", "portnn/network/inference.py", ".blocks(x, rows, check)", ".blocks(x, rows)", "tests/data/test_memmap.py"),
    Fault("codes: any number taken for one", f"{NN}/embedding.py", "return tuple(size + 1 for size in self.num_embeddings)", "return ()", CODED),
    Fault("drift: a network that diverged does not show", f"{PROOF}/drift.py", "np.max(pairs, axis=1)", "np.nanmax(pairs, axis=1)", "tests/equivalence/test_drift.py"),
    Fault("drift: a share of the other one's norm", f"{PROOF}/drift.py", "max(float(np.linalg.norm(a)),", "max(float(np.linalg.norm(b)),", "tests/equivalence/test_drift.py"),
    Fault("drift: what is not finite drawn as equal", "portnn/plot/charts.py", "np.where(at == 0, zero, np.log10(np.where(at == 0, 1.0, at)))", "np.where(at > 0, np.log10(np.where(at > 0, at, 1.0)), zero)", "tests/equivalence/test_drift.py"),
    Fault("drift: that of fast arithmetic is left out", f"{PROOF}/report.py", "draw([*beside, *reports.values()], path)", "draw(reports.values(), path)", "tests/equivalence/test_drift.py"),
    Fault("noise: a correction of another size", f"{NN}/random.py", "* 169 + 1024", "* 150 + 1024", "tests/nn/test_random.py"),
    Fault("bounds: denormal numbers are what they are", "portnn/numerics/bounds.py", "np.where(size < float(np.finfo(array.dtype).smallest_normal), size, 0.0)", "0.0", "tests/numerics/test_bounds.py"),
    Fault("gradients: a kink nearby excuses what is wrong", "portnn/equivalence/derivatives.py", "if _is_tight(d, got, largest) and abs(", "if abs(", "tests/test_testing.py"),
    Fault("gradients: a loss is taken for 1", "portnn/equivalence/derivatives.py", "EPS * (abs(self.loss) + self.unit)", "EPS * max(abs(self.loss), 1.0)", "tests/test_testing.py"),
    Fault("gradients: what rounding hides passes", "portnn/equivalence/derivatives.py", "hidden = largest * max(scales) > HIDDEN * sizes.influence", "hidden = False", "tests/test_testing.py"),
    Fault("gradients: a wide difference is trusted against narrow ones", "portnn/equivalence/derivatives.py", "truncation = max(truncation, contradicted, abs(slope - narrower[-1].slope))", "pass", "tests/test_testing.py"),
    Fault("gradients: probabilities without a unit", "portnn/equivalence/derivatives.py", "unit = 0.0 if runtime.model.loss.pair is None else 1.0", "unit = 0.0", "tests/test_testing.py"),
    Fault("gradients: a curve taken for a kink", "portnn/equivalence/derivatives.py", "if not narrower or abs(gap - 10 * narrower[-1].gap) > 0.1 * gap:", "if True:", "tests/test_testing.py"),
    Fault("gradients: NaN that was not drawn", "portnn/equivalence/derivatives.py", "if not np.isfinite(largest):", "if False:", "tests/test_testing.py"),
    Fault("a pickled backend that cannot run", "portnn/backend/protocol.py", "    if not available:\n", "    if False:\n", "tests/backend/test_backend.py -k pickled"),
    Fault("gradients: a kink anywhere is one here", "portnn/equivalence/derivatives.py", "return persists and min(sides)", "return min(sides)", "tests/test_testing.py"),
    Fault("drift: little differences shown as none", f"{PROOF}/drift.py", "relative if relative or np.array_equal(a, b) else tiny", "relative", "tests/equivalence/test_drift.py"),
]  # fmt: skip


def first_failure(folder: Path, tests: str) -> str:
    """Return the first of the tests that fails in the copy; empty if none does."""
    # Nothing compiled is kept: a fault of a file's size and second would not be seen.
    environment = {**os.environ, "PYTHONPATH": str(folder / "tests"), "PYTHONDONTWRITEBYTECODE": "1"}
    named, _, chosen = tests.partition(" -k ")
    command = [sys.executable, "-m", "pytest", "-m", "", "-x", "-q", "-rfE", "-p", "no:cacheprovider"]
    command += [*named.split(), "-k", chosen or "not torch and not jax"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", result.stdout, re.MULTILINE)
    return failed[1] if failed else f"pytest ended with {result.returncode}: {(result.stdout + result.stderr)[-500:]}"


def seen_by(folders: "SimpleQueue[Path]", fault: Fault) -> str:
    """Plant the fault in a copy, return the test that sees it, and take it out again."""
    folder = folders.get()
    path = folder / fault.file
    sound = path.read_text()
    try:
        if sound.count(fault.text) != 1:
            return f"STALE: {fault.file} has its text {sound.count(fault.text)} times"
        path.write_text(sound.replace(fault.text, fault.replacement))
        return first_failure(folder, fault.tests) or "SURVIVED"
    finally:
        path.write_text(sound)
        folders.put(folder)


def without_fault(folders: "SimpleQueue[Path]", tests: str) -> str:
    """Return what is red in a copy without any fault."""
    folder = folders.get()
    try:
        return first_failure(folder, tests)
    finally:
        folders.put(folder)


def main(arguments: Sequence[str]) -> int:
    words = [word for word in arguments if word != "--quick"]
    chosen = [fault for fault in FAULTS if all(word in fault.description for word in words)]
    chosen = chosen[:: -(-len(chosen) // QUICK)] if "--quick" in arguments else chosen
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(WORKERS) as pool:
        folders: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            folder = Path(scratch) / str(number)
            shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
            folders.put(folder)
        red = list(filter(None, pool.map(partial(without_fault, folders), sorted({fault.tests for fault in chosen}))))
        if red:
            print(f"red without any fault: {', '.join(red)}")
            return 1
        missed = 0
        found = pool.map(partial(seen_by, folders), chosen)
        for fault, by in tqdm(zip(chosen, found, strict=True), total=len(chosen), unit="fault"):
            missed += by.startswith(("SURVIVED", "STALE"))
            tqdm.write(f"{fault.description}: {by}")
    print(f"{len(chosen) - missed} of {len(chosen)} faults seen")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
