"""Bad input: each gives one clear PortnnError that names the argument, and changes nothing."""

import numpy as np
import pytest

import portnn
from portnn import (
    ArgumentError,
    BackendUnavailableError,
    DataError,
    Dense,
    DTypeError,
    NeuralNetwork,
    ShapeError,
    Standardize,
    get_backend,
)

X, Y = np.ones((6, 3)), np.zeros((6, 2))
LABELS = np.array([0, 1, 0, 1, 0, 1])


def mse(**options):
    return NeuralNetwork(3, 4, 2, seed=0, **options)


def classifier(**options):
    return NeuralNetwork(3, 4, 2, seed=0, output="softmax", loss="cross_entropy", **options)


def replaced(value):
    x = X.copy()
    x[2, 1] = value
    return x


CASES = {
    "one-dimensional x": (mse, np.ones(3), Y, ShapeError, "x: expected .rows, features"),
    "wrong width of x": (mse, np.ones((6, 4)), Y, ShapeError, r"x: expected \(rows, 3\)"),
    "wrong width of y": (mse, X, np.zeros((6, 3)), ShapeError, r"y: expected shape \(6, 2\)"),
    "one-dimensional y": (mse, X, np.zeros(6), ShapeError, r"y: expected shape \(6, 2\)"),
    "wrong rows of y": (mse, X, np.zeros((5, 2)), ShapeError, "y: expected 6 rows"),
    "no rows": (mse, np.ones((0, 3)), np.zeros((0, 2)), DataError, "at least one row"),
    "complex": (mse, X * 1j, Y, DTypeError, "x: expected real numbers; got dtype complex128"),
    "object": (mse, X.astype(object), Y, DTypeError, "x: expected real numbers; got dtype object"),
    "text": (mse, X.astype(str), Y, DTypeError, "x: expected real numbers"),
    "None": (mse, None, Y, DTypeError, "x: expected real numbers"),
    "ragged": (mse, [[1.0, 2.0, 3.0], [1.0]], Y, DataError, "ragged"),
    "nan": (mse, replaced(np.nan), Y, DataError, "x: expected finite numbers .* in row 2, column 1$"),
    "infinity": (mse, replaced(-np.inf), Y, DataError, "x: expected finite numbers"),
    "beyond float32": (mse, replaced(1e300), Y, DataError, "float32's range"),
    "nan in y": (mse, X, np.full((6, 2), np.nan), DataError, "y: expected finite numbers"),
    "integers without a loss": (mse, X, LABELS, DTypeError, 'loss="cross_entropy"'),
    "labels too large": (classifier, X, LABELS + 1, DataError, r"labels in 0..1; got 2"),
    "labels below zero": (classifier, X, LABELS - 1, DataError, r"labels in 0..1; got -1"),
    "floating labels": (classifier, X, LABELS * 1.0, DTypeError, "integer class labels"),
    "no distribution": (classifier, X, np.full((6, 2), 0.9), DataError, "sum to 1"),
    "masked x": (mse, np.ma.masked_greater(replaced(5.0), 4), Y, DataError, "x: expected a value .* 1 of 18 masked"),
    "masked y": (mse, X, np.ma.masked_less(Y, 1), DataError, "y: expected a value .* 12 of 12 masked"),
    "a generator": (
        mse,
        (row for row in X),
        Y,
        DTypeError,
        r"x: .* got generator: give batches of \(x, y\) to fit alone",
    ),
    "a mapping": (mse, {"a": X}, Y, DTypeError, "x: expected real numbers in an array, .*; got dict$"),
    "a file's name": (mse, "data.csv", Y, DTypeError, "x: expected real numbers in an array, .*; got str$"),
    "no y": (mse, X, None, ArgumentError, r"y: expected targets, or batches of \(x, y\) for x; got"),
    "records": (mse, np.zeros(6, [("a", "f4"), ("b", "f8")]), Y, DTypeError, "x: expected real numbers; got dtype"),
    "negative probability": (classifier, X, np.tile([2.0, -1.0], (6, 1)), DataError, r"targets in \[0, 1\]"),
}


@pytest.mark.parametrize("case", CASES)
def test_fit(backend, case):
    make, x, y, error, message = CASES[case]
    net = make(backend=backend)
    before = net.fingerprint()
    with pytest.raises(error, match=message) as caught:
        net.fit(x, y)
    assert isinstance(caught.value, portnn.PortnnError)
    assert net.fingerprint() == before
    assert net.step_count == 0


@pytest.mark.parametrize("row", range(6))
def test_every_row_is_looked_at(row, backend, monkeypatch):
    """However many are looked at together: here two, so that the last block is whole, and four, so that it is not."""
    x = X.copy()
    x[row, 1] = np.nan
    for block in (6, 12):
        monkeypatch.setattr("portnn.data.arrays.BLOCK", block)
        with pytest.raises(DataError, match=f"in row {row}, column 1$"):
            mse(backend=backend).fit(x, Y)


@pytest.mark.parametrize("method", ["fit", "step", "gradients"])
def test_data_that_cannot_be_used_decide_nothing(method):
    """Neither widths nor backend are taken from data that are refused."""
    pytest.importorskip("array_api_strict")
    x = get_backend("array_api_strict").asarray(np.ones((6, 5)))
    net = NeuralNetwork(seed=0)
    with pytest.raises(ShapeError):
        getattr(net, method)(x, np.zeros((5, 2)))
    assert net.backend == "numpy:cpu"
    assert net.summary() == NeuralNetwork(seed=0).summary()
    net.fit(X, Y)
    assert net.parameters["W1"].shape == (3, 100)
    placed = mse()
    with pytest.raises(ShapeError):
        getattr(placed, method)(x, Y)
    assert placed.backend == "numpy:cpu"


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0.0, 1.0, np.nan, 0.0, 1.0, 0.0], DTypeError, "y: expected integer class labels .* got dtype float64"),
        ([["a"]] * 6, DTypeError, "y: expected real numbers; got dtype <U1"),
    ],
)
def test_labels_that_the_width_is_inferred_from(labels, error, message):
    net = NeuralNetwork(output="softmax", loss="cross_entropy", seed=0)
    with pytest.raises(error, match=message):
        net.fit(X, labels)
    assert net.summary() == NeuralNetwork(output="softmax", loss="cross_entropy", seed=0).summary()


def test_loaders_are_batches_by_themselves():
    data = pytest.importorskip("torch.utils.data")
    import torch

    loader = data.DataLoader(data.TensorDataset(torch.tensor(X)))
    for method in ("fit", "step", "gradients", "evaluate"):
        with pytest.raises(DTypeError, match=r"x: .* got DataLoader: give batches of \(x, y\) to fit alone, without y"):
            getattr(mse(), method)(loader, Y)
    loader = data.DataLoader(data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=4)
    one, other = mse(), mse(backend="numpy")
    one.fit(X, Y, batch_size=4, shuffle=False)
    other.fit(loader)
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("method", ["predict", "predict_classes", "forward"])
def test_masked_arrays_are_not_predicted(method):
    with pytest.raises(DataError, match="x: expected a value in every place; got 3 of 18 masked"):
        getattr(classifier(), method)(np.ma.masked_array(X, np.arange(18).reshape(6, 3) < 3))
    whole = np.ma.masked_array(X, False)
    np.testing.assert_array_equal(classifier().predict(whole), classifier().predict(X))


@pytest.mark.parametrize("method", ["predict", "predict_classes"])
def test_batches_of_prediction(method):
    for size in (0, -1, 2.5):
        with pytest.raises(ArgumentError, match="batch_size: expected a positive int"):
            getattr(classifier(), method)(X, batch_size=size)


def test_labels_out_of_range_in_a_step():
    with pytest.raises(DataError, match="labels"):
        classifier().step(X, LABELS + 1)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((3, 4, 1), {"backend": "nmpy"}, ArgumentError, "backend: expected one of .*numpy.* got 'nmpy'"),
        ((3, 4, 1), {"activation": "rleu"}, ArgumentError, "activation: expected one of .*relu.* got 'rleu'"),
        ((3, 4, 1), {"output": "max"}, ArgumentError, "output: expected"),
        ((3, 4, 1), {"loss": "mae2"}, ArgumentError, "loss: expected one of"),
        ((3, 4, 1), {"optimizer": "admm"}, ArgumentError, "optimizer: expected one of sgd, adagrad"),
        ((3, 4, 1), {"learning_rate": -1.0}, ArgumentError, "learning_rate: expected"),
        ((3, 4, 1), {"initializer": "hee"}, ArgumentError, "initializer: expected"),
        ((3, 4, 1), {"dtype": "float16"}, DTypeError, "dtype: expected 'float32'"),
        ((3, 4, 1), {"dtype": np.dtype("float32")}, DTypeError, "dtype: expected 'float32'"),
        ((3, 4, 1), {"dtype": np.float32}, DTypeError, "dtype: expected 'float32'"),
        ((3, 4, 1), {"seed": -1}, ArgumentError, "seed: expected"),
        ((3, 4, 1), {"device": "cuda:0"}, ArgumentError, "device: needs a backend"),
        ((3, 4, 1), {"backend": "numpy:1"}, ArgumentError, "numpy runs on cpu"),
        ((3, 4, 1), {"loss": "cross_entropy"}, ArgumentError, 'needs output="softmax"'),
        ((3,), {}, ArgumentError, "at least an input and an output width"),
        ((3, 0, 1), {}, ArgumentError, "units: expected a positive int; got 0"),
        ((3, 2.5, 1), {}, ArgumentError, "layers: expected"),
        ((True, 4, 1), {}, ArgumentError, "units: expected a positive int; got True"),
        ((3, 4, "rleu"), {}, ArgumentError, "layers: expected one of"),
        ((3, 4, 1, "tanh"), {"output": "sigmoid"}, ArgumentError, "the last layer is 'tanh' already"),
        ((3, Dense(4), Standardize(), 1), {}, ArgumentError, "Standardize must be the first"),
    ],
)
def test_constructor(arguments, options, error, message):
    with pytest.raises(error, match=message):
        NeuralNetwork(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ArgumentError, "epochs: expected a positive int"),
        ({"batch_size": -1}, ArgumentError, "batch_size: expected a positive int"),
        ({"metrics": ["acuracy"]}, ArgumentError, "metrics: expected one of"),
        ({"metrics": "mae"}, ArgumentError, "metrics: expected a list of names; got 'mae'"),
        ({"validation": 1.5}, ArgumentError, "validation: expected a share"),
        ({"validation": (X, Y[:3])}, ShapeError, "validation y: expected 6 rows"),
        ({"sample_weight": [1, 2]}, ShapeError, "sample_weight: expected shape"),
        ({"sample_weight": [-1, 1, 1, 1, 1, 1]}, DataError, "none below 0"),
        ({"sample_weight": np.zeros(6)}, DataError, "sample_weight: expected .* not all 0"),
        ({"sample_weight": [np.nan] * 6}, DataError, "sample_weight: expected finite numbers"),
        ({"sample_weight": ["a"] * 6}, DTypeError, "sample_weight: expected real numbers; got dtype <U1"),
        (
            {"sample_weight": {0: 5}},
            ArgumentError,
            "sample_weight: weights of classes need class labels; got targets that",
        ),
        ({"sample_weight": np.ma.masked_equal([1, 2, 3, 1, 2, 3], 3)}, DataError, "sample_weight: .* 2 of 6 masked"),
        ({"sample_weight": (w for w in range(6))}, DTypeError, "sample_weight: expected real numbers .* got generator"),
        ({"validation": (X,)}, ArgumentError, r"validation: expected \(x, y\) or a share; got 1 items"),
        ({"validation": (X, Y, Y)}, ArgumentError, r"validation: expected \(x, y\) or a share; got 3 items"),
        ({"validation": "0.1"}, ArgumentError, "validation: expected a share .* got '0.1' of 6 rows"),
        ({"validation": 1}, ArgumentError, "validation: expected a share .* got 1 of 6 rows"),
        ({"validation": True}, ArgumentError, "validation: expected a share .* got True of 6 rows"),
        ({"validation": np.ones((6, 3))}, ArgumentError, "validation: expected a share .* got ndarray of 6 rows"),
        ({"validation": {"x": X}}, ArgumentError, "validation: expected a share .* got dict of 6 rows"),
    ],
)
def test_options_of_fit(options, error, message):
    net = mse()
    before = net.fingerprint()
    with pytest.raises(error, match=message):
        net.fit(X, Y, **options)
    assert net.fingerprint() == before


def test_metrics_of_values_are_refused_for_labels():
    for method in ("fit", "evaluate"):
        with pytest.raises(ArgumentError, match="'r2' is for targets that are values; got class labels"):
            getattr(classifier(), method)(X, LABELS, metrics=["r2"])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"W3": np.ones((3, 4))}, ArgumentError, "parameters: expected one of W1, b1, W2, b2; got 'W3'"),
        ({"W1": np.ones((4, 3))}, ShapeError, r"parameters\['W1'\]: expected shape \(3, 4\); got \(4, 3\)"),
        ({"b1": np.zeros(4), "W1": np.full((3, 4), np.nan)}, DataError, "finite"),
        ({"W1": np.ones((3, 4), complex)}, DTypeError, "real numbers"),
        ({"b1": np.ma.masked_less(np.arange(4.0), 1)}, DataError, r"parameters\['b1'\]: .* 1 of 4 masked"),
    ],
)
def test_set_parameters(backend, values, error, message):
    net = mse(backend=backend)
    before = net.fingerprint()
    with pytest.raises(error, match=message):
        net.set_parameters(values)
    assert net.fingerprint() == before


def test_nan_is_seen_at_prediction():
    net = classifier()
    outputs = net.predict(replaced(np.nan))
    assert np.isnan(outputs[2]).all()
    assert np.isfinite(np.delete(outputs, 2, axis=0)).all()
    with pytest.raises(DataError, match="finite"):
        net.predict_classes(replaced(np.nan))


def test_a_missing_backend_is_refused_and_names_the_mend():
    info = {i.name: i for i in portnn.available_backends()}["cupy"]
    if info.available:
        pytest.skip("cupy: available here")
    with pytest.raises(BackendUnavailableError, match=r"cupy.*(CUDA|pip install)") as caught:
        NeuralNetwork(backend="cupy")
    assert isinstance(caught.value, ImportError)


def test_auto_says_which(caplog):
    info = {i.name: i for i in portnn.available_backends()}["cupy"]
    chosen = get_backend("auto")
    assert chosen.name == ("cupy" if info.available else "numpy")
    if not info.available:
        assert "using numpy" in caplog.text


@pytest.mark.parametrize("name", ["torch:cuda:99", "jax:cpu:99", "array_api_strict:device9"])
def test_unknown_devices(name):
    pytest.importorskip(name.partition(":")[0])
    with pytest.raises(ArgumentError, match=r"device: .* has"):
        NeuralNetwork(3, 1, backend=name)


def test_float64_is_refused_where_the_device_has_none():
    pytest.importorskip("array_api_strict")
    with pytest.raises(DTypeError, match=r'no float64; use dtype="float32"'):
        NeuralNetwork(3, 1, backend="array_api_strict:no_float64", dtype="float64")
