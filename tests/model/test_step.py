"""A batch in parts, buffers that training changes, frozen layers, shapes and whole numbers as inputs."""

import threading

import numpy as np
import pytest

from portnn import (
    ArgumentError,
    BatchNorm,
    DataError,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    NeuralNetwork,
    Residual,
    ShapeError,
)
from portnn.backend import get_backend, host_array
from portnn.types import ForwardContext

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((46, 6)), RNG.integers(0, 3, 46)


def classifier(*layers, **options):
    options = {"output": "softmax", "loss": "cross_entropy", "seed": 0, **options}
    return NeuralNetwork(6, *layers, 3, **options)


class Parts:
    """Adds arrays up over threads, in the order of the parts: each waits for all."""

    def __init__(self, count):
        self.barrier, self.arrays = threading.Barrier(count, timeout=20), [None] * count

    def of(self, index):
        def all_reduce(array):
            self.arrays[index] = array
            self.barrier.wait()
            total = self.arrays[0]
            for other in self.arrays[1:]:
                total = total + other
            self.barrier.wait()
            return total

        return all_reduce


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_batch_in_parts(count):
    """The same masks, the whole's loss and gradients within their rounding, one set of running statistics."""
    net = classifier(Dense(16), BatchNorm(), "relu", Dropout(0.4), GaussianNoise(0.1), dtype="float64")
    runtime, data = net.prepare(X, LABELS)
    model, xp = runtime.model, runtime.xp
    edges = [round(len(X) * i / count) for i in range(count + 1)]
    parts, results, masks = Parts(count), [None] * count, {}

    def hook(place, what, array):
        if (place, what) == (3, "output"):
            masks[threading.get_ident()] = array == 0
        return array

    def run(i):
        rows = slice(edges[i], edges[i + 1])
        mode = ForwardContext(training=True, key=runtime.key, row=edges[i], rows=len(X), all_reduce=parts.of(i))
        batch = data.x[rows], data.y[rows], 1.0 / len(X)
        results[i] = *model.gradients(xp, runtime.state, batch, mode, hook), masks.pop(threading.get_ident())

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batch = data.x, data.y, 1.0 / len(X)
    loss, gradient, buffers = model.gradients(
        xp, runtime.state, batch, ForwardContext(training=True, key=runtime.key), hook
    )
    np.testing.assert_array_equal(np.concatenate([mask for *_, mask in results]), masks[threading.get_ident()])
    # Sums of at most 46 terms of order one, through four layers.
    np.testing.assert_allclose(sum(result[0] for result in results), loss, rtol=1e-13)
    np.testing.assert_allclose(sum(result[1] for result in results), gradient, rtol=1e-11, atol=1e-14)
    for result in results:
        np.testing.assert_allclose(result[2], buffers, rtol=1e-13)
    assert not np.array_equal(buffers, runtime.state.buffers)


def test_running_statistics_are_learnt_kept_and_used(backend, tmp_path):
    net = classifier(Dense(8, bias=False), BatchNorm(momentum=0.5), "relu", backend=backend)
    assert net.parameters["b1"].shape == (3,)  # the first layer's bias would be taken away again: it has none
    start = net.fingerprint()
    net.gradients(X, LABELS)
    assert net.fingerprint() == start
    x, mean, var = X * 4 + 3, np.zeros(8), np.ones(8)
    for rows in (slice(0, 30), slice(30, 46)):
        hidden = x[rows] @ host_array(net.parameters["W1"])
        net.fit(x[rows], LABELS[rows], batch_size=None)
        mean, var = 0.5 * (mean + hidden.mean(axis=0)), 0.5 * (var + hidden.var(axis=0, ddof=1))
    np.testing.assert_allclose(host_array(net.buffers["running_mean1"]), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(host_array(net.buffers["running_var1"]), var, rtol=1e-5)
    alone = np.concatenate([host_array(net.predict(x[i : i + 1])) for i in range(5)])
    np.testing.assert_allclose(alone, host_array(net.predict(x))[:5], rtol=1e-4, atol=1e-5)
    net.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m", backend=backend)
    assert other.fingerprint() == net.fingerprint()
    other._runtime.assign({"running_mean1": np.zeros(8)}, "buffers")
    assert other.fingerprint() != net.fingerprint()


def test_a_batch_of_one_is_refused_before_anything_is_trained(backend):
    net = classifier(Dense(8, bias=False), BatchNorm(), backend=backend)
    start = net.fingerprint()
    for data in ((X[:1], LABELS[:1]), (X[:9], LABELS[:9])):
        with pytest.raises(ShapeError, match=r"batch_size: .* at least 2 rows .* got a last batch of 1"):
            net.fit(*data, batch_size=4)
    with pytest.raises(ShapeError, match="at least 2 rows"):
        net.step(X[:1], LABELS[:1])
    assert net.fingerprint() == start
    assert net.step_count == 0
    net.fit(X[:10], LABELS[:10], batch_size=4)
    with pytest.raises(ShapeError, match="at least 2 rows"):
        classifier(Residual((BatchNorm(), 6))).fit(X[:9], LABELS[:9], batch_size=4)


def test_a_frozen_layer_stays_and_starts_as_it_would(backend, tmp_path):
    frozen = classifier(Dense(8, trainable=False), "relu", backend=backend, optimizer="adamw")
    free = classifier(Dense(8), "relu", backend=backend)
    start = {name: host_array(value) for name, value in frozen.parameters.items()}
    assert list(start) == ["W1", "b1", "W2", "b2"]
    for name, value in free.parameters.items():
        np.testing.assert_array_equal(host_array(value), start[name])
    assert set(frozen.gradients(X, LABELS)[1]) == {"W2", "b2"}
    frozen.fit(X, LABELS, epochs=3)
    for name, value in frozen.parameters.items():
        assert np.array_equal(host_array(value), start[name]) == (name in ("W1", "b1"))
    frozen.set_parameters({"W1": np.ones((6, 8)), "b2": np.ones(3)})
    frozen.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m", backend=backend)
    np.testing.assert_array_equal(host_array(other.parameters["W1"]), np.ones((6, 8)))
    assert other.fingerprint() == frozen.fingerprint()


def test_a_frozen_batch_norm_uses_what_it_has():
    net = classifier(Dense(8), BatchNorm(trainable=False), "relu")
    net.fit(X, LABELS, epochs=2)
    np.testing.assert_array_equal(net.buffers["running_mean1"], np.zeros(8))


def test_codes(backend):
    """Whole numbers of any kind; those out of range are refused, or give no finite loss where nobody looks."""
    codes = np.random.default_rng(3).integers(0, 5, (30, 3))
    y = (codes == 2).sum(axis=1, keepdims=True).astype(float)
    nets = [NeuralNetwork(3, Embedding(5, 4), Flatten(), 16, 1, seed=0, backend=backend) for _ in range(2)]
    nets[0].fit(codes, y, epochs=150, batch_size=None)
    nets[1].fit(codes.astype(np.float64), y, epochs=150, batch_size=None)
    assert nets[0].fingerprint() == nets[1].fingerprint()
    assert nets[0].evaluate(codes, y)["loss"] < 0.2 * y.var()
    for bad in (5, -1, 0.5, np.nan):
        wrong = codes.astype(float)
        wrong[7, 1] = bad
        for call in (lambda: nets[0].predict(wrong), lambda: nets[0].step(wrong, y), lambda: nets[0].fit(wrong, y)):  # noqa: B023
            with pytest.raises(DataError, match=r"x: expected whole numbers below 5 .* at \(7, 1\)"):
                call()
    adapter = get_backend(backend)
    for bad in (9, 1.5, np.nan):  # of the backend's own too; a step alone does not wait for a device to look
        with adapter.scope():
            here = adapter.asarray(np.where(codes == 2, bad, codes))
        with pytest.raises(DataError, match="x: expected whole numbers below 5"):
            nets[0].predict(here)
        if adapter.device.lower().startswith("cpu"):
            with pytest.raises(DataError, match="x: expected whole numbers below 5"):
                nets[0].gradients(here, y)
        elif bad == 9:
            assert not np.isfinite(float(host_array(nets[0].gradients(here, y)[0])))


def test_images_and_misplaced_layers():
    images = RNG.random((12, 1, 4, 5))
    net = NeuralNetwork((1, 4, 5), BatchNorm(), Flatten(), 8, 3, output="softmax", loss="cross_entropy", seed=0)
    net.fit(images, RNG.integers(0, 3, 12), epochs=2)
    assert net.predict(images).shape == (12, 3)
    assert net.buffers["running_mean1"].shape == (1,)
    with pytest.raises(ShapeError, match=r"\(rows, 1, 4, 5\)|features"):
        net.predict(images[:, :, :3])
    for layers, error, message in (
        (((1, 4, 5), 8, 3), ShapeError, r"Flatten\(\)"),
        ((6, 8, Embedding(4, 2), 3), ArgumentError, "must be the first layer"),
        ((6, Residual((5,)), 3), ShapeError, "keeps the shape"),
        (((6, 0), 3), ArgumentError, "units: expected a positive int"),
    ):
        with pytest.raises(error, match=message):
            NeuralNetwork(*layers)

    with pytest.raises(ArgumentError, match="cannot be in a block"):
        Residual((Embedding(3, 3),))


def test_layers_in_a_block_draw_bits_of_their_own():
    twice = Residual((Dropout(0.5), Dropout(0.5)))
    y, _ = twice.forward(get_backend("numpy").xp, {}, np.ones((400, 50)), ForwardContext(training=True, key=(1, 2)))
    kept = np.mean(y > 1)
    assert abs(kept - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 20_000)
