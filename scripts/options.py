#!/usr/bin/env python
"""Print docs/reference/options.md: everything that has a name, from its docstring."""

import dataclasses
import inspect
from collections.abc import Mapping

from portnn.callbacks import CSVLogger, EarlyStopping, ReduceOnPlateau
from portnn.metrics import METRICS
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.initializers import INITIALIZERS
from portnn.nn.layers import LAYERS
from portnn.nn.losses import LOSSES
from portnn.optim.optimizers import OPTIMIZERS
from portnn.optim.schedules import SCHEDULES
from portnn.train.checkpoint import Checkpoint

OF_ALL = (
    "`optimizer=`, by name or as an object; `learning_rate=` goes before its own. Each takes, by name: `weight_decay` "
    "(decoupled), `l1` and `l2` (penalties' gradients), all three for weights alone; `clip_norm` or `clip_value`; "
    "`average` (an exponential moving average of the parameters, for `net.averaged()`)."
)


def described(thing: object) -> str:
    """Return the first paragraph of a docstring on one line."""
    text = inspect.getdoc(thing) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def called(name: str, thing: object) -> str:
    """Return how a thing is written: layers and optimizers with their arguments."""
    if not isinstance(thing, type) or not dataclasses.is_dataclass(thing):
        return f"`{name}`"
    arguments = [
        field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default!r}"
        for field in dataclasses.fields(thing)
        if not field.kw_only or (field.name == "weight_decay" and field.default)
    ]
    call = f"{thing.__name__}({', '.join(arguments)})"
    return f"`{call}`" if name == thing.__name__ else f'`"{name}"`, `{call}`'


def section(title: str, how: str, table: Mapping[str, object]) -> list[str]:
    rows = [f"| {called(name, thing)} | {described(thing)} |" for name, thing in table.items()]
    return [f"## {title}", "", how, "", "| | |", "|---|---|", *rows, ""]


def page() -> str:
    """Return the page."""
    lines = [
        "# Options",
        "",
        "All that has a name, from its docstring; CONTRIBUTING.md says how to add to each. This page is made by",
        "`python scripts/options.py > docs/reference/options.md`.",
        "",
        *section(
            "Layers", 'Objects among the widths: `NeuralNetwork(64, Standardize(), Dense(128), "tanh", 10)`.', LAYERS
        ),
        *section(
            "Activations",
            "`activation=` after each hidden width, `output=` at the end, or a name among the layers.",
            ACTIVATIONS,
        ),
        *section(
            "Losses",
            "`loss=`, by name (without one: mse), as `portnn.losses.Huber(delta=2.0)`, or a `Loss` of your own.",
            LOSSES,
        ),
        *section("Optimizers", OF_ALL, OPTIMIZERS),
        *section(
            "Schedules",
            "`learning_rate=portnn.schedules.Cosine(0.1, steps=1000)`: the rate of each step, counted from 0.",
            SCHEDULES,
        ),
        *section(
            "Initializers",
            '`initializer=`, or that of one `Dense`, by name or as `initializers.Normal(std=0.02)`; "auto" suits the '
            "activation that follows.",
            INITIALIZERS,
        ),
        *section(
            "Metrics",
            "`metrics=[...]` of `fit` and `evaluate`, by name or as `metrics.TopK(k=3)`; any "
            'scorer of scikit-learn by its name (`"neg_log_loss"`), where it is installed.',
            METRICS,
        ),
        *section(
            "Callbacks",
            "`callbacks=[...]` of `fit`, from `portnn.callbacks`; `portnn.Checkpoint` is for `checkpoint=`.",
            {kind.__name__: kind for kind in (EarlyStopping, ReduceOnPlateau, CSVLogger, Checkpoint)},
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
