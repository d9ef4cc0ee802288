"""Memory-mapped data are read batch by batch: the same bits as from memory, little of it at a time."""

import numpy as np
import pytest
from conftest import spare

from portnn import DataError, Dropout, Flatten, NeuralNetwork, Standardize
from portnn.backend import host_array
from portnn.data.memmap import MemmapRows, mapping_of

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((100, 5)), RNG.integers(0, 3, 100)


def on_disk(folder, x=X, name="x.npy"):
    np.save(folder / name, x)
    return np.load(folder / name, mmap_mode="r")


def net(*first, **options):
    layers = (*first, 8, "relu", Dropout(0.3), 3)
    return NeuralNetwork(5, *layers, output="softmax", loss="cross_entropy", seed=0, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", ">f8"])
def test_the_same_bits_as_from_memory(backend, dtype, tmp_path):
    """Shuffled, weighted, with rows held out, standardised from all the rows that train; predicted and measured."""
    spare(backend, "NumPy reads the rows")
    x = (X * 100).astype(dtype)
    there = on_disk(tmp_path, x)
    one, other = (net(Standardize(), backend=backend) for _ in range(2))
    options = {
        "epochs": 2, "batch_size": 15, "validation": 0.2, "metrics": ["accuracy"], "sample_weight": np.arange(1, 101),
    }  # fmt: skip
    found, expected = one.fit(there, LABELS, **options), other.fit(x, LABELS, **options)
    assert (found.loss, found.metrics) == (expected.loss, expected.metrics)
    assert one.fingerprint() == other.fingerprint()
    np.testing.assert_array_equal(one.predict(there, batch_size=32), other.predict(x, batch_size=32))
    np.testing.assert_array_equal(one.predict_classes(there), other.predict_classes(x))
    assert one.evaluate(there, LABELS) == other.evaluate(x, LABELS)
    one.step(there[:10], LABELS[:10]), other.step(x[:10], LABELS[:10])
    np.testing.assert_array_equal(host_array(one.forward(there)), host_array(other.forward(x)))
    assert one.fingerprint() == other.fingerprint()


def test_full_batch_images_and_validation_of_its_own(tmp_path):
    images = RNG.random((30, 1, 2, 3)).astype(np.float32)
    there = on_disk(tmp_path, images)
    nets = [NeuralNetwork((1, 2, 3), Flatten(), 4, 3, output="softmax", loss="cross_entropy", seed=0) for _ in range(2)]
    for one, x in zip(nets, (there, images), strict=True):
        one.fit(x, LABELS[:30], epochs=2, batch_size=None, shuffle=False, validation=(x[:10], LABELS[:10]))
    assert nets[0].fingerprint() == nets[1].fingerprint()
    assert nets[0].history.metrics == nets[1].history.metrics


def test_little_is_read_at_a_time(tmp_path, monkeypatch):
    """No more rows than a batch (or the block of a statistic) are ever asked for at once."""
    asked = []
    read = MemmapRows.__getitem__
    monkeypatch.setattr(MemmapRows, "__getitem__", lambda self, rows: asked.append(read(self, rows)) or asked[-1])
    monkeypatch.setattr("portnn.model.runtime.PREDICT_ROWS", 20)
    monkeypatch.setattr("portnn.network.inference.PREDICT_ROWS", 20)
    there = on_disk(tmp_path)
    one = net()
    one.fit(there, LABELS, batch_size=16, validation=0.2, metrics=["accuracy"])
    one.predict(there), one.evaluate(there, LABELS)
    assert max(map(len, asked)) == 20
    assert sum(map(len, asked)) == 80 + 80 + 20 + 100 + 100
    assert all(mapping_of(each) is None for each in asked)  # copies: nothing of the map is kept


def test_what_is_not_finite_is_refused_with_its_row(tmp_path):
    x = X.copy()
    x[37, 2] = np.nan
    there = on_disk(tmp_path, x)
    one = net()
    with pytest.raises(DataError, match=r"x: expected finite numbers .* in row 37, column 2"):
        one.fit(there, LABELS, batch_size=16)
    assert np.isfinite(one.predict(X)).all()
    with pytest.raises(DataError, match=r"x: expected finite numbers"):
        one.predict_classes(there)
    with pytest.raises(DataError, match=r"x: expected finite numbers .* in row 37, column 2"):
        net(Standardize()).fit(there, LABELS)
    with pytest.raises(DataError, match=r"x: expected finite numbers .* in row 37, column 2"):
        net().evaluate(there, LABELS)
    for source in (x, there):
        with pytest.raises(DataError, match="in row 37, column 2"):
            one.predict_classes(source, batch_size=10)
    x[37, 2] = 1e200  # beyond float32
    with pytest.raises(DataError, match=r"float32's range; got NaN or infinity in row 37, column 2"):
        net().fit(on_disk(tmp_path, x), LABELS, batch_size=16, shuffle=False)


def test_rows_are_chosen_among_those_chosen(tmp_path):
    rows = MemmapRows(on_disk(tmp_path)).take(np.array([9, 7, 5, 3])).take(np.array([3, 1]))
    np.testing.assert_array_equal(rows[0:2], X[[3, 7]])
    np.testing.assert_array_equal(rows[np.array([1])], X[[7]])
    assert (rows.shape, rows.position(1)) == ((2, 5), 7)


def test_maps_are_known_by_any_name(tmp_path):
    there = on_disk(tmp_path)
    for view in (there, there[3:], np.asarray(there), there[:, :2].T, np.asarray(there)[::2]):
        assert mapping_of(view) is not None
    for plain in (X, X[3:], there[:3] + 1, np.array(there), [1.0], None):
        assert mapping_of(plain) is None


def test_what_was_written_into_a_copy_on_write_map_stays(tmp_path):
    """Its pages are the only place of what was written: they are not given back."""
    on_disk(tmp_path)
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private[:] = 1.0
    rows = MemmapRows(private)
    assert (rows[0:50] == 1.0).all()
    assert (rows[0:50] == 1.0).all()
    assert (private == 1.0).all()
    written = np.load(tmp_path / "x.npy", mmap_mode="r+")
    written[:] = 2.0
    rows = MemmapRows(written)
    assert (rows[0:50] == 2.0).all()
    assert (written == 2.0).all()


def test_a_file_that_is_gone_or_cut_off(tmp_path):
    """What was opened stays there; what is no longer in it is refused, where reading the map would end the process."""
    there = on_disk(tmp_path)
    rows = MemmapRows(there)
    (tmp_path / "x.npy").rename(tmp_path / "y.npy")
    np.testing.assert_array_equal(rows[np.array([5, 6, 99, 0])], X[[5, 6, 99, 0]])
    np.testing.assert_array_equal(MemmapRows(there)[3:5], X[3:5])  # no file of that name: through the map
    np.save(tmp_path / "x.npy", X + 1.0)  # another file of that name
    np.testing.assert_array_equal(MemmapRows(there)[3:5], X[3:5])
    with open(tmp_path / "y.npy", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match="x: expected the whole file of a memory map; it was cut off"):
        rows[50:60]


@pytest.mark.parametrize("view", [slice(7, 60), slice(None, None, 3)])
def test_parts_of_a_map(view, tmp_path):
    """Rows from the middle of the file on, at an offset; with gaps between them they are read through the map."""
    with open(tmp_path / "raw", "wb") as file:
        file.write(b"\0" * 5000 + X.tobytes())
    there = np.memmap(tmp_path / "raw", np.float64, "r", 5000, X.shape)
    rows = MemmapRows(np.asarray(there)[view])
    np.testing.assert_array_equal(rows[2:9], X[view][2:9])
    rows.readahead(np.array([3, 1]))
    np.testing.assert_array_equal(rows[np.array([3, 1])], X[view][[3, 1]])
