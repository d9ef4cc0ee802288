"""Model files and pickled weights: whole or refused, never half-written."""

import os
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from portnn import (
    SGD,
    ArgumentError,
    BackendUnavailableError,
    DTypeError,
    NeuralNetwork,
    SerializationError,
    Standardize,
    available_backends,
    read_pickled_weights,
)

X, Y = np.random.default_rng(0).random((20, 3)), np.random.default_rng(1).integers(0, 2, 20)


def trained(**options):
    net = NeuralNetwork(3, Standardize(), 5, "tanh", 2, output="softmax", loss="cross_entropy", seed=3, **options)
    net.fit(X, Y, epochs=3)
    return net


def test_round_trip_goes_on_where_it_stopped(backend, tmp_path):
    net = trained(backend=backend)
    net.metadata["note"] = ["any", 1]
    net.save(tmp_path / "m.safetensors")
    other = NeuralNetwork.load(tmp_path / "m.safetensors", backend=backend)
    assert other.fingerprint() == net.fingerprint()
    assert other.metadata == net.metadata
    assert (other.step_count, other.epoch_count, other.seed) == (net.step_count, net.epoch_count, 3)
    straight, resumed = net.fit(X, Y, epochs=2).loss, other.fit(X, Y, epochs=2).loss
    # The compiled step of JAX may round otherwise than its eager first one.
    np.testing.assert_allclose(resumed, straight, rtol=1e-5)
    if backend != "jax":
        assert other.fingerprint() == net.fingerprint()


def test_equal_networks_give_equal_bytes(backend, tmp_path):
    for name in "ab":
        trained(backend="numpy").to(backend).save(tmp_path / name)
    trained(backend="numpy").save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_settings_are_kept(tmp_path):
    net = NeuralNetwork(3, 4, 1, activation="sigmoid", optimizer=SGD(0.25, momentum=0.5), dtype="float64", bias=False)
    net.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m")
    assert other.optimizer == net.optimizer
    assert other.architecture == net.architecture
    assert (other.loss, other.dtype, other.seed) == (net.loss, net.dtype, net.seed)


def test_what_is_still_to_be_learnt_is_kept(tmp_path):
    """Neither a network that has learnt to standardise nor one that has not takes the other's part when it is read."""
    x = X * 1000 + 500
    net = NeuralNetwork(3, Standardize(), 2, seed=0)
    for data in (x, X):
        net.save(tmp_path / "m")
        read = NeuralNetwork.load(tmp_path / "m")
        net.fit(data, data[:, :2])
        read.fit(data, data[:, :2])
        assert read.fingerprint() == net.fingerprint()


def test_counters_are_kept(tmp_path):
    """Steps, epochs, and the steps of an optimizer that took over later."""
    net = trained()
    net.optimizer = SGD(0.1, momentum=0.5)
    net.optimizer = "adam"
    net.step(X, Y)
    net.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m")
    assert other._runtime.counters == net._runtime.counters == (4, 3, 1)
    net.step(X, Y)
    other.step(X, Y)
    assert other.fingerprint() == net.fingerprint()


@pytest.mark.parametrize("length", [0, 4, 100, 900, -1])
def test_truncated(tmp_path, length):
    trained().save(tmp_path / "m")
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:length])
    with pytest.raises(SerializationError, match="truncated or foreign"):
        NeuralNetwork.load(tmp_path / "m")


def test_foreign(tmp_path):
    (tmp_path / "text").write_text("not a model at all, but long enough to have a header")
    with pytest.raises(SerializationError, match="foreign"):
        NeuralNetwork.load(tmp_path / "text")
    save_file({"W1": np.ones((3, 2))}, tmp_path / "tensors")
    with pytest.raises(SerializationError, match="without its description"):
        NeuralNetwork.load(tmp_path / "tensors")
    with pytest.raises(FileNotFoundError):
        NeuralNetwork.load(tmp_path / "absent")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"format": 3', b'"format": 9'), (b'"units": 5', b'"units": 6'), (b"tanh", b"tanj"), (b"adam", b"adom")],
)
def test_files_that_contradict_themselves(tmp_path, old, new):
    trained().save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    old, new = old.replace(b'"', b'\\"'), new.replace(b'"', b'\\"')
    assert old in content
    (tmp_path / "m").write_bytes(content.replace(old, new))
    with pytest.raises(SerializationError):
        NeuralNetwork.load(tmp_path / "m")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m"
    trained().save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        trained(learning_rate=0.1).save(path)
    monkeypatch.undo()
    net = trained()
    net.metadata["bad"] = object()
    with pytest.raises(SerializationError, match="JSON"):
        net.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_a_mistyped_backend_is_not_the_files_fault(tmp_path):
    trained(dtype="float64").save(tmp_path / "m")
    with pytest.raises(ArgumentError, match="backend: expected one of"):
        NeuralNetwork.load(tmp_path / "m", backend="nmpy")
    with pytest.raises(ArgumentError, match="device: numpy runs on cpu"):
        NeuralNetwork.load(tmp_path / "m", backend="numpy", device="gpu")
    if not next(info for info in available_backends() if info.name == "cupy").available:
        with pytest.raises(BackendUnavailableError):
            NeuralNetwork.load(tmp_path / "m", backend="cupy")
    pytest.importorskip("array_api_strict")
    with pytest.raises(DTypeError, match="no float64"):
        NeuralNetwork.load(tmp_path / "m", backend="array_api_strict:no_float64")


def test_a_link_stays_a_link_and_a_file_keeps_its_mode(tmp_path):
    (tmp_path / "models").mkdir()
    real, link = tmp_path / "models" / "real", tmp_path / "link"
    link.symlink_to(real)
    trained().save(link)  # a link to nothing yet
    assert link.is_symlink()
    os.chmod(real, 0o640)
    trained(learning_rate=0.1).save(link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert NeuralNetwork.load(real).learning_rate == 0.1
    assert os.listdir(tmp_path / "models") == ["real"]


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/m'$"):
        trained().save(tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*/absent/m'$"):
        trained().save(tmp_path / "absent" / "m")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_decks_weights(tmp_path, protocol):
    weights = {"W1": np.random.default_rng(0).random((3, 4)), "W2": np.asfortranarray(np.ones((4, 1)))}
    (tmp_path / "weight.txt").write_bytes(pickle.dumps(weights, protocol))
    read = read_pickled_weights(tmp_path / "weight.txt")
    assert list(read) == ["W1", "W2"]
    for name, value in weights.items():
        np.testing.assert_array_equal(read[name], value)


def test_weights_of_an_older_numpy(tmp_path):
    content = pickle.dumps({"W1": np.ones((2, 2))}, 2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "weight.txt").write_bytes(content)
    np.testing.assert_array_equal(read_pickled_weights(tmp_path / "weight.txt")["W1"], np.ones((2, 2)))


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    "content",
    [
        Runs(),
        {"W1": Runs()},
        {"W1": np.array([Runs()], dtype=object)},
        {"W1": np.array([{}], dtype=object)},
        {"W1": print},
        {"W1": [1.0]},
        [np.ones(2)],
        {"W1": np.array(["a"])},
        {1: np.ones(2)},
    ],
)
def test_other_pickles_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weight.txt").write_bytes(pickle.dumps(content))
    with pytest.raises(SerializationError):
        read_pickled_weights("weight.txt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04]", b"c_codecs\nencode\n(V\nVrot13\ntR."])
def test_damaged_pickles(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(SerializationError):
        read_pickled_weights(tmp_path / "w")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    """What is no file is not replaced by one: neither a pipe nor a device."""
    from threading import Thread

    net, pipe, read = NeuralNetwork(3, 2, seed=0), tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    net.save(pipe)
    reader.join(timeout=5)  # a file in its place leaves the reader waiting
    net.save(tmp_path / "file")
    assert read == [(tmp_path / "file").read_bytes()]
    assert pipe.is_fifo()
